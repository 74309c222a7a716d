//! One segment's file: opening it beside a live server, and reading what stands at a place.

use super::chain::TREE_SIZE_MAX;
use super::files::{first_used, io, open, segment_path};
use super::manifest::Listed;
use super::window::Window;
use crate::error::AuditError;
use crate::report::{Code, Finding};
use crate::source::{Source, SourceFile};
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader};
use counterfoil_format::{
    ByteOffset, FOOTER_TRAILER_LEN, FormatError, ManifestEntry, SEGMENT_HEADER_LEN, SegmentFooter, SegmentState,
    segment_file_name,
};
use counterfoil_proof::{LeafIndex, TreeSize};

/// A place in a segment's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: String,
    pub(super) offset: ByteOffset,
}

impl Place {
    pub(super) fn finding(&self, code: Code, message: impl Into<String>) -> Finding {
        Finding::new(code, message).in_segment(&self.segment, self.offset)
    }
}

/// The open file of a segment.
pub(super) struct SegmentFile {
    pub(super) entry: ManifestEntry,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) file: Box<dyn SourceFile>,
    pub(super) len: u64,
}

/// A footer and where it begins, or what is wrong with it and where it ought to begin.
pub(super) type FoundFooter = Result<(ByteOffset, SegmentFooter), (ByteOffset, FormatError)>;

/// What was found at a place where a frame may begin.
pub(super) enum Read<'b> {
    /// A frame whose checksum fits.
    Frame { frame: Frame<'b>, bytes: &'b [u8] },
    /// Something else. `salvage` is what can be read of a frame there when its checksum is not looked at.
    Damaged { salvage: Option<(Frame<'b>, &'b [u8])>, error: FormatError },
    /// Zeros to the end.
    Zeros,
}

impl SegmentFile {
    /// Opens a segment; `None` when it is missing. Beside a live server it may have got a new generation since MANIFEST
    /// was read, so MANIFEST is read again before it counts as missing.
    pub(super) fn open(source: &dyn Source, entry: &ManifestEntry) -> Result<Option<Self>, AuditError> {
        if let Some(segment) = Self::open_generation(source, entry)? {
            return Ok(Some(segment));
        }
        let now = Listed::read(source)?;
        match now.segment(entry.id).filter(|now| now.generation != entry.generation) {
            Some(now) => Self::open_generation(source, now),
            None => Ok(None),
        }
    }

    fn open_generation(source: &dyn Source, entry: &ManifestEntry) -> Result<Option<Self>, AuditError> {
        let name = segment_file_name(entry.id, entry.generation);
        let path = segment_path(&name);
        let Some(file) = open(source, &path)? else { return Ok(None) };
        let len = file.len().map_err(io(&path))?;
        Ok(Some(Self { entry: *entry, name, path, file, len }))
    }

    pub(super) fn is_sealed(&self) -> bool {
        matches!(self.entry.state, SegmentState::Sealed { .. })
    }

    pub(super) fn place(&self, offset: ByteOffset) -> Place {
        Place { segment: self.name.clone(), offset }
    }

    /// Reads up to `want` bytes, bounded by the file and not by what the file claims.
    pub(super) fn bytes<'b>(
        &self,
        at: ByteOffset,
        want: usize,
        buffer: &'b mut Vec<u8>,
    ) -> Result<&'b [u8], AuditError> {
        let left = usize::try_from(self.len.saturating_sub(at.0)).unwrap_or(usize::MAX);
        buffer.clear();
        buffer.resize(want.min(left), 0);
        let read = self.file.read_at(buffer, at.0).map_err(io(&self.path))?;
        Ok(&buffer[..read])
    }

    /// Reads the footer at the end of the file.
    pub(super) fn footer(&self) -> Result<FoundFooter, AuditError> {
        let mut buffer = Vec::new();
        let trailer_at = ByteOffset(self.len.saturating_sub(FOOTER_TRAILER_LEN as u64));
        let trailer = self.bytes(trailer_at, FOOTER_TRAILER_LEN, &mut buffer)?;
        let at = trailer.try_into().ok().and_then(SegmentFooter::locate);
        let Some(at) = at.filter(|at| at.0 >= SEGMENT_HEADER_LEN as u64 && at.0 < self.len) else {
            let error = FormatError::NotCanonical { rule: "a sealed segment ends with a trailer" };
            return Ok(Err((trailer_at, error)));
        };
        let want = usize::try_from(self.len - at.0).unwrap_or(usize::MAX);
        let footer = SegmentFooter::decode(self.bytes(at, want, &mut buffer)?, at);
        Ok(footer.map(|footer| (at, footer)).map_err(|error| (at, error)))
    }

    /// Reads what stands at a place; no frame lies behind `frames_end`.
    pub(super) fn read<'b>(
        &self,
        at: ByteOffset,
        frames_end: u64,
        window: &'b mut Window<'_>,
    ) -> Result<Read<'b>, AuditError> {
        let header = FrameHeader::decode(window.bytes(at, FRAME_HEADER_LEN)?);
        let header = header.and_then(|header| {
            let fits = at.0.saturating_add(header.frame_len as u64) <= frames_end;
            if fits { Ok(header) } else { Err(FormatError::Truncated) }
        });
        let header = match header {
            Ok(header) => header,
            Err(error) => {
                let used = first_used(self.file.as_ref(), &self.path, at.0, frames_end)?;
                return Ok(if used.is_none() { Read::Zeros } else { Read::Damaged { salvage: None, error } });
            }
        };
        let bytes = window.bytes(at, header.frame_len)?;
        Ok(match Frame::decode(bytes) {
            Ok(frame) => Read::Frame { frame, bytes },
            Err(error) => {
                let salvage = Frame::decode_ignoring_checksum(bytes).ok().map(|frame| (frame, bytes));
                Read::Damaged { salvage, error }
            }
        })
    }
}

/// Where the frames of a segment stand, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct FramePlaces {
    pub(super) frames: Vec<(LeafIndex, ByteOffset)>,
}

impl FramePlaces {
    /// The frame that holds a receipt: its first index and its offset.
    pub(super) fn of(&self, index: LeafIndex) -> Option<(LeafIndex, ByteOffset)> {
        let after = self.frames.partition_point(|(first, _)| *first <= index);
        self.frames.get(after.checked_sub(1)?).copied()
    }
}

/// True when a frame can stand behind `next` receipts in a segment with this nonce that ends at `end`.
pub(super) fn fits(header: &FrameHeader, next: TreeSize, nonce: Option<[u8; 16]>, end: Option<TreeSize>) -> bool {
    header.start.first.0 == next.0 && may_stand(header, nonce, end)
}

/// True when a frame can stand anywhere in a segment with this nonce that ends at `end`.
pub(super) fn may_stand(header: &FrameHeader, nonce: Option<[u8; 16]>, end: Option<TreeSize>) -> bool {
    nonce.is_none_or(|nonce| nonce == header.start.nonce)
        && header.end().0 <= TREE_SIZE_MAX
        && end.is_none_or(|limit| header.end() <= limit)
}
