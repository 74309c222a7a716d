//! The end of a segment: its last signature, footer, digest and leaf file.

use super::Scan;
use super::account::Unit;
use super::files::{io, not_zero, open, segment_path};
use super::segment::Segment;
use crate::error::AuditError;
use crate::report::{Code, Finding, Severity};
use counterfoil_format::{ByteOffset, LeafFile, SegmentFooter, SegmentState, leaves_file_name};
use counterfoil_proof::Hash;

const CHUNK: usize = 1024 * 1024;

impl Scan<'_> {
    /// Judges what stands behind the last frame, which ends at `at`.
    pub(super) fn leave(&mut self, mut segment: Segment, at: ByteOffset) -> Result<(), AuditError> {
        if let Some(unchecked) = segment.unchecked.take() {
            let mut unit = Unit::new(unchecked.first, unchecked.commit.size);
            self.keys.judge(&mut unit, &unchecked.commit, unchecked.commit.root, &unchecked.place);
            self.account.settle(unit);
        }
        let end = segment.end.unwrap_or(self.account.mark());
        if self.chain.next < end {
            segment.damaged = true;
            self.lose_rest(end, Some(&segment.place(at)));
        }
        if !segment.damaged {
            self.check_rest(&segment, at)?;
            self.check_footer(&segment);
        }
        self.check_digest(&segment)?;
        if segment.is_sealed() && !segment.damaged {
            self.check_leaf_file(&segment)?;
        }
        Ok(())
    }

    /// Nothing stands between the last frame and the footer or, without one, the end of the file.
    fn check_rest(&mut self, segment: &Segment, at: ByteOffset) -> Result<(), AuditError> {
        let used = not_zero(segment.file.as_ref(), &segment.path, at.0, segment.frames_end)?;
        let place = segment.place(ByteOffset(used.map_or(at.0, |(first, _)| first)));
        let footer = segment.footer.as_ref().map(|(footer, _)| *footer);
        if footer.is_some_and(|footer| footer != at) {
            let finding = place.finding(Code::BytesBehindFrames, "the footer does not follow the last frame");
            self.report(finding.because(at, footer.map_or(0, |footer| footer.0)));
        } else if used.is_some() && !segment.is_sealed() && segment.end.is_some() {
            // A crash while a full segment got its footer leaves this; opening the ledger writes the footer again.
            let finding = place.finding(Code::BytesBehindFrames, "bytes behind the last frame are no footer");
            let next = "nothing: opening the ledger seals the segment".to_owned();
            self.report(Finding { severity: Severity::Note, next, ..finding });
        }
        Ok(())
    }

    fn check_footer(&mut self, segment: &Segment) {
        let Some((footer_at, footer)) = &segment.footer else { return };
        let (Some(tree), Some((control_seq, control_head)), Some(last_leaf)) =
            (self.chain.tree.clone(), self.chain.control, self.chain.prev)
        else {
            return;
        };
        let expected = SegmentFooter {
            first: segment.entry.id.0,
            first_time: segment.first_time.unwrap_or(self.chain.time),
            last_time: self.chain.time,
            frames: segment.frames.len() as u64,
            payload_bytes: segment.payload_bytes,
            control_seq,
            last_leaf,
            control_head,
            file_digest: footer.file_digest,
            frontier: tree,
            control_indices: segment.control_indices.clone(),
        };
        for (what, expected, found) in differences(&expected, footer) {
            let message = format!("the footer of {} states another {what}", segment.path);
            let finding = segment.place(*footer_at).finding(Code::SegmentFooterMismatch, message);
            self.report(finding.because(expected, found).at_index(segment.entry.id.0));
        }
    }

    /// Compares the digest of the whole file. Where damage was already located it would only repeat that.
    fn check_digest(&mut self, segment: &Segment) -> Result<(), AuditError> {
        let Some((footer_at, footer)) = &segment.footer else { return Ok(()) };
        if self.account.failures() > segment.failures_before {
            return Ok(());
        }
        let found = digest(segment, footer_at.0)?;
        let pinned = match segment.entry.state {
            SegmentState::Sealed { file_digest, .. } => file_digest,
            SegmentState::Open => footer.file_digest,
        };
        for (whose, expected) in [("MANIFEST", pinned), ("its footer", footer.file_digest)] {
            if expected != found {
                let message = format!("{} has another digest than {whose} says", segment.path);
                let finding = segment.place(ByteOffset(0)).finding(Code::SegmentDigest, message);
                self.report(finding.because(expected, found).at_index(segment.entry.id.0));
                break;
            }
        }
        Ok(())
    }

    /// Compares the leaf file with the one that this segment's receipts make.
    fn check_leaf_file(&mut self, segment: &Segment) -> Result<(), AuditError> {
        let entry = &segment.entry;
        let leaves = self.chain.leaves.range(entry.id.0, self.chain.next);
        let (Some(leaves), Some(ledger_id)) = (leaves, self.chain.ledger_id) else { return Ok(()) };
        let expected = LeafFile::encode(ledger_id, entry.id, entry.generation, &segment.frames, leaves);
        let path = segment_path(&leaves_file_name(entry.id, entry.generation));
        let problem = match open(self.source, &path)? {
            None => Some(format!("{path} is missing")),
            Some(file) => {
                let mut found = vec![0; expected.len() + 1];
                let read = file.read_at(&mut found, 0).map_err(io(&path))?;
                let found = &found[..read];
                let differs =
                    || found.iter().zip(&expected).position(|(a, b)| a != b).unwrap_or(read.min(expected.len()));
                (found != expected).then(|| format!("{path} does not fit its segment from byte {} on", differs()))
            }
        };
        if let Some(problem) = problem {
            self.report(Finding::new(Code::LeafFile, problem).at_index(entry.id.0));
        }
        Ok(())
    }
}

fn digest(segment: &Segment, end: u64) -> Result<Hash, AuditError> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; usize::try_from(end).unwrap_or(CHUNK).min(CHUNK)];
    let mut at = 0;
    while at < end {
        let want = usize::try_from(end - at).unwrap_or(CHUNK).min(CHUNK);
        let read = segment.file.read_at(&mut buffer[..want], at).map_err(io(&segment.path))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        at += read as u64;
    }
    Ok(Hash(*hasher.finalize().as_bytes()))
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
