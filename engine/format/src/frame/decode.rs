//! Reading a frame, whole or in part.

use super::heads::{Head, HeadDecoder, HeadNames};
use super::table::{self, BATCH_LEN, Batch, BatchLabel, Slot, Stored};
use super::{FrameCommit, FrameHeader, MAGIC};
use crate::error::FormatError;
use crate::record;
use core::ops::Range;
use counterfoil_proof::{Envelope, Hash, Kind, LeafHash, NameError, Principal, Reader, Salt, StreamName, StreamSeq};

/// Everything of a frame but payloads and commit: enough to rebuild any of its envelopes and to find its payload.
pub struct FrameIndex {
    header: FrameHeader,
    batches: Vec<Batch>,
    names: Vec<Name>,
    heads: Vec<Head>,
    slots: Vec<Slot>,
}

/// A name as each of the types it is used as.
#[derive(Default)]
struct Name {
    stream: Option<Result<StreamName, NameError>>,
    kind: Option<Result<Kind, NameError>>,
    writer: Option<Result<Principal, NameError>>,
}

fn used<T: Clone>(name: &Option<Result<T, NameError>>, field: &'static str) -> Result<T, FormatError> {
    let name = name.clone().expect("a name was read as what the heads use it as");
    name.map_err(|error| FormatError::Name { field, error })
}

impl FrameIndex {
    /// Reads the first [`FrameHeader::index_len`] bytes of a frame. The checksum covers more than these bytes and is not
    /// looked at: what is rebuilt must be compared with known leaf hashes.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let header = FrameHeader::decode(bytes)?;
        let parts = header.parts();
        let part = |range: Range<usize>| bytes.get(range).ok_or(FormatError::Truncated);
        let batches = part(super::FRAME_HEADER_LEN..parts.names)?
            .as_chunks::<BATCH_LEN>()
            .0
            .iter()
            .map(Batch::decode)
            .collect::<Result<Vec<_>, _>>()?;
        if batches.iter().map(|batch| batch.receipts).sum::<usize>() != header.receipts {
            return Err(FormatError::NotCanonical { rule: "the batches hold all receipts of the frame" });
        }
        let names = decode_names(part(parts.names..parts.heads)?, header.names)?;
        let heads = decode_heads(part(parts.heads..parts.table)?, &header, &batches, names.len())?;
        let names = names_as_used(&names, &heads);
        let slots = table::decode_slots(part(parts.table..parts.payloads)?, header.receipts, header.payload_len)?;
        Ok(Self { header, batches, names, heads, slots })
    }

    /// The frame's header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        &self.header
    }

    /// The batches, in order.
    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Rebuilds the envelope at place `at`; `leaf_of` gives leaf hashes of earlier places of this frame.
    ///
    /// # Errors
    /// [`FormatError`] when names or fields break the rules of envelopes.
    pub fn envelope(&self, at: usize, mut leaf_of: impl FnMut(usize) -> LeafHash) -> Result<Envelope, FormatError> {
        let head = &self.heads[at];
        let names = HeadNames {
            stream: used(&self.names[usize::from(head.stream)].stream, "stream")?,
            kind: used(&self.names[usize::from(head.kind)].kind, "kind")?,
            writer: used(&self.names[usize::from(head.writer)].writer, "writer")?,
        };
        head.envelope(&self.header.start, at, names, &mut leaf_of)
    }

    /// Stream of the receipt at place `at`, and its position in it.
    ///
    /// # Errors
    /// [`FormatError::Name`] when the name breaks the rules of streams.
    pub fn stream_of(&self, at: usize) -> Result<(&StreamName, StreamSeq), FormatError> {
        let head = &self.heads[at];
        let stream = self.names[usize::from(head.stream)].stream.as_ref();
        let stream = stream.expect("a name was read as what the heads use it as").as_ref();
        Ok((stream.map_err(|error| FormatError::Name { field: "stream", error: *error })?, head.stream_seq))
    }

    /// Salt of the payload at place `at`, and where in the frame it is; `None` when it is erased.
    #[must_use]
    pub fn payload(&self, at: usize) -> Option<(Salt, Range<usize>)> {
        place_of(&self.header, self.slots[at])
    }
}

/// Rebuilds the envelope at place `at` of a frame from the first [`FrameHeader::heads_end`] bytes, without looking at more
/// of the other receipts than it takes to find it. What comes back must be compared with a known leaf hash.
///
/// # Errors
/// [`FormatError`] says what is wrong.
pub fn envelope_at(
    bytes: &[u8],
    at: usize,
    mut leaf_of: impl FnMut(usize) -> LeafHash,
) -> Result<Envelope, FormatError> {
    let header = FrameHeader::decode(bytes)?;
    let parts = header.parts();
    let part = |range: Range<usize>| bytes.get(range).ok_or(FormatError::Truncated);
    let mut before = 0;
    let mut writer = None;
    for batch in part(super::FRAME_HEADER_LEN..parts.names)?.as_chunks::<BATCH_LEN>().0 {
        let batch = Batch::decode(batch)?;
        before += batch.receipts;
        if at < before {
            writer = Some(batch.writer);
            break;
        }
    }
    let writer = writer.ok_or(FormatError::NotCanonical { rule: "the batches hold all receipts of the frame" })?;
    let decoder = HeadDecoder::new(part(parts.heads..parts.table)?, &header.start);
    let head = decoder.skip_to(at, writer)?;
    let names = part(parts.names..parts.heads)?;
    let named = |field| move |error| FormatError::Name { field, error };
    let names = HeadNames {
        stream: StreamName::from_bytes(name_at(names, head.stream)?).map_err(named("stream"))?,
        kind: Kind::from_bytes(name_at(names, head.kind)?).map_err(named("kind"))?,
        writer: Principal::from_bytes(name_at(names, head.writer)?).map_err(named("writer"))?,
    };
    head.envelope(&header.start, at, names, &mut leaf_of)
}

/// Label, number of receipts and writer of every batch of a frame. `bytes` are its first [`FrameHeader::names_end`] bytes.
///
/// # Errors
/// [`FormatError`] says what is wrong.
pub fn batches_of(bytes: &[u8]) -> Result<Vec<(BatchLabel, usize, Principal)>, FormatError> {
    let header = FrameHeader::decode(bytes)?;
    let parts = header.parts();
    let part = |range: Range<usize>| bytes.get(range).ok_or(FormatError::Truncated);
    let names = part(parts.names..parts.heads)?;
    let batches = part(super::FRAME_HEADER_LEN..parts.names)?.as_chunks::<BATCH_LEN>().0;
    let named = |error| FormatError::Name { field: "writer", error };
    let decode = |bytes| {
        let batch = Batch::decode(bytes)?;
        let writer = Principal::from_bytes(name_at(names, batch.writer)?).map_err(named)?;
        Ok((batch.label, batch.receipts, writer))
    };
    batches.iter().map(decode).collect()
}

/// Where the payload of the receipt at place `at` of a frame is, and its salt; `None` when it is erased. `bytes` are the
/// first [`FrameHeader::index_len`] bytes.
///
/// # Errors
/// [`FormatError`] says what is wrong.
pub fn payload_at(bytes: &[u8], at: usize) -> Result<Option<(Salt, Range<usize>)>, FormatError> {
    let header = FrameHeader::decode(bytes)?;
    let parts = header.parts();
    let table = bytes.get(parts.table..parts.payloads).ok_or(FormatError::Truncated)?;
    Ok(place_of(&header, table::slot_at(table, at, header.payload_len)?))
}

fn place_of(header: &FrameHeader, slot: Slot) -> Option<(Salt, Range<usize>)> {
    match slot {
        Slot::Erased => None,
        Slot::Present { salt, start, len } => {
            let start = header.parts().payloads + start;
            Some((salt, start..start + len))
        }
    }
}

fn name_at(names: &[u8], number: u16) -> Result<&[u8], FormatError> {
    let mut input = Reader::new(names);
    for _ in 0..number {
        let len = usize::from(input.u8()?);
        input.bytes(len)?;
    }
    let len = usize::from(input.u8()?);
    Ok(input.bytes(len)?)
}

fn decode_names(bytes: &[u8], count: usize) -> Result<Vec<&[u8]>, FormatError> {
    let mut input = Reader::new(bytes);
    let mut names = Vec::with_capacity(count.min(bytes.len()));
    for _ in 0..count {
        let len = usize::from(input.u8()?);
        names.push(input.bytes(len)?);
    }
    if !input.is_empty() {
        return Err(FormatError::NotCanonical { rule: "nothing follows the names" });
    }
    let mut sorted = names.clone();
    sorted.sort_unstable();
    if sorted.array_windows().any(|[a, b]| a == b) {
        return Err(FormatError::NotCanonical { rule: "names of a frame differ" });
    }
    Ok(names)
}

/// Most names are streams and nothing else: each is read as what it is used as.
fn names_as_used(bytes: &[&[u8]], heads: &[Head]) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    names.resize_with(bytes.len(), Name::default);
    for head in heads {
        let [stream, kind, writer] = [head.stream, head.kind, head.writer].map(usize::from);
        names[stream].stream.get_or_insert_with(|| StreamName::from_bytes(bytes[stream]));
        names[kind].kind.get_or_insert_with(|| Kind::from_bytes(bytes[kind]));
        names[writer].writer.get_or_insert_with(|| Principal::from_bytes(bytes[writer]));
    }
    names
}

/// Reads the heads and checks that names stand in the order of their first use.
fn decode_heads(bytes: &[u8], header: &FrameHeader, batches: &[Batch], names: usize) -> Result<Vec<Head>, FormatError> {
    let mut decoder = HeadDecoder::new(bytes, &header.start);
    let mut heads = Vec::with_capacity(header.receipts.min(bytes.len()));
    let mut used = 0usize;
    let mut first_use = |name: u16| match usize::from(name) {
        name if name < used => Ok(()),
        name if name == used && name < names => {
            used += 1;
            Ok(())
        }
        _ => Err(FormatError::NotCanonical { rule: "names stand in the order of their first use" }),
    };
    for batch in batches {
        first_use(batch.writer)?;
        for _ in 0..batch.receipts {
            let head = decoder.next(batch.writer)?;
            first_use(head.stream)?;
            first_use(head.kind)?;
            heads.push(head);
        }
    }
    decoder.finish()?;
    if used == names { Ok(heads) } else { Err(FormatError::NotCanonical { rule: "every name is used" }) }
}

/// A frame, read whole and checked against its checksum. Signatures and the tree are not checked here.
pub struct Frame<'a> {
    index: FrameIndex,
    entries: Vec<FrameEntry<'a>>,
    commit: FrameCommit,
}

/// One receipt of a frame.
#[derive(Clone, Debug)]
pub struct FrameEntry<'a> {
    /// The envelope, rebuilt.
    pub envelope: Envelope,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// The payload beside it.
    pub stored: Stored<'a>,
}

impl<'a> Frame<'a> {
    /// Reads a frame at the start of `bytes`, which may go on behind it.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, FormatError> {
        record::open(MAGIC, bytes, super::FRAME_LEN_MAX)?;
        Self::decode_ignoring_checksum(bytes)
    }

    /// Reads a frame whose checksum may be wrong, to find out which of its receipts are damaged: what comes back must be
    /// compared with known leaf hashes or a signed root, and every payload with its commitment.
    ///
    /// # Errors
    /// [`FormatError`] when the damage keeps the parts from being told apart.
    pub fn decode_ignoring_checksum(bytes: &'a [u8]) -> Result<Self, FormatError> {
        let header = FrameHeader::decode(bytes)?;
        let bytes = bytes.get(..header.frame_len).ok_or(FormatError::Truncated)?;
        let index = FrameIndex::decode(bytes)?;
        let commit = FrameCommit::decode(&bytes[header.parts().commit..])?;
        if commit.size != header.end() {
            return Err(FormatError::NotCanonical { rule: "the commit covers the frame" });
        }
        let mut leaves: Vec<LeafHash> = Vec::with_capacity(header.receipts);
        let mut entries = Vec::with_capacity(header.receipts);
        let mut encoded = Vec::with_capacity(512);
        for at in 0..header.receipts {
            let envelope = index.envelope(at, |earlier| leaves[earlier])?;
            encoded.clear();
            envelope.encode_into(&mut encoded);
            let leaf = Hash::of_envelope(&encoded);
            leaves.push(leaf);
            let stored = match index.payload(at) {
                Some((salt, range)) => Stored::Present { salt, payload: &bytes[range] },
                None => Stored::Erased,
            };
            entries.push(FrameEntry { envelope, leaf, stored });
        }
        Ok(Self { index, entries, commit })
    }

    /// The frame's header.
    #[must_use]
    pub fn header(&self) -> &FrameHeader {
        self.index.header()
    }

    /// The batches, in order.
    #[must_use]
    pub fn batches(&self) -> &[Batch] {
        self.index.batches()
    }

    /// The receipts, in order.
    #[must_use]
    pub fn entries(&self) -> &[FrameEntry<'a>] {
        &self.entries
    }

    /// The checkpoint the frame creates.
    #[must_use]
    pub fn commit(&self) -> &FrameCommit {
        &self.commit
    }
}
