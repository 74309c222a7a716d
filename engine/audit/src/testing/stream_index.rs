//! Writing stream indexes, also wrong ones.

use counterfoil_format::{StreamIndexBuilder, StreamIndexEntry};
use counterfoil_proof::{LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};
use std::collections::BTreeMap;

/// Of each stream its first `stream_seq` here and where its receipts stand.
pub(crate) type Positions = BTreeMap<String, (StreamSeq, Vec<LeafIndex>)>;

/// What one index over all of these holds.
pub(super) fn merge(covered: Vec<(TreeSize, Positions)>) -> Option<(TreeSize, Positions)> {
    covered.into_iter().reduce(|(_, mut all), (end, next)| {
        for (stream, (seq, positions)) in next {
            all.entry(stream).or_insert((seq, Vec::new())).1.extend(positions);
        }
        (end, all)
    })
}

/// A stream index that holds these positions, and its entry in MANIFEST.
pub(crate) fn stream_index(
    ledger_id: LeafHash,
    first: LeafIndex,
    end: TreeSize,
    positions: &Positions,
) -> (Vec<u8>, StreamIndexEntry) {
    let mut builder = StreamIndexBuilder::new(ledger_id, first, end);
    for (stream, (seq, positions)) in positions {
        builder.push(&StreamName::new(stream).unwrap(), *seq, positions);
    }
    let done = builder.finish();
    let (file_len, streams_begun) = (done.rest.len() as u64, done.streams_begun);
    (done.rest, StreamIndexEntry { first, end, file_len, streams_begun, directory_digest: done.directory_digest })
}
