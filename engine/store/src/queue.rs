//! The bounded queue between admission and the sequencer.

use crate::admit::AdmittedBatch;
use crate::error::AppendError;
use crate::types::{Appended, Limits, SegmentStatus};
use core::time::Duration;
use counterfoil_format::frame::FRAME_BATCHES_MAX;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};

/// Told what became of a batch.
pub(crate) type Done = Box<dyn FnOnce(Result<Appended, AppendError>) + Send>;
/// Told what became of a request to seal.
pub(crate) type SealDone = Box<dyn FnOnce(Result<Option<SegmentStatus>, AppendError>) + Send>;

const RETRY_AFTER: Duration = Duration::from_millis(50);

/// What the sequencer is asked to do, in order.
pub(crate) enum Work {
    Append { batch: AdmittedBatch, done: Done },
    Seal { done: SealDone },
}

#[derive(Default)]
struct State {
    work: VecDeque<Work>,
    batches: usize,
    bytes: usize,
    /// Batches that the sequencer took and is not done with.
    taken: usize,
    closed: bool,
}

/// Work for the sequencer, bounded in batches and bytes.
pub(crate) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    batches_max: usize,
    bytes_max: usize,
}

impl Queue {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            batches_max: limits.queue_batches_max,
            bytes_max: limits.queue_bytes_max,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with this lock")
    }

    /// Adds a batch, or gives it back with the reason. One batch always fits an empty queue.
    pub(crate) fn push_batch(&self, batch: AdmittedBatch, done: Done) -> Result<(), (Done, AppendError)> {
        let mut state = self.state();
        if state.closed {
            return Err((done, AppendError::Closing));
        }
        let full = state.batches >= self.batches_max || state.bytes + batch.stored_bytes > self.bytes_max;
        if full && state.batches > 0 {
            return Err((done, AppendError::Overloaded { retry_after: RETRY_AFTER }));
        }
        state.batches += 1;
        state.bytes += batch.stored_bytes;
        state.work.push_back(Work::Append { batch, done });
        self.changed.notify_one();
        Ok(())
    }

    pub(crate) fn push_seal(&self, done: SealDone) {
        let mut state = self.state();
        if state.closed {
            drop(state);
            done(Err(AppendError::Closing));
            return;
        }
        state.work.push_back(Work::Seal { done });
        self.changed.notify_one();
    }

    /// Waits for work and takes batches until one of a frame's bounds is reached, or a single request to seal. `None` once
    /// the queue is closed and empty.
    pub(crate) fn take(&self, receipts_max: usize, bytes_max: usize) -> Option<Vec<Work>> {
        let mut state = self.state();
        state.taken = 0;
        while state.work.is_empty() {
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).expect("no thread panics with this lock");
        }
        let mut taken = Vec::new();
        let (mut receipts, mut bytes) = (0, 0);
        while let Some(next) = state.work.front() {
            match next {
                Work::Seal { .. } if taken.is_empty() => {
                    taken.extend(state.work.pop_front());
                    break;
                }
                Work::Seal { .. } => break,
                Work::Append { batch, .. } => {
                    receipts += batch.receipts.len();
                    bytes += batch.stored_bytes;
                    let full = receipts > receipts_max || bytes > bytes_max || taken.len() == FRAME_BATCHES_MAX;
                    if !taken.is_empty() && full {
                        break;
                    }
                    let stored_bytes = batch.stored_bytes;
                    state.batches -= 1;
                    state.bytes -= stored_bytes;
                    taken.extend(state.work.pop_front());
                }
            }
        }
        state.taken = taken.len();
        Some(taken)
    }

    /// Refuses new work; what is queued is still done.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.changed.notify_all();
    }

    /// Batches that the sequencer is not done with.
    pub(crate) fn batches(&self) -> usize {
        let state = self.state();
        state.batches + state.taken
    }
}
