//! One open ledger.

use crate::admit::{self, AdmittedBatch};
use crate::catalog::{self, Catalog, StreamsError, StreamsPage};
use crate::commit::Committer;
use crate::control::ControlFile;
use crate::environment::Environment;
use crate::error::{AppendError, ReadError};
use crate::indexer::Indexer;
use crate::keeper::{self, Keeper, KeeperJob};
use crate::open::{self, Loaded, Mode, OpenError, at};
use crate::prove;
use crate::read::{self, PageBounds};
use crate::segment::State;
use crate::sequencer::{Active, Pace, Sequencer};
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::types::{
    Appended, Batch, Cursor, Health, Identity, Limits, NewReceipt, Page, Receipt, SegmentStatus, Selection, Status,
};
use bytes::Bytes;
use counterfoil_proof::{
    ClassId, ConsistencyFile, InclusionFile, Kind, LeafIndex, Media, SignedCheckpoint, StreamName, TreeSize,
};
use counterfoil_rules::{RECOVERED_KIND, Recovered, Rules, ledger_writer, to_canonical};
use std::any::Any;
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Frames written but not yet handed to a sync.
const COMMITS_MAX: usize = 8;

/// One open ledger. Cheap to clone; all clones share it. It closes with [`Ledger::close`] or when the last clone goes.
#[derive(Clone)]
pub struct Ledger(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    running: Mutex<Option<Running>>,
    catalog: Catalog,
}

/// Threads and the directory's lock, until the ledger is closed.
struct Running {
    threads: Vec<JoinHandle<()>>,
    lock: Box<dyn Any + Send + Sync>,
}

impl Ledger {
    /// Opens a ledger for appending and reading, after repairing what a crash may leave.
    ///
    /// # Errors
    /// [`OpenError`]; a refusal changes nothing.
    pub fn open(environment: Environment, limits: Limits) -> Result<Self, OpenError> {
        Self::start(environment, limits, Mode::Write)
    }

    /// Opens a ledger for reading what verifies; nothing on disk is changed.
    ///
    /// # Errors
    /// [`OpenError`] when not even a beginning can be read.
    pub fn open_read_only(environment: Environment, limits: Limits) -> Result<Self, OpenError> {
        Self::start(environment, limits, Mode::ReadOnly)
    }

    fn start(environment: Environment, limits: Limits, mode: Mode) -> Result<Self, OpenError> {
        if let Some((name, ceiling)) = limits.above_ceiling() {
            return Err(OpenError::Limit { name, ceiling });
        }
        let fingerprint_key = environment.random().map_err(at("randomness"))?;
        let mut loaded = open::load(&environment, mode, &limits)?;
        let lock = core::mem::replace(&mut loaded.lock, Box::new(()));
        let owed = core::mem::take(&mut loaded.owed);
        let writer = match loaded.signer.take() {
            Some(signer) => Some(Writer::prepare(&environment, &mut loaded, signer)?),
            None => None,
        };
        let shared = Arc::new(Shared::new(environment, limits, mode == Mode::ReadOnly, fingerprint_key, loaded));
        let threads = writer.map_or_else(|| Ok(Vec::new()), |writer| writer.start(&shared));
        let threads = threads.map_err(at("threads"))?;
        let catalog = match shared.environment.catalog.clone() {
            Some(folder) if mode == Mode::Write => Catalog::keep(&shared, folder),
            _ => Catalog::off(),
        };
        let ledger = Self(Arc::new(Inner { shared, running: Mutex::new(Some(Running { threads, lock })), catalog }));
        ledger.record_recoveries(&owed).map_err(|error| OpenError::Recording(Box::new(error)))?;
        Ok(ledger)
    }

    /// What never changes about this ledger.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.0.shared.identity
    }

    /// The limits it was opened with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.shared.limits
    }

    /// The rules in force: genesis and every control receipt published since.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.0.shared.published().rules.clone()
    }

    /// Checks a batch, salts it and commits to its payloads. Work for the caller's processor; links are the only reason
    /// to touch the disk.
    ///
    /// # Errors
    /// [`AppendError`] names the receipt and the rule.
    pub fn admit(&self, batch: Batch) -> Result<AdmittedBatch, AppendError> {
        admit::admit(&self.0.shared, batch)
    }

    /// True when [`Ledger::admit`] finds in memory everything that it needs of the ledger for this batch, so that it takes no
    /// longer than the batch's own size demands. False costs a lookup on disk.
    #[must_use]
    pub fn admits_from_memory(&self, batch: &Batch) -> bool {
        admit::needs_no_disk(&self.0.shared, batch)
    }

    /// Queues a batch without blocking. `done` runs on a thread of the engine once the batch is durable or refused, or
    /// at once when it cannot be queued; it must not block.
    pub fn submit(&self, batch: AdmittedBatch, done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static) {
        let shared = &self.0.shared;
        if shared.read_only {
            return done(Err(AppendError::ReadOnly));
        }
        if let Some(error) = shared.poisoned() {
            return done(Err(error));
        }
        if let Err((done, error)) = shared.queue.push_batch(batch, Box::new(done)) {
            done(Err(error));
        }
    }

    /// Appends a batch and waits until it is durable.
    ///
    /// # Errors
    /// [`AppendError`] says who must act.
    pub fn append(&self, batch: Batch) -> Result<Appended, AppendError> {
        self.append_admitted(self.admit(batch)?)
    }

    fn append_admitted(&self, batch: AdmittedBatch) -> Result<Appended, AppendError> {
        wait_for(|done| self.submit(batch, done))
    }

    /// Reads one receipt, recomputed against its leaf hash.
    ///
    /// # Errors
    /// [`ReadError`] when it is not published, damaged or unreadable.
    pub fn get(&self, index: LeafIndex) -> Result<Receipt, ReadError> {
        read::get(&self.0.shared, index)
    }

    /// Reads a page: at most `receipts_max` receipts and about `bytes_max` bytes of payloads, but at least one receipt.
    ///
    /// # Errors
    /// [`ReadError`] when the stream does not exist or a receipt is damaged.
    pub fn read(
        &self,
        selection: &Selection,
        after: Option<Cursor>,
        receipts_max: usize,
        bytes_max: usize,
    ) -> Result<Page, ReadError> {
        read::read(&self.0.shared, selection, after, PageBounds { receipts_max: receipts_max.max(1), bytes_max })
    }

    /// Lists the streams whose names begin with `prefix`, in the order of their names' bytes, the first ones or those
    /// behind `after`, at most `limit` of them. The list is the catalog's: it lags a little behind what is published, and
    /// says how far.
    ///
    /// # Errors
    /// [`StreamsError`] when there is no catalog.
    pub fn streams(&self, prefix: &str, after: Option<&StreamName>, limit: usize) -> Result<StreamsPage, StreamsError> {
        catalog::streams(&self.0.shared, &self.0.catalog, prefix, after, limit.max(1))
    }

    /// The latest published checkpoint.
    #[must_use]
    pub fn checkpoint(&self) -> Arc<SignedCheckpoint> {
        self.0.shared.published().checkpoint.clone()
    }

    /// Proves a receipt against the latest published checkpoint.
    ///
    /// # Errors
    /// [`ReadError`] when it is not published or a leaf file is damaged.
    pub fn prove_inclusion(&self, index: LeafIndex) -> Result<InclusionFile, ReadError> {
        prove::prove_inclusion(&self.0.shared, index)
    }

    /// Proves that the tree of size `old` is a prefix of the latest published one.
    ///
    /// # Errors
    /// [`ReadError`] when `old` is not published or a leaf file is damaged.
    pub fn prove_consistency(&self, old: TreeSize) -> Result<ConsistencyFile, ReadError> {
        prove::prove_consistency(&self.0.shared, old)
    }

    /// Seals the segment that is written to and waits until it is immutable; `None` when it holds no receipt.
    ///
    /// # Errors
    /// [`AppendError`] when the ledger cannot append or the disk failed.
    pub fn seal(&self) -> Result<Option<SegmentStatus>, AppendError> {
        let shared = &self.0.shared;
        if shared.read_only {
            return Err(AppendError::ReadOnly);
        }
        wait_for(|done| shared.queue.push_seal(Box::new(done)))
    }

    /// What the ledger says about itself.
    #[must_use]
    pub fn status(&self) -> Status {
        let shared = &self.0.shared;
        let streams = shared.streams.count();
        let health = match (shared.read_only, shared.poisoned()) {
            (true, _) => Health::ReadOnly,
            (false, Some(_)) => Health::Poisoned,
            (false, None) => Health::Writable,
        };
        let published = shared.published();
        let ends = published.segments.iter().skip(1).map(|next| next.id.0.0).chain([published.size().0]);
        let segments = published.segments.iter().zip(ends).enumerate().map(|(place, (segment, end))| {
            let last = place + 1 == published.segments.len();
            let (bytes, sealed) = match &segment.state {
                State::Sealed(sealed) => (sealed.file_len, true),
                State::Open { .. } if last => (published.active_end, false),
                State::Open { file, .. } => (file.len().unwrap_or(0), false),
            };
            SegmentStatus { first: segment.id.0, receipts: end - segment.id.0.0, bytes, sealed }
        });
        Status {
            checkpoint: SignedCheckpoint::clone(&published.checkpoint),
            durable_mark: published.durable_mark,
            last_time: published.last_time,
            streams,
            control_receipts: published.control_receipts,
            segments: segments.collect(),
            queue_batches: shared.queue.batches(),
            background_jobs: shared.keeper_jobs.load(Ordering::Acquire),
            health,
            catalog: self.0.catalog.status(),
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Refuses new work, finishes what was accepted, moves the durable mark and gives the directory back. Reading goes
    /// on working.
    ///
    /// # Errors
    /// [`AppendError::Poisoned`] when a write or sync failed at any time.
    pub fn close(&self) -> Result<(), AppendError> {
        self.0.close()
    }

    /// Appends the receipts that are owed for cut files, together: a crash leaves all of them owed or none.
    fn record_recoveries(&self, owed: &[Recovered]) -> Result<(), AppendError> {
        if owed.is_empty() {
            return Ok(());
        }
        let payload =
            |recovered: &Recovered| to_canonical(recovered).expect("strings and a file length have a canonical form");
        self.append_control(RECOVERED_KIND, owed.iter().map(payload)).map(|_| ())
    }

    /// Appends control receipts of one kind that nobody signs, together.
    pub(crate) fn append_control(
        &self,
        kind: &str,
        payloads: impl Iterator<Item = Vec<u8>>,
    ) -> Result<Appended, AppendError> {
        let kind = Kind::new(kind).expect("a constant name that keeps its rules");
        let receipts = payloads.map(|payload| NewReceipt {
            stream: StreamName::control(),
            kind: kind.clone(),
            class: ClassId::FOREVER,
            media: Media::Json,
            payload: Bytes::from(payload),
            subject: None,
            links: Vec::new(),
            closes_stream: false,
            expected_stream_seq: None,
        });
        let batch = Batch { writer: ledger_writer(), id: None, receipts: receipts.collect(), with_proofs: false };
        self.append_admitted(admit::seal(&self.0.shared, batch)?)
    }
}

impl Inner {
    fn close(&self) -> Result<(), AppendError> {
        self.shared.queue.close();
        if let Some(running) = self.shared.lock(&self.running).take() {
            for thread in running.threads {
                thread.join().expect("a thread of the engine panicked, which is a bug");
            }
            self.catalog.close();
            drop(running.lock);
        }
        match self.shared.poisoned() {
            Some(error) if !self.shared.read_only => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to know calls close.
        let _ = self.close();
    }
}

/// Calls with a callback and waits for it.
fn wait_for<T: Send + 'static>(
    call: impl FnOnce(Box<dyn FnOnce(Result<T, AppendError>) + Send>),
) -> Result<T, AppendError> {
    let (sender, receiver) = mpsc::channel();
    // The receiver is waited for below, so it is there when the answer comes.
    call(Box::new(move |answer| drop(sender.send(answer))));
    receiver.recv().unwrap_or(Err(AppendError::Closing))
}

/// What the threads of a writable ledger begin with.
struct Writer {
    signer: counterfoil_proof::CheckpointSigner,
    chain: crate::chain::Chain,
    active: Active,
    unsealed: Vec<keeper::SealJob>,
    head: Arc<dyn crate::disk::DiskFile>,
    head_counter: u64,
}

impl Writer {
    fn prepare(
        environment: &Environment,
        loaded: &mut Loaded,
        signer: counterfoil_proof::CheckpointSigner,
    ) -> Result<Self, OpenError> {
        let segment = loaded.published.segments.last().expect("a ledger has a segment").clone();
        let file_len = segment.open_file().len().map_err(at("segments"))?;
        let mut active = Active::new(segment, loaded.active.nonce, loaded.active.end, file_len);
        active.tally = core::mem::take(&mut loaded.active.tally);
        Ok(Self {
            signer,
            chain: loaded.chain.clone(),
            active,
            unsealed: core::mem::take(&mut loaded.unsealed),
            head: environment.disk.open("HEAD", true).map_err(at("HEAD"))?,
            head_counter: loaded.head_counter,
        })
    }

    fn start(self, shared: &Arc<Shared>) -> io::Result<Vec<JoinHandle<()>>> {
        let (commits, committed) = mpsc::sync_channel(COMMITS_MAX);
        let (keeper, jobs): (_, Receiver<KeeperJob>) = mpsc::channel();
        // The keeper looks around before it rests.
        shared.keeper_jobs.fetch_add(1, Ordering::Relaxed);
        for job in self.unsealed {
            keeper::ask(shared, &keeper, KeeperJob::Seal(Box::new(job)));
        }
        let sequencer = Sequencer {
            shared: shared.clone(),
            signer: self.signer,
            chain: self.chain,
            active: self.active,
            rules: shared.published().rules.clone(),
            pace: Pace::begin(shared),
            sessions: Sessions::default(),
            commits,
            keeper,
        };
        let committer =
            Committer { shared: shared.clone(), commits: committed, head: self.head, head_counter: self.head_counter };
        let segments = shared.published().segments.clone();
        let sealed = segments.iter().filter(|segment| matches!(segment.state, State::Sealed(_)));
        let keeper = Keeper {
            shared: shared.clone(),
            jobs,
            control: ControlFile::default(),
            indexer: Indexer::new(),
            unseen: sealed.cloned().collect(),
            waiting: VecDeque::new(),
            stuck: None,
        };
        let spawn = |name: &str, work: Box<dyn FnOnce() + Send>| thread::Builder::new().name(name.into()).spawn(work);
        Ok(vec![
            spawn("sequencer", Box::new(move || sequencer.run()))?,
            spawn("committer", Box::new(move || committer.run()))?,
            spawn("keeper", Box::new(move || keeper.run()))?,
        ])
    }
}
