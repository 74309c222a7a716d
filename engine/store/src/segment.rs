//! Segments as readers see them.

use crate::disk::{Disk, DiskFile, read_exact};
use crate::recovery;
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameIndex};
use counterfoil_format::{
    ByteOffset, FOOTER_TRAILER_LEN, FRAME_ALIGN, FormatError, Generation, LEAF_BLOCK, LeafFileHead, SEGMENT_HEADER_LEN,
    SegmentFooter, SegmentHeader, SegmentId, ShortPreamble, leaves_file_name, segment_file_name,
};
use counterfoil_proof::{LeafHash, LeafIndex, Origin, SignedCheckpoint, StreamName};
use std::io;
use std::sync::{Arc, RwLock};

pub(crate) const FOLDER: &str = "segments";

/// A segment that can be read.
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) generation: Generation,
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) state: State,
}

/// What is known of a segment beside its file.
pub(crate) enum State {
    /// Frames are added, or the footer is being written.
    Open {
        /// Published frames, ascending.
        frames: RwLock<Vec<(LeafIndex, ByteOffset)>>,
    },
    /// Immutable, with a leaf file.
    Sealed { leaves: LeafFileHead, leaf_file: Arc<dyn DiskFile>, file_len: u64 },
}

/// Stored bytes that are not what they should be, or could not be read.
#[derive(Debug)]
pub(crate) enum SegmentError {
    Io(io::Error),
    Damaged { offset: ByteOffset, error: FormatError },
}

impl From<io::Error> for SegmentError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

pub(crate) fn segment_path(id: SegmentId, generation: Generation) -> String {
    format!("{FOLDER}/{}", segment_file_name(id, generation))
}

pub(crate) fn leaves_path(id: SegmentId, generation: Generation) -> String {
    format!("{FOLDER}/{}", leaves_file_name(id, generation))
}

impl Segment {
    pub(crate) fn open(id: SegmentId, generation: Generation, file: Arc<dyn DiskFile>) -> Self {
        Self { id, generation, file, state: State::Open { frames: RwLock::new(Vec::new()) } }
    }

    /// Offset and first index of the published frame that holds a receipt.
    pub(crate) fn frame_of(&self, index: LeafIndex) -> Option<(LeafIndex, ByteOffset)> {
        match &self.state {
            State::Sealed { leaves, .. } => leaves.frame_of(index),
            State::Open { frames } => {
                let frames = frames.read().expect("no reader panics with the lock");
                frames.get(frames.partition_point(|(first, _)| *first <= index).checked_sub(1)?).copied()
            }
        }
    }

    pub(crate) fn add_frame(&self, first: LeafIndex, at: ByteOffset) {
        match &self.state {
            State::Open { frames } => frames.write().expect("no reader panics with the lock").push((first, at)),
            State::Sealed { .. } => unreachable!("a sealed segment is immutable"),
        }
    }

    /// The leaf hashes of the block that holds a leaf, and the index of the first of them. Only for sealed segments.
    pub(crate) fn leaf_block(&self, index: LeafIndex) -> Result<(LeafIndex, Vec<LeafHash>), SegmentError> {
        let State::Sealed { leaves, leaf_file, .. } = &self.state else {
            unreachable!("leaves of open segments are in memory")
        };
        let (first, range) = leaves.block_of(index).expect("the leaf is in this segment");
        let len = usize::try_from(range.end - range.start).expect("a block has at most 8 KiB");
        let bytes = read_exact(&**leaf_file, range.start, len)?;
        let damaged = |error| SegmentError::Damaged { offset: ByteOffset(range.start), error };
        Ok((first, leaves.decode_block(first, &bytes).map_err(damaged)?))
    }

    /// Leaf hashes of a range that is in this sealed segment.
    pub(crate) fn leaves(&self, first: LeafIndex, count: u64) -> Result<Vec<LeafHash>, SegmentError> {
        let mut out = Vec::new();
        let mut next = first.0;
        while next < first.0 + count {
            let (start, block) = self.leaf_block(LeafIndex(next))?;
            let skip = usize::try_from(next - start.0).expect("below 256");
            let wanted = usize::try_from((first.0 + count - next).min(LEAF_BLOCK)).expect("at most 256");
            out.extend(block.iter().skip(skip).take(wanted));
            next = start.0 + block.len() as u64;
        }
        Ok(out)
    }

    /// Everything of a frame but its payloads.
    pub(crate) fn frame_index(&self, at: ByteOffset) -> Result<FrameIndex, SegmentError> {
        let damaged = |error| SegmentError::Damaged { offset: at, error };
        let header = self.frame_header(at)?;
        let bytes = read_exact(&*self.file, at.0, header.index_len())?;
        FrameIndex::decode(&bytes).map_err(damaged)
    }

    fn frame_header(&self, at: ByteOffset) -> Result<FrameHeader, SegmentError> {
        let bytes = read_exact(&*self.file, at.0, FRAME_HEADER_LEN)?;
        FrameHeader::decode(&bytes).map_err(|error| SegmentError::Damaged { offset: at, error })
    }

    /// The checkpoint a frame states, unverified; `None` when it cannot be read.
    pub(crate) fn frame_checkpoint(&self, at: ByteOffset, origin: &Origin) -> Option<SignedCheckpoint> {
        let header = self.frame_header(at).ok()?;
        let bytes = read_exact(&*self.file, at.0, header.frame_len).ok()?;
        let frame = Frame::decode_ignoring_checksum(&bytes).ok()?;
        recovery::checkpoint_of(frame.commit(), origin)
    }

    /// Index behind the last receipt of a frame.
    pub(crate) fn frame_end(&self, at: ByteOffset) -> Result<LeafIndex, SegmentError> {
        Ok(self.frame_header(at)?.end().next_index())
    }

    /// True when a frame has receipts of a stream.
    pub(crate) fn frame_mentions(&self, at: ByteOffset, stream: &StreamName) -> Result<bool, SegmentError> {
        let header = self.frame_header(at)?;
        let bytes = read_exact(&*self.file, at.0, header.names_end())?;
        FrameIndex::mentions(&bytes, stream).map_err(|error| SegmentError::Damaged { offset: at, error })
    }
}

/// Reads the header of a segment file.
pub(crate) fn read_header(file: &dyn DiskFile) -> Result<SegmentHeader, SegmentError> {
    let bytes = read_exact(file, 0, SEGMENT_HEADER_LEN)?;
    SegmentHeader::decode(&bytes).map_err(|error| SegmentError::Damaged { offset: ByteOffset(0), error })
}

/// Reads the footer of a sealed segment file.
pub(crate) fn read_footer(file: &dyn DiskFile) -> Result<(SegmentFooter, ByteOffset), SegmentError> {
    let len = file.len()?;
    let trailer_at = len.saturating_sub(FOOTER_TRAILER_LEN as u64);
    let not_sealed =
        |rule| SegmentError::Damaged { offset: ByteOffset(trailer_at), error: FormatError::NotCanonical { rule } };
    let trailer = read_exact(file, trailer_at, FOOTER_TRAILER_LEN)?;
    let trailer = trailer.as_slice().try_into().expect("read_exact returns as many bytes as asked for");
    let at = SegmentFooter::locate(trailer).ok_or(not_sealed("a sealed segment ends in a trailer"))?;
    let len = usize::try_from(len.checked_sub(at.0).ok_or(not_sealed("the footer is in the file"))?)
        .map_err(|_| not_sealed("the footer is in the file"))?;
    let bytes = read_exact(file, at.0, len)?;
    let footer = SegmentFooter::decode(&bytes, at).map_err(|error| SegmentError::Damaged { offset: at, error })?;
    Ok((footer, at))
}

/// Opens the leaf file of a sealed segment and reads its head.
pub(crate) fn open_leaf_file(
    disk: &dyn Disk,
    id: SegmentId,
    generation: Generation,
) -> Result<(LeafFileHead, Arc<dyn DiskFile>), SegmentError> {
    let file = disk.open(&leaves_path(id, generation), false)?;
    let damaged = |error| SegmentError::Damaged { offset: ByteOffset(0), error };
    let preamble = read_exact(&*file, 0, counterfoil_format::PREAMBLE_LEN)?;
    let ShortPreamble(len) = ShortPreamble::decode(&preamble).map_err(damaged)?;
    if len as u64 > file.len()? {
        return Err(damaged(FormatError::Truncated));
    }
    let head = LeafFileHead::decode(&read_exact(&*file, 0, len)?).map_err(damaged)?;
    if head.id != id || head.generation != generation || file.len()? != head.len() + head.count * 32 {
        return Err(damaged(FormatError::NotCanonical { rule: "the leaf file belongs to its segment" }));
    }
    Ok((head, file))
}

/// Reads on from `at` in steps and says whether everything is zero; if not, where the first and the end of the last
/// nonzero byte are.
pub(crate) fn nonzero_span(file: &dyn DiskFile, at: ByteOffset) -> io::Result<Option<(ByteOffset, ByteOffset)>> {
    const STEP: usize = 1 << 20;
    let mut buffer = vec![0; STEP];
    let mut offset = at.0;
    let mut span: Option<(ByteOffset, ByteOffset)> = None;
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 {
            return Ok(span);
        }
        if let Some((first, last)) = nonzero_ends(&buffer[..read]) {
            let begin = span.map_or(ByteOffset(offset + first as u64), |(begin, _)| begin);
            span = Some((begin, ByteOffset(offset + last as u64 + 1)));
        }
        offset += read as u64;
    }
}

/// Positions of the first and the last nonzero byte. Whole blocks are compared, which is as fast as memory: opening looks
/// at every byte prepared for a segment.
fn nonzero_ends(bytes: &[u8]) -> Option<(usize, usize)> {
    const BLOCK: [u8; 4096] = [0; 4096];
    let is_nonzero = |block: &[u8]| *block != BLOCK[..block.len()];
    let first_block = bytes.chunks(BLOCK.len()).position(is_nonzero)? * BLOCK.len();
    let last_block = bytes.chunks(BLOCK.len()).rposition(is_nonzero)? * BLOCK.len();
    let first = bytes[first_block..].iter().position(|byte| *byte != 0)?;
    let last = bytes[last_block..].iter().take(BLOCK.len()).rposition(|byte| *byte != 0)?;
    Some((first_block + first, last_block + last))
}

/// A frame padded with zeros to where the next one begins.
pub(crate) fn pad(mut frame: Vec<u8>) -> Vec<u8> {
    let len = frame.len().next_multiple_of(usize::try_from(FRAME_ALIGN).expect("4096"));
    frame.resize(len, 0);
    frame
}
