//! The right edge of a growing RFC 6962 tree: enough to append and to know the root, at 32 bytes per set bit of the size.

use crate::hash::{Hash, LeafHash, NodeHash, RootHash, TreeSize};
use crate::merkle::NodeCoordinate;

/// Complete subtrees of a tree of some size, largest first: one for each set bit of the size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frontier {
    size: TreeSize,
    peaks: Vec<NodeHash>,
}

impl Frontier {
    /// The frontier of the empty tree.
    #[must_use]
    pub fn empty() -> Self {
        Self { size: TreeSize(0), peaks: Vec::new() }
    }

    /// A stored frontier; `None` when the number of peaks does not fit the size.
    #[must_use]
    pub fn from_peaks(size: TreeSize, peaks: Vec<NodeHash>) -> Option<Self> {
        (peaks.len() == size.0.count_ones() as usize).then_some(Self { size, peaks })
    }

    /// Number of leaves below this edge.
    #[must_use]
    pub fn size(&self) -> TreeSize {
        self.size
    }

    /// The peaks, largest subtree first.
    #[must_use]
    pub fn peaks(&self) -> &[NodeHash] {
        &self.peaks
    }

    /// Appends one leaf and tells `completed` each node this completes, from the leaf itself upwards.
    pub fn push(&mut self, leaf: LeafHash, mut completed: impl FnMut(NodeCoordinate, NodeHash)) {
        let mut node = leaf;
        let mut coordinate = NodeCoordinate { level: 0, index: self.size.0 };
        completed(coordinate, node);
        while coordinate.index % 2 == 1 {
            let left = self.peaks.pop().expect("an odd index has a left sibling among the peaks");
            node = Hash::of_children(&left, &node);
            coordinate = coordinate.parent();
            completed(coordinate, node);
        }
        self.peaks.push(node);
        self.size = self.size.plus(1);
    }

    /// RFC 6962 Merkle tree head of all leaves so far.
    #[must_use]
    pub fn root(&self) -> RootHash {
        let mut peaks = self.peaks.iter().rev();
        match peaks.next() {
            None => Hash::of_empty_tree(),
            Some(smallest) => peaks.fold(*smallest, |right, left| Hash::of_children(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// RFC 6962 section 2.1, word for word.
    fn root_by_recursion(leaves: &[LeafHash]) -> RootHash {
        match leaves {
            [] => Hash::of_empty_tree(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                Hash::of_children(&root_by_recursion(&many[..k]), &root_by_recursion(&many[k..]))
            }
        }
    }

    proptest! {
        #[test]
        fn the_root_is_the_one_of_the_recursion(count in 0usize..600) {
            let leaves: Vec<_> = (0..count).map(|n| Hash::of_envelope(&n.to_le_bytes())).collect();
            let mut frontier = Frontier::empty();
            for leaf in &leaves {
                frontier.push(*leaf, |_, _| ());
            }
            prop_assert_eq!(frontier.root(), root_by_recursion(&leaves));
            let again = Frontier::from_peaks(frontier.size(), frontier.peaks().to_vec());
            prop_assert_eq!(again, Some(frontier));
        }
    }

    #[test]
    fn a_frontier_with_a_missing_peak_is_refused() {
        assert_eq!(Frontier::from_peaks(TreeSize(3), vec![Hash::ZERO]), None);
    }
}
