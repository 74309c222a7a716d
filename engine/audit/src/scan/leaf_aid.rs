//! Leaf hashes from a segment's leaf file, to name the damaged receipts of a frame that cannot be read.
//!
//! The file is derived and proves nothing: what is assumed from it stands only once a signed root confirms it.

use super::files::{io, open, segment_path};
use crate::error::AuditError;
use crate::source::{Source, SourceFile};
use counterfoil_format::{ByteOffset, LeafFileHead, ManifestEntry, PREAMBLE_LEN, ShortPreamble, leaves_file_name};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, TreeSize};

/// A leaf file whose head is sound.
pub(super) struct LeafAid {
    pub(super) head: LeafFileHead,
    pub(super) file: Box<dyn SourceFile>,
    pub(super) path: String,
}

/// A frame as a leaf file knows it.
#[derive(Clone, Copy)]
pub(super) struct AidedFrame {
    pub(super) first: LeafIndex,
    pub(super) end: TreeSize,
    pub(super) offset: ByteOffset,
}

impl LeafAid {
    /// Opens a segment's leaf file; `None` when there is none or its head is damaged.
    pub(super) fn load(source: &dyn Source, entry: &ManifestEntry) -> Result<Option<Self>, AuditError> {
        let path = segment_path(&leaves_file_name(entry.id, entry.generation));
        let Some(file) = open(source, &path)? else { return Ok(None) };
        let len = file.len().map_err(io(&path))?;
        let mut preamble = [0; PREAMBLE_LEN];
        let read = file.read_at(&mut preamble, 0).map_err(io(&path))?;
        let Ok(ShortPreamble(head_len)) = ShortPreamble::decode(&preamble[..read]) else { return Ok(None) };
        if head_len as u64 > len {
            return Ok(None);
        }
        let mut bytes = vec![0; head_len];
        let read = file.read_at(&mut bytes, 0).map_err(io(&path))?;
        let Ok(head) = LeafFileHead::decode(&bytes[..read]) else { return Ok(None) };
        let hashes_fit = head.count.checked_mul(Hash::LEN as u64).is_some_and(|bytes| head.len() + bytes == len);
        let ours = head.id == entry.id && head.generation == entry.generation;
        Ok((hashes_fit && ours).then_some(Self { head, file, path }))
    }

    /// The leaf hashes of these receipts; `None` when some are not in the file or damaged.
    pub(super) fn leaves(&self, from: LeafIndex, to: TreeSize) -> Result<Option<Vec<LeafHash>>, AuditError> {
        let mut leaves = Vec::new();
        let mut next = from;
        while next.0 < to.0 {
            let Some((first, range)) = self.head.block_of(next) else { return Ok(None) };
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            let read = self.file.read_at(&mut bytes, range.start).map_err(io(&self.path))?;
            let Ok(block) = self.head.decode_block(first, &bytes[..read]) else { return Ok(None) };
            let skip = usize::try_from(next.0 - first.0).unwrap_or(usize::MAX);
            let want = usize::try_from(to.0 - next.0).unwrap_or(usize::MAX);
            let before = leaves.len();
            leaves.extend(block.into_iter().skip(skip).take(want));
            if leaves.len() == before {
                return Ok(None);
            }
            next = LeafIndex(from.0 + leaves.len() as u64);
        }
        Ok(Some(leaves))
    }

    /// The frames that hold exactly these receipts; `None` when the bounds are not frame boundaries.
    pub(super) fn frames(&self, from: LeafIndex, to: TreeSize) -> Option<Vec<AidedFrame>> {
        let end = TreeSize(self.head.id.0.0 + self.head.count);
        let ends = self.head.frames.iter().skip(1).map(|(first, _)| TreeSize(first.0)).chain([end]);
        let frames = self.head.frames.iter().zip(ends);
        let frames: Vec<_> = frames
            .filter(|((first, _), _)| (from.0..to.0).contains(&first.0))
            .map(|((first, offset), end)| AidedFrame { first: *first, end, offset: *offset })
            .collect();
        let bounded = frames.first().is_some_and(|frame| frame.first == from) && frames.last()?.end == to;
        bounded.then_some(frames)
    }
}
