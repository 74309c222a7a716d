//! The streams of one segment, and what the segments before it must say of them.

use crate::report::Code;
use counterfoil_proof::{Envelope, LeafHash, LeafIndex, StreamName, StreamSeq};
use std::collections::HashMap;

/// Last receipt of a stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamHead {
    pub(super) index: LeafIndex,
    pub(super) seq: StreamSeq,
    pub(super) leaf: LeafHash,
    pub(super) closed: bool,
    /// How often receipts were lost before it was read.
    pub(super) losses: u32,
}

/// What a receipt says of its place in its stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) index: LeafIndex,
    pub(super) seq: StreamSeq,
    pub(super) prev: LeafHash,
    /// How often receipts were lost before it.
    pub(super) losses: u32,
}

/// A stream as one segment holds it.
pub(super) struct StreamRun {
    pub(super) name: StreamName,
    /// Its first receipt here, to be compared with the segments before.
    pub(super) first: Position,
    pub(super) last: StreamHead,
}

/// The streams of a segment in the order of their first receipts, and which of them each receipt belongs to.
#[derive(Default)]
pub(super) struct StreamRuns {
    by_name: HashMap<StreamName, u32>,
    pub(super) runs: Vec<StreamRun>,
    /// For every receipt that was read the place of its stream in `runs`; receipts without gap stand together.
    pub(super) order: Vec<(LeafIndex, Vec<u32>)>,
}

/// A receipt that does not follow in its stream.
pub(super) struct StreamProblem {
    pub(super) code: Code,
    pub(super) message: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

impl StreamRuns {
    /// Adds a receipt, and says what is wrong with its place behind the stream's receipts in this segment.
    pub(super) fn push(&mut self, envelope: &Envelope, leaf: LeafHash, losses: u32) -> Option<StreamProblem> {
        let (index, seq) = (envelope.index, envelope.stream_seq);
        let position = Position { index, seq, prev: envelope.stream_prev, losses };
        let mut last = StreamHead { index, seq, leaf, closed: envelope.closes_stream, losses };
        if let Some(known) = self.by_name.get(&envelope.stream).copied() {
            self.belongs(envelope.index, known);
            let run = &mut self.runs[known as usize];
            // The control chain is checked by control_seq and control_head.
            let problem = if envelope.is_control() { None } else { problem(Some(&run.last), &position) };
            last.closed |= run.last.closed;
            run.last = last;
            return problem;
        }
        let known = u32::try_from(self.runs.len()).expect("a segment has far fewer than 2^32 receipts");
        self.belongs(envelope.index, known);
        self.by_name.insert(envelope.stream.clone(), known);
        self.runs.push(StreamRun { name: envelope.stream.clone(), first: position, last });
        None
    }

    fn belongs(&mut self, index: LeafIndex, run: u32) {
        match self.order.last_mut() {
            Some((first, runs)) if first.0 + runs.len() as u64 == index.0 => runs.push(run),
            _ => self.order.push((index, vec![run])),
        }
    }
}

/// What is wrong with a receipt behind this head of its stream.
pub(super) fn problem(head: Option<&StreamHead>, position: &Position) -> Option<StreamProblem> {
    // A head from before a loss may have been followed by receipts that were not read.
    let stale = head.map_or(0, |head| head.losses) != position.losses;
    let expected = head.map_or(0, |head| head.seq.0 + 1);
    let at = || format!("position {expected}");
    let (code, message, expected) = match head {
        Some(head) if head.closed => {
            (Code::StreamClosed, "it stands behind the receipt that closed its stream", "no receipt".to_owned())
        }
        _ if position.seq.0 > expected && !stale => (Code::StreamGap, "its stream skips a position", at()),
        _ if position.seq.0 < expected => {
            (Code::StreamForked, "its position in the stream is taken by an earlier receipt", at())
        }
        Some(head) if position.seq.0 == expected && position.prev != head.leaf => {
            (Code::StreamForked, "it does not follow the receipt before it in its stream", head.leaf.to_string())
        }
        _ => return None,
    };
    let found = format!("position {} behind {}", position.seq, position.prev);
    Some(StreamProblem { code, message, expected, found })
}
