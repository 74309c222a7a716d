//! Where the ledger stands: everything the next receipt depends on, besides its stream.

use counterfoil_format::frame::Frame;
use counterfoil_format::{SegmentFooter, SegmentHeader};
use counterfoil_proof::{Envelope, Frontier, LeafHash, LeafIndex, NodeCoordinate, NodeHash, StreamSeq, Timestamp};

/// State after some receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chain {
    pub(crate) frontier: Frontier,
    pub(crate) prev: LeafHash,
    pub(crate) last_time: Timestamp,
    pub(crate) control_seq: StreamSeq,
    pub(crate) control_head: LeafHash,
}

impl Chain {
    /// The state a segment begins with.
    pub(crate) fn at_header(header: &SegmentHeader) -> Self {
        Self {
            frontier: header.frontier.clone(),
            prev: header.prev,
            last_time: header.last_time,
            control_seq: header.control_seq,
            control_head: header.control_head,
        }
    }

    /// The state a sealed segment ends with.
    pub(crate) fn at_footer(footer: &SegmentFooter) -> Self {
        Self {
            frontier: footer.frontier.clone(),
            prev: footer.last_leaf,
            last_time: footer.last_time,
            control_seq: footer.control_seq,
            control_head: footer.control_head,
        }
    }

    /// Index of the next receipt.
    pub(crate) fn next_index(&self) -> LeafIndex {
        self.frontier.size().next_index()
    }

    /// Takes in the next receipt.
    pub(crate) fn push(
        &mut self,
        envelope: &Envelope,
        leaf: LeafHash,
        completed: impl FnMut(NodeCoordinate, NodeHash),
    ) {
        self.frontier.push(leaf, completed);
        self.follow(envelope, leaf);
    }

    /// Takes in the next receipt, all but its leaf in the tree.
    pub(crate) fn follow(&mut self, envelope: &Envelope, leaf: LeafHash) {
        self.prev = leaf;
        self.last_time = envelope.time;
        if envelope.is_control() {
            self.control_seq = StreamSeq(self.control_seq.0 + 1);
            self.control_head = leaf;
        }
    }

    /// True when a frame continues from here. Its own receipts follow each other by construction.
    pub(crate) fn continues_with(&self, frame: &Frame<'_>) -> bool {
        let start = &frame.header().start;
        start.first == self.next_index()
            && start.prev == self.prev
            && start.time >= self.last_time
            && start.control_seq == self.control_seq
            && start.control_head == self.control_head
    }
}

/// What a footer says of a segment besides the chain.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) first_time: Option<Timestamp>,
    pub(crate) frames: u64,
    pub(crate) payload_bytes: u64,
    pub(crate) control_indices: Vec<LeafIndex>,
}

impl Tally {
    pub(crate) fn add(&mut self, envelope: &Envelope, payload_bytes: usize) {
        self.first_time.get_or_insert(envelope.time);
        self.payload_bytes += payload_bytes as u64;
        if envelope.is_control() {
            self.control_indices.push(envelope.index);
        }
    }
}
