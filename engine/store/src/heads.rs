//! The latest receipt of every stream.

use counterfoil_proof::{Envelope, Hash, LeafHash, LeafIndex, StreamName, StreamSeq};
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

    /// Takes in the stream's next receipt; false, and nothing is changed, when it does not follow: a stream is gap-free
    /// and ends when it is closed.
    #[must_use]
    pub(crate) fn advance(&mut self, envelope: &Envelope, leaf: LeafHash) -> bool {
        let (index, seq, closed) = (envelope.index, envelope.stream_seq, envelope.closes_stream);
        match self.heads.get_mut(&envelope.stream) {
            Some(head) if !head.closed && head.seq.0 + 1 == seq.0 && head.leaf == envelope.stream_prev => {
                *head = StreamHead { first: head.first, latest: index, seq, leaf, closed };
            }
            None if seq == StreamSeq(0) => {
                let head = StreamHead { first: index, latest: index, seq, leaf, closed };
                self.heads.insert(envelope.stream.clone(), head);
            }
            _ => return false,
        }
        true
    }
}
