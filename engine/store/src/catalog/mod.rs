//! The catalog: which streams there are, for whoever looks around.
//!
//! DIR/catalog is a [sled](https://docs.rs/sled) database with one entry for each stream. The *cataloguer* fills it in
//! the background from what is published, so that it lags a little and is said to; whatever does not fit it deletes and
//! fills again.
//!
//! **What it is not**: no promise rests on it. Durability, proofs, sequencing, rules and the receipts of a stream come
//! from elsewhere, and nothing but [`Ledger::streams`](crate::Ledger::streams) reads it. sled keeps its files itself, so
//! they do not go through [`Disk`](crate::Disk).
//!
//! *Invariants*: a stream is listed only after its first and last receipt were read and agree, so a wrong catalog can
//! only leave streams out; files are opened only if a clean stop left them exactly so; an error of the catalog, sled's
//! panics included, ends the catalog and nothing else.

mod cataloguer;
mod confirm;
mod entry;
mod error;
mod filler;
mod folder;
mod listing;
mod rebuild;
mod store;

#[cfg(test)]
mod tests;

pub(crate) use cataloguer::Catalog;
pub use error::{CatalogError, RebuildError, StreamsError};
pub(crate) use listing::streams;
pub use listing::{CatalogStatus, ListedStream, StreamsPage};
pub use rebuild::{Rebuilt, rebuild_catalog};

/// Folder of the catalog in the ledger's directory.
pub const CATALOG_FOLDER: &str = "catalog";
