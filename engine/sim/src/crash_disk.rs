//! The engine's disk, as one process of the machine sees it.

use crate::gate::{Gate, Worker};
use crate::machine::{Effect, Fault, FaultKind, FaultPoint, FileId, Lie, Shared, State};
use counterfoil_engine::{Disk, DiskFile};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
/// Reads shorter than this are never flipped: lengths and magics are read that way.
const FLIPPED_READ_LEN_MIN: usize = 64;

thread_local! {
    static OBSERVES: Cell<bool> = const { Cell::new(false) };
    static LEAVING: RefCell<Option<Leaving>> = const { RefCell::new(None) };
}

/// Lets the keeper go when the sequencer's thread ends. Opening can fail after the threads were started, and then waits
/// for all of them.
struct Leaving {
    shared: Arc<Shared>,
    process: u64,
}

impl Drop for Leaving {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.process.number == self.process {
            state.process.gates.of(Worker::Keeper).release();
        }
        self.shared.tell_all();
    }
}

/// One process's view of a [`Machine`](crate::Machine).
pub struct CrashDisk {
    shared: Arc<Shared>,
    process: u64,
}

/// What becomes of a call.
enum Verdict {
    Done,
    Fails { effect: Effect, loses_data: bool, error: io::Error },
}

impl CrashDisk {
    pub(crate) fn new(shared: Arc<Shared>, process: u64) -> Self {
        Self { shared, process }
    }

    /// Stops the process where it is: every later call fails.
    pub fn stop(&self) {
        let mut state = self.shared.state();
        if state.process.number == self.process {
            state.process.stopped = true;
        }
        self.shared.tell_all();
    }

    /// True once a crash struck or the process was stopped.
    #[must_use]
    pub fn stopped(&self) -> bool {
        let state = self.shared.state();
        state.process.stopped || state.process.number != self.process
    }

    /// True once the planted fault struck.
    #[must_use]
    pub fn faulted(&self) -> bool {
        self.shared.state().process.faulted
    }

    /// Calls and changes so far.
    #[must_use]
    pub fn calls(&self) -> (u64, u64) {
        let state = self.shared.state();
        (state.process.calls, state.process.changes)
    }

    /// Opens or closes the gate of a worker, as told.
    pub(crate) fn gate(&self, worker: Worker, act: impl FnOnce(&mut Gate)) {
        act(self.shared.state().process.gates.of(worker));
        self.shared.gate.notify_all();
    }

    /// True when a worker stands at its gate.
    pub(crate) fn is_parked(&self, worker: Worker) -> bool {
        self.shared.state().process.gates.of(worker).is_parked()
    }

    /// Writes of the sequencer so far.
    pub(crate) fn sequencer_writes(&self) -> u64 {
        self.shared.state().process.sequencer_writes
    }

    /// Runs a check on this thread. Its reads are not counted and no fault strikes them.
    pub fn observe<T>(check: impl FnOnce() -> T) -> T {
        OBSERVES.set(true);
        let result = check();
        OBSERVES.set(false);
        result
    }

    fn enter<'s>(
        shared: &'s Arc<Shared>,
        process: u64,
        (operation, path, detail): (&'static str, &str, u64),
        changes: bool,
    ) -> io::Result<(MutexGuard<'s, State>, Verdict)> {
        let mut state = shared.state();
        if OBSERVES.get() {
            return Ok((state, Verdict::Done));
        }
        let runs = |state: &State| state.process.number == process && !state.process.stopped;
        if let Some(worker) = Worker::current() {
            // The keeper writes the manifest under a lock that the sequencer takes too.
            let holds_lock = worker == Worker::Keeper && (path.is_empty() || path.starts_with("MANIFEST"));
            while !holds_lock && runs(&state) && state.process.gates.of(worker).stops() {
                state.process.gates.of(worker).park();
                shared.progress.notify_all();
                state = shared.gate.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.process.gates.of(worker).pass(operation);
            if worker == Worker::Sequencer {
                state.process.sequencer_writes += u64::from(operation == "write");
                LEAVING.with_borrow_mut(|mine| {
                    mine.get_or_insert_with(|| Leaving { shared: shared.clone(), process });
                });
            }
        }
        if !runs(&state) {
            return Err(stopped());
        }
        state.trace.add(operation, path, detail);
        state.process.calls += 1;
        state.process.changes += u64::from(changes);
        if let Some(Fault { at: FaultPoint::Named(name, place, _), .. }) = state.process.fault {
            state.process.named += u64::from(name == operation && path.starts_with(place));
        }
        let now = &state.process;
        let strikes = |fault: &Fault| match fault.at {
            FaultPoint::Call(number) => number == now.calls,
            FaultPoint::Change(number) => changes && number == now.changes,
            FaultPoint::Named(name, place, number) => {
                name == operation && path.starts_with(place) && number == now.named
            }
        };
        let Some(fault) = now.fault.filter(strikes) else { return Ok((state, Verdict::Done)) };
        state.process.fault = None;
        state.process.faulted = true;
        state.trace.note(|| format!("   ^ {fault:?}"));
        let error = match fault.kind {
            FaultKind::Crash => {
                state.process.stopped = true;
                shared.tell_all();
                stopped()
            }
            FaultKind::Eio => io::Error::from_raw_os_error(EIO),
            FaultKind::Enospc => disk_full(),
            FaultKind::Full => {
                state.process.full = true;
                return Ok((state, Verdict::Done));
            }
        };
        let loses_data = fault.kind != FaultKind::Crash && fault.effect != Effect::Whole;
        Ok((state, Verdict::Fails { effect: fault.effect, loses_data, error }))
    }

    /// A call that happens or does not.
    fn atomic<T>(
        &self,
        call: (&'static str, &str, u64),
        changes: bool,
        act: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let (mut state, verdict) = Self::enter(&self.shared, self.process, call, changes)?;
        if state.process.full && matches!(call.0, "create" | "create_dir") {
            return Err(disk_full());
        }
        atomically(&mut state, verdict, act)
    }

    fn handle(&self, id: FileId, path: &str, writable: bool) -> Arc<dyn DiskFile> {
        let (shared, process, path) = (self.shared.clone(), self.process, path.to_owned());
        Arc::new(Handle { shared, process, id, path, writable })
    }
}

fn atomically<T>(state: &mut State, verdict: Verdict, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
    match verdict {
        Verdict::Done => act(state),
        Verdict::Fails { effect, error, .. } => {
            if effect == Effect::Whole {
                act(state)?;
            }
            Err(error)
        }
    }
}

fn disk_full() -> io::Error {
    io::Error::from_raw_os_error(ENOSPC)
}

fn stopped() -> io::Error {
    io::Error::other("the simulated process was stopped")
}

impl Disk for CrashDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.atomic(("create", path, 0), true, |state| state.new_file(path))?;
        Ok(self.handle(id, path, true))
    }

    fn open(&self, path: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let id = self.atomic(("open", path, u64::from(writable)), false, |state| state.file_id(path))?;
        Ok(self.handle(id, path, writable))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.atomic(("rename", to, 0), true, |state| state.rename(from, to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.atomic(("remove", path, 0), true, |state| state.remove(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        self.atomic(("list", folder, 0), false, |state| Ok(state.folder(folder)?.names.keys().cloned().collect()))
    }

    fn create_dir(&self, folder: &str, _private: bool) -> io::Result<()> {
        self.atomic(("create_dir", folder, 0), true, |state| state.new_folder(folder))
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        self.atomic(("sync_dir", folder, 0), true, |state| {
            let honest = state.lie != Lie::SyncDirDoesNothing;
            let folder = state.folder(folder)?;
            if honest {
                folder.sync();
            }
            Ok(())
        })
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        self.atomic(("lock", "LOCK", 0), false, |state| {
            if state.process.locked {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            if state.file_id("LOCK").is_err() {
                state.new_file("LOCK")?;
            }
            state.process.locked = true;
            Ok(())
        })?;
        Ok(Box::new(Lock { shared: self.shared.clone(), process: self.process }))
    }

    #[cfg(feature = "planted-bugs")]
    fn planted(&self) -> Option<counterfoil_engine::PlantedBug> {
        self.shared.state().bug
    }
}

/// The directory's lock. It goes with its process.
struct Lock {
    shared: Arc<Shared>,
    process: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        if state.process.number == self.process {
            state.process.locked = false;
        }
    }
}

struct Handle {
    shared: Arc<Shared>,
    process: u64,
    id: FileId,
    path: String,
    writable: bool,
}

impl Handle {
    fn enter(
        &self,
        operation: &'static str,
        detail: u64,
        changes: bool,
    ) -> io::Result<(MutexGuard<'_, State>, Verdict)> {
        CrashDisk::enter(&self.shared, self.process, (operation, &self.path, detail), changes)
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.writable { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    }

    fn sync(&self, operation: &'static str, with_metadata: bool) -> io::Result<()> {
        let (mut state, verdict) = self.enter(operation, 0, true)?;
        let state = &mut *state;
        let lies = state.lie == Lie::SyncDoesNothing;
        // Nothing is drawn unless data is lost: checks may sync what they had made again.
        let mood = matches!(verdict, Verdict::Fails { loses_data: true, .. }).then(|| state.mood());
        let file = state.files.get_mut(&self.id).expect("files stay while the machine runs");
        match verdict {
            _ if lies => Ok(()),
            Verdict::Done => {
                file.sync(with_metadata);
                Ok(())
            }
            Verdict::Fails { effect, error, .. } => {
                if effect == Effect::Whole {
                    file.sync(with_metadata);
                } else if let Some(mood) = mood {
                    file.lose_unsynced(&mut state.rng, mood);
                }
                Err(error)
            }
        }
    }
}

impl DiskFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (mut state, verdict) = self.enter("read", offset, false)?;
        let state = &mut *state;
        if let Verdict::Fails { error, .. } = verdict {
            return Err(error);
        }
        let mut wanted = buffer.len();
        if wanted > 0 && !OBSERVES.get() && state.rng.chance(1, 8) {
            wanted = usize::try_from(1 + state.rng.below(wanted as u64)).expect("at most the buffer");
        }
        let read = state.file(self.id).read(&mut buffer[..wanted], offset);
        let flips = state.lie == Lie::ReadFlipsBit && self.path.ends_with(".seg") && read > 0;
        if flips && read >= FLIPPED_READ_LEN_MIN && state.rng.chance(1, 4) {
            let at = usize::try_from(state.rng.below(read as u64)).expect("in the buffer");
            buffer[at] ^= 1 << state.rng.below(8);
        }
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        let (mut state, verdict) = self.enter("write", offset, true)?;
        let len = state.file(self.id).len();
        if state.process.full && offset + bytes.len() as u64 > len {
            return Err(disk_full());
        }
        match verdict {
            Verdict::Done => {
                state.file(self.id).write(bytes, offset);
                Ok(())
            }
            Verdict::Fails { effect, error, .. } => {
                let done = match effect {
                    Effect::None => 0,
                    Effect::Part => usize::try_from(state.rng.below(bytes.len() as u64 + 1)).expect("at most all"),
                    Effect::Whole => bytes.len(),
                };
                state.file(self.id).write(&bytes[..done], offset);
                Err(error)
            }
        }
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        self.check_writable()?;
        let (mut state, verdict) = self.enter("allocate", from, true)?;
        if state.process.full {
            return Err(disk_full());
        }
        atomically(&mut state, verdict, |state| {
            let file = state.file(self.id);
            file.set_len(to.max(file.len()));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync("sync_data", false)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync("sync_all", true)
    }

    fn len(&self) -> io::Result<u64> {
        let (mut state, verdict) = self.enter("len", 0, false)?;
        atomically(&mut state, verdict, |state| Ok(state.file(self.id).len()))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let (mut state, verdict) = self.enter("set_len", len, true)?;
        atomically(&mut state, verdict, |state| {
            state.file(self.id).set_len(len);
            Ok(())
        })
    }
}
