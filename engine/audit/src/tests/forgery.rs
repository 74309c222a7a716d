//! Ledgers that are wrong as written, most of them validly signed.

use super::*;
use crate::testing::Draft;
use counterfoil_format::SegmentHeader;
use counterfoil_proof::{ClassId, Envelope, Hash, KeyId, Link, Origin, StreamSeq, Timestamp, WriterSignature};
use counterfoil_rules::RECOVERED_KIND;

/// Genesis, two receipts of stream a, and then this one.
fn with_third(third: Draft) -> Report {
    Scratch::new().frame(&[draft("a", "1"), draft("a", "2")]).frame(&[third]).finish().verify()
}

fn changed(change: fn(&mut Envelope)) -> Report {
    with_third(Draft { change, ..draft("a", "3") })
}

#[test]
fn a_stream_that_skips_a_position_is_noticed() {
    let report = changed(|envelope| envelope.stream_seq = StreamSeq(3));
    assert_eq!(named(&report), [(Code::StreamGap, 3)]);
    assert_eq!(report.verdicts, verdicts(4, 0, 0));
}

#[test]
fn a_stream_with_two_receipts_at_one_position_is_noticed() {
    assert_eq!(named(&changed(|envelope| envelope.stream_seq = StreamSeq(1))), [(Code::StreamForked, 3)]);
}

#[test]
fn a_receipt_that_does_not_follow_in_its_stream_is_noticed() {
    assert_eq!(named(&changed(|envelope| envelope.stream_prev = Hash([5; 32]))), [(Code::StreamForked, 3)]);
}

#[test]
fn a_new_stream_begins_at_zero() {
    let third = Draft {
        change: |envelope| {
            envelope.stream_seq = StreamSeq(1);
            envelope.stream_prev = Hash([5; 32]);
        },
        ..draft("new", "3")
    };
    assert_eq!(named(&with_third(third)), [(Code::StreamGap, 3)]);
}

#[test]
fn nothing_follows_the_receipt_that_closed_a_stream() {
    let closing = Draft { closes: true, ..draft("a", "1") };
    let report = Scratch::new().frame(&[closing]).frame(&[draft("a", "2")]).finish().verify();
    assert_eq!(named(&report), [(Code::StreamClosed, 2)]);
}

#[test]
fn time_that_goes_backwards_is_noticed() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]).next_time = Some(5);
    let report = scratch.frame(&[draft("a", "2")]).finish().verify();
    assert_eq!(named(&report), [(Code::TimeBackwards, 2)]);
}

#[test]
fn a_link_to_a_wrong_leaf_or_into_its_own_batch_is_noticed() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]);
    let first = scratch.leaf(1);
    let good = Draft { links: vec![Link { index: LeafIndex(1), leaf: first }], ..draft("a", "2") };
    let wrong = Draft { links: vec![Link { index: LeafIndex(1), leaf: Hash([1; 32]) }], ..draft("a", "3") };
    let own_batch = Draft { links: vec![Link { index: LeafIndex(2), leaf: Hash([1; 32]) }], ..draft("a", "4") };
    let report = scratch.frame(&[good, wrong, own_batch]).finish().verify();
    assert_eq!(named(&report), [(Code::LinkBroken, 3), (Code::LinkBroken, 4)]);
}

#[test]
fn a_class_that_does_not_exist_is_noticed() {
    assert_eq!(named(&changed(|envelope| envelope.class = ClassId(7))), [(Code::UnknownClass, 3)]);
}

#[test]
fn a_first_header_that_contradicts_genesis_is_noticed() {
    let change = |change: fn(&mut SegmentHeader)| {
        let mut ledger = Scratch::new().frame(&[draft("a", "1")]).finish();
        let file = ledger.file("segments/00000000000000000000.0.seg");
        let mut header = SegmentHeader::decode(file).unwrap();
        change(&mut header);
        file[..4096].copy_from_slice(&header.encode());
        ledger.verify()
    };
    for report in [
        change(|header| header.ledger_id = Hash([3; 32])),
        change(|header| header.origin = Origin::new("example.com/other").unwrap()),
    ] {
        let codes: Vec<_> = report.failures().map(|finding| finding.code).collect();
        assert_eq!(codes, [Code::SegmentHeaderMismatch]);
    }
}

#[test]
fn a_writer_signature_that_nothing_permits_is_noticed() {
    let report = changed(|envelope| {
        envelope.writer_signature = Some(WriterSignature { key_id: KeyId([1; 4]), bytes: [2; 64] });
    });
    assert_eq!(named(&report), [(Code::WriterSignature, 3)]);
}

#[test]
fn a_control_receipt_of_an_unknown_kind_is_noticed() {
    let magic = Draft { kind: "ledger.magic/1", ..draft("ledger", "{}") };
    assert_eq!(named(&with_third(magic)), [(Code::ControlViolation, 3)]);
    let malformed = Draft { kind: RECOVERED_KIND, ..draft("ledger", "{}") };
    assert_eq!(named(&with_third(malformed)), [(Code::ControlViolation, 3)]);
}

#[test]
fn a_frame_that_does_not_follow_the_last_receipt_is_noticed() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]).pretend_prev(Hash([8; 32]));
    let report = scratch.frame(&[draft("a", "2")]).finish().verify();
    assert_eq!(named(&report), [(Code::ChainBroken, 2)]);
}

#[test]
fn a_frame_that_misstates_the_control_receipts_is_noticed() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]).pretend_control(StreamSeq(2), Hash([8; 32]));
    let report = scratch.frame(&[draft("a", "2")]).finish().verify();
    assert_eq!(named(&report), [(Code::ControlChainBroken, 2)]);
}

#[test]
fn payloads_are_committed_to_as_genesis_says() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]).pretend_algorithm(CommitmentAlgorithm::HmacSha256);
    let report = scratch.frame(&[draft("a", "2")]).finish().verify();
    assert_eq!(named(&report), [(Code::CommitmentAlgorithm, 2)]);
}

#[test]
fn a_frame_signed_by_another_key_is_noticed_where_signatures_are_checked() {
    let report = Scratch::new().frame(&[draft("a", "1")]).sign_with(8).frame(&[draft("a", "2")]).finish().verify();
    assert_eq!(failures(&report), [Code::Signature]);
    assert_eq!(report.checkpoint, None);

    let mut scratch = Scratch::new();
    let ledger = scratch.sign_with(8).frame(&[draft("a", "1")]).sign_with(7).frame(&[draft("a", "2")]).finish();
    assert!(ledger.verify().verified(), "only the head's signature is checked without --all-signatures");
    let options = Options { all_signatures: true, ..Options::default() };
    assert_eq!(failures(&verify_ledger(&ledger.memory, &trust(), &options).unwrap()), [Code::Signature]);
}

#[test]
fn the_last_frame_before_damage_must_be_signed() {
    let mut scratch = Scratch::new();
    scratch.sign_with(8).frame(&[draft("a", "1")]).sign_with(7).frame(&[draft("a", "2")]);
    let mut ledger = scratch.frame(&[draft("a", "3")]).finish();
    let (start, _) = frame_of(&ledger, 2);
    let path = ledger.spots[2].path.clone();
    ledger.file(&path)[start..start + 100].fill(0xff);
    assert_eq!(failures(&ledger.verify()), [Code::Signature, Code::RangeCorrupt]);
}

#[test]
fn a_frame_of_another_history_signed_by_the_same_key_is_noticed() {
    let mut ledger = Scratch::new().frame(&[draft("a", "1")]).frame(&[draft("a", "2")]).finish();
    let mut other = Scratch::new();
    other.frame(&[draft("a", "9")]);
    let forged = other.finish();
    let (start, end) = frame_of(&ledger, 1);
    let path = ledger.spots[1].path.clone();
    // Genesis and length are the same, so the frame fits its place; the next one does not follow it.
    let frame = forged.memory.0[&path][start..end].to_vec();
    ledger.file(&path)[start..end].copy_from_slice(&frame);
    let report = ledger.verify();
    assert_eq!(named(&report), [(Code::RootMismatch, 2)]);
    assert_eq!(report.verdicts, verdicts(2, 0, 1));
}

#[test]
fn time_is_shown_as_of_the_last_receipt_or_as_asked() {
    let ledger = Scratch::new().finish();
    assert_eq!(ledger.verify().as_of, Some(Timestamp(1010)));
    let options = Options { as_of: Some(Timestamp(77)), ..Options::default() };
    assert_eq!(verify_ledger(&ledger.memory, &trust(), &options).unwrap().as_of, Some(Timestamp(77)));
}
