//! What callers hand in and get back.

use bytes::Bytes;
use core::time::Duration;
use counterfoil_proof::{
    CommitmentAlgorithm, Envelope, InclusionFile, Kind, LeafHash, LeafIndex, Link, Media, NameError, Origin, Salt,
    StreamName, StreamSeq, Subject, Timestamp, TreeSize, TrustPolicy, VerifiedCheckpoint, VerifierKey,
};

/// Where to connect, and whom to believe.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// URL of the server, `http://HOST:PORT`.
    pub server: String,
    /// Name of the ledger on that server.
    pub ledger: String,
    /// How long one call may take, its retries included; for a stream of batches, how long an answer may take.
    pub timeout: Duration,
    /// Whose checkpoints are believed. `None` believes the key the server states, which proves nothing about the
    /// server itself; [`crate::Client::trust_is_self_asserted`] says so.
    pub trust: Option<TrustPolicy>,
}

impl Default for ConnectOptions {
    /// Ledger `main` at `http://127.0.0.1:7807`, 10 seconds, no trust from outside.
    fn default() -> Self {
        Self {
            server: "http://127.0.0.1:7807".into(),
            ledger: counterfoil_api::DEFAULT_LEDGER.into(),
            timeout: Duration::from_secs(10),
            trust: None,
        }
    }
}

/// What never changes about a ledger, as the server states it, and what the server accepts.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the ledger on its server.
    pub ledger: String,
    /// Leaf hash of index 0. Names can be reused, ids cannot.
    pub ledger_id: LeafHash,
    /// Its name in its checkpoints.
    pub origin: Origin,
    /// Key of its checkpoints.
    pub key: VerifierKey,
    /// How payloads are committed to.
    pub commitment: CommitmentAlgorithm,
    /// What the server accepts in one batch.
    pub limits: BatchLimits,
}

/// What a server accepts in one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Largest payload of one receipt.
    pub payload_bytes_max: usize,
    /// Most receipts in one batch.
    pub batch_receipts_max: usize,
    /// Most bytes of stored records in one batch; compare with the sum of [`NewReceipt::stored_bytes_max`].
    pub batch_bytes_max: usize,
    /// Most receipts in one batch that asks for proofs.
    pub proofs_max: usize,
}

/// 16 random bytes that name a request or a session, so that sending it twice appends it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchId(pub [u8; 16]);

/// One receipt to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReceipt {
    /// Stream to append to. Its name stays in the ledger for ever: no personal data.
    pub stream: StreamName,
    /// Kind of the receipt.
    pub kind: Kind,
    /// Name of the retention class; `None` means `forever`.
    pub class: Option<String>,
    /// What the payload bytes are; JSON and text are checked by the ledger.
    pub media: Media,
    /// The payload.
    pub payload: Bytes,
    /// Data subject.
    pub subject: Option<Subject>,
    /// Causes among the receipts of earlier batches.
    pub links: Vec<Link>,
    /// No receipt may follow in this stream.
    pub closes_stream: bool,
    /// Number of receipts the stream must hold before this batch; 0 asks for a new stream.
    pub expected_stream_seq: Option<StreamSeq>,
}

impl NewReceipt {
    /// A receipt with a JSON payload and nothing unusual about it. The public fields say the rest.
    ///
    /// # Errors
    /// [`NameError`] when the stream or the kind breaks its rules.
    pub fn json(stream: &str, kind: &str, payload: impl Into<Bytes>) -> Result<Self, NameError> {
        Ok(Self::new(StreamName::new(stream)?, Kind::new(kind)?, Media::Json, payload.into()))
    }

    /// A receipt with nothing unusual about it. The public fields say the rest.
    #[must_use]
    pub fn new(stream: StreamName, kind: Kind, media: Media, payload: Bytes) -> Self {
        Self {
            stream,
            kind,
            class: None,
            media,
            payload,
            subject: None,
            links: Vec::new(),
            closes_stream: false,
            expected_stream_seq: None,
        }
    }

    /// At most this many bytes are stored for this receipt, to be compared with [`BatchLimits::batch_bytes_max`].
    #[must_use]
    pub fn stored_bytes_max(&self) -> usize {
        const RECORD: usize = 512;
        const LINK: usize = 40;
        self.payload.len() + self.links.len() * LINK + RECORD
    }
}

/// How to append one batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct AppendOptions {
    /// True to get, and check, an inclusion proof for each receipt.
    pub with_proofs: bool,
    /// Name of the request; `None` takes fresh random bytes. State it to send the same batch again after a process
    /// died or a call timed out.
    pub request_id: Option<BatchId>,
}

/// The checked answer to a batch: it is durable, chained and signed.
#[derive(Clone, Debug)]
pub struct Appended {
    /// One entry for each receipt of the batch, in order, with consecutive indices.
    pub receipts: Vec<AppendedReceipt>,
    /// Time the sequencer gave all of them.
    pub time: Timestamp,
    /// The checkpoint that covers them.
    pub checkpoint: VerifiedCheckpoint,
    /// With `with_proofs`, one proof for each receipt, against `checkpoint`; else empty.
    pub proofs: Vec<InclusionFile>,
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

/// A receipt as read: its envelope leads to its leaf hash, and its commitment opens to its payload.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The envelope.
    pub envelope: Envelope,
    /// Its canonical bytes.
    pub envelope_bytes: Bytes,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// Name of its retention class. The envelope carries the id; the name is what the server says.
    pub class: String,
    /// The payload with its salt; `None` once it is erased.
    pub content: Option<Content>,
}

/// A payload with its salt.
#[derive(Clone, Debug)]
pub struct Content {
    /// The salt.
    pub salt: Salt,
    /// The payload.
    pub payload: Bytes,
}

/// Which receipts to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// The whole ledger, from a leaf index on.
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

/// One page of receipts, each chained to the one before.
#[derive(Clone, Debug)]
pub struct Page {
    /// The receipts, in order.
    pub receipts: Vec<Receipt>,
    /// Asks for the next page; `None` at the end of what is published.
    pub next: Option<NextPage>,
}

/// Where the next page begins, and what its first receipt must follow.
#[derive(Clone, Debug)]
pub struct NextPage {
    pub(crate) token: String,
    pub(crate) position: u64,
    pub(crate) previous: Option<LeafHash>,
}

/// What a ledger says about itself.
#[derive(Clone, Debug)]
pub struct Status {
    /// The latest published checkpoint.
    pub checkpoint: VerifiedCheckpoint,
    /// Tree size that is known durable from the disk alone.
    pub durable_mark: TreeSize,
    /// Time of the last receipt.
    pub last_time: Timestamp,
    /// Number of streams, the control stream included.
    pub streams: u64,
    /// Number of control receipts.
    pub control_receipts: u64,
    /// Segments, oldest first.
    pub segments: Vec<Segment>,
    /// Batches waiting for the sequencer.
    pub queue_batches: u64,
    /// What the ledger can do now.
    pub health: Health,
    /// How the catalog is, from which streams are listed.
    pub catalog: CatalogStatus,
}

/// How the catalog of a ledger is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CatalogStatus {
    /// None is kept.
    Off,
    /// It is kept in the background.
    Kept {
        /// Size of the tree whose receipts it knows.
        taken_in: TreeSize,
    },
    /// It stopped. The ledger does without.
    Failed {
        /// Why, in the server's words.
        cause: String,
    },
}

/// One segment of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
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

impl Health {
    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Writable => "writable",
            Self::ReadOnly => "read-only",
            Self::Poisoned => "poisoned",
        }
    }
}
