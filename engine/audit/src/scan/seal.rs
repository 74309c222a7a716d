//! The end of a segment: its last signature, footer and digest.

use super::account::Unit;
use super::files::first_used;
use super::segment::{Segment, SegmentScan};
use super::window::Window;
use crate::error::AuditError;
use crate::report::{Code, Finding, Severity};
use counterfoil_format::{ByteOffset, SegmentFooter, SegmentState};

impl SegmentScan<'_, '_> {
    /// Judges what stands behind the last frame, which ends at `at`.
    pub(super) fn leave(
        &mut self,
        segment: &mut Segment<'_>,
        at: ByteOffset,
        window: Window<'_>,
    ) -> Result<(), AuditError> {
        self.check_last_signature(segment);
        let end = segment.end.unwrap_or(self.out.account.mark());
        if self.out.chain.state.next < end {
            segment.damaged = true;
            self.lose_rest(end, Some(&segment.file.place(at)));
        }
        if !segment.damaged {
            self.check_rest(segment, at)?;
            self.check_footer(segment);
        }
        self.check_digest(segment, window)?;
        if segment.file.is_sealed() && !segment.damaged {
            self.check_leaf_file(segment)?;
        }
        Ok(())
    }

    /// The last frame before an end or before damage covers all envelopes before it.
    pub(super) fn check_last_signature(&mut self, segment: &mut Segment<'_>) {
        let Some(unchecked) = segment.unchecked.take() else { return };
        let mut unit = Unit::new(unchecked.first, unchecked.commit.size);
        let (commit, place) = (&unchecked.commit, &unchecked.place);
        let signed = self.context.keys.judge(&mut unit, commit, commit.root, place);
        self.out.signatures.valid += u64::from(signed);
        self.settle(unit);
    }

    /// Nothing stands between the last frame and the footer or, without one, the end of the file.
    fn check_rest(&mut self, segment: &Segment<'_>, at: ByteOffset) -> Result<(), AuditError> {
        let file = segment.file;
        let used = first_used(file.file.as_ref(), &file.path, at.0, segment.frames_end)?;
        let place = file.place(ByteOffset(used.unwrap_or(at.0)));
        let footer = segment.footer.as_ref().map(|(footer, _)| *footer);
        if footer.is_some_and(|footer| footer != at) {
            let finding = place.finding(Code::BytesBehindFrames, "the footer does not follow the last frame");
            self.report(finding.because(at, footer.map_or(0, |footer| footer.0)));
        } else if used.is_some() && !file.is_sealed() && segment.end.is_some() {
            // A crash while a full segment got its footer leaves this; opening the ledger writes the footer again.
            let finding = place.finding(Code::BytesBehindFrames, "bytes behind the last frame are no footer");
            let next = "nothing: opening the ledger seals the segment".to_owned();
            self.report(Finding { severity: Severity::Note, next, ..finding });
        }
        Ok(())
    }

    fn check_footer(&mut self, segment: &Segment<'_>) {
        let Some((footer_at, footer)) = &segment.footer else { return };
        let state = &self.out.chain.state;
        let (Some(tree), Some((control_seq, control_head)), Some(last_leaf)) =
            (state.tree.clone(), state.control, state.prev)
        else {
            return;
        };
        let first = segment.file.entry.id.0;
        let expected = SegmentFooter {
            first,
            first_time: segment.first_time.unwrap_or(state.time),
            last_time: state.time,
            frames: segment.frames.frames.len() as u64,
            payload_bytes: segment.payload_bytes,
            control_seq,
            last_leaf,
            control_head,
            file_digest: footer.file_digest,
            frontier: tree,
            control_indices: segment.control_indices.clone(),
        };
        for (what, expected, found) in differences(&expected, footer) {
            let message = format!("the footer of {} states another {what}", segment.file.path);
            let finding = segment.file.place(*footer_at).finding(Code::SegmentFooterMismatch, message);
            self.report(finding.because(expected, found).at_index(first));
        }
    }

    /// Compares the digest of the whole file. Where damage was located it would only repeat that.
    fn check_digest(&mut self, segment: &Segment<'_>, window: Window<'_>) -> Result<(), AuditError> {
        let Some((_, footer)) = &segment.footer else { return Ok(()) };
        if self.out.account.failures() > 0 {
            return Ok(());
        }
        let found = window.digest()?;
        let pinned = match segment.file.entry.state {
            SegmentState::Sealed { file_digest, .. } => file_digest,
            SegmentState::Open => footer.file_digest,
        };
        let stated = [("MANIFEST", pinned), ("its footer", footer.file_digest)];
        self.out.digest = stated.into_iter().find(|(_, expected)| *expected != found).map(|(whose, expected)| {
            let message = format!("{} has another digest than {whose} says", segment.file.path);
            let finding = segment.file.place(ByteOffset(0)).finding(Code::SegmentDigest, message);
            finding.because(expected, found).at_index(segment.file.entry.id.0)
        });
        Ok(())
    }
}

/// Where two footers differ, in words.
fn differences(expected: &SegmentFooter, found: &SegmentFooter) -> Vec<(&'static str, String, String)> {
    fn row(footer: &SegmentFooter) -> [(&'static str, String); 10] {
        let controls: Vec<String> = footer.control_indices.iter().map(ToString::to_string).collect();
        [
            ("first index", footer.first.to_string()),
            ("end", footer.frontier.size().to_string()),
            ("tree", footer.frontier.root().to_string()),
            ("time range", format!("{} to {}", footer.first_time, footer.last_time)),
            ("number of frames", footer.frames.to_string()),
            ("number of payload bytes", footer.payload_bytes.to_string()),
            ("number of control receipts", footer.control_seq.to_string()),
            ("last leaf hash", footer.last_leaf.to_string()),
            ("control head", footer.control_head.to_string()),
            ("places of control receipts", controls.join(" ")),
        ]
    }
    let pairs = row(expected).into_iter().zip(row(found));
    pairs.filter(|(a, b)| a != b).map(|((what, expected), (_, found))| (what, expected, found)).collect()
}
