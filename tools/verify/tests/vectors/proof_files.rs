//! Files that hold a proof and a checkpoint.

use crate::sample::{ORIGIN, Tree, other, signer};
use crate::store::{check, good_and_bad, text_or_hex};
use counterfoil_proof::{
    ConsistencyFile, ConsistencyPlan, Hash, InclusionFile, InclusionPlan, LeafIndex, SignedCheckpoint, TreeSize,
    TrustPolicy,
};
use serde_json::{Value, json};

fn policy() -> TrustPolicy {
    TrustPolicy::single(signer().verifier().clone()).unwrap()
}

fn checkpoint(tree: &Tree) -> SignedCheckpoint {
    signer().sign(tree.size(), tree.root_at(tree.size()))
}

fn inclusion(size: u64, index: u64) -> (String, Hash) {
    let tree = Tree::counting(size);
    let plan = InclusionPlan::new(LeafIndex(index), tree.size()).unwrap();
    let nodes: Vec<Hash> = plan.nodes().map(|at| tree.node(at)).collect();
    let file = InclusionFile { proof: plan.finish(&nodes), checkpoint: checkpoint(&tree) };
    (file.to_string(), tree.0[usize::try_from(index).unwrap()])
}

fn consistency(old: u64, new: u64) -> String {
    let tree = Tree::counting(new);
    let plan = ConsistencyPlan::new(TreeSize(old), TreeSize(new)).unwrap();
    let nodes: Vec<Hash> = plan.nodes().map(|at| tree.node(at)).collect();
    let (checkpoint, old_root) = (checkpoint(&tree), tree.root_at(TreeSize(old)));
    ConsistencyFile { proof: plan.finish(&nodes), checkpoint, old_root }.to_string()
}

fn include(file: &[u8], leaf: &Hash) -> bool {
    InclusionFile::parse(file).is_ok_and(|file| file.verify(leaf, &policy()).is_ok())
}

fn consistent(file: &[u8]) -> bool {
    ConsistencyFile::parse(file).is_ok_and(|file| file.verify(&policy()).is_ok())
}

/// A file with one part replaced once.
fn change(file: &str, from: &str, to: &str) -> Vec<u8> {
    let changed = file.replacen(from, to, 1);
    assert_ne!(changed, file, "{from:?} is there");
    changed.into_bytes()
}

/// What both files have in common: hashes, the empty line, the checkpoint.
fn spoiled(file: &str, hash: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (proof, note) = file.split_once("\n\n").unwrap();
    vec![
        ("empty", Vec::new()),
        ("no checkpoint", format!("{proof}\n\n").into_bytes()),
        ("no empty line", change(file, "\n\n", "\n")),
        ("two empty lines", change(file, "\n\n", "\n\n\n")),
        ("carriage returns", file.replace('\n', "\r\n").into_bytes()),
        ("another first line", change(file, "v1\n", "v2\n")),
        ("a byte order mark", [b"\xef\xbb\xbf", file.as_bytes()].concat()),
        ("a hash without padding", change(file, hash, hash.trim_end_matches('='))),
        ("a hash with a space behind it", change(file, hash, &format!("{hash} "))),
        ("a hash of 33 bytes", change(file, hash, &format!("AAAA{}", &hash[..40]))),
        ("an empty line among the hashes", change(file, hash, &format!("{hash}\n"))),
        ("a hash too many", change(file, hash, &format!("{hash}\n{hash}"))),
        ("a hash too few", change(file, &format!("{hash}\n"), "")),
        ("65 hashes", change(file, hash, &vec![hash; 65].join("\n"))),
        ("a checkpoint of another size", change(file, "\n13\n", "\n12\n")),
        (
            "a checkpoint without its signature",
            format!("{proof}\n\n{}\n", note.split_once("\n\n").unwrap().0).into_bytes(),
        ),
        ("a checkpoint of another log", change(file, ORIGIN, "example.com/victors")),
        ("bytes behind the checkpoint", format!("{file}x").into_bytes()),
    ]
}

fn bad_inclusions() -> Vec<(&'static str, Vec<u8>, Hash)> {
    let (file, leaf) = inclusion(13, 6);
    let hash = file.lines().nth(2).unwrap().to_owned();
    let mut bad: Vec<_> = spoiled(&file, &hash).into_iter().map(|(why, file)| (why, file, leaf)).collect();
    bad.extend([
        ("an extra line", change(&file, "index", "extra AAAA\nindex"), leaf),
        ("another index", change(&file, "index 6", "index 5"), leaf),
        ("an index with a leading zero", change(&file, "index 6", "index 06"), leaf),
        ("an index of 2^64", change(&file, "index 6", "index 18446744073709551616"), leaf),
        ("an index not below the size", change(&file, "index 6", "index 13"), leaf),
        ("no index", change(&file, "index 6\n", ""), leaf),
        ("two spaces behind index", change(&file, "index 6", "index  6"), leaf),
        ("another leaf", file.clone().into_bytes(), other(leaf)),
    ]);
    bad
}

fn bad_consistencies() -> Vec<(&'static str, Vec<u8>)> {
    let file = consistency(6, 13);
    let hash = file.lines().nth(3).unwrap().to_owned();
    let root = file.lines().nth(2).unwrap().to_owned();
    let other_root = consistency(5, 13).lines().nth(2).unwrap().to_owned();
    let (size_0, size_13) = (consistency(0, 13), consistency(13, 13));
    let mut bad = spoiled(&file, &hash);
    bad.extend([
        ("another old size", change(&file, "old 6", "old 5")),
        ("an old size with a leading zero", change(&file, "old 6", "old 06")),
        ("an old size above the new one", change(&file, "old 6", "old 14")),
        ("another old root", change(&file, &root, &other_root)),
        ("no old root", change(&file, &format!("{root}\n"), "")),
        ("old and root swapped", change(&file, &format!("old 6\n{root}"), &format!("{root}\nold 6"))),
        ("size 0 with another root than that of no leaves", change(&size_0, "root 4", "root 5")),
        ("size 0 with a hash", change(&size_0, "\n\n", &format!("\n{hash}\n\n"))),
        ("equal sizes with a hash", change(&size_13, "\n\n", &format!("\n{hash}\n\n"))),
        ("equal sizes with another root", change(&size_13, "root ", "root A")),
    ]);
    bad
}

fn shown(why: &str, file: &[u8]) -> Value {
    let mut case = text_or_hex(file);
    case["why"] = json!(why);
    case
}

#[test]
fn proof_files_are_judged_as_in_the_vectors() {
    let good = [(1, 0), (2, 1), (13, 6), (13, 12), (256, 255), (257, 256)].map(|(size, index)| {
        let (file, leaf) = inclusion(size, index);
        assert!(include(file.as_bytes(), &leaf), "{index} of {size}");
        json!({ "text": file, "leaf": leaf.to_string() })
    });
    let bad = bad_inclusions().into_iter().map(|(why, file, leaf)| {
        assert!(!include(&file, &leaf), "{why}");
        let mut case = shown(why, &file);
        case["leaf"] = json!(leaf.to_string());
        case
    });
    let inclusions = good_and_bad(good.to_vec(), bad.collect());
    let good = [(0, 13), (1, 2), (6, 13), (8, 13), (13, 13), (255, 257)].map(|(old, new)| {
        let file = consistency(old, new);
        assert!(consistent(file.as_bytes()), "{old} to {new}");
        json!({ "text": file })
    });
    let bad = bad_consistencies().into_iter().map(|(why, file)| {
        assert!(!consistent(&file), "{why}");
        shown(why, &file)
    });
    let consistencies = good_and_bad(good.to_vec(), bad.collect());
    let vkey = signer().verifier().to_string();
    check("proof-files.json", &json!({ "vkey": vkey, "inclusion": inclusions, "consistency": consistencies }));
}
