//! Sealed segments: pinned by the manifest, and not read here but for the last one's footer.

use super::refusal::{Damage, OpenError, at, in_segment, refuse};
use super::{Loader, Mode};
use crate::chain::Chain;
use crate::control::{self, ControlCopy};
use crate::disk::{Disk, is_disk_full};
use crate::read::{Fault, receipt_in};
use crate::sealed::Sealed;
use crate::segment::{self, Segment, SegmentError, State};
use crate::shared::segment_of;
use crate::tree::Tree;
use crate::window::WINDOW_RECEIPTS_MAX;
use counterfoil_format::frame::{self, FrameHeader};
use counterfoil_format::{ByteOffset, FormatError, ManifestEntry, SegmentHeader, SegmentState};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, StreamSeq, TreeSize};
use counterfoil_rules::ControlReceipt;
use std::io;
use std::sync::Arc;

impl Loader<'_> {
    /// Names the sealed segments, whose files must be there in the length that the manifest pins. What is in them is looked
    /// at when it is read.
    pub(super) fn load_sealed(&mut self) -> Result<(), OpenError> {
        for entry in self.manifest.segments.clone() {
            let SegmentState::Sealed { file_len, .. } = entry.state else { break };
            if self.mode == Mode::Write {
                check_len(self.disk(), entry, file_len)?;
            }
            let sealed = Sealed::of_entry(entry, &self.sealed_files).expect("the entry is that of a sealed segment");
            let state = State::Sealed(sealed);
            self.segments.push(Arc::new(Segment { id: entry.id, generation: entry.generation, state }));
        }
        let Some(last) = self.segments.last() else { return Ok(()) };
        match (last.sealed().footer(), self.mode) {
            (Ok(footer), _) => self.chain = Some(Chain::at_footer(&footer)),
            // A reader takes the state from the header of the segment behind it.
            (Err(_), Mode::ReadOnly) => {}
            (Err(error), Mode::Write) => {
                return Err(in_segment(&segment::segment_path(last.id, last.generation))(error));
            }
        }
        let frontier = match &self.chain {
            Some(chain) => chain.frontier.clone(),
            None => self.header_behind()?.frontier,
        };
        if frontier.size() != last.sealed().end {
            let damage = Damage::Discontinuous { expected: last.sealed().end, found: frontier.size() };
            return Err(refuse(segment::segment_path(last.id, last.generation), ByteOffset(0), damage));
        }
        self.tree = Tree::over_leaf_files(&frontier);
        Ok(())
    }

    /// The header of the segment behind the sealed ones.
    fn header_behind(&self) -> Result<SegmentHeader, OpenError> {
        let rule = "the last segment of the manifest is open";
        let next = self.manifest.segments.get(self.segments.len());
        let next = next.ok_or_else(|| refuse("MANIFEST", ByteOffset(0), FormatError::NotCanonical { rule }))?;
        let path = segment::segment_path(next.id, next.generation);
        let file = self.disk().open(&path, false).map_err(|error| in_segment(&path)(error.into()))?;
        segment::read_header(&*file).map_err(in_segment(&path))
    }

    /// Folds the control receipts of sealed segments: from their copies if those are whole, else from the segments.
    pub(super) fn load_rules(&mut self) -> Result<(), OpenError> {
        let (count, head) = self.control_state()?;
        let (copies, rewrite) = match (control::read(self.disk(), count, head), self.mode) {
            (Some(found), _) => (found.copies, found.more),
            (None, Mode::Write) => (self.copies_of_segments()?, true),
            // A reader does with the rules that it can read.
            (None, Mode::ReadOnly) => (self.copies_of_segments().unwrap_or_default(), false),
        };
        if rewrite && self.mode == Mode::Write {
            match control::replace(self.disk(), &copies) {
                // The segments have it all; there is time to copy it.
                Err(error) if is_disk_full(&error) => {}
                written => written.map_err(at(control::CONTROL_FILE))?,
            }
        }
        if let Some(last) = copies.last() {
            self.slots.know(&last.envelope, last.envelope.leaf_hash());
        }
        for copy in &copies {
            self.fold(ControlReceipt { envelope: &copy.envelope, payload: &copy.payload })?;
        }
        Ok(())
    }

    /// How many control receipts sealed segments hold, and the leaf hash of the last.
    fn control_state(&self) -> Result<(StreamSeq, LeafHash), OpenError> {
        if self.segments.is_empty() {
            return Ok((StreamSeq(0), Hash::ZERO));
        }
        if let Some(chain) = &self.chain {
            return Ok((chain.control_seq, chain.control_head));
        }
        let header = self.header_behind()?;
        Ok((header.control_seq, header.control_head))
    }

    fn copies_of_segments(&self) -> Result<Vec<ControlCopy>, OpenError> {
        let mut copies = Vec::new();
        for segment in &self.segments {
            let path = segment::segment_path(segment.id, segment.generation);
            let footer = segment.sealed().footer().map_err(in_segment(&path))?;
            for index in footer.control_indices {
                copies.push(self.control_copy(segment, index, &path)?);
            }
        }
        Ok(copies)
    }

    fn control_copy(&self, segment: &Segment, index: LeafIndex, path: &str) -> Result<ControlCopy, OpenError> {
        let leaf_of = |at: LeafIndex| segment_of(&self.segments, at).sealed().leaves(at, 1).map(|leaves| leaves[0]);
        let receipt = receipt_in(segment, index, leaf_of).map_err(|fault| match fault {
            Fault::Io(error) => at(path)(error),
            Fault::Damaged { offset, what } => refuse(path, offset, FormatError::NotCanonical { rule: what }),
        })?;
        let Some(content) = receipt.content else {
            let rule = "control receipts are never erased";
            return Err(refuse(path, ByteOffset(0), FormatError::NotCanonical { rule }));
        };
        Ok(ControlCopy { envelope: receipt.envelope, salt: content.salt, payload: content.payload.to_vec() })
    }

    pub(super) fn fold(&mut self, receipt: ControlReceipt<'_>) -> Result<(), OpenError> {
        if receipt.envelope.index.0 > 0 {
            let rules = self.rules.take().expect("genesis is loaded first");
            self.rules = Some(rules.apply(receipt)?);
        }
        Ok(())
    }

    /// Remembers which batches sealed segments hold, for as many receipts as the window has room for. A frame that is
    /// damaged is passed over here: whoever reads from it is told. A read that fails is another matter: what it would have
    /// said, the next one may say, and a batch that is forgotten meanwhile would be appended twice.
    pub(super) fn fill_window(&mut self) -> Result<(), OpenError> {
        if self.mode == Mode::ReadOnly {
            return Ok(());
        }
        let sealed = self.segments.last().map_or(TreeSize(0), |last| last.sealed().end);
        let from = LeafIndex(sealed.0.saturating_sub(WINDOW_RECEIPTS_MAX as u64));
        for segment in self.segments.iter().filter(|segment| segment.sealed().end > from.size_including()) {
            let path = segment::segment_path(segment.id, segment.generation);
            let Some(parts) = unless_damaged(segment.sealed().parts(), &path)? else { continue };
            let skip = parts.leaves.frames.partition_point(|(first, _)| *first < from);
            for (first, offset) in &parts.leaves.frames[skip..] {
                let part = segment::frame_part(&*parts.file, *offset, FrameHeader::names_end);
                let part = unless_damaged(part, &path)?;
                if let Some(batches) = part.and_then(|(_, bytes)| frame::batches_of(&bytes).ok()) {
                    self.window.take_in_frame(*first, *offset, batches);
                }
            }
        }
        Ok(())
    }
}

/// What was read; `None` of what is damaged.
fn unless_damaged<T>(read: Result<T, SegmentError>, path: &str) -> Result<Option<T>, OpenError> {
    match read.map_err(in_segment(path)) {
        Ok(read) => Ok(Some(read)),
        Err(OpenError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_len(disk: &dyn Disk, entry: ManifestEntry, expected: u64) -> Result<(), OpenError> {
    let path = segment::segment_path(entry.id, entry.generation);
    match disk.file_len(&path) {
        Ok(found) if found == expected => Ok(()),
        Ok(found) => {
            let offset = ByteOffset(found.min(expected));
            Err(refuse(path, offset, Damage::Length { expected, found }))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refuse(path, ByteOffset(0), Damage::Missing)),
        Err(error) => Err(at(&path)(error)),
    }
}
