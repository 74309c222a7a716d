//! What is known of the ledger up to the receipt read last, and what the next one must therefore say.

use counterfoil_format::SegmentHeader;
use counterfoil_proof::{
    Frontier, Hash, LeafHash, LeafIndex, Link, RootHash, StreamName, StreamSeq, Timestamp, TreeSize,
};
use counterfoil_rules::{Rules, Violation};
use std::collections::{BTreeMap, HashMap};

/// No ledger reaches this; larger sizes in stored bytes are damage or malice, and are refused before they are reckoned
/// with.
pub(super) const TREE_SIZE_MAX: u64 = 1 << 56;

/// The ledger up to some receipt. After damage, parts of it are not known until a later place states them again.
pub(super) struct Chain {
    /// Index the next receipt has.
    pub(super) next: TreeSize,
    /// Leaf hash of the receipt before it.
    pub(super) prev: Option<LeafHash>,
    /// Control receipts so far, and the leaf hash of the last.
    pub(super) control: Option<(StreamSeq, LeafHash)>,
    /// Time of the last receipt read.
    pub(super) time: Timestamp,
    /// The tree.
    pub(super) tree: Option<Frontier>,
    /// True when the tree rests on hashes that no signed root has confirmed yet.
    pub(super) assumed: bool,
    pub(super) leaves: Leaves,
    pub(super) streams: HashMap<StreamName, StreamHead>,
    /// How often receipts were lost so far: a stream's head from before a loss may be out of date.
    pub(super) losses: u32,
    pub(super) rules: Option<Rules>,
    /// Why the first receipt is no genesis, until that is reported.
    pub(super) bad_genesis: Option<Violation>,
    pub(super) ledger_id: Option<LeafHash>,
    /// Tree sizes whose root is asked for at the end.
    pub(super) watched: BTreeMap<u64, Option<RootHash>>,
    pub(super) control_receipts: u64,
}

/// Last receipt of a stream.
pub(super) struct StreamHead {
    pub(super) seq: StreamSeq,
    pub(super) leaf: LeafHash,
    pub(super) closed: bool,
    pub(super) losses: u32,
}

/// The tree with some more leaves, and the roots asked for on the way.
pub(super) struct Grown {
    pub(super) tree: Frontier,
    watched: Vec<(u64, RootHash)>,
}

impl Chain {
    /// The empty ledger.
    pub(super) fn new(watched: impl Iterator<Item = TreeSize>) -> Self {
        let mut watched: BTreeMap<_, _> = watched.map(|size| (size.0, None)).collect();
        if let Some(root) = watched.get_mut(&0) {
            *root = Some(Hash::of_empty_tree());
        }
        Self {
            next: TreeSize(0),
            prev: Some(Hash::ZERO),
            control: Some((StreamSeq(0), Hash::ZERO)),
            time: Timestamp(0),
            tree: Some(Frontier::empty()),
            assumed: false,
            leaves: Leaves::default(),
            streams: HashMap::new(),
            losses: 0,
            rules: None,
            bad_genesis: None,
            ledger_id: None,
            watched,
            control_receipts: 0,
        }
    }

    /// The tree after these leaves; `None` when it is not known.
    pub(super) fn grow(&self, leaves: impl Iterator<Item = LeafHash>) -> Option<Grown> {
        let mut tree = self.tree.clone()?;
        let mut watched = Vec::new();
        for leaf in leaves {
            tree.push(leaf, |_, _| ());
            if self.watched.contains_key(&tree.size().0) {
                watched.push((tree.size().0, tree.root()));
            }
        }
        Some(Grown { tree, watched })
    }

    /// Takes over a tree that a signed root confirms.
    pub(super) fn confirm(&mut self, grown: Grown) {
        self.watched.extend(grown.watched.into_iter().map(|(size, root)| (size, Some(root))));
        self.tree = Some(grown.tree);
        self.assumed = false;
    }

    /// Goes on behind receipts that could not be read. `leaves` are their hashes, from a derived file, if there are any.
    pub(super) fn lose(&mut self, to: TreeSize, leaves: Option<&[LeafHash]>) {
        self.tree = match (leaves, self.tree.take()) {
            (Some(leaves), Some(mut tree)) => {
                leaves.iter().for_each(|leaf| tree.push(*leaf, |_, _| ()));
                self.assumed = true;
                Some(tree)
            }
            _ => None,
        };
        if let Some(leaves) = leaves {
            leaves
                .iter()
                .enumerate()
                .for_each(|(at, leaf)| self.leaves.push(LeafIndex(self.next.0 + at as u64), *leaf));
        }
        self.prev = leaves.and_then(|leaves| leaves.last().copied());
        self.control = None;
        self.losses += 1;
        self.next = to;
    }

    /// Learns from a segment's header what damage before it has hidden.
    pub(super) fn resume(&mut self, header: &SegmentHeader) {
        if self.tree.is_none() {
            self.tree = Some(header.frontier.clone());
            self.assumed = true;
        }
        self.prev.get_or_insert(header.prev);
        self.control.get_or_insert((header.control_seq, header.control_head));
        self.time = self.time.max(header.last_time);
    }

    /// True when a stream's head was read before receipts were lost, so that it may have gone on unseen.
    pub(super) fn is_stale(&self, head: Option<&StreamHead>) -> bool {
        head.map_or(0, |head| head.losses) != self.losses
    }

    /// True when the link names a receipt that is there; receipts that were lost are given the benefit of the doubt.
    pub(super) fn holds(&self, link: &Link) -> bool {
        self.leaves.get(link.index).is_none_or(|leaf| leaf == link.leaf)
    }
}

/// Leaf hashes read so far, 32 bytes each. Memory is taken for hashes that were read, not for sizes that were claimed.
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
