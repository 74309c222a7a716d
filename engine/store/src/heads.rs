//! The latest receipt of every stream.

use counterfoil_proof::{Hash, LeafHash, LeafIndex, StreamName, StreamSeq};
use std::collections::HashMap;

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamHead {
    /// Index of its first receipt.
    pub(crate) first: LeafIndex,
    /// Index of its latest receipt.
    pub(crate) latest: LeafIndex,
    /// Position of its latest receipt.
    pub(crate) seq: StreamSeq,
    /// Leaf hash of its latest receipt.
    pub(crate) leaf: LeafHash,
    /// Its latest receipt closed it.
    pub(crate) closed: bool,
}

/// The heads of all streams, the control stream excluded.
#[derive(Default)]
pub(crate) struct StreamHeads {
    heads: HashMap<StreamName, StreamHead>,
}

impl StreamHeads {
    pub(crate) fn get(&self, stream: &StreamName) -> Option<&StreamHead> {
        self.heads.get(stream)
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    /// Position and previous leaf hash of the stream's next receipt.
    pub(crate) fn next(&self, stream: &StreamName) -> (StreamSeq, LeafHash) {
        self.get(stream).map_or((StreamSeq(0), Hash::ZERO), |head| (StreamSeq(head.seq.0 + 1), head.leaf))
    }

    /// Takes in the stream's next receipt.
    pub(crate) fn advance(
        &mut self,
        stream: &StreamName,
        index: LeafIndex,
        seq: StreamSeq,
        leaf: LeafHash,
        closed: bool,
    ) {
        match self.heads.get_mut(stream) {
            Some(head) => {
                assert!(!head.closed && head.seq.0 + 1 == seq.0, "a stream is gap-free and ends when closed");
                *head = StreamHead { first: head.first, latest: index, seq, leaf, closed };
            }
            None => {
                assert_eq!(seq, StreamSeq(0), "a stream begins at 0");
                let head = StreamHead { first: index, latest: index, seq, leaf, closed };
                self.heads.insert(stream.clone(), head);
            }
        }
    }
}
