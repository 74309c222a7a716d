//! The database of the catalog. The only module that knows sled.
//!
//! sled can panic where others give an error, so that every call goes through [`guarded`].

use super::entry::{Cursor, Entry};
use super::error::CatalogError;
use core::ops::Bound;
use counterfoil_proof::StreamName;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

/// Memory for pages of the database. It uses up to about twice as much.
const CACHE_BYTES_MAX: u64 = 32 * 1024 * 1024;

const CURSOR_KEY: &[u8] = &[0];
const STREAM_TAG: u8 = 1;

/// An open database.
pub(super) struct Store {
    database: sled::Db,
}

/// Entries in the order of their names.
pub(super) struct Slice {
    pub(super) entries: Vec<(StreamName, Entry)>,
    /// True when entries follow.
    pub(super) more: bool,
}

impl Store {
    /// Opens what is in a folder, or begins a new database there.
    pub(super) fn open(folder: &Path) -> Result<Self, CatalogError> {
        // Nothing is flushed while it is in use: whatever was not closed cleanly is made anew.
        let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES_MAX).flush_every_ms(None);
        guarded(|| config.open()).map(|database| Self { database })
    }

    pub(super) fn cursor(&self) -> Result<Option<Cursor>, CatalogError> {
        let bytes = guarded(|| self.database.get(CURSOR_KEY))?;
        bytes.map(|bytes| Cursor::decode(&bytes).ok_or(CatalogError::Contradicts)).transpose()
    }

    pub(super) fn get(&self, stream: &StreamName) -> Result<Option<Entry>, CatalogError> {
        let bytes = guarded(|| self.database.get(key(stream.as_str())))?;
        bytes.map(|bytes| Entry::decode(&bytes).ok_or(CatalogError::Contradicts)).transpose()
    }

    /// Puts entries in the place of earlier ones, together with the cursor that covers them.
    pub(super) fn put<'a>(
        &self,
        entries: impl Iterator<Item = (&'a StreamName, &'a Entry)>,
        cursor: &Cursor,
    ) -> Result<(), CatalogError> {
        let mut batch = sled::Batch::default();
        for (stream, entry) in entries {
            batch.insert(key(stream.as_str()), entry.encode());
        }
        batch.insert(CURSOR_KEY, cursor.encode());
        guarded(|| self.database.apply_batch(batch))
    }

    /// The entries whose names begin with `prefix`, behind `after`, at most `entries_max` of them.
    pub(super) fn slice(
        &self,
        prefix: &str,
        after: Option<&StreamName>,
        entries_max: usize,
    ) -> Result<Slice, CatalogError> {
        let prefix = key(prefix);
        let begin = match after.map(|after| key(after.as_str())) {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix.clone()),
        };
        let mut entries = Vec::new();
        let mut range = guarded(|| Ok(self.database.range((begin, Bound::Unbounded))))?;
        while let Some(next) = guarded(|| range.next().transpose())?.filter(|(name, _)| name.starts_with(&prefix)) {
            if entries.len() == entries_max {
                return Ok(Slice { entries, more: true });
            }
            let (name, entry) = (StreamName::from_bytes(&next.0[1..]), Entry::decode(&next.1));
            let (Ok(name), Some(entry)) = (name, entry) else { return Err(CatalogError::Contradicts) };
            entries.push((name, entry));
        }
        Ok(Slice { entries, more: false })
    }

    /// Writes everything to the files. They are durable once they are synced too.
    pub(super) fn close(self) -> Result<(), CatalogError> {
        guarded(|| self.database.flush())?;
        guarded(|| {
            drop(self.database);
            Ok(())
        })
    }
}

fn key(name: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + name.len());
    key.push(STREAM_TAG);
    key.extend(name.as_bytes());
    key
}

/// Calls sled. After a panic its state is not looked at again: the database is dropped and made anew.
fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, CatalogError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| CatalogError::Database(Box::new(error))),
        Err(_) => Err(CatalogError::Panicked),
    }
}
