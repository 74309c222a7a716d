//! What lies above the durable mark is told and fails nothing.

use super::*;
use crate::Trust;
use crate::testing::scratch_of_sixteen;
use counterfoil_proof::TreeSize;

/// Receipts 13 to 15 are above the mark.
fn marked_at_thirteen() -> Ledger {
    scratch_of_sixteen().finish_with_mark(TreeSize(8))
}

#[test]
fn frames_above_the_mark_are_reported_under_tail() {
    let report = marked_at_thirteen().verify();
    assert_eq!(report.findings, []);
    assert_eq!(report.verdicts, verdicts(13, 0, 0));
    assert_eq!((report.tail.receipts, report.tail.size), (3, Some(TreeSize(16))));
    assert_eq!(report.checkpoint.unwrap().unverified().size, TreeSize(13));
}

#[test]
fn a_torn_frame_above_the_mark_is_a_crash_and_no_failure() {
    let mut ledger = marked_at_thirteen();
    let at = ledger.spots[14].payload;
    ledger.flip(OPEN, at);
    let report = ledger.verify();
    assert!(report.verified());
    assert_eq!(report.verdicts, verdicts(11, 0, 0), "the mark that the torn frame states does not count");
    assert_eq!((report.tail.receipts, report.tail.size), (2, Some(TreeSize(13))));
    assert_eq!(report.tail.damaged_bytes, ledger.spots[14].frame_len);
    assert_eq!(report.tail.findings[0].code, Code::ReceiptCorrupt);
}

#[test]
fn bytes_behind_the_last_frame_are_told() {
    let mut ledger = sixteen();
    let len = ledger.file(OPEN).len();
    ledger.file(OPEN)[len - 10] = 1;
    let report = ledger.verify();
    assert!(report.verified());
    assert_eq!(report.tail.damaged_bytes, 4096 - 9);
}

#[test]
fn a_mark_raised_by_a_later_frame_turns_damage_into_a_failure() {
    let mut ledger = marked_at_thirteen();
    let at = ledger.spots[11].payload;
    ledger.flip(OPEN, at);
    let report = ledger.verify();
    assert_eq!(named(&report), [(Code::ReceiptCorrupt, 11)]);
    assert_eq!(report.verdicts, verdicts(12, 0, 1));
}

#[test]
fn a_checkpoint_seen_above_the_mark_is_compared_with_the_frames_there() {
    let ledger = marked_at_thirteen();
    let fits = Trust { seen: vec![ledger.checkpoints[&16].clone()], ..trust() };
    let report = ledger.verify_with(&fits);
    assert!(report.verified());
    assert_eq!(report.tail.findings[0].code, Code::SeenAboveMark);
    let forked =
        Trust { seen: vec![crate::testing::signer(7).sign(TreeSize(16), counterfoil_proof::Hash([1; 32]))], ..trust() };
    assert_eq!(failures(&ledger.verify_with(&forked)), [Code::SeenForked]);
}

#[test]
fn a_segment_that_waits_for_its_footer_is_no_failure() {
    let mut ledger = sixteen();
    let mut manifest = counterfoil_format::Manifest::decode(&ledger.memory.0["MANIFEST"]).unwrap();
    manifest.segments[0].state = counterfoil_format::SegmentState::Open;
    manifest.stream_indexes.clear();
    *ledger.file("MANIFEST") = manifest.encode();
    let found: Vec<_> = ledger.verify().findings.iter().map(|finding| finding.code).collect();
    assert_eq!(found, [Code::LeftoverFile], "its stream index was written, and MANIFEST does not name it yet");
    ledger.memory.0.remove(SEALED_STREAMS);
    assert_eq!(ledger.verify().findings, [], "sealed since the manifest was written");
    let (_, end) = frame_of(&ledger, 7);
    ledger.file(SEALED).truncate(end + 40);
    let report = ledger.verify();
    assert!(report.verified(), "half a footer is what a crash leaves");
    assert_eq!(report.findings[0].code, Code::BytesBehindFrames);
}
