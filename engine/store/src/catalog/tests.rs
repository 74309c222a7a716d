//! The catalog beside a real ledger: whatever happens to its files, streams are missing or late, and nothing else.

use super::cataloguer::Catalog;
use super::entry::{Cursor, Entry};
use super::listing::{CatalogStatus, ListedStream};
use super::store::Store;
use super::{CATALOG_FOLDER, CatalogError, StreamsError, rebuild_catalog, streams};
use crate::*;
use bytes::Bytes;
use core::time::Duration;
use counterfoil_proof::*;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration as Time;
use tempfile::TempDir;

/// A catalog that never gets there fails its test instead of hanging it.
const LOOKS_MAX: u32 = 6000;

struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        let scratch = Self(tempfile::tempdir().unwrap());
        scratch.create("ledger");
        scratch
    }

    fn create(&self, name: &str) {
        fs::create_dir(self.path(name)).unwrap();
        let new = NewLedger {
            origin: Origin::new("example.com/test").unwrap(),
            commitment: CommitmentAlgorithm::Blake3,
            roots: Vec::new(),
            root_threshold: None,
            release_delay: Duration::from_secs(86_400),
        };
        create(&Environment::real(&self.path(name)), &new).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn catalog(&self) -> PathBuf {
        self.path("ledger").join(CATALOG_FOLDER)
    }

    /// The ledger without a catalog, for tests that keep one themselves.
    fn open(&self) -> Ledger {
        Ledger::open(Environment::real(&self.path("ledger")), Limits::default()).unwrap()
    }

    fn open_with_catalog(&self) -> Ledger {
        Ledger::open(Environment::with_catalog(&self.path("ledger")), Limits::default()).unwrap()
    }

    fn copy(&self, from: &str, to: &str) {
        copy_folder(&self.path(from), &self.path(to));
    }

    /// Keeps a catalog until it knows everything, closes it, and gives what it listed and how often it was made anew.
    fn list_all(&self, ledger: &Ledger) -> (Vec<ListedStream>, u64) {
        let catalog = Catalog::keep(ledger.shared(), self.catalog());
        let listed = caught_up(ledger, &catalog);
        let made_anew = catalog.board().unwrap().generation() - 1;
        catalog.close();
        (listed, made_anew)
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a test damages files behind the catalog's back")]
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

/// Damages a file if it is still there.
#[expect(clippy::disallowed_methods, reason = "a test damages files behind the catalog's back")]
fn overwrite(path: &Path, bytes: &[u8]) {
    if let Ok(mut file) = fs::OpenOptions::new().write(true).open(path) {
        std::io::Write::write_all(&mut file, bytes).unwrap();
    }
}

/// The files below a folder, none if it is not there.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(files(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn receipt(stream: &str, kind: &str) -> NewReceipt {
    NewReceipt {
        stream: StreamName::new(stream).unwrap(),
        kind: Kind::new(kind).unwrap(),
        class: ClassId::FOREVER,
        media: Media::Text,
        payload: Bytes::from_static(b"x"),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    }
}

fn append(ledger: &Ledger, receipts: Vec<NewReceipt>) -> Appended {
    let batch = Batch { writer: Principal::new("ann").unwrap(), id: None, receipts, with_proofs: false };
    ledger.append(batch).unwrap()
}

/// Appends one receipt to each stream.
fn append_to(ledger: &Ledger, streams: &[&str]) {
    append(ledger, streams.iter().map(|stream| receipt(stream, "test.made/1")).collect());
}

fn wait_until(mut done: impl FnMut() -> bool) {
    for _ in 0..LOOKS_MAX {
        if done() {
            return;
        }
        thread::sleep(Time::from_millis(10));
    }
    panic!("the catalog does not get there");
}

/// Waits until the catalog knows all that is published, and lists it.
fn caught_up(ledger: &Ledger, catalog: &Catalog) -> Vec<ListedStream> {
    let size = ledger.checkpoint().unverified().size;
    wait_until(|| match catalog.status() {
        CatalogStatus::Kept { taken_in } => taken_in == size,
        other => panic!("{other:?}"),
    });
    list(ledger, catalog)
}

fn list(ledger: &Ledger, catalog: &Catalog) -> Vec<ListedStream> {
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = streams(ledger.shared(), catalog, "", after.as_ref(), 1000).unwrap();
        listed.extend(page.streams);
        after = page.next;
        if after.is_none() {
            return listed;
        }
    }
}

fn names(listed: &[ListedStream]) -> Vec<&str> {
    listed.iter().map(|stream| stream.stream.as_str()).collect()
}

#[test]
fn a_stream_is_listed_with_its_ends_its_kinds_and_whether_it_is_closed() {
    let scratch = Scratch::new();
    let ledger = scratch.open_with_catalog();
    append(&ledger, vec![receipt("a", "b/1"), receipt("a", "a/1")]);
    append_to(&ledger, &["b"]);
    let last = append(&ledger, vec![NewReceipt { closes_stream: true, ..receipt("a", "b/1") }]);
    wait_until(|| matches!(ledger.status().catalog, CatalogStatus::Kept { taken_in: TreeSize(5) }));
    let page = ledger.streams("", None, 10).unwrap();
    assert_eq!((names(&page.streams), page.next), (vec!["a", "b", "ledger"], None));
    assert_eq!((page.taken_in, page.size, page.left_out), (TreeSize(5), TreeSize(5), 0));
    let a = &page.streams[0];
    assert_eq!((a.receipts, a.first, a.last, a.closed), (3, LeafIndex(1), LeafIndex(4), true));
    assert_eq!((a.first_time, a.last_time), (ledger.get(LeafIndex(1)).unwrap().envelope.time, last.time));
    assert_eq!(a.kinds.iter().map(Kind::as_str).collect::<Vec<_>>(), ["a/1", "b/1"]);
    assert!(!a.more_kinds && !page.streams[1].closed);
    ledger.close().unwrap();
    assert!(matches!(ledger.streams("", None, 10), Err(StreamsError::Closing)));
}

#[test]
fn pages_follow_each_other_within_a_prefix() {
    let scratch = Scratch::new();
    let ledger = scratch.open_with_catalog();
    append_to(&ledger, &["a", "in", "in/1", "in/2", "in/3", "in/é", "io"]);
    wait_until(|| matches!(ledger.status().catalog, CatalogStatus::Kept { taken_in: TreeSize(8) }));
    let page = |after: Option<&StreamName>| ledger.streams("in/", after, 2).unwrap();
    let first = page(None);
    assert_eq!(names(&first.streams), ["in/1", "in/2"]);
    let second = page(first.next.as_ref());
    assert_eq!((names(&second.streams), second.next), (vec!["in/3", "in/é"], None));
    let before = StreamName::new("a").unwrap();
    assert_eq!(names(&page(Some(&before)).streams), ["in/1", "in/2"], "a name before the prefix skips nothing");
    assert!(ledger.streams("nothing", None, 2).unwrap().streams.is_empty());
}

#[test]
fn a_catalog_closed_cleanly_is_gone_on_with() {
    let scratch = Scratch::new();
    for round in 0..5 {
        let ledger = scratch.open();
        append_to(&ledger, &["a", "b"]);
        let (listed, made_anew) = scratch.list_all(&ledger);
        assert_eq!(listed.iter().map(|stream| stream.receipts).collect::<Vec<_>>(), [round + 1, round + 1, 1]);
        assert_eq!(made_anew, u64::from(round == 0));
        ledger.close().unwrap();
    }
}

#[test]
fn damage_to_any_file_between_runs_has_the_catalog_made_anew() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append_to(&ledger, &["a", "b"]);
    let (before, _) = scratch.list_all(&ledger);
    let damages: [fn(&Path); 3] = [
        |path| {
            let mut bytes = fs::read(path).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            write(path, &bytes);
        },
        |path| write(path, &fs::read(path).unwrap()[1..]),
        |path| fs::remove_file(path).unwrap(),
    ];
    let count = files(&scratch.catalog()).len();
    assert!(count >= 3, "{:?}", files(&scratch.catalog()));
    for place in 0..count {
        for damage in damages {
            let files = files(&scratch.catalog());
            if fs::metadata(&files[place]).unwrap().len() > 0 {
                damage(&files[place]);
                assert_eq!(scratch.list_all(&ledger), (before.clone(), 1), "{}", files[place].display());
            }
        }
    }
    fs::remove_dir_all(scratch.catalog()).unwrap();
    assert_eq!(scratch.list_all(&ledger), (before, 1));
}

#[test]
fn a_catalog_that_was_not_closed_is_made_anew() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append_to(&ledger, &["a", "b"]);
    let catalog = Catalog::keep(ledger.shared(), scratch.catalog());
    let before = caught_up(&ledger, &catalog);
    scratch.copy("ledger", "killed");
    catalog.close();
    fs::remove_dir_all(scratch.catalog()).unwrap();
    copy_folder(&scratch.path("killed").join(CATALOG_FOLDER), &scratch.catalog());
    assert_eq!(scratch.list_all(&ledger), (before, 1));
}

#[test]
fn the_catalog_of_another_ledger_is_made_anew() {
    let scratch = Scratch::new();
    let other = Scratch::new();
    for (scratch, stream) in [(&scratch, "ours"), (&other, "theirs")] {
        let ledger = scratch.open();
        append_to(&ledger, &[stream]);
        scratch.list_all(&ledger);
        ledger.close().unwrap();
    }
    fs::remove_dir_all(scratch.catalog()).unwrap();
    copy_folder(&other.catalog(), &scratch.catalog());
    let (listed, made_anew) = scratch.list_all(&scratch.open());
    assert_eq!((names(&listed), made_anew), (vec!["ledger", "ours"], 1));
}

/// The ledger as it was before some appends, with the catalog as it was after them.
fn restored_beneath_its_catalog() -> Scratch {
    let scratch = Scratch::new();
    scratch.copy("ledger", "backup");
    let ledger = scratch.open();
    append_to(&ledger, &["lost"]);
    scratch.list_all(&ledger);
    ledger.close().unwrap();
    copy_folder(&scratch.catalog(), &scratch.path("backup").join(CATALOG_FOLDER));
    fs::remove_dir_all(scratch.path("ledger")).unwrap();
    scratch.copy("backup", "ledger");
    scratch
}

#[test]
fn a_catalog_ahead_of_the_ledger_is_made_anew() {
    let scratch = restored_beneath_its_catalog();
    let (listed, made_anew) = scratch.list_all(&scratch.open());
    assert_eq!((names(&listed), made_anew), (vec!["ledger"], 1));
}

#[test]
fn a_catalog_of_another_history_of_the_ledger_is_made_anew() {
    let scratch = restored_beneath_its_catalog();
    let ledger = scratch.open();
    append_to(&ledger, &["other"]);
    let (listed, made_anew) = scratch.list_all(&ledger);
    assert_eq!((names(&listed), made_anew), (vec!["ledger", "other"], 1));
}

#[test]
fn the_folder_may_vanish_while_it_is_open() {
    let scratch = Scratch::new();
    let ledger = scratch.open_with_catalog();
    append_to(&ledger, &["a"]);
    wait_until(|| matches!(ledger.status().catalog, CatalogStatus::Kept { taken_in: TreeSize(2) }));
    fs::remove_dir_all(scratch.catalog()).unwrap();
    append_to(&ledger, &["b"]);
    let page = ledger.streams("", None, 10).unwrap();
    assert!(page.streams.iter().all(|stream| ["a", "b", "ledger"].contains(&stream.stream.as_str())));
    ledger.close().unwrap();
    let ledger = scratch.open();
    assert_eq!(names(&scratch.list_all(&ledger).0), ["a", "b", "ledger"]);
}

#[test]
fn files_may_be_damaged_while_they_are_open() {
    let scratch = Scratch::new();
    let ledger = scratch.open_with_catalog();
    for round in 0..8u64 {
        append_to(&ledger, &["a", &format!("s{round}")]);
        for path in files(&scratch.catalog()) {
            // It may be made anew at this very moment, after the damage of the round before.
            let Ok(mut bytes) = fs::read(&path) else { continue };
            bytes.iter_mut().skip(usize::try_from(round).unwrap()).step_by(64).for_each(|byte| *byte ^= 0x55);
            overwrite(&path, &bytes);
        }
        for stream in ledger.streams("", None, 100).unwrap().streams {
            let read = Selection::Stream { stream: stream.stream.clone(), from: StreamSeq(stream.receipts - 1) };
            let last = ledger.read(&read, None, 1, usize::MAX).unwrap().receipts.remove(0);
            assert_eq!(last.envelope.index, stream.last, "{stream:?}");
        }
    }
    ledger.close().unwrap();
    let ledger = scratch.open();
    assert_eq!(scratch.list_all(&ledger).0.len(), 10);
}

#[test]
fn what_the_ledger_contradicts_is_not_listed_and_has_the_catalog_made_anew() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append_to(&ledger, &["a", "b"]);
    append_to(&ledger, &["a"]);
    let catalog = Catalog::keep(ledger.shared(), scratch.catalog());
    let right = caught_up(&ledger, &catalog);
    let store = |change: &dyn Fn(&Store)| change(catalog.board().unwrap().store.read().unwrap().as_ref().unwrap());
    let (a, b) = (StreamName::new("a").unwrap(), StreamName::new("b").unwrap());
    let lies: [fn(&mut Entry); 6] = [
        |entry| entry.receipts += 1,
        |entry| entry.last = LeafIndex(2),
        |entry| entry.last = LeafIndex(99),
        |entry| entry.first = LeafIndex(2),
        |entry| entry.last_time.0 += 1,
        |entry| entry.closed = true,
    ];
    for (lies_before, lie) in lies.into_iter().enumerate() {
        store(&|store: &Store| {
            let cursor = store.cursor().unwrap().unwrap();
            let mut entry = store.get(&a).unwrap().unwrap();
            lie(&mut entry);
            let made_up = StreamName::new("made-up").unwrap();
            let entries = [(&a, entry.clone()), (&made_up, entry)];
            store.put(entries.iter().map(|(name, entry)| (*name, entry)), &cursor).unwrap();
        });
        let listed = list(&ledger, &catalog);
        assert!(listed.iter().all(|stream| right.contains(stream)), "lie {lies_before}: {listed:?}");
        wait_until(|| catalog.board().unwrap().generation() > lies_before as u64 + 2);
        assert_eq!(caught_up(&ledger, &catalog), right, "lie {lies_before}");
    }
    // A lie that nobody lists is found when the stream goes on.
    store(&|store: &Store| {
        let cursor = store.cursor().unwrap().unwrap();
        let entry = Entry { receipts: 7, ..store.get(&b).unwrap().unwrap() };
        store.put([(&b, &entry)].into_iter(), &cursor).unwrap();
    });
    append_to(&ledger, &["b"]);
    let listed = caught_up(&ledger, &catalog);
    assert_eq!(listed.iter().map(|stream| stream.receipts).collect::<Vec<_>>(), [2, 2, 1]);
}

#[test]
fn a_folder_that_cannot_be_used_stops_the_catalog_only() {
    let scratch = Scratch::new();
    write(&scratch.path("file"), b"in the way");
    let environment =
        Environment { catalog: Some(scratch.path("file/catalog")), ..Environment::real(&scratch.path("ledger")) };
    let ledger = Ledger::open(environment, Limits::default()).unwrap();
    wait_until(|| matches!(ledger.status().catalog, CatalogStatus::Failed { .. }));
    match ledger.streams("", None, 10) {
        Err(StreamsError::Failed { cause }) => assert!(matches!(*cause, CatalogError::Folder(_)), "{cause}"),
        other => panic!("{other:?}"),
    }
    append_to(&ledger, &["a"]);
    ledger.close().unwrap();
}

#[test]
fn a_ledger_that_cannot_be_read_stops_the_catalog_and_is_not_guessed_at() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append_to(&ledger, &["alpha"]);
    let segment = scratch.path("ledger/segments/00000000000000000000.0.seg");
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes.windows(5).position(|window| window == b"alpha").unwrap();
    bytes[at] = b'X';
    write(&segment, &bytes);
    let catalog = Catalog::keep(ledger.shared(), scratch.catalog());
    wait_until(|| matches!(catalog.status(), CatalogStatus::Failed { .. }));
    let CatalogStatus::Failed { cause } = catalog.status() else { unreachable!("waited for it") };
    assert!(matches!(*cause, CatalogError::Ledger(ReadError::Corrupt { .. })), "{cause}");
}

#[test]
fn without_a_place_or_for_reading_only_no_catalog_is_kept() {
    let scratch = Scratch::new();
    let plain = scratch.open();
    assert!(matches!(plain.status().catalog, CatalogStatus::Off));
    plain.close().unwrap();
    let environment = Environment::with_catalog(&scratch.path("ledger"));
    let ledger = Ledger::open_read_only(environment, Limits::default()).unwrap();
    assert!(matches!(ledger.streams("", None, 1), Err(StreamsError::Off)));
    assert!(!scratch.catalog().exists());
}

#[test]
fn a_catalog_made_anew_offline_is_taken_over_as_it_is() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append_to(&ledger, &["a", "b"]);
    ledger.close().unwrap();
    let mut told = Vec::new();
    let environment = Environment::with_catalog(&scratch.path("ledger"));
    let rebuilt = rebuild_catalog(environment.clone(), |taken_in, size| told.push((taken_in, size))).unwrap();
    assert_eq!(rebuilt, Rebuilt { streams: 3, receipts: 3 });
    assert_eq!(told, [(TreeSize(3), TreeSize(3))]);
    let ledger = scratch.open();
    let (listed, made_anew) = scratch.list_all(&ledger);
    assert_eq!((names(&listed), made_anew), (vec!["a", "b", "ledger"], 0));
    assert!(matches!(rebuild_catalog(environment, |_, _| {}), Err(RebuildError::Open(OpenError::Locked))));
}

#[test]
fn a_mark_alone_is_no_catalog() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    fs::create_dir(scratch.catalog()).unwrap();
    let store = Store::open(&scratch.catalog()).unwrap();
    store.put(core::iter::empty(), &Cursor::at_start(ledger.identity().ledger_id)).unwrap();
    store.close().unwrap();
    super::folder::Folder::new(scratch.catalog()).mark(|| false).unwrap();
    assert_eq!(names(&scratch.list_all(&ledger).0), ["ledger"]);
}
