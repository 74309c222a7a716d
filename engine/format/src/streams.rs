//! Stream indexes: where the receipts of each stream stand in consecutive sealed segments. Derived, rebuildable from
//! the segments.
//!
//! A file is blocks ‖ directory ‖ trailer. Blocks hold records sorted by stream name and first `stream_seq`; the
//! directory has for each block its digest, its first record and a filter over its names; the trailer says where the
//! directory begins. The bytes follow from the receipts covered alone, so merging two indexes gives what building the
//! merged one directly gives.

mod block;
mod builder;
mod directory;
mod filter;

pub(crate) use block::decode as decode_records;
pub use builder::{StreamIndexBuilder, StreamIndexEnd};
pub use directory::StreamDirectory;

use counterfoil_proof::{LeafIndex, STREAM_LEN_MAX, StreamName, StreamSeq, TreeSize};

/// A block is closed after the record with which it has at least this many bytes.
pub const STREAM_BLOCK_TARGET: usize = 16_384;
/// Longest block in bytes: less than the target, and the longest record.
pub const STREAM_BLOCK_LEN_MAX: usize = 20_480;
/// Positions of a record, the last one of a stream excepted.
pub const STREAM_RECORD_POSITIONS: usize = 256;
/// Longest directory in bytes.
pub const STREAM_DIRECTORY_LEN_MAX: usize = 512 * 1024 * 1024;
/// Bytes at the very end of a stream index that say where its directory begins.
pub const STREAM_TRAILER_LEN: usize = 16;
/// Two lengths and a name, the first `stream_seq`, the number of positions, the positions.
const RECORD_LEN_MAX: usize = 2 * 2 + STREAM_LEN_MAX + 10 + 2 + STREAM_RECORD_POSITIONS * 10;
const _: () = assert!(STREAM_BLOCK_TARGET - 1 + RECORD_LEN_MAX <= STREAM_BLOCK_LEN_MAX, "every block fits");

/// Up to 256 consecutive receipts of one stream.
///
/// | bytes | field |
/// |---|---|
/// | varint | bytes shared with the name in the record before it in this block, 0 for the first |
/// | varint | length of the rest of the name |
/// | … | rest of the name |
/// | varint | `stream_seq` of the first receipt |
/// | varint | number of receipts, 1–256 |
/// | varint | index of the first receipt, less the first index of the file |
/// | varint each | index of each further receipt, less the index before it |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// The stream.
    pub stream: StreamName,
    /// Place in the stream of the first receipt.
    pub first_seq: StreamSeq,
    /// Where the receipts stand in the ledger, ascending.
    pub positions: Vec<LeafIndex>,
}

impl StreamRecord {
    /// Place in the stream of the receipt that follows this record.
    fn next_seq(&self) -> StreamSeq {
        StreamSeq(self.first_seq.0 + self.positions.len() as u64)
    }
}

/// `<20-digit first index>-<20-digit end>.streams`
#[must_use]
pub fn stream_index_file_name(first: LeafIndex, end: TreeSize) -> String {
    format!("{:020}-{:020}.streams", first.0, end.0)
}

/// Reads the name of a stream index; `None` for any other name.
#[must_use]
pub fn parse_stream_index_file_name(name: &str) -> Option<(LeafIndex, TreeSize)> {
    let (first, end) = name.strip_suffix(".streams")?.split_once('-')?;
    let found = (LeafIndex(first.parse().ok()?), TreeSize(end.parse().ok()?));
    (stream_index_file_name(found.0, found.1) == name).then_some(found)
}

#[cfg(test)]
mod tests;
