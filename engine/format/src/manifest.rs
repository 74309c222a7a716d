//! MANIFEST: which segments the ledger has. Replaced whole, by rename.

use crate::error::FormatError;
use crate::record;
use crate::segment::{Generation, SegmentId};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, Reader, TreeSize};

const MAGIC: &[u8; 8] = b"CFMANIF1";
const MANIFEST_LEN_MAX: usize = 256 * 1024 * 1024;
const ENTRY_LEN: usize = 64;

/// The segments of a ledger, oldest first.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFMANIF1` |
/// | 16 | 32 | ledger id |
/// | 48 | 8 | counter; it goes up by one with every replacement |
/// | 56 | 4 | number of segments |
/// | 60 | 4 | zero |
/// | 64 | 64 each | segments |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// Number of this replacement.
    pub counter: u64,
    /// The segments, gapless: every one begins where the one before it ends; only sealed ones state their end.
    pub segments: Vec<ManifestEntry>,
}

/// One segment of the manifest.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | index of the first receipt |
/// | 8 | 8 | tree size after the last receipt; 0 unless sealed |
/// | 16 | 8 | bytes of the file; 0 unless sealed |
/// | 24 | 4 | generation |
/// | 28 | 1 | state: 1 written to or waiting for its footer, 2 sealed |
/// | 29 | 3 | zero |
/// | 32 | 32 | BLAKE3 of the file before its footer; zero unless sealed |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// The segment.
    pub id: SegmentId,
    /// Rewrites so far.
    pub generation: Generation,
    /// Whether it is immutable.
    pub state: SegmentState,
}

/// Whether a segment is immutable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// It is written to, or it is full and waits for its footer.
    Open,
    /// It is immutable.
    Sealed {
        /// Tree size after its last receipt.
        end: TreeSize,
        /// Bytes of its file.
        file_len: u64,
        /// BLAKE3 of the file before its footer.
        file_digest: Hash,
    },
}

impl Manifest {
    /// The bytes of the file.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = record::begin(MAGIC, 64 + self.segments.len() * ENTRY_LEN);
        out.extend(self.ledger_id.0);
        out.extend(self.counter.to_le_bytes());
        let count = u32::try_from(self.segments.len()).expect("far fewer than 2^32 segments");
        out.extend(count.to_le_bytes());
        out.extend([0; 4]);
        for entry in &self.segments {
            let (state, end, file_len, digest) = match entry.state {
                SegmentState::Open => (1, TreeSize(0), 0, Hash::ZERO),
                SegmentState::Sealed { end, file_len, file_digest } => (2, end, file_len, file_digest),
            };
            for value in [entry.id.0.0, end.0, file_len] {
                out.extend(value.to_le_bytes());
            }
            out.extend(entry.generation.0.to_le_bytes());
            out.extend([state, 0, 0, 0]);
            out.extend(digest.0);
        }
        record::finish(&mut out);
        out
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let body = record::open(MAGIC, bytes, MANIFEST_LEN_MAX)?;
        if body.len() + record::PREAMBLE_LEN != bytes.len() {
            return Err(FormatError::NotCanonical { rule: "nothing follows the manifest" });
        }
        let mut input = Reader::new(body);
        let ledger_id = Hash(input.array()?);
        let counter = input.u64()?;
        let count = input.u32()? as usize;
        record::all_zero(input.bytes(4)?, "reserved bytes are zero")?;
        let (entries, rest) = input.rest().as_chunks::<ENTRY_LEN>();
        if entries.len() != count || !rest.is_empty() {
            return Err(FormatError::NotCanonical { rule: "the manifest ends with its segments" });
        }
        let segments = entries.iter().map(decode_entry).collect::<Result<Vec<_>, _>>()?;
        check_order(&segments)?;
        Ok(Self { ledger_id, counter, segments })
    }
}

fn decode_entry(bytes: &[u8; ENTRY_LEN]) -> Result<ManifestEntry, FormatError> {
    let mut input = Reader::new(bytes);
    let [first, end, file_len] = [input.u64()?, input.u64()?, input.u64()?];
    let generation = Generation(input.u32()?);
    let state = input.u8()?;
    record::all_zero(input.bytes(3)?, "reserved bytes are zero")?;
    let file_digest = Hash(input.array()?);
    let state = match state {
        1 if end == 0 && file_len == 0 && file_digest.is_zero() => SegmentState::Open,
        1 => return Err(FormatError::NotCanonical { rule: "an open segment states no end" }),
        2 => SegmentState::Sealed { end: TreeSize(end), file_len, file_digest },
        other => return Err(FormatError::UnknownValue { field: "segment state", found: other.into() }),
    };
    Ok(ManifestEntry { id: SegmentId(LeafIndex(first)), generation, state })
}

fn check_order(segments: &[ManifestEntry]) -> Result<(), FormatError> {
    if segments.first().is_none_or(|first| first.id.0 != LeafIndex(0)) {
        return Err(FormatError::NotCanonical { rule: "the first segment begins at index 0" });
    }
    for pair in segments.windows(2) {
        let gapless = match pair[0].state {
            SegmentState::Sealed { end, .. } => end.next_index() == pair[1].id.0 && end.0 > pair[0].id.0.0,
            SegmentState::Open => pair[0].id < pair[1].id && pair[1].state == SegmentState::Open,
        };
        if !gapless {
            return Err(FormatError::NotCanonical { rule: "segments follow each other without gap, open ones last" });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let sealed = SegmentState::Sealed { end: TreeSize(10), file_len: 8192, file_digest: Hash([3; 32]) };
        let entry = |first, generation, state| ManifestEntry {
            id: SegmentId(LeafIndex(first)),
            generation: Generation(generation),
            state,
        };
        Manifest {
            ledger_id: Hash([9; 32]),
            counter: 4,
            segments: vec![entry(0, 1, sealed), entry(10, 0, SegmentState::Open), entry(12, 0, SegmentState::Open)],
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        assert_eq!(Manifest::decode(&manifest().encode()), Ok(manifest()));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let bytes = manifest().encode();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(Manifest::decode(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn a_gap_between_segments_is_refused() {
        let mut gap = manifest();
        gap.segments[1].id = SegmentId(LeafIndex(11));
        assert!(Manifest::decode(&gap.encode()).is_err());
        let none = Manifest { segments: Vec::new(), ..manifest() };
        assert!(Manifest::decode(&none.encode()).is_err());
    }
}
