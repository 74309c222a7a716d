use super::*;
use ct_merkle::mem_backed_tree::MemoryBackedTree;
use proptest::prelude::*;
use std::collections::HashMap;

struct Tree {
    leaves: Vec<LeafHash>,
    nodes: HashMap<NodeCoordinate, NodeHash>,
}

impl Tree {
    fn new(count: u64) -> Self {
        let leaves: Vec<_> = (0..count).map(|n| Hash::of_envelope(&n.to_le_bytes())).collect();
        let mut frontier = crate::Frontier::empty();
        let mut nodes = HashMap::new();
        for leaf in &leaves {
            frontier.push(*leaf, |at, hash| assert!(nodes.insert(at, hash).is_none()));
        }
        Self { leaves, nodes }
    }

    /// RFC 6962 section 2.1, written a second time.
    fn root(&self, range: Range<usize>) -> Hash {
        match range.len() {
            0 => Hash::of_empty_tree(),
            1 => self.leaves[range.start],
            n => {
                let k = range.start + n.next_power_of_two() / 2;
                Hash::of_children(&self.root(range.start..k), &self.root(k..range.end))
            }
        }
    }

    /// RFC 6962 section 2.1.1: PATH(m, D[n]).
    fn path(&self, m: usize, range: Range<usize>) -> Vec<Hash> {
        if range.len() == 1 {
            return Vec::new();
        }
        let k = range.start + range.len().next_power_of_two() / 2;
        let (mut path, other) = if m < k {
            (self.path(m, range.start..k), self.root(k..range.end))
        } else {
            (self.path(m, k..range.end), self.root(range.start..k))
        };
        path.push(other);
        path
    }

    /// RFC 6962 section 2.1.2: SUBPROOF(m, D[n], b).
    fn subproof(&self, m: usize, range: Range<usize>, whole: bool) -> Vec<Hash> {
        if m == range.end {
            return if whole { Vec::new() } else { vec![self.root(range)] };
        }
        let k = range.start + range.len().next_power_of_two() / 2;
        let (mut proof, other) = if m <= k {
            (self.subproof(m, range.start..k, whole), self.root(k..range.end))
        } else {
            (self.subproof(m, k..range.end, false), self.root(range.start..k))
        };
        proof.push(other);
        proof
    }

    fn inclusion(&self, index: usize, size: usize) -> InclusionProof {
        let plan = InclusionPlan::new(LeafIndex(index as u64), TreeSize(size as u64)).unwrap();
        let nodes: Vec<_> = plan.nodes().map(|at| self.nodes[&at]).collect();
        plan.finish(&nodes)
    }

    fn consistency(&self, old: usize, new: usize) -> ConsistencyProof {
        let plan = ConsistencyPlan::new(TreeSize(old as u64), TreeSize(new as u64)).unwrap();
        let nodes: Vec<_> = plan.nodes().map(|at| self.nodes[&at]).collect();
        plan.finish(&nodes)
    }
}

#[test]
fn every_proof_up_to_size_70_is_the_one_of_the_rfc_and_verifies() {
    let tree = Tree::new(70);
    for size in 1..=70 {
        let root = tree.root(0..size);
        for index in 0..size {
            let proof = tree.inclusion(index, size);
            assert_eq!(proof.hashes, tree.path(index, 0..size), "inclusion {index} in {size}");
            assert_eq!(proof.verify(&tree.leaves[index], &root), Ok(()));
        }
        for old in 0..=size {
            let proof = tree.consistency(old, size);
            let expected = if old == 0 { Vec::new() } else { tree.subproof(old, 0..size, true) };
            assert_eq!(proof.hashes, expected, "consistency {old} to {size}");
            assert_eq!(proof.verify(&tree.root(0..old), &root), Ok(()));
        }
    }
}

#[test]
fn a_leaf_outside_the_tree_has_no_plan() {
    let error = MerkleError::IndexOutOfRange { index: LeafIndex(3), size: TreeSize(3) };
    assert_eq!(InclusionPlan::new(LeafIndex(3), TreeSize(3)).unwrap_err(), error);
}

#[test]
fn a_newer_tree_is_never_smaller() {
    let error = MerkleError::SizesOutOfOrder { old: TreeSize(4), new: TreeSize(3) };
    assert_eq!(ConsistencyPlan::new(TreeSize(4), TreeSize(3)).unwrap_err(), error);
}

#[test]
fn the_empty_tree_is_consistent_only_with_its_own_root() {
    let tree = Tree::new(3);
    let proof = tree.consistency(0, 3);
    assert!(proof.verify(&Hash::of_empty_tree(), &tree.root(0..3)).is_ok());
    assert!(proof.verify(&Hash::ZERO, &tree.root(0..3)).is_err());
}

proptest! {
    #[test]
    fn a_changed_proof_never_verifies(size in 2usize..300, at in any::<prop::sample::Index>(), flip in any::<u8>(), cut in any::<bool>()) {
        let tree = Tree::new(size as u64);
        let index = at.index(size);
        let root = tree.root(0..size);
        let good = tree.inclusion(index, size);
        let mut bad = good.clone();
        if cut { bad.hashes.pop(); } else { bad.hashes.push(Hash::ZERO); }
        prop_assert!(bad.verify(&tree.leaves[index], &root).is_err());
        let mut bad = good.clone();
        let hash = at.index(bad.hashes.len());
        bad.hashes[hash].0[usize::from(flip) % 32] ^= 1 << (flip % 8);
        prop_assert!(bad.verify(&tree.leaves[index], &root).is_err());
        let old = at.index(size - 1) + 1;
        let good = tree.consistency(old, size);
        prop_assert!(good.verify(&tree.root(0..old), &root).is_ok());
        prop_assert!(good.verify(&tree.root(0..old - 1), &root).is_err());
        let mut bad = good;
        if cut { bad.hashes.pop(); } else { bad.hashes.push(Hash::ZERO); }
        if !bad.hashes.is_empty() {
            prop_assert!(bad.verify(&tree.root(0..old), &root).is_err());
        }
    }

    #[test]
    fn proofs_and_roots_agree_with_an_independent_library(size in 1usize..300, at in any::<prop::sample::Index>()) {
        let tree = Tree::new(size as u64);
        let mut other = MemoryBackedTree::<sha2::Sha256, Vec<u8>>::new();
        for n in 0..size as u64 {
            other.push(n.to_le_bytes().to_vec());
        }
        let theirs = other.root();
        prop_assert_eq!(&tree.root(0..size).0[..], theirs.as_bytes().as_slice());
        let index = at.index(size);
        let proof: Vec<u8> = tree.inclusion(index, size).hashes.iter().flat_map(|hash| hash.0).collect();
        let theirs = other.prove_inclusion(index);
        prop_assert_eq!(proof, theirs.as_bytes().to_vec());
    }
}
