//! The storage engine of one ledger: append, read, prove.
//!
//! A batch is admitted on the caller's thread (checked, salted, committed to), queued, given its place by the one
//! sequencer, written as part of a frame, made durable by the committer, published and acknowledged. The keeper seals
//! full segments in the background.
//!
//! It is synchronous and has its own threads. **What it is not**: it knows no network, no async runtime and no gRPC
//! type. Disk, clock and randomness come in from outside through [`Environment`].
//!
//! *Invariants*: nothing is published before it is durable; nothing is acknowledged before it is published; after a
//! failed write or sync nothing is appended until the ledger is reopened; only the unsynced tail of the last segment is
//! ever cut, and what is cut is kept aside.
//!
//! ```no_run
//! use counterfoil_engine::{Environment, Ledger, Limits};
//! use std::path::Path;
//!
//! let ledger = Ledger::open(Environment::real(Path::new("ledger")), Limits::default())?;
//! println!("{}", ledger.checkpoint());
//! ledger.close().expect("nothing failed");
//! # Ok::<(), counterfoil_engine::OpenError>(())
//! ```

mod admit;
mod catalog;
mod chain;
mod commit;
mod control;
mod create;
mod disk;
mod environment;
mod error;
mod export;
mod indexer;
mod keeper;
mod ledger;
mod open;
mod planted;
mod prove;
mod queue;
mod read;
mod recovery;
mod repair;
mod sealed;
mod segment;
mod sequencer;
mod sessions;
mod shared;
mod streams;
mod tree;
mod types;
mod window;

#[cfg(test)]
mod tests;

pub use admit::AdmittedBatch;
pub use catalog::{
    CATALOG_FOLDER, CatalogError, CatalogStatus, ListedStream, RebuildError, Rebuilt, StreamsError, StreamsPage,
    rebuild_catalog,
};
pub use counterfoil_rules::ExportScope;
pub use create::{CreateError, create};
pub use disk::{Disk, DiskFile, OsDisk};
pub use environment::{Clock, Environment, OsClock, OsRandomness, Randomness};
pub use error::{AppendError, ReadError, ReceiptProblem};
pub use export::{Export, ExportError, ExportSummary};
pub use ledger::Ledger;
pub use open::{Damage, OpenError, Refusal};
#[cfg(feature = "planted-bugs")]
pub use planted::PlantedBug;
pub use types::*;
pub use window::WINDOW_RECEIPTS_MAX;
