//! One receipt from its own segment.

use super::*;
use crate::testing::{Memory, five_segments, signer};
use crate::{Anchor, Shown, Source, SourceFile, Trust};
use counterfoil_format::SegmentHeader;
use counterfoil_proof::{Frontier, Hash, TrustPolicy};
use std::io;
use std::sync::Mutex;

fn show_with(ledger: &Ledger, trust: &Trust, index: u64) -> Shown {
    show_receipt(&ledger.memory, trust, &Options::default(), LeafIndex(index)).unwrap()
}

fn show(ledger: &Ledger, index: u64) -> Shown {
    show_with(ledger, &trust(), index)
}

/// Remembers which files were opened.
struct Watched<'a>(&'a Memory, Mutex<Vec<String>>);

impl Source for Watched<'_> {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.0.list(folder)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn SourceFile>> {
        self.1.lock().unwrap().push(path.to_owned());
        self.0.open(path)
    }
}

#[test]
fn every_receipt_is_shown_under_the_checkpoint_of_its_frame() {
    let ledger = five_segments();
    for index in 0..ledger.size() {
        let shown = show(&ledger, index);
        assert!(shown.verified(), "{index}: {:?}", shown.findings);
        let receipt = shown.receipt.unwrap();
        assert_eq!(receipt.leaf, ledger.leaves[usize::try_from(index).unwrap()]);
        let end = *ledger.checkpoints.range(index + 1..).next().unwrap().0;
        assert_eq!(receipt.checkpoint, ledger.checkpoints.get(&end).cloned());
        assert!(shown.remarks[0].contains("only this receipt's segment was read"));
    }
}

#[test]
fn only_the_first_segment_and_the_receipt_s_own_are_opened() {
    let ledger = five_segments();
    let source = Watched(&ledger.memory, Mutex::default());
    show_receipt(&source, &trust(), &Options::default(), LeafIndex(30)).unwrap();
    let opened = source.1.into_inner().unwrap();
    let own = "segments/00000000000000000025.0.seg";
    assert_eq!(opened, ["HEAD", "MANIFEST", "segments/00000000000000000000.0.seg", own]);
}

#[test]
fn a_receipt_is_shown_although_other_segments_are_gone() {
    let mut ledger = five_segments();
    ledger.memory.0.retain(|path, _| !path.contains("013.0") && !path.contains("037.0") && !path.ends_with(".leaves"));
    assert!(show(&ledger, 30).verified());
    assert!(show(&ledger, 60).verified());
    assert!(show(&ledger, 40).receipt.is_none());
}

#[test]
fn damage_behind_a_receipt_does_not_concern_it() {
    let mut ledger = sixteen();
    let at = ledger.spots[6].payload;
    ledger.flip(SEALED, at);
    assert!(show(&ledger, 4).verified());
    let report = show(&ledger, 6);
    assert!(!report.verified());
    assert_eq!(report.receipt.unwrap().verdict.name(), "corrupt");
}

#[test]
fn a_payload_damaged_before_a_receipt_does_not_concern_it() {
    let mut ledger = sixteen();
    let at = ledger.spots[1].payload;
    ledger.flip(SEALED, at);
    let shown = show(&ledger, 4);
    assert!(shown.verified());
    assert_eq!(shown.findings.len(), 1);
}

#[test]
fn a_receipt_behind_envelopes_that_cannot_be_read_is_in_no_signed_checkpoint() {
    let mut ledger = sixteen();
    let (start, _) = frame_of(&ledger, 8);
    ledger.file(OPEN)[start..start + 100].fill(0xff);
    let shown = show(&ledger, 12);
    assert!(!shown.verified());
    assert_eq!(shown.receipt.unwrap().checkpoint, None);
}

#[test]
fn a_header_that_states_another_tree_leads_to_no_signed_checkpoint() {
    let mut ledger = sixteen();
    let file = ledger.file(OPEN);
    let mut header = SegmentHeader::decode(file).unwrap();
    header.frontier = Frontier::from_peaks(header.frontier.size(), vec![Hash([1; 32])]).unwrap();
    file[..4096].copy_from_slice(&header.encode());
    let shown = show(&ledger, 9);
    assert!(!shown.verified());
    assert!(shown.receipt.is_none_or(|receipt| receipt.checkpoint.is_none()));
}

#[test]
fn a_frame_that_nobody_trusted_signed_shows_nothing() {
    let mut scratch = Scratch::new();
    let ledger = scratch.sign_with(8).frame(&[draft("a", "1")]).sign_with(7).frame(&[draft("a", "2")]).finish();
    assert!(!show(&ledger, 1).verified());
    assert!(show(&ledger, 2).verified());
}

#[test]
fn keys_and_pins_are_held_to_the_ledger() {
    let ledger = sixteen();
    let other = Trust::new(Anchor::Policy(TrustPolicy::single(signer(9).verifier().clone()).unwrap()));
    let codes = |shown: &Shown| shown.failures().map(|finding| finding.code).collect::<Vec<_>>();
    assert_eq!(codes(&show_with(&ledger, &other, 4)), [Code::KeyMismatch]);
    let pinned = |genesis| Trust { genesis: Some(genesis), ..trust() };
    assert!(show_with(&ledger, &pinned(ledger.ledger_id), 4).verified());
    assert_eq!(codes(&show_with(&ledger, &pinned(Hash([1; 32])), 4)), [Code::GenesisMismatch]);
    let asserted = show_with(&ledger, &Trust::new(Anchor::SelfAsserted), 4);
    assert!(asserted.verified() && asserted.remarks.iter().any(|remark| remark.contains("--self-asserted")));
}

#[test]
fn a_checkpoint_seen_earlier_needs_the_whole_ledger() {
    let ledger = sixteen();
    let seen = Trust { seen: vec![ledger.checkpoints[&8].clone()], ..trust() };
    let found = show_receipt(&ledger.memory, &seen, &Options::default(), LeafIndex(4));
    assert!(matches!(found, Err(AuditError::NotPossible { .. })));
}

#[test]
fn a_receipt_above_the_mark_is_shown_as_such() {
    let ledger = crate::testing::scratch_of_sixteen().finish_with_mark(counterfoil_proof::TreeSize(8));
    let shown = show(&ledger, 15);
    assert!(shown.verified());
    assert!(shown.remarks.iter().any(|remark| remark.contains("above the durable mark")));
}

#[test]
fn an_index_that_the_ledger_does_not_reach_is_unknown() {
    let show = |index| show_receipt(&sixteen().memory, &trust(), &Options::default(), LeafIndex(index));
    assert!(matches!(show(16), Err(AuditError::UnknownIndex { size, .. }) if size.0 == 16));
    assert!(matches!(show(u64::MAX), Err(AuditError::UnknownIndex { .. })));
}

#[test]
fn a_lost_receipt_is_not_unknown() {
    let mut ledger = sixteen();
    let (start, end) = frame_of(&ledger, 13);
    ledger.file(OPEN)[start..end].fill(0);
    let shown = show(&ledger, 14);
    assert!(shown.receipt.is_none() && !shown.verified());
    assert_eq!(shown.findings[0].code, Code::ReceiptsMissing);
}
