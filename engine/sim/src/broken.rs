//! Promises of the engine that a case can see broken.

use counterfoil_audit::AuditError;
use counterfoil_engine::{AppendError, CreateError, ExportError, OpenError, ReadError};
use counterfoil_proof::{LeafIndex, MerkleError, PolicyError, StreamName, TreeSize};
use std::io;

/// A promise of the engine that a case saw broken.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}, boot {boot}: {broken}")]
pub struct Violation {
    /// Seed of the case.
    pub seed: u64,
    /// 0-based process of the case.
    pub boot: usize,
    /// Which promise.
    #[source]
    pub broken: Broken,
}

/// A broken promise.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Creating failed without a fault.
    #[error("creating failed although nothing was wrong")]
    NotCreated(#[source] CreateError),
    /// A ledger that was created, or acknowledged something, is not there any more.
    #[error("the ledger is gone")]
    Gone,
    /// Opening failed after nothing worse than a crash.
    #[error("opening failed although the disk only crashed or failed once: {0}")]
    NotOpened(#[source] OpenError),
    /// A failing call was taken for damage.
    #[error("one failed call was taken for damage: {0}")]
    FaultTakenForDamage(#[source] OpenError),
    /// The ledger has another identity.
    #[error("the ledger has another id or key than it was created with")]
    OtherIdentity,
    /// Fewer receipts than were acknowledged or published.
    #[error("{found} receipts are there, {expected} were acknowledged or published")]
    Lost {
        /// Receipts known.
        expected: u64,
        /// Receipts found.
        found: u64,
    },
    /// A receipt is not what was acknowledged.
    #[error("receipt {index} is not what was acknowledged or published")]
    Changed {
        /// The receipt.
        index: LeafIndex,
    },
    /// A receipt cannot be read.
    #[error("receipt {index} cannot be read")]
    Unreadable {
        /// The receipt.
        index: LeafIndex,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// An export failed without a fault.
    #[error("exporting failed although nothing was wrong: {0}")]
    NotExported(#[source] ExportError),
    /// A page is not what the ledger holds.
    #[error("a page of {what} is not what the ledger holds")]
    WrongPage {
        /// What was read.
        what: String,
    },
    /// A stream cannot be read.
    #[error("stream {stream} cannot be read")]
    UnreadableStream {
        /// The stream.
        stream: StreamName,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// Opening for reading changed bytes.
    #[error("opening for reading changed {files:?}")]
    ReaderChanged {
        /// The files.
        files: Vec<String>,
    },
    /// Recovery overwrote bytes that it did not keep.
    #[error("recovery overwrote {path} at {offset} and kept no copy")]
    NotSetAside {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
    },
    /// Something lies behind the last frame.
    #[error("{path} is not zero at {offset}, behind the last frame")]
    NotEmpty {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
    },
    /// A receipt's links to its neighbours are wrong.
    #[error("receipt {index} is not chained to the one before it")]
    Unchained {
        /// The receipt.
        index: LeafIndex,
    },
    /// A receipt nobody sent, or part of a batch.
    #[error("receipt {index} belongs to no whole batch that was sent")]
    Stray {
        /// The receipt.
        index: LeafIndex,
    },
    /// A batch that was said to be durable is gone.
    #[error("a batch that was said to be durable is not there")]
    DurableBatchLost,
    /// A proof does not lead to the root.
    #[error("receipt {index} is not proved")]
    Unproved {
        /// The receipt.
        index: LeafIndex,
        /// Why.
        #[source]
        source: MerkleError,
    },
    /// The ledger's own checkpoint is not trusted.
    #[error("the checkpoint does not verify")]
    Unsigned(#[from] PolicyError),
    /// A consistency proof does not verify.
    #[error("the checkpoint of size {old} is not proved to be a prefix")]
    Inconsistent {
        /// The old size.
        old: TreeSize,
        /// Why.
        #[source]
        source: MerkleError,
    },
    /// The ledger has another root at the size of a checkpoint that was handed out.
    #[error("the ledger forked: at size {size} it had another root before")]
    Forked {
        /// The size.
        size: TreeSize,
    },
    /// An answer to a batch is wrong.
    #[error("the answer to a batch is wrong: expected {expected}")]
    WrongAnswer {
        /// What was expected.
        expected: &'static str,
    },
    /// A batch failed that should not have, or in another way.
    #[error("a batch or seal should have been answered otherwise: {0}")]
    WrongError(#[source] AppendError),
    /// A poisoned ledger took a batch.
    #[error("a poisoned ledger took another batch")]
    PoisonForgotten,
    /// A fault that the ledger had got over poisoned it after all.
    #[error("a fault that was answered, and got over, poisoned the ledger later")]
    PoisonedLate,
    /// Something is left of a recovery that is finished.
    #[error("{path} is left of a recovery that is finished")]
    Leftover {
        /// The file.
        path: String,
    },
    /// A cut file is not recorded.
    #[error("cut/{name} is recorded by no receipt")]
    Unrecorded {
        /// The file.
        name: String,
    },
    /// A crash took away or damaged files that follow from others and that the manifest names.
    #[error("a crash left the ledger without files that its manifest names: {findings}")]
    DerivedLost {
        /// What the verifier found, as text.
        findings: String,
    },
    /// A file that follows from others was not made again as it was.
    #[error("{files:?} are not what they were before they were lost")]
    NotMadeAgain {
        /// The files.
        files: Vec<String>,
    },
    /// Opening a healthy ledger changed bytes.
    #[error("opening and closing a second time changed {files:?}")]
    SecondRecoveryChanged {
        /// The files.
        files: Vec<String>,
    },
    /// The engine neither works nor is done.
    #[error("the engine stands still with work to do")]
    Stuck,
    /// The verifier does not accept the directory.
    #[error("the verifier says: {findings}")]
    NotVerified {
        /// Its findings, as text.
        findings: String,
    },
    /// The verifier could not finish.
    #[error("the verifier could not finish")]
    NotAudited(#[from] AuditError),
    /// A thread of the engine panicked.
    #[error("the engine panicked")]
    Panicked,
    /// The simulated disk failed a check's own read.
    #[error("a check could not read the directory")]
    Unlistable(#[from] io::Error),
}
