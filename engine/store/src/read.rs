//! Reading: receipts recomputed against their leaf hashes. One choke point, [`content_of`], hands out
//! payloads.

use crate::error::ReadError;
use crate::segment::{Segment, SegmentError, State};
use crate::shared::{Shared, segment_of};
use crate::streams;
use crate::types::{Content, Cursor, Page, Receipt, Selection};
use bytes::Bytes;
use core::ops::Range;
use counterfoil_format::frame::{self, Frame, FrameHeader, FrameIndex};
use counterfoil_format::{ByteOffset, FormatError};
use counterfoil_proof::{Envelope, Hash, LeafHash, LeafIndex, Salt, StreamName, StreamSeq, TreeSize};
use std::io;
use std::sync::Arc;

/// Why a receipt could not be read.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Damaged { offset: ByteOffset, what: &'static str },
}

impl From<SegmentError> for Fault {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged { offset: ByteOffset(0), what: "the file is shorter than its frames" }
            }
            SegmentError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                Self::Damaged { offset: ByteOffset(0), what: "the file is gone" }
            }
            SegmentError::Io(error) => Self::Io(error),
            SegmentError::Damaged { offset, .. } => {
                Self::Damaged { offset, what: "the stored bytes cannot be decoded" }
            }
        }
    }
}

impl Fault {
    pub(crate) fn of(self, index: LeafIndex, segment: &Segment) -> ReadError {
        let segment = segment.id.0;
        match self {
            Self::Io(source) => ReadError::Io { segment, source },
            Self::Damaged { offset, what } => ReadError::Corrupt { index, segment, offset: offset.0, what },
        }
    }
}

/// Reads one receipt of a segment and recomputes it: its envelope must hash to the leaf in the tree, its payload must
/// open the commitment. Of the other receipts of its frame no more is looked at than it takes to find it.
pub(crate) fn receipt_in(
    segment: &Segment,
    index: LeafIndex,
    leaf_of: impl Fn(LeafIndex) -> Result<LeafHash, SegmentError>,
) -> Result<Receipt, Fault> {
    let part = FramePart::read(segment, index, FrameHeader::index_len)?;
    let (envelope, leaf) = part.envelope(index, leaf_of)?;
    let payload = frame::payload_at(&part.bytes, part.place(index));
    let payload = payload.map_err(|_| part.damaged("the payload cannot be found"))?;
    let content = content_of(segment, part.offset, &envelope, payload)?;
    Ok(Receipt { envelope, leaf, content })
}

/// The beginning of a frame.
struct FramePart {
    bytes: Vec<u8>,
    offset: ByteOffset,
    first: LeafIndex,
}

impl FramePart {
    /// Reads as much of the frame that holds a receipt as `len` says.
    fn read(segment: &Segment, index: LeafIndex, len: impl Fn(&FrameHeader) -> usize) -> Result<Self, Fault> {
        let (first, offset) = segment.frame_of(index)?;
        let (header, bytes) = segment.frame_part(offset, len)?;
        let part = Self { bytes, offset, first };
        if header.start.first == first && (first..header.end().next_index()).contains(&index) {
            Ok(part)
        } else {
            Err(part.damaged("the frame holds other receipts"))
        }
    }

    fn damaged(&self, what: &'static str) -> Fault {
        Fault::Damaged { offset: self.offset, what }
    }

    fn place(&self, index: LeafIndex) -> usize {
        usize::try_from(index.0 - self.first.0).expect("a frame's receipts fit memory")
    }

    /// The envelope of a receipt, recomputed.
    fn envelope(
        &self,
        index: LeafIndex,
        leaf_of: impl Fn(LeafIndex) -> Result<LeafHash, SegmentError>,
    ) -> Result<(Envelope, LeafHash), Fault> {
        let place = self.place(index);
        let rebuild = |leaves: &mut dyn FnMut(usize) -> LeafHash| frame::envelope_at(&self.bytes, place, leaves);
        recomputed(rebuild, (self.first, self.offset), index, leaf_of)
    }
}

/// Rebuilds an envelope with the leaf hashes of earlier receipts, and compares it with its own.
fn recomputed(
    rebuild: impl FnOnce(&mut dyn FnMut(usize) -> LeafHash) -> Result<Envelope, FormatError>,
    (first, offset): (LeafIndex, ByteOffset),
    index: LeafIndex,
    leaf_of: impl Fn(LeafIndex) -> Result<LeafHash, SegmentError>,
) -> Result<(Envelope, LeafHash), Fault> {
    let leaf = leaf_of(index)?;
    let mut unreadable = None;
    let envelope = rebuild(&mut |earlier| {
        leaf_of(LeafIndex(first.0 + earlier as u64)).unwrap_or_else(|error| {
            unreadable = Some(error);
            Hash::ZERO
        })
    });
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    match envelope {
        Ok(envelope) if envelope.leaf_hash() == leaf => Ok((envelope, leaf)),
        Ok(_) => Err(Fault::Damaged { offset, what: "the envelope does not hash to its leaf" }),
        Err(_) => Err(Fault::Damaged { offset, what: "the envelope cannot be rebuilt" }),
    }
}

/// Salt and payload of a receipt, compared with its commitment. Every payload is handed out here.
fn content_of(
    segment: &Segment,
    frame: ByteOffset,
    envelope: &Envelope,
    payload: Option<(Salt, Range<usize>)>,
) -> Result<Option<Content>, Fault> {
    let Some((salt, range)) = payload else {
        // Neither leaf nor commitment says whether a payload is there. The frame's checksum does, and one that is damaged
        // may have turned a payload into a hole.
        let whole = segment.frame_bytes(frame)?;
        let what = "a payload is missing from a frame whose checksum is wrong";
        return Frame::decode(&whole).map(|_| None).map_err(|_| Fault::Damaged { offset: frame, what });
    };
    let at = frame.plus(range.start as u64);
    let payload = segment.read(at, range.len())?;
    if !envelope.commitment.opens_to(&salt, &payload) {
        return Err(Fault::Damaged { offset: at, what: "the payload does not open its commitment" });
    }
    Ok(Some(Content { salt, payload: Bytes::from(payload) }))
}

/// One frame of a segment, its payloads left where they are.
struct FrameReader<'s> {
    segment: &'s Segment,
    index: FrameIndex,
    offset: ByteOffset,
    first: LeafIndex,
    /// Leaf hashes of all its receipts, of a sealed segment; those of an open one are in memory.
    leaves: Vec<LeafHash>,
}

impl<'s> FrameReader<'s> {
    /// The frame that holds a receipt.
    fn open(segment: &'s Segment, index: LeafIndex) -> Result<Self, Fault> {
        let (first, offset) = segment.frame_of(index)?;
        let frame = segment.frame_index(offset)?;
        let end = frame.header().end().next_index();
        if frame.header().start.first != first || !(first..end).contains(&index) {
            return Err(Fault::Damaged { offset, what: "the frame holds other receipts" });
        }
        let leaves = match &segment.state {
            State::Sealed(sealed) if sealed.end.0 < end.0 => {
                return Err(Fault::Damaged { offset, what: "the frame goes on behind its segment" });
            }
            State::Sealed(sealed) => sealed.leaves(first, end.0 - first.0)?,
            State::Open { .. } => Vec::new(),
        };
        Ok(Self { segment, index: frame, offset, first, leaves })
    }

    fn contains(&self, index: LeafIndex) -> bool {
        (self.first..self.index.header().end().next_index()).contains(&index)
    }

    fn place(&self, index: LeafIndex) -> usize {
        usize::try_from(index.0 - self.first.0).expect("a frame's receipts fit memory")
    }

    fn receipt(
        &self,
        index: LeafIndex,
        leaf_of: impl Fn(LeafIndex) -> Result<LeafHash, SegmentError>,
    ) -> Result<Receipt, Fault> {
        let place = self.place(index);
        let rebuild = |leaves: &mut dyn FnMut(usize) -> LeafHash| self.index.envelope(place, leaves);
        let leaf_of = |at| self.leaves.get(self.place(at)).map_or_else(|| leaf_of(at), |leaf| Ok(*leaf));
        let (envelope, leaf) = recomputed(rebuild, (self.first, self.offset), index, leaf_of)?;
        let content = content_of(self.segment, self.offset, &envelope, self.index.payload(place))?;
        Ok(Receipt { envelope, leaf, content })
    }
}

/// Segments and size at one moment.
struct View {
    segments: Arc<Vec<Arc<Segment>>>,
    size: TreeSize,
}

fn view(shared: &Shared) -> View {
    let published = shared.published();
    View { segments: published.segments.clone(), size: published.size() }
}

fn leaf_in(shared: &Shared, segments: &[Arc<Segment>], index: LeafIndex) -> Result<LeafHash, SegmentError> {
    if let Some(leaf) = shared.published().tree.leaf(index) {
        return Ok(leaf);
    }
    let segment = segment_of(segments, index);
    if let State::Sealed(sealed) = &segment.state {
        return sealed.leaves(index, 1).map(|leaves| leaves[0]);
    }
    // Sealed since the view was taken; the tree let go of its leaves after that.
    let segment = shared.published().segment_of(index).clone();
    segment.sealed().leaves(index, 1).map(|leaves| leaves[0])
}

/// Leaf hash of a published receipt.
pub(crate) fn leaf_hash(shared: &Shared, index: LeafIndex) -> Result<LeafHash, ReadError> {
    let view = view(shared);
    if !view.size.contains(index) {
        return Err(ReadError::UnknownIndex { index, size: view.size });
    }
    leaf_in(shared, &view.segments, index)
        .map_err(|error| Fault::from(error).of(index, segment_of(&view.segments, index)))
}

/// Envelope and leaf hash of a receipt, recomputed.
pub(crate) fn envelope(
    shared: &Shared,
    segments: &[Arc<Segment>],
    index: LeafIndex,
) -> Result<(Envelope, LeafHash), ReadError> {
    let segment = segment_of(segments, index);
    let part = FramePart::read(segment, index, FrameHeader::heads_end);
    let found = part.and_then(|part| part.envelope(index, |at| leaf_in(shared, segments, at)));
    found.map_err(|fault| fault.of(index, segment))
}

/// Reads one receipt.
pub(crate) fn get(shared: &Shared, index: LeafIndex) -> Result<Receipt, ReadError> {
    let view = view(shared);
    if !view.size.contains(index) {
        return Err(ReadError::UnknownIndex { index, size: view.size });
    }
    let segment = segment_of(&view.segments, index);
    receipt_in(segment, index, |at| leaf_in(shared, &view.segments, at)).map_err(|fault| fault.of(index, segment))
}

/// How much of a page at most.
#[derive(Clone, Copy)]
pub(crate) struct PageBounds {
    pub(crate) receipts_max: usize,
    /// Payload bytes, reached by the last receipt.
    pub(crate) bytes_max: usize,
}

/// Reads a page.
pub(crate) fn read(
    shared: &Shared,
    selection: &Selection,
    after: Option<Cursor>,
    bounds: PageBounds,
) -> Result<Page, ReadError> {
    let mut pager = Pager { shared, view: view(shared), bounds, receipts: Vec::new(), bytes: 0 };
    let next = match selection {
        Selection::Ledger { from } => {
            let from = after.map_or(*from, |cursor| cursor.0);
            let end = pager.view.size.next_index();
            pager.take((from.0..end.0).map(LeafIndex), |_, _| true)?
        }
        Selection::Stream { stream, from } => pager.take_stream(stream, *from, after)?,
    };
    Ok(Page { receipts: pager.receipts, next: next.map(Cursor) })
}

struct Pager<'a> {
    shared: &'a Shared,
    view: View,
    bounds: PageBounds,
    receipts: Vec<Receipt>,
    bytes: usize,
}

impl Pager<'_> {
    fn take_stream(
        &mut self,
        stream: &StreamName,
        from: StreamSeq,
        after: Option<Cursor>,
    ) -> Result<Option<LeafIndex>, ReadError> {
        let from = match after {
            None => from,
            Some(Cursor(index)) if !self.view.size.contains(index) => return Ok(None),
            Some(Cursor(index)) => {
                let (envelope, _) = envelope(self.shared, &self.view.segments, index)?;
                if envelope.stream != *stream {
                    return Err(ReadError::OtherStream { stream: stream.clone(), index });
                }
                envelope.stream_seq
            }
        };
        // One more than fits the page tells where the next one begins.
        let wanted = self.bounds.receipts_max.saturating_add(1);
        let extent = streams::positions(self.shared, stream, from, self.view.size, wanted)?;
        let extent = extent.ok_or_else(|| ReadError::UnknownStream { stream: stream.clone() })?;
        let first = extent.first;
        self.take(extent.indices.into_iter(), |nth, envelope| {
            envelope.stream == *stream && envelope.stream_seq.0 == first.0 + nth
        })
    }

    /// Takes receipts until the page is full; answers with the first one that did not fit. `belongs` is told how many came
    /// before.
    fn take(
        &mut self,
        indices: impl Iterator<Item = LeafIndex>,
        belongs: impl Fn(u64, &Envelope) -> bool,
    ) -> Result<Option<LeafIndex>, ReadError> {
        let segments = self.view.segments.clone();
        let leaf_of = |at| leaf_in(self.shared, &segments, at);
        let mut frame: Option<FrameReader<'_>> = None;
        let mut indices = (0..).zip(indices).peekable();
        while let Some((nth, index)) = indices.next() {
            if self.is_full() {
                return Ok(Some(index));
            }
            let segment = segment_of(&segments, index);
            let here = |fault: Fault| fault.of(index, segment);
            frame = frame.filter(|frame| frame.contains(index));
            // A frame is read whole when the next receipt wanted is in it too.
            if frame.is_none()
                && let Some((_, next)) = indices.peek()
                && segment.shares_frame(index, *next).map_err(|error| here(error.into()))?
            {
                frame = Some(FrameReader::open(segment, index).map_err(here)?);
            }
            let receipt = match &frame {
                Some(frame) => frame.receipt(index, leaf_of),
                None => receipt_in(segment, index, leaf_of),
            };
            let receipt = receipt.map_err(here)?;
            if !belongs(nth, &receipt.envelope) {
                return Err(streams::disagrees(index, &segments));
            }
            self.bytes += receipt.content.as_ref().map_or(0, |content| content.payload.len());
            self.receipts.push(receipt);
        }
        Ok(None)
    }

    fn is_full(&self) -> bool {
        self.receipts.len() >= self.bounds.receipts_max
            || (self.bytes >= self.bounds.bytes_max && !self.receipts.is_empty())
    }
}
