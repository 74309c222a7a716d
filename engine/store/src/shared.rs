//! What the engine's threads and its readers share.

use crate::environment::Environment;
use crate::error::AppendError;
use crate::queue::Queue;
use crate::sealed::SealedFiles;
use crate::segment::Segment;
use crate::streams::{RunFiles, Streams};
use crate::tree::Tree;
use crate::types::{Identity, Limits};
use crate::window::Window;
use counterfoil_format::Manifest;
use counterfoil_proof::{LeafIndex, SignedCheckpoint, Timestamp, TreeSize};
use counterfoil_rules::Rules;
use std::io;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// One open ledger, as its threads see it.
pub(crate) struct Shared {
    pub(crate) environment: Environment,
    pub(crate) limits: Limits,
    pub(crate) identity: Identity,
    /// Key of fingerprints: a secret of this process.
    pub(crate) fingerprint_key: [u8; 32],
    pub(crate) read_only: bool,
    pub(crate) queue: Queue,
    published: RwLock<Published>,
    /// Told whenever something is published or the ledger is poisoned.
    pub(crate) progress: (Mutex<()>, Condvar),
    pub(crate) streams: Streams,
    pub(crate) run_files: Arc<RunFiles>,
    pub(crate) sealed_files: Arc<SealedFiles>,
    pub(crate) window: Mutex<Window>,
    pub(crate) manifest: Mutex<Manifest>,
    poison: OnceLock<Arc<io::Error>>,
    /// What the keeper was asked for and has not finished.
    pub(crate) keeper_jobs: AtomicUsize,
}

/// What readers may see.
pub(crate) struct Published {
    pub(crate) checkpoint: Arc<SignedCheckpoint>,
    pub(crate) last_time: Timestamp,
    pub(crate) durable_mark: TreeSize,
    pub(crate) control_receipts: u64,
    pub(crate) tree: Tree,
    /// All segments, oldest first.
    pub(crate) segments: Arc<Vec<Arc<Segment>>>,
    /// End of the last published frame in the last segment.
    pub(crate) active_end: u64,
    pub(crate) rules: Arc<Rules>,
}

impl Published {
    pub(crate) fn size(&self) -> TreeSize {
        self.checkpoint.unverified().size
    }

    /// The segment that holds an index.
    pub(crate) fn segment_of(&self, index: LeafIndex) -> &Arc<Segment> {
        segment_of(&self.segments, index)
    }
}

pub(crate) fn segment_of(segments: &[Arc<Segment>], index: LeafIndex) -> &Arc<Segment> {
    let after = segments.partition_point(|segment| segment.id.0 <= index);
    &segments[after.checked_sub(1).expect("the first segment begins at index 0")]
}

impl Shared {
    pub(crate) fn new(
        environment: Environment,
        limits: Limits,
        read_only: bool,
        fingerprint_key: [u8; 32],
        loaded: crate::open::Loaded,
    ) -> Self {
        Self {
            environment,
            limits,
            identity: loaded.identity,
            fingerprint_key,
            read_only,
            queue: Queue::new(&limits),
            published: RwLock::new(loaded.published),
            progress: (Mutex::new(()), Condvar::new()),
            streams: loaded.streams,
            run_files: loaded.run_files,
            sealed_files: loaded.sealed_files,
            window: Mutex::new(loaded.window),
            manifest: Mutex::new(loaded.manifest),
            poison: OnceLock::new(),
            keeper_jobs: AtomicUsize::new(0),
        }
    }

    pub(crate) fn published(&self) -> RwLockReadGuard<'_, Published> {
        self.published.read().expect("no thread panics with this lock")
    }

    pub(crate) fn published_mut(&self) -> RwLockWriteGuard<'_, Published> {
        self.published.write().expect("no thread panics with this lock")
    }

    pub(crate) fn lock<'a, T>(&self, mutex: &'a Mutex<T>) -> MutexGuard<'a, T> {
        mutex.lock().expect("no thread panics with this lock")
    }

    /// Remembers the first failed write or sync. From here on nothing is appended until the ledger is reopened.
    pub(crate) fn poison(&self, error: io::Error) -> AppendError {
        let cause = self.poison.get_or_init(|| Arc::new(error)).clone();
        self.notify_progress();
        AppendError::Poisoned { cause }
    }

    pub(crate) fn poisoned(&self) -> Option<AppendError> {
        self.poison.get().map(|cause| AppendError::Poisoned { cause: cause.clone() })
    }

    pub(crate) fn notify_progress(&self) {
        let _guard = self.lock(&self.progress.0);
        self.progress.1.notify_all();
    }

    /// Waits until a tree size is published; an error when the ledger was poisoned first.
    pub(crate) fn wait_published(&self, size: TreeSize) -> Result<(), AppendError> {
        let mut guard = self.lock(&self.progress.0);
        loop {
            if let Some(error) = self.poisoned() {
                return Err(error);
            }
            if self.published().size() >= size {
                return Ok(());
            }
            guard = self.progress.1.wait(guard).expect("no thread panics with this lock");
        }
    }
}
