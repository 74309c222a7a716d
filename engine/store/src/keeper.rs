//! The keeper: work in the background that never holds the sequencer. It seals full segments, writes zeros ahead of the
//! sequencer, merges stream indexes, and after opening looks for derived files that have to be made again.

use crate::chain::{Chain, Tally};
use crate::control::{ControlCopy, ControlFile};
use crate::disk::{DiskFile, is_disk_full, read_exact, replace_file, write_zeros};
use crate::error::AppendError;
use crate::indexer::Indexer;
use crate::queue::SealDone;
use crate::read;
use crate::recovery;
use crate::sealed::{self, Sealed};
use crate::segment::{self, Segment, State};
use crate::shared::Shared;
use crate::streams::{Known, write_segment_index};
use crate::types::SegmentStatus;
use counterfoil_format::{ByteOffset, LeafFile, ManifestEntry, SegmentState, StreamIndexEntry};
use counterfoil_proof::{Hash, LeafHash, LeafIndex};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex, MutexGuard};

/// What the keeper is asked to do, in order.
pub(crate) enum KeeperJob {
    WriteZeros(Arc<Segment>, Arc<Prepared>),
    Seal(Box<SealJob>),
}

/// Asks the keeper for something, which counts as a background job until it is done. A keeper that is gone is not asked.
pub(crate) fn ask(shared: &Shared, keeper: &Sender<KeeperJob>, job: KeeperJob) {
    shared.keeper_jobs.fetch_add(1, Ordering::Relaxed);
    let _ = keeper.send(job);
}

/// A full segment, all of whose frames are published.
pub(crate) struct SealJob {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: ByteOffset,
    pub(crate) chain: Chain,
    pub(crate) tally: Tally,
    pub(crate) done: Option<SealDone>,
}

/// Zeros written ahead by the keeper at a time.
const ZEROS_STEP: u64 = 8 * 1024 * 1024;

/// How many bytes of the file that is written to exist. Frames are written only below it, and it is moved only under its
/// lock, so zeros never meet a frame.
pub(crate) struct Prepared(Mutex<u64>);

impl Prepared {
    pub(crate) fn new(len: u64) -> Self {
        Self(Mutex::new(len))
    }

    /// Held while more bytes are made.
    fn len(&self) -> MutexGuard<'_, u64> {
        self.0.lock().expect("no thread panics with this lock")
    }

    /// Bytes that exist, unless more are being made right now.
    pub(crate) fn peek(&self) -> Option<u64> {
        self.0.try_lock().ok().map(|len| *len)
    }

    /// Makes at least `end` bytes exist, in a hurry: space is allocated, not written. Returns how many there are.
    pub(crate) fn allocate(&self, file: &dyn DiskFile, end: u64) -> io::Result<u64> {
        let mut len = self.len();
        if end > *len {
            file.allocate(*len, end)?;
            *len = end;
        }
        Ok(*len)
    }

    /// Writes zeros and syncs them, at leisure: syncs of frames written over them change no metadata.
    fn write_zeros(&self, file: &dyn DiskFile, len_max: u64) -> io::Result<()> {
        let mut len = self.len();
        let end = (*len + ZEROS_STEP).min(len_max);
        if end > *len {
            write_zeros(file, *len, end)?;
            file.sync_all()?;
            *len = end;
        }
        Ok(())
    }
}

pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: Receiver<KeeperJob>,
    pub(crate) control: ControlFile,
    pub(crate) indexer: Indexer,
    /// Sealed segments whose derived files were not looked at since the ledger was opened.
    pub(crate) unseen: VecDeque<Arc<Segment>>,
    /// Full segments that are not sealed yet, oldest first.
    pub(crate) waiting: VecDeque<Box<SealJob>>,
    /// Why nothing is sealed any more.
    pub(crate) stuck: Option<Arc<io::Error>>,
}

impl Keeper {
    /// Works until the sequencer is gone. A segment that could not be sealed keeps its place, and the ones after it wait:
    /// for space on a full disk, otherwise until the ledger is opened again.
    pub(crate) fn run(mut self) {
        while let Some(job) = self.next_job() {
            match job {
                KeeperJob::WriteZeros(segment, prepared) => {
                    if let Err(error) = self.write_zeros(&segment, &prepared)
                        && !is_disk_full(&error)
                    {
                        // The sync may have covered frames: what became of them only recovery can tell.
                        self.shared.poison(error);
                    }
                    let _ = self.seal_waiting();
                }
                KeeperJob::Seal(mut job) => {
                    let done = job.done.take();
                    self.waiting.push_back(job);
                    let sealed = self.seal_waiting();
                    if let Some(done) = done {
                        done(sealed.map_err(|cause| AppendError::NotSealed { cause }));
                    }
                }
            }
            self.shared.keeper_jobs.fetch_sub(1, Ordering::Release);
        }
        self.indexer.give_up(&self.shared);
    }

    /// Seals the segments that wait, oldest first; answers with the last one sealed.
    fn seal_waiting(&mut self) -> Result<Option<SegmentStatus>, Arc<io::Error>> {
        let mut sealed = None;
        while let Some(job) = self.waiting.pop_front() {
            let result = match &self.stuck {
                Some(cause) => Err(cause.clone()),
                None => self.seal(&job).map_err(Arc::new),
            };
            match result {
                Ok(status) => sealed = Some(status),
                Err(cause) => {
                    self.waiting.push_front(job);
                    if !is_disk_full(&cause) {
                        self.stuck = Some(cause.clone());
                    }
                    return Err(cause);
                }
            }
        }
        Ok(sealed)
    }

    /// The next job; while there is none, what can wait is done in small steps.
    fn next_job(&mut self) -> Option<KeeperJob> {
        loop {
            match self.jobs.try_recv() {
                Ok(job) => return Some(job),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if let Some(segment) = self.unseen.pop_front() {
                // Missing and damaged leaf files are rebuilt on the way. What is wrong with the segment itself concerns
                // whoever reads from it, and the verifier.
                let _ = segment.sealed().parts();
            } else if !self.indexer.step(&self.shared) {
                // What can wait counts as one job while there is some.
                self.shared.keeper_jobs.fetch_sub(1, Ordering::Release);
                let job = self.jobs.recv().ok();
                self.shared.keeper_jobs.fetch_add(1, Ordering::Relaxed);
                return job;
            }
        }
    }

    /// Through a file description of its own: one that the committer syncs too would take a lost write's only report
    /// away from it.
    fn write_zeros(&self, segment: &Segment, prepared: &Prepared) -> io::Result<()> {
        let path = segment::segment_path(segment.id, segment.generation);
        let file = self.shared.environment.disk.open(&path, true)?;
        prepared.write_zeros(&*file, self.shared.limits.segment_bytes_max)
    }

    fn seal(&mut self, job: &SealJob) -> io::Result<SegmentStatus> {
        let disk = &*self.shared.environment.disk;
        let segment = &job.segment;
        let file = segment.open_file();
        let (leaves, frames) = self.leaves_and_frames(job);
        let before = segment::read_header(&**file).map_err(segment::into_io)?.frontier;
        let ledger_id = self.shared.identity.ledger_id;
        let bytes = LeafFile::encode(ledger_id, segment.id, segment.generation, &before, &frames, &leaves);
        sealed::write_leaf_file(disk, segment.id, segment.generation, &bytes)?;
        let end = job.chain.frontier.size();
        let known = Known { frames: &frames, leaves: &leaves, end };
        let index = write_segment_index(&self.shared.run_files, &**file, &known).map_err(segment::into_io)?;
        let copies = self.control_copies(job)?;
        let control_len = self.control.write_behind(disk, &copies)?;
        let (file_len, digest) = write_footer(&**file, job)?;
        let entry = self.record(job, index.entry, file_len, digest)?;
        self.control.keep(control_len);
        let sealed = Sealed::of_entry(entry, &self.shared.sealed_files).expect("the entry is that of a sealed segment");
        let state = State::Sealed(sealed);
        let sealed = Arc::new(Segment { id: segment.id, generation: segment.generation, state });
        {
            let mut published = self.shared.published_mut();
            let mut segments = published.segments.to_vec();
            let place = segments.iter().position(|other| other.id == sealed.id);
            segments[place.expect("a sealed segment was published")] = sealed;
            published.segments = Arc::new(segments);
            published.tree.forget_below(&job.chain.frontier);
        }
        self.indexer.add(&self.shared, index.entry, &index.streams);
        Ok(SegmentStatus { first: segment.id.0, receipts: leaves.len() as u64, bytes: file_len, sealed: true })
    }

    fn leaves_and_frames(&self, job: &SealJob) -> (Vec<LeafHash>, Vec<(LeafIndex, ByteOffset)>) {
        let published = self.shared.published();
        let range = job.segment.id.0.0..job.chain.next_index().0;
        let leaf = |index| published.tree.leaf(LeafIndex(index)).expect("leaves of unsealed segments are in memory");
        let State::Open { frames, .. } = &job.segment.state else { unreachable!("a segment is sealed once") };
        (range.map(leaf).collect(), frames.read().expect("no reader panics with the lock").clone())
    }

    fn control_copies(&self, job: &SealJob) -> io::Result<Vec<ControlCopy>> {
        let copy = |index: &LeafIndex| {
            let receipt = read::get(&self.shared, *index).map_err(io::Error::other)?;
            let content = receipt.content.ok_or_else(|| io::Error::other("a control receipt is never erased"))?;
            Ok(ControlCopy { envelope: receipt.envelope, salt: content.salt, payload: content.payload.to_vec() })
        };
        job.tally.control_indices.iter().map(copy).collect()
    }

    /// Names the segment as sealed, together with the stream index that covers it.
    fn record(
        &self,
        job: &SealJob,
        index: StreamIndexEntry,
        file_len: u64,
        file_digest: Hash,
    ) -> io::Result<ManifestEntry> {
        let mut manifest = self.shared.lock(&self.shared.manifest);
        let mut next = manifest.clone();
        next.counter += 1;
        let entry = next.segments.iter_mut().find(|entry| entry.id == job.segment.id);
        let entry = entry.expect("a segment is in the manifest before it holds a frame");
        entry.state = SegmentState::Sealed { end: job.chain.frontier.size(), file_len, file_digest };
        let entry = *entry;
        next.stream_indexes.push(index);
        replace_file(&*self.shared.environment.disk, "", "MANIFEST", &next.encode())?;
        *manifest = next;
        Ok(entry)
    }
}

/// Ends a segment file: digest, footer, and no byte behind it.
fn write_footer(file: &dyn DiskFile, job: &SealJob) -> io::Result<(u64, Hash)> {
    const STEP: u64 = 1 << 20;
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < job.end.0 {
        let len = usize::try_from((job.end.0 - at).min(STEP)).expect("at most a step");
        hasher.update(&read_exact(file, at, len)?);
        at += len as u64;
    }
    let digest = Hash(*hasher.finalize().as_bytes());
    let footer = recovery::footer_of(&job.chain, &job.tally, job.segment.id.0, digest).encode(job.end);
    let file_len = job.end.0 + footer.len() as u64;
    file.write_all_at(&footer, job.end.0)?;
    file.set_len(file_len)?;
    // A crash before the manifest says so finds the footer, or part of it, and seals again.
    file.sync_all()?;
    Ok((file_len, digest))
}
