//! Files that follow from others: made again when they are gone, damaged or replaced.

use super::*;
use counterfoil_format::{Manifest, StreamIndexBuilder, StreamIndexEntry, stream_index_file_name};
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{fs, io};

const STREAMS: u64 = 5;

/// A ledger with so many sealed segments, with receipts of five streams in each, one of them new.
fn with_segments(count: u64) -> Scratch {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    for n in 0..count {
        append_round(&ledger, n);
        ledger.seal().unwrap();
    }
    ledger.close().unwrap();
    scratch
}

fn append_round(ledger: &Ledger, n: u64) {
    let mut receipts: Vec<_> = (1..STREAMS).map(|s| receipt(&format!("s{s}"), &n.to_string())).collect();
    receipts.push(receipt(&format!("new-{n}"), "first"));
    ledger.append(Batch { id: Some(request(n)), ..batch(receipts) }).unwrap();
}

fn write(path: impl AsRef<Path>, bytes: impl AsRef<[u8]>) -> io::Result<()> {
    #[expect(clippy::disallowed_methods, reason = "a test damages files behind the engine's back")]
    fs::write(path, bytes)
}

fn request(n: u64) -> BatchId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&n.to_le_bytes());
    BatchId::Request(id)
}

fn names(scratch: &Scratch, extension: &str) -> Vec<String> {
    let found = fs::read_dir(scratch.path().join("segments")).unwrap();
    let mut names: Vec<_> = found.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(extension));
    names.sort();
    names
}

fn bytes_of(scratch: &Scratch, names: &[String]) -> Vec<Vec<u8>> {
    names.iter().map(|name| fs::read(scratch.path().join("segments").join(name)).unwrap()).collect()
}

/// Every stream reads back whole, whatever page size.
fn check_streams(ledger: &Ledger, rounds: u64) {
    for s in 1..STREAMS {
        let selection = Selection::Stream { stream: StreamName::new(&format!("s{s}")).unwrap(), from: StreamSeq(0) };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = ledger.read(&selection, after, 3, usize::MAX).unwrap();
            found.extend(page.receipts.iter().map(|receipt| receipt.envelope.stream_seq.0));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, (0..rounds).collect::<Vec<_>>(), "stream s{s}");
    }
    let control = Selection::Stream { stream: StreamName::control(), from: StreamSeq(0) };
    assert_eq!(ledger.read(&control, None, 9, usize::MAX).unwrap().receipts.len(), 1);
    assert_eq!(ledger.status().streams, STREAMS + rounds);
}

/// Streams go on where they stand, and new ones begin at 0.
fn check_heads(ledger: &Ledger, rounds: u64) {
    let stale = NewReceipt { expected_stream_seq: Some(StreamSeq(rounds - 1)), ..receipt("s1", "stale") };
    let refused = ledger.append(batch(vec![stale])).unwrap_err();
    assert!(matches!(refused, AppendError::LostRace { actual, .. } if actual.0 == rounds), "{refused}");
    let appended =
        ledger.append(batch(vec![receipt("s1", "x"), receipt("other", "x"), receipt("new-0", "x")])).unwrap();
    assert_eq!(appended.receipts.iter().map(|receipt| receipt.stream_seq.0).collect::<Vec<_>>(), [rounds, 0, 1]);
}

#[test]
fn streams_are_found_through_merged_indexes() {
    let scratch = with_segments(20);
    let ledger = scratch.open();
    check_streams(&ledger, 20);
    // In the background, eight neighbours become one, twice; four are left.
    while names(&scratch, ".streams").len() > 6 {
        std::thread::yield_now();
    }
    check_streams(&ledger, 20);
    ledger.close().unwrap();
    let ledger = scratch.open();
    check_streams(&ledger, 20);
    check_heads(&ledger, 20);
    check_all(&ledger);
}

#[test]
fn derived_files_are_made_again_byte_for_byte() {
    let scratch = with_segments(10);
    scratch.open().close().unwrap();
    for extension in [".streams", ".leaves"] {
        let all = names(&scratch, extension);
        let before = bytes_of(&scratch, &all);
        assert!(all.len() > 2);
        for harm in ["removed", "cut", "flipped at the end", "flipped at the start", "swapped"] {
            for name in &all {
                let path = scratch.path().join("segments").join(name);
                let mut bytes = fs::read(&path).unwrap();
                let last = bytes.len() - 1;
                match harm {
                    "removed" => fs::remove_file(&path).unwrap(),
                    "cut" => write(&path, &bytes[..last]).unwrap(),
                    "swapped" => {
                        let other = if name == &all[0] { &before[1] } else { &before[0] };
                        write(&path, other).unwrap();
                    }
                    _ => {
                        let at = if harm == "flipped at the end" { last } else { 0 };
                        bytes[at] ^= 1;
                        write(&path, bytes).unwrap();
                    }
                }
            }
            let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
            check_streams(&ledger, 10);
            check_all(&ledger);
            drop(ledger);
            let ledger = scratch.open();
            check_streams(&ledger, 10);
            check_all(&ledger);
            ledger.close().unwrap();
            assert_eq!(names(&scratch, extension), all, "{extension} {harm}");
            assert!(bytes_of(&scratch, &all) == before, "{extension} {harm}");
        }
    }
}

#[test]
fn the_copy_of_control_receipts_is_made_again_and_never_believed() {
    let scratch = with_segments(2);
    let path = scratch.path().join("control");
    let before = fs::read(&path).unwrap();
    for at in 0..=before.len() {
        match before.get(at) {
            Some(_) => {
                let mut bytes = before.clone();
                bytes[at] ^= 0x40;
                write(&path, bytes).unwrap();
            }
            None => fs::remove_file(&path).unwrap(),
        }
        scratch.open().close().unwrap();
        assert!(fs::read(&path).unwrap() == before, "byte {at}");
    }
    write(&path, [before.clone(), before.clone()].concat()).unwrap();
    assert_eq!(scratch.open().rules().genesis().origin.as_str(), "example.com/test");
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn a_batch_in_a_sealed_segment_gets_its_first_answer_after_reopening() {
    let scratch = with_segments(3);
    let ledger = scratch.open();
    for n in 0..3 {
        let mut receipts: Vec<_> = (1..STREAMS).map(|s| receipt(&format!("s{s}"), &n.to_string())).collect();
        receipts.push(receipt(&format!("new-{n}"), "first"));
        let again = Batch { id: Some(request(n)), ..batch(receipts.clone()) };
        let answer = ledger.append(again).unwrap();
        assert_eq!(answer.receipts[0].index, LeafIndex(1 + n * STREAMS));
        assert_eq!(answer.checkpoint.unverified().size, TreeSize(1 + (n + 1) * STREAMS));
        receipts.pop();
        let other = Batch { id: Some(request(n)), ..batch(receipts) };
        assert!(matches!(ledger.append(other), Err(AppendError::IdReused)));
    }
    assert_eq!(ledger.checkpoint().unverified().size, TreeSize(1 + 3 * STREAMS));
}

#[test]
fn a_sealed_segment_of_another_length_or_none_refuses_to_open() {
    let scratch = with_segments(3);
    let name = names(&scratch, ".seg")[1].clone();
    let path = scratch.path().join("segments").join(&name);
    let bytes = fs::read(&path).unwrap();
    write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(matches!(scratch.try_open(), Err(OpenError::Refused(refusal)) if refusal.path.ends_with(&name)));
    fs::remove_file(&path).unwrap();
    assert!(matches!(scratch.try_open(), Err(OpenError::Refused(refusal)) if refusal.path.ends_with(&name)));
    let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
    assert!(ledger.get(LeafIndex(1)).is_ok());
    assert!(matches!(ledger.get(LeafIndex(1 + STREAMS)), Err(ReadError::Corrupt { .. })));
}

/// A disk on which there is no space for leaf files as long as `full` says so.
struct NoRoomForLeaves {
    disk: OsDisk,
    full: Arc<AtomicBool>,
}

impl Disk for NoRoomForLeaves {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        match path.contains(".leaves") && self.full.load(Ordering::Relaxed) {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => self.disk.create(path),
        }
    }

    fn open(&self, path: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, writable)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.disk.list(folder)
    }

    fn create_dir(&self, folder: &str, private: bool) -> io::Result<()> {
        self.disk.create_dir(folder, private)
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.disk.sync_dir(folder)
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.disk.lock()
    }
}

#[test]
fn segments_that_found_the_disk_full_are_sealed_once_there_is_space() {
    let scratch = Scratch::new();
    let full = Arc::new(AtomicBool::new(true));
    let disk = Arc::new(NoRoomForLeaves { disk: OsDisk::new(scratch.path()), full: full.clone() });
    let environment = Environment { disk, ..Environment::real(scratch.path()) };
    let ledger = Ledger::open(environment, scratch.limits).unwrap();
    for n in 0..2 {
        append_round(&ledger, n);
        assert!(matches!(ledger.seal(), Err(AppendError::NotSealed { .. })));
    }
    check_streams(&ledger, 2);
    full.store(false, Ordering::Relaxed);
    append_round(&ledger, 2);
    ledger.seal().unwrap();
    let sealed = ledger.status().segments.iter().map(|segment| segment.sealed).collect::<Vec<_>>();
    assert_eq!(sealed, [true, true, true, false]);
    check_streams(&ledger, 3);
    check_all(&ledger);
    ledger.close().unwrap();
    assert_eq!(names(&scratch, ".streams").len(), 3);
}

#[test]
fn what_a_dead_merge_left_is_removed() {
    let scratch = with_segments(3);
    let folder = scratch.path().join("segments");
    let strays = [
        "00000000000000000000-00000000000000000099.streams",
        "00000000000000000000-00000000000000000011.streams.tmp",
        "00000000000000000077.0.leaves",
    ];
    for stray in strays {
        write(folder.join(stray), b"left").unwrap();
    }
    let ledger = scratch.open();
    assert!(strays.iter().all(|stray| !folder.join(stray).exists()));
    check_streams(&ledger, 3);
}

/// Puts a stream index in place that names each stream's receipts as told, with a manifest that pins it.
fn pin_index(scratch: &Scratch, end: TreeSize, streams: &[(&str, LeafIndex)]) {
    let path = scratch.path().join("MANIFEST");
    let mut manifest = Manifest::decode(&fs::read(&path).unwrap()).unwrap();
    let mut builder = StreamIndexBuilder::new(manifest.ledger_id, LeafIndex(0), end);
    for (stream, index) in streams {
        builder.push(&StreamName::new(stream).unwrap(), StreamSeq(0), &[*index]);
    }
    let mut bytes = builder.take_finished();
    let last = builder.finish();
    bytes.extend(last.rest);
    manifest.stream_indexes = vec![StreamIndexEntry {
        first: LeafIndex(0),
        end,
        file_len: bytes.len() as u64,
        streams_begun: last.streams_begun,
        directory_digest: last.directory_digest,
    }];
    write(scratch.path().join("segments").join(stream_index_file_name(LeafIndex(0), end)), bytes).unwrap();
    write(path, manifest.encode()).unwrap();
}

#[test]
fn a_head_that_a_pinned_index_invents_is_not_believed() {
    let scratch = with_segments(1);
    let truth = [("ledger", 0), ("new-0", 5), ("s1", 1), ("s2", 2), ("s3", 3), ("s4", 4)];
    let mut told = truth.map(|(stream, index)| (stream, LeafIndex(index)));
    (told[2].1, told[3].1) = (told[3].1, told[2].1);
    pin_index(&scratch, TreeSize(6), &told);
    let ledger = scratch.open();
    let refused = ledger.append(batch(vec![receipt("s1", "next")])).unwrap_err();
    let AppendError::Unreadable { cause } = &refused else { panic!("{refused}") };
    assert!(matches!(**cause, ReadError::Corrupt { index: LeafIndex(2), .. }), "{cause}");
    let selection = Selection::Stream { stream: StreamName::new("s2").unwrap(), from: StreamSeq(0) };
    let read = ledger.read(&selection, None, 1, 1).unwrap_err();
    assert!(matches!(read, ReadError::Corrupt { index: LeafIndex(1), .. }), "{read}");
    assert!(ledger.append(batch(vec![receipt("s3", "next")])).is_ok());
}
