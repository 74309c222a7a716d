//! The damaged copies.

use super::change::Change;
use crate::golden::Files;
use counterfoil_format::frame::{Frame, FrameBuilder, Stored};
use counterfoil_proof::{LeafIndex, SignatureType};
use serde_json::{Value, json};

const FIRST: &str = "segments/00000000000000000000.0.seg";
const SECOND: &str = "segments/00000000000000000008.0.seg";
const THIRD: &str = "segments/00000000000000000015.0.seg";
const OPEN: &str = "segments/00000000000000000016.0.seg";
const FIRST_LEAVES: &str = "segments/00000000000000000000.0.leaves";
const SECOND_STREAMS: &str = "segments/00000000000000000008-00000000000000000015.streams";
/// Frames of the first segment: genesis, then indices 1 and 2, 3, 4 and 5, 6 and 7.
const GENESIS: usize = 4096;
const ONE: usize = 8192;
const THREE: usize = 12_288;
const FOUR: usize = 16_384;
const SIX: usize = 20_480;
const BLOCK: usize = 4096;
const FIRST_FOOTER: usize = 24_576;
/// Offsets within a frame: its checksum, length, nonce and `synced_through`.
const CHECKSUM: usize = 8;
const LENGTH: usize = 12;
const NONCE: usize = 16;
const SYNCED: usize = 40;

/// A damaged copy, or a question that the ledger does not answer well.
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) changes: Vec<Change>,
    /// Asked of the verifier beside the usual: `vkey`, `ledger_id`, `seen`.
    pub(super) asked: Value,
    /// It verifies all the same.
    pub(super) harmless: bool,
}

fn fails(name: &'static str, changes: Vec<Change>) -> Case {
    Case { name, changes, asked: Value::Null, harmless: false }
}

fn passes(name: &'static str, changes: Vec<Change>) -> Case {
    Case { harmless: true, ..fails(name, changes) }
}

fn flip(file: &str, at: usize) -> Change {
    Change::Flip { file: file.to_owned(), at, mask: 1 }
}

fn zero(file: &str, at: usize, len: usize) -> Change {
    Change::Zero { file: file.to_owned(), at, len }
}

fn truncate(file: &str, len: usize) -> Change {
    Change::Truncate { file: file.to_owned(), len }
}

fn delete(file: &str) -> Change {
    Change::Delete { file: file.to_owned() }
}

fn write(file: &str, at: usize, bytes: impl Into<Vec<u8>>) -> Change {
    Change::Write { file: file.to_owned(), at, bytes: bytes.into() }
}

fn copy(from: &str, to: &str) -> Change {
    Change::Copy { from: from.to_owned(), to: to.to_owned() }
}

/// A frame's block copied over another one of the same file.
fn copy_block(file: &str, at: usize, to_at: usize) -> Change {
    Change::CopyBytes { from: file.to_owned(), at, len: BLOCK, to: file.to_owned(), to_at }
}

fn checksum(file: &str, at: usize) -> Change {
    Change::Checksum { file: file.to_owned(), at }
}

fn length_of(file: &[u8], at: usize) -> usize {
    u32::from_le_bytes(file[at + LENGTH..at + LENGTH + 4].try_into().unwrap()) as usize
}

/// Where a payload of a frame begins.
fn payload_at(file: &[u8], frame: usize, place: usize) -> usize {
    let decoded = Frame::decode(&file[frame..]).unwrap();
    let Stored::Present { payload, .. } = decoded.entries()[place].stored else { panic!("a payload") };
    // Payloads are unlike enough to be found by their bytes.
    let found = file[frame..].windows(payload.len()).rposition(|bytes| bytes == payload);
    frame + found.expect("the payload stands in its frame")
}

fn find(file: &[u8], from: usize, bytes: &[u8]) -> usize {
    from + file[from..].windows(bytes.len()).position(|window| window == bytes).expect("the bytes are there")
}

/// The commitment in the head of a receipt.
fn commitment_at(file: &[u8], frame: usize, place: usize) -> usize {
    let decoded = Frame::decode(&file[frame..]).unwrap();
    find(file, frame, &decoded.entries()[place].envelope.commitment.digest.0)
}

/// The salt of a payload.
fn salt_at(file: &[u8], frame: usize, place: usize) -> usize {
    let decoded = Frame::decode(&file[frame..]).unwrap();
    let Stored::Present { salt, .. } = decoded.entries()[place].stored else { panic!("a payload") };
    find(file, frame, &salt.0)
}

/// The frame without its payloads and salts, and zeros up to where the old one ended: right in every other way.
fn without_payloads(file: &[u8], at: usize) -> Vec<u8> {
    let frame = Frame::decode(&file[at..]).unwrap();
    let mut builder = FrameBuilder::new(frame.header().start);
    let mut entries = frame.entries().iter();
    for batch in frame.batches() {
        let mut own: Vec<_> = entries.by_ref().take(batch.receipts).collect();
        builder.begin_batch(&own[0].envelope.writer, batch.label);
        own.drain(..).for_each(|entry| builder.push(&entry.envelope, Stored::Erased));
    }
    let mut bytes = builder.finish(frame.commit());
    bytes.resize(length_of(file, at), 0);
    bytes
}

fn receipts(golden: &Files) -> Vec<Case> {
    let first = &golden[FIRST];
    let open = &golden[OPEN];
    vec![
        fails("a payload", vec![flip(FIRST, payload_at(first, ONE, 0))]),
        fails(
            "two payloads of one frame",
            vec![flip(FIRST, payload_at(first, FOUR, 0)), flip(FIRST, payload_at(first, FOUR, 1))],
        ),
        fails(
            "a payload of a segment's last frame, and its signature",
            vec![flip(FIRST, payload_at(first, SIX, 0) + 9), flip(FIRST, SIX + length_of(first, SIX) - 1)],
        ),
        fails("a payload and its checksum", vec![flip(FIRST, payload_at(first, ONE, 0)), checksum(FIRST, ONE)]),
        fails("a salt", vec![flip(FIRST, salt_at(first, THREE, 0))]),
        fails("the payload of genesis", vec![flip(FIRST, payload_at(first, GENESIS, 0) + 20)]),
        fails("a payload in the open segment", vec![flip(OPEN, payload_at(open, GENESIS, 0))]),
        fails("payloads removed from a sealed segment", vec![write(FIRST, ONE, without_payloads(first, ONE))]),
        fails("a payload removed from the open segment", vec![write(OPEN, GENESIS, without_payloads(open, GENESIS))]),
        fails("a commitment", vec![flip(FIRST, commitment_at(first, FOUR, 0))]),
        fails("the commitment of a frame's last receipt", vec![flip(FIRST, commitment_at(first, FOUR, 1))]),
        fails("a commitment, and no leaf file", vec![flip(FIRST, commitment_at(first, FOUR, 0)), delete(FIRST_LEAVES)]),
        fails(
            "the commitment of a frame's last receipt, and no leaf file",
            vec![flip(FIRST, commitment_at(first, FOUR, 1)), delete(FIRST_LEAVES)],
        ),
        fails(
            "a commitment and the frame's checksum",
            vec![flip(FIRST, commitment_at(first, FOUR, 1)), checksum(FIRST, FOUR)],
        ),
        fails("a stream's name", vec![flip(FIRST, find(first, FOUR, b"scratch/b"))]),
        fails("a commitment in the open segment", vec![flip(OPEN, commitment_at(open, GENESIS, 0))]),
    ]
}

fn frames(golden: &Files) -> Vec<Case> {
    let first = &golden[FIRST];
    let end = |at: usize| at + length_of(first, at);
    let last_of_second =
        (0..golden[SECOND].len()).step_by(BLOCK).rfind(|at| golden[SECOND][*at..].starts_with(b"CFFRAME1")).unwrap();
    vec![
        fails("a frame's magic", vec![flip(FIRST, THREE)]),
        fails("a frame's checksum", vec![flip(FIRST, THREE + CHECKSUM)]),
        fails("a frame's length", vec![flip(FIRST, THREE + LENGTH)]),
        fails("a frame's length becomes enormous", vec![write(FIRST, THREE + LENGTH, [0xff; 4])]),
        fails("a frame's nonce and its checksum", vec![flip(FIRST, THREE + NONCE), checksum(FIRST, THREE)]),
        fails(
            "synced_through above the frame's first index",
            vec![write(FIRST, THREE + SYNCED, [4]), checksum(FIRST, THREE)],
        ),
        fails("synced_through below what it was", vec![write(FIRST, THREE + SYNCED, [1]), checksum(FIRST, THREE)]),
        fails("a frame's signature", vec![flip(FIRST, end(THREE) - 1)]),
        fails("a frame's signature and its checksum", vec![flip(FIRST, end(THREE) - 1), checksum(FIRST, THREE)]),
        fails(
            "the signature of a segment's last frame and its checksum",
            vec![flip(FIRST, end(SIX) - 1), checksum(FIRST, SIX)],
        ),
        fails("a frame's root", vec![flip(FIRST, end(THREE) - 104)]),
        fails("a byte of the padding", vec![flip(FIRST, THREE + BLOCK - 1)]),
        fails("a frame is zeros", vec![zero(FIRST, THREE, BLOCK)]),
        fails("a frame is zeros, and no leaf file", vec![zero(FIRST, THREE, BLOCK), delete(FIRST_LEAVES)]),
        fails("two frames are zeros", vec![zero(FIRST, ONE, 2 * BLOCK)]),
        fails("genesis is zeros", vec![zero(FIRST, GENESIS, BLOCK)]),
        fails("a segment's last frame is zeros", vec![zero(SECOND, last_of_second, BLOCK)]),
        fails("a frame is overwritten by the next one", vec![copy_block(FIRST, FOUR, THREE)]),
        fails("a frame is overwritten by the one before", vec![copy_block(FIRST, ONE, THREE)]),
        fails(
            "a frame is overwritten by one of another segment",
            vec![Change::CopyBytes {
                from: SECOND.to_owned(),
                at: GENESIS,
                len: BLOCK,
                to: FIRST.to_owned(),
                to_at: THREE,
            }],
        ),
        fails("the open segment's only frame is zeros", vec![zero(OPEN, GENESIS, BLOCK)]),
        fails(
            "the open segment's only frame has another signature",
            vec![flip(OPEN, GENESIS + length_of(&golden[OPEN], GENESIS) - 1), checksum(OPEN, GENESIS)],
        ),
    ]
}

fn segments(golden: &Files) -> Vec<Case> {
    let len = |file: &str| golden[file].len();
    let spare = "segments/spare";
    let swap = || vec![copy(FIRST, spare), copy(SECOND, FIRST), copy(spare, SECOND), delete(spare)];
    vec![
        fails("the nonce in a segment's header", vec![flip(SECOND, 16)]),
        fails("the nonce in a segment's header and its checksum", vec![flip(SECOND, 16), checksum(SECOND, 0)]),
        fails(
            "the nonce in a segment's header and its checksum, and no leaf file",
            vec![flip(SECOND, 16), checksum(SECOND, 0), delete("segments/00000000000000000008.0.leaves")],
        ),
        fails("a peak in a segment's header and its checksum", vec![flip(SECOND, 160), checksum(SECOND, 0)]),
        fails("the header of the first segment", vec![flip(FIRST, 200)]),
        fails("the header of the open segment", vec![flip(OPEN, 200)]),
        fails("a byte of a footer", vec![flip(FIRST, FIRST_FOOTER + 60)]),
        fails(
            "payload bytes in a footer and its checksum",
            vec![flip(FIRST, FIRST_FOOTER + 56), checksum(FIRST, FIRST_FOOTER)],
        ),
        fails(
            "the digest in a footer and its checksum",
            vec![flip(FIRST, FIRST_FOOTER + 136), checksum(FIRST, FIRST_FOOTER)],
        ),
        fails("a byte of a trailer", vec![flip(FIRST, len(FIRST) - 1)]),
        fails("a byte between the frames and the footer", vec![flip(FIRST, FIRST_FOOTER - 1)]),
        fails("a sealed segment one byte shorter", vec![truncate(SECOND, len(SECOND) - 1)]),
        fails("a sealed segment without its footer", vec![truncate(FIRST, FIRST_FOOTER)]),
        fails("a sealed segment cut within its frames", vec![truncate(FIRST, FOUR + 100)]),
        fails("a sealed segment cut between two frames", vec![truncate(FIRST, FOUR)]),
        fails("a sealed segment cut to its header", vec![truncate(SECOND, BLOCK)]),
        fails("an empty sealed segment", vec![truncate(SECOND, 0)]),
        fails("a sealed segment one byte longer", vec![write(FIRST, len(FIRST), [0])]),
        fails("the first segment is gone", vec![delete(FIRST)]),
        fails("a segment in the middle is gone", vec![delete(SECOND)]),
        fails("the last sealed segment is gone", vec![delete(THIRD)]),
        fails("the open segment is gone", vec![delete(OPEN)]),
        fails("two segments are gone", vec![delete(SECOND), delete(THIRD)]),
        fails("two segments have changed places", swap()),
        fails("a copy of a segment under another name", vec![copy(SECOND, "segments/00000000000000000009.0.seg")]),
        fails("a copy of a segment as its next generation", vec![copy(SECOND, "segments/00000000000000000008.1.seg")]),
        passes(
            "a segment without frames that MANIFEST does not name",
            vec![
                copy(OPEN, "segments/00000000000000000017.0.seg"),
                truncate("segments/00000000000000000017.0.seg", BLOCK),
            ],
        ),
        passes("a file in segments that is none", vec![copy(SECOND, "segments/8.0.seg")]),
        passes("an unfinished file", vec![copy(SECOND, "segments/00000000000000000008.1.seg.tmp")]),
    ]
}

fn head_and_manifest(golden: &Files) -> Vec<Case> {
    let newest = usize::from(slot_counter(golden, 0) < slot_counter(golden, BLOCK)) * BLOCK;
    let older = BLOCK - newest;
    vec![
        fails("HEAD is gone", vec![delete("HEAD")]),
        fails("both slots of HEAD are damaged", vec![flip("HEAD", 20), flip("HEAD", BLOCK + 20)]),
        fails("HEAD is zeros", vec![zero("HEAD", 0, 2 * BLOCK)]),
        passes("the older slot of HEAD is damaged", vec![flip("HEAD", older + 20)]),
        passes("the newest slot of HEAD is damaged: the last frame is above the mark", vec![flip("HEAD", newest + 20)]),
        fails(
            "the root in HEAD's newest slot and its checksum",
            vec![flip("HEAD", newest + 50), checksum("HEAD", newest)],
        ),
        fails(
            "the size in HEAD's newest slot and its checksum",
            vec![write("HEAD", newest + 24, [18]), checksum("HEAD", newest)],
        ),
        fails(
            "the offset in HEAD's newest slot and its checksum",
            vec![write("HEAD", newest + 41, [0x30]), checksum("HEAD", newest)],
        ),
        fails("MANIFEST is gone", vec![delete("MANIFEST")]),
        fails("a byte of MANIFEST", vec![flip("MANIFEST", 100)]),
        fails("the ledger id in MANIFEST and its checksum", vec![flip("MANIFEST", 16), checksum("MANIFEST", 0)]),
        fails(
            "a segment's digest in MANIFEST and its checksum",
            vec![flip("MANIFEST", 64 + 32), checksum("MANIFEST", 0)],
        ),
        fails(
            "a segment's length in MANIFEST and its checksum",
            vec![flip("MANIFEST", 64 + 16), checksum("MANIFEST", 0)],
        ),
        fails(
            "MANIFEST names a segment that is not there",
            vec![write("MANIFEST", 64 + 24, [1]), checksum("MANIFEST", 0)],
        ),
        fails("the frame at HEAD's mark is gone: a crash does not take it", vec![truncate(OPEN, BLOCK)]),
    ]
}

fn slot_counter(golden: &Files, at: usize) -> u64 {
    u64::from_le_bytes(golden["HEAD"][at + 16..at + 24].try_into().unwrap())
}

fn derived(golden: &Files) -> Vec<Case> {
    let streams_in_manifest = 64 + 4 * 64;
    vec![
        passes("a leaf file is gone", vec![delete(FIRST_LEAVES)]),
        passes("a leaf hash in a leaf file", vec![flip(FIRST_LEAVES, golden[FIRST_LEAVES].len() - 1)]),
        passes("the head of a leaf file", vec![flip(FIRST_LEAVES, 20)]),
        passes("a leaf file cut short", vec![truncate(FIRST_LEAVES, 100)]),
        passes("a stream index is gone", vec![delete(SECOND_STREAMS)]),
        passes("a record of a stream index", vec![flip(SECOND_STREAMS, 3)]),
        passes("the directory of a stream index", vec![flip(SECOND_STREAMS, golden[SECOND_STREAMS].len() - 30)]),
        passes(
            "MANIFEST has another digest of a stream index",
            vec![flip("MANIFEST", streams_in_manifest + 32), checksum("MANIFEST", 0)],
        ),
        passes("control is gone", vec![delete("control")]),
        passes("a byte of control", vec![flip("control", 300)]),
        passes("control lacks its last record", vec![truncate("control", length_of(&golden["control"], 0))]),
        passes("ledger.vkey is gone", vec![delete("ledger.vkey")]),
        passes("another key in ledger.vkey", vec![flip("ledger.vkey", 30)]),
        passes("the cut file is gone", vec![delete(cut_file(golden))]),
        passes("LOCK is gone", vec![delete("LOCK")]),
        passes("a recovery was begun", vec![write("redo/8192-00000000000000000016.0.seg", 0, *b"frame")]),
        passes("files of a catalog", vec![write("catalog/db", 0, *b"anything")]),
        passes("an unknown file", vec![write("README", 0, *b"hello")]),
    ]
}

fn cut_file(golden: &Files) -> &str {
    golden.keys().find(|name| name.starts_with("cut/")).unwrap()
}

fn tail(golden: &Files) -> Vec<Case> {
    let end = golden[OPEN].len();
    let newest = usize::from(slot_counter(golden, 0) < slot_counter(golden, BLOCK)) * BLOCK;
    let above = || flip("HEAD", newest + 20);
    vec![
        passes("bytes behind the last frame", vec![write(OPEN, end, *b"torn")]),
        passes(
            "a torn frame behind the last one",
            vec![write(OPEN, end, golden[OPEN][GENESIS..GENESIS + 400].to_vec())],
        ),
        passes("zeros behind the last frame", vec![write(OPEN, end, [0; 8192])]),
        passes("above the mark: a damaged payload", vec![above(), flip(OPEN, payload_at(&golden[OPEN], GENESIS, 0))]),
        passes("above the mark: a frame of zeros", vec![above(), zero(OPEN, GENESIS, BLOCK)]),
        passes("above the mark: no frame at all", vec![above(), truncate(OPEN, BLOCK)]),
    ]
}

/// Nothing is damaged, or everything was rolled back together: what the verifier was told decides.
fn questions(golden: &Files, checkpoint: &str) -> Vec<Case> {
    let asked = |name, changes, asked, harmless| Case { name, changes, asked, harmless };
    let newest = usize::from(slot_counter(golden, 0) < slot_counter(golden, BLOCK)) * BLOCK;
    let rolled_back = || vec![flip("HEAD", newest + 20), truncate(OPEN, BLOCK)];
    let other_key = crate::sample::key("example.com/golden", SignatureType::Ed25519, 0x80).to_string();
    let other_note = crate::sample::signer().sign(LeafIndex(16).size_including(), crate::sample::checkpoint().root);
    vec![
        asked("nothing changed, another key is trusted", vec![], json!({ "vkey": other_key }), false),
        asked("nothing changed, another ledger is expected", vec![], json!({ "ledger_id": "00".repeat(32) }), false),
        asked("nothing changed, the checkpoint is its own", vec![], json!({ "seen": checkpoint }), true),
        asked(
            "nothing changed, the checkpoint is of an untrusted key",
            vec![],
            json!({ "seen": other_note.to_string() }),
            false,
        ),
        asked(
            "the ledger as it was before its last frame, and its last checkpoint",
            rolled_back(),
            json!({ "seen": checkpoint }),
            false,
        ),
        passes("the ledger as it was before its last frame, and no checkpoint", rolled_back()),
    ]
}

pub(super) fn cases(golden: &Files) -> Vec<Case> {
    let folder = crate::store::path("ledger");
    let checkpoint = crate::golden::report(&folder, |_| ()).checkpoint.unwrap().to_string();
    [
        receipts(golden),
        frames(golden),
        segments(golden),
        head_and_manifest(golden),
        derived(golden),
        tail(golden),
        questions(golden, &checkpoint),
    ]
    .into_iter()
    .flatten()
    .collect()
}
