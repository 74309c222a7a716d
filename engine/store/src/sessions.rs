//! Sessions one of whose batches was refused: batches behind it that were already on their way are refused too, so that a
//! session is in the ledger in its own order, without holes. It goes on when the refused batch is sent again and appended.

use crate::admit::AdmittedBatch;
use crate::types::BatchId;
use counterfoil_proof::Principal;
use std::collections::{HashMap, VecDeque};

/// Interrupted sessions remembered. A stream ends with its refused batch, so only what is on its way matters.
const SESSIONS_MAX: usize = 4096;

type Key = (Principal, [u8; 16]);

/// The first refused batch of each interrupted session.
#[derive(Default)]
pub(crate) struct Sessions {
    refused: HashMap<Key, u64>,
    order: VecDeque<Key>,
}

impl Sessions {
    /// Number of the refused batch that has to come before this one.
    pub(crate) fn missing_before(&self, batch: &AdmittedBatch) -> Option<u64> {
        let (key, number) = session_of(batch)?;
        self.refused.get(&key).copied().filter(|refused| *refused < number)
    }

    /// Remembers that a batch was refused.
    pub(crate) fn refuse(&mut self, batch: &AdmittedBatch) {
        let Some((key, number)) = session_of(batch) else { return };
        if let Some(refused) = self.refused.get_mut(&key) {
            *refused = number.min(*refused);
            return;
        }
        if self.order.len() == SESSIONS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.refused.remove(&oldest);
        }
        self.order.push_back(key.clone());
        self.refused.insert(key, number);
    }

    /// Lets a session go on when this was the batch it waited for.
    pub(crate) fn append(&mut self, batch: &AdmittedBatch) {
        if let Some((key, number)) = session_of(batch)
            && self.refused.get(&key) == Some(&number)
        {
            self.refused.remove(&key);
            self.order.retain(|other| *other != key);
        }
    }
}

fn session_of(batch: &AdmittedBatch) -> Option<(Key, u64)> {
    match batch.id {
        Some(BatchId::Session { session, number }) => Some(((batch.writer.clone(), session), number)),
        Some(BatchId::Request(_)) | None => None,
    }
}
