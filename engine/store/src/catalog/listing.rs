//! Listing streams.

use super::cataloguer::Catalog;
use super::confirm::{Verdict, confirm};
use super::entry::Entry;
use super::error::{CatalogError, StreamsError};
use crate::shared::Shared;
use counterfoil_proof::{Kind, LeafIndex, StreamName, Timestamp, TreeSize};
use std::sync::Arc;

/// How the catalog is.
#[derive(Clone, Debug)]
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
        /// Why.
        cause: Arc<CatalogError>,
    },
}

/// A stream, as far as the catalog knows it. First and last receipt were read and agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedStream {
    /// Its name.
    pub stream: StreamName,
    /// Number of its receipts.
    pub receipts: u64,
    /// Index of the first of them.
    pub first: LeafIndex,
    /// Time of the first of them.
    pub first_time: Timestamp,
    /// Index of the last of them.
    pub last: LeafIndex,
    /// Time of the last of them.
    pub last_time: Timestamp,
    /// The last of them closed the stream.
    pub closed: bool,
    /// Some of the kinds of its receipts, ascending. They are the catalog's word: nothing was read to confirm them.
    pub kinds: Vec<Kind>,
    /// True when there are further kinds.
    pub more_kinds: bool,
}

/// One page of streams, in the order of their names' bytes.
#[derive(Clone, Debug)]
pub struct StreamsPage {
    /// The streams.
    pub streams: Vec<ListedStream>,
    /// The page behind this one begins behind this name; `None` at the end of what the catalog knows.
    pub next: Option<StreamName>,
    /// Streams that are not listed because the ledger could not be read where they begin or end.
    pub left_out: u64,
    /// Size of the tree whose receipts the catalog knows.
    pub taken_in: TreeSize,
    /// Size of the tree that is published.
    pub size: TreeSize,
}

/// Lists the streams whose names begin with `prefix`, behind `after`, looking at `limit` entries at most.
pub(crate) fn streams(
    shared: &Shared,
    catalog: &Catalog,
    prefix: &str,
    after: Option<&StreamName>,
    limit: usize,
) -> Result<StreamsPage, StreamsError> {
    let board = catalog.board()?;
    if after.is_none() {
        board.wait_for_the_latest();
    }
    let taken_in = board.taken_in();
    let (generation, slice) = {
        let store = board.store.read().expect("no thread panics with this lock");
        (board.generation(), store.as_ref().map(|store| store.slice(prefix, after, limit)))
    };
    let mut page =
        StreamsPage { streams: Vec::new(), next: None, left_out: 0, taken_in, size: shared.published().size() };
    let slice = match slice {
        Some(Ok(slice)) => slice,
        Some(Err(_)) => {
            board.doubt(generation);
            return Ok(page);
        }
        None => return Ok(page),
    };
    if slice.more {
        page.next = slice.entries.last().map(|(stream, _)| stream.clone());
    }
    for (stream, entry) in slice.entries {
        match confirm(shared, &stream, &entry) {
            Verdict::Holds => page.streams.push(listed(stream, entry)),
            Verdict::Contradicts => board.doubt(generation),
            Verdict::Unreadable => page.left_out += 1,
        }
    }
    Ok(page)
}

fn listed(stream: StreamName, entry: Entry) -> ListedStream {
    let Entry { first, first_time, last, last_time, receipts, closed, kinds, more_kinds } = entry;
    ListedStream { stream, receipts, first, first_time, last, last_time, closed, kinds, more_kinds }
}
