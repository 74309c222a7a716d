//! What callers hand in and get back.

use crate::catalog::CatalogStatus;
use bytes::Bytes;
use core::time::Duration;
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Envelope, InclusionProof, Kind, LeafHash, LeafIndex, Link, Media, Origin, Principal,
    Salt, SignedCheckpoint, StreamName, StreamSeq, Subject, Timestamp, TreeSize, VerifierKey,
};

/// Limits of one ledger. The defaults are those of the documentation.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Largest payload of one receipt.
    pub payload_bytes_max: usize,
    /// Most receipts in one batch.
    pub batch_receipts_max: usize,
    /// Most bytes of stored records in one batch.
    pub batch_bytes_max: usize,
    /// Most batches waiting for the sequencer.
    pub queue_batches_max: usize,
    /// Most bytes of batches waiting for the sequencer.
    pub queue_bytes_max: usize,
    /// A segment is sealed once it holds this many bytes.
    pub segment_bytes_max: u64,
    /// A segment is sealed once it holds this many receipts. What is kept in memory of a segment that is not sealed, and
    /// the time that opening takes, grow with it.
    pub segment_receipts_max: u64,
    /// Streams kept in memory although indexes could find them, about 200 bytes each. Appending to a stream that is not
    /// there costs a lookup.
    pub stream_heads_max: usize,
}

/// `payload_bytes_max` may be set up to this.
pub const PAYLOAD_BYTES_CEILING: usize = 15 * 1024 * 1024;

impl Limits {
    /// What limits may be set to: what a frame can hold.
    pub const CEILINGS: Self = Self {
        payload_bytes_max: PAYLOAD_BYTES_CEILING,
        batch_receipts_max: 10_000,
        batch_bytes_max: 16 * 1024 * 1024,
        queue_batches_max: 1 << 20,
        queue_bytes_max: 1 << 40,
        segment_bytes_max: 1 << 40,
        segment_receipts_max: 1 << 24,
        stream_heads_max: 1 << 30,
    };

    /// The first limit that is above its ceiling, with that ceiling; `None` when all are fine.
    #[must_use]
    pub fn above_ceiling(&self) -> Option<(&'static str, u64)> {
        let ceilings = Self::CEILINGS;
        let checks = [
            (
                "payload_bytes_max",
                self.payload_bytes_max > ceilings.payload_bytes_max,
                ceilings.payload_bytes_max as u64,
            ),
            (
                "batch_receipts_max",
                self.batch_receipts_max > ceilings.batch_receipts_max,
                ceilings.batch_receipts_max as u64,
            ),
            ("batch_bytes_max", self.batch_bytes_max > ceilings.batch_bytes_max, ceilings.batch_bytes_max as u64),
            (
                "queue_batches_max",
                self.queue_batches_max > ceilings.queue_batches_max,
                ceilings.queue_batches_max as u64,
            ),
            ("queue_bytes_max", self.queue_bytes_max > ceilings.queue_bytes_max, ceilings.queue_bytes_max as u64),
            ("segment_bytes_max", self.segment_bytes_max > ceilings.segment_bytes_max, ceilings.segment_bytes_max),
            (
                "segment_receipts_max",
                self.segment_receipts_max > ceilings.segment_receipts_max,
                ceilings.segment_receipts_max,
            ),
            ("stream_heads_max", self.stream_heads_max > ceilings.stream_heads_max, ceilings.stream_heads_max as u64),
        ];
        checks.into_iter().find(|(_, above, _)| *above).map(|(name, _, ceiling)| (name, ceiling))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            payload_bytes_max: 1024 * 1024,
            batch_receipts_max: 10_000,
            batch_bytes_max: 16 * 1024 * 1024,
            queue_batches_max: 1024,
            queue_bytes_max: 64 * 1024 * 1024,
            segment_bytes_max: 128 * 1024 * 1024,
            segment_receipts_max: 131_072,
            stream_heads_max: 1 << 20,
        }
    }
}

/// A named root principal of a new ledger.
#[derive(Clone, Debug)]
pub struct RootPrincipal {
    /// The principal's verifier key; its name is the principal.
    pub key: VerifierKey,
}

/// What a new ledger is to be.
#[derive(Clone, Debug)]
pub struct NewLedger {
    /// Its name in its checkpoints.
    pub origin: Origin,
    /// How payloads are committed to.
    pub commitment: CommitmentAlgorithm,
    /// Who may grant roles. Empty: the ledger never has an authority.
    pub roots: Vec<RootPrincipal>,
    /// How many root principals must sign; `None`: two when two or more are named, else one.
    pub root_threshold: Option<usize>,
    /// How long after its second signature a hold's release counts for an erasure.
    pub release_delay: Duration,
}

/// What never changes about a ledger.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// Key of its checkpoints, whose name is the origin.
    pub checkpoint_key: VerifierKey,
    /// How payloads are committed to.
    pub commitment: CommitmentAlgorithm,
}

/// Names a batch so that sending it twice appends it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchId {
    /// A random id of one request.
    Request([u8; 16]),
    /// A random id of one stream of batches, and the number of the batch in it.
    Session {
        /// The session.
        session: [u8; 16],
        /// The batch in it.
        number: u64,
    },
}

/// Receipts that are appended together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Who appends: the authenticated principal.
    pub writer: Principal,
    /// The name of the batch, if it can be sent twice.
    pub id: Option<BatchId>,
    /// The receipts, in order.
    pub receipts: Vec<NewReceipt>,
    /// True to answer with an inclusion proof for each receipt.
    pub with_proofs: bool,
}

/// One receipt to append.
#[derive(Clone, Debug)]
pub struct NewReceipt {
    /// Stream to append to.
    pub stream: StreamName,
    /// Kind of the receipt.
    pub kind: Kind,
    /// Retention class.
    pub class: ClassId,
    /// What the payload bytes are; JSON and text are checked.
    pub media: Media,
    /// The payload.
    pub payload: Bytes,
    /// Data subject.
    pub subject: Option<Subject>,
    /// Causes among the receipts of earlier batches.
    pub links: Vec<Link>,
    /// No receipt may follow in this stream.
    pub closes_stream: bool,
    /// Number of receipts the stream must hold before this batch; 0 for a new stream.
    pub expected_stream_seq: Option<StreamSeq>,
}

impl NewReceipt {
    /// Most bytes its stored record takes; the sum over a batch counts against [`Limits::batch_bytes_max`].
    #[must_use]
    pub fn stored_bytes_max(&self) -> usize {
        /// A record beside payload and links, names included.
        const RECORD: usize = 512;
        const LINK: usize = 40;
        self.payload.len() + self.links.len() * LINK + RECORD
    }
}

impl Batch {
    /// Most bytes its stored records take.
    #[must_use]
    pub fn stored_bytes_max(&self) -> usize {
        self.receipts.iter().map(NewReceipt::stored_bytes_max).sum()
    }
}

/// The answer to a batch: durable, chained and signed.
#[derive(Clone, Debug)]
pub struct Appended {
    /// One entry for each receipt of the batch, in order.
    pub receipts: Vec<AppendedReceipt>,
    /// Time the sequencer gave all of them.
    pub time: Timestamp,
    /// The checkpoint that covers them.
    pub checkpoint: SignedCheckpoint,
    /// With `with_proofs`, one proof for each receipt, against `checkpoint`; else empty.
    pub proofs: Vec<InclusionProof>,
}

/// Where one receipt of a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedReceipt {
    /// Position in the ledger.
    pub index: LeafIndex,
    /// Position in its stream.
    pub stream_seq: StreamSeq,
    /// Leaf hash of its envelope.
    pub leaf: LeafHash,
}

/// A receipt as read, recomputed against its leaf hash.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The envelope.
    pub envelope: Envelope,
    /// Its leaf hash, which is the one in the tree.
    pub leaf: LeafHash,
    /// The payload with its salt; `None` once it is erased.
    pub content: Option<Content>,
}

/// A payload with its salt. Its commitment was recomputed.
#[derive(Clone, Debug)]
pub struct Content {
    /// The salt.
    pub salt: Salt,
    /// The payload.
    pub payload: Bytes,
}

/// Which receipts to read.
#[derive(Clone, Debug)]
pub enum Selection {
    /// From a leaf index on.
    Ledger {
        /// First leaf index.
        from: LeafIndex,
    },
    /// One stream, from a position in it on.
    Stream {
        /// The stream.
        stream: StreamName,
        /// First position in it.
        from: StreamSeq,
    },
}

/// One page of receipts.
#[derive(Clone, Debug)]
pub struct Page {
    /// The receipts, in order.
    pub receipts: Vec<Receipt>,
    /// Where the next page begins; `None` at the end of what is published.
    pub next: Option<Cursor>,
}

/// Where to continue reading: the leaf index to look at next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor(pub LeafIndex);

/// What a ledger says about itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// The latest published checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// Tree size known durable by HEAD or by a frame's mark.
    pub durable_mark: TreeSize,
    /// Time of the last receipt.
    pub last_time: Timestamp,
    /// Number of streams, the control stream included.
    pub streams: u64,
    /// Number of control receipts.
    pub control_receipts: u64,
    /// Segments, oldest first.
    pub segments: Vec<SegmentStatus>,
    /// Batches waiting for the sequencer, or with it.
    pub queue_batches: usize,
    /// Work in the background that was begun or waits: segments to seal, zeros to write ahead, stream
    /// indexes to merge.
    pub background_jobs: usize,
    /// What the ledger can do now.
    pub health: Health,
    /// How the catalog is.
    pub catalog: CatalogStatus,
}

/// One segment of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentStatus {
    /// Index of its first receipt.
    pub first: LeafIndex,
    /// Receipts published in it.
    pub receipts: u64,
    /// Bytes used in its file.
    pub bytes: u64,
    /// True once it is immutable.
    pub sealed: bool,
}

/// What a ledger can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It appends and reads.
    Writable,
    /// It was opened for reading only.
    ReadOnly,
    /// A write or sync failed: it reads, and must be reopened to append.
    Poisoned,
}
