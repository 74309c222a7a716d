//! What the ledger said, kept in plain maps: the reference that recovery is compared with.

use crate::case::Append;
use bytes::Bytes;
use counterfoil_engine::{Appended, Batch, BatchId, Identity, NewReceipt};
use counterfoil_proof::{ClassId, Kind, LeafHash, Media, Principal, SignedCheckpoint, StreamName, StreamSeq, TreeSize};
use std::collections::BTreeMap;

/// A receipt that was acknowledged, or that a published checkpoint covers.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) leaf: LeafHash,
    pub(crate) stream: StreamName,
    pub(crate) stream_seq: StreamSeq,
    pub(crate) closes: bool,
    pub(crate) payload: Bytes,
}

/// A batch whose fate is not known: the answer was lost.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) batch: Batch,
    /// The ledger said that it is durable.
    pub(crate) durable: bool,
}

/// Everything the ledger said.
#[derive(Default)]
pub struct Model {
    pub(crate) identity: Option<Identity>,
    pub(crate) receipts: Vec<Known>,
    pub(crate) unanswered: Vec<Unanswered>,
    /// A batch with an id that had no answer, and the index of its first receipt if recovery kept it.
    pub(crate) retry: Option<(Batch, Option<usize>)>,
    /// Every checkpoint handed out.
    pub(crate) checkpoints: BTreeMap<TreeSize, SignedCheckpoint>,
    batches_made: u64,
}

/// What should become of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prediction {
    Appended,
    StreamClosed,
    LostRace,
}

impl Model {
    /// Receipts in a stream, and whether it is closed.
    pub(crate) fn stream(&self, name: &StreamName) -> (u64, bool) {
        let mine = || self.receipts.iter().filter(|known| known.stream == *name);
        (mine().count() as u64, mine().any(|known| known.closes))
    }

    /// The batch of a step, with contents that no other batch has.
    pub(crate) fn batch(&mut self, step: &Append) -> Batch {
        self.batches_made += 1;
        let number = self.batches_made;
        let last = step.receipts.len() - 1;
        let receipts = step.receipts.iter().enumerate().map(|(place, (stream, len))| {
            let stream = StreamName::new(&format!("case/{stream}")).expect("a name that keeps its rules");
            let (length, _) = self.stream(&stream);
            let expected_stream_seq = match place {
                0 if step.loses_race => Some(StreamSeq(length + 1000)),
                0 if step.conditional => Some(StreamSeq(length)),
                _ => None,
            };
            let mut payload = format!("batch {number} receipt {place} ");
            payload.push_str(&"x".repeat(len.saturating_sub(payload.len())));
            NewReceipt {
                stream,
                kind: Kind::new("sim.made/1").expect("a name that keeps its rules"),
                class: ClassId::FOREVER,
                media: Media::Text,
                payload: Bytes::from(payload),
                subject: None,
                links: Vec::new(),
                closes_stream: step.closes && place == last,
                expected_stream_seq,
            }
        });
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_le_bytes());
        Batch {
            writer: Principal::new("sim").expect("a name that keeps its rules"),
            id: step.has_id.then_some(BatchId::Request(id)),
            receipts: receipts.collect(),
            with_proofs: step.with_proofs,
        }
    }

    /// What should become of a batch that is sent now.
    pub(crate) fn predict(&self, batch: &Batch) -> Prediction {
        for receipt in &batch.receipts {
            let (length, closed) = self.stream(&receipt.stream);
            if closed {
                return Prediction::StreamClosed;
            }
            if receipt.expected_stream_seq.is_some_and(|expected| expected.0 != length) {
                return Prediction::LostRace;
            }
        }
        Prediction::Appended
    }

    /// Takes in a batch that was acknowledged; the first place where the answer is wrong.
    pub(crate) fn acknowledge(&mut self, batch: &Batch, answer: &Appended) -> Result<(), &'static str> {
        if answer.receipts.len() != batch.receipts.len() {
            return Err("one answer for each receipt");
        }
        for (new, receipt) in batch.receipts.iter().zip(&answer.receipts) {
            if receipt.index.0 != self.receipts.len() as u64 {
                return Err("the next leaf index");
            }
            if receipt.stream_seq.0 != self.stream(&new.stream).0 {
                return Err("the next position in the stream");
            }
            self.receipts.push(Known::new(new, receipt.leaf, receipt.stream_seq));
        }
        Ok(())
    }

    /// Remembers a checkpoint; `false` when another one of its size was handed out before.
    pub(crate) fn hand_out(&mut self, checkpoint: &SignedCheckpoint) -> bool {
        let first = self.checkpoints.entry(checkpoint.unverified().size).or_insert_with(|| checkpoint.clone());
        first.unverified() == checkpoint.unverified()
    }
}

impl Known {
    pub(crate) fn new(new: &NewReceipt, leaf: LeafHash, stream_seq: StreamSeq) -> Self {
        Self { leaf, stream: new.stream.clone(), stream_seq, closes: new.closes_stream, payload: new.payload.clone() }
    }
}
