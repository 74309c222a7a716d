//! Every byte the ledger stores: frames, segment headers and footers, leaf files, stream indexes, HEAD, the manifest
//! and single receipts.
//!
//! Encoding and decoding, limits, and nothing else. **What it is not**: it opens no file; where a byte lies in a file is
//! said here, when it is written is the engine's business.
//!
//! *Invariants*: this crate is the only home of an offset or a magic; `decode(encode(x)) == x`; any accepted bytes are
//! the ones `encode` would write; every length is bounded before memory is taken; integers are little-endian. The
//! layout tables stand on the types, and a test compares them with docs/format.md.

mod bundle;
mod error;
pub mod frame;
pub mod fuzzing;
mod head;
mod leaves;
mod manifest;
mod receipt;
mod record;
mod segment;
mod streams;
mod ustar;
mod varint;

pub use bundle::{
    BUNDLE_CHUNK_TARGET, BUNDLE_CONSISTENCY_MAX, BUNDLE_HEAD_LEN_MAX, BundleEntry, FORMAT_DOCUMENT,
    FORMAT_DOCUMENT_LEN_MAX, PROOF_RECORD_LEN_MAX, ProofRecord,
};
pub use error::FormatError;
pub use head::{HEAD_FILE_LEN, HEAD_SLOT_LEN, HeadSlot, newest_slot};
pub use leaves::{LEAF_BLOCK, LeafFile, LeafFileHead, NODE_LEVEL, ShortPreamble};
pub use manifest::{Manifest, ManifestEntry, SegmentState, StreamIndexEntry};
pub use receipt::{RECEIPT_RECORD_LEN_MAX, ReceiptRecord};
pub use record::{PREAMBLE_LEN, declared_len};
pub use segment::{
    FOOTER_TRAILER_LEN, Generation, SEGMENT_HEADER_LEN, SegmentFooter, SegmentHeader, SegmentId, leaves_file_name,
    parse_segment_file_name, segment_file_name,
};
pub use streams::{
    STREAM_BLOCK_LEN_MAX, STREAM_BLOCK_TARGET, STREAM_DIRECTORY_LEN_MAX, STREAM_RECORD_POSITIONS, STREAM_TRAILER_LEN,
    StreamDirectory, StreamIndexBuilder, StreamIndexEnd, StreamRecord, parse_stream_index_file_name,
    stream_index_file_name,
};
pub use ustar::{TAR_BLOCK, TAR_END_LEN, TAR_ENTRY_LEN_MAX, TAR_NAME_LEN_MAX, TarHeader};

/// Frames, footers and recovered tails begin at multiples of this, so that no write touches a sector that holds an
/// earlier frame.
pub const FRAME_ALIGN: u64 = 4096;

/// Byte position in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteOffset(pub u64);

impl ByteOffset {
    /// The next position at which a frame may begin.
    #[must_use]
    pub fn align_up(self) -> Self {
        Self(self.0.next_multiple_of(FRAME_ALIGN))
    }

    /// The position `len` bytes later.
    #[must_use]
    pub fn plus(self, len: u64) -> Self {
        Self(self.0 + len)
    }
}

impl core::fmt::Display for ByteOffset {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}
