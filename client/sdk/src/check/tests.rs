use super::*;
use bytes::Bytes;
use counterfoil_proof::{
    CheckpointSigner, CommitmentAlgorithm, Envelope, Frontier, Hash, InclusionProof, Kind, Media, Origin, Principal,
    Salt, StreamName,
};
use ed25519_dalek::SigningKey;

const SALT: Salt = Salt([9; 32]);
const PAYLOAD: &[u8] = b"{}";

fn signer(seed: u8) -> CheckpointSigner {
    CheckpointSigner::new(Origin::new("example.com/a").unwrap(), SigningKey::from_bytes(&[seed; 32]))
}

fn trust() -> TrustPolicy {
    TrustPolicy::single(signer(1).verifier().clone()).unwrap()
}

/// Receipt `index` of a ledger whose receipts from 1 on are all of stream `s`.
fn envelope(index: u64, prev: LeafHash) -> Envelope {
    Envelope {
        index: LeafIndex(index),
        time: Timestamp(5),
        prev,
        control_seq: StreamSeq(1),
        control_head: Hash([1; 32]),
        stream: StreamName::new("s").unwrap(),
        stream_seq: StreamSeq(index - 1),
        stream_prev: if index == 1 { Hash::ZERO } else { prev },
        kind: Kind::new("k/1").unwrap(),
        class: ClassId::FOREVER,
        writer: Principal::new("local").unwrap(),
        writer_signature: None,
        closes_stream: false,
        media: Media::Json,
        links: Vec::new(),
        subject: None,
        commitment: CommitmentAlgorithm::Blake3.commit(&SALT, PAYLOAD),
    }
}

fn wire(envelope: &Envelope) -> v1::Receipt {
    v1::Receipt {
        index: envelope.index.0,
        time: envelope.time.0,
        envelope: envelope.encode().into(),
        leaf_hash: envelope.leaf_hash().0.to_vec().into(),
        salt: Some(SALT.0.to_vec().into()),
        payload: Some(Bytes::from_static(PAYLOAD)),
        class: "forever".into(),
    }
}

/// Receipts 1 to `count`, each chained to the one before.
fn chain(count: u64) -> Vec<v1::Receipt> {
    let mut prev = Hash([7; 32]);
    let mut next = |index| {
        let envelope = envelope(index, prev);
        prev = envelope.leaf_hash();
        wire(&envelope)
    };
    (1..=count).map(&mut next).collect()
}

fn ledger_from(from: u64) -> Selection {
    Selection::Ledger { from: LeafIndex(from) }
}

fn read(receipts: Vec<v1::Receipt>, selection: &Selection) -> Result<Page, Error> {
    page(v1::ReadResponse { receipts, next_page_token: "t".into() }, selection, None, 10)
}

fn code<T>(result: Result<T, Error>) -> String {
    result.err().expect("a check fails").code().to_owned()
}

/// The answer to a batch of one: leaf 0 of a tree of one leaf.
fn answer(signer: &CheckpointSigner) -> v1::Appended {
    let leaf = Hash::of_envelope(b"x");
    let mut tree = Frontier::empty();
    tree.push(leaf, |_, _| ());
    let checkpoint = signer.sign(tree.size(), tree.root());
    let proof = InclusionProof { index: LeafIndex(0), size: tree.size(), hashes: Vec::new() };
    let proof = InclusionFile { proof, checkpoint: checkpoint.clone() }.to_string();
    let receipt = v1::AppendedReceipt { index: 0, leaf_hash: leaf.0.to_vec().into(), stream_seq: 0, proof };
    v1::Appended { receipts: vec![receipt], time: 5, checkpoint: checkpoint.to_string() }
}

const ONE: Asked = Asked { receipts: 1, with_proofs: true };

#[test]
fn a_true_receipt_is_accepted_and_an_erased_one_has_no_content() {
    let mut wire = chain(1).remove(0);
    assert_eq!(receipt(Some(wire.clone())).unwrap().content.unwrap().payload, PAYLOAD);
    (wire.salt, wire.payload) = (None, None);
    assert!(receipt(Some(wire)).unwrap().content.is_none());
}

#[test]
fn a_receipt_that_differs_from_its_envelope_is_refused() {
    let change = |change: fn(&mut v1::Receipt)| {
        let mut wire = chain(1).remove(0);
        change(&mut wire);
        code(receipt(Some(wire)))
    };
    assert_eq!(change(|wire| wire.index = 2), "LEAF_MISMATCH");
    assert_eq!(change(|wire| wire.time = 6), "LEAF_MISMATCH");
    assert_eq!(change(|wire| wire.class = "short".into()), "LEAF_MISMATCH");
    assert_eq!(change(|wire| wire.leaf_hash = vec![0; 32].into()), "LEAF_MISMATCH");
    assert_eq!(change(|wire| wire.payload = Some(Bytes::from_static(b"[]"))), "COMMITMENT_MISMATCH");
    assert_eq!(change(|wire| wire.salt = Some(vec![8; 32].into())), "COMMITMENT_MISMATCH");
    assert_eq!(change(|wire| wire.salt = None), "MALFORMED_ANSWER");
    assert_eq!(change(|wire| wire.envelope = wire.envelope.slice(1..)), "MALFORMED_ANSWER");
    assert_eq!(code(receipt(None)), "MALFORMED_ANSWER");
}

#[test]
fn a_page_without_gaps_is_accepted_and_so_is_the_next_one() {
    let mut receipts = chain(4);
    let rest = receipts.split_off(2);
    let first = read(receipts, &ledger_from(1)).unwrap();
    let next = v1::ReadResponse { receipts: rest, next_page_token: String::new() };
    let second = page(next, &ledger_from(1), first.next.as_ref(), 10).unwrap();
    assert_eq!(second.receipts[0].envelope.index, LeafIndex(3));
    assert!(second.next.is_none());
}

#[test]
fn gaps_forks_and_strangers_in_a_page_are_refused() {
    let mut gap = chain(3);
    gap.remove(1);
    assert_eq!(code(read(gap, &ledger_from(1))), "NOT_WHAT_WAS_ASKED");
    assert_eq!(code(read(chain(2), &ledger_from(2))), "NOT_WHAT_WAS_ASKED");
    let mut fork = chain(1);
    fork.push(wire(&envelope(2, Hash([8; 32]))));
    assert_eq!(code(read(fork, &ledger_from(1))), "BROKEN_CHAIN");
    let other = Selection::Stream { stream: StreamName::new("t").unwrap(), from: StreamSeq(0) };
    assert_eq!(code(read(chain(1), &other)), "NOT_WHAT_WAS_ASKED");
    assert_eq!(code(read(chain(11), &ledger_from(1))), "NOT_WHAT_WAS_ASKED");
}

#[test]
fn the_next_page_must_follow_the_last_receipt_of_this_one() {
    let first = read(chain(1), &ledger_from(1)).unwrap();
    let stranger =
        v1::ReadResponse { receipts: vec![wire(&envelope(2, Hash([8; 32])))], next_page_token: String::new() };
    assert_eq!(code(page(stranger, &ledger_from(1), first.next.as_ref(), 10)), "BROKEN_CHAIN");
}

#[test]
fn a_true_answer_to_a_batch_is_accepted() {
    let appended = appended(Some(answer(&signer(1))), ONE, &trust()).unwrap();
    assert_eq!(appended.receipts[0].index, LeafIndex(0));
    assert_eq!(appended.proofs.len(), 1);
}

#[test]
fn an_answer_signed_by_another_key_is_refused() {
    assert_eq!(code(appended(Some(answer(&signer(2))), ONE, &trust())), "UNTRUSTED_CHECKPOINT");
}

#[test]
fn answers_that_do_not_fit_the_batch_are_refused() {
    let change = |change: fn(&mut v1::Appended)| {
        let mut answer = answer(&signer(1));
        change(&mut answer);
        code(appended(Some(answer), ONE, &trust()))
    };
    assert_eq!(change(|answer| answer.receipts.clear()), "NOT_WHAT_WAS_ASKED");
    assert_eq!(change(|answer| answer.receipts[0].proof.clear()), "MALFORMED_ANSWER");
    assert_eq!(change(|answer| answer.receipts[0].leaf_hash = vec![0; 32].into()), "BAD_PROOF");
    assert_eq!(change(|answer| answer.receipts[0].index = 1), "BAD_PROOF");
    let mut twice = answer(&signer(1));
    twice.receipts.push(twice.receipts[0].clone());
    let two = Asked { receipts: 2, with_proofs: false };
    assert_eq!(code(appended(Some(twice), two, &trust())), "NOT_WHAT_WAS_ASKED");
}

#[test]
fn an_answer_beyond_its_checkpoint_is_refused() {
    let mut beyond = answer(&signer(1));
    beyond.receipts[0].index = 1;
    let without_proofs = Asked { with_proofs: false, ..ONE };
    assert_eq!(code(appended(Some(beyond), without_proofs, &trust())), "NOT_COVERED");
}

#[test]
fn a_proof_for_another_index_is_refused() {
    let answer = answer(&signer(1));
    let leaf = Hash::of_envelope(b"x");
    assert!(inclusion(&answer.receipts[0].proof, LeafIndex(0), &leaf, &trust()).is_ok());
    assert_eq!(code(inclusion(&answer.receipts[0].proof, LeafIndex(1), &leaf, &trust())), "BAD_PROOF");
    assert_eq!(code(inclusion(&answer.receipts[0].proof, LeafIndex(0), &Hash::ZERO, &trust())), "BAD_PROOF");
}

#[test]
fn a_server_whose_key_is_not_trusted_is_refused() {
    let stated = v1::GetLedgerResponse {
        ledger: "main".into(),
        ledger_id: vec![1; 32].into(),
        origin: "example.com/a".into(),
        vkey: signer(2).verifier().to_string(),
        commitment: "blake3".into(),
        limits: Some(v1::Limits::default()),
    };
    assert!(identity(stated.clone(), None).is_ok());
    assert_eq!(code(identity(stated.clone(), Some(&trust()))), "UNTRUSTED_CHECKPOINT");
    let renamed = v1::GetLedgerResponse { origin: "example.com/b".into(), ..stated };
    assert_eq!(code(identity(renamed, None)), "MALFORMED_ANSWER");
}
