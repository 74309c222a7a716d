//! Why a ledger is not opened, in words that say what to do next.

use crate::segment::SegmentError;
use counterfoil_format::{ByteOffset, FormatError};
use counterfoil_proof::{TreeSize, VerifierKey};
use counterfoil_rules::Violation;
use std::io;

/// Why a ledger was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Caller: no ledger in the directory.
    #[error("there is no ledger here (no MANIFEST); create one with `counterfoil init`")]
    NotALedger,
    /// Caller: a limit is above what the format can hold.
    #[error("{name} is above {ceiling}; choose a lower one")]
    Limit {
        /// Name of the limit.
        name: &'static str,
        /// Highest value allowed.
        ceiling: u64,
    },
    /// Operator: another process has it open.
    #[error(
        "another process has this ledger open; one process writes a ledger, stop the other or name another directory"
    )]
    Locked,
    /// Operator: what is on disk is not what was acknowledged.
    #[error("refused to open for appending: {0}")]
    Refused(#[from] Box<Refusal>),
    /// Operator: the ledger has rules that this version cannot follow.
    #[error("the rules in the ledger are broken or newer than this version")]
    Rules(#[from] Violation),
    /// Operator: what recovery did could not be recorded in the ledger.
    #[error("the recovery could not be recorded")]
    Recording(#[source] Box<crate::error::AppendError>),
    /// Operator: the disk failed.
    #[error("{path}: reading or writing failed")]
    Io {
        /// Path in the ledger directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Damage that recovery may not repair.
#[derive(Debug, thiserror::Error)]
#[error("{path}, offset {offset}: {damage}; {next}", next = NEXT_STEP)]
pub struct Refusal {
    /// File in the ledger directory.
    pub path: String,
    /// Where in it.
    pub offset: ByteOffset,
    /// What is wrong there.
    pub damage: Damage,
}

const NEXT_STEP: &str = "run `counterfoil-verify ledger` on the directory to see what is intact, restore the file from a \
                         backup, or serve what verifies with `serve --read-only`";

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The bytes are not what they should be.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// A file that the manifest names does not exist.
    #[error("expected a file, found none")]
    Missing,
    /// A file has another length than the manifest states.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// Bytes the manifest states.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A segment does not continue where the one before it ends.
    #[error(
        "expected a segment that continues at receipt {expected}, found one that begins at {found} or with another history"
    )]
    Discontinuous {
        /// Receipts before it.
        expected: TreeSize,
        /// Receipts it says are before it.
        found: TreeSize,
    },
    /// Acknowledged receipts are gone.
    #[error("expected {mark} receipts known durable, found {kept} intact")]
    BelowMark {
        /// The durable mark.
        mark: TreeSize,
        /// Receipts found.
        kept: TreeSize,
    },
    /// The last segment of the manifest is sealed in truth: the manifest is older than the segments.
    #[error("expected the segment that is written to, found a sealed one; MANIFEST is older than the segments")]
    SealedLast,
    /// The frames of a sealed segment end before its footer.
    #[error("expected a frame or the footer, found other bytes")]
    BeforeFooter,
    /// A file the manifest does not name holds receipts.
    #[error("expected no such segment, found one with receipts that the manifest does not name")]
    Unnamed,
    /// The private key is not that of genesis.
    #[error("expected the key {expected}, found another or none")]
    Key {
        /// Key in genesis.
        expected: VerifierKey,
    },
}

pub(super) fn refuse(path: impl Into<String>, offset: ByteOffset, damage: impl Into<Damage>) -> OpenError {
    OpenError::Refused(Box::new(Refusal { path: path.into(), offset, damage: damage.into() }))
}

pub(crate) fn at(path: &str) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path: path.clone(), source }
}

pub(super) fn in_segment(path: &str) -> impl Fn(SegmentError) -> OpenError {
    let path = path.to_owned();
    move |error| match error {
        SegmentError::Io(source) if source.kind() == io::ErrorKind::NotFound => {
            refuse(path.clone(), ByteOffset(0), Damage::Missing)
        }
        SegmentError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            refuse(path.clone(), ByteOffset(0), FormatError::Truncated)
        }
        SegmentError::Io(source) => OpenError::Io { path: path.clone(), source },
        SegmentError::Damaged { offset, error } => refuse(path.clone(), offset, error),
    }
}
