//! The ledgers a server serves, by name.

use crate::limits::STREAM_QUEUE_SHARE;
use counterfoil_api::DEFAULT_LEDGER;
use counterfoil_engine::{Ledger, Limits};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Open ledgers by name.
#[derive(Clone)]
pub struct Ledgers(BTreeMap<String, Hosted>);

impl Ledgers {
    /// One ledger, under the name that an empty name means.
    #[must_use]
    pub fn single(ledger: Ledger) -> Self {
        let hosted = Hosted { room: Room::of(ledger.limits()), ledger };
        Self(BTreeMap::from([(DEFAULT_LEDGER.to_owned(), hosted)]))
    }

    /// The ledger that a request means, with its name.
    pub(crate) fn find<'a>(&'a self, name: &'a str) -> Option<(&'a str, &'a Hosted)> {
        let name = if name.is_empty() { DEFAULT_LEDGER } else { name };
        Some((name, self.0.get(name)?))
    }

    pub(crate) fn into_ledgers(self) -> impl Iterator<Item = (String, Ledger)> {
        self.0.into_iter().map(|(name, hosted)| (name, hosted.ledger))
    }
}

/// A ledger and the room that streams have in its queue.
#[derive(Clone)]
pub(crate) struct Hosted {
    pub(crate) ledger: Ledger,
    pub(crate) room: Room,
}

/// Room for batches of streams in the queue of a ledger. A batch takes its room before it is submitted and gives it
/// back when it is durable or refused, so that streams wait here and the engine never has to refuse them.
#[derive(Clone)]
pub(crate) struct Room {
    batches: Arc<Semaphore>,
    kibibytes: Arc<Semaphore>,
    kibibytes_max: u32,
}

/// Room taken by one batch, given back when dropped.
pub(crate) struct Taken(#[expect(dead_code, reason = "held, not read")] [OwnedSemaphorePermit; 2]);

impl Room {
    fn of(limits: &Limits) -> Self {
        let kibibytes_max = kibibytes(limits.queue_bytes_max / STREAM_QUEUE_SHARE).max(1);
        Self {
            batches: Arc::new(Semaphore::new((limits.queue_batches_max / STREAM_QUEUE_SHARE).max(1))),
            kibibytes: Arc::new(Semaphore::new(kibibytes_max as usize)),
            kibibytes_max,
        }
    }

    /// Waits for room. A batch larger than all of it gets all of it.
    pub(crate) async fn take(&self, bytes: usize) -> Taken {
        let wanted = kibibytes(bytes).clamp(1, self.kibibytes_max);
        let batch = self.batches.clone().acquire_owned().await.expect("this semaphore is never closed");
        let bytes = self.kibibytes.clone().acquire_many_owned(wanted).await.expect("this semaphore is never closed");
        Taken([batch, bytes])
    }
}

fn kibibytes(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(queue_batches_max: usize, queue_bytes_max: usize) -> Room {
        Room::of(&Limits { queue_batches_max, queue_bytes_max, ..Limits::default() })
    }

    #[tokio::test]
    async fn a_batch_larger_than_all_room_gets_all_of_it() {
        let room = room(8, 8 * 1024);
        let taken = room.take(usize::MAX).await;
        assert_eq!(room.kibibytes.available_permits(), 0);
        drop(taken);
        assert_eq!(room.kibibytes.available_permits(), 4);
    }

    #[tokio::test]
    async fn batches_wait_for_room_instead_of_being_refused() {
        let room = room(2, 1024 * 1024);
        let first = room.take(1).await;
        let second = tokio::spawn({
            let room = room.clone();
            async move { drop(room.take(1).await) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished());
        drop(first);
        second.await.unwrap();
    }
}
