//! Inclusion and consistency proofs, RFC 6962 section 2.1, as pure steps: *plan* names the nodes a proof needs, the
//! caller *fetches* them from wherever they are, *finish* folds them into the proof. Verification follows RFC 9162
//! sections 2.1.3.2 and 2.1.4.2.

use crate::hash::{Hash, LeafHash, LeafIndex, NodeHash, RootHash, TreeSize};
use core::fmt;
use core::ops::Range;

/// No proof over 64-bit sizes has more hashes than this.
pub const PROOF_HASHES_MAX: usize = 64;

/// A complete subtree: the leaves `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeCoordinate {
    /// 0 for leaves.
    pub level: u8,
    /// Position among the nodes of its level.
    pub index: u64,
}

impl NodeCoordinate {
    /// The node above.
    #[must_use]
    pub fn parent(self) -> Self {
        Self { level: self.level + 1, index: self.index / 2 }
    }

    /// The two nodes below.
    #[must_use]
    pub fn children(self) -> [Self; 2] {
        assert!(self.level > 0, "a leaf has no children");
        [0, 1].map(|side| Self { level: self.level - 1, index: self.index * 2 + side })
    }

    /// First leaf below this node, and how many there are.
    #[must_use]
    pub fn leaves(self) -> (LeafIndex, u64) {
        (LeafIndex(self.index << self.level), 1 << self.level)
    }
}

/// Why a proof cannot be made or does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MerkleError {
    /// The leaf is not in a tree of this size.
    IndexOutOfRange {
        /// The leaf asked for.
        index: LeafIndex,
        /// The tree it was asked in.
        size: TreeSize,
    },
    /// The older tree is larger than the newer one.
    SizesOutOfOrder {
        /// Size of the tree said to be older.
        old: TreeSize,
        /// Size of the tree said to be newer.
        new: TreeSize,
    },
    /// The proof has too many or too few hashes for these sizes.
    WrongLength {
        /// Hashes found in the proof.
        found: usize,
    },
    /// The hashes do not lead to the root.
    RootMismatch {
        /// Root that the checkpoint states.
        expected: RootHash,
        /// Root that the proof leads to.
        found: RootHash,
    },
}

impl fmt::Display for MerkleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IndexOutOfRange { index, size } => write!(f, "leaf {index} is not in a tree of size {size}"),
            Self::SizesOutOfOrder { old, new } => write!(f, "size {old} is larger than size {new}"),
            Self::WrongLength { found } => write!(f, "a proof of {found} hashes does not fit these sizes"),
            Self::RootMismatch { expected, found } => {
                write!(f, "the hashes lead to root {found}, the checkpoint states {expected}")
            }
        }
    }
}

impl core::error::Error for MerkleError {}

/// Nodes to fetch, grouped by the hash of the proof they fold into.
#[derive(Clone, Debug)]
struct Plan {
    groups: Vec<Vec<NodeCoordinate>>,
}

impl Plan {
    fn of(ranges: Vec<Range<u64>>) -> Self {
        Self { groups: ranges.into_iter().map(complete_subtrees).collect() }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeCoordinate> + '_ {
        self.groups.iter().flatten().copied()
    }

    fn finish(&self, nodes: &[NodeHash]) -> Vec<Hash> {
        let wanted: usize = self.groups.iter().map(Vec::len).sum();
        assert_eq!(nodes.len(), wanted, "finish takes exactly the nodes that were planned");
        let mut rest = nodes;
        self.groups
            .iter()
            .map(|group| {
                let (mine, others) = rest.split_at(group.len());
                rest = others;
                let (last, lefts) = mine.split_last().expect("every range holds at least one leaf");
                lefts.iter().rev().fold(*last, |right, left| Hash::of_children(left, &right))
            })
            .collect()
    }
}

/// Splits a range whose start is aligned as RFC 6962 aligns it into complete subtrees, left to right.
fn complete_subtrees(range: Range<u64>) -> Vec<NodeCoordinate> {
    let mut start = range.start;
    let mut nodes = Vec::new();
    while start < range.end {
        let level = (range.end - start).ilog2();
        nodes.push(NodeCoordinate {
            level: u8::try_from(level).expect("64-bit sizes have levels below 64"),
            index: start >> level,
        });
        start += 1 << level;
    }
    nodes
}

/// Largest power of two smaller than `count`, which is at least 2.
fn split_point(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// What an inclusion proof needs.
#[derive(Clone, Debug)]
pub struct InclusionPlan {
    index: LeafIndex,
    size: TreeSize,
    plan: Plan,
}

impl InclusionPlan {
    /// Plans the proof that leaf `index` is in the tree of `size` leaves.
    ///
    /// # Errors
    /// [`MerkleError::IndexOutOfRange`] when it is not.
    pub fn new(index: LeafIndex, size: TreeSize) -> Result<Self, MerkleError> {
        if !size.contains(index) {
            return Err(MerkleError::IndexOutOfRange { index, size });
        }
        let (mut low, mut high) = (0, size.0);
        let mut ranges = Vec::new();
        while high - low > 1 {
            let middle = low + split_point(high - low);
            if index.0 < middle {
                ranges.push(middle..high);
                high = middle;
            } else {
                ranges.push(low..middle);
                low = middle;
            }
        }
        ranges.reverse();
        Ok(Self { index, size, plan: Plan::of(ranges) })
    }

    /// The nodes to fetch, in the order [`InclusionPlan::finish`] takes them.
    pub fn nodes(&self) -> impl Iterator<Item = NodeCoordinate> + '_ {
        self.plan.nodes()
    }

    /// Folds the fetched nodes into the proof.
    ///
    /// # Panics
    /// When `nodes` are not as many as were planned.
    #[must_use]
    pub fn finish(&self, nodes: &[NodeHash]) -> InclusionProof {
        InclusionProof { index: self.index, size: self.size, hashes: self.plan.finish(nodes) }
    }
}

/// Proof that a leaf is in a tree. Its hashes go from the leaf's sibling up (RFC 6962 section 2.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionProof {
    /// The leaf.
    pub index: LeafIndex,
    /// The tree.
    pub size: TreeSize,
    /// Audit path.
    pub hashes: Vec<Hash>,
}

impl InclusionProof {
    /// Checks that `leaf` is at the proof's index under `root`.
    ///
    /// # Errors
    /// [`MerkleError`] when the proof has the wrong length or leads to another root.
    pub fn verify(&self, leaf: &LeafHash, root: &RootHash) -> Result<(), MerkleError> {
        if !self.size.contains(self.index) {
            return Err(MerkleError::IndexOutOfRange { index: self.index, size: self.size });
        }
        let wrong_length = MerkleError::WrongLength { found: self.hashes.len() };
        let (mut node, mut last) = (self.index.0, self.size.0 - 1);
        let mut hash = *leaf;
        for sibling in &self.hashes {
            if last == 0 {
                return Err(wrong_length);
            }
            if node % 2 == 1 || node == last {
                hash = Hash::of_children(sibling, &hash);
                while node % 2 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                hash = Hash::of_children(&hash, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(wrong_length);
        }
        if hash == *root { Ok(()) } else { Err(MerkleError::RootMismatch { expected: *root, found: hash }) }
    }
}

/// What a consistency proof needs.
#[derive(Clone, Debug)]
pub struct ConsistencyPlan {
    old: TreeSize,
    new: TreeSize,
    plan: Plan,
}

impl ConsistencyPlan {
    /// Plans the proof that the tree of `old` leaves is a prefix of the tree of `new` leaves.
    ///
    /// # Errors
    /// [`MerkleError::SizesOutOfOrder`] when `old` is larger than `new`.
    pub fn new(old: TreeSize, new: TreeSize) -> Result<Self, MerkleError> {
        if old > new {
            return Err(MerkleError::SizesOutOfOrder { old, new });
        }
        let (mut low, mut high, mut whole) = (0, new.0, true);
        let mut ranges = Vec::new();
        while old.0 > 0 && old.0 < high {
            let middle = low + split_point(high - low);
            if old.0 <= middle {
                ranges.push(middle..high);
                high = middle;
            } else {
                ranges.push(low..middle);
                low = middle;
                whole = false;
            }
        }
        if !whole {
            ranges.push(low..high);
        }
        ranges.reverse();
        Ok(Self { old, new, plan: Plan::of(ranges) })
    }

    /// The nodes to fetch, in the order [`ConsistencyPlan::finish`] takes them.
    pub fn nodes(&self) -> impl Iterator<Item = NodeCoordinate> + '_ {
        self.plan.nodes()
    }

    /// Folds the fetched nodes into the proof.
    ///
    /// # Panics
    /// When `nodes` are not as many as were planned.
    #[must_use]
    pub fn finish(&self, nodes: &[NodeHash]) -> ConsistencyProof {
        ConsistencyProof { old: self.old, new: self.new, hashes: self.plan.finish(nodes) }
    }
}

/// Proof that one tree is a prefix of another (RFC 6962 section 2.1.2). Empty when the older tree is empty or the sizes
/// are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyProof {
    /// The older tree.
    pub old: TreeSize,
    /// The newer tree.
    pub new: TreeSize,
    /// Consistency path.
    pub hashes: Vec<Hash>,
}

impl ConsistencyProof {
    /// Checks that the tree under `old_root` is a prefix of the one under `new_root`.
    ///
    /// # Errors
    /// [`MerkleError`] when the proof has the wrong length or leads to another root.
    pub fn verify(&self, old_root: &RootHash, new_root: &RootHash) -> Result<(), MerkleError> {
        if self.old > self.new {
            return Err(MerkleError::SizesOutOfOrder { old: self.old, new: self.new });
        }
        let wrong_length = MerkleError::WrongLength { found: self.hashes.len() };
        if self.old.0 == 0 || self.old == self.new {
            if !self.hashes.is_empty() {
                return Err(wrong_length);
            }
            let expected_old = if self.old.0 == 0 { Hash::of_empty_tree() } else { *new_root };
            return same_root(expected_old, *old_root);
        }
        let starts_with_old_root = self.old.0.is_power_of_two();
        let mut hashes = self.hashes.iter();
        let first = if starts_with_old_root { old_root } else { hashes.next().ok_or(wrong_length)? };
        let (mut node, mut last) = (self.old.0 - 1, self.new.0 - 1);
        while node % 2 == 1 {
            node >>= 1;
            last >>= 1;
        }
        let (mut old, mut new) = (*first, *first);
        for sibling in hashes {
            if last == 0 {
                return Err(wrong_length);
            }
            if node % 2 == 1 || node == last {
                old = Hash::of_children(sibling, &old);
                new = Hash::of_children(sibling, &new);
                while node % 2 == 0 && node != 0 {
                    node >>= 1;
                    last >>= 1;
                }
            } else {
                new = Hash::of_children(&new, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        if last != 0 {
            return Err(wrong_length);
        }
        same_root(*old_root, old)?;
        same_root(*new_root, new)
    }
}

fn same_root(expected: RootHash, found: RootHash) -> Result<(), MerkleError> {
    if expected == found { Ok(()) } else { Err(MerkleError::RootMismatch { expected, found }) }
}

#[cfg(test)]
mod tests;
