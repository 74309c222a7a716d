//! Errors of the catalog. None of them is an error of the ledger.

use crate::error::ReadError;
use crate::open::OpenError;
use std::io;
use std::sync::Arc;

/// Why the catalog stopped.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// Operator: the folder could not be made, emptied or read.
    #[error("its folder cannot be used: {0}")]
    Folder(#[source] io::Error),
    /// Operator: the database failed, for example because the disk is full.
    #[error("its database failed: {0}")]
    Database(#[source] Box<dyn core::error::Error + Send + Sync>),
    /// The database, or we, broke off in a way that is no error but a bug.
    #[error("it broke off, which is a bug")]
    Panicked,
    /// The database holds something else than was put there, or lost some of it.
    #[error("it contradicts the ledger")]
    Contradicts,
    /// Operator: no thread could be started for it.
    #[error("no thread could be started for it: {0}")]
    Thread(#[source] io::Error),
    /// Operator: the ledger itself could not be read.
    #[error("the ledger could not be read: {0}")]
    Ledger(#[source] ReadError),
}

impl CatalogError {
    /// True when a catalog made anew may do better.
    pub(crate) fn is_of_this_catalog(&self) -> bool {
        !matches!(self, Self::Ledger(_))
    }
}

/// Why streams could not be listed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamsError {
    /// Operator: no catalog is kept.
    #[error("this ledger is open without a catalog, so its streams cannot be listed")]
    Off,
    /// Operator: the catalog stopped.
    #[error("the catalog stopped: {cause}")]
    Failed {
        /// Why.
        cause: Arc<CatalogError>,
    },
    /// Retry: the ledger is closing.
    #[error("the ledger is closing")]
    Closing,
}

/// Why a catalog was not made anew.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Caller: the environment names no place for a catalog.
    #[error("the environment names no folder for a catalog")]
    NoFolder,
    /// The ledger could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The catalog could not be made.
    #[error("the catalog was not made: {0}")]
    Catalog(#[from] CatalogError),
}
