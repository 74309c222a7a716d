//! The keeper: work in the background that never holds the sequencer. It seals full segments and prepares the file of
//! the next one.

use crate::chain::{Chain, Tally};
use crate::disk::{Disk, DiskFile, read_exact, replace_file};
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
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard};

/// What the keeper is asked to do, in order.
pub(crate) enum KeeperJob {
    PrepareSpare,
    Seal(Box<SealJob>),
}

/// A full segment, all of whose frames are published.
pub(crate) struct SealJob {
    pub(crate) segment: Arc<Segment>,
    pub(crate) end: ByteOffset,
    pub(crate) chain: Chain,
    pub(crate) tally: Tally,
    pub(crate) done: Option<SealDone>,
}

/// The file of the next segment, if it is ready.
#[derive(Default)]
pub(crate) struct Spare(Mutex<Option<SpareFile>>);

/// A file of zeros, synced. Every one has a name of its own, so that whoever took it owns the name too.
pub(crate) struct SpareFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: String,
    pub(crate) len: u64,
}

impl Spare {
    pub(crate) fn take(&self) -> Option<SpareFile> {
        self.slot().take()
    }

    pub(crate) fn is_ready(&self) -> bool {
        self.slot().is_some()
    }

    fn slot(&self) -> MutexGuard<'_, Option<SpareFile>> {
        self.0.lock().expect("no thread panics with this lock")
    }
}

pub(crate) struct Keeper {
    pub(crate) shared: Arc<Shared>,
    pub(crate) jobs: Receiver<KeeperJob>,
    pub(crate) spare: Arc<Spare>,
    pub(crate) spares_made: u64,
}

impl Keeper {
    /// Works until the sequencer is gone. A segment that could not be sealed keeps its place: the ones after it wait,
    /// and opening the ledger again seals them all.
    pub(crate) fn run(mut self) {
        let mut stuck: Option<Arc<io::Error>> = None;
        while let Ok(job) = self.jobs.recv() {
            match job {
                // Without a spare the next segment grows as it is written: slower, no less safe.
                KeeperJob::PrepareSpare => drop(self.prepare_spare()),
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
        }
        if let Some(unused) = self.spare.take() {
            // Whatever stays is removed when the ledger is opened again.
            let _ = self.shared.environment.disk.remove(&unused.path);
        }
    }

    fn prepare_spare(&mut self) -> io::Result<()> {
        if self.spare.is_ready() {
            return Ok(());
        }
        let disk = &*self.shared.environment.disk;
        let len = self.shared.limits.segment_bytes_max;
        self.spares_made += 1;
        let path = format!("{FOLDER}/spare-{}.tmp", self.spares_made);
        let file = disk.create(&path)?;
        if let Err(error) = segment::write_zeros(&*file, 0, len).and_then(|()| file.sync_all()) {
            // A full disk needs the room more than the next segment does.
            let _ = disk.remove(&path);
            return Err(error);
        }
        *self.spare.slot() = Some(SpareFile { file, path, len });
        Ok(())
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
