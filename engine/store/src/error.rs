//! Errors, one enum for each operation, their variants sorted by who must act.

use core::time::Duration;
use counterfoil_proof::{LeafHash, LeafIndex, Link, NameError, StreamName, StreamSeq, TreeSize};
use std::io;

/// Why a batch was not appended. Nothing of it is in the ledger, except after [`AppendError::Poisoned`], where it may
/// be found after reopening.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Caller: the batch holds no receipt.
    #[error("the batch is empty; send at least one receipt")]
    Empty,
    /// Caller: too many receipts in one batch.
    #[error("{found} receipts are more than the {max} of one batch; send smaller batches")]
    TooManyReceipts {
        /// Receipts allowed.
        max: usize,
        /// Receipts found.
        found: usize,
    },
    /// Caller: too many bytes in one batch.
    #[error("{found} bytes are more than the {max} of one batch; send smaller batches")]
    BatchTooLarge {
        /// Bytes allowed.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// Caller: one receipt breaks a rule of its own.
    #[error("receipt {at} of the batch: {problem}")]
    Receipt {
        /// 0-based position in the batch.
        at: usize,
        /// Which rule.
        problem: ReceiptProblem,
    },
    /// Caller, refused: the stream is closed.
    #[error("receipt {at} of the batch: stream {stream} was closed by its receipt {closed_at}; use another stream")]
    StreamClosed {
        /// 0-based position in the batch.
        at: usize,
        /// The stream.
        stream: StreamName,
        /// Position of the closing receipt in the stream.
        closed_at: StreamSeq,
    },
    /// Caller, refused: another writer was first.
    #[error("stream {stream} holds {actual} receipts, not {expected}; read it and decide again")]
    LostRace {
        /// The stream.
        stream: StreamName,
        /// Receipts the caller expected.
        expected: StreamSeq,
        /// Receipts there are.
        actual: StreamSeq,
        /// Leaf hash of the last of them, unless the stream is new.
        head: Option<LeafHash>,
    },
    /// Caller: the same batch id was used for other content.
    #[error("this request id was used before with other content; use a new id for a new batch")]
    IdReused,
    /// Caller, refused: an earlier batch of the same session was refused, and this one would leave a hole.
    #[error("batch {number} of this session was refused; send it again before the ones behind it")]
    EarlierBatchRefused {
        /// Number of the batch that has to come first.
        number: u64,
    },
    /// Retry: too much is waiting.
    #[error("too much is waiting to be written; try again in {} ms", retry_after.as_millis())]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// Operator, retry later: no space left on the disk.
    #[error("the disk is full; the ledger stays readable, appends work again when there is space")]
    DiskFull {
        /// When to try again.
        retry_after: Duration,
    },
    /// Operator: the ledger was opened for reading only.
    #[error("this ledger is open for reading only")]
    ReadOnly,
    /// Operator: a write or sync failed earlier.
    #[error("an earlier write or sync failed ({cause}); reopen the ledger, recovery decides what became durable")]
    Poisoned {
        /// Text of the first failure.
        cause: std::sync::Arc<io::Error>,
    },
    /// Operator: what the ledger holds already and the batch depends on could not be read.
    #[error("nothing was appended, because what the batch depends on could not be read: {cause}")]
    Unreadable {
        /// Why.
        cause: std::sync::Arc<ReadError>,
    },
    /// Operator: the batch is durable, but a proof asked for could not be read.
    #[error("the batch is durable, but its proofs could not be read: {cause}")]
    ProofUnavailable {
        /// Why.
        cause: std::sync::Arc<ReadError>,
    },
    /// Operator: a segment was closed for writing, but its footer could not be written.
    #[error(
        "the segment takes no more receipts, but sealing it failed ({cause}); it is sealed once there is space, or when the \
         ledger is reopened"
    )]
    NotSealed {
        /// What the system said.
        cause: std::sync::Arc<io::Error>,
    },
    /// Operator: the ledger is closing.
    #[error("the ledger is closing")]
    Closing,
}

/// What is wrong with one receipt of a batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReceiptProblem {
    /// The stream or kind is reserved for the ledger itself.
    #[error("the stream `ledger` and kinds `ledger.*` are reserved for control receipts")]
    Reserved,
    /// No class has this id.
    #[error("retention class {0} does not exist; use `forever` or define the class first")]
    UnknownClass(u32),
    /// The payload is larger than allowed.
    #[error("its payload has {found} bytes, {max} are allowed; raise payload_bytes_max or store the payload elsewhere")]
    PayloadTooLarge {
        /// Bytes allowed.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// The payload is not what its media type says.
    #[error("its payload is not valid {media}")]
    Media {
        /// Name of the media type.
        media: &'static str,
    },
    /// Too many links.
    #[error("{found} links are more than the 16 allowed")]
    TooManyLinks {
        /// Links found.
        found: usize,
    },
    /// A link does not name a receipt of an earlier batch.
    #[error("its link to index {} with leaf hash {} names no receipt of this ledger", .0.index, .0.leaf)]
    UnknownLink(Link),
    /// A name breaks its rules.
    #[error("its {field} {error}")]
    Name {
        /// Name of the field.
        field: &'static str,
        /// Which rule.
        error: NameError,
    },
}

/// Why a read has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Caller: the index is not published.
    #[error("there is no receipt {index}; the ledger holds {size}")]
    UnknownIndex {
        /// Index asked for.
        index: LeafIndex,
        /// Size published.
        size: TreeSize,
    },
    /// Caller: no receipt in this stream.
    #[error("there is no stream {stream}")]
    UnknownStream {
        /// Stream asked for.
        stream: StreamName,
    },
    /// Caller: the page token is that of another stream.
    #[error("receipt {index} is not of stream {stream}; use a page token with the stream it came from")]
    OtherStream {
        /// Stream asked for.
        stream: StreamName,
        /// Where the page should have begun.
        index: LeafIndex,
    },
    /// Caller: a tree of this size was not published.
    #[error("a tree of size {asked} is not published; the ledger holds {size}")]
    UnknownSize {
        /// Size asked for.
        asked: TreeSize,
        /// Size published.
        size: TreeSize,
    },
    /// Operator: stored bytes do not lead to the leaf hash.
    #[error(
        "receipt {index} is damaged in segment {segment} at offset {offset}: {what}; run counterfoil-verify on the directory"
    )]
    Corrupt {
        /// The receipt.
        index: LeafIndex,
        /// First index of the segment.
        segment: LeafIndex,
        /// Byte offset in its file.
        offset: u64,
        /// Which check failed.
        what: &'static str,
    },
    /// Operator: the disk failed.
    #[error("reading segment {segment} failed")]
    Io {
        /// First index of the segment.
        segment: LeafIndex,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
