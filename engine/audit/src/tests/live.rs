//! Beside a live server: files change between reads, and nothing is complained about that was right all the time.

use super::*;
use crate::testing::{Memory, scratch_of_five_segments};
use crate::{Source, SourceFile};
use core::num::NonZeroUsize;
use counterfoil_format::{Generation, LeafFile, SegmentFooter, SegmentHeader, SegmentState, leaves_file_name};
use counterfoil_format::{segment_file_name, stream_index_file_name};
use counterfoil_proof::Hash;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A directory that changes to its next state before its n-th call. Files that are open stay what they were.
struct Changing<'a> {
    states: [&'a Memory; 2],
    calls: AtomicUsize,
    change_at: usize,
}

impl Changing<'_> {
    fn now(&self) -> &Memory {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        self.states[usize::from(call >= self.change_at)]
    }
}

impl Source for Changing<'_> {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.now().list(folder)
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn SourceFile>> {
        self.now().open(path)
    }
}

/// The reports of a directory that changes before the first call, the second, and so on, to past the last.
fn reports_of_change(before: &Ledger, after: &Ledger) -> Vec<Report> {
    let options = Options { threads: NonZeroUsize::new(1), ..Options::default() };
    let mut reports = Vec::new();
    for change_at in 0.. {
        let source = Changing { states: [&before.memory, &after.memory], calls: AtomicUsize::new(0), change_at };
        reports.push(verify_ledger(&source, &trust(), &options).unwrap());
        if source.calls.into_inner() <= change_at {
            return reports;
        }
    }
    unreachable!("a verification ends");
}

/// Asserts that no state in between was complained about.
fn stays_verified(before: &Ledger, after: &Ledger) -> Vec<Report> {
    assert_eq!((before.verify().findings, after.verify().findings), (vec![], vec![]));
    let reports = reports_of_change(before, after);
    assert!(reports.len() > 10);
    for (at, report) in reports.iter().enumerate() {
        assert_eq!(report.findings, [], "changed before call {at}");
        let judged = report.verdicts.total() + report.tail.receipts;
        assert!(judged >= before.size(), "changed before call {at}: {judged}");
    }
    reports
}

#[test]
fn a_merge_of_stream_indexes_is_no_finding() {
    let before = scratch_of_five_segments().finish();
    let mut scratch = scratch_of_five_segments();
    scratch.merged = true;
    let reports = stays_verified(&before, &scratch.finish());
    let replaced =
        |report: &&Report| report.remarks.iter().any(|remark| remark.contains("stream indexes were replaced"));
    assert!(reports.iter().filter(replaced).count() > 1, "what was not compared is said");
}

#[test]
fn a_segment_sealed_and_another_begun_is_no_finding() {
    let frame = [draft("a", "1"), draft("b", "2")];
    let before = Scratch::new().frame(&frame).seal().frame(&frame).finish();
    let mut scratch = Scratch::new();
    scratch.frame(&frame).seal().frame(&frame).frame(&frame).seal();
    let after = scratch.frame(&frame).finish();
    stays_verified(&before, &after);
}

#[test]
fn receipts_appended_meanwhile_are_no_finding() {
    let frame = [draft("a", "1"), draft("b", "2")];
    let before = Scratch::new().frame(&frame).finish();
    let after = Scratch::new().frame(&frame).frame(&frame).frame(&frame).finish();
    stays_verified(&before, &after);
}

/// The same ledger with the first segment in its next generation.
fn next_generation(ledger: &Ledger) -> Ledger {
    let mut after = ledger.clone();
    let mut manifest = ledger.manifest();
    let entry = &mut manifest.segments[0];
    let mut bytes = after.memory.0.remove(SEALED).unwrap();
    let mut header = SegmentHeader::decode(&bytes).unwrap();
    header.generation = Generation(1);
    bytes[..4096].copy_from_slice(&header.encode());
    let at = SegmentFooter::locate(bytes.last_chunk().unwrap()).unwrap();
    let end = usize::try_from(at.0).unwrap();
    let mut footer = SegmentFooter::decode(&bytes[end..], at).unwrap();
    footer.file_digest = Hash(*blake3::hash(&bytes[..end]).as_bytes());
    bytes.truncate(end);
    bytes.extend(footer.encode(at));
    entry.generation = Generation(1);
    let SegmentState::Sealed { file_digest, end, .. } = &mut entry.state else { panic!("it is sealed") };
    *file_digest = footer.file_digest;
    let leaves = &ledger.leaves[..usize::try_from(end.0).unwrap()];
    let old = after.memory.0.remove(SEALED_LEAVES).unwrap();
    let counterfoil_format::ShortPreamble(len) = counterfoil_format::ShortPreamble::decode(&old).unwrap();
    let frames = counterfoil_format::LeafFileHead::decode(&old[..len]).unwrap().frames;
    let file = LeafFile::encode(ledger.ledger_id, entry.id, Generation(1), &header.frontier, &frames, leaves);
    let put = [(segment_file_name(entry.id, Generation(1)), bytes), (leaves_file_name(entry.id, Generation(1)), file)];
    after.memory.0.extend(put.map(|(name, bytes)| (format!("segments/{name}"), bytes)));
    *after.file("MANIFEST") = manifest.encode();
    after
}

#[test]
fn a_segment_rewritten_in_its_next_generation_is_no_finding() {
    let before = sixteen();
    stays_verified(&before, &next_generation(&before));
}

#[test]
fn a_segment_that_manifest_still_names_and_that_is_gone_is_a_finding() {
    let before = sixteen();
    let mut after = before.clone();
    after.memory.0.remove(OPEN);
    let reports = reports_of_change(&before, &after);
    assert!(reports.iter().any(|report| failures(report).contains(&Code::SegmentMissing)));
}

#[test]
fn a_stream_index_that_manifest_still_names_and_that_is_gone_is_a_finding() {
    let before = scratch_of_five_segments().finish();
    let mut after = before.clone();
    let entry = before.manifest().stream_indexes[2];
    after.memory.0.remove(&format!("segments/{}", stream_index_file_name(entry.first, entry.end)));
    let reports = reports_of_change(&before, &after);
    let missing = |report: &&Report| report.findings.iter().any(|finding| finding.code == Code::StreamIndex);
    assert!(reports.iter().filter(missing).count() > 5);
}

#[test]
fn a_leaf_file_that_changes_while_links_are_compared_misleads_nobody() {
    let before = scratch_of_five_segments().finish();
    let mut after = before.clone();
    for (path, bytes) in &mut after.memory.0 {
        if path.ends_with(".leaves") {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
        }
    }
    for (at, report) in reports_of_change(&before, &after).iter().enumerate() {
        assert_eq!(failures(report), [], "changed before call {at}");
        assert!(report.findings.iter().all(|finding| finding.code == Code::LeafFile));
    }
}
