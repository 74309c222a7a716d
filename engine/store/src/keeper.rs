//! The keeper: work in the background that never holds the sequencer. It seals full segments and writes zeros ahead of
//! the sequencer.

use crate::chain::{Chain, Tally};
use crate::disk::{Disk, DiskFile, is_disk_full, read_exact, replace_file, write_zeros};
use crate::error::AppendError;
use crate::queue::SealDone;
use crate::recovery;
use crate::segment::{self, FOLDER, Segment, SegmentError, State};
use crate::shared::Shared;
use crate::types::SegmentStatus;
use counterfoil_format::{
    ByteOffset, Generation, LeafFile, LeafFileHead, SegmentId, SegmentState, ShortPreamble, leaves_file_name,
};
use counterfoil_proof::{Hash, LeafHash, LeafIndex};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender};
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
}

impl Keeper {
    /// Works until the sequencer is gone. A segment that could not be sealed keeps its place: the ones after it wait,
    /// and opening the ledger again seals them all.
    pub(crate) fn run(self) {
        let mut stuck: Option<Arc<io::Error>> = None;
        while let Ok(job) = self.jobs.recv() {
            match job {
                KeeperJob::WriteZeros(segment, prepared) => {
                    if let Err(error) = self.write_zeros(&segment, &prepared)
                        && !is_disk_full(&error)
                    {
                        // The sync may have covered frames: what became of them only recovery can tell.
                        self.shared.poison(error);
                    }
                }
                KeeperJob::Seal(mut job) => {
                    let done = job.done.take();
                    let sealed = match &stuck {
                        Some(cause) => Err(cause.clone()),
                        None => self.seal(&job).map_err(Arc::new),
                    };
                    if let Err(cause) = &sealed {
                        stuck = Some(cause.clone());
                    }
                    if let Some(done) = done {
                        done(sealed.map(Some).map_err(|cause| AppendError::NotSealed { cause }));
                    }
                }
            }
            self.shared.keeper_jobs.fetch_sub(1, Ordering::Release);
        }
    }

    /// Through a file description of its own: one that the committer syncs too would take a lost write's only report
    /// away from it.
    fn write_zeros(&self, segment: &Segment, prepared: &Prepared) -> io::Result<()> {
        let path = segment::segment_path(segment.id, segment.generation);
        let file = self.shared.environment.disk.open(&path, true)?;
        prepared.write_zeros(&*file, self.shared.limits.segment_bytes_max)
    }

    fn seal(&self, job: &SealJob) -> io::Result<SegmentStatus> {
        let disk = &*self.shared.environment.disk;
        let segment = &job.segment;
        let (leaves, frames) = self.leaves_and_frames(job);
        let bytes = LeafFile::encode(self.shared.identity.ledger_id, segment.id, segment.generation, &frames, &leaves);
        write_leaf_file(disk, segment.id, segment.generation, &bytes)?;
        let (head, leaf_file) =
            segment::open_leaf_file(disk, segment.id, segment.generation).map_err(|error| match error {
                SegmentError::Io(error) => error,
                SegmentError::Damaged { error, .. } => io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
        let (file_len, digest) = write_footer(&*segment.file, job)?;
        self.record(job, file_len, digest)?;
        let state = State::Sealed { leaves: head, leaf_file, file_len };
        let file = segment.file.clone();
        let sealed = Arc::new(Segment { id: segment.id, generation: segment.generation, file, state });
        let mut published = self.shared.published_mut();
        let mut segments = published.segments.to_vec();
        let place = segments.iter().position(|other| other.id == sealed.id).expect("a sealed segment was published");
        segments[place] = sealed;
        published.segments = Arc::new(segments);
        published.tree.forget_below(job.chain.next_index());
        Ok(SegmentStatus { first: segment.id.0, receipts: leaves.len() as u64, bytes: file_len, sealed: true })
    }

    fn leaves_and_frames(&self, job: &SealJob) -> (Vec<LeafHash>, Vec<(LeafIndex, ByteOffset)>) {
        let published = self.shared.published();
        let range = job.segment.id.0.0..job.chain.next_index().0;
        let leaf = |index| published.tree.leaf(LeafIndex(index)).expect("leaves of unsealed segments are in memory");
        let State::Open { frames } = &job.segment.state else { unreachable!("a segment is sealed once") };
        (range.map(leaf).collect(), frames.read().expect("no reader panics with the lock").clone())
    }

    fn record(&self, job: &SealJob, file_len: u64, file_digest: Hash) -> io::Result<()> {
        let mut manifest = self.shared.lock(&self.shared.manifest);
        let mut next = manifest.clone();
        next.counter += 1;
        let entry = next.segments.iter_mut().find(|entry| entry.id == job.segment.id);
        entry.expect("a segment is in the manifest before it holds a frame").state =
            SegmentState::Sealed { end: job.chain.frontier.size(), file_len, file_digest };
        replace_file(&*self.shared.environment.disk, "", "MANIFEST", &next.encode())?;
        *manifest = next;
        Ok(())
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

pub(crate) fn write_leaf_file(disk: &dyn Disk, id: SegmentId, generation: Generation, bytes: &[u8]) -> io::Result<()> {
    replace_file(disk, FOLDER, &leaves_file_name(id, generation), bytes)
}

/// A rebuilt leaf file that is not written anywhere, for a ledger opened for reading only.
pub(crate) fn leaf_file_in_memory(bytes: Vec<u8>) -> Result<(LeafFileHead, Arc<dyn DiskFile>), SegmentError> {
    let damaged = |error| SegmentError::Damaged { offset: ByteOffset(0), error };
    let ShortPreamble(len) = ShortPreamble::decode(&bytes).map_err(damaged)?;
    let head = LeafFileHead::decode(&bytes[..len]).map_err(damaged)?;
    Ok((head, Arc::new(MemoryFile(bytes))))
}

struct MemoryFile(Vec<u8>);

impl DiskFile for MemoryFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }
}
