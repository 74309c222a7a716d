//! The machine under the engine: files and names that outlive processes, some of them a power cut too.

use crate::case::{Derived, Loss};
use crate::crash_disk::CrashDisk;
use crate::gate::{Gates, Worker};
use crate::rng::Rng;
use crate::sectors::{Mood, SECTOR, Sectors, SimFile};
use counterfoil_audit::{Source, SourceFile};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// When a planted fault strikes. All count from 1 in the process it is planted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultPoint {
    /// The n-th call of any kind.
    Call(u64),
    /// The n-th call that changes something. For a crash the calls between two changes are all the same.
    Change(u64),
    /// The n-th call of this operation on a path that begins so.
    Named(&'static str, &'static str, u64),
}

/// What strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The process stops: this call and every later one fail.
    Crash,
    /// This call fails with an I/O error.
    Eio,
    /// This call fails for want of space.
    Enospc,
    /// From this call on the disk is full: whatever needs more space fails without effect.
    Full,
}

/// What the call that is struck still does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing. A sync that fails loses what it was to write: the page cache goes on showing it, and takes it for
    /// written.
    None,
    /// A write stores a beginning of its bytes. Other calls do what they do with [`Effect::None`].
    Part,
    /// All of it.
    Whole,
}

/// One planted fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at: FaultPoint,
    /// What.
    pub kind: FaultKind,
    /// How much of the call is done all the same.
    pub effect: Effect,
}

/// A defect of the disk that no engine can survive. The checks must notice each of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    /// An honest disk.
    #[default]
    None,
    /// Contents are said to be synced and are not.
    SyncDoesNothing,
    /// Names are said to be synced and are not.
    SyncDirDoesNothing,
    /// Now and then a bit of a segment is flipped while it is read.
    ReadFlipsBit,
}

/// A machine with one disk. Processes run on it one after the other.
///
/// What it knows: contents in sectors of 512 bytes, each of which, when it was not synced, keeps its durable content,
/// gets one that was written since, or turns to garbage in a power cut; file lengths that are lost on their own; names
/// that are lost, each change on its own, unless their folder was synced, and renames that leave both names or neither;
/// syncs that fail once and lose data; disks that are full from some call on; reads that return less than asked for; a
/// lock that goes with its process; sectors that go bad while nobody writes.
///
/// What it leaves out: a sync of a folder that loses names for good (file systems stop when their journal fails), and
/// sectors that were zero before and after a write turn to garbage only now and then.
#[derive(Clone)]
pub struct Machine(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    /// Told when a worker of the engine may go on.
    pub(crate) gate: Condvar,
    /// Told when a worker stands at its gate, or made a call.
    pub(crate) progress: Condvar,
}

pub(crate) struct State {
    pub(crate) folders: BTreeMap<String, Folder>,
    pub(crate) files: BTreeMap<FileId, SimFile>,
    files_made: u64,
    pub(crate) rng: Rng,
    pub(crate) lie: Lie,
    #[cfg(feature = "planted-bugs")]
    pub(crate) bug: Option<counterfoil_engine::PlantedBug>,
    harsh: bool,
    pub(crate) process: Process,
    /// Digest and, when asked for, text of all calls so far.
    pub(crate) trace: Trace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    File(FileId),
    Folder,
}

/// Names in a folder.
#[derive(Default)]
pub(crate) struct Folder {
    pub(crate) names: BTreeMap<String, Entry>,
    durable: BTreeMap<String, Entry>,
    unsynced: Vec<Change>,
}

/// One change of names.
#[derive(Clone)]
enum Change {
    Set(String, Entry),
    Unset(String),
    Rename(String, String, Entry),
}

/// The process that runs now.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) number: u64,
    pub(crate) locked: bool,
    pub(crate) calls: u64,
    pub(crate) changes: u64,
    /// Calls that the fault's name fits.
    pub(crate) named: u64,
    pub(crate) fault: Option<Fault>,
    pub(crate) faulted: bool,
    pub(crate) stopped: bool,
    /// The disk is full.
    pub(crate) full: bool,
    /// Writes of the sequencer: frames, headers and manifests.
    pub(crate) sequencer_writes: u64,
    pub(crate) gates: Gates,
}

/// What was called, in order.
#[derive(Default)]
pub(crate) struct Trace {
    pub(crate) digest: u64,
    pub(crate) calls: BTreeMap<&'static str, u64>,
    pub(crate) lines: Option<Vec<String>>,
}

impl Machine {
    /// A machine with an empty directory.
    #[must_use]
    pub fn new(seed: u64, lie: Lie) -> Self {
        let state = State {
            folders: BTreeMap::from([(String::new(), Folder::default())]),
            files: BTreeMap::new(),
            files_made: 0,
            rng: Rng::fork(seed, 1),
            lie,
            #[cfg(feature = "planted-bugs")]
            bug: None,
            harsh: false,
            process: Process::default(),
            trace: Trace::default(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), gate: Condvar::new(), progress: Condvar::new() }))
    }

    /// Keeps a line for every call from here on.
    pub fn record_trace(&self) {
        self.0.state().trace.lines = Some(Vec::new());
    }

    /// From here on nothing unsynced survives: every name is lost, every sector turns to garbage.
    pub fn be_harsh(&self) {
        self.0.state().harsh = true;
    }

    /// Plants a bug in the engine of every process that starts from here on.
    #[cfg(feature = "planted-bugs")]
    pub fn plant(&self, bug: counterfoil_engine::PlantedBug) {
        self.0.state().bug = Some(bug);
    }

    /// Starts a process. Whatever ran before is gone, with its lock; what it wrote is as it left it.
    #[must_use]
    pub fn boot(&self, fault: Option<Fault>) -> Arc<CrashDisk> {
        let mut state = self.0.state();
        let number = state.process.number + 1;
        state.process = Process { number, fault, ..Process::default() };
        state.process.gates.of(Worker::Keeper).hold();
        self.0.tell_all();
        Arc::new(CrashDisk::new(self.0.clone(), number))
    }

    /// Cuts the power: what was not synced is lost, kept or damaged as the seed decides.
    pub fn power_cut(&self) {
        let mut state = self.0.state();
        state.process.stopped = true;
        self.0.tell_all();
        let mood = state.mood();
        state.power_cut(mood);
    }

    /// A sector of some file that is not the private key goes bad. The name of the file, unless there is nothing to go
    /// bad.
    pub fn decay(&self) -> Option<String> {
        let mut state = self.0.state();
        let state = &mut *state;
        let mut places = Vec::new();
        for (folder, names) in state.folders.iter().filter(|(folder, _)| *folder != "keys") {
            for (name, entry) in &names.names {
                if let Entry::File(id) = entry {
                    let sectors = state.files[id].visible().1;
                    places.extend(sectors.keys().map(|sector| (join(folder, name), *id, *sector)));
                }
            }
        }
        let at = state.rng.below((places.len() as u64).max(1));
        let (path, id, sector) = places.into_iter().nth(usize::try_from(at).expect("below a length"))?;
        state.files.get_mut(&id)?.decay(sector, &mut state.rng);
        state.trace.note(|| format!("   sector {sector} of {path} goes bad"));
        Some(path)
    }

    /// Files that follow from others are lost while nobody writes.
    pub(crate) fn lose(&self, kind: Derived, loss: Loss) {
        let mut state = self.0.state();
        let state = &mut *state;
        for (folder, names) in &mut state.folders {
            let all: Vec<_> = names.names.iter().map(|(name, entry)| (name.clone(), *entry)).collect();
            for (name, entry) in all {
                let Entry::File(id) = entry else { continue };
                if !kind.holds(&join(folder, &name)) {
                    continue;
                }
                let file = state.files.get_mut(&id).expect("files stay while the machine runs");
                match loss {
                    Loss::Removed => {
                        names.apply(Change::Unset(name));
                        names.sync();
                    }
                    Loss::Cut => {
                        file.set_len(state.rng.below(file.len().max(1)));
                        file.sync(true);
                    }
                    Loss::Decayed => {
                        let sector = state.rng.below(file.len().div_ceil(SECTOR as u64).max(1));
                        file.decay(sector, &mut state.rng);
                    }
                }
            }
        }
        state.trace.note(|| format!("   {kind:?} are lost: {loss:?}"));
    }

    /// Every file as a reader sees it now, without the lock file.
    #[must_use]
    pub fn contents(&self) -> Contents {
        let state = self.0.state();
        let mut files = BTreeMap::new();
        for (folder, names) in &state.folders {
            for (name, entry) in &names.names {
                if let Entry::File(id) = entry
                    && name != "LOCK"
                {
                    files.insert(join(folder, name), state.files[id].visible());
                }
            }
        }
        Contents(files)
    }

    /// Number of calls of each kind so far, and a digest of their order.
    #[must_use]
    pub fn trace_summary(&self) -> (BTreeMap<&'static str, u64>, u64) {
        let state = self.0.state();
        (state.trace.calls.clone(), state.trace.digest)
    }

    /// The lines recorded so far.
    #[must_use]
    pub fn trace_lines(&self) -> Vec<String> {
        self.0.state().trace.lines.clone().unwrap_or_default()
    }
}

/// What the verifier reads: the files as they are now.
impl Source for Machine {
    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        Ok(self.0.state().folder(folder)?.names.keys().cloned().collect())
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn SourceFile>> {
        let mut state = self.0.state();
        let id = state.file_id(path)?;
        Ok(Box::new(state.file(id).clone()))
    }
}

impl SourceFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        Ok(self.read(buffer, offset))
    }
}

/// Files and their bytes, to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents(BTreeMap<String, (u64, Sectors)>);

impl Contents {
    /// Names of the files that differ.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let names: BTreeSet<_> = self.0.keys().chain(other.0.keys()).collect();
        names.into_iter().filter(|name| self.0.get(*name) != other.0.get(*name)).cloned().collect()
    }

    /// Paths and lengths of all files, in the order of their paths.
    pub fn files(&self) -> impl DoubleEndedIterator<Item = (&str, u64)> {
        self.0.iter().map(|(path, (len, _))| (path.as_str(), *len))
    }

    /// The files of one kind.
    pub(crate) fn of_kind(&self, kind: Derived) -> Self {
        let files = self.0.iter().filter(|(path, _)| kind.holds(path));
        Self(files.map(|(path, file)| (path.clone(), file.clone())).collect())
    }

    /// End of the last sector of a file that is not zero.
    pub(crate) fn last_content(&self, path: &str) -> Option<u64> {
        let (_, sectors) = self.0.get(path)?;
        sectors.last_key_value().map(|(number, _)| (number + 1) * SECTOR as u64)
    }

    /// Where sectors of a file begin that held something and hold something else later.
    pub(crate) fn overwritten(&self, later: &Self, path: &str) -> Vec<u64> {
        let (Some((_, before)), Some((_, after))) = (self.0.get(path), later.0.get(path)) else { return Vec::new() };
        let gone = before.iter().filter(|(number, content)| after.get(number) != Some(content));
        gone.map(|(number, _)| number * SECTOR as u64).collect()
    }
}

impl Shared {
    /// A check that panicked elsewhere leaves nothing half done here.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes whoever waits for anything.
    pub(crate) fn tell_all(&self) {
        self.gate.notify_all();
        self.progress.notify_all();
    }
}

impl State {
    pub(crate) fn folder(&mut self, path: &str) -> io::Result<&mut Folder> {
        self.folders.get_mut(path).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    pub(crate) fn file_id(&mut self, path: &str) -> io::Result<FileId> {
        let (folder, name) = split(path);
        match self.folder(folder)?.names.get(name) {
            Some(Entry::File(id)) => Ok(*id),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(crate) fn file(&mut self, id: FileId) -> &mut SimFile {
        self.files.get_mut(&id).expect("files stay while the machine runs")
    }

    pub(crate) fn new_file(&mut self, path: &str) -> io::Result<FileId> {
        let (folder, name) = split(path);
        if self.folder(folder)?.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.files_made += 1;
        let id = FileId(self.files_made);
        self.files.insert(id, SimFile::default());
        self.folder(folder)?.apply(Change::Set(name.to_owned(), Entry::File(id)));
        Ok(id)
    }

    pub(crate) fn new_folder(&mut self, path: &str) -> io::Result<()> {
        let (parent, name) = split(path);
        if !self.folders.contains_key(path) {
            self.folder(parent)?.apply(Change::Set(name.to_owned(), Entry::Folder));
            self.folders.insert(path.to_owned(), Folder::default());
        }
        Ok(())
    }

    pub(crate) fn remove(&mut self, path: &str) -> io::Result<()> {
        self.file_id(path)?;
        let (folder, name) = split(path);
        self.folder(folder)?.apply(Change::Unset(name.to_owned()));
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let id = self.file_id(from)?;
        let ((folder, from), (same, to)) = (split(from), split(to));
        assert_eq!(folder, same, "the engine renames inside one folder");
        self.folder(folder)?.apply(Change::Rename(from.to_owned(), to.to_owned(), Entry::File(id)));
        Ok(())
    }

    /// How the next failure treats what was not synced.
    pub(crate) fn mood(&mut self) -> Mood {
        if self.harsh { Mood::HARSH } else { Mood::of(&mut self.rng) }
    }

    fn power_cut(&mut self, mood: Mood) {
        for folder in self.folders.values_mut() {
            for change in core::mem::take(&mut folder.unsynced) {
                // Most file systems keep or lose a rename whole; POSIX does not say so.
                let parts = match change {
                    Change::Rename(from, to, entry) if self.rng.chance(1, 4) => {
                        vec![Change::Set(to, entry), Change::Unset(from)]
                    }
                    whole => vec![whole],
                };
                for part in parts {
                    if self.rng.below(256) < mood.survives {
                        part.apply_to(&mut folder.durable);
                    }
                }
            }
            folder.names = folder.durable.clone();
        }
        let known: BTreeSet<String> = self.folders[""]
            .names
            .iter()
            .filter(|(_, entry)| **entry == Entry::Folder)
            .map(|(name, _)| name.clone())
            .collect();
        self.folders.retain(|path, _| path.is_empty() || known.contains(path));
        let named: BTreeSet<FileId> = self
            .folders
            .values()
            .flat_map(|folder| folder.names.values())
            .filter_map(|entry| match entry {
                Entry::File(id) => Some(*id),
                Entry::Folder => None,
            })
            .collect();
        self.files.retain(|id, _| named.contains(id));
        for file in self.files.values_mut() {
            file.power_cut(&mut self.rng, mood);
        }
    }
}

impl Folder {
    fn apply(&mut self, change: Change) {
        change.apply_to(&mut self.names);
        self.unsynced.push(change);
    }

    pub(crate) fn sync(&mut self) {
        self.durable = self.names.clone();
        self.unsynced.clear();
    }
}

impl Change {
    fn apply_to(&self, names: &mut BTreeMap<String, Entry>) {
        match self {
            Self::Set(name, entry) => drop(names.insert(name.clone(), *entry)),
            Self::Unset(name) => drop(names.remove(name)),
            Self::Rename(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), *entry);
            }
        }
    }
}

impl Trace {
    pub(crate) fn add(&mut self, operation: &'static str, path: &str, detail: u64) {
        // FNV-1a: the digest only tells two runs apart.
        for byte in operation.bytes().chain(path.bytes()).chain(detail.to_le_bytes()) {
            self.digest = (self.digest ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
        *self.calls.entry(operation).or_default() += 1;
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{operation} {path} {detail}"));
        }
    }

    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(text());
        }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}
