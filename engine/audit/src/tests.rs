//! What the verifier says about ledgers that are whole, damaged or forged.

mod crossing;
mod damage;
mod derived;
mod every_byte;
mod exported;
mod files;
mod forgery;
mod live;
mod show;
mod tail;
mod trust;

use crate::testing::{Ledger, Scratch, draft, sixteen, trust};
use crate::{AuditError, Code, Directory, Options, Report, Severity, Verdicts, show_receipt, verify_ledger};
use core::num::NonZeroUsize;
use counterfoil_proof::{CommitmentAlgorithm, LeafIndex};

/// The sealed segment of [`sixteen`]: receipts 0 to 7.
const SEALED: &str = "segments/00000000000000000000.0.seg";
const SEALED_LEAVES: &str = "segments/00000000000000000000.0.leaves";
const SEALED_STREAMS: &str = "segments/00000000000000000000-00000000000000000008.streams";
/// Its open segment: receipts 8 to 15.
const OPEN: &str = "segments/00000000000000000008.0.seg";

fn failures(report: &Report) -> Vec<Code> {
    report.failures().map(|finding| finding.code).collect()
}

/// Failures with the receipts they name.
fn named(report: &Report) -> Vec<(Code, u64)> {
    report.failures().map(|finding| (finding.code, finding.index.unwrap().0)).collect()
}

fn verdicts(present: u64, missing: u64, corrupt: u64) -> Verdicts {
    Verdicts { present, missing, corrupt, ..Verdicts::default() }
}

/// Start of the frame that holds a receipt, and where the next one begins.
fn frame_of(ledger: &Ledger, index: usize) -> (usize, usize) {
    let spot = &ledger.spots[index];
    let start = usize::try_from(spot.frame).unwrap();
    (start, start + usize::try_from(spot.frame_len).unwrap().next_multiple_of(4096))
}

fn on_threads(ledger: &Ledger, threads: usize) -> Report {
    let options = Options { threads: NonZeroUsize::new(threads), all_signatures: threads == 0, ..Options::default() };
    verify_ledger(&ledger.memory, &trust(), &options).unwrap()
}

/// The report of one thread, after the others gave the same.
fn same_on_any(ledger: &Ledger) -> Report {
    let one = on_threads(ledger, 1);
    for threads in [2, 5] {
        assert_eq!(on_threads(ledger, threads), one, "{threads} threads");
    }
    one
}

#[test]
fn a_whole_ledger_is_verified() {
    for algorithm in [CommitmentAlgorithm::Blake3, CommitmentAlgorithm::HmacSha256] {
        let mut scratch = Scratch::with_algorithm(algorithm);
        let ledger = scratch.frame(&[draft("a", "{}"), draft("b", "[]")]).seal().frame(&[draft("a", "1")]).finish();
        let report = ledger.verify();
        assert_eq!(report.findings, []);
        assert!(report.verified());
        assert_eq!(report.verdicts, verdicts(4, 0, 0));
        assert_eq!(report.ledger_id, Some(ledger.ledger_id));
        assert_eq!(report.checkpoint.as_ref(), ledger.checkpoints.get(&4));
        assert_eq!((report.streams, report.control_receipts, report.segments), (3, 1, 2));
        assert_eq!(report.tail, crate::Tail::default());
    }
}

#[test]
fn every_signature_is_checked_on_request() {
    let some = sixteen().verify().signatures;
    assert_eq!((some.frames, some.valid, some.all), (7, 2, false));
    let options = Options { all_signatures: true, ..Options::default() };
    let report = verify_ledger(&sixteen().memory, &trust(), &options).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!((report.signatures.valid, report.signatures.all), (7, true));
}

#[test]
fn an_empty_open_segment_behind_a_sealed_one_is_fine() {
    let report = Scratch::new().frame(&[draft("a", "1")]).seal().finish().verify();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdicts, verdicts(2, 0, 0));
    assert_eq!(report.checkpoint.unwrap().unverified().size.0, 2);
}

#[test]
fn a_real_directory_gives_the_same_report() {
    let ledger = sixteen();
    let dir = tempfile::tempdir().unwrap();
    for (path, bytes) in &ledger.memory.0 {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test writes the fixture it reads")]
        std::fs::write(path, bytes).unwrap();
    }
    let report = verify_ledger(&Directory::new(dir.path()), &trust(), &Options::default()).unwrap();
    assert_eq!(report, ledger.verify());
}

#[test]
fn a_wrong_path_is_no_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let verify = |path: std::path::PathBuf| verify_ledger(&Directory::new(path), &trust(), &Options::default());
    assert!(matches!(verify(dir.path().to_owned()), Err(AuditError::NotALedger)));
    assert!(matches!(verify(dir.path().join("none")), Err(AuditError::NoDirectory)));
}

#[test]
fn one_receipt_is_shown_with_its_verdict() {
    let mut ledger = sixteen();
    let show = |ledger: &Ledger, index| show_receipt(&ledger.memory, &trust(), &Options::default(), LeafIndex(index));
    let answer = show(&ledger, 4).unwrap();
    assert!(answer.verified());
    let shown = answer.receipt.unwrap();
    assert_eq!((shown.leaf, shown.class.as_str(), shown.verdict.name()), (ledger.leaves[4], "forever", "present"));
    assert_eq!(shown.content.unwrap().1, b"{\"second\":22}");
    assert!(matches!(show(&ledger, 16), Err(AuditError::UnknownIndex { .. })));
    let at = ledger.spots[4].payload;
    ledger.flip(SEALED, at);
    let answer = show(&ledger, 4).unwrap();
    assert!(!answer.verified());
    assert_eq!(answer.receipt.map(|shown| (shown.verdict.name(), shown.content.is_none())), Some(("corrupt", true)));
}

#[test]
fn the_report_is_one_json_document() {
    let mut ledger = sixteen();
    ledger.memory.0.remove("ledger.vkey");
    let json: serde_json::Value = serde_json::from_str(&ledger.verify().to_json()).unwrap();
    assert_eq!(
        json["verdicts"],
        serde_json::json!({"present": 16, "erased": 0, "unlawful": 0, "missing": 0, "corrupt": 0})
    );
    assert_eq!(json["verified"], true);
    assert_eq!(json["findings"][0]["severity"], "note");
    assert_eq!(json["findings"][0]["code"], "vkey-file");
    assert_eq!(json["checkpoint"], ledger.checkpoints[&16].to_string());
    assert_eq!(json["tail"]["receipts"], 0);
    assert_eq!(json["trust"]["anchor"], "outside");
    assert_eq!(json["as_of"], "1970-01-01T00:00:00.000001070Z");
}

#[test]
fn derived_files_are_notes_and_fail_nothing() {
    let mut damaged = sixteen();
    damaged.flip(SEALED_LEAVES, 40);
    let mut missing = sixteen();
    missing.memory.0.remove(SEALED_LEAVES);
    for ledger in [damaged, missing] {
        let report = ledger.verify();
        assert!(report.verified());
        let found: Vec<_> = report.findings.iter().map(|finding| (finding.severity, finding.code)).collect();
        assert_eq!(found, [(Severity::Note, Code::LeafFile)]);
    }
}
