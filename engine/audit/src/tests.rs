//! What the verifier says about ledgers that are whole, damaged or forged.

use crate::testing::{Draft, Ledger, Scratch, draft, scratch_of_sixteen, signer, sixteen, trust};
use crate::{Anchor, AuditError, Code, Options, Report, Severity, Trust, Verdicts, show_receipt, verify_ledger};
use counterfoil_proof::{ClassId, CommitmentAlgorithm, Hash, LeafIndex, Link, TreeSize, TrustPolicy};

const FIRST: &str = "segments/00000000000000000000.0.seg";

fn codes(report: &Report) -> Vec<Code> {
    report.failures().map(|finding| finding.code).collect()
}

fn open_segment(ledger: &Ledger) -> String {
    ledger.spots.last().unwrap().path.clone()
}

#[test]
fn a_whole_ledger_is_verified() {
    for algorithm in [CommitmentAlgorithm::Blake3, CommitmentAlgorithm::HmacSha256] {
        let mut scratch = Scratch::with_algorithm(algorithm);
        let ledger = scratch.frame(&[draft("a", "{}"), draft("b", "[]")]).seal().frame(&[draft("a", "1")]).finish();
        let report = ledger.verify();
        assert_eq!(report.findings, []);
        assert!(report.verified());
        assert_eq!(report.verdicts, Verdicts { present: 4, ..Verdicts::default() });
        assert_eq!(report.ledger_id, Some(ledger.ledger_id));
        assert_eq!(report.checkpoint.as_ref(), ledger.checkpoints.get(&4));
        assert_eq!((report.streams, report.control_receipts, report.segments), (3, 1, 2));
        assert_eq!(report.tail, crate::Tail::default());
    }
}

#[test]
fn the_sample_ledger_is_verified_with_every_signature() {
    let options = Options { all_signatures: true, ..Options::default() };
    let report = verify_ledger(&sixteen().memory, &trust(), &options).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.signatures.valid, report.signatures.frames);
    assert_eq!(report.signatures.frames, 7);
}
