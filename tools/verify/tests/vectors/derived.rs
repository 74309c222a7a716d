//! Leaf files, stream indexes, receipt records and control files.

use crate::control::genesis;
use crate::sample::{Tree, control_envelope, counting, genesis_envelope, payload, plain_envelope};
use crate::segments::frontier;
use crate::store::{check, good_and_bad, refused, resealed, spliced, with_byte};
use counterfoil_format::{
    ByteOffset, Generation, LeafFile, LeafFileHead, ReceiptRecord, SegmentId, ShortPreamble, StreamDirectory,
    StreamIndexBuilder,
};
use counterfoil_proof::{
    CommitmentAlgorithm, Envelope, Hash, LeafIndex, Salt, StreamName, StreamSeq, Timestamp, TreeSize, hex,
};
use serde_json::{Value, json};

fn ledger() -> Hash {
    Hash(counting(0xc0))
}

struct Leaves {
    name: &'static str,
    first: u64,
    end: u64,
    generation: u32,
    frames: Vec<(LeafIndex, ByteOffset)>,
}

impl Leaves {
    fn file(&self) -> Vec<u8> {
        let leaves = &Tree::counting(self.end).0[usize::try_from(self.first).unwrap()..];
        let (id, generation) = (SegmentId(LeafIndex(self.first)), Generation(self.generation));
        LeafFile::encode(ledger(), id, generation, &frontier(self.first), &self.frames, leaves)
    }
}

/// Reads head and every block.
fn read_leaves(file: &[u8]) -> Result<u64, String> {
    let wrong = |error: counterfoil_format::FormatError| error.to_string();
    let ShortPreamble(len) = ShortPreamble::decode(file).map_err(wrong)?;
    let head = LeafFileHead::decode(file.get(..len).ok_or("cut short")?).map_err(wrong)?;
    if head.len() + head.count * Hash::LEN as u64 != file.len() as u64 {
        return Err("another length".to_owned());
    }
    let mut at = head.indices().start;
    while let Some((first, range)) = head.block_of(LeafIndex(at)) {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        at = first.0 + head.decode_block(first, &file[range]).map_err(wrong)?.len() as u64;
    }
    Ok(head.count)
}

fn leaf_files() -> Value {
    let frames =
        |places: &[(u64, u64)]| places.iter().map(|(index, at)| (LeafIndex(*index), ByteOffset(*at))).collect();
    let small =
        Leaves { name: "three leaves", first: 0, end: 3, generation: 0, frames: frames(&[(0, 4096), (1, 8192)]) };
    let across = Leaves {
        name: "two blocks; nodes of levels 8 and 9 end here",
        first: 250,
        end: 520,
        generation: 2,
        frames: frames(&[(250, 4096), (400, 49_152)]),
    };
    let good = [&small, &across].map(|case| {
        let file = case.file();
        assert_eq!(read_leaves(&file), Ok(case.end - case.first), "{}", case.name);
        let frames = case.frames.iter().map(|(index, at)| json!({ "first": index.0, "offset": at.0 }));
        json!({
            "name": case.name,
            "leaf_rule": "leaf i is SHA-256(0x00 ‖ i as u64, little-endian)",
            "ledger_id": ledger().to_string(),
            "first": case.first,
            "end": case.end,
            "generation": case.generation,
            "frames": frames.collect::<Vec<_>>(),
            "bytes": hex(&file),
        })
    });
    let file = small.file();
    let ShortPreamble(len) = ShortPreamble::decode(&file).unwrap();
    let with = |at: usize, value: u8| resealed(with_byte(&file, at, value), len);
    let bad = [
        ("another version", with(7, b'2')),
        ("a wrong checksum", with_byte(&file, 8, file[8] ^ 1)),
        ("ends within the leaves", file[..file.len() - 1].to_vec()),
        ("a byte behind the leaves", [file.as_slice(), &[0]].concat()),
        ("one receipt more", with(56, 4)),
        ("a frame more than there are", with(68, 3)),
        ("a node that is not there", with(72, 1)),
        ("two blocks", with(76, 2)),
        ("the first frame is not the segment's", with(80, 1)),
        ("a frame behind the last receipt", with(96, 3)),
        ("frames at one offset", with(105, 0x10)),
        ("an offset that is no multiple of 4 096", with(104, 1)),
        ("a leaf that its block's checksum does not cover", with_byte(&file, len, file[len] ^ 1)),
    ];
    let bad = bad.map(|(why, bytes)| {
        assert!(read_leaves(&bytes).is_err(), "{why}");
        refused(why, &bytes)
    });
    good_and_bad(good.to_vec(), bad.to_vec())
}

type Runs = Vec<(String, u64, Vec<u64>)>;

fn stream_index(first: u64, end: u64, runs: &Runs) -> Vec<u8> {
    let mut index = StreamIndexBuilder::new(ledger(), LeafIndex(first), TreeSize(end));
    let mut file = Vec::new();
    for (stream, seq, positions) in runs {
        let positions: Vec<LeafIndex> = positions.iter().copied().map(LeafIndex).collect();
        index.push(&StreamName::new(stream).unwrap(), StreamSeq(*seq), &positions);
        file.extend(index.take_finished());
    }
    file.extend(index.finish().rest);
    file
}

/// Every record of a stream index.
fn read_streams(file: &[u8]) -> Result<u64, String> {
    let wrong = |error: counterfoil_format::FormatError| error.to_string();
    let at = StreamDirectory::locate(file.last_chunk().ok_or("cut short")?).ok_or("no trailer")?;
    let directory = file.get(usize::try_from(at.0).unwrap()..).ok_or("the trailer points behind the file")?;
    let directory = StreamDirectory::decode(directory, at).map_err(wrong)?;
    let mut receipts = 0;
    for n in 0..directory.blocks() {
        let range = directory.block_range(n);
        let block = &file[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        let records = directory.decode_block(n, block).map_err(wrong)?;
        receipts += records.iter().map(|record| record.positions.len() as u64).sum::<u64>();
    }
    Ok(receipts)
}

fn small_streams() -> Runs {
    let run = |stream: &str, seq, positions: &[u64]| (stream.to_owned(), seq, positions.to_vec());
    vec![
        run("incident/INC-42", 3, &[10, 12, 300]),
        run("incident/INC-43", 0, &[11]),
        run("incident/\u{e4}", 0, &[13, 14]),
        run("incident/\u{e5}", 7, &[15]),
        run("ledger", 2, &[16, 299]),
    ]
}

/// One stream of 600 receipts among 700 of one each: records of 256, and two blocks.
fn large_streams() -> Runs {
    let mut runs: Runs =
        (0..700).map(|n| (format!("customer/{:08x}", n * 2_654_435_761_u64 % (1 << 32)), 0, vec![n])).collect();
    runs.push(("busy".to_owned(), 5, (700..1300).collect()));
    runs.sort();
    runs
}

fn stream_indexes() -> Value {
    let small = stream_index(10, 301, &small_streams());
    let large = stream_index(0, 1300, &large_streams());
    assert_eq!(read_streams(&small), Ok(9));
    assert_eq!(read_streams(&large), Ok(1300));
    let runs = small_streams();
    let streams =
        runs.iter().map(|(stream, seq, indices)| json!({ "stream": stream, "first_seq": seq, "indices": indices }));
    let common = |name: &str, first: u64, end: u64, file: &[u8]| json!({ "name": name, "ledger_id": ledger().to_string(), "first": first, "end": end, "bytes": hex(file) });
    let mut shown_small = common("five streams", 10, 301, &small);
    shown_small["streams"] = json!(streams.collect::<Vec<_>>());
    let shown_large = common("1 300 receipts in two blocks, a stream of 600", 0, 1300, &large);
    good_and_bad(vec![shown_small, shown_large], broken_stream_indexes(&small))
}

fn broken_stream_indexes(small: &[u8]) -> Vec<Value> {
    let at = usize::try_from(StreamDirectory::locate(small.last_chunk().unwrap()).unwrap().0).unwrap();
    let len = small.len() - at - 16;
    let directory = &small[at..at + len];
    let trailer = &small[at + len..];
    let with_directory = |changed: Vec<u8>| [&small[..at], &resealed(changed, len), trailer].concat();
    // A block that was changed gets the digest it needs; names and first record stay.
    let with_block = |changed: Vec<u8>| {
        let digest = blake3::hash(&changed);
        let directory = spliced(directory, 80 + 24..80 + 56, digest.as_bytes());
        [changed.as_slice(), &resealed(directory, len), trailer].concat()
    };
    let block = &small[..at];
    let bad = vec![
        ("ends early", small[..small.len() - 1].to_vec()),
        ("a byte behind the trailer", [small, &[0]].concat()),
        ("the trailer has another version", with_byte(small, small.len() - 9, b'2')),
        ("the trailer states another offset", with_byte(small, small.len() - 8, trailer[8] ^ 1)),
        ("the directory has another version", with_directory(with_byte(directory, 7, b'2'))),
        ("a wrong checksum of the directory", with_byte(small, at + 8, small[at + 8] ^ 1)),
        ("the end not above the first index", with_directory(with_byte(&with_byte(directory, 57, 0), 56, 10))),
        ("no block", with_directory(with_byte(directory, 72, 0))),
        ("a reserved byte", with_directory(with_byte(directory, 76, 1))),
        ("the block begins elsewhere", with_directory(with_byte(directory, 80, 1))),
        ("another number of names", with_directory(with_byte(directory, 92, 4))),
        ("another first stream_seq", with_directory(with_byte(directory, 96, 4))),
        ("another digest of the block", with_directory(with_byte(directory, 104, directory[104] ^ 1))),
        ("another first name", with_directory(with_byte(directory, 137, b'j'))),
        ("the filter lacks a bit", {
            let filter = len - 8;
            let byte = (filter..len).find(|byte| directory[*byte] != 0).unwrap();
            with_directory(with_byte(directory, byte, directory[byte] & (directory[byte] - 1)))
        }),
        ("a changed block", with_byte(small, 20, small[20] ^ 1)),
        ("a varint in a longer form than needed", {
            assert_eq!(block[17], 3);
            let longer = spliced(block, 17..18, &[0x83, 0]);
            assert_ne!(longer.len(), block.len());
            with_block(longer)
        }),
        ("shares fewer bytes than it could", {
            // The second record shares `incident/INC-4` and has `3` left.
            let second = 17 + 1 + 1 + 1 + 1 + 2;
            assert_eq!(block[second..second + 3], [14, 1, b'3']);
            with_block(spliced(block, second..second + 3, &[13, 2, b'4', b'3']))
        }),
        ("an index at the end of the file", {
            let last = block.len() - 2;
            assert_eq!(block[last..], [0x9b, 0x02]);
            with_block(spliced(block, last..last + 2, &[0x9d, 0x02]))
        }),
        ("an index twice", {
            let last = block.len() - 2;
            with_block(spliced(block, last..last + 2, &[0x00]))
        }),
    ];
    let bad = bad.into_iter().map(|(why, bytes)| {
        assert!(read_streams(&bytes).is_err(), "{why}");
        refused(why, &bytes)
    });
    bad.collect()
}

fn record(envelope: &Envelope, content: Option<(Salt, &[u8])>) -> Vec<u8> {
    let mut bytes = Vec::new();
    ReceiptRecord { envelope: envelope.clone(), content }.encode_into(&mut bytes);
    bytes
}

fn whole(bytes: &[u8]) -> Result<(), String> {
    match ReceiptRecord::decode(bytes) {
        Ok((_, len)) if len == bytes.len() => Ok(()),
        Ok(_) => Err("bytes behind the record".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn receipt_records() -> Value {
    let salt = Salt(counting(0x20));
    let content = payload(100);
    let with_payload = |content: &[u8]| {
        let commitment = CommitmentAlgorithm::Blake3.commit(&salt, content);
        record(&Envelope { commitment, ..plain_envelope() }, Some((salt, content)))
    };
    let cases = [
        ("present", with_payload(&content)),
        ("an empty payload", with_payload(&[])),
        ("erased", record(&plain_envelope(), None)),
        (
            "a payload that is not the one committed to: the record decodes",
            record(&plain_envelope(), Some((salt, b"x"))),
        ),
    ];
    let good = cases.map(|(name, bytes)| {
        whole(&bytes).unwrap();
        let (record, _) = ReceiptRecord::decode(&bytes).unwrap();
        let committed = record.content.map(|(salt, payload)| record.envelope.commitment.opens_to(&salt, payload));
        json!({
            "name": name,
            "bytes": hex(&bytes),
            "envelope": hex(&record.envelope.encode()),
            "salt": record.content.map(|(salt, _)| hex(&salt.0)),
            "payload": record.content.map(|(_, payload)| hex(payload)),
            "commitment_holds": committed,
        })
    });
    let present = with_payload(&content);
    let erased = record(&plain_envelope(), None);
    let envelope = plain_envelope().encode().len();
    let with = |bytes: &[u8], at: usize, value: u8| resealed(with_byte(bytes, at, value), bytes.len());
    let with_salt = spliced(&erased, 24..24, &[0; 32]);
    let bad = [
        ("another version", with(&present, 7, b'2')),
        ("a wrong checksum", with_byte(&present, 60, present[60] ^ 1)),
        ("ends early", present[..present.len() - 1].to_vec()),
        ("state 2", with(&present, 18, 2)),
        ("a reserved byte", with(&present, 23, 1)),
        ("an envelope one byte longer", with(&present, 16, u8::try_from(envelope).unwrap() + 1)),
        ("an envelope one byte shorter", with(&present, 16, u8::try_from(envelope).unwrap() - 1)),
        ("an envelope of another version", with(&present, 56, 2)),
        ("erased, with a byte behind the envelope", resealed([erased.as_slice(), &[0]].concat(), erased.len() + 1)),
        ("erased, with a salt", resealed(with_salt.clone(), with_salt.len())),
    ];
    let bad = bad.map(|(why, bytes)| {
        assert!(whole(&bytes).is_err(), "{why}");
        refused(why, &bytes)
    });
    good_and_bad(good.to_vec(), bad.to_vec())
}

/// Genesis and a second control receipt, as the file `control` holds them.
fn control_file() -> Value {
    let salts = [Salt(counting(0)), Salt(counting(0x20))];
    let first_payload = genesis().to_payload().unwrap();
    let second_payload = b"{}";
    let commit = |salt: &Salt, payload: &[u8]| CommitmentAlgorithm::Blake3.commit(salt, payload);
    let first = Envelope { commitment: commit(&salts[0], &first_payload), ..genesis_envelope() };
    let head = first.leaf_hash();
    let second = Envelope {
        control_seq: StreamSeq(1),
        stream_seq: StreamSeq(1),
        control_head: head,
        stream_prev: head,
        time: Timestamp(first.time.0 + 5),
        commitment: commit(&salts[1], second_payload),
        ..control_envelope()
    };
    let file =
        [record(&first, Some((salts[0], &first_payload))), record(&second, Some((salts[1], second_payload)))].concat();
    json!({ "bytes": hex(&file), "control_head": second.leaf_hash().to_string(), "records": 2 })
}

#[test]
fn derived_files_are_those_of_the_vectors() {
    check("leaf-files.json", &leaf_files());
    check("stream-indexes.json", &stream_indexes());
    check("receipt-records.json", &json!({ "records": receipt_records(), "control_file": control_file() }));
}
