//! Keys, pins and checkpoints from outside.

use super::*;
use crate::testing::{ORIGIN, signer};
use crate::{Anchor, Trust};
use counterfoil_proof::{Hash, TreeSize, TrustPolicy};

#[test]
fn a_key_of_someone_else_is_not_genesis_key() {
    let other = Trust::new(Anchor::Policy(TrustPolicy::single(signer(9).verifier().clone()).unwrap()));
    let report = sixteen().verify_with(&other);
    assert_eq!(failures(&report), [Code::KeyMismatch]);
    assert_eq!(report.verdicts, verdicts(16, 0, 0));
}

#[test]
fn damage_is_still_located_under_a_wrong_key() {
    let other = Trust::new(Anchor::Policy(TrustPolicy::single(signer(9).verifier().clone()).unwrap()));
    let mut ledger = sixteen();
    let at = ledger.spots[9].payload;
    ledger.flip(OPEN, at);
    assert_eq!(failures(&ledger.verify_with(&other)), [Code::KeyMismatch, Code::ReceiptCorrupt]);
}

#[test]
fn self_asserted_trust_says_so() {
    let report = sixteen().verify_with(&Trust::new(Anchor::SelfAsserted));
    assert!(report.verified());
    assert_eq!(report.trust.anchor, "self-asserted");
    assert!(report.remarks.iter().any(|remark| remark.contains("--self-asserted")));
}

#[test]
fn self_asserted_trust_checks_the_signature_under_genesis_itself() {
    let alone = Scratch::new().finish();
    let report = alone.verify_with(&Trust::new(Anchor::SelfAsserted));
    assert_eq!(report.findings, []);
    assert_eq!(report.checkpoint.as_ref(), alone.checkpoints.get(&1));
    let unsigned = Scratch::signed_with(8).finish();
    assert_eq!(failures(&unsigned.verify_with(&Trust::new(Anchor::SelfAsserted))), [Code::Signature]);
}

#[test]
fn self_asserted_trust_needs_a_readable_genesis() {
    let mut ledger = sixteen();
    let at = ledger.spots[0].payload;
    ledger.flip(SEALED, at + 1);
    let report = ledger.verify_with(&Trust::new(Anchor::SelfAsserted));
    assert_eq!(failures(&report), [Code::ReceiptCorrupt, Code::NoKey]);
    assert_eq!(report.checkpoint, None);
}

#[test]
fn a_pin_on_another_genesis_fails() {
    let ledger = sixteen();
    let pinned = |genesis| Trust { genesis: Some(genesis), ..trust() };
    assert!(ledger.verify_with(&pinned(ledger.ledger_id)).trust.genesis_pinned);
    assert_eq!(failures(&ledger.verify_with(&pinned(Hash([1; 32])))), [Code::GenesisMismatch]);
}

fn seen(size: u64, root: Hash) -> Trust {
    Trust { seen: vec![signer(7).sign(TreeSize(size), root)], ..trust() }
}

#[test]
fn a_checkpoint_seen_earlier_that_is_a_prefix_fits() {
    let ledger = sixteen();
    for (size, root) in &ledger.roots {
        let report = ledger.verify_with(&seen(*size, *root));
        assert_eq!(failures(&report), []);
        assert_eq!(report.trust.seen, [TreeSize(*size)]);
        assert!(!report.remarks.iter().any(|remark| remark.contains("--seen")));
    }
    assert!(ledger.verify().remarks.iter().any(|remark| remark.contains("--seen")));
}

#[test]
fn a_ledger_shorter_than_a_checkpoint_seen_earlier_fails_with_both_notes() {
    let ledger = sixteen();
    let report = ledger.verify_with(&seen(17, Hash([3; 32])));
    assert_eq!(failures(&report), [Code::SeenLonger]);
    let finding = report.failures().next().unwrap();
    assert!(finding.expected.as_ref().unwrap().starts_with(&format!("{ORIGIN}\n17\n")));
    assert_eq!(finding.found.as_ref().unwrap(), &ledger.checkpoints[&16].to_string());
}

#[test]
fn a_ledger_with_another_root_at_a_size_seen_earlier_has_forked() {
    let report = sixteen().verify_with(&seen(8, Hash([3; 32])));
    assert_eq!(failures(&report), [Code::SeenForked]);
}

#[test]
fn a_checkpoint_that_nobody_trusted_signed_is_no_evidence() {
    let ledger = sixteen();
    let trust = Trust { seen: vec![signer(9).sign(TreeSize(8), ledger.roots[&8])], ..trust() };
    assert_eq!(failures(&ledger.verify_with(&trust)), [Code::SeenUntrusted]);
}

#[test]
fn a_policy_with_witnesses_needs_a_cosigned_checkpoint() {
    let key = ed25519_dalek::SigningKey::from_bytes(&[3; 32]).verifying_key();
    let name = counterfoil_proof::Origin::new("w").unwrap();
    let witness = counterfoil_proof::VerifierKey::new(name, counterfoil_proof::SignatureType::CosignatureV1, key);
    let policy = format!("log {}\nwitness w {witness}\nquorum w\n", signer(7).verifier());
    let anchor = Anchor::Policy(TrustPolicy::parse(policy.as_bytes()).unwrap());
    let ledger = sixteen();
    let found = verify_ledger(&ledger.memory, &Trust::new(anchor.clone()), &Options::default());
    assert!(matches!(found, Err(AuditError::NotPossible { .. })));
    let trust = Trust { seen: vec![ledger.checkpoints[&8].clone()], ..Trust::new(anchor) };
    assert_eq!(failures(&ledger.verify_with(&trust)), [Code::SeenUntrusted]);
}
