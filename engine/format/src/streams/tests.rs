use super::*;
use crate::{ByteOffset, FormatError, fuzzing};
use counterfoil_proof::Hash;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The receipts of a range, by stream: the plain model of a stream index.
type Model = BTreeMap<StreamName, (StreamSeq, Vec<LeafIndex>)>;

/// Streams of a ledger that is made from a seed.
#[derive(Clone, Debug)]
struct Shape {
    seed: u64,
    receipts: u64,
    names: u64,
    /// Out of 16 receipts, so many belong to one and the same stream.
    heavy: u64,
}

impl Shape {
    /// The stream of each receipt, from index 0.
    fn ledger(&self) -> Vec<StreamName> {
        let mut state = self.seed;
        (0..self.receipts)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let draw = state >> 33;
                name(if draw % 16 < self.heavy { 2 } else { draw / 16 % self.names })
            })
            .collect()
    }
}

/// Names of few letters, so that many are prefixes of others; one letter has two bytes that it shares with another.
fn name(mut number: u64) -> StreamName {
    let mut text = String::new();
    while text.is_empty() || number > 0 {
        text.push(['a', 'é', 'è'][usize::try_from(number % 3).unwrap()]);
        number /= 3;
    }
    StreamName::new(&text).unwrap()
}

fn shape() -> impl Strategy<Value = Shape> {
    (any::<u64>(), 1u64..30_000, 1u64..5000, 0u64..=16).prop_map(|(seed, receipts, names, heavy)| Shape {
        seed,
        receipts,
        names,
        heavy,
    })
}

fn model(ledger: &[StreamName], first: u64, end: u64) -> Model {
    let mut next: BTreeMap<&StreamName, u64> = BTreeMap::new();
    let mut model = Model::new();
    for (index, stream) in (0..end).zip(ledger) {
        let next = next.entry(stream).or_default();
        if index >= first {
            let (_, positions) = model.entry(stream.clone()).or_insert((StreamSeq(*next), Vec::new()));
            positions.push(LeafIndex(index));
        }
        *next += 1;
    }
    model
}

/// A file with what its end states.
fn build(model: &Model, first: u64, end: u64, piece: usize) -> (Vec<u8>, StreamIndexEnd) {
    let mut builder = StreamIndexBuilder::new(Hash([7; 32]), LeafIndex(first), TreeSize(end));
    let mut file = Vec::new();
    for (stream, (first_seq, positions)) in model {
        let mut seq = *first_seq;
        for piece in positions.chunks(piece) {
            builder.push(stream, seq, piece);
            seq.0 += piece.len() as u64;
        }
        if piece.is_multiple_of(2) {
            file.extend(builder.take_finished());
        }
    }
    let end = builder.finish();
    file.extend(&end.rest);
    (file, end)
}

fn open(file: &[u8]) -> Result<StreamDirectory, FormatError> {
    let at = StreamDirectory::locate(file.last_chunk().unwrap()).ok_or(FormatError::Truncated)?;
    let start = usize::try_from(at.0).map_err(|_| FormatError::Truncated)?;
    StreamDirectory::decode(file.get(start..).ok_or(FormatError::Truncated)?, at)
}

fn block(file: &[u8], directory: &StreamDirectory, n: usize) -> Result<Vec<StreamRecord>, FormatError> {
    let range = directory.block_range(n);
    directory.decode_block(n, &file[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()])
}

fn records(file: &[u8]) -> Vec<StreamRecord> {
    let directory = open(file).unwrap();
    (0..directory.blocks()).flat_map(|n| block(file, &directory, n).unwrap()).collect()
}

/// The records a model has.
fn chunks(model: &Model) -> Vec<StreamRecord> {
    let of_stream = |(stream, (first_seq, positions)): (&StreamName, &(StreamSeq, Vec<LeafIndex>))| {
        let chunks = positions.chunks(STREAM_RECORD_POSITIONS).zip((first_seq.0..).step_by(STREAM_RECORD_POSITIONS));
        let record = |(positions, first_seq): (&[LeafIndex], u64)| StreamRecord {
            stream: stream.clone(),
            first_seq: StreamSeq(first_seq),
            positions: positions.to_vec(),
        };
        chunks.map(record).collect::<Vec<_>>()
    };
    model.iter().flat_map(of_stream).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn a_stream_index_reads_back(shape in shape(), cut in any::<prop::sample::Index>()) {
        let ledger = shape.ledger();
        let first = cut.index(ledger.len()) as u64;
        let model = model(&ledger, first, shape.receipts);
        let (file, end) = build(&model, first, shape.receipts, 100);
        let directory = open(&file).unwrap();
        prop_assert_eq!(records(&file), chunks(&model));
        prop_assert_eq!((directory.ledger_id, directory.first, directory.end), (Hash([7; 32]), LeafIndex(first), TreeSize(shape.receipts)));
        let begun = model.values().filter(|(first_seq, _)| *first_seq == StreamSeq(0)).count() as u64;
        prop_assert_eq!([directory.streams_begun, end.streams_begun], [begun; 2]);
        prop_assert_eq!(directory.digest(), end.directory_digest);
        let at = usize::try_from(directory.block_range(directory.blocks() - 1).end).unwrap();
        prop_assert_eq!(directory.encode(), &file[at..]);
    }

    #[test]
    fn a_search_ends_where_the_model_says(shape in shape(), cut in any::<prop::sample::Index>(), probes in prop::collection::vec((0u64..6000, 0u64..30_000), 200)) {
        let ledger = shape.ledger();
        let first = cut.index(ledger.len()) as u64;
        let model = model(&ledger, first, shape.receipts);
        let expected: BTreeMap<(StreamName, StreamSeq), StreamRecord> =
            chunks(&model).into_iter().map(|record| ((record.stream.clone(), record.first_seq), record)).collect();
        let (file, _) = build(&model, first, shape.receipts, 1000);
        let directory = open(&file).unwrap();
        let blocks: Vec<_> = (0..directory.blocks()).map(|n| block(&file, &directory, n).unwrap()).collect();
        let present = expected.keys().flat_map(|(stream, first_seq)| {
            [first_seq.0.saturating_sub(1), first_seq.0, first_seq.0 + 1, u64::MAX].map(|seq| (stream.clone(), StreamSeq(seq)))
        });
        let probes = probes.into_iter().map(|(number, seq)| (name(number), StreamSeq(seq)));
        for (nth, key) in probes.chain(present).enumerate() {
            let at_most = (Bound::Unbounded, Bound::Included(key.clone()));
            let wanted = expected.range(at_most).next_back().map(|(_, record)| record).filter(|record| record.stream == key.0);
            let found = directory.find(&key.0, key.1).and_then(|n| {
                let after = blocks[n].partition_point(|record| (&record.stream, record.first_seq) <= (&key.0, key.1));
                after.checked_sub(1).map(|at| &blocks[n][at]).filter(|record| record.stream == key.0)
            });
            prop_assert_eq!(found, wanted, "{:?}", key);
            // The bytes are hashed each time.
            if nth % 64 > 0 {
                continue;
            }
            let alone = directory.find(&key.0, key.1).and_then(|n| {
                let range = directory.block_range(n);
                let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                directory.find_in_block(n, &file[range], &key.0, key.1).unwrap()
            });
            prop_assert_eq!(alone.as_ref(), wanted, "{:?}", key);
        }
    }

    #[test]
    fn merging_gives_what_building_directly_gives(shape in shape(), cuts in any::<[prop::sample::Index; 2]>()) {
        let ledger = shape.ledger();
        let mut cuts = cuts.map(|cut| cut.index(ledger.len()) as u64);
        cuts.sort_unstable();
        let [first, middle] = cuts;
        prop_assume!(first < middle);
        let end = shape.receipts;
        let halves = [(first, middle), (middle, end)]
            .map(|(first, end)| records(&build(&model(&ledger, first, end), first, end, 300).0));
        let mut merged = halves.concat();
        merged.sort_by(|a, b| (&a.stream, a.first_seq).cmp(&(&b.stream, b.first_seq)));
        let mut builder = StreamIndexBuilder::new(Hash([7; 32]), LeafIndex(first), TreeSize(end));
        for record in &merged {
            builder.push(&record.stream, record.first_seq, &record.positions);
        }
        prop_assert_eq!(builder.finish().rest, build(&model(&ledger, first, end), first, end, 77).0);
    }

    #[test]
    fn the_pieces_in_which_a_stream_is_pushed_do_not_matter(shape in shape(), piece in 1usize..1000) {
        let model = model(&shape.ledger(), 0, shape.receipts);
        prop_assert_eq!(build(&model, 0, shape.receipts, piece).0, build(&model, 0, shape.receipts, usize::MAX).0);
    }

    /// A hostile writer can repair checksums and digests; what is accepted must still be canonical.
    #[test]
    fn changed_bytes_under_repaired_digests_are_refused_or_canonical(
        names in 1u64..300, at in any::<prop::sample::Index>(), flip in 1u8..
    ) {
        let shape = Shape { seed: names, receipts: 400, names, heavy: 0 };
        let (file, _) = build(&model(&shape.ledger(), 0, 400), 0, 400, 9);
        let directory_at = usize::try_from(open(&file).unwrap().block_range(0).end).unwrap();
        let mut block = file[..directory_at].to_vec();
        let place = at.index(block.len());
        block[place] ^= flip;
        fuzzing::stream_block(&block);
        let mut directory = file[directory_at..].to_vec();
        let end = directory.len() - STREAM_TRAILER_LEN;
        let place = 16 + at.index(end - 16);
        directory[place] ^= flip;
        crate::record::finish(&mut directory[..end]);
        fuzzing::stream_directory(&directory);
    }
}

fn small() -> Vec<u8> {
    let shape = Shape { seed: 1, receipts: 40, names: 9, heavy: 4 };
    build(&model(&shape.ledger(), 3, 40), 3, 40, 5).0
}

#[test]
fn a_stream_of_thousands_spans_blocks() {
    let long = StreamName::new("long").unwrap();
    let positions: Vec<_> = (0..50_000).map(|n| LeafIndex(n * 300)).collect();
    let mut builder = StreamIndexBuilder::new(Hash([7; 32]), LeafIndex(0), TreeSize(15_000_000));
    builder.push(&long, StreamSeq(0), &positions);
    let file = builder.finish().rest;
    let directory = open(&file).unwrap();
    assert!(directory.blocks() > 3);
    for (seq, position) in positions.iter().enumerate() {
        let seq = seq as u64;
        let n = directory.find(&long, StreamSeq(seq)).unwrap();
        if seq % 1000 == 999 {
            let records = block(&file, &directory, n).unwrap();
            let record = records.iter().rfind(|record| record.first_seq.0 <= seq).unwrap();
            assert_eq!(record.positions[usize::try_from(seq - record.first_seq.0).unwrap()], *position);
        }
    }
    assert_eq!(directory.find(&StreamName::new("a").unwrap(), StreamSeq(0)), None);
}

#[test]
fn every_flipped_byte_is_noticed() {
    let good = small();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 4;
        let noticed = match open(&bad) {
            Ok(directory) => (0..directory.blocks()).any(|n| block(&bad, &directory, n).is_err()),
            Err(_) => true,
        };
        assert!(noticed, "{at}");
    }
}

#[test]
fn a_file_cut_anywhere_is_noticed() {
    let good = small();
    for len in STREAM_TRAILER_LEN..good.len() {
        assert!(open(&good[..len]).is_err(), "{len}");
    }
}

#[test]
fn damaged_blocks_are_refused_by_their_digest() {
    let mut file = small();
    file[5] ^= 1;
    let directory = open(&file).unwrap();
    assert!(matches!(block(&file, &directory, 0), Err(FormatError::Digest { .. })));
}

#[test]
fn a_directory_elsewhere_in_the_file_is_refused() {
    let file = small();
    let at = usize::try_from(open(&file).unwrap().block_range(0).end).unwrap();
    let rule = "the trailer names the directory's offset";
    let elsewhere = StreamDirectory::decode(&file[at..], ByteOffset(at as u64 + 1));
    assert_eq!(elsewhere, Err(FormatError::NotCanonical { rule }));
}

#[test]
fn only_canonical_file_names_are_stream_indexes() {
    let name = stream_index_file_name(LeafIndex(10), TreeSize(42));
    assert_eq!(name, "00000000000000000010-00000000000000000042.streams");
    assert_eq!(parse_stream_index_file_name(&name), Some((LeafIndex(10), TreeSize(42))));
    for bad in [
        "10-42.streams",
        "00000000000000000010-00000000000000000042.streams.tmp",
        "00000000000000000010.00000000000000000042.streams",
        "+0000000000000000010-00000000000000000042.streams",
        "00000000000000000010-99999999999999999999.streams",
        "00000000000000000010.0.leaves",
    ] {
        assert_eq!(parse_stream_index_file_name(bad), None, "{bad}");
    }
}

fn push_on(pushes: &[(&str, u64, &[u64])]) {
    let mut builder = StreamIndexBuilder::new(Hash([7; 32]), LeafIndex(10), TreeSize(20));
    for (stream, first_seq, positions) in pushes {
        let positions: Vec<_> = positions.iter().map(|position| LeafIndex(*position)).collect();
        builder.push(&StreamName::new(stream).unwrap(), StreamSeq(*first_seq), &positions);
    }
}

#[test]
#[should_panic(expected = "streams ascend")]
fn streams_out_of_order_are_a_bug() {
    push_on(&[("b", 0, &[10]), ("a", 0, &[11])]);
}

#[test]
#[should_panic(expected = "a stream has no gaps")]
fn a_gap_in_a_stream_is_a_bug() {
    push_on(&[("a", 0, &[10, 11]), ("a", 3, &[12])]);
}

#[test]
#[should_panic(expected = "positions ascend")]
fn positions_out_of_order_are_a_bug() {
    push_on(&[("a", 0, &[10, 12]), ("a", 2, &[12])]);
}

#[test]
#[should_panic(expected = "positions are among those covered")]
fn a_position_before_the_file_is_a_bug() {
    push_on(&[("a", 0, &[9])]);
}

#[test]
#[should_panic(expected = "a stream index covers at least one receipt")]
fn an_index_of_nothing_is_a_bug() {
    let _ = StreamIndexBuilder::new(Hash([7; 32]), LeafIndex(10), TreeSize(20)).finish();
}
