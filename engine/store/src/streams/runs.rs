//! Stream index files: pinned by the manifest, opened when a lookup first needs them.

use super::build;
use crate::disk::{Disk, DiskFile, read_exact};
use crate::segment::{FOLDER, Segment, SegmentError};
use counterfoil_format::{
    ByteOffset, FormatError, Manifest, STREAM_DIRECTORY_LEN_MAX, STREAM_TRAILER_LEN, StreamDirectory, StreamIndexEntry,
    StreamRecord, stream_index_file_name,
};
use counterfoil_proof::{LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};
use std::sync::{Arc, Mutex, MutexGuard};

/// What reading and rebuilding stream indexes needs.
pub(crate) struct RunFiles {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) ledger_id: LeafHash,
    /// Whether rebuilt files are written.
    pub(crate) writable: bool,
    /// Held while a file is rebuilt, so that two readers do not write the same one.
    rebuilding: Mutex<()>,
}

impl RunFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, ledger_id: LeafHash, writable: bool) -> Self {
        Self { disk, ledger_id, writable, rebuilding: Mutex::default() }
    }
}

/// The stream indexes of a ledger, oldest first, without a gap from index 0.
pub(crate) struct Runs {
    pub(crate) list: Vec<Arc<Run>>,
}

impl Runs {
    pub(crate) fn of_manifest(manifest: &Manifest, files: &Arc<RunFiles>) -> Self {
        Self { list: manifest.stream_indexes.iter().map(|entry| Arc::new(Run::new(*entry, files))).collect() }
    }

    /// Receipts below are covered.
    pub(crate) fn covered(&self) -> TreeSize {
        self.list.last().map_or(TreeSize(0), |run| run.entry.end)
    }
}

/// One stream index.
pub(crate) struct Run {
    pub(crate) entry: StreamIndexEntry,
    files: Arc<RunFiles>,
    loaded: Mutex<Option<Arc<LoadedRun>>>,
}

/// An open stream index with its directory.
pub(crate) struct LoadedRun {
    pub(crate) directory: StreamDirectory,
    file: Arc<dyn DiskFile>,
}

impl LoadedRun {
    /// Reads the directory of an index file and compares it with what the manifest pins.
    pub(crate) fn open(
        file: Arc<dyn DiskFile>,
        entry: &StreamIndexEntry,
        ledger_id: LeafHash,
    ) -> Result<Self, SegmentError> {
        let pinned = |offset, rule| SegmentError::Damaged { offset, error: FormatError::NotCanonical { rule } };
        let len = file.len()?;
        if len != entry.file_len {
            let offset = ByteOffset(len.min(entry.file_len));
            return Err(pinned(offset, "the file has the length that the manifest pins"));
        }
        let end = len.saturating_sub(STREAM_TRAILER_LEN as u64);
        let trailer = read_exact(&*file, end, STREAM_TRAILER_LEN)?;
        let trailer = trailer.as_slice().try_into().expect("read_exact returns as many bytes as asked for");
        let at = StreamDirectory::locate(trailer).filter(|at| at.0 <= end);
        let at = at.ok_or(pinned(ByteOffset(end), "a stream index ends in a trailer"))?;
        let len = usize::try_from(len - at.0).ok().filter(|len| *len <= STREAM_DIRECTORY_LEN_MAX + STREAM_TRAILER_LEN);
        let len = len.ok_or(pinned(at, "the directory is not longer than directories are"))?;
        let bytes = read_exact(&*file, at.0, len)?;
        let directory =
            StreamDirectory::decode(&bytes, at).map_err(|error| SegmentError::Damaged { offset: at, error })?;
        if directory.digest() != entry.directory_digest {
            return Err(pinned(at, "the directory is the one that the manifest pins"));
        }
        let belongs = directory.ledger_id == ledger_id && (directory.first, directory.end) == (entry.first, entry.end);
        if !belongs {
            return Err(pinned(at, "the stream index covers what the manifest says"));
        }
        Ok(Self { directory, file })
    }

    /// The records of one block.
    pub(crate) fn block(&self, number: usize) -> Result<Vec<StreamRecord>, SegmentError> {
        let bytes = self.block_bytes(number)?;
        self.directory.decode_block(number, &bytes).map_err(|error| self.damaged(number, error))
    }

    fn record_at(&self, stream: &StreamName, seq: StreamSeq) -> Result<Option<StreamRecord>, SegmentError> {
        let Some(number) = self.directory.find(stream, seq) else { return Ok(None) };
        let bytes = self.block_bytes(number)?;
        let found = self.directory.find_in_block(number, &bytes, stream, seq);
        found.map_err(|error| self.damaged(number, error))
    }

    fn block_bytes(&self, number: usize) -> Result<Vec<u8>, SegmentError> {
        let range = self.directory.block_range(number);
        let len = usize::try_from(range.end - range.start).expect("blocks are small");
        Ok(read_exact(&*self.file, range.start, len)?)
    }

    fn damaged(&self, number: usize, error: FormatError) -> SegmentError {
        SegmentError::Damaged { offset: ByteOffset(self.directory.block_range(number).start), error }
    }
}

impl Run {
    pub(crate) fn new(entry: StreamIndexEntry, files: &Arc<RunFiles>) -> Self {
        Self { entry, files: files.clone(), loaded: Mutex::new(None) }
    }

    pub(crate) fn path(&self) -> String {
        run_path(&self.entry)
    }

    /// The open index. One that is missing or damaged is made again from its segments.
    pub(crate) fn loaded(&self, segments: &[Arc<Segment>]) -> Result<Arc<LoadedRun>, SegmentError> {
        if let Some(run) = &*self.known() {
            return Ok(run.clone());
        }
        // Two readers may open it twice, which is harmless; nobody waits for the disk with the lock.
        let run = match self.open() {
            Ok(run) => run,
            Err(_) => return self.rebuild(segments, None),
        };
        Ok(self.known().insert(Arc::new(run)).clone())
    }

    fn known(&self) -> MutexGuard<'_, Option<Arc<LoadedRun>>> {
        self.loaded.lock().expect("no reader panics with the lock")
    }

    fn open(&self) -> Result<LoadedRun, SegmentError> {
        LoadedRun::open(self.files.disk.open(&self.path(), false)?, &self.entry, self.files.ledger_id)
    }

    /// Makes the index again, unless somebody else did since `failed` was found wanting.
    pub(crate) fn rebuild(
        &self,
        segments: &[Arc<Segment>],
        failed: Option<&Arc<LoadedRun>>,
    ) -> Result<Arc<LoadedRun>, SegmentError> {
        let _alone = self.files.rebuilding.lock().expect("no reader panics with the lock");
        let known = self.known().clone();
        if let Some(known) = known.filter(|known| failed.is_none_or(|failed| !Arc::ptr_eq(known, failed))) {
            return Ok(known);
        }
        let run = Arc::new(build::rebuild(&self.files, &self.entry, segments)?);
        *self.known() = Some(run.clone());
        Ok(run)
    }

    /// The last record of a stream that begins at or before a position in it, if the stream has one here. A damaged block
    /// has the index made again.
    pub(crate) fn record_at(
        &self,
        stream: &StreamName,
        seq: StreamSeq,
        segments: &[Arc<Segment>],
    ) -> Result<Option<StreamRecord>, SegmentError> {
        let run = self.loaded(segments)?;
        match run.record_at(stream, seq) {
            Err(_) => self.rebuild(segments, Some(&run))?.record_at(stream, seq),
            found => found,
        }
    }

    /// Position and index of a stream's last receipt here.
    pub(crate) fn last(
        &self,
        stream: &StreamName,
        segments: &[Arc<Segment>],
    ) -> Result<Option<(StreamSeq, LeafIndex)>, SegmentError> {
        let record = self.record_at(stream, StreamSeq(u64::MAX), segments)?;
        Ok(record.map(|record| {
            let latest = record.positions.last().expect("a record holds at least one position");
            (StreamSeq(record.first_seq.0 + record.positions.len() as u64 - 1), *latest)
        }))
    }
}

pub(crate) fn run_path(entry: &StreamIndexEntry) -> String {
    format!("{FOLDER}/{}", stream_index_file_name(entry.first, entry.end))
}
