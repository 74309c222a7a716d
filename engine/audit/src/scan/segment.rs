//! Walking through one segment, frame by frame.

use super::Scan;
use super::account::Unit;
use super::chain::TREE_SIZE_MAX;
use super::damage::Obstacle;
use super::files::{io, not_zero, open, segment_path};
use super::keys::Unchecked;
use super::leaf_aid::LeafAid;
use crate::error::AuditError;
use crate::report::{Code, Finding, Verdict};
use crate::source::SourceFile;
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader};
use counterfoil_format::{
    ByteOffset, FOOTER_TRAILER_LEN, FormatError, ManifestEntry, SEGMENT_HEADER_LEN, SegmentFooter, SegmentHeader,
    SegmentState, segment_file_name,
};
use counterfoil_proof::{LeafIndex, Timestamp, TreeSize};

/// A place in a segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: String,
    pub(super) offset: ByteOffset,
}

impl Place {
    pub(super) fn finding(&self, code: Code, message: impl Into<String>) -> Finding {
        Finding::new(code, message).in_segment(&self.segment, self.offset)
    }
}

/// A segment that is being read.
pub(super) struct Segment {
    pub(super) entry: ManifestEntry,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) file: Box<dyn SourceFile>,
    pub(super) len: u64,
    /// Tree size at its end, where the manifest or the next segment says so.
    pub(super) end: Option<TreeSize>,
    /// Repeated in every frame; learned from the first frame when the header is damaged.
    pub(super) nonce: Option<[u8; 16]>,
    /// No frame lies behind this.
    pub(super) frames_end: u64,
    pub(super) footer: Option<(ByteOffset, SegmentFooter)>,
    /// What its footer and leaf file must say.
    pub(super) frames: Vec<(LeafIndex, ByteOffset)>,
    pub(super) first_time: Option<Timestamp>,
    pub(super) payload_bytes: u64,
    pub(super) control_indices: Vec<LeafIndex>,
    /// Some of its receipts could not be read: frames count only with a valid signature from then on.
    pub(super) damaged: bool,
    pub(super) failures_before: u64,
    pub(super) unchecked: Option<Unchecked>,
    /// Leaf hashes from the leaf file, read when they are needed.
    pub(super) aid: Option<Option<LeafAid>>,
}

/// What was found at a place where a frame may begin.
pub(super) enum Read<'b> {
    /// A frame whose checksum fits.
    Frame { frame: Frame<'b>, bytes: &'b [u8] },
    /// Something else. `salvage` is what can be read of a frame there when its checksum is not looked at.
    Damaged { salvage: Option<(Frame<'b>, &'b [u8])>, error: FormatError },
    /// Zeros to the end.
    Zeros,
}

impl Segment {
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.entry.state, SegmentState::Sealed { .. })
    }

    pub(super) fn place(&self, offset: ByteOffset) -> Place {
        Place { segment: self.name.clone(), offset }
    }

    /// Reads up to `want` bytes.
    pub(super) fn bytes<'b>(
        &self,
        at: ByteOffset,
        want: usize,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], AuditError> {
        // Bounded by the file, not by what the file claims.
        let left = usize::try_from(self.len.saturating_sub(at.0)).unwrap_or(usize::MAX);
        buffer.clear();
        buffer.resize(want.min(left), 0);
        let read = self.file.read_at(buffer, at.0).map_err(io(&self.path))?;
        Ok(&buffer[..read])
    }

    pub(super) fn read<'b>(&self, at: ByteOffset, buffer: &'b mut Vec<u8>) -> Result<Read<'b>, AuditError> {
        let header = FrameHeader::decode(self.bytes(at, FRAME_HEADER_LEN, buffer)?);
        let header = header.and_then(|header| {
            let fits = at.0.saturating_add(header.frame_len as u64) <= self.frames_end;
            if fits { Ok(header) } else { Err(FormatError::Truncated) }
        });
        let header = match header {
            Ok(header) => header,
            Err(error) => {
                let used = not_zero(self.file.as_ref(), &self.path, at.0, self.frames_end)?;
                return Ok(if used.is_none() { Read::Zeros } else { Read::Damaged { salvage: None, error } });
            }
        };
        let bytes = self.bytes(at, header.frame_len, buffer)?;
        Ok(match Frame::decode(bytes) {
            Ok(frame) => Read::Frame { frame, bytes },
            Err(error) => {
                let salvage = Frame::decode_ignoring_checksum(bytes).ok().map(|frame| (frame, bytes));
                Read::Damaged { salvage, error }
            }
        })
    }

    /// True when a frame can stand behind `next` receipts in this segment.
    pub(super) fn fits(&self, header: &FrameHeader, next: TreeSize) -> bool {
        let end = header.end();
        header.start.first.0 == next.0
            && self.nonce.is_none_or(|nonce| nonce == header.start.nonce)
            && end.0 <= TREE_SIZE_MAX
            && self.end.is_none_or(|limit| end <= limit)
    }
}

impl Scan<'_> {
    pub(super) fn segment(&mut self, entry: &ManifestEntry, next: Option<TreeSize>) -> Result<(), AuditError> {
        let end = match entry.state {
            SegmentState::Sealed { end, .. } => Some(end),
            SegmentState::Open => next,
        };
        let name = segment_file_name(entry.id, entry.generation);
        let path = segment_path(&name);
        let Some(file) = open(self.source, &path)? else {
            let finding = Finding::new(Code::SegmentMissing, format!("{path} is missing")).at_index(entry.id.0);
            self.report(Finding { segment: Some(name), ..finding });
            self.lose_rest(end.unwrap_or(self.account.mark()), None);
            return Ok(());
        };
        let len = file.len().map_err(io(&path))?;
        let mut segment = Segment {
            entry: *entry,
            name,
            path,
            file,
            len,
            end,
            nonce: None,
            frames_end: len,
            footer: None,
            frames: Vec::new(),
            first_time: None,
            payload_bytes: 0,
            control_indices: Vec::new(),
            damaged: false,
            failures_before: self.account.failures(),
            unchecked: None,
            aid: None,
        };
        self.locate_footer(&mut segment)?;
        if !self.enter(&mut segment)? {
            self.lose_rest(end.unwrap_or(self.account.mark()), None);
            return Ok(());
        }
        let at = self.walk(&mut segment)?;
        self.leave(segment, at)
    }

    /// Finds where a sealed segment's frames end. A segment that MANIFEST calls open may have been sealed since.
    fn locate_footer(&mut self, segment: &mut Segment) -> Result<(), AuditError> {
        let mut buffer = Vec::new();
        let trailer_at = ByteOffset(segment.len.saturating_sub(FOOTER_TRAILER_LEN as u64));
        let trailer = segment.bytes(trailer_at, FOOTER_TRAILER_LEN, &mut buffer)?;
        let at = trailer.try_into().ok().and_then(SegmentFooter::locate);
        let at = at.filter(|at| at.0 >= SEGMENT_HEADER_LEN as u64 && at.0 < segment.len);
        let found = match at {
            Some(at) => {
                let want = usize::try_from(segment.len - at.0).unwrap_or(usize::MAX);
                SegmentFooter::decode(segment.bytes(at, want, &mut buffer)?, at).map(|footer| (at, footer))
            }
            None => Err(FormatError::NotCanonical { rule: "a sealed segment ends with a trailer" }),
        };
        match found {
            Ok((at, footer)) => {
                segment.frames_end = at.0;
                segment.footer = Some((at, footer));
            }
            Err(error) if segment.is_sealed() => {
                let message = format!("the footer of {} is damaged: {error}", segment.path);
                let finding = segment.place(at.unwrap_or(trailer_at)).finding(Code::SegmentFooter, message);
                self.report(finding.at_index(segment.entry.id.0));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Checks length and header. False when the file is another segment's.
    fn enter(&mut self, segment: &mut Segment) -> Result<bool, AuditError> {
        if let SegmentState::Sealed { file_len, .. } = segment.entry.state
            && file_len != segment.len
        {
            let message = format!("{} has another length than MANIFEST says", segment.path);
            let place = segment.place(ByteOffset(file_len.min(segment.len)));
            self.report(place.finding(Code::SegmentLength, message).because(file_len, segment.len));
        }
        let place = segment.place(ByteOffset(0));
        let mut buffer = Vec::new();
        let header = match SegmentHeader::decode(segment.bytes(ByteOffset(0), SEGMENT_HEADER_LEN, &mut buffer)?) {
            Ok(header) => header,
            Err(error) => {
                let message = format!("the header of {} is damaged: {error}", segment.path);
                self.report(place.finding(Code::SegmentHeader, message).at_index(segment.entry.id.0));
                return Ok(true);
            }
        };
        let mismatch = |what: &str, expected: String, found: String| {
            let message = format!("the header of {} states another {what}", segment.path);
            place.finding(Code::SegmentHeaderMismatch, message).because(expected, found).at_index(segment.entry.id.0)
        };
        if header.id() != segment.entry.id {
            self.report(mismatch("segment", segment.entry.id.to_string(), header.id().to_string()));
            return Ok(false);
        }
        for (what, expected, found) in self.disagreements(segment, &header) {
            self.report(mismatch(what, expected, found));
        }
        segment.nonce = Some(header.nonce);
        if self.chain.rules.is_none() {
            self.keys.learn_origin(&header.origin);
            self.first_header = Some((place, header.ledger_id, header.origin.clone()));
        }
        self.chain.resume(&header);
        Ok(true)
    }

    /// The first segment's header stands before genesis and is compared once genesis was read.
    pub(super) fn check_first_header(&mut self) {
        let Some((place, ledger_id, origin)) = self.first_header.take() else { return };
        let genesis_origin = self.chain.rules.as_ref().map(|rules| rules.genesis().origin.to_string());
        let pairs = [
            ("ledger id", self.chain.ledger_id.map(|id| id.to_string()), ledger_id.to_string()),
            ("origin", genesis_origin, origin.to_string()),
        ];
        for (what, expected, found) in pairs {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                let message = format!("the header of the first segment states another {what} than genesis");
                self.report(place.finding(Code::SegmentHeaderMismatch, message).because(expected, found));
            }
        }
    }

    /// Where a header contradicts what is known of the ledger before it.
    fn disagreements(&self, segment: &Segment, header: &SegmentHeader) -> Vec<(&'static str, String, String)> {
        let chain = &self.chain;
        let genesis_origin = chain.rules.as_ref().map(|rules| rules.genesis().origin.to_string());
        let root = (!chain.assumed).then(|| chain.tree.as_ref().map(|tree| tree.root().to_string())).flatten();
        let time = (chain.losses == 0).then(|| chain.time.to_string());
        let pairs = [
            ("generation", Some(segment.entry.generation.0.to_string()), header.generation.0.to_string()),
            ("ledger id", chain.ledger_id.map(|id| id.to_string()), header.ledger_id.to_string()),
            ("origin", genesis_origin, header.origin.to_string()),
            ("tree before it", root, header.frontier.root().to_string()),
            ("previous leaf hash", chain.prev.map(|leaf| leaf.to_string()), header.prev.to_string()),
            ("previous time", time, header.last_time.to_string()),
            ("number of control receipts", chain.control.map(|c| c.0.to_string()), header.control_seq.to_string()),
            ("control head", chain.control.map(|c| c.1.to_string()), header.control_head.to_string()),
        ];
        let differs = |(what, expected, found): (&'static str, Option<String>, String)| {
            expected.filter(|expected| *expected != found).map(|expected| (what, expected, found))
        };
        pairs.into_iter().filter_map(differs).collect()
    }

    /// Reads the frames and returns where they end.
    fn walk(&mut self, segment: &mut Segment) -> Result<ByteOffset, AuditError> {
        let mut at = ByteOffset(SEGMENT_HEADER_LEN as u64);
        let mut buffer = Vec::new();
        while at.0 < segment.frames_end && segment.end != Some(self.chain.next) {
            let read = segment.read(at, &mut buffer)?;
            at = match read {
                Read::Zeros => break,
                Read::Frame { frame, bytes } if segment.fits(frame.header(), self.chain.next) => {
                    match self.frame(segment, at, &frame, bytes, None) {
                        true => self.behind(segment, at, frame.header())?,
                        false => self.damage(segment, at, &Obstacle::Forged)?,
                    }
                }
                Read::Frame { frame, .. } => {
                    self.damage(segment, at, &Obstacle::Foreign { first: frame.header().start.first })?
                }
                Read::Damaged { salvage: Some((frame, bytes)), error }
                    if segment.fits(frame.header(), self.chain.next) =>
                {
                    match self.frame(segment, at, &frame, bytes, Some(error)) {
                        true => self.behind(segment, at, frame.header())?,
                        false => self.damage(segment, at, &Obstacle::Unreadable(error))?,
                    }
                }
                Read::Damaged { error, .. } => self.damage(segment, at, &Obstacle::Unreadable(error))?,
            };
            self.tell_progress();
        }
        Ok(at)
    }

    /// Checks the padding behind a frame and returns where the next one may begin.
    fn behind(&mut self, segment: &Segment, at: ByteOffset, header: &FrameHeader) -> Result<ByteOffset, AuditError> {
        let end = at.plus(header.frame_len as u64);
        let next = end.align_up();
        if let Some((first, _)) = not_zero(segment.file.as_ref(), &segment.path, end.0, next.0.min(segment.len))? {
            let finding = segment
                .place(ByteOffset(first))
                .finding(Code::PaddingNotZero, format!("bytes behind the frame at {at} are not zero"))
                .at_index(header.start.first);
            self.account.settle(Unit::new(TreeSize(header.start.first.0), header.end()).with(finding));
        }
        Ok(next)
    }

    /// Accounts for receipts that should follow and do not, up to `end`.
    pub(super) fn lose_rest(&mut self, end: TreeSize, place: Option<&Place>) {
        let next = self.chain.next;
        if next >= end {
            return;
        }
        let mut unit = Unit::lost(next, end, Verdict::Missing);
        if let Some(place) = place {
            let message = format!("the receipts from {next} to {} are missing", end.0 - 1);
            let mut finding = place.finding(Code::ReceiptsMissing, message).at_index(next.next_index());
            finding = finding.because(format!("tree size {end}"), format!("tree size {next}"));
            unit.findings.push(Finding { count: Some(end.0 - next.0), ..finding });
        }
        self.account.settle(unit);
        self.chain.lose(end, None);
    }

    fn tell_progress(&mut self) {
        const EVERY: u64 = 1 << 16;
        if let Some(tell) = self.options.progress
            && self.chain.next.0 / EVERY > self.progress_at
        {
            self.progress_at = self.chain.next.0 / EVERY;
            tell(self.chain.next);
        }
    }
}
