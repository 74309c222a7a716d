//! What is known of the ledger up to the receipt read last, and what the next one must therefore say.

use counterfoil_format::{NODE_LEVEL, SegmentHeader};
use counterfoil_proof::{
    Frontier, Hash, LeafHash, LeafIndex, NodeCoordinate, NodeHash, RootHash, StreamSeq, Timestamp, TreeSize,
};
use std::collections::{BTreeMap, BTreeSet};

/// No ledger reaches this; larger sizes in stored bytes are damage or malice, and are refused before they are reckoned
/// with.
pub(super) const TREE_SIZE_MAX: u64 = 1 << 56;

/// The ledger behind some receipt, as far as it is known.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Index the next receipt has.
    pub(super) next: TreeSize,
    /// Leaf hash of the receipt before it.
    pub(super) prev: Option<LeafHash>,
    /// Control receipts so far, and the leaf hash of the last.
    pub(super) control: Option<(StreamSeq, LeafHash)>,
    /// Time of the receipt before; a lower bound when that one was not read.
    pub(super) time: Timestamp,
    pub(super) time_is_known: bool,
    /// The tree.
    pub(super) tree: Option<Frontier>,
    /// True when the tree rests on hashes that no signed root has confirmed yet.
    pub(super) assumed: bool,
}

impl State {
    /// The empty ledger.
    pub(super) fn empty() -> Self {
        Self {
            next: TreeSize(0),
            prev: Some(Hash::ZERO),
            control: Some((StreamSeq(0), Hash::ZERO)),
            time: Timestamp(0),
            time_is_known: true,
            tree: Some(Frontier::empty()),
            assumed: false,
        }
    }

    /// A place of which nothing is known but where it is.
    pub(super) fn unknown(next: TreeSize, time: Timestamp) -> Self {
        Self { next, prev: None, control: None, time, time_is_known: false, tree: None, assumed: false }
    }

    /// What a segment's header states.
    pub(super) fn of_header(header: &SegmentHeader) -> Self {
        let mut state = Self::unknown(header.frontier.size(), Timestamp(0));
        state.complete(header);
        state
    }

    /// Learns from a segment's header what damage before it has hidden.
    pub(super) fn complete(&mut self, header: &SegmentHeader) {
        if self.tree.is_none() {
            self.tree = Some(header.frontier.clone());
        }
        self.prev.get_or_insert(header.prev);
        self.control.get_or_insert((header.control_seq, header.control_head));
        self.time = self.time.max(header.last_time);
        self.time_is_known = true;
    }

    /// True when a signed root confirms all of it.
    pub(super) fn is_whole(&self) -> bool {
        self.tree.is_some() && !self.assumed && self.prev.is_some() && self.control.is_some()
    }
}

/// The ledger while a segment is read.
pub(super) struct Chain {
    pub(super) state: State,
    pub(super) leaves: Leaves,
    /// Nodes of the tree that a leaf file holds.
    pub(super) nodes: Vec<(NodeCoordinate, NodeHash)>,
    /// How often receipts were lost so far in this segment: a stream's head from before a loss may be out of date.
    pub(super) losses: u32,
    /// Which receipts these were: tree sizes before and behind them.
    pub(super) lost: Vec<(TreeSize, TreeSize)>,
    /// Tree sizes whose root is asked for.
    watched: BTreeSet<u64>,
    pub(super) roots: BTreeMap<u64, RootHash>,
}

/// The tree with some more leaves, and what was learned on the way.
pub(super) struct Grown {
    pub(super) tree: Frontier,
    nodes: Vec<(NodeCoordinate, NodeHash)>,
    roots: Vec<(u64, RootHash)>,
}

impl Chain {
    pub(super) fn new(state: State, watched: BTreeSet<u64>) -> Self {
        let roots = watched.contains(&0).then(|| (0, Hash::of_empty_tree())).into_iter().collect();
        let (leaves, nodes, lost) = (Leaves::default(), Vec::new(), Vec::new());
        Self { state, leaves, nodes, losses: 0, lost, watched, roots }
    }

    /// The tree after these leaves; `None` when it is not known.
    pub(super) fn grow(&self, leaves: impl ExactSizeIterator<Item = LeafHash>) -> Option<Grown> {
        let mut tree = self.state.tree.clone()?;
        let (mut nodes, mut roots) = (Vec::new(), Vec::new());
        let sizes = tree.size().0 + 1..=tree.size().0.saturating_add(leaves.len() as u64);
        let mut watched = self.watched.range(sizes).copied().peekable();
        for leaf in leaves {
            tree.push(leaf, |at, node| {
                if at.level >= NODE_LEVEL {
                    nodes.push((at, node));
                }
            });
            if watched.next_if_eq(&tree.size().0).is_some() {
                roots.push((tree.size().0, tree.root()));
            }
        }
        Some(Grown { tree, nodes, roots })
    }

    /// Takes over a tree that a signed root confirms.
    pub(super) fn confirm(&mut self, grown: Grown) {
        self.roots.extend(grown.roots);
        self.nodes.extend(grown.nodes);
        self.state.tree = Some(grown.tree);
        self.state.assumed = false;
    }

    /// Goes on behind receipts that could not be read. `leaves` are their hashes, from a derived file, if there are any.
    pub(super) fn lose(&mut self, to: TreeSize, leaves: Option<&[LeafHash]>) {
        let state = &mut self.state;
        state.tree = match (leaves, state.tree.take()) {
            (Some(leaves), Some(mut tree)) => {
                leaves.iter().for_each(|leaf| tree.push(*leaf, |_, _| ()));
                state.assumed = true;
                Some(tree)
            }
            _ => None,
        };
        for (at, leaf) in leaves.into_iter().flatten().enumerate() {
            self.leaves.push(LeafIndex(state.next.0 + at as u64), *leaf);
        }
        state.prev = leaves.and_then(|leaves| leaves.last().copied());
        state.control = None;
        state.time_is_known = false;
        self.lost.push((state.next, to));
        state.next = to;
        self.losses += 1;
    }
}

/// Leaf hashes of a segment, 32 bytes each. Memory is taken for hashes that were read, not for sizes that were claimed.
#[derive(Default)]
pub(super) struct Leaves {
    runs: Vec<(LeafIndex, Vec<LeafHash>)>,
}

impl Leaves {
    pub(super) fn push(&mut self, index: LeafIndex, leaf: LeafHash) {
        match self.runs.last_mut() {
            Some((first, run)) if first.0 + run.len() as u64 == index.0 => run.push(leaf),
            _ => self.runs.push((index, vec![leaf])),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.runs.iter().map(|(_, run)| run.len()).sum()
    }

    pub(super) fn get(&self, index: LeafIndex) -> Option<LeafHash> {
        self.range(index, TreeSize(index.0.checked_add(1)?)).and_then(|one| one.first().copied())
    }

    /// The hashes from an index up to a tree size, if all of them are known.
    pub(super) fn range(&self, from: LeafIndex, to: TreeSize) -> Option<&[LeafHash]> {
        let after = self.runs.partition_point(|(first, _)| *first <= from);
        let (first, run) = self.runs.get(after.checked_sub(1)?)?;
        let start = usize::try_from(from.0 - first.0).ok()?;
        let end = usize::try_from(to.0.checked_sub(first.0)?).ok()?;
        run.get(start..end)
    }
}
