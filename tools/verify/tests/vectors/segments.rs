//! Segment headers, footers with their trailers, HEAD and MANIFEST.

use crate::sample::{Tree, counting, origin, signer};
use crate::store::{check, good_and_bad, refused, resealed, spliced, with_byte, with_bytes};
use counterfoil_format::{
    ByteOffset, Generation, HEAD_SLOT_LEN, HeadSlot, Manifest, ManifestEntry, SEGMENT_HEADER_LEN, SegmentFooter,
    SegmentHeader, SegmentId, SegmentState, StreamIndexEntry,
};
use counterfoil_proof::{Frontier, Hash, LeafIndex, Origin, StreamSeq, Timestamp, TreeSize, hex};
use serde_json::{Value, json};

const TIME: Timestamp = crate::sample::TIME;

pub(crate) fn frontier(size: u64) -> Frontier {
    let mut frontier = Frontier::empty();
    Tree::counting(size).0.into_iter().for_each(|leaf| frontier.push(leaf, |_, _| ()));
    frontier
}

fn peaks(frontier: &Frontier) -> Vec<String> {
    frontier.peaks().iter().map(ToString::to_string).collect()
}

/// A structure with one byte changed and a preamble that fits.
fn with(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let changed = with_byte(bytes, at, value);
    let len = u32::from_le_bytes(changed[12..16].try_into().unwrap()) as usize;
    resealed(changed, len)
}

fn shown<E>(bad: Vec<(&'static str, Vec<u8>)>, judge: impl Fn(&[u8]) -> Result<(), E>) -> Vec<Value> {
    let shown = bad.into_iter().map(|(why, bytes)| {
        assert!(judge(&bytes).is_err(), "{why}");
        refused(why, &bytes)
    });
    shown.collect()
}

fn header(size: u64, name: &Origin) -> SegmentHeader {
    let first = size == 0;
    let hash = |at| if first { Hash::ZERO } else { Hash(counting(at)) };
    SegmentHeader {
        nonce: counting(0x60),
        ledger_id: Hash(counting(0xc0)),
        last_time: if first { Timestamp(0) } else { TIME },
        control_seq: StreamSeq(if first { 0 } else { 3 }),
        prev: hash(0x10),
        control_head: hash(0x30),
        generation: Generation(if first { 0 } else { 258 }),
        frontier: frontier(size),
        origin: name.clone(),
    }
}

/// Bytes without the zeros at the end of a structure of fixed length.
fn without_padding(bytes: &[u8]) -> String {
    hex(&bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)])
}

fn headers() -> Value {
    let name = signer().verifier().name().clone();
    let longest = origin(&"o".repeat(255));
    let cases = [
        ("the first segment", header(0, &name)),
        ("a later one", header(300, &name)),
        ("longest origin", header(255, &longest)),
    ];
    let good = cases.map(|(case, header)| {
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes).as_ref(), Ok(&header), "{case}");
        json!({
            "name": case,
            "bytes_without_padding": without_padding(&bytes),
            "nonce": hex(&header.nonce),
            "ledger_id": header.ledger_id.to_string(),
            "first": header.frontier.size().0,
            "last_time": header.last_time.0.to_string(),
            "control_seq": header.control_seq.0,
            "prev": header.prev.to_string(),
            "control_head": header.control_head.to_string(),
            "generation": header.generation.0,
            "peaks": peaks(&header.frontier),
            "origin": header.origin.as_str(),
        })
    });
    let later = header(300, &name).encode();
    let peaks_end = 160 + 4 * 32;
    let bad = vec![
        ("another version", with(&later, 7, b'2')),
        ("a wrong checksum", with_byte(&later, 8, later[8] ^ 1)),
        ("another length", resealed(later.clone(), SEGMENT_HEADER_LEN - 1)),
        ("ends early", later[..SEGMENT_HEADER_LEN - 1].to_vec()),
        ("fewer peaks than the first index has bits", with(&later, 156, 3)),
        ("more peaks than the first index has bits", with(&later, 156, 5)),
        ("a reserved byte", with(&later, 158, 1)),
        ("an empty origin", {
            let zeros = vec![0; name.as_str().len()];
            with(&with_bytes(&later, peaks_end, &zeros), 157, 0)
        }),
        ("an origin with a plus", with(&later, peaks_end + 3, b'+')),
        ("a byte behind the origin", with(&later, SEGMENT_HEADER_LEN - 1, 1)),
    ];
    let judge = |bytes: &[u8]| SegmentHeader::decode(bytes).map(drop);
    let bad = bad.into_iter().map(|(why, bytes)| {
        assert!(judge(&bytes).is_err(), "{why}");
        // Of those of full length the zeros at the end are left out.
        json!({ "why": why, "bytes_without_padding": without_padding(&bytes), "length": bytes.len() })
    });
    good_and_bad(good.to_vec(), bad.collect())
}

fn footer() -> SegmentFooter {
    SegmentFooter {
        first: LeafIndex(7),
        first_time: TIME,
        last_time: Timestamp(TIME.0 + 9),
        frames: 12,
        payload_bytes: 3456,
        control_seq: StreamSeq(4),
        last_leaf: Hash(counting(0x10)),
        control_head: Hash(counting(0x30)),
        file_digest: Hash(counting(0x90)),
        frontier: frontier(300),
        control_indices: vec![LeafIndex(7), LeafIndex(8), LeafIndex(255)],
    }
}

const FOOTER_AT: ByteOffset = ByteOffset(16_384);

fn footers() -> Value {
    let none = SegmentFooter { control_indices: Vec::new(), control_seq: StreamSeq(1), ..footer() };
    let good = [("three control receipts", footer()), ("no control receipt", none)].map(|(case, footer)| {
        let bytes = footer.encode(FOOTER_AT);
        assert_eq!(SegmentFooter::locate(bytes.last_chunk().unwrap()), Some(FOOTER_AT));
        assert_eq!(SegmentFooter::decode(&bytes, FOOTER_AT).as_ref(), Ok(&footer), "{case}");
        json!({
            "name": case,
            "bytes": hex(&bytes),
            "offset": FOOTER_AT.0,
            "first": footer.first.0,
            "end": footer.frontier.size().0,
            "first_time": footer.first_time.0.to_string(),
            "last_time": footer.last_time.0.to_string(),
            "frames": footer.frames,
            "payload_bytes": footer.payload_bytes,
            "control_seq": footer.control_seq.0,
            "last_leaf": footer.last_leaf.to_string(),
            "control_head": footer.control_head.to_string(),
            "digest": footer.file_digest.to_string(),
            "peaks": peaks(&footer.frontier),
            "control_indices": footer.control_indices.iter().map(|index| index.0).collect::<Vec<_>>(),
        })
    });
    let bytes = footer().encode(FOOTER_AT);
    let trailer = bytes.len() - 16;
    let indices = 176 + 4 * 32;
    let bad = vec![
        ("another version", with(&bytes, 7, b'2')),
        ("a wrong checksum", with_byte(&bytes, 20, 9)),
        ("a peak more", with(&bytes, 172, 5)),
        ("a peak less", with(&bytes, 172, 3)),
        ("a reserved byte", with(&bytes, 175, 1)),
        ("one control receipt more than there are", with(&bytes, 168, 4)),
        ("one control receipt less than there are", with(&bytes, 168, 2)),
        ("control receipts out of order", with(&with(&bytes, indices, 8), indices + 8, 7)),
        ("a control receipt twice", with(&bytes, indices, 8)),
        ("the trailer states another offset", with_byte(&bytes, trailer + 9, 0x10)),
        ("the trailer has another version", with_byte(&bytes, trailer + 7, b'2')),
        ("no trailer", bytes[..trailer].to_vec()),
        ("a byte between footer and trailer", spliced(&bytes, trailer..trailer, &[0])),
        ("a byte behind the trailer", [bytes.as_slice(), &[0]].concat()),
    ];
    good_and_bad(good.to_vec(), shown(bad, |bytes| SegmentFooter::decode(bytes, FOOTER_AT).map(drop)))
}

fn slot(counter: u64) -> HeadSlot {
    HeadSlot {
        counter,
        size: TreeSize(300),
        segment: SegmentId(LeafIndex(255)),
        offset: ByteOffset(20_480),
        root: frontier(300).root(),
    }
}

#[test]
fn head_slots_are_those_of_the_vectors() {
    let good = [0, 1, u64::MAX].map(|counter| {
        let slot = slot(counter);
        let bytes = slot.encode();
        assert_eq!(HeadSlot::decode(&bytes, slot.position()), Ok(slot));
        json!({
            "position": slot.position().0,
            "bytes_without_padding": without_padding(&bytes),
            "counter": slot.counter.to_string(),
            "size": slot.size.0,
            "segment": slot.segment.0.0,
            "offset": slot.offset.0,
            "root": slot.root.to_string(),
        })
    });
    let even = slot(0).encode();
    let bad = [
        ("another version", 0, with(&even, 7, b'2')),
        ("a wrong checksum", 0, with_byte(&even, 8, even[8] ^ 1)),
        ("length 81", 0, resealed(even.clone(), 81)),
        ("length 79", 0, resealed(even.clone(), 79)),
        ("the last byte of the padding", 0, with_byte(&even, HEAD_SLOT_LEN - 1, 1)),
        ("an even counter in the odd slot", HEAD_SLOT_LEN, even.clone()),
        ("an odd counter in the even slot", 0, slot(1).encode()),
        ("all zeros: never written", 0, vec![0; HEAD_SLOT_LEN]),
    ];
    let bad = bad.map(|(why, position, bytes)| {
        assert!(HeadSlot::decode(&bytes, ByteOffset(position as u64)).is_err(), "{why}");
        json!({ "why": why, "position": position, "bytes_without_padding": without_padding(&bytes) })
    });
    check("head.json", &good_and_bad(good.to_vec(), bad.to_vec()));
}

fn entry(first: u64, end: Option<u64>) -> ManifestEntry {
    let state = match end {
        None => SegmentState::Open,
        Some(end) => SegmentState::Sealed { end: TreeSize(end), file_len: 16_592, file_digest: Hash(counting(0x90)) },
    };
    ManifestEntry { id: SegmentId(LeafIndex(first)), generation: Generation(u32::from(end == Some(20))), state }
}

fn index(first: u64, end: u64) -> StreamIndexEntry {
    StreamIndexEntry {
        first: LeafIndex(first),
        end: TreeSize(end),
        file_len: 207,
        streams_begun: 2,
        directory_digest: Hash(counting(0xa0)),
    }
}

fn manifest(segments: Vec<ManifestEntry>, stream_indexes: Vec<StreamIndexEntry>) -> Manifest {
    Manifest { ledger_id: Hash(counting(0xc0)), counter: 258, segments, stream_indexes }
}

/// Three sealed segments under two stream indexes, and two open ones.
fn five() -> Manifest {
    let segments = vec![entry(0, Some(7)), entry(7, Some(20)), entry(20, Some(30)), entry(30, None), entry(40, None)];
    manifest(segments, vec![index(0, 20), index(20, 30)])
}

fn broken_manifests() -> Vec<(&'static str, Vec<u8>)> {
    const SEGMENTS: usize = 64;
    const INDEXES: usize = SEGMENTS + 5 * 64;
    let bytes = five().encode();
    let segment = |n: usize, at: usize| SEGMENTS + n * 64 + at;
    let stream_index = |n: usize, at: usize| INDEXES + n * 64 + at;
    let without = |range: core::ops::Range<usize>, count_at: usize| {
        let shorter = spliced(&bytes, range, &[]);
        let len = shorter.len();
        resealed(with_byte(&shorter, count_at, shorter[count_at] - 1), len)
    };
    let longer = [bytes.as_slice(), &[0]].concat();
    vec![
        ("another version", with(&bytes, 7, b'2')),
        ("a wrong checksum", with_byte(&bytes, 8, bytes[8] ^ 1)),
        ("ends early", bytes[..bytes.len() - 1].to_vec()),
        ("a byte behind the end", longer.clone()),
        ("a byte behind the last entry", resealed(longer, bytes.len() + 1)),
        ("no segment", {
            let empty = with_bytes(&bytes[..SEGMENTS], 56, &[0; 8]);
            resealed(empty, SEGMENTS)
        }),
        ("the first segment begins at 1", with(&bytes, segment(0, 0), 1)),
        ("a gap behind a sealed segment", with(&bytes, segment(0, 8), 6)),
        ("an empty sealed segment", with(&with(&bytes, segment(1, 8), 7), segment(2, 0), 7)),
        ("state 0", with(&bytes, segment(0, 28), 0)),
        ("state 3", with(&bytes, segment(0, 28), 3)),
        ("a reserved byte of a segment", with(&bytes, segment(0, 31), 1)),
        ("an open segment with an end", with(&bytes, segment(3, 8), 40)),
        ("an open segment with a length", with(&bytes, segment(3, 16), 1)),
        ("an open segment with a digest", with(&bytes, segment(3, 32), 1)),
        ("open segments out of order", with(&bytes, segment(4, 0), 30)),
        ("no open segment", {
            let one = manifest(vec![entry(0, Some(7)), entry(7, None)], vec![index(0, 7)]).encode();
            let sealed_only = spliced(&one, SEGMENTS + 64..SEGMENTS + 128, &[]);
            let len = sealed_only.len();
            resealed(with_byte(&sealed_only, 56, 1), len)
        }),
        ("a sealed segment behind an open one", {
            let mut changed = with_bytes(&bytes, segment(0, 8), &[0; 16]);
            changed = with_bytes(&changed, segment(0, 32), &[0; 32]);
            with(&changed, segment(0, 28), 1)
        }),
        ("no stream index", {
            let none = spliced(&bytes, INDEXES..INDEXES + 128, &[]);
            let len = none.len();
            resealed(with_byte(&none, 60, 0), len)
        }),
        ("stream indexes begin behind the first segment", without(INDEXES..INDEXES + 64, 60)),
        ("stream indexes end before the last sealed segment", without(INDEXES + 64..INDEXES + 128, 60)),
        ("a gap between stream indexes", with(&bytes, stream_index(0, 8), 7)),
        ("a stream index ends within a segment", with(&with(&bytes, stream_index(0, 8), 8), stream_index(1, 0), 8)),
        ("a stream index over no sealed segment", {
            let open = manifest(vec![entry(0, None)], Vec::new()).encode();
            let extra = [with_byte(&open, 60, 1).as_slice(), &bytes[INDEXES..INDEXES + 64]].concat();
            let len = extra.len();
            resealed(extra, len)
        }),
    ]
}

fn shown_manifest((name, manifest): (&str, Manifest)) -> Value {
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest), "{name}");
    let segments = manifest.segments.iter().map(|entry| match entry.state {
        SegmentState::Open => json!({ "first": entry.id.0.0, "generation": entry.generation.0, "state": "open" }),
        SegmentState::Sealed { end, file_len, file_digest } => json!({
            "first": entry.id.0.0,
            "generation": entry.generation.0,
            "state": "sealed",
            "end": end.0,
            "bytes": file_len,
            "digest": file_digest.to_string(),
        }),
    });
    let indexes = manifest.stream_indexes.iter().map(|entry| {
        json!({
            "first": entry.first.0,
            "end": entry.end.0,
            "bytes": entry.file_len,
            "streams_begun": entry.streams_begun,
            "directory_digest": entry.directory_digest.to_string(),
        })
    });
    json!({
        "name": name,
        "bytes": hex(&bytes),
        "ledger_id": manifest.ledger_id.to_string(),
        "counter": manifest.counter,
        "segments": segments.collect::<Vec<_>>(),
        "stream_indexes": indexes.collect::<Vec<_>>(),
    })
}

#[test]
fn manifests_are_those_of_the_vectors() {
    let good = [
        ("one open segment", manifest(vec![entry(0, None)], Vec::new())),
        ("one sealed", manifest(vec![entry(0, Some(7)), entry(7, None)], vec![index(0, 7)])),
        ("three sealed, two stream indexes, two open", five()),
    ]
    .map(shown_manifest);
    let bad = shown(broken_manifests(), |bytes| Manifest::decode(bytes).map(drop));
    check("manifest.json", &good_and_bad(good.to_vec(), bad));
}

#[test]
fn segment_headers_and_footers_are_those_of_the_vectors() {
    check("segments.json", &json!({ "header": headers(), "footer": footers() }));
}
