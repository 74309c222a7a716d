//! Segments as readers see them.

use crate::disk::{DiskFile, read_exact};
use crate::recovery;
use crate::sealed::Sealed;
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameIndex};
use counterfoil_format::{
    ByteOffset, FOOTER_TRAILER_LEN, FRAME_ALIGN, FormatError, Generation, SEGMENT_HEADER_LEN, SegmentFooter,
    SegmentHeader, SegmentId, leaves_file_name, segment_file_name,
};
use counterfoil_proof::{LeafIndex, Origin, SignedCheckpoint, TreeSize};
use std::io;
use std::sync::{Arc, RwLock};

pub(crate) const FOLDER: &str = "segments";

/// A segment that can be read.
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) generation: Generation,
    pub(crate) state: State,
}

/// How a segment is read.
pub(crate) enum State {
    /// Frames are added, or the footer is being written.
    Open {
        file: Arc<dyn DiskFile>,
        /// Published frames, ascending.
        frames: RwLock<Vec<(LeafIndex, ByteOffset)>>,
    },
    /// Immutable, with a leaf file; opened when it is first read.
    Sealed(Sealed),
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

/// For whoever only says that it failed.
pub(crate) fn into_io(error: SegmentError) -> io::Error {
    match error {
        SegmentError::Io(error) => error,
        SegmentError::Damaged { error, .. } => io::Error::new(io::ErrorKind::InvalidData, error),
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
        Self { id, generation, state: State::Open { file, frames: RwLock::new(Vec::new()) } }
    }

    /// The file that frames are written to. Only for open segments.
    pub(crate) fn open_file(&self) -> &Arc<dyn DiskFile> {
        match &self.state {
            State::Open { file, .. } => file,
            State::Sealed(_) => unreachable!("a sealed segment is immutable"),
        }
    }

    /// The leaf hashes and frames of a sealed segment.
    pub(crate) fn sealed(&self) -> &Sealed {
        match &self.state {
            State::Sealed(sealed) => sealed,
            State::Open { .. } => unreachable!("leaves of open segments are in memory"),
        }
    }

    fn file(&self) -> Result<Arc<dyn DiskFile>, SegmentError> {
        match &self.state {
            State::Open { file, .. } => Ok(file.clone()),
            State::Sealed(sealed) => Ok(sealed.parts()?.file.clone()),
        }
    }

    /// Offset and first index of the published frame that holds a receipt.
    pub(crate) fn frame_of(&self, index: LeafIndex) -> Result<(LeafIndex, ByteOffset), SegmentError> {
        let found = match &self.state {
            State::Sealed(sealed) => sealed.parts()?.leaves.frame_of(index),
            State::Open { frames, .. } => {
                let frames = frames.read().expect("no reader panics with the lock");
                let after = frames.partition_point(|(first, _)| *first <= index);
                after.checked_sub(1).and_then(|at| frames.get(at).copied())
            }
        };
        let error = FormatError::NotCanonical { rule: "every receipt of a segment is in a frame" };
        found.ok_or(SegmentError::Damaged { offset: ByteOffset(0), error })
    }

    /// True when a receipt and a later one of the ledger are in one frame of this segment.
    pub(crate) fn shares_frame(&self, index: LeafIndex, later: LeafIndex) -> Result<bool, SegmentError> {
        let end = match &self.state {
            State::Sealed(sealed) => sealed.end,
            State::Open { .. } => TreeSize(u64::MAX),
        };
        Ok(end.contains(later) && self.frame_of(index)? == self.frame_of(later)?)
    }

    pub(crate) fn add_frame(&self, first: LeafIndex, at: ByteOffset) {
        match &self.state {
            State::Open { frames, .. } => frames.write().expect("no reader panics with the lock").push((first, at)),
            State::Sealed(_) => unreachable!("a sealed segment is immutable"),
        }
    }

    /// Everything of a frame but its payloads.
    pub(crate) fn frame_index(&self, at: ByteOffset) -> Result<FrameIndex, SegmentError> {
        frame_index(&*self.file()?, at)
    }

    /// The header of a frame, and as many bytes of the frame as `len` says.
    pub(crate) fn frame_part(
        &self,
        at: ByteOffset,
        len: impl Fn(&FrameHeader) -> usize,
    ) -> Result<(FrameHeader, Vec<u8>), SegmentError> {
        frame_part(&*self.file()?, at, len)
    }

    /// Bytes of a segment's file.
    pub(crate) fn read(&self, at: ByteOffset, len: usize) -> Result<Vec<u8>, SegmentError> {
        Ok(read_exact(&*self.file()?, at.0, len)?)
    }

    /// The bytes of a whole frame.
    pub(crate) fn frame_bytes(&self, at: ByteOffset) -> Result<Vec<u8>, SegmentError> {
        Ok(self.frame_part(at, |header| header.frame_len)?.1)
    }

    /// The checkpoint a frame states, unverified; `None` when it cannot be read.
    pub(crate) fn frame_checkpoint(&self, at: ByteOffset, origin: &Origin) -> Option<SignedCheckpoint> {
        let bytes = self.frame_bytes(at).ok()?;
        let frame = Frame::decode_ignoring_checksum(&bytes).ok()?;
        recovery::checkpoint_of(frame.commit(), origin)
    }
}

fn frame_header(file: &dyn DiskFile, at: ByteOffset) -> Result<FrameHeader, SegmentError> {
    let bytes = read_exact(file, at.0, FRAME_HEADER_LEN)?;
    FrameHeader::decode(&bytes).map_err(|error| SegmentError::Damaged { offset: at, error })
}

/// The header of a frame, and as many bytes of the frame as `len` says.
pub(crate) fn frame_part(
    file: &dyn DiskFile,
    at: ByteOffset,
    len: impl Fn(&FrameHeader) -> usize,
) -> Result<(FrameHeader, Vec<u8>), SegmentError> {
    let header = frame_header(file, at)?;
    let bytes = read_exact(file, at.0, len(&header))?;
    Ok((header, bytes))
}

/// Everything of a frame but its payloads.
pub(crate) fn frame_index(file: &dyn DiskFile, at: ByteOffset) -> Result<FrameIndex, SegmentError> {
    let header = frame_header(file, at)?;
    let bytes = read_exact(file, at.0, header.index_len())?;
    FrameIndex::decode(&bytes).map_err(|error| SegmentError::Damaged { offset: at, error })
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
