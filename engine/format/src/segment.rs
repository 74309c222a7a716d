//! Segment files: names, the header in the first 4 KiB, the footer of a sealed one.

use crate::error::FormatError;
use crate::record;
use crate::{ByteOffset, FRAME_ALIGN};
use counterfoil_proof::{
    Frontier, Hash, LeafHash, LeafIndex, NodeHash, Origin, Reader, StreamSeq, Timestamp, TreeSize,
};

/// Bytes of a segment header. The first frame follows it.
pub const SEGMENT_HEADER_LEN: usize = 4096;
const HEADER_MAGIC: &[u8; 8] = b"CFSEGMT1";
const FOOTER_MAGIC: &[u8; 8] = b"CFFOOTR1";
const TRAILER_MAGIC: &[u8; 8] = b"CFSEALD1";
/// Bytes at the very end of a sealed segment that say where its footer begins.
pub const FOOTER_TRAILER_LEN: usize = 16;
const FOOTER_LEN_MAX: usize = 64 * 1024 * 1024;
const PEAKS_MAX: u8 = 64;

/// A segment, named by the index of its first receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(pub LeafIndex);

impl core::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:020}", self.0.0)
    }
}

/// How often a segment was rewritten by compaction; 0 as first written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// `<20-digit first index>.<generation>.seg`
#[must_use]
pub fn segment_file_name(id: SegmentId, generation: Generation) -> String {
    format!("{id}.{}.seg", generation.0)
}

/// `<20-digit first index>.<generation>.leaves`
#[must_use]
pub fn leaves_file_name(id: SegmentId, generation: Generation) -> String {
    format!("{id}.{}.leaves", generation.0)
}

/// Reads the name of a segment file; `None` for any other name.
#[must_use]
pub fn parse_segment_file_name(name: &str) -> Option<(SegmentId, Generation)> {
    let (first, generation) = name.strip_suffix(".seg")?.split_once('.')?;
    let found = (SegmentId(LeafIndex(first.parse().ok()?)), Generation(generation.parse().ok()?));
    (segment_file_name(found.0, found.1) == name).then_some(found)
}

/// First 4 KiB of a segment: where it stands in the ledger, so that it can be rebuilt from itself alone.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFSEGMT1`, length 4 096 |
/// | 16 | 16 | nonce |
/// | 32 | 32 | ledger id |
/// | 64 | 8 | index of the first receipt |
/// | 72 | 8 | time of the receipt before it, 0 if none |
/// | 80 | 8 | `control_seq` at the first receipt |
/// | 88 | 32 | leaf hash of the receipt before it |
/// | 120 | 32 | control head at the first receipt |
/// | 152 | 4 | generation |
/// | 156 | 1 | number of peaks of the tree so far |
/// | 157 | 1 | length of the origin |
/// | 158 | 2 | zero |
/// | 160 | 32 each | peaks, largest subtree first |
/// | … | … | origin, then zeros to 4 096 |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random, repeated in every frame of this segment.
    pub nonce: [u8; 16],
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// Time of the receipt before the first; 0 if there is none.
    pub last_time: Timestamp,
    /// Control receipts before the first receipt.
    pub control_seq: StreamSeq,
    /// Leaf hash of the receipt before the first; zero if there is none.
    pub prev: LeafHash,
    /// Leaf hash of the last control receipt before the first receipt; zero if there is none.
    pub control_head: LeafHash,
    /// Rewrites so far.
    pub generation: Generation,
    /// The tree before the first receipt; its size is the index of the first receipt.
    pub frontier: Frontier,
    /// Origin of the ledger's checkpoints.
    pub origin: Origin,
}

impl SegmentHeader {
    /// The segment this heads.
    #[must_use]
    pub fn id(&self) -> SegmentId {
        SegmentId(self.frontier.size().next_index())
    }

    /// The 4 096 bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = record::begin(HEADER_MAGIC, SEGMENT_HEADER_LEN);
        out.extend(self.nonce);
        out.extend(self.ledger_id.0);
        for value in [self.frontier.size().0, self.last_time.0, self.control_seq.0] {
            out.extend(value.to_le_bytes());
        }
        out.extend(self.prev.0);
        out.extend(self.control_head.0);
        out.extend(self.generation.0.to_le_bytes());
        out.push(u8::try_from(self.frontier.peaks().len()).expect("at most 64 peaks"));
        out.push(u8::try_from(self.origin.as_str().len()).expect("origins are at most 255 bytes"));
        out.extend([0; 2]);
        write_hashes(&mut out, self.frontier.peaks());
        out.extend(self.origin.as_str().as_bytes());
        assert!(out.len() <= SEGMENT_HEADER_LEN, "64 peaks and an origin fit the header");
        out.resize(SEGMENT_HEADER_LEN, 0);
        record::finish(&mut out);
        out
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let body = record::open(HEADER_MAGIC, bytes, SEGMENT_HEADER_LEN)?;
        if body.len() + record::PREAMBLE_LEN != SEGMENT_HEADER_LEN {
            return Err(FormatError::NotCanonical { rule: "a segment header has 4096 bytes" });
        }
        let mut input = Reader::new(body);
        let nonce = input.array()?;
        let ledger_id = Hash(input.array()?);
        let [first, last_time, control_seq] = [input.u64()?, input.u64()?, input.u64()?];
        let [prev, control_head] = [Hash(input.array()?), Hash(input.array()?)];
        let generation = Generation(input.u32()?);
        let [peaks, origin_len] = input.array()?;
        record::all_zero(input.bytes(2)?, "reserved bytes are zero")?;
        let frontier = read_frontier(&mut input, TreeSize(first), peaks)?;
        let origin = Origin::from_bytes(input.bytes(origin_len.into())?)
            .map_err(|error| FormatError::Name { field: "origin", error })?;
        record::all_zero(input.rest(), "the header is padded with zeros")?;
        Ok(Self {
            nonce,
            ledger_id,
            last_time: Timestamp(last_time),
            control_seq: StreamSeq(control_seq),
            prev,
            control_head,
            generation,
            frontier,
            origin,
        })
    }
}

/// End of a sealed segment. It begins at a multiple of 4 096 after the last frame; the file ends with a trailer of 16
/// bytes: `CFSEALD1`, then the footer's offset.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFFOOTR1` |
/// | 16 | 8 | index of the first receipt |
/// | 24 | 8 | tree size after the last receipt |
/// | 32 | 8 | time of the first receipt |
/// | 40 | 8 | time of the last receipt |
/// | 48 | 8 | number of frames |
/// | 56 | 8 | payload bytes present |
/// | 64 | 8 | control receipts before the end |
/// | 72 | 32 | leaf hash of the last receipt |
/// | 104 | 32 | control head at the end |
/// | 136 | 32 | BLAKE3 of the file before the footer |
/// | 168 | 4 | number of control receipts in the segment |
/// | 172 | 1 | number of peaks |
/// | 173 | 3 | zero |
/// | 176 | 32 each | peaks of the tree after the last receipt |
/// | … | 8 each | indices of the control receipts, ascending |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentFooter {
    /// Index of the first receipt.
    pub first: LeafIndex,
    /// Time of the first receipt.
    pub first_time: Timestamp,
    /// Time of the last receipt.
    pub last_time: Timestamp,
    /// Number of frames.
    pub frames: u64,
    /// Payload bytes present.
    pub payload_bytes: u64,
    /// Control receipts before the end of the segment.
    pub control_seq: StreamSeq,
    /// Leaf hash of the last receipt.
    pub last_leaf: LeafHash,
    /// Leaf hash of the last control receipt before the end of the segment.
    pub control_head: LeafHash,
    /// BLAKE3 of the file before the footer.
    pub file_digest: Hash,
    /// The tree after the last receipt.
    pub frontier: Frontier,
    /// Where the control receipts are.
    pub control_indices: Vec<LeafIndex>,
}

impl SegmentFooter {
    /// Footer and trailer, to be written at `at`, which is a multiple of 4 096.
    ///
    /// # Panics
    /// When `at` is not aligned.
    #[must_use]
    pub fn encode(&self, at: ByteOffset) -> Vec<u8> {
        assert!(at.0.is_multiple_of(FRAME_ALIGN), "a footer is aligned");
        let mut out = record::begin(FOOTER_MAGIC, 4096);
        let values = [
            self.first.0,
            self.frontier.size().0,
            self.first_time.0,
            self.last_time.0,
            self.frames,
            self.payload_bytes,
            self.control_seq.0,
        ];
        for value in values {
            out.extend(value.to_le_bytes());
        }
        for hash in [&self.last_leaf, &self.control_head, &self.file_digest] {
            out.extend(hash.0);
        }
        let controls = u32::try_from(self.control_indices.len()).expect("a segment holds far fewer than 2^32 receipts");
        out.extend(controls.to_le_bytes());
        out.push(u8::try_from(self.frontier.peaks().len()).expect("at most 64 peaks"));
        out.extend([0; 3]);
        write_hashes(&mut out, self.frontier.peaks());
        for index in &self.control_indices {
            out.extend(index.0.to_le_bytes());
        }
        record::finish(&mut out);
        out.extend(TRAILER_MAGIC);
        out.extend(at.0.to_le_bytes());
        out
    }

    /// Reads the last 16 bytes of a file: where its footer begins, or `None` when the segment is not sealed.
    #[must_use]
    pub fn locate(trailer: &[u8; FOOTER_TRAILER_LEN]) -> Option<ByteOffset> {
        let (magic, at) = trailer.split_first_chunk::<8>()?;
        let at = u64::from_le_bytes(at.try_into().ok()?);
        (magic == TRAILER_MAGIC && at.is_multiple_of(FRAME_ALIGN)).then_some(ByteOffset(at))
    }

    /// Reads a footer with its trailer: the bytes from its offset to the end of the file.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8], at: ByteOffset) -> Result<Self, FormatError> {
        let body = record::open(FOOTER_MAGIC, bytes, FOOTER_LEN_MAX)?;
        let trailer: &[u8; FOOTER_TRAILER_LEN] = bytes[record::PREAMBLE_LEN + body.len()..]
            .try_into()
            .map_err(|_| FormatError::NotCanonical { rule: "a trailer of 16 bytes follows the footer" })?;
        if Self::locate(trailer) != Some(at) {
            return Err(FormatError::NotCanonical { rule: "the trailer names the footer's offset" });
        }
        let mut input = Reader::new(body);
        let [first, end, first_time, last_time] = [input.u64()?, input.u64()?, input.u64()?, input.u64()?];
        let [frames, payload_bytes, control_seq] = [input.u64()?, input.u64()?, input.u64()?];
        let [last_leaf, control_head, file_digest] = [Hash(input.array()?), Hash(input.array()?), Hash(input.array()?)];
        let controls = input.u32()? as usize;
        let peaks = input.u8()?;
        record::all_zero(input.bytes(3)?, "reserved bytes are zero")?;
        let frontier = read_frontier(&mut input, TreeSize(end), peaks)?;
        let (indices, rest) = input.rest().as_chunks::<8>();
        if indices.len() != controls || !rest.is_empty() {
            return Err(FormatError::NotCanonical { rule: "the footer ends with its control indices" });
        }
        let control_indices: Vec<_> = indices.iter().map(|bytes| LeafIndex(u64::from_le_bytes(*bytes))).collect();
        if !control_indices.is_sorted_by(|a, b| a < b) {
            return Err(FormatError::NotCanonical { rule: "control indices ascend" });
        }
        Ok(Self {
            first: LeafIndex(first),
            first_time: Timestamp(first_time),
            last_time: Timestamp(last_time),
            frames,
            payload_bytes,
            control_seq: StreamSeq(control_seq),
            last_leaf,
            control_head,
            file_digest,
            frontier,
            control_indices,
        })
    }
}

fn write_hashes(out: &mut Vec<u8>, hashes: &[NodeHash]) {
    for hash in hashes {
        out.extend(hash.0);
    }
}

fn read_frontier(input: &mut Reader<'_>, size: TreeSize, peaks: u8) -> Result<Frontier, FormatError> {
    if peaks > PEAKS_MAX {
        return Err(FormatError::TooLong { field: "number of peaks", max: PEAKS_MAX.into(), found: peaks.into() });
    }
    let peaks = (0..peaks).map(|_| input.array().map(Hash)).collect::<Result<_, _>>()?;
    Frontier::from_peaks(size, peaks)
        .ok_or(FormatError::NotCanonical { rule: "there is one peak for each set bit of the tree size" })
}

#[cfg(test)]
mod tests;
