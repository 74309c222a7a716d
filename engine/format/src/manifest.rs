//! MANIFEST: which segments and stream indexes the ledger has. Replaced whole, by rename.

use crate::error::FormatError;
use crate::record;
use crate::segment::{Generation, SegmentId};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, Reader, TreeSize};

const MAGIC: &[u8; 8] = b"CFMANIF1";
const MANIFEST_LEN_MAX: usize = 256 * 1024 * 1024;
const ENTRY_LEN: usize = 64;

/// The segments of a ledger and the stream indexes over the sealed ones, oldest first.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFMANIF1` |
/// | 16 | 32 | ledger id |
/// | 48 | 8 | counter; it goes up by one with every replacement |
/// | 56 | 4 | number of segments |
/// | 60 | 4 | number of stream indexes |
/// | 64 | 64 each | segments |
/// | … | 64 each | stream indexes |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// Number of this replacement.
    pub counter: u64,
    /// The segments, gapless: every one begins where the one before it ends; only sealed ones state their end.
    pub segments: Vec<ManifestEntry>,
    /// The stream indexes, gapless: they cover the sealed segments exactly, each one of them whole.
    pub stream_indexes: Vec<StreamIndexEntry>,
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

/// One stream index of the manifest.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | index of the first receipt covered |
/// | 8 | 8 | tree size after the last receipt covered |
/// | 16 | 8 | bytes of the file |
/// | 24 | 8 | number of streams that begin here |
/// | 32 | 32 | BLAKE3 of the directory, preamble included |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamIndexEntry {
    /// Index of the first receipt covered.
    pub first: LeafIndex,
    /// Tree size after the last receipt covered.
    pub end: TreeSize,
    /// Bytes of the file.
    pub file_len: u64,
    /// Number of streams whose first receipt is covered.
    pub streams_begun: u64,
    /// BLAKE3 of the directory.
    pub directory_digest: Hash,
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
        let entries = self.segments.len() + self.stream_indexes.len();
        let mut out = record::begin(MAGIC, 64 + entries * ENTRY_LEN);
        out.extend(self.ledger_id.0);
        out.extend(self.counter.to_le_bytes());
        for count in [self.segments.len(), self.stream_indexes.len()] {
            let count = u32::try_from(count).expect("far fewer than 2^32 segments");
            out.extend(count.to_le_bytes());
        }
        for entry in &self.segments {
            encode_segment(&mut out, entry);
        }
        for entry in &self.stream_indexes {
            for value in [entry.first.0, entry.end.0, entry.file_len, entry.streams_begun] {
                out.extend(value.to_le_bytes());
            }
            out.extend(entry.directory_digest.0);
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
        let [segments, stream_indexes] = [input.u32()? as usize, input.u32()? as usize];
        let (entries, rest) = input.rest().as_chunks::<ENTRY_LEN>();
        if segments.checked_add(stream_indexes) != Some(entries.len()) || !rest.is_empty() {
            return Err(FormatError::NotCanonical { rule: "the manifest ends with its entries" });
        }
        let (segments, stream_indexes) = entries.split_at(segments);
        let segments = segments.iter().map(decode_segment).collect::<Result<Vec<_>, _>>()?;
        let stream_indexes = stream_indexes.iter().map(decode_stream_index).collect::<Result<Vec<_>, _>>()?;
        check_segments(&segments)?;
        check_stream_indexes(&stream_indexes, &segments)?;
        Ok(Self { ledger_id, counter, segments, stream_indexes })
    }
}

fn encode_segment(out: &mut Vec<u8>, entry: &ManifestEntry) {
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

fn decode_segment(bytes: &[u8; ENTRY_LEN]) -> Result<ManifestEntry, FormatError> {
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

fn decode_stream_index(bytes: &[u8; ENTRY_LEN]) -> Result<StreamIndexEntry, FormatError> {
    let mut input = Reader::new(bytes);
    Ok(StreamIndexEntry {
        first: LeafIndex(input.u64()?),
        end: TreeSize(input.u64()?),
        file_len: input.u64()?,
        streams_begun: input.u64()?,
        directory_digest: Hash(input.array()?),
    })
}

fn check_segments(segments: &[ManifestEntry]) -> Result<(), FormatError> {
    if segments.first().is_none_or(|first| first.id.0 != LeafIndex(0)) {
        return Err(FormatError::NotCanonical { rule: "the first segment begins at index 0" });
    }
    let empty = |entry: &ManifestEntry| match entry.state {
        SegmentState::Sealed { end, .. } => !end.contains(entry.id.0),
        SegmentState::Open => false,
    };
    if segments.iter().any(empty) {
        return Err(FormatError::NotCanonical { rule: "a sealed segment holds a receipt" });
    }
    for pair in segments.windows(2) {
        let gapless = match pair[0].state {
            SegmentState::Sealed { end, .. } => end.next_index() == pair[1].id.0,
            SegmentState::Open => pair[0].id < pair[1].id && pair[1].state == SegmentState::Open,
        };
        if !gapless {
            return Err(FormatError::NotCanonical { rule: "segments follow each other without gap, open ones last" });
        }
    }
    if segments.last().is_some_and(|last| last.state != SegmentState::Open) {
        return Err(FormatError::NotCanonical { rule: "the last segment is open" });
    }
    Ok(())
}

/// Stream indexes cover the sealed segments, each of these whole, without gap.
fn check_stream_indexes(stream_indexes: &[StreamIndexEntry], segments: &[ManifestEntry]) -> Result<(), FormatError> {
    let mut sealed_ends = segments.iter().filter_map(|entry| match entry.state {
        SegmentState::Sealed { end, .. } => Some(end),
        SegmentState::Open => None,
    });
    let mut covered = TreeSize(0);
    for entry in stream_indexes {
        if entry.first != covered.next_index() {
            return Err(FormatError::NotCanonical { rule: "stream indexes follow each other without gap" });
        }
        if !sealed_ends.any(|end| end == entry.end) {
            return Err(FormatError::NotCanonical { rule: "a stream index ends where a sealed segment ends" });
        }
        covered = entry.end;
    }
    if sealed_ends.next().is_some() {
        return Err(FormatError::NotCanonical { rule: "stream indexes cover all sealed segments" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing;
    use proptest::prelude::*;

    fn stream_index(first: u64, end: u64) -> StreamIndexEntry {
        StreamIndexEntry {
            first: LeafIndex(first),
            end: TreeSize(end),
            file_len: 300,
            streams_begun: 2,
            directory_digest: Hash([5; 32]),
        }
    }

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
            stream_indexes: vec![stream_index(0, 10)],
        }
    }

    fn open(first: u64) -> ManifestEntry {
        ManifestEntry { id: SegmentId(LeafIndex(first)), generation: Generation(0), state: SegmentState::Open }
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

    /// Three sealed segments that end at 10, 20 and 30, an open one, and stream indexes between the given bounds.
    fn indexed(bounds: &[(u64, u64)]) -> Manifest {
        let mut manifest = manifest();
        manifest.segments = [0, 10, 20]
            .map(|first| ManifestEntry {
                id: SegmentId(LeafIndex(first)),
                generation: Generation(0),
                state: SegmentState::Sealed { end: TreeSize(first + 10), file_len: 8192, file_digest: Hash([3; 32]) },
            })
            .to_vec();
        manifest.segments.push(open(30));
        manifest.stream_indexes = bounds.iter().map(|(first, end)| stream_index(*first, *end)).collect();
        manifest
    }

    #[test]
    fn stream_indexes_may_cover_several_segments_each() {
        for bounds in [&[(0, 30)][..], &[(0, 20), (20, 30)], &[(0, 10), (10, 30)], &[(0, 10), (10, 20), (20, 30)]] {
            let manifest = indexed(bounds);
            assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }
    }

    #[test]
    fn stream_indexes_that_do_not_cover_the_sealed_segments_are_refused() {
        let [gapless, whole, all] = [
            "stream indexes follow each other without gap",
            "a stream index ends where a sealed segment ends",
            "stream indexes cover all sealed segments",
        ];
        let cases: [(&[(u64, u64)], _); 9] = [
            (&[], all),
            (&[(0, 20)], all),
            (&[(10, 30)], gapless),
            (&[(0, 10), (20, 30)], gapless),
            (&[(0, 20), (10, 30)], gapless),
            (&[(0, 15), (15, 30)], whole),
            (&[(0, 0), (0, 30)], whole),
            (&[(0, 30), (30, 30)], whole),
            (&[(0, 40)], whole),
        ];
        for (bounds, rule) in cases {
            assert_eq!(
                Manifest::decode(&indexed(bounds).encode()),
                Err(FormatError::NotCanonical { rule }),
                "{bounds:?}"
            );
        }
    }

    #[test]
    fn a_stream_index_without_a_sealed_segment_is_refused() {
        let mut open = manifest();
        open.segments = vec![ManifestEntry { state: SegmentState::Open, ..open.segments[0] }];
        let rule = "a stream index ends where a sealed segment ends";
        assert_eq!(Manifest::decode(&open.encode()), Err(FormatError::NotCanonical { rule }));
        open.stream_indexes.clear();
        assert_eq!(Manifest::decode(&open.encode()), Ok(open));
    }

    #[test]
    fn a_sealed_segment_without_receipts_is_refused() {
        let mut empty = indexed(&[(0, 30)]);
        empty.segments[1].state =
            SegmentState::Sealed { end: TreeSize(10), file_len: 8192, file_digest: Hash([3; 32]) };
        let rule = "a sealed segment holds a receipt";
        assert_eq!(Manifest::decode(&empty.encode()), Err(FormatError::NotCanonical { rule }));
    }

    #[test]
    fn a_manifest_whose_last_segment_is_sealed_is_refused() {
        let mut closed = indexed(&[(0, 30)]);
        closed.segments.pop();
        let rule = "the last segment is open";
        assert_eq!(Manifest::decode(&closed.encode()), Err(FormatError::NotCanonical { rule }));
    }

    /// Segments that end after the given numbers of receipts, an open one, and stream indexes over the given numbers of
    /// segments.
    fn arbitrary(lengths: &[u64], spans: &[usize]) -> Manifest {
        let mut manifest = Manifest { segments: Vec::new(), stream_indexes: Vec::new(), ..manifest() };
        let mut ends = vec![0];
        for (generation, length) in (0..).zip(lengths) {
            let first = ends[ends.len() - 1];
            ends.push(first + length);
            manifest.segments.push(ManifestEntry {
                id: SegmentId(LeafIndex(first)),
                generation: Generation(generation),
                state: SegmentState::Sealed {
                    end: TreeSize(first + length),
                    file_len: length * 4096,
                    file_digest: Hash([5; 32]),
                },
            });
        }
        manifest.segments.push(open(ends[ends.len() - 1]));
        let mut at = 0usize;
        for span in spans.iter().chain([&usize::MAX]) {
            let to = at.saturating_add(*span).min(lengths.len());
            if at < to {
                manifest.stream_indexes.push(stream_index(ends[at], ends[to]));
            }
            at = to;
        }
        manifest
    }

    proptest! {
        #[test]
        fn any_manifest_reads_back(
            lengths in prop::collection::vec(1u64..1 << 40, 1..20), spans in prop::collection::vec(1usize..5, 0..9)
        ) {
            let manifest = arbitrary(&lengths, &spans);
            prop_assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest));
        }

        #[test]
        fn changed_bytes_under_a_repaired_checksum_are_refused_or_canonical(
            lengths in prop::collection::vec(1u64..300, 1..9), at in any::<prop::sample::Index>(), flip in 1u8..
        ) {
            let mut bytes = arbitrary(&lengths, &[2]).encode();
            let at = 16 + at.index(bytes.len() - 16);
            bytes[at] ^= flip;
            record::finish(&mut bytes);
            fuzzing::manifest(&bytes);
        }
    }
}
