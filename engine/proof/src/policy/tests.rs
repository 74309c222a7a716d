use super::*;
use crate::hash::{Hash, TreeSize};
use crate::{CheckpointSigner, NoteSignature};
use ed25519_dalek::{Signer as _, SigningKey};

fn name(text: &str) -> Origin {
    Origin::new(text).unwrap()
}

fn log() -> CheckpointSigner {
    CheckpointSigner::new(name("example.com/log"), SigningKey::from_bytes(&[1; 32]))
}

fn witness_key(n: u8) -> (VerifierKey, SigningKey) {
    let key = SigningKey::from_bytes(&[n; 32]);
    (VerifierKey::new(name(&format!("w{n}")), SignatureType::CosignatureV1, key.verifying_key()), key)
}

fn signed() -> SignedCheckpoint {
    log().sign(TreeSize(9), Hash([4; 32]))
}

fn cosigned(witnesses: &[u8]) -> SignedCheckpoint {
    let signed = signed();
    let mut signatures = signed.note().signatures().to_vec();
    for n in witnesses {
        let (verifier, key) = witness_key(*n);
        let message = format!("cosignature/v1\ntime 1700000000\n{}", signed.note().text());
        let mut bytes = 1_700_000_000u64.to_be_bytes().to_vec();
        bytes.extend(key.sign(message.as_bytes()).to_bytes());
        signatures.push(NoteSignature { name: verifier.name().clone(), key_id: verifier.id(), bytes });
    }
    SignedCheckpoint::new(signed.unverified().clone(), signatures).unwrap()
}

fn policy(quorum: &str) -> TrustPolicy {
    let witnesses: String = (2..5).map(|n| format!("witness W{n} {}\n", witness_key(n).0)).collect();
    let text =
        format!("# ours\nlog {}\n{witnesses}group G 2 W2 W3\ngroup A\tany G W4\nquorum {quorum}\n", log().verifier());
    TrustPolicy::parse(text.as_bytes()).unwrap()
}

#[test]
fn a_single_trusted_key_verifies_its_checkpoint() {
    let policy = TrustPolicy::single(log().verifier().clone()).unwrap();
    assert_eq!(signed().verify(&policy).unwrap().checkpoint().size, TreeSize(9));
}

#[test]
fn without_witnesses_only_the_log_keys_are_asked_for() {
    assert!(policy("A").asks_for_witnesses());
    assert!(!policy("none").asks_for_witnesses());
    let logs = policy("A").without_witnesses();
    assert!(!logs.asks_for_witnesses());
    assert!(signed().verify(&logs).is_ok());
}

#[test]
fn another_key_of_the_same_name_is_not_trusted() {
    let other = CheckpointSigner::new(name("example.com/log"), SigningKey::from_bytes(&[9; 32]));
    let policy = TrustPolicy::single(other.verifier().clone()).unwrap();
    assert!(matches!(signed().verify(&policy), Err(PolicyError::NoTrustedSignature { .. })));
}

#[test]
fn a_known_key_with_a_wrong_signature_rejects_the_note() {
    let good = signed();
    let mut signature = good.note().signatures()[0].clone();
    signature.bytes[5] ^= 1;
    let bad = SignedCheckpoint::new(good.unverified().clone(), vec![signature, good.note().signatures()[0].clone()]);
    let policy = TrustPolicy::single(log().verifier().clone()).unwrap();
    assert_eq!(bad.unwrap().verify(&policy), Err(PolicyError::BadSignature { key: name("example.com/log") }));
}

#[test]
fn quorums_count_groups() {
    assert!(signed().verify(&policy("none")).is_ok());
    assert!(matches!(signed().verify(&policy("W2")), Err(PolicyError::Quorum { .. })));
    assert!(cosigned(&[2]).verify(&policy("W2")).is_ok());
    assert!(matches!(cosigned(&[2]).verify(&policy("G")), Err(PolicyError::Quorum { .. })));
    assert!(cosigned(&[2, 3]).verify(&policy("G")).is_ok());
    assert_eq!(cosigned(&[4]).verify(&policy("A")).unwrap().witnesses(), [name("w4")]);
}

#[test]
fn malformed_policies_name_the_line() {
    let key = log().verifier().to_string();
    let (witness, _) = witness_key(2);
    for (text, line, problem) in [
        (format!("log {key}\nlog {key}\nquorum none\n"), 2, LineProblem::Duplicate),
        (format!("log {witness}\nquorum none\n"), 1, LineProblem::Key(NoteError::Key { part: "signature type" })),
        ("quorum W\n".into(), 1, LineProblem::UnknownName),
        ("quorum none\nquorum none\n".into(), 2, LineProblem::Duplicate),
        (format!("witness none {witness}\nquorum none\n"), 1, LineProblem::Duplicate),
        (format!("witness W {witness}\ngroup G 2 W\nquorum G\n"), 2, LineProblem::Threshold),
        (format!("witness W {witness}\ngroup G all W\ngroup H all W\nquorum H\n"), 3, LineProblem::Duplicate),
        ("logs x\nquorum none\n".into(), 1, LineProblem::Keyword),
        ("\u{1}\n".into(), 1, LineProblem::Byte),
    ] {
        assert_eq!(TrustPolicy::parse(text.as_bytes()).unwrap_err(), PolicyError::Line { line, problem }, "{text}");
    }
    assert_eq!(TrustPolicy::parse(format!("log {key}\n").as_bytes()).unwrap_err(), PolicyError::NoQuorum);
}
