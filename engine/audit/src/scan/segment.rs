//! Judging one segment from the state its header states, without looking at any other.

use super::account::{Account, Unit};
use super::chain::{Chain, State};
use super::context::Context;
use super::control::Control;
use super::damage::Obstacle;
use super::files::segment_path;
use super::keys::Unchecked;
use super::leaf_aid::LeafAid;
use super::leaf_book::LeafBlocks;
use super::links::OutwardLink;
use super::segment_file::{FramePlaces, Place, Read, SegmentFile, fits};
use super::show::ShownReceipt;
use super::stream_runs::StreamRuns;
use super::window::Window;
use crate::error::AuditError;
use crate::report::{Code, Finding, Verdict};
use counterfoil_format::frame::FrameHeader;
use counterfoil_format::{
    ByteOffset, ManifestEntry, SEGMENT_HEADER_LEN, SegmentFooter, SegmentHeader, SegmentState, segment_file_name,
};
use counterfoil_proof::{LeafIndex, Timestamp, TreeSize};
use std::collections::BTreeSet;

/// Where a segment stands in the ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) entry: ManifestEntry,
    /// Tree size at its end, where MANIFEST or the next segment says so.
    pub(super) end: Option<TreeSize>,
}

impl Plan {
    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.entry.state, SegmentState::Sealed { .. })
    }

    /// The plan of every segment, in order.
    pub(super) fn of_all(entries: &[ManifestEntry]) -> Vec<Self> {
        let ends = entries.iter().skip(1).map(|next| Some(TreeSize(next.id.0.0))).chain([None]);
        let plan = |(entry, next): (&ManifestEntry, _)| match entry.state {
            SegmentState::Sealed { end, .. } => Self { entry: *entry, end: Some(end) },
            SegmentState::Open => Self { entry: *entry, end: next },
        };
        entries.iter().zip(ends).map(plan).collect()
    }
}

/// What to judge a segment from, and what to find out on the way.
pub(super) struct Errand<'s> {
    /// The ledger before the segment; `None` takes the header's word, which the state before is compared with later.
    pub(super) start: Option<&'s State>,
    /// Tree sizes whose root is asked for.
    pub(super) watched: BTreeSet<u64>,
    /// A receipt to be shown; its frame's signature is checked, and what follows is not read.
    pub(super) wanted: Option<LeafIndex>,
}

/// What was found out about one segment.
pub(super) struct Judged {
    pub(super) plan: Plan,
    /// Name of its file.
    pub(super) name: String,
    pub(super) heading: Heading,
    /// Verdicts and findings.
    pub(super) account: Account,
    /// The ledger behind the segment.
    pub(super) chain: Chain,
    pub(super) frames: FramePlaces,
    pub(super) damaged: bool,
    pub(super) streams: StreamRuns,
    pub(super) links: Vec<OutwardLink>,
    pub(super) controls: Vec<Control>,
    pub(super) control_receipts: u64,
    pub(super) signatures: Signatures,
    /// Digests of the leaf file's blocks, if the file fits.
    pub(super) blocks: Option<LeafBlocks>,
    /// The file has another digest than it should; said only where nothing else locates the damage.
    pub(super) digest: Option<Finding>,
    /// End of the last frame read, for HEAD: tree size and place.
    pub(super) last_frame: Option<(TreeSize, Place)>,
    pub(super) shown: Option<ShownReceipt>,
}

/// What there is of a segment's header.
pub(super) enum Heading {
    /// It decodes.
    Read(Box<SegmentHeader>),
    /// It does not, so the state before the segment has to be told.
    Damaged,
    /// There is no such segment in the file, or no file.
    Absent,
}

/// Frames read, and those whose signature was checked and found valid.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signatures {
    pub(super) frames: u64,
    pub(super) valid: u64,
}

/// A segment that is being read.
pub(super) struct Segment<'f> {
    pub(super) file: &'f SegmentFile,
    pub(super) end: Option<TreeSize>,
    /// Repeated in every frame; learned from the first frame when the header is damaged.
    pub(super) nonce: Option<[u8; 16]>,
    /// No frame lies behind this.
    pub(super) frames_end: u64,
    pub(super) footer: Option<(ByteOffset, SegmentFooter)>,
    /// What its footer and leaf file must say.
    pub(super) frames: FramePlaces,
    pub(super) first_time: Option<Timestamp>,
    pub(super) payload_bytes: u64,
    pub(super) control_indices: Vec<LeafIndex>,
    /// Some of its receipts could not be read: frames count only with a valid signature from then on.
    pub(super) damaged: bool,
    pub(super) unchecked: Option<Unchecked>,
    /// Leaf hashes from the leaf file, read when they are needed.
    pub(super) aid: Option<Option<LeafAid>>,
}

/// A segment's judgement in progress.
pub(super) struct SegmentScan<'c, 'a> {
    pub(super) context: &'c Context<'a>,
    pub(super) wanted: Option<LeafIndex>,
    pub(super) out: Judged,
}

/// Judges a segment. What joins it to other segments is handed back, to be judged in their order.
pub(super) fn judge_segment(context: &Context<'_>, plan: Plan, errand: Errand<'_>) -> Result<Judged, AuditError> {
    let state = errand.start.cloned().unwrap_or_else(|| State::unknown(TreeSize(plan.entry.id.0.0), Timestamp(0)));
    let out = Judged::new(context, plan, Chain::new(state, errand.watched));
    let mut scan = SegmentScan { context, wanted: errand.wanted, out };
    let Some(file) = SegmentFile::open(context.source, &plan.entry)? else {
        scan.miss();
        return Ok(scan.out);
    };
    scan.out.name.clone_from(&file.name);
    let mut segment = Segment::new(&file, plan.end);
    scan.locate_footer(&mut segment)?;
    let mut window = Window::new(file.file.as_ref(), &file.path, file.len, segment.frames_end);
    scan.out.heading = scan.enter(&mut segment, &mut window)?;
    match (&scan.out.heading, errand.start) {
        (Heading::Absent, _) => {
            scan.lose_rest(plan.end.unwrap_or(scan.out.account.mark()), None);
            return Ok(scan.out);
        }
        // Whoever asked judges it again, from the state before it.
        (Heading::Damaged, None) => return Ok(scan.out),
        (Heading::Damaged, Some(_)) => {}
        (Heading::Read(header), None) => scan.out.chain.state = State::of_header(header),
        (Heading::Read(header), Some(_)) => scan.out.chain.state.complete(header),
    }
    let at = scan.walk(&mut segment, &mut window)?;
    if scan.out.shown.is_none() {
        scan.leave(&mut segment, at, window)?;
    }
    scan.out.frames = segment.frames;
    scan.out.damaged = segment.damaged;
    Ok(scan.out)
}

impl Judged {
    fn new(context: &Context<'_>, plan: Plan, chain: Chain) -> Self {
        Self {
            plan,
            name: segment_file_name(plan.entry.id, plan.entry.generation),
            heading: Heading::Absent,
            account: Account::new(context.mark),
            chain,
            frames: FramePlaces::default(),
            damaged: false,
            streams: StreamRuns::default(),
            links: Vec::new(),
            controls: Vec::new(),
            control_receipts: 0,
            signatures: Signatures::default(),
            blocks: None,
            digest: None,
            last_frame: None,
            shown: None,
        }
    }

    /// True when the header cannot be read and nobody said what it must have stated.
    pub(super) fn needs_state(&self) -> bool {
        matches!(self.heading, Heading::Damaged) && self.frames.frames.is_empty()
    }

    /// Where the frame that holds a receipt stands, and the index of its first receipt.
    pub(super) fn place_of(&self, index: LeafIndex) -> (LeafIndex, Place) {
        let (first, offset) = self.frames.of(index).unwrap_or((index, ByteOffset(0)));
        (first, Place { segment: self.name.clone(), offset })
    }
}

impl<'f> Segment<'f> {
    fn new(file: &'f SegmentFile, end: Option<TreeSize>) -> Self {
        Self {
            file,
            end,
            nonce: None,
            frames_end: file.len,
            footer: None,
            frames: FramePlaces::default(),
            first_time: None,
            payload_bytes: 0,
            control_indices: Vec::new(),
            damaged: false,
            unchecked: None,
            aid: None,
        }
    }
}

impl SegmentScan<'_, '_> {
    pub(super) fn report(&mut self, finding: Finding) {
        self.out.account.report(finding);
    }

    pub(super) fn settle(&mut self, unit: Unit) {
        self.out.account.settle(unit);
    }

    /// There is no file.
    fn miss(&mut self) {
        let plan = self.out.plan;
        let message = format!("{} is missing", segment_path(&self.out.name));
        let finding = Finding::new(Code::SegmentMissing, message).at_index(plan.entry.id.0);
        self.report(Finding { segment: Some(self.out.name.clone()), ..finding });
        self.lose_rest(plan.end.unwrap_or(self.out.account.mark()), None);
    }

    /// Finds where a sealed segment's frames end. A segment that MANIFEST calls open may have been sealed since.
    fn locate_footer(&mut self, segment: &mut Segment<'_>) -> Result<(), AuditError> {
        match segment.file.footer()? {
            Ok((at, footer)) => {
                segment.frames_end = at.0;
                segment.footer = Some((at, footer));
            }
            Err((at, error)) if segment.file.is_sealed() => {
                let message = format!("the footer of {} is damaged: {error}", segment.file.path);
                let finding = segment.file.place(at).finding(Code::SegmentFooter, message);
                self.report(finding.at_index(segment.file.entry.id.0));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Checks length and header.
    fn enter(&mut self, segment: &mut Segment<'_>, window: &mut Window<'_>) -> Result<Heading, AuditError> {
        let file = segment.file;
        if let SegmentState::Sealed { file_len, .. } = file.entry.state
            && file_len != file.len
        {
            let message = format!("{} has another length than MANIFEST says", file.path);
            let place = file.place(ByteOffset(file_len.min(file.len)));
            self.report(place.finding(Code::SegmentLength, message).because(file_len, file.len));
        }
        let place = file.place(ByteOffset(0));
        let header = match SegmentHeader::decode(window.bytes(ByteOffset(0), SEGMENT_HEADER_LEN)?) {
            Ok(header) => header,
            Err(error) => {
                let message = format!("the header of {} is damaged: {error}", file.path);
                self.report(place.finding(Code::SegmentHeader, message).at_index(file.entry.id.0));
                return Ok(Heading::Damaged);
            }
        };
        let context = self.context;
        let origin = context.rules.as_ref().map(|rules| rules.genesis().origin.to_string());
        let facts = [
            ("segment", Some(file.entry.id.to_string()), header.id().to_string()),
            ("generation", Some(file.entry.generation.0.to_string()), header.generation.0.to_string()),
            ("ledger id", context.ledger_id.map(|id| id.to_string()), header.ledger_id.to_string()),
            ("origin", origin, header.origin.to_string()),
        ];
        let absent = header.id() != file.entry.id;
        for (what, expected, found) in facts.into_iter().take(if absent { 1 } else { 4 }) {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                self.report(header_mismatch(&place, file.entry.id.0, what).because(expected, found));
            }
        }
        segment.nonce = Some(header.nonce);
        Ok(if absent { Heading::Absent } else { Heading::Read(Box::new(header)) })
    }

    /// Reads the frames and returns where they end.
    fn walk(&mut self, segment: &mut Segment<'_>, window: &mut Window<'_>) -> Result<ByteOffset, AuditError> {
        let file = segment.file;
        let mut at = ByteOffset(SEGMENT_HEADER_LEN as u64);
        while at.0 < segment.frames_end && segment.end != Some(self.out.chain.state.next) && self.out.shown.is_none() {
            let next = self.out.chain.state.next;
            let expected = |header: &FrameHeader| fits(header, next, segment.nonce, segment.end);
            let (judged, obstacle) = match file.read(at, segment.frames_end, window)? {
                Read::Zeros => break,
                Read::Frame { frame, bytes } if expected(frame.header()) => {
                    let judged = self.frame(segment, at, &frame, bytes, None);
                    (judged.then_some(*frame.header()), Obstacle::Forged)
                }
                Read::Frame { frame, .. } => (None, Obstacle::Foreign { first: frame.header().start.first }),
                Read::Damaged { salvage: Some((frame, bytes)), error } if expected(frame.header()) => {
                    let judged = self.frame(segment, at, &frame, bytes, Some(error));
                    (judged.then_some(*frame.header()), Obstacle::Unreadable(error))
                }
                Read::Damaged { error, .. } => (None, Obstacle::Unreadable(error)),
            };
            at = match judged {
                Some(header) => self.behind(segment, at, &header, window)?,
                None => self.damage(segment, at, &obstacle)?,
            };
        }
        Ok(at)
    }

    /// Checks the padding behind a frame and returns where the next one may begin.
    fn behind(
        &mut self,
        segment: &Segment<'_>,
        at: ByteOffset,
        header: &FrameHeader,
        window: &mut Window<'_>,
    ) -> Result<ByteOffset, AuditError> {
        let end = at.plus(header.frame_len as u64);
        let next = end.align_up();
        let padding = window.bytes(end, usize::try_from(next.0 - end.0).unwrap_or(0))?;
        if let Some(first) = padding.iter().position(|byte| *byte != 0) {
            let place = segment.file.place(end.plus(first as u64));
            let message = format!("bytes behind the frame at {at} are not zero");
            let finding = place.finding(Code::PaddingNotZero, message).at_index(header.start.first);
            self.settle(Unit::new(TreeSize(header.start.first.0), header.end()).with(finding));
        }
        Ok(next)
    }

    /// Accounts for receipts that should follow and do not, up to `end`.
    pub(super) fn lose_rest(&mut self, end: TreeSize, place: Option<&Place>) {
        let next = self.out.chain.state.next;
        if next >= end {
            return;
        }
        self.settle(missing(next, end, place));
        self.out.chain.lose(end, None);
    }
}

/// The receipts from `next` to `end` are not there.
pub(super) fn missing(next: TreeSize, end: TreeSize, place: Option<&Place>) -> Unit {
    let unit = Unit::lost(next, end, Verdict::Missing);
    let Some(place) = place else { return unit };
    let message = format!("the receipts from {next} to {} are missing", end.0 - 1);
    let finding = place.finding(Code::ReceiptsMissing, message).at_index(next.next_index());
    let finding = finding.because(format!("tree size {end}"), format!("tree size {next}"));
    unit.with(Finding { count: Some(end.0 - next.0), ..finding })
}

/// A header that states something else than the ledger says.
pub(super) fn header_mismatch(place: &Place, first: LeafIndex, what: &str) -> Finding {
    let message = format!("the header of {} states another {what}", segment_path(&place.segment));
    place.finding(Code::SegmentHeaderMismatch, message).at_index(first)
}
