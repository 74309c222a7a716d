//! Roots, inclusion proofs and consistency proofs over trees whose leaves follow a rule.

use crate::sample::{Tree, other};
use crate::store::{check, good_and_bad};
use counterfoil_proof::{ConsistencyPlan, ConsistencyProof, Hash, InclusionPlan, InclusionProof, LeafIndex, TreeSize};
use serde_json::{Value, json};

/// Sizes up to which every index and every pair has a proof.
const ALL_TO: u64 = 16;
/// Sizes up to which every pair has its roots changed.
const BAD_TO: u64 = 8;
const ROOTS_TO: u64 = 33;
const LARGER: [u64; 14] = [63, 64, 65, 127, 128, 129, 255, 256, 257, 1000, 1023, 1024, 1025, 2000];
const LARGEST: u64 = 2000;

fn hashes(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_string).collect()
}

fn inclusion(tree: &Tree, index: u64, size: u64) -> InclusionProof {
    let plan = InclusionPlan::new(LeafIndex(index), TreeSize(size)).unwrap();
    let nodes: Vec<Hash> = plan.nodes().map(|at| tree.node(at)).collect();
    plan.finish(&nodes)
}

fn consistency(tree: &Tree, old: u64, new: u64) -> ConsistencyProof {
    let plan = ConsistencyPlan::new(TreeSize(old), TreeSize(new)).unwrap();
    let nodes: Vec<Hash> = plan.nodes().map(|at| tree.node(at)).collect();
    plan.finish(&nodes)
}

/// An inclusion proof with what it is held against.
#[derive(Clone)]
struct Inclusion {
    proof: InclusionProof,
    leaf: Hash,
    root: Hash,
}

impl Inclusion {
    fn of(tree: &Tree, index: u64, size: u64) -> Self {
        let leaf = tree.0[usize::try_from(index).unwrap()];
        Self { proof: inclusion(tree, index, size), leaf, root: tree.root_at(TreeSize(size)) }
    }

    fn holds(&self) -> bool {
        self.proof.verify(&self.leaf, &self.root).is_ok()
    }

    fn shown(&self) -> Value {
        json!({
            "index": self.proof.index.0,
            "size": self.proof.size.0,
            "proof": hashes(&self.proof.hashes),
        })
    }
}

/// A consistency proof with what it is held against.
#[derive(Clone)]
struct Consistency {
    proof: ConsistencyProof,
    old_root: Hash,
    new_root: Hash,
}

impl Consistency {
    fn of(tree: &Tree, old: u64, new: u64) -> Self {
        let [old_root, new_root] = [old, new].map(|size| tree.root_at(TreeSize(size)));
        Self { proof: consistency(tree, old, new), old_root, new_root }
    }

    fn holds(&self) -> bool {
        self.proof.verify(&self.old_root, &self.new_root).is_ok()
    }

    fn shown(&self) -> Value {
        json!({
            "old": self.proof.old.0,
            "new": self.proof.new.0,
            "proof": hashes(&self.proof.hashes),
        })
    }
}

/// A case that fails, with all that it is held against: leaf and roots need not be those of the rule.
fn failing(mut case: Value, why: &str, held_against: [(&str, Hash); 2]) -> Value {
    case["why"] = json!(why);
    for (name, hash) in held_against {
        case[name] = json!(hash.to_string());
    }
    case
}

/// Each hash of a proof changed, one dropped, one more, two swapped.
fn spoiled(proof: &[Hash]) -> Vec<(String, Vec<Hash>)> {
    let mut cases = Vec::new();
    for at in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[at] = other(changed[at]);
        cases.push((format!("hash {at} is another"), changed));
    }
    if let [first, .., last] = proof {
        cases.push(("the first hash is gone".into(), proof[1..].to_vec()));
        cases.push(("the last hash is gone".into(), proof[..proof.len() - 1].to_vec()));
        let swapped = [&[*last], &proof[1..proof.len() - 1], &[*first]].concat();
        cases.push(("the first and the last hash are swapped".into(), swapped));
    }
    cases.push(("one hash more".into(), [proof, &[Hash::of_empty_tree()]].concat()));
    cases.push(("no hash".into(), Vec::new()));
    cases.retain(|(_, changed)| changed != proof);
    cases
}

fn bad_inclusions(tree: &Tree) -> Vec<Value> {
    let mut bad = Vec::new();
    let mut add = |why: &str, case: Inclusion| {
        assert!(!case.holds(), "{why}");
        bad.push(failing(case.shown(), why, [("leaf", case.leaf), ("root", case.root)]));
    };
    for (index, size) in [(0, 1), (0, 2), (3, 7), (6, 7), (7, 8), (64, 65), (500, 1000)] {
        let good = Inclusion::of(tree, index, size);
        for (why, hashes) in spoiled(&good.proof.hashes) {
            add(&why, Inclusion { proof: InclusionProof { hashes, ..good.proof.clone() }, ..good.clone() });
        }
        add("another leaf", Inclusion { leaf: other(good.leaf), ..good.clone() });
        add("another root", Inclusion { root: other(good.root), ..good.clone() });
        if size > 1 {
            let index = LeafIndex(if index == 0 { 1 } else { index - 1 });
            add("another index", Inclusion { proof: InclusionProof { index, ..good.proof.clone() }, ..good.clone() });
        }
        let index = LeafIndex(size);
        add("index not below the size", Inclusion { proof: InclusionProof { index, ..good.proof }, ..good });
    }
    let size = TreeSize(0);
    let proof = InclusionProof { index: LeafIndex(0), size, hashes: Vec::new() };
    add("a tree of size 0", Inclusion { proof, leaf: tree.0[0], root: Hash::of_empty_tree() });
    bad
}

fn bad_consistencies(tree: &Tree) -> Vec<Value> {
    let mut bad = Vec::new();
    let mut add = |why: &str, case: Consistency| {
        assert!(!case.holds(), "{why}");
        bad.push(failing(case.shown(), why, [("old_root", case.old_root), ("new_root", case.new_root)]));
    };
    let pairs = (1..=BAD_TO).flat_map(|new| (0..=new).map(move |old| (old, new)));
    for (old, new) in pairs {
        let good = Consistency::of(tree, old, new);
        // Any proof, even a wrong one, says nothing about the newer root of a tree that began empty.
        if old > 0 {
            add("another new root", Consistency { new_root: other(good.new_root), ..good.clone() });
        }
        add("another old root", Consistency { old_root: other(good.old_root), ..good });
    }
    for (old, new) in [(0, 5), (4, 4), (1, 2), (4, 8), (6, 8), (3, 7), (7, 13), (64, 65), (1000, 2000)] {
        let good = Consistency::of(tree, old, new);
        for (why, hashes) in spoiled(&good.proof.hashes) {
            add(&why, Consistency { proof: ConsistencyProof { hashes, ..good.proof.clone() }, ..good.clone() });
        }
    }
    let good = Consistency::of(tree, 6, 8);
    let proof = ConsistencyProof { old: TreeSize(8), new: TreeSize(6), hashes: good.proof.hashes.clone() };
    add("old above new", Consistency { proof, ..good.clone() });
    let proof = ConsistencyProof { old: TreeSize(5), ..good.proof.clone() };
    add("another old size", Consistency { proof, ..good.clone() });
    let proof = ConsistencyProof { new: TreeSize(9), ..good.proof.clone() };
    add("another new size", Consistency { proof, ..good });
    bad
}

#[test]
fn proofs_are_judged_as_in_the_vectors() {
    let tree = Tree::counting(LARGEST);
    let roots = (0..=ROOTS_TO)
        .chain(LARGER)
        .map(|size| json!({ "size": size, "root": tree.root_at(TreeSize(size)).to_string() }));
    let all = (1..=ALL_TO).flat_map(|size| (0..size).map(move |index| (index, size)));
    let selected = [(0, 257), (255, 257), (256, 257), (999, 1000), (512, 1025), (1999, 2000)];
    let inclusions = all.chain(selected).map(|(index, size)| {
        let case = Inclusion::of(&tree, index, size);
        assert!(case.holds(), "{index} of {size}");
        case.shown()
    });
    let all = (0..=ALL_TO).flat_map(|new| (0..=new).map(move |old| (old, new)));
    let selected = [(1, 257), (255, 257), (256, 257), (257, 2000), (1000, 2000), (1024, 1025), (1999, 2000)];
    let consistencies = all.chain(selected).map(|(old, new)| {
        let case = Consistency::of(&tree, old, new);
        assert!(case.holds(), "{old} to {new}");
        case.shown()
    });
    let vectors = json!({
        "leaf_rule": "leaf i is SHA-256(0x00 ‖ i as u64, little-endian)",
        "roots": roots.collect::<Vec<_>>(),
        "inclusion": good_and_bad(inclusions.collect(), bad_inclusions(&tree)),
        "consistency": good_and_bad(consistencies.collect(), bad_consistencies(&tree)),
    });
    check("merkle.json", &vectors);
}
