//! Sealed segments: immutable, pinned by the manifest, opened when they are first read, rebuilt leaf files included.
//!
//! A ledger has thousands of them over the years, so only the most recently read ones are kept open.

use crate::disk::{Disk, DiskFile, is_disk_full, read_exact, replace_file};
use crate::recovery::{self, Tail};
use crate::segment::{self, FOLDER, SegmentError, segment_path};
use counterfoil_format::{
    ByteOffset, FormatError, Generation, LEAF_BLOCK, LeafFile, LeafFileHead, ManifestEntry, PREAMBLE_LEN,
    SegmentFooter, SegmentId, SegmentState, ShortPreamble, leaves_file_name,
};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, NodeCoordinate, NodeHash, TreeSize, VerifierKey};
use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// Sealed segments kept open, two files each.
const OPEN_SEGMENTS_MAX: usize = 128;

/// One sealed segment as the manifest pins it.
pub(crate) struct Sealed {
    pub(crate) end: TreeSize,
    pub(crate) file_len: u64,
    id: SegmentId,
    generation: Generation,
    digest: Hash,
    files: Arc<SealedFiles>,
}

/// The open files of a sealed segment.
pub(crate) struct Parts {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) leaves: LeafFileHead,
    leaf_file: Arc<dyn DiskFile>,
}

/// The sealed segments that are open.
pub(crate) struct SealedFiles {
    disk: Arc<dyn Disk>,
    ledger_id: LeafHash,
    key: VerifierKey,
    /// Whether rebuilt leaf files are written.
    writable: bool,
    open: Mutex<Open>,
    /// Held while a leaf file is rebuilt, so that two readers do not write the same one.
    rebuilding: Mutex<()>,
}

#[derive(Default)]
struct Open {
    parts: HashMap<(SegmentId, Generation), (u64, Arc<Parts>)>,
    /// Counts uses; the segment with the lowest one is closed first.
    uses: u64,
}

impl SealedFiles {
    pub(crate) fn new(disk: Arc<dyn Disk>, ledger_id: LeafHash, key: VerifierKey, writable: bool) -> Self {
        Self { disk, ledger_id, key, writable, open: Mutex::default(), rebuilding: Mutex::default() }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().expect("no reader panics with the lock")
    }
}

impl Open {
    fn get(&mut self, key: (SegmentId, Generation)) -> Option<Arc<Parts>> {
        self.uses += 1;
        let (used, parts) = self.parts.get_mut(&key)?;
        *used = self.uses;
        Some(parts.clone())
    }

    fn insert(&mut self, key: (SegmentId, Generation), parts: Arc<Parts>) {
        if self.parts.len() >= OPEN_SEGMENTS_MAX
            && let Some(oldest) = self.parts.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key)
        {
            self.parts.remove(&oldest);
        }
        self.parts.insert(key, (self.uses, parts));
    }
}

impl Sealed {
    /// The segment of a manifest entry, if it is sealed.
    pub(crate) fn of_entry(entry: ManifestEntry, files: &Arc<SealedFiles>) -> Option<Self> {
        let SegmentState::Sealed { end, file_len, file_digest: digest } = entry.state else { return None };
        let ManifestEntry { id, generation, .. } = entry;
        Some(Self { end, file_len, id, generation, digest, files: files.clone() })
    }

    /// Its files; a missing or damaged leaf file is rebuilt first.
    pub(crate) fn parts(&self) -> Result<Arc<Parts>, SegmentError> {
        let key = (self.id, self.generation);
        if let Some(parts) = self.files.open().get(key) {
            return Ok(parts);
        }
        let file = self.open_file()?;
        let (leaves, leaf_file) = match self.open_leaf_file() {
            Ok(found) => found,
            Err(_) => self.rebuild_leaf_file(&*file, false)?,
        };
        let parts = Arc::new(Parts { file, leaves, leaf_file });
        self.files.open().insert(key, parts.clone());
        Ok(parts)
    }

    /// The segment file, compared with what the manifest pins.
    fn open_file(&self) -> Result<Arc<dyn DiskFile>, SegmentError> {
        let file = self.files.disk.open(&segment_path(self.id, self.generation), false)?;
        self.footer_in(&*file)?;
        Ok(file)
    }

    /// Its footer, compared with what the manifest pins.
    pub(crate) fn footer(&self) -> Result<SegmentFooter, SegmentError> {
        self.footer_in(&*self.files.disk.open(&segment_path(self.id, self.generation), false)?)
    }

    fn footer_in(&self, file: &dyn DiskFile) -> Result<SegmentFooter, SegmentError> {
        let found = file.len()?;
        let pinned = |offset, rule| SegmentError::Damaged { offset, error: FormatError::NotCanonical { rule } };
        if found != self.file_len {
            let offset = ByteOffset(found.min(self.file_len));
            return Err(pinned(offset, "the file has the length that the manifest pins"));
        }
        let (footer, at) = segment::read_footer(file)?;
        let agrees =
            footer.first == self.id.0 && footer.frontier.size() == self.end && footer.file_digest == self.digest;
        if agrees { Ok(footer) } else { Err(pinned(at, "the footer is the one the manifest pins")) }
    }

    fn open_leaf_file(&self) -> Result<(LeafFileHead, Arc<dyn DiskFile>), SegmentError> {
        let path = segment::leaves_path(self.id, self.generation);
        self.read_leaf_file_head(self.files.disk.open(&path, false)?)
    }

    fn read_leaf_file_head(&self, file: Arc<dyn DiskFile>) -> Result<(LeafFileHead, Arc<dyn DiskFile>), SegmentError> {
        let damaged = |error| SegmentError::Damaged { offset: ByteOffset(0), error };
        let ShortPreamble(len) = ShortPreamble::decode(&read_exact(&*file, 0, PREAMBLE_LEN)?).map_err(damaged)?;
        if len as u64 > file.len()? {
            return Err(damaged(FormatError::Truncated));
        }
        let head = LeafFileHead::decode(&read_exact(&*file, 0, len)?).map_err(damaged)?;
        let belongs = head.ledger_id == self.files.ledger_id
            && (head.id, head.generation) == (self.id, self.generation)
            && head.indices().end == self.end.0
            && file.len()? == head.len() + head.count * Hash::LEN as u64;
        if !belongs {
            return Err(damaged(FormatError::NotCanonical { rule: "the leaf file belongs to its segment" }));
        }
        Ok((head, file))
    }

    /// Makes the leaf file again from the segment, whose envelopes lead to its signed root. Whoever may not write, or finds
    /// the disk full, keeps it in memory.
    fn rebuild_leaf_file(
        &self,
        file: &dyn DiskFile,
        even_if_readable: bool,
    ) -> Result<(LeafFileHead, Arc<dyn DiskFile>), SegmentError> {
        let _alone = self.files.rebuilding.lock().expect("no reader panics with the lock");
        if !even_if_readable && let Ok(found) = self.open_leaf_file() {
            // Another reader was first.
            return Ok(found);
        }
        let mut leaves = Vec::new();
        let scan = recovery::scan(&*self.files.disk, file, &self.files.key, None, |_, frame, _| {
            leaves.extend(frame.entries().iter().map(|entry| entry.leaf));
        })?;
        if scan.tail != Tail::Footer || scan.chain.frontier.size() != self.end {
            let error = FormatError::NotCanonical { rule: "the frames of a sealed segment reach its footer" };
            return Err(SegmentError::Damaged { offset: scan.end, error });
        }
        let frames: Vec<_> = scan.frames.iter().map(|frame| (frame.first, frame.at)).collect();
        let before = &scan.header.frontier;
        let bytes = LeafFile::encode(self.files.ledger_id, self.id, self.generation, before, &frames, &leaves);
        if self.files.writable {
            match write_leaf_file(&*self.files.disk, self.id, self.generation, &bytes) {
                Err(error) if is_disk_full(&error) => {}
                written => return written.map_err(SegmentError::from).and_then(|()| self.open_leaf_file()),
            }
        }
        self.read_leaf_file_head(Arc::new(MemoryFile(bytes)))
    }

    /// Leaf hashes of a range that is in this segment. A damaged block has the leaf file rebuilt.
    pub(crate) fn leaves(&self, first: LeafIndex, count: u64) -> Result<Vec<LeafHash>, SegmentError> {
        let parts = self.parts()?;
        match parts.leaves(first, count) {
            Err(SegmentError::Damaged { .. }) => {}
            Err(SegmentError::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            other => return other,
        }
        let (leaves, leaf_file) = self.rebuild_leaf_file(&*parts.file, true)?;
        let parts = Arc::new(Parts { file: parts.file.clone(), leaves, leaf_file });
        self.files.open().insert((self.id, self.generation), parts.clone());
        parts.leaves(first, count)
    }

    /// A node of level 8 or above whose last leaf is in this segment.
    pub(crate) fn node(&self, at: NodeCoordinate) -> Result<NodeHash, SegmentError> {
        Ok(self.parts()?.leaves.node(at).expect("a leaf file has all nodes that its segment completes"))
    }
}

impl Parts {
    fn leaves(&self, first: LeafIndex, count: u64) -> Result<Vec<LeafHash>, SegmentError> {
        let mut out = Vec::new();
        let mut next = first.0;
        while next < first.0 + count {
            let (start, range) = self.leaves.block_of(LeafIndex(next)).expect("the leaf is in this segment");
            let len = usize::try_from(range.end - range.start).expect("a block has at most 8 KiB");
            let bytes = read_exact(&*self.leaf_file, range.start, len)?;
            let damaged = |error| SegmentError::Damaged { offset: ByteOffset(range.start), error };
            let block = self.leaves.decode_block(start, &bytes).map_err(damaged)?;
            let skip = usize::try_from(next - start.0).expect("below 256");
            let wanted = usize::try_from((first.0 + count - next).min(LEAF_BLOCK)).expect("at most 256");
            out.extend(block.iter().skip(skip).take(wanted));
            next = start.0 + block.len() as u64;
        }
        Ok(out)
    }
}

pub(crate) fn write_leaf_file(disk: &dyn Disk, id: SegmentId, generation: Generation, bytes: &[u8]) -> io::Result<()> {
    replace_file(disk, FOLDER, &leaves_file_name(id, generation), bytes)
}

/// A file that is not written anywhere, for a ledger opened for reading only.
pub(crate) struct MemoryFile(pub(crate) Vec<u8>);

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
