//! What the catalog reads of the ledger: envelopes, recomputed against their leaf hashes. No payload is looked at.

use super::entry::Entry;
use crate::error::ReadError;
use crate::read::{self, Fault};
use crate::shared::Shared;
use counterfoil_proof::{Envelope, LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};

/// What the ledger says about an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// First and last receipt are as the entry says.
    Holds,
    /// The entry is wrong.
    Contradicts,
    /// The ledger cannot be read there, so nobody knows.
    Unreadable,
}

/// Which receipt of a stream.
#[derive(Clone, Copy)]
enum End {
    First,
    Last,
}

/// Compares an entry with the receipts it names first and last.
pub(super) fn confirm(shared: &Shared, stream: &StreamName, entry: &Entry) -> Verdict {
    let mut ends = vec![(entry.last, End::Last)];
    if entry.first != entry.last {
        ends.push((entry.first, End::First));
    }
    for (index, end) in ends {
        match envelope(shared, index) {
            Ok(envelope) if entry.agrees(stream, &envelope, end) => {}
            Ok(_) | Err(ReadError::UnknownIndex { .. }) => return Verdict::Contradicts,
            Err(_) => return Verdict::Unreadable,
        }
    }
    Verdict::Holds
}

impl Entry {
    fn agrees(&self, stream: &StreamName, envelope: &Envelope, end: End) -> bool {
        let is_only = self.first == self.last;
        let (seq, time, closes) = match end {
            End::First => (0, self.first_time, false),
            End::Last => (self.receipts.wrapping_sub(1), self.last_time, self.closed),
        };
        envelope.stream == *stream
            && envelope.stream_seq == StreamSeq(seq)
            && envelope.time == time
            && envelope.closes_stream == closes
            && (!is_only || (self.receipts == 1 && self.first_time == self.last_time))
    }
}

/// The envelope of one published receipt.
fn envelope(shared: &Shared, index: LeafIndex) -> Result<Envelope, ReadError> {
    let (segments, size) = {
        let published = shared.published();
        (published.segments.clone(), published.size())
    };
    if !size.contains(index) {
        return Err(ReadError::UnknownIndex { index, size });
    }
    read::envelope(shared, &segments, index).map(|(envelope, _)| envelope)
}

/// Receipts of one frame.
pub(super) struct Stretch {
    /// Envelopes from the index asked for to the end of its frame.
    pub(super) envelopes: Vec<Envelope>,
    /// Leaf hash of the last of them.
    pub(super) last_leaf: LeafHash,
}

impl Stretch {
    /// Reads a published receipt and those behind it in the same frame. Each envelope holds the leaf hash of the one
    /// before, so that the last leaf hash vouches for all of them.
    pub(super) fn read(shared: &Shared, from: LeafIndex) -> Result<Self, ReadError> {
        let segment = shared.published().segment_of(from).clone();
        let fault = |fault: Fault| fault.of(from, &segment);
        let (first, offset) = segment.frame_of(from).map_err(|error| fault(error.into()))?;
        let damaged = |what| fault(Fault::Damaged { offset, what });
        let frame = segment.frame_index(offset).map_err(|error| fault(error.into()))?;
        let header = frame.header();
        if header.start.first != first || !header.end().contains(from) {
            return Err(damaged("the frame holds other receipts"));
        }
        let mut leaves: Vec<LeafHash> = Vec::with_capacity(header.receipts);
        let mut envelopes = Vec::with_capacity(header.receipts);
        for place in 0..header.receipts {
            let envelope = frame.envelope(place, |earlier| leaves[earlier]);
            let envelope = envelope.map_err(|_| damaged("the envelope cannot be rebuilt"))?;
            leaves.push(envelope.leaf_hash());
            if envelope.index >= from {
                envelopes.push(envelope);
            }
        }
        let last_leaf = *leaves.last().expect("a frame holds at least one receipt");
        let last = LeafIndex(header.end().0 - 1);
        if read::leaf_hash(shared, last)? != last_leaf {
            return Err(damaged("the envelopes of the frame do not lead to its last leaf"));
        }
        Ok(Self { envelopes, last_leaf })
    }

    pub(super) fn end(&self) -> TreeSize {
        self.envelopes.last().expect("it begins with the receipt asked for").index.size_including()
    }
}
