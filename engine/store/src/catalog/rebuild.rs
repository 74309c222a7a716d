//! A catalog made anew in one go, while nobody serves the ledger.

use super::entry::Cursor;
use super::error::{CatalogError, RebuildError};
use super::filler::take_chunk;
use super::folder::Folder;
use super::store::Store;
use crate::environment::Environment;
use crate::ledger::Ledger;
use crate::shared::Shared;
use crate::types::Limits;
use counterfoil_proof::TreeSize;

/// A catalog that was made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Streams in it.
    pub streams: u64,
    /// Receipts taken in.
    pub receipts: u64,
}

/// Deletes the catalog of a ledger that nobody has open and fills it again. Nothing else of the ledger is changed: it is
/// opened for reading only. `progress` is told how much of how much was taken in.
///
/// # Errors
/// [`RebuildError`]; the folder is gone or empty then, which is as good as no catalog.
pub fn rebuild_catalog(
    environment: Environment,
    mut progress: impl FnMut(TreeSize, TreeSize),
) -> Result<Rebuilt, RebuildError> {
    let folder = Folder::new(environment.catalog.clone().ok_or(RebuildError::NoFolder)?);
    let ledger = Ledger::open_read_only(environment, Limits::default())?;
    let filled = fill(ledger.shared(), &folder, &mut progress);
    if filled.is_err() {
        // Without a mark it is not opened; removing it only gives its space back.
        let _ = folder.remove();
    }
    let cursor = filled?;
    Ok(Rebuilt { streams: cursor.streams, receipts: cursor.taken_in.0 })
}

fn fill(
    shared: &Shared,
    folder: &Folder,
    progress: &mut impl FnMut(TreeSize, TreeSize),
) -> Result<Cursor, CatalogError> {
    folder.empty()?;
    let store = Store::open(folder.path())?;
    let mut cursor = Cursor::at_start(shared.identity.ledger_id);
    let size = shared.published().size();
    while cursor.taken_in < size {
        take_chunk(shared, &store, &mut cursor, size, || false)?;
        progress(cursor.taken_in, size);
    }
    store.close()?;
    folder.mark(|| false).map_err(CatalogError::Folder)?;
    Ok(cursor)
}
