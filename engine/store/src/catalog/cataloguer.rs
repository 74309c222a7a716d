//! The cataloguer: a thread that follows what is published and keeps the catalog, at leisure.

use super::entry::Cursor;
use super::error::{CatalogError, StreamsError};
use super::filler::{CHUNK_RECEIPTS, fitting_cursor, take_chunk};
use super::folder::Folder;
use super::listing::CatalogStatus;
use super::store::Store;
use crate::shared::Shared;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use counterfoil_proof::TreeSize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, OnceLock, RwLock};
use std::thread;

/// After a piece of work the cataloguer rests this many times as long: it takes a third of a core at most.
const REST_PER_WORK: u32 = 2;
/// It rests at least this long, so that many small frames are taken in together.
const REST_MIN: Duration = Duration::from_millis(20);
/// Closing the ledger waits this long for the catalog to be closed cleanly. A catalog that takes longer is made anew.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A listing waits this long for receipts published before it was asked for, if they are no more than a chunk.
const LISTING_PATIENCE: Duration = Duration::from_millis(250);

/// The catalog of an open ledger, if it keeps one.
pub(crate) struct Catalog {
    kept: Option<Kept>,
}

struct Kept {
    board: Arc<Board>,
    ended: Mutex<Receiver<()>>,
}

/// What the cataloguer shares with those who ask.
pub(super) struct Board {
    pub(super) shared: Arc<Shared>,
    /// Absent until it is opened, while it is made anew, and at the end.
    pub(super) store: RwLock<Option<Store>>,
    taken_in: AtomicU64,
    failure: OnceLock<Arc<CatalogError>>,
    /// How often the catalog was opened or made anew.
    generation: AtomicU64,
    /// The generation of which something listed did not hold.
    doubted: AtomicU64,
    stopping: AtomicBool,
    /// Nobody waits for the cataloguer any more.
    given_up: AtomicBool,
    /// Told whenever `taken_in` grew or the catalog ends.
    step: (Mutex<()>, Condvar),
}

impl Catalog {
    /// No catalog.
    pub(crate) fn off() -> Self {
        Self { kept: None }
    }

    /// Begins to keep the catalog in a folder.
    pub(crate) fn keep(shared: &Arc<Shared>, folder: PathBuf) -> Self {
        let board = Arc::new(Board {
            shared: shared.clone(),
            store: RwLock::new(None),
            taken_in: AtomicU64::new(0),
            failure: OnceLock::new(),
            generation: AtomicU64::new(1),
            doubted: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            step: (Mutex::new(()), Condvar::new()),
        });
        let (ending, ended) = mpsc::channel();
        let cataloguer = Cataloguer { board: board.clone(), folder: Folder::new(folder), ending };
        if let Err(error) = thread::Builder::new().name("cataloguer".into()).spawn(move || cataloguer.run()) {
            let _ = board.failure.set(Arc::new(CatalogError::Thread(error)));
        }
        Self { kept: Some(Kept { board, ended: Mutex::new(ended) }) }
    }

    pub(crate) fn status(&self) -> CatalogStatus {
        let Some(kept) = &self.kept else { return CatalogStatus::Off };
        match kept.board.failure.get() {
            Some(cause) => CatalogStatus::Failed { cause: cause.clone() },
            None => CatalogStatus::Kept { taken_in: kept.board.taken_in() },
        }
    }

    /// What listings are made from.
    pub(super) fn board(&self) -> Result<&Board, StreamsError> {
        let board = &self.kept.as_ref().ok_or(StreamsError::Off)?.board;
        match board.failure.get() {
            Some(cause) => Err(StreamsError::Failed { cause: cause.clone() }),
            None if board.is_stopping() => Err(StreamsError::Closing),
            None => Ok(board),
        }
    }

    /// Ends the catalog, cleanly if that does not take long.
    pub(crate) fn close(&self) {
        let Some(kept) = &self.kept else { return };
        let board = &kept.board;
        board.stopping.store(true, Ordering::SeqCst);
        board.shared.notify_progress();
        board.tell_step();
        // An error means that the cataloguer is gone, or that it takes too long to wait for.
        let _ = board.shared.lock(&kept.ended).recv_timeout(CLOSE_PATIENCE);
        board.given_up.store(true, Ordering::SeqCst);
    }
}

impl Board {
    pub(super) fn taken_in(&self) -> TreeSize {
        TreeSize(self.taken_in.load(Ordering::SeqCst))
    }

    /// Counts how often the catalog was made anew, so that what was read of an earlier one casts no doubt on this one.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Has the catalog made anew: it holds something that is not so.
    pub(super) fn doubt(&self, generation: u64) {
        self.doubted.store(generation, Ordering::SeqCst);
        self.shared.notify_progress();
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    fn is_doubted(&self) -> bool {
        self.doubted.load(Ordering::SeqCst) == self.generation()
    }

    /// Waits until more than this is published, or something else is to be done.
    fn wait_for_more(&self, than: TreeSize) {
        let guard = self.shared.lock(&self.shared.progress.0);
        let idle = |(): &mut ()| self.shared.published().size() <= than && !self.is_stopping() && !self.is_doubted();
        drop(self.shared.progress.1.wait_while(guard, idle).expect("no thread panics with this lock"));
    }

    /// Waits a moment for the catalog to know what is published by now, so that whoever has just appended finds it.
    pub(super) fn wait_for_the_latest(&self) {
        let size = self.shared.published().size();
        if size.0.saturating_sub(self.taken_in().0) <= CHUNK_RECEIPTS {
            self.wait_step(LISTING_PATIENCE, || self.taken_in() < size && self.failure.get().is_none());
        }
    }

    fn rest(&self, after: Duration) {
        self.wait_step((after * REST_PER_WORK).max(REST_MIN), || true);
    }

    fn wait_step(&self, patience: Duration, waiting: impl Fn() -> bool) {
        let guard = self.shared.lock(&self.step.0);
        let waiting = |(): &mut ()| waiting() && !self.is_stopping();
        drop(self.step.1.wait_timeout_while(guard, patience, waiting).expect("no thread panics with this lock"));
    }

    fn tell_step(&self) {
        let _guard = self.shared.lock(&self.step.0);
        self.step.1.notify_all();
    }
}

/// The thread's own.
struct Cataloguer {
    board: Arc<Board>,
    folder: Folder,
    /// Dropped when the thread ends.
    #[expect(dead_code, reason = "held, not sent on")]
    ending: Sender<()>,
}

impl Cataloguer {
    fn run(self) {
        let kept = catch_unwind(AssertUnwindSafe(|| self.keep())).unwrap_or(Err(CatalogError::Panicked));
        let Err(cause) = kept else { return };
        let _ = self.board.failure.set(Arc::new(cause));
        self.board.tell_step();
        self.put_away();
        if !self.is_given_up() {
            // Its space is worth more to the ledger; if it cannot be removed, it is not opened again either.
            let _ = self.folder.remove();
        }
    }

    /// Keeps the catalog until the ledger closes. A catalog that fails is made anew; one that fails before it has
    /// caught up is given up.
    fn keep(&self) -> Result<(), CatalogError> {
        let mut is_new = false;
        let mut outcome = self.open_kept();
        loop {
            let error = match outcome {
                Ok(Some(cursor)) => match self.follow(cursor, &mut is_new) {
                    Ok(()) => return self.close(),
                    Err(error) => error,
                },
                Ok(None) => CatalogError::Contradicts,
                Err(error) => error,
            };
            if is_new || !error.is_of_this_catalog() {
                return Err(error);
            }
            is_new = true;
            outcome = self.begin_anew().map(Some);
        }
    }

    /// Opens what a clean stop left, if it fits this ledger.
    fn open_kept(&self) -> Result<Option<Cursor>, CatalogError> {
        if !self.folder.take_mark().map_err(CatalogError::Folder)? {
            return Ok(None);
        }
        let store = Store::open(self.folder.path())?;
        let cursor = fitting_cursor(&self.board.shared, &store)?;
        if let Some(cursor) = cursor {
            self.put_up(store, cursor);
        }
        Ok(cursor)
    }

    fn begin_anew(&self) -> Result<Cursor, CatalogError> {
        self.put_away();
        self.board.generation.fetch_add(1, Ordering::SeqCst);
        self.folder.empty()?;
        let cursor = Cursor::at_start(self.board.shared.identity.ledger_id);
        self.put_up(Store::open(self.folder.path())?, cursor);
        Ok(cursor)
    }

    /// Takes in what is published until the ledger closes.
    fn follow(&self, mut cursor: Cursor, is_new: &mut bool) -> Result<(), CatalogError> {
        let board = &self.board;
        let clock = &board.shared.environment.clock;
        while !board.is_stopping() {
            if board.is_doubted() {
                return Err(CatalogError::Contradicts);
            }
            let size = board.shared.published().size();
            if cursor.taken_in == size {
                board.wait_for_more(cursor.taken_in);
                continue;
            }
            let begun = clock.since_boot();
            {
                let store = board.store.read().expect("no thread panics with this lock");
                let store = store.as_ref().expect("only this thread takes it away");
                take_chunk(&board.shared, store, &mut cursor, size, || board.is_stopping())?;
            }
            *is_new &= cursor.taken_in < size;
            board.taken_in.store(cursor.taken_in.0, Ordering::SeqCst);
            board.tell_step();
            board.rest(clock.since_boot().saturating_sub(begun));
        }
        Ok(())
    }

    /// Without a mark, whatever went wrong here, the catalog is made anew the next time.
    fn close(&self) -> Result<(), CatalogError> {
        let store = self.board.store.write().expect("no thread panics with this lock").take();
        store.expect("only this thread takes it away").close()?;
        self.folder.mark(|| self.is_given_up()).map_err(CatalogError::Folder)
    }

    /// True when the ledger closed without waiting any longer: the folder may be another's by now.
    fn is_given_up(&self) -> bool {
        self.board.given_up.load(Ordering::SeqCst)
    }

    fn put_up(&self, store: Store, cursor: Cursor) {
        *self.board.store.write().expect("no thread panics with this lock") = Some(store);
        self.board.taken_in.store(cursor.taken_in.0, Ordering::SeqCst);
    }

    fn put_away(&self) {
        self.board.taken_in.store(0, Ordering::SeqCst);
        if let Some(store) = self.board.store.write().expect("no thread panics with this lock").take() {
            // It is deleted next: what it fails to write is not missed.
            let _ = store.close();
        }
    }
}
