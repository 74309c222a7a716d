//! Finding streams.

use super::slots::{Slot, StreamHead};
use crate::error::ReadError;
use crate::read::{self, Fault};
use crate::segment::{Segment, SegmentError};
use crate::shared::{Shared, segment_of};
use counterfoil_format::{ByteOffset, FormatError};
use counterfoil_proof::{LeafIndex, StreamName, StreamSeq, TreeSize};
use std::sync::Arc;

/// The slot of a stream, brought in from the indexes if memory does not hold it. As long as the slot is held, it is where
/// the stream goes on.
pub(crate) fn resolve(shared: &Shared, stream: &StreamName) -> Result<Arc<Slot>, ReadError> {
    let streams = &shared.streams;
    if let Some(slot) = streams.slots.get(stream) {
        return Ok(slot);
    }
    loop {
        let covered = streams.covered();
        let head = head_below(shared, stream)?;
        if let Some(slot) = streams.slots.insert(stream, head, || streams.covered() == covered) {
            return Ok(slot);
        }
    }
}

/// The latest receipt of a stream in the segments that indexes cover, confirmed against the receipt itself.
fn head_below(shared: &Shared, stream: &StreamName) -> Result<Option<StreamHead>, ReadError> {
    let (runs, segments) = (shared.streams.runs(), shared.published().segments.clone());
    for run in runs.list.iter().rev() {
        let unreadable = |error| fault_of(error, run.entry.first, &segments);
        let Some((seq, latest)) = run.last(stream, &segments).map_err(unreadable)? else { continue };
        let (envelope, leaf) = read::envelope(shared, &segments, latest)?;
        if envelope.stream != *stream || envelope.stream_seq != seq {
            return Err(disagrees(latest, &segments));
        }
        return Ok(Some(StreamHead { latest, seq, leaf, closed: envelope.closes_stream }));
    }
    Ok(None)
}

/// An index names a receipt for a stream or position that is not its own.
pub(crate) fn disagrees(index: LeafIndex, segments: &[Arc<Segment>]) -> ReadError {
    let what =
        "the stream indexes name it for another stream or position; remove segments/*.streams, they are made again";
    Fault::Damaged { offset: ByteOffset(0), what }.of(index, segment_of(segments, index))
}

fn fault_of(error: SegmentError, index: LeafIndex, segments: &[Arc<Segment>]) -> ReadError {
    Fault::from(error).of(index, segment_of(segments, index))
}

/// A part of a stream: its receipts from one position on.
pub(crate) struct Extent {
    /// Position of the first one.
    pub(crate) first: StreamSeq,
    /// Their indices, ascending. Empty when the stream ends before.
    pub(crate) indices: Vec<LeafIndex>,
}

/// Receipts of a stream from position `from` on that are below `size`, at least `wanted` of them if there are so many;
/// `None` when the stream has none at all below `size`.
pub(crate) fn positions(
    shared: &Shared,
    stream: &StreamName,
    from: StreamSeq,
    size: TreeSize,
    wanted: usize,
) -> Result<Option<Extent>, ReadError> {
    // In this order: what memory let go of after this line is in the indexes that the next one sees.
    let recent = shared.streams.slots.get(stream).and_then(|slot| slot.recent());
    let (runs, segments) = (shared.streams.runs(), shared.published().segments.clone());
    let mut next = StreamSeq(0);
    let mut extent = Extent { first: from, indices: Vec::new() };
    for run in &runs.list {
        if extent.indices.len() >= wanted {
            break;
        }
        let unreadable = |error| fault_of(error, run.entry.first, &segments);
        let Some((last, _)) = run.last(stream, &segments).map_err(unreadable)? else { continue };
        let mut at = next.max(from);
        next = StreamSeq(last.0 + 1);
        while at <= last && extent.indices.len() < wanted {
            let record = run.record_at(stream, at, &segments).map_err(unreadable)?;
            let record = record.ok_or_else(|| unreadable(gap()))?;
            let skip = usize::try_from(at.0 - record.first_seq.0).expect("a record is small");
            let here = record.positions.get(skip..).filter(|here| !here.is_empty()).ok_or_else(|| unreadable(gap()))?;
            extent.indices.extend(here);
            at = StreamSeq(at.0 + here.len() as u64);
        }
    }
    if let Some((first, recent)) = recent
        && extent.indices.len() < wanted
    {
        // What the indexes cover by now may still have been in memory.
        let at = next.max(from).max(first);
        if first > next {
            return Err(fault_of(gap(), recent[0], &segments));
        }
        let skip = usize::try_from(at.0 - first.0).unwrap_or(usize::MAX);
        extent.indices.extend(recent.get(skip..).unwrap_or_default());
    }
    extent.indices.truncate(extent.indices.partition_point(|index| size.contains(*index)));
    let exists = match (extent.indices.is_empty(), from) {
        (false, _) => true,
        (true, StreamSeq(0)) => false,
        // Behind the end of a stream there is nothing, which is not the same as no stream.
        (true, _) => positions(shared, stream, StreamSeq(0), size, 1)?.is_some(),
    };
    Ok(exists.then_some(extent))
}

fn gap() -> SegmentError {
    let error = FormatError::NotCanonical { rule: "stream indexes hold every position of a stream" };
    SegmentError::Damaged { offset: ByteOffset(0), error }
}
