//! What joins segments, and the same report for any number of threads.

use super::*;
use crate::Finding;
use crate::testing::{Draft, five_segments, scratch_of_five_segments};
use counterfoil_format::{Manifest, SegmentHeader, SegmentState};
use counterfoil_proof::{Envelope, Hash, Link, StreamSeq, Timestamp};
use counterfoil_rules::{RECOVERED_KIND, Recovered, to_canonical};

const SECOND: &str = "segments/00000000000000000013.0.seg";
const THIRD: &str = "segments/00000000000000000025.0.seg";

#[test]
fn a_whole_ledger_of_many_segments_is_verified_on_any_number_of_threads() {
    let report = same_on_any(&five_segments());
    assert_eq!(report.findings, []);
    assert_eq!(report.verdicts, verdicts(61, 0, 0));
    assert_eq!((report.streams, report.segments, report.signatures.frames), (4, 5, 16));
}

#[test]
fn damage_anywhere_gives_the_same_report_on_any_number_of_threads() {
    let ledger = five_segments();
    let mut failed = 0;
    for (path, bytes) in &ledger.memory.0 {
        for at in (0..bytes.len()).step_by(1531) {
            let mut bad = ledger.clone();
            bad.flip(path, at as u64);
            failed += usize::from(!same_on_any(&bad).verified());
        }
        let mut gone = ledger.clone();
        gone.memory.0.remove(path);
        same_on_any(&gone);
        let mut cut = ledger.clone();
        cut.file(path).truncate(bytes.len() / 2);
        same_on_any(&cut);
    }
    assert!(failed > 20, "{failed}");
}

#[test]
fn damage_in_every_segment_is_found_in_every_segment() {
    let mut ledger = five_segments();
    for index in [5, 17, 29, 41, 53] {
        let spot = ledger.spots[index].clone();
        ledger.flip(&spot.path, spot.payload);
    }
    let found = named(&same_on_any(&ledger));
    assert_eq!(found, [5, 17, 29, 41, 53].map(|index| (Code::ReceiptCorrupt, index)));
}

#[test]
fn a_damaged_header_costs_no_receipt() {
    let mut ledger = five_segments();
    ledger.flip(THIRD, 300);
    let report = same_on_any(&ledger);
    assert_eq!(named(&report), [(Code::SegmentHeader, 25)]);
    assert_eq!(report.verdicts, verdicts(61, 0, 0));
}

#[test]
fn a_damaged_header_behind_a_lost_segment_leaves_the_frames_to_their_signatures() {
    let mut ledger = five_segments();
    ledger.memory.0.remove(SECOND);
    ledger.flip(THIRD, 300);
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::SegmentMissing, Code::SegmentHeader]);
    assert_eq!(report.verdicts, verdicts(49, 12, 0));
}

/// A ledger whose third segment's header was changed, checksum and digest included.
fn with_header(change: fn(&mut SegmentHeader)) -> Report {
    let mut ledger = five_segments();
    let file = ledger.file(THIRD);
    let mut header = SegmentHeader::decode(file).unwrap();
    change(&mut header);
    file[..4096].copy_from_slice(&header.encode());
    same_on_any(&ledger)
}

#[test]
fn a_header_that_contradicts_the_segments_before_it_is_noticed_and_costs_no_receipt() {
    let changes: [fn(&mut SegmentHeader); 7] = [
        |header| header.prev = Hash([1; 32]),
        |header| header.last_time = Timestamp(7),
        |header| header.control_seq = StreamSeq(3),
        |header| header.control_head = Hash([1; 32]),
        |header| header.ledger_id = Hash([1; 32]),
        |header| header.origin = counterfoil_proof::Origin::new("example.com/other").unwrap(),
        |header| {
            let peaks = header.frontier.peaks().iter().map(|_| Hash([9; 32])).collect();
            header.frontier = counterfoil_proof::Frontier::from_peaks(header.frontier.size(), peaks).unwrap();
        },
    ];
    for change in changes {
        let report = with_header(change);
        assert_eq!(named(&report), [(Code::SegmentHeaderMismatch, 25)]);
        assert_eq!(report.verdicts, verdicts(61, 0, 0));
    }
}

#[test]
fn a_segment_of_another_history_signed_by_the_same_key_breaks_the_chain_where_it_ends() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]).seal().frame(&[draft("a", "2")]).seal();
    let ledger = scratch.frame(&[draft("a", "3")]).finish();
    let mut other = Scratch::new();
    other.frame(&[draft("a", "1")]).seal().frame(&[draft("a", "X")]).seal();
    let forged = other.frame(&[draft("a", "3")]).finish();
    let mut mixed = ledger.clone();
    let second = "segments/00000000000000000002.0.seg";
    *mixed.file(second) = forged.memory.0[second].clone();
    let report = same_on_any(&mixed);
    let tree = |finding: &&Finding| finding.message.contains("states another tree before it");
    let finding = report.failures().find(tree).unwrap();
    assert_eq!((finding.code, finding.index.unwrap().0), (Code::SegmentHeaderMismatch, 3));
    assert!(report.failures().any(|finding| finding.code == Code::SegmentDigest));
}

/// A ledger whose third segment begins with this receipt.
fn begun_with(third: impl FnOnce(&Scratch) -> Draft) -> Report {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1"), draft("b", "1")]).seal().frame(&[draft("a", "2"), draft("b", "2")]).seal();
    let third = third(&scratch);
    same_on_any(&scratch.frame(&[third]).finish())
}

#[test]
fn a_stream_goes_on_where_an_earlier_segment_left_it() {
    type Change = fn(&mut Envelope);
    let changed = |change: Change| begun_with(|_| Draft { change, ..draft("a", "3") });
    let expectations: [(Change, Code); 3] = [
        (|envelope| envelope.stream_seq = StreamSeq(4), Code::StreamGap),
        (|envelope| envelope.stream_seq = StreamSeq(1), Code::StreamForked),
        (|envelope| envelope.stream_prev = Hash([5; 32]), Code::StreamForked),
    ];
    for (change, code) in expectations {
        let report = changed(change);
        assert_eq!(named(&report), [(code, 5)]);
        let finding = report.failures().next().unwrap();
        assert_eq!(finding.segment.as_deref(), Some("00000000000000000005.0.seg"));
        assert_eq!((finding.offset.unwrap().0, finding.stream.as_ref().unwrap().as_str()), (4096, "a"));
        assert!(finding.kind.is_some() && finding.expected.is_some() && finding.found.is_some());
    }
}

#[test]
fn a_stream_closed_in_an_earlier_segment_stays_closed() {
    let mut scratch = Scratch::new();
    scratch.frame(&[Draft { closes: true, ..draft("a", "1") }]).seal();
    let report = same_on_any(&scratch.frame(&[draft("a", "2")]).seal().frame(&[draft("a", "3")]).finish());
    assert_eq!(named(&report), [(Code::StreamClosed, 2), (Code::StreamClosed, 3)]);
}

#[test]
fn a_stream_that_passes_through_lost_receipts_is_given_the_benefit_of_the_doubt() {
    let mut ledger = five_segments();
    ledger.memory.0.remove(SECOND);
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::SegmentMissing]);
    assert!(report.remarks.iter().any(|remark| remark.contains("could not be read")));
}

#[test]
fn a_link_to_an_earlier_segment_is_compared_with_the_leaf_there() {
    let linked = |leaf| begun_with(|_| Draft { links: vec![Link { index: LeafIndex(1), leaf }], ..draft("a", "3") });
    let report = linked(Hash([1; 32]));
    assert_eq!(named(&report), [(Code::LinkBroken, 5)]);
    let finding = report.failures().next().unwrap();
    assert!(finding.message.contains("its link 0 names no receipt of an earlier batch"), "{}", finding.message);
    assert!(finding.expected.as_ref().unwrap().starts_with("leaf hash "));
}

#[test]
fn links_are_compared_as_well_where_no_leaf_file_helps() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]).seal().frame(&[draft("a", "2")]).seal();
    let links = vec![scratch.link(1), Link { leaf: Hash([1; 32]), ..scratch.link(2) }];
    let mut ledger = scratch.frame(&[Draft { links, ..draft("a", "3") }]).finish();
    ledger.memory.0.retain(|path, _| !path.ends_with(".leaves"));
    assert_eq!(named(&same_on_any(&ledger)), [(Code::LinkBroken, 3)]);
}

#[test]
fn a_link_to_a_lost_receipt_is_given_the_benefit_of_the_doubt() {
    let mut ledger = five_segments();
    ledger.memory.0.remove("segments/00000000000000000000.0.seg");
    assert_eq!(failures(&same_on_any(&ledger)), [Code::SegmentMissing, Code::GenesisMismatch][..1]);
}

/// A recovery that kept `kept` receipts, as a control receipt.
fn recovered(kept: u64, root: Hash) -> Draft {
    let payload = Recovered {
        cut_file: "00000000000000000000-16384-2d3adedff11b61f1.cut".into(),
        cut_digest: format!("2d3adedff11b61f1{}", "0".repeat(48)),
        cut_bytes: 512,
        kept_size: kept.to_string(),
        kept_root: root.to_string(),
    };
    Draft { kind: RECOVERED_KIND, payload: to_canonical(&payload).unwrap(), ..draft("ledger", "") }
}

#[test]
fn a_recovery_is_held_to_the_tree_it_says_it_kept() {
    for kept in [0, 1, 2, 4, 5, 6, 7, 8] {
        let ledger = |wrong: bool| {
            let mut scratch = Scratch::new();
            scratch.frame(&[draft("a", "1"), draft("b", "1"), draft("a", "1")]).seal();
            scratch.frame(&[draft("a", "2")]).frame(&[draft("b", "2"), draft("b", "3")]).frame(&[draft("a", "3")]);
            let root = if wrong { Hash([7; 32]) } else { scratch.root_at(kept) };
            scratch.frame(&[recovered(kept, root)]).finish()
        };
        assert_eq!(same_on_any(&ledger(false)).findings, [], "{kept}");
        let report = same_on_any(&ledger(true));
        assert_eq!(named(&report), [(Code::ControlViolation, 8)], "{kept}");
        let finding = report.failures().next().unwrap();
        assert_eq!(finding.found, Some(Hash([7; 32]).to_string()));
    }
}

#[test]
fn segments_that_begin_behind_index_0_leave_the_others_missing() {
    let mut ledger = five_segments();
    ledger.memory.0.remove("MANIFEST");
    ledger.memory.0.remove("segments/00000000000000000000.0.seg");
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::Manifest, Code::ReceiptsMissing]);
    assert_eq!(report.failures().nth(1).unwrap().count, Some(13));
    assert_eq!(report.verdicts, verdicts(48, 13, 0));
}

#[test]
fn a_merged_stream_index_is_compared_over_all_its_segments() {
    let mut scratch = scratch_of_five_segments();
    scratch.merged = true;
    let ledger = scratch.finish();
    assert_eq!(same_on_any(&ledger).findings, []);
    let manifest = Manifest::decode(&ledger.memory.0["MANIFEST"]).unwrap();
    assert_eq!(manifest.stream_indexes.len(), 1);
    assert!(matches!(manifest.segments[3].state, SegmentState::Sealed { .. }));
}
