//! The Merkle tree of everything published, as far as memory needs it.
//!
//! Only the nodes that segments without a leaf file complete are here. Older leaves are read from leaf files, 8 KiB at a
//! time; older nodes of level 8 and above each from the leaf file of the segment that completed them.

use counterfoil_format::{LEAF_BLOCK, NODE_LEVEL};
use counterfoil_proof::{Frontier, Hash, LeafHash, LeafIndex, NodeCoordinate, NodeHash, TreeSize};

/// Nodes of the published tree that are in memory.
#[derive(Default)]
pub(crate) struct Tree {
    /// Leaves below are in leaf files, and so are the nodes that they complete.
    covered: u64,
    /// The peaks of the tree of that size, which every proof of a newer receipt needs.
    peaks: Vec<(NodeCoordinate, NodeHash)>,
    /// Of each level the nodes that are not in leaf files, in order.
    levels: Vec<Vec<NodeHash>>,
}

/// Where a node is.
pub(crate) enum Place {
    /// In memory.
    Known(NodeHash),
    /// Computable from the leaves of the aligned block of 256 that begins here, as far as leaf files hold them.
    Block(LeafIndex),
    /// In the leaf file of the segment that holds this leaf, the node's last one.
    CompletedBy(LeafIndex),
}

impl Tree {
    /// A tree whose leaves are all in leaf files.
    pub(crate) fn over_leaf_files(frontier: &Frontier) -> Self {
        Self { covered: frontier.size().0, peaks: peaks_of(frontier), levels: Vec::new() }
    }

    /// Adds a node that the sequencer completed; they come in the order in which a growing tree completes them.
    pub(crate) fn push(&mut self, at: NodeCoordinate, node: NodeHash) {
        let level = usize::from(at.level);
        if self.levels.len() <= level {
            self.levels.resize_with(level + 1, Vec::new);
        }
        let next = (self.covered >> at.level) + self.levels[level].len() as u64;
        assert_eq!(next, at.index, "nodes of a level come in order");
        self.levels[level].push(node);
    }

    /// Leaves below are in leaf files.
    pub(crate) fn covered(&self) -> TreeSize {
        TreeSize(self.covered)
    }

    /// Leaf hash of a published receipt, if it is in memory.
    pub(crate) fn leaf(&self, index: LeafIndex) -> Option<LeafHash> {
        self.known(NodeCoordinate { level: 0, index: index.0 })
    }

    fn known(&self, at: NodeCoordinate) -> Option<NodeHash> {
        match at.index.checked_sub(self.covered >> at.level) {
            Some(place) => self.levels.get(usize::from(at.level))?.get(usize::try_from(place).ok()?).copied(),
            None => self.peaks.iter().find(|(peak, _)| *peak == at).map(|(_, node)| *node),
        }
    }

    /// Where a node of the tree is.
    pub(crate) fn locate(&self, at: NodeCoordinate) -> Place {
        if let Some(node) = self.known(at) {
            return Place::Known(node);
        }
        let (first, count) = at.leaves();
        let last = first.0 + count - 1;
        assert!(last < self.covered, "planned nodes are in the tree");
        if at.level < NODE_LEVEL {
            Place::Block(LeafIndex(first.0 - first.0 % LEAF_BLOCK))
        } else {
            Place::CompletedBy(LeafIndex(last))
        }
    }

    /// Forgets what leaf files hold by now: the leaves of a smaller tree and the nodes that they complete.
    pub(crate) fn forget_below(&mut self, frontier: &Frontier) {
        let covered = frontier.size();
        for (level, nodes) in self.levels.iter_mut().enumerate() {
            let gone = usize::try_from((covered.0 >> level) - (self.covered >> level)).expect("a segment fits memory");
            nodes.drain(..gone);
            nodes.shrink_to_fit();
        }
        self.covered = covered.0;
        self.peaks = peaks_of(frontier);
    }
}

fn peaks_of(frontier: &Frontier) -> Vec<(NodeCoordinate, NodeHash)> {
    let size = frontier.size().0;
    let mut start = 0;
    let levels = (0..64u8).rev().filter(|level| size >> level & 1 == 1);
    let coordinates = levels.map(|level| {
        let at = NodeCoordinate { level, index: start >> level };
        start += 1 << level;
        at
    });
    coordinates.zip(frontier.peaks().iter().copied()).collect()
}

/// A node below level 8, from the leaves of its block.
pub(crate) fn node_of_block(block: &[LeafHash], at: NodeCoordinate) -> NodeHash {
    let (first, count) = at.leaves();
    let within = usize::try_from(first.0 % LEAF_BLOCK).expect("below 256");
    let count = usize::try_from(count).expect("below 256");
    let mut nodes = block[within..within + count].to_vec();
    while nodes.len() > 1 {
        nodes = nodes.as_chunks::<2>().0.iter().map(|[left, right]| Hash::of_children(left, right)).collect();
    }
    nodes[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_proof::InclusionPlan;
    use proptest::prelude::*;

    fn leaf(n: u64) -> LeafHash {
        Hash::of_envelope(&n.to_le_bytes())
    }

    proptest! {
        #[test]
        fn every_proof_verifies_whatever_was_forgotten(size in 1u64..2000, covered in 0u64..2000, at in any::<prop::sample::Index>(), reopened: bool) {
            let covered = covered.min(size);
            let mut frontier = Frontier::empty();
            let mut before = Frontier::empty();
            (0..covered).for_each(|n| before.push(leaf(n), |_, _| ()));
            let mut tree = if reopened { Tree::over_leaf_files(&before) } else { Tree::default() };
            let mut completed = Vec::new();
            for n in 0..size {
                frontier.push(leaf(n), |at, node| {
                    completed.push((at, node));
                    if !reopened || n >= covered { tree.push(at, node) }
                });
            }
            if !reopened { tree.forget_below(&before) }
            let index = LeafIndex(at.index(usize::try_from(size).unwrap()) as u64);
            let plan = InclusionPlan::new(index, TreeSize(size)).unwrap();
            let fetched: Vec<_> = plan.nodes().map(|at| match tree.locate(at) {
                Place::Known(node) => node,
                Place::Block(first) => {
                    let block: Vec<_> = (first.0..(first.0 + LEAF_BLOCK).min(covered)).map(leaf).collect();
                    node_of_block(&block, at)
                }
                Place::CompletedBy(last) => {
                    assert!(last.0 < covered);
                    completed.iter().find(|(found, _)| *found == at).unwrap().1
                }
            }).collect();
            prop_assert!(plan.finish(&fetched).verify(&leaf(index.0), &frontier.root()).is_ok());
            match tree.leaf(index) {
                Some(found) => prop_assert_eq!(found, leaf(index.0)),
                None => prop_assert!(index.0 < covered),
            }
        }
    }
}
