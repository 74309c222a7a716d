//! From published receipts to entries.

use super::confirm::Stretch;
use super::entry::{Cursor, Entry};
use super::error::CatalogError;
use super::store::Store;
use crate::read;
use crate::shared::Shared;
use counterfoil_proof::{LeafIndex, StreamName, StreamSeq, TreeSize};
use std::collections::BTreeMap;

/// Once this many receipts are gathered, what is known of their streams is written. A frame is gathered whole.
pub(super) const CHUNK_RECEIPTS: u64 = 32_768;

/// The next receipts of one stream.
struct Gathered {
    first_seq: StreamSeq,
    entry: Entry,
}

/// The cursor of a store, if what it holds is a beginning of this ledger.
pub(super) fn fitting_cursor(shared: &Shared, store: &Store) -> Result<Option<Cursor>, CatalogError> {
    let fits = |cursor: &Cursor| {
        let last = cursor.taken_in.0.checked_sub(1).map(LeafIndex);
        cursor.ledger_id == shared.identity.ledger_id
            && last.is_some_and(|last| read::leaf_hash(shared, last).is_ok_and(|leaf| leaf == cursor.last_leaf))
    };
    Ok(store.cursor()?.filter(fits))
}

/// Takes in the next receipts up to `end` or the size of a chunk, whichever comes first, or as many as there are when
/// `stopping` says so, and moves the cursor.
pub(super) fn take_chunk(
    shared: &Shared,
    store: &Store,
    cursor: &mut Cursor,
    end: TreeSize,
    stopping: impl Fn() -> bool,
) -> Result<(), CatalogError> {
    let mut gathered = BTreeMap::new();
    let mut next = *cursor;
    while next.taken_in < end && next.taken_in.0 - cursor.taken_in.0 < CHUNK_RECEIPTS && !stopping() {
        let stretch = Stretch::read(shared, next.taken_in.next_index()).map_err(CatalogError::Ledger)?;
        next.taken_in = stretch.end();
        next.last_leaf = stretch.last_leaf;
        gather(&mut gathered, stretch);
    }
    for (stream, gathered) in &mut gathered {
        match store.get(stream)? {
            None if gathered.first_seq == StreamSeq(0) => next.streams += 1,
            // A stream is gap-free and ends when it is closed: anything else was never put there.
            Some(mut known) if known.receipts == gathered.first_seq.0 && !known.closed => {
                known.extend(&gathered.entry);
                gathered.entry = known;
            }
            _ => return Err(CatalogError::Contradicts),
        }
    }
    store.put(gathered.iter().map(|(stream, gathered)| (stream, &gathered.entry)), &next)?;
    *cursor = next;
    Ok(())
}

fn gather(gathered: &mut BTreeMap<StreamName, Gathered>, stretch: Stretch) {
    for envelope in &stretch.envelopes {
        match gathered.get_mut(&envelope.stream) {
            Some(gathered) => gathered.entry.push(envelope),
            None => {
                let first = Gathered { first_seq: envelope.stream_seq, entry: Entry::of(envelope) };
                gathered.insert(envelope.stream.clone(), first);
            }
        }
    }
}
