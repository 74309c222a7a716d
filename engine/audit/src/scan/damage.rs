//! Finding out which receipts a damaged place holds, and where the ledger goes on behind it.

use super::account::Unit;
use super::files::last_used;
use super::keys::Unsigned;
use super::leaf_aid::{AidedFrame, LeafAid};
use super::segment::{Segment, SegmentScan};
use super::segment_file::{Place, may_stand};
use crate::error::AuditError;
use crate::report::{Code, Finding, Verdict};
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameIndex};
use counterfoil_format::{ByteOffset, FRAME_ALIGN, FormatError};
use counterfoil_proof::{Envelope, LeafHash, LeafIndex, TreeSize};

/// What stands where the next frame should.
pub(super) enum Obstacle {
    /// Bytes that are no frame.
    Unreadable(FormatError),
    /// A frame whose envelopes do not lead to its signed root.
    Forged,
    /// A frame of another place in the ledger, or of another segment.
    Foreign {
        /// Index of its first receipt.
        first: LeafIndex,
    },
}

impl SegmentScan<'_, '_> {
    /// Accounts for what is lost at a place that holds no acceptable frame, and returns where to go on.
    pub(super) fn damage(
        &mut self,
        segment: &mut Segment<'_>,
        at: ByteOffset,
        obstacle: &Obstacle,
    ) -> Result<ByteOffset, AuditError> {
        segment.damaged = true;
        self.check_last_signature(segment);
        // A whole frame of a later place: what is between was cut out, and it is where the ledger goes on.
        let ahead = matches!(obstacle, Obstacle::Foreign { first } if first.0 > self.out.chain.state.next.0);
        let from = if ahead { at } else { at.plus(FRAME_ALIGN) };
        let place = segment.file.place(at);
        match self.find_next(segment, from)? {
            Some((found, first)) if found == at => {
                self.lose_rest(first, Some(&place));
                Ok(at)
            }
            Some((found, first)) => {
                self.corrupt(segment, &place, first, obstacle)?;
                Ok(found)
            }
            None => {
                let end = segment.end.unwrap_or_else(|| self.out.account.mark().max(self.out.chain.state.next));
                self.corrupt(segment, &place, end, obstacle)?;
                if segment.end.is_none() {
                    self.junk(segment, at, obstacle)?;
                }
                Ok(ByteOffset(segment.frames_end))
            }
        }
    }

    /// Looks for the next frame that recovery would accept behind damage: aligned, of this segment, signed.
    fn find_next(&self, segment: &Segment<'_>, from: ByteOffset) -> Result<Option<(ByteOffset, TreeSize)>, AuditError> {
        let mut buffer = Vec::new();
        let mut at = from;
        while at.0 < segment.frames_end {
            if let Ok(header) = FrameHeader::decode(segment.file.bytes(at, FRAME_HEADER_LEN, &mut buffer)?)
                && self.is_ahead(segment, &header)
                && let Ok(frame) = Frame::decode(segment.file.bytes(at, header.frame_len, &mut buffer)?)
                && matches!(self.context.keys.check(frame.commit(), frame.commit().root), Ok(_) | Err(Unsigned::NoKey))
            {
                return Ok(Some((at, TreeSize(header.start.first.0))));
            }
            at = at.plus(FRAME_ALIGN);
        }
        Ok(None)
    }

    fn is_ahead(&self, segment: &Segment<'_>, header: &FrameHeader) -> bool {
        header.start.first.0 >= self.out.chain.state.next.0 && may_stand(header, segment.nonce, segment.end)
    }

    /// Receipts up to `end` stand in damaged bytes. Names them one by one where the leaf file allows it.
    fn corrupt(
        &mut self,
        segment: &mut Segment<'_>,
        place: &Place,
        end: TreeSize,
        obstacle: &Obstacle,
    ) -> Result<(), AuditError> {
        let next = self.out.chain.state.next;
        if next == end {
            if next < self.out.account.mark() || segment.file.is_sealed() {
                let message = format!("bytes that belong to no frame stand before receipt {next}");
                let finding = place.finding(Code::BytesBehindFrames, message);
                self.settle(Unit::lost(next, end, Verdict::Corrupt).with(finding));
            }
            return Ok(());
        }
        if segment.aid.is_none() {
            segment.aid = Some(LeafAid::load(self.context.source, &segment.file.entry)?);
        }
        let aided = match segment.aid.as_ref().and_then(Option::as_ref) {
            Some(aid) => aid.leaves(next.next_index(), end)?.zip(aid.frames(next.next_index(), end)),
            None => None,
        };
        let Some((leaves, frames)) = aided else {
            self.corrupt_range(place, end, obstacle);
            self.out.chain.lose(end, None);
            return Ok(());
        };
        for frame in frames {
            let start = usize::try_from(frame.first.0 - next.0).unwrap_or(usize::MAX);
            let count = usize::try_from(frame.end.0 - frame.first.0).unwrap_or(usize::MAX);
            let unit = aided_unit(segment, frame, &leaves[start..][..count], obstacle)?;
            self.settle(unit);
        }
        self.out.chain.lose(end, Some(&leaves));
        Ok(())
    }

    /// Receipts that cannot be told apart: those below the mark are lost, those above were never promised.
    fn corrupt_range(&mut self, place: &Place, end: TreeSize, obstacle: &Obstacle) {
        let (next, mark) = (self.out.chain.state.next, self.out.account.mark());
        let split = mark.clamp(next, end);
        for (first, end) in [(next, split), (split, end)] {
            if first < end {
                let finding = range_finding(place, first, end, obstacle);
                self.settle(Unit::lost(first, end, Verdict::Corrupt).with(finding));
            }
        }
    }

    /// Bytes behind the last frame of the last segment: a crash may leave them.
    fn junk(&mut self, segment: &Segment<'_>, at: ByteOffset, obstacle: &Obstacle) -> Result<(), AuditError> {
        let file = segment.file;
        let Some(last) = last_used(file.file.as_ref(), &file.path, at.0, segment.frames_end)? else { return Ok(()) };
        let size = self.out.chain.state.next.max(self.out.account.mark());
        let message = format!("bytes behind the last frame are no frame: {}", obstacle.words());
        let finding = segment.file.place(at).finding(Code::BytesBehindFrames, message);
        let next = "nothing: recovery sets them aside under cut/ when the ledger is opened".to_owned();
        let mut unit = Unit { accepted: false, ..Unit::new(size, size) }.with(Finding { next, ..finding });
        unit.damaged_bytes = last + 1 - at.0;
        self.settle(unit);
        Ok(())
    }
}

impl Obstacle {
    fn words(&self) -> String {
        match self {
            Self::Unreadable(error) => error.to_string(),
            Self::Forged => "the envelopes do not lead to the signed root".to_owned(),
            Self::Foreign { first } => {
                format!("a frame of another place in the ledger, which begins with receipt {first}")
            }
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Forged => Code::RootMismatch,
            Self::Unreadable(_) | Self::Foreign { .. } => Code::RangeCorrupt,
        }
    }
}

fn range_finding(place: &Place, first: TreeSize, end: TreeSize, obstacle: &Obstacle) -> Finding {
    let (last, why) = (end.0 - 1, obstacle.words());
    let message = match end.0 - first.0 {
        1 => format!("receipt {first} cannot be read: {why}"),
        _ => format!("the receipts from {first} to {last} cannot be read: {why}"),
    };
    let finding = place.finding(obstacle.code(), message).at_index(first.next_index());
    Finding { count: Some(end.0 - first.0), ..finding }
}

/// Judges the receipts of a damaged frame one by one, against the leaf hashes that the leaf file has for them.
fn aided_unit(
    segment: &Segment<'_>,
    frame: AidedFrame,
    leaves: &[LeafHash],
    obstacle: &Obstacle,
) -> Result<Unit, AuditError> {
    let (first, place) = (TreeSize(frame.first.0), segment.file.place(frame.offset));
    let mut buffer = Vec::new();
    let header = FrameHeader::decode(segment.file.bytes(frame.offset, FRAME_HEADER_LEN, &mut buffer)?);
    let index = match header {
        Ok(header) if header.start.first == frame.first && header.end() == frame.end => {
            FrameIndex::decode(segment.file.bytes(frame.offset, header.index_len(), &mut buffer)?).ok()
        }
        _ => None,
    };
    let Some(index) = index else {
        let finding = range_finding(&place, first, frame.end, obstacle);
        return Ok(Unit::lost(first, frame.end, Verdict::Corrupt).with(finding));
    };
    let mut unit = Unit { accepted: false, ..Unit::new(first, frame.end) };
    for (at, leaf) in leaves.iter().enumerate() {
        let envelope = index.envelope(at, |earlier| leaves[earlier]).ok();
        let envelope = envelope.filter(|envelope| envelope.leaf_hash() == *leaf);
        let verdict = match &envelope {
            Some(envelope) => payload_verdict(segment, frame, &index, at, envelope, &mut buffer)?,
            None => Verdict::Corrupt,
        };
        unit.verdicts.add(verdict, 1);
        if verdict != Verdict::Present {
            unit.findings.push(aided_finding(&place, &index, at, envelope, verdict));
        }
    }
    if unit.findings.is_empty() {
        let message = format!("a byte of the frame is damaged that belongs to no receipt: {}", obstacle.words());
        unit.findings.push(place.finding(Code::FrameDamaged, message).at_index(frame.first));
    }
    Ok(unit)
}

fn payload_verdict(
    segment: &Segment<'_>,
    frame: AidedFrame,
    index: &FrameIndex,
    at: usize,
    envelope: &Envelope,
    buffer: &mut Vec<u8>,
) -> Result<Verdict, AuditError> {
    let Some((salt, range)) = index.payload(at) else { return Ok(Verdict::Missing) };
    let payload = segment.file.bytes(frame.offset.plus(range.start as u64), range.len(), buffer)?;
    let opens = payload.len() == range.len() && envelope.commitment.opens_to(&salt, payload);
    Ok(if opens { Verdict::Present } else { Verdict::Corrupt })
}

fn aided_finding(
    place: &Place,
    index: &FrameIndex,
    at: usize,
    envelope: Option<Envelope>,
    verdict: Verdict,
) -> Finding {
    let receipt = LeafIndex(index.header().start.first.0 + at as u64);
    let Some(envelope) = envelope else {
        let message = format!("receipt {receipt}: its envelope is not the one in the tree");
        return place.finding(Code::ReceiptCorrupt, message).at_index(receipt);
    };
    let (code, what) = match verdict {
        Verdict::Missing => (Code::PayloadMissing, "its payload is gone and no tombstone permits that"),
        _ => (Code::ReceiptCorrupt, "its payload is not the one committed to"),
    };
    let within = index.payload(at).map_or(0, |(_, range)| range.start as u64);
    let place = Place { offset: place.offset.plus(within), ..place.clone() };
    let message = format!("receipt {receipt} ({}, {}): {what}", envelope.stream, envelope.kind);
    let finding = place.finding(code, message).at_index(receipt);
    Finding { stream: Some(envelope.stream), kind: Some(envelope.kind), ..finding }
}
