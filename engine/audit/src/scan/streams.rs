//! The streams of the whole ledger, as far as its segments were joined.

use super::stream_runs::{Position, StreamHead, StreamProblem, StreamRuns, problem};
use counterfoil_proof::{LeafIndex, StreamName};
use std::collections::HashMap;

/// Every stream and its last receipt. A million streams take some 150 MB.
#[derive(Default)]
pub(super) struct Streams {
    ordinals: HashMap<StreamName, u32>,
    heads: Vec<StreamHead>,
}

impl Streams {
    /// Adds a segment before which receipts were lost `losses` times. Returns the ordinals of its streams, and the
    /// receipts that do not follow those of earlier segments.
    pub(super) fn join(&mut self, runs: &StreamRuns, losses: u32) -> (Vec<u32>, Vec<(LeafIndex, StreamProblem)>) {
        let mut ordinals = Vec::with_capacity(runs.runs.len());
        let mut problems = Vec::new();
        for run in &runs.runs {
            let known = self.ordinals.get(&run.name).copied();
            let head = known.map(|ordinal| self.heads[ordinal as usize]);
            if run.name != StreamName::control() {
                let first = Position { losses: losses + run.first.losses, ..run.first };
                problems.extend(problem(head.as_ref(), &first).map(|problem| (first.index, problem)));
            }
            let closed = run.last.closed || head.is_some_and(|head| head.closed);
            let last = StreamHead { closed, losses: losses + run.last.losses, ..run.last };
            let ordinal = known.unwrap_or_else(|| {
                let ordinal = u32::try_from(self.heads.len()).expect("far fewer than 2^32 streams fit into memory");
                self.ordinals.insert(run.name.clone(), ordinal);
                self.heads.push(last);
                ordinal
            });
            self.heads[ordinal as usize] = last;
            ordinals.push(ordinal);
        }
        (ordinals, problems)
    }

    /// The ordinal of a stream, if it has a receipt.
    pub(super) fn ordinal(&self, stream: &StreamName) -> Option<u32> {
        self.ordinals.get(stream).copied()
    }

    /// The last receipt of a stream.
    pub(super) fn head(&self, ordinal: u32) -> &StreamHead {
        &self.heads[ordinal as usize]
    }

    pub(super) fn len(&self) -> u64 {
        self.heads.len() as u64
    }
}
