use super::*;
use crate::{
    CheckpointSigner, ClassId, CommitmentAlgorithm, ConsistencyPlan, Frontier, InclusionPlan, Kind, LeafIndex, Link,
    Media, NodeCoordinate, NodeHash, Origin, Principal, Salt, SignatureType, StreamName, StreamSeq, Subject, Timestamp,
    WriterSignature,
};
use ed25519_dalek::{Signature, SigningKey, Verifier as _, VerifyingKey};
use proptest::prelude::*;
use std::collections::HashMap;

fn signer() -> CheckpointSigner {
    CheckpointSigner::new(Origin::new("example.com/log").unwrap(), SigningKey::from_bytes(&[7; 32]))
}

fn witness() -> VerifierKey {
    let key = SigningKey::from_bytes(&[8; 32]).verifying_key();
    VerifierKey::new(Origin::new("example.com/witness").unwrap(), SignatureType::CosignatureV1, key)
}

/// A tree of some size with all its nodes.
fn tree(size: u8) -> (Frontier, HashMap<NodeCoordinate, NodeHash>) {
    let mut nodes = HashMap::new();
    let mut tree = Frontier::empty();
    for n in 0..size {
        tree.push(Hash::of_envelope(&[n]), |at, node| {
            nodes.insert(at, node);
        });
    }
    (tree, nodes)
}

fn genesis() -> Envelope {
    Envelope {
        index: LeafIndex(0),
        time: Timestamp(1),
        prev: Hash::ZERO,
        control_seq: StreamSeq(0),
        control_head: Hash::ZERO,
        stream: StreamName::control(),
        stream_seq: StreamSeq(0),
        stream_prev: Hash::ZERO,
        kind: Kind::new("ledger.genesis/1").unwrap(),
        class: ClassId::FOREVER,
        writer: Principal::new("ledger").unwrap(),
        writer_signature: None,
        closes_stream: false,
        media: Media::Json,
        links: Vec::new(),
        subject: None,
        commitment: CommitmentAlgorithm::Blake3.commit(&Salt([1; 32]), b"{}"),
    }
}

fn ordinary() -> Envelope {
    let key_id = signer().verifier().id();
    Envelope {
        index: LeafIndex(9),
        prev: Hash([1; 32]),
        control_seq: StreamSeq(3),
        control_head: Hash([2; 32]),
        stream: StreamName::new("incident/INC-é").unwrap(),
        stream_seq: StreamSeq(4),
        stream_prev: Hash([3; 32]),
        kind: Kind::new("decision.refused/1").unwrap(),
        writer_signature: Some(WriterSignature { key_id, bytes: [5; 64] }),
        closes_stream: true,
        links: vec![Link { index: LeafIndex(2), leaf: Hash([6; 32]) }; 2],
        subject: Some(Subject([7; 16])),
        ..genesis()
    }
}

fn inclusion_file(index: u8, size: u8) -> Vec<u8> {
    let (tree, nodes) = tree(size);
    let plan = InclusionPlan::new(LeafIndex(index.into()), tree.size()).unwrap();
    let fetched: Vec<_> = plan.nodes().map(|at| nodes[&at]).collect();
    let checkpoint = signer().sign(tree.size(), tree.root());
    text(&InclusionFile { proof: plan.finish(&fetched), checkpoint })
}

fn consistency_file(old: u8, new: u8) -> Vec<u8> {
    let (tree_of_new, nodes) = tree(new);
    let plan = ConsistencyPlan::new(TreeSize(old.into()), tree_of_new.size()).unwrap();
    let fetched: Vec<_> = plan.nodes().map(|at| nodes[&at]).collect();
    let checkpoint = signer().sign(tree_of_new.size(), tree_of_new.root());
    text(&ConsistencyFile { proof: plan.finish(&fetched), checkpoint, old_root: tree(old).0.root() })
}

type Body = fn(&[u8]) -> bool;

/// Each body with bytes that it accepts.
fn targets() -> [(Body, Vec<Vec<u8>>); 7] {
    let checkpoints = || [0, 1, 300].map(|size| text(&signer().sign(TreeSize(size), Hash::of_empty_tree()))).to_vec();
    let notes = [checkpoints(), vec!["\n\n\n\u{2014} a AAAAAA==\n".into(), "é\n\n\u{2014} a AAAAAAE=\n".into()]];
    let policies = vec![
        b"quorum none".to_vec(),
        format!("# ours\nlog {}\n\nquorum none\n", signer().verifier()).into_bytes(),
        format!("log {}\nwitness W\t{}\ngroup G all W\nquorum G\n", signer().verifier(), witness()).into_bytes(),
    ];
    [
        (envelope, vec![genesis().encode(), ordinary().encode()]),
        (note, notes.concat()),
        (checkpoint, checkpoints()),
        (policy, policies),
        (vkey, vec![text(signer().verifier()), text(&witness())]),
        (tlog_proof, [(0, 1), (2, 5), (4, 5), (77, 200)].map(|(index, size)| inclusion_file(index, size)).to_vec()),
        (consistency, [(0, 3), (3, 3), (4, 7), (6, 200)].map(|(old, new)| consistency_file(old, new)).to_vec()),
    ]
}

/// One change to a file: some bytes at a place give way to others.
#[derive(Clone, Debug)]
struct Edit {
    at: prop::sample::Index,
    removed: usize,
    put: Vec<u8>,
}

fn edit() -> impl Strategy<Value = Edit> {
    // Characters that mean something in notes, and bytes that mean something in envelopes.
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\n\n +=/0129A\xe2\x80\x94\x00\x01\xff".to_vec())];
    (any::<prop::sample::Index>(), 0..4usize, prop::collection::vec(byte, 0..4)).prop_map(|(at, removed, put)| Edit {
        at,
        removed,
        put,
    })
}

fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for Edit { at, removed, put } in edits {
        let at = at.index(bytes.len() + 1);
        let end = (at + removed).min(bytes.len());
        bytes.splice(at..end, put.iter().copied());
    }
    bytes
}

#[test]
fn every_body_accepts_its_seeds() {
    for (at, (body, seeds)) in targets().into_iter().enumerate() {
        for seed in seeds {
            assert!(body(&seed), "target {at}: {}", String::from_utf8_lossy(&seed));
        }
    }
}

#[test]
fn every_body_survives_a_cut_at_any_place() {
    for (body, seeds) in targets() {
        for seed in seeds {
            for end in 0..seed.len() {
                body(&seed[..end]);
            }
        }
    }
}

#[test]
fn one_changed_bit_of_any_seed_breaks_no_promise() {
    for (body, seeds) in targets() {
        for seed in seeds {
            for bit in 0..seed.len() * 8 {
                let mut bytes = seed.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                body(&bytes);
            }
        }
    }
}

proptest! {
    #[test]
    fn edited_seeds_break_no_promise(edits in prop::collection::vec(edit(), 1..5)) {
        for (body, seeds) in targets() {
            for seed in seeds {
                body(&edited(&seed, &edits));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_break_no_promise(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        for (body, _) in targets() {
            body(&bytes);
        }
    }
}

#[test]
#[should_panic(expected = "accepted bytes are not the ones")]
fn a_decoder_that_takes_two_forms_of_one_value_is_caught() {
    let lax = |bytes: &[u8]| core::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    same_bytes(b"+7", lax(b"+7"), text);
}

#[test]
fn a_key_of_small_order_lets_nobody_sign_without_a_secret() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = VerifyingKey::from_bytes(&identity).unwrap();
    let key = VerifierKey::new(Origin::new("example.com/log").unwrap(), SignatureType::Ed25519, weak);
    let forged = forged(&key);
    let signature: [u8; 64] = forged.note().signatures()[0].bytes.as_slice().try_into().unwrap();
    assert!(weak.verify(forged.note().text().as_bytes(), &Signature::from_bytes(&signature)).is_ok(), "not a forgery");
    assert!(policy(format!("log {key}\nquorum none\n").as_bytes()));
}
