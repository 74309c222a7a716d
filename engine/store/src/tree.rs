//! The Merkle tree of everything published, as far as memory needs it.
//!
//! Nodes of level 8 and above are kept for the whole ledger (32 bytes for 128 leaves). Below that, only the leaves of
//! segments that have no leaf file yet are here; older ones are read from leaf files, 8 KiB at a time.

use counterfoil_format::{LEAF_BLOCK, NODE_LEVEL};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, NodeCoordinate, NodeHash, TreeSize};

/// Nodes of the published tree that are in memory.
#[derive(Default)]
pub(crate) struct Tree {
    size: u64,
    /// Levels 0 to 7 from leaf `low_base` on, which is a multiple of 256.
    low: [Vec<NodeHash>; NODE_LEVEL as usize],
    low_base: u64,
    /// Levels 8 and up, from the first node on.
    high: Vec<Vec<NodeHash>>,
}

/// Where a node is.
pub(crate) enum Place {
    /// In memory.
    Known(NodeHash),
    /// Computable from the leaves of one aligned block of 256.
    Block(LeafIndex),
}

impl Tree {
    /// The tree whose leaves below `low_base` are all in leaf files, given their level-8 nodes from the first on.
    pub(crate) fn over_leaf_files(nodes: Vec<NodeHash>) -> Self {
        let low_base = nodes.len() as u64 * LEAF_BLOCK;
        let mut tree = Self { size: low_base, low_base, ..Self::default() };
        for node in nodes {
            tree.push_high(0, node);
        }
        tree
    }

    fn push_high(&mut self, level: usize, node: NodeHash) {
        if self.high.len() == level {
            self.high.push(Vec::new());
        }
        self.high[level].push(node);
        if let [.., left, right] = self.high[level].as_slice()
            && self.high[level].len().is_multiple_of(2)
        {
            let parent = Hash::of_children(left, right);
            self.push_high(level + 1, parent);
        }
    }

    /// Adds a node that the sequencer completed; they come in the order in which a growing tree completes them.
    pub(crate) fn push(&mut self, at: NodeCoordinate, node: NodeHash) {
        let level = usize::from(at.level);
        match self.low.get_mut(level) {
            Some(nodes) => nodes.push(node),
            None => {
                let level = level - usize::from(NODE_LEVEL);
                if self.high.len() == level {
                    self.high.push(Vec::new());
                }
                assert_eq!(self.high[level].len() as u64, at.index, "nodes of a level come in order");
                self.high[level].push(node);
            }
        }
        if level == 0 {
            assert_eq!(at.index, self.size, "leaves come in order");
            self.size += 1;
        }
    }

    pub(crate) fn size(&self) -> TreeSize {
        TreeSize(self.size)
    }

    /// Leaf hash of a published receipt, if it is in memory.
    pub(crate) fn leaf(&self, index: LeafIndex) -> Option<LeafHash> {
        let at = index.0.checked_sub(self.low_base)?;
        self.low[0].get(usize::try_from(at).ok()?).copied()
    }

    /// Where a node of the tree is.
    pub(crate) fn locate(&self, at: NodeCoordinate) -> Place {
        let level = usize::from(at.level);
        let known = match self.low.get(level) {
            Some(nodes) => {
                let index = at.index.checked_sub(self.low_base >> at.level);
                index.and_then(|index| nodes.get(usize::try_from(index).ok()?))
            }
            None => {
                let nodes = self.high.get(level - usize::from(NODE_LEVEL));
                nodes.and_then(|nodes| nodes.get(usize::try_from(at.index).ok()?))
            }
        };
        match known {
            Some(node) => Place::Known(*node),
            None => {
                let (first, _) = at.leaves();
                assert!(first.0 < self.low_base, "planned nodes are in the tree");
                Place::Block(LeafIndex(first.0 - first.0 % LEAF_BLOCK))
            }
        }
    }

    /// Forgets leaves that leaf files hold by now: those below `covered`, down to a block boundary.
    pub(crate) fn forget_below(&mut self, covered: LeafIndex) {
        let base = (covered.0 - covered.0 % LEAF_BLOCK).min(self.size - self.size % LEAF_BLOCK);
        if base <= self.low_base {
            return;
        }
        for (level, nodes) in self.low.iter_mut().enumerate() {
            let gone = usize::try_from((base - self.low_base) >> level).expect("a segment's leaves fit memory");
            nodes.drain(..gone.min(nodes.len()));
            nodes.shrink_to_fit();
        }
        self.low_base = base;
    }
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
    use counterfoil_proof::{Frontier, InclusionPlan};
    use proptest::prelude::*;

    fn leaf(n: u64) -> LeafHash {
        Hash::of_envelope(&n.to_le_bytes())
    }

    proptest! {
        #[test]
        fn every_proof_verifies_whatever_was_forgotten(size in 1u64..2000, covered in 0u64..2000, at in any::<prop::sample::Index>(), reopened: bool) {
            let mut frontier = Frontier::empty();
            let mut tree = Tree::default();
            let mut nodes = Vec::new();
            for n in 0..size {
                frontier.push(leaf(n), |at, node| {
                    if at.level == NODE_LEVEL { nodes.push(node); }
                    tree.push(at, node);
                });
            }
            if reopened {
                let mut frontier = Frontier::empty();
                tree = Tree::over_leaf_files(nodes);
                let base = tree.low_base;
                for n in 0..size {
                    frontier.push(leaf(n), |at, node| if n >= base { tree.push(at, node) });
                }
            }
            tree.forget_below(LeafIndex(covered.min(size)));
            let index = LeafIndex(at.index(usize::try_from(size).unwrap()) as u64);
            let plan = InclusionPlan::new(index, tree.size()).unwrap();
            let fetched: Vec<_> = plan.nodes().map(|at| match tree.locate(at) {
                Place::Known(node) => node,
                Place::Block(first) => {
                    let block: Vec<_> = (first.0..first.0 + LEAF_BLOCK).map(leaf).collect();
                    node_of_block(&block, at)
                }
            }).collect();
            prop_assert!(plan.finish(&fetched).verify(&leaf(index.0), &frontier.root()).is_ok());
            if let Some(found) = tree.leaf(index) { prop_assert_eq!(found, leaf(index.0)); }
        }
    }
}
