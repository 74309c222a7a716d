//! Idempotency: the first answer again for a batch that is sent twice.
//!
//! The window holds the answers of the most recent batches that carried an id: as many as together hold
//! [`WINDOW_RECEIPTS_MAX`] receipts. After reopening it is filled from the frames of the active segment.

use crate::types::{AppendedReceipt, BatchId};
use counterfoil_proof::{Principal, SignedCheckpoint, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Receipts whose answers are remembered.
pub const WINDOW_RECEIPTS_MAX: usize = 262_144;

/// What makes two batches the same. It is keyed with a secret of this process and never leaves its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; 32]);

/// An answer, with the proofs left out.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) receipts: Vec<AppendedReceipt>,
    pub(crate) time: Timestamp,
    pub(crate) checkpoint: Arc<SignedCheckpoint>,
}

/// A batch that was appended before.
#[derive(Clone)]
pub(crate) struct Remembered {
    /// `None` when a payload of it was erased since: then the first answer stands for whatever comes.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) answer: Arc<Answer>,
}

type Key = (Principal, BatchId);

/// The most recent batches that carried an id.
#[derive(Default)]
pub(crate) struct Window {
    answers: HashMap<Key, Remembered>,
    order: VecDeque<Key>,
    receipts: usize,
}

impl Window {
    pub(crate) fn get(&self, key: &Key) -> Option<&Remembered> {
        self.answers.get(key)
    }

    pub(crate) fn insert(&mut self, key: Key, remembered: Remembered) {
        self.receipts += remembered.answer.receipts.len();
        assert!(self.answers.insert(key.clone(), remembered).is_none(), "an id is looked up before it is used");
        self.order.push_back(key);
        while self.receipts > WINDOW_RECEIPTS_MAX && self.order.len() > 1 {
            let oldest = self.order.pop_front().expect("there is more than one");
            let gone = self.answers.remove(&oldest).expect("every key in order has an answer");
            self.receipts -= gone.answer.receipts.len();
        }
    }
}
