//! Flipped bits, cut-out frames and lost files.

use super::*;
use counterfoil_format::{Manifest, SegmentState};

#[test]
fn a_flipped_payload_byte_names_its_receipt_and_no_other() {
    for (path, index) in [(SEALED, 4), (OPEN, 9), (OPEN, 15)] {
        let mut ledger = sixteen();
        let spot = ledger.spots[index].clone();
        ledger.flip(path, spot.payload + 1);
        let report = ledger.verify();
        assert_eq!(named(&report), [(Code::ReceiptCorrupt, index as u64)]);
        let finding = report.failures().next().unwrap();
        assert_eq!(finding.segment.as_deref(), path.strip_prefix("segments/"));
        assert_eq!(finding.offset.unwrap().0, spot.payload);
        assert!(finding.stream.is_some() && finding.kind.is_some() && finding.expected != finding.found);
        assert_eq!(report.verdicts, verdicts(15, 0, 1));
    }
}

#[test]
fn damage_in_two_segments_is_found_in_both() {
    let mut ledger = sixteen();
    let (first, second) = (ledger.spots[3].payload, ledger.spots[12].payload);
    ledger.flip(SEALED, first).flip(OPEN, second);
    let report = ledger.verify();
    assert_eq!(named(&report), [(Code::ReceiptCorrupt, 3), (Code::ReceiptCorrupt, 12)]);
    assert_eq!(report.verdicts, verdicts(14, 0, 2));
}

/// Offset of the commitment of the first receipt in the frame of `index`: it stands in the heads, which a fixed number
/// of table, payload and commit bytes follow.
fn commitment_at(ledger: &Ledger, index: usize) -> u64 {
    let spot = &ledger.spots[index];
    let bytes = &ledger.memory.0[&spot.path];
    let envelope =
        show_receipt(&ledger.memory, &trust(), &Options::default(), LeafIndex(index as u64)).unwrap().receipt.unwrap();
    let digest = envelope.envelope.commitment.digest.0;
    let start = usize::try_from(spot.frame).unwrap();
    let found = bytes[start..].windows(32).position(|window| window == digest).unwrap();
    spot.frame + found as u64
}

#[test]
fn a_flipped_envelope_byte_names_its_receipt_where_a_leaf_file_helps() {
    let mut ledger = sixteen();
    let at = commitment_at(&ledger, 4);
    ledger.flip(SEALED, at);
    let report = ledger.verify();
    assert_eq!(named(&report), [(Code::ReceiptCorrupt, 4)]);
    assert_eq!(report.verdicts, verdicts(15, 0, 1));
}

#[test]
fn a_flipped_envelope_byte_names_its_frame_where_no_leaf_file_helps() {
    let mut ledger = sixteen();
    let at = commitment_at(&ledger, 9);
    ledger.flip(OPEN, at);
    let report = ledger.verify();
    assert_eq!(named(&report), [(Code::RangeCorrupt, 8)]);
    assert_eq!(report.failures().next().unwrap().count, Some(3));
    assert_eq!(report.verdicts, verdicts(13, 0, 3));
    assert_eq!(report.checkpoint.as_ref(), ledger.checkpoints.get(&16), "later frames are still read");
}

#[test]
fn a_frame_whose_header_is_gone_is_corrupt_and_the_rest_is_read() {
    for (path, index, present) in [(SEALED, 3, 13), (OPEN, 11, 14)] {
        let mut ledger = sixteen();
        let (start, _) = frame_of(&ledger, index);
        ledger.file(path)[start..start + 100].fill(0xff);
        let report = ledger.verify();
        assert_eq!(named(&report), [(Code::RangeCorrupt, index as u64)]);
        assert_eq!(report.verdicts, verdicts(present, 0, 16 - present));
    }
}

#[test]
fn a_frame_that_was_cut_out_is_missing() {
    for (path, index) in [(SEALED, 3), (OPEN, 11)] {
        let mut ledger = sixteen();
        let (start, end) = frame_of(&ledger, index);
        let count = ledger.spots.iter().filter(|spot| spot.path == path && spot.frame == start as u64).count() as u64;
        ledger.file(path).drain(start..end);
        let report = ledger.verify();
        assert!(named_missing(&report, index as u64), "{:?}", report.findings);
        assert_eq!(report.verdicts, verdicts(16 - count, count, 0));
    }
}

fn named_missing(report: &Report, index: u64) -> bool {
    report.failures().any(|one| one.code == Code::ReceiptsMissing && one.index.unwrap().0 == index)
}

#[test]
fn a_frame_that_became_zeros_is_corrupt() {
    let mut ledger = sixteen();
    let (start, end) = frame_of(&ledger, 3);
    ledger.file(SEALED)[start..end].fill(0);
    let report = ledger.verify();
    assert_eq!(report.verdicts, verdicts(13, 0, 3));
    assert_eq!(report.failures().next().unwrap().index, Some(LeafIndex(3)));
}

#[test]
fn a_deleted_segment_is_missing_and_the_others_are_read() {
    for (path, missing) in [(SEALED, 8), (OPEN, 8)] {
        let mut ledger = sixteen();
        ledger.memory.0.remove(path);
        let report = ledger.verify();
        assert_eq!(failures(&report)[0], Code::SegmentMissing);
        assert_eq!(report.verdicts, verdicts(16 - missing, missing, 0));
    }
}

#[test]
fn swapped_segments_are_noticed() {
    let mut ledger = sixteen();
    let (sealed, open) = (ledger.memory.0[SEALED].clone(), ledger.memory.0[OPEN].clone());
    *ledger.file(SEALED) = open;
    *ledger.file(OPEN) = sealed;
    let report = ledger.verify();
    assert!(failures(&report).contains(&Code::SegmentHeaderMismatch));
    assert_eq!(report.verdicts, verdicts(0, 16, 0));
}

#[test]
fn a_truncated_sealed_segment_loses_its_last_receipts() {
    let mut ledger = sixteen();
    let (start, _) = frame_of(&ledger, 6);
    ledger.file(SEALED).truncate(start);
    let report = ledger.verify();
    assert_eq!(failures(&report), [Code::SegmentFooter, Code::SegmentLength, Code::ReceiptsMissing]);
    assert_eq!(report.verdicts, verdicts(14, 2, 0));
}

#[test]
fn an_older_copy_of_the_last_segment_below_the_mark_is_noticed() {
    let mut ledger = sixteen();
    let (start, end) = frame_of(&ledger, 13);
    ledger.file(OPEN)[start..end].fill(0);
    let report = ledger.verify();
    assert_eq!(named(&report), [(Code::ReceiptsMissing, 13)]);
    let finding = report.failures().next().unwrap();
    assert_eq!((finding.offset.unwrap().0, finding.count), (start as u64, Some(3)));
    assert_eq!(report.verdicts, verdicts(13, 3, 0));
}

#[test]
fn a_payload_removed_without_a_tombstone_is_missing() {
    let mut scratch = Scratch::new();
    let gone = crate::testing::Draft { erased: true, ..draft("a", "{}") };
    let report = scratch.frame(&[draft("a", "1"), gone]).finish().verify();
    assert_eq!(named(&report), [(Code::PayloadMissing, 2)]);
    assert_eq!(report.verdicts, verdicts(2, 1, 0));
}

#[test]
fn without_head_the_ledger_fails_and_is_still_read_to_its_end() {
    let mut ledger = sixteen();
    ledger.memory.0.remove("HEAD");
    let report = ledger.verify();
    assert_eq!(failures(&report), [Code::Head]);
    assert_eq!(report.verdicts, verdicts(16, 0, 0));
}

#[test]
fn without_a_manifest_the_ledger_fails_and_is_still_read() {
    let mut ledger = sixteen();
    ledger.memory.0.remove("MANIFEST");
    let report = ledger.verify();
    assert_eq!(failures(&report), [Code::Manifest]);
    assert_eq!(report.verdicts, verdicts(16, 0, 0));
}

#[test]
fn a_digest_that_manifest_does_not_have_is_noticed() {
    let mut ledger = sixteen();
    let mut manifest = Manifest::decode(&ledger.memory.0["MANIFEST"]).unwrap();
    if let SegmentState::Sealed { file_digest, .. } = &mut manifest.segments[0].state {
        file_digest.0[0] ^= 1;
    }
    *ledger.file("MANIFEST") = manifest.encode();
    assert_eq!(failures(&ledger.verify()), [Code::SegmentDigest]);
}

#[test]
fn a_segment_that_manifest_does_not_name_fails_unless_it_holds_no_frame() {
    let mut ledger = sixteen();
    let header = ledger.memory.0[OPEN][..4096].to_vec();
    ledger.memory.0.insert("segments/00000000000000000016.0.seg".into(), header);
    let report = ledger.verify();
    assert!(report.verified());
    assert_eq!(report.findings[0].code, Code::LeftoverFile);
    let whole = ledger.memory.0[OPEN].clone();
    ledger.memory.0.insert("segments/00000000000000000016.0.seg".into(), whole);
    assert_eq!(failures(&ledger.verify()), [Code::SegmentUnlisted]);
}

#[test]
fn an_older_manifest_leaves_receipts_missing() {
    let mut ledger = sixteen();
    let mut manifest = Manifest::decode(&ledger.memory.0["MANIFEST"]).unwrap();
    manifest.segments.pop();
    manifest.segments[0].state = SegmentState::Open;
    manifest.stream_indexes.clear();
    *ledger.file("MANIFEST") = manifest.encode();
    let report = ledger.verify();
    assert_eq!(failures(&report), [Code::ReceiptsMissing, Code::SegmentUnlisted]);
    assert_eq!(report.verdicts, verdicts(8, 8, 0));
}

#[test]
fn a_mark_that_no_ledger_reaches_costs_no_memory() {
    let mut ledger = sixteen();
    let slot = |size| counterfoil_format::HeadSlot {
        counter: 6,
        size: counterfoil_proof::TreeSize(size),
        segment: counterfoil_format::SegmentId(LeafIndex(8)),
        offset: counterfoil_format::ByteOffset(8192),
        root: ledger.ledger_id,
    };
    let (large, impossible) = (slot(1 << 55).encode(), slot(u64::MAX).encode());
    ledger.file("HEAD")[..4096].copy_from_slice(&large);
    let report = ledger.verify();
    assert_eq!(failures(&report), [Code::ReceiptsMissing]);
    assert_eq!(report.verdicts, verdicts(16, (1 << 55) - 16, 0));
    ledger.file("HEAD")[..4096].copy_from_slice(&impossible);
    let report = ledger.verify();
    assert_eq!(report.findings[0].code, Code::HeadSlot);
    assert_eq!(report.verdicts, verdicts(16, 0, 0));
}

#[test]
fn a_manifest_with_sizes_that_no_ledger_reaches_is_refused() {
    let mut ledger = sixteen();
    let mut manifest = Manifest::decode(&ledger.memory.0["MANIFEST"]).unwrap();
    if let SegmentState::Sealed { end, .. } = &mut manifest.segments[0].state {
        end.0 = 1 << 60;
    }
    manifest.segments[1].id.0.0 = 1 << 60;
    *ledger.file("MANIFEST") = manifest.encode();
    let report = ledger.verify();
    assert_eq!(failures(&report), [Code::Manifest]);
    assert_eq!(report.verdicts, verdicts(16, 0, 0));
}

#[test]
fn a_head_that_states_another_root_or_place_is_noticed() {
    let ledger = sixteen();
    let good = counterfoil_format::newest_slot(&ledger.memory.0["HEAD"]).unwrap();
    let other_root = counterfoil_format::HeadSlot { root: ledger.ledger_id, ..good };
    let other_place = counterfoil_format::HeadSlot { offset: counterfoil_format::ByteOffset(8192), ..good };
    for slot in [other_root, other_place] {
        let mut bad = ledger.clone();
        bad.file("HEAD")[4096..].copy_from_slice(&slot.encode());
        assert_eq!(failures(&bad.verify()), [Code::HeadMismatch]);
    }
}

#[test]
fn findings_beyond_the_limit_are_counted_and_receipts_still_judged() {
    let gone = crate::testing::Draft { erased: true, ..draft("a", "{}") };
    let drafts = vec![gone; crate::FINDINGS_MAX + 5];
    let report = Scratch::new().frame(&drafts).finish().verify();
    assert_eq!(report.findings.len(), crate::FINDINGS_MAX + 1);
    assert_eq!(report.findings.last().unwrap().code, Code::MoreFindings);
    assert_eq!(report.verdicts.missing, drafts.len() as u64);
}
