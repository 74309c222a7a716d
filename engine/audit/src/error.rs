//! Why a verification has no verdict. What is wrong with a ledger is never an error but a finding.

use counterfoil_proof::{LeafIndex, TreeSize};
use std::io;

/// The verification could not be completed.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// There is no such directory.
    #[error("there is no such directory")]
    NoDirectory,
    /// The directory holds nothing of a ledger.
    #[error("this directory holds no ledger: neither MANIFEST nor HEAD nor segments/ is in it")]
    NotALedger,
    /// Reading failed.
    #[error("reading {path} failed: {source}")]
    Io {
        /// File or folder, relative to the ledger directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The ledger does not hold this receipt.
    #[error("there is no receipt {index}; the ledger holds {size}")]
    UnknownIndex {
        /// Index asked for.
        index: LeafIndex,
        /// Receipts there are.
        size: TreeSize,
    },
    /// The bundle does not hold this receipt.
    #[error("receipt {index} is not among those exported to this bundle")]
    NotInBundle {
        /// Index asked for.
        index: LeafIndex,
    },
    /// A check that was asked for cannot be made with what was given.
    #[error("{check} cannot be checked: {reason}")]
    NotPossible {
        /// What was asked for.
        check: &'static str,
        /// Why it is not possible.
        reason: &'static str,
        /// What to do instead.
        next: &'static str,
    },
}

impl AuditError {
    /// Short name for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoDirectory => "no-directory",
            Self::NotALedger => "not-a-ledger",
            Self::Io { .. } => "io",
            Self::UnknownIndex { .. } | Self::NotInBundle { .. } => "unknown-index",
            Self::NotPossible { .. } => "not-possible",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn next(&self) -> &'static str {
        match self {
            Self::NoDirectory | Self::NotALedger => "give the directory that `counterfoil init` created",
            Self::Io { .. } => "make the file readable, or copy the directory from a healthy disk, and verify again",
            Self::UnknownIndex { .. } => "indices count from 0; give a smaller one",
            Self::NotInBundle { .. } => "give an index that the bundle holds, or verify the ledger it comes from",
            Self::NotPossible { next, .. } => next,
        }
    }
}
