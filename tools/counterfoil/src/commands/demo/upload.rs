//! The story, streamed.

use crate::failure::Failure;
use crate::progress::Progress;
use crate::story::{Story, StoryReceipt};
use bytes::Bytes;
use core::time::Duration;
use counterfoil_client::{Ack, AppendStream, AppendedReceipt, Client, NewReceipt, StreamOptions};
use counterfoil_proof::{LeafIndex, Subject};

const SEED: u64 = 1;
const BATCH_RECEIPTS: u64 = 1000;

/// What was streamed.
pub(super) struct Uploaded {
    pub(super) receipts: u64,
    pub(super) elapsed: Duration,
    /// The last receipt.
    pub(super) last: AppendedReceipt,
    /// A receipt in the middle, to be damaged in a copy.
    pub(super) victim: Victim,
}

/// A receipt whose payload is known.
pub(super) struct Victim {
    pub(super) index: LeafIndex,
    pub(super) stream: String,
    pub(super) kind: &'static str,
    pub(super) payload: String,
}

/// Streams the first receipts of the story in batches.
pub(super) async fn stream(client: &Client, receipts: u64) -> Result<Uploaded, Failure> {
    let progress = Progress::of_receipts(receipts);
    let mut story = Story::new(SEED);
    let mut counter = Counter { middle: receipts / 2, ..Counter::default() };
    let mut stream = client.append_stream(StreamOptions::default()).await?;
    let mut victim = None;
    let mut sent = 0;
    while sent < receipts {
        let count = BATCH_RECEIPTS.min(receipts - sent);
        let mut batch = Vec::with_capacity(usize::try_from(count).expect("at most a thousand"));
        for receipt in story.by_ref().take(batch.capacity()) {
            if sent == counter.middle {
                victim = Some(receipt.clone());
            }
            batch.push(new_receipt(receipt));
            sent += 1;
        }
        stream.send(batch).await?;
        while let Some(ack) = stream.ready_ack() {
            counter.take(&ack);
        }
        progress.at(counter.done, counter.done);
    }
    finish(&mut stream, &mut counter).await?;
    let elapsed = progress.elapsed();
    let (Some(last), Some(index), Some(victim)) = (counter.last, counter.middle_index, victim) else {
        unreachable!("every receipt was acknowledged, and there are two at least");
    };
    let StoryReceipt { stream, kind, payload, .. } = victim;
    Ok(Uploaded { receipts: counter.done, elapsed, last, victim: Victim { index, stream, kind, payload } })
}

async fn finish(stream: &mut AppendStream, counter: &mut Counter) -> Result<(), Failure> {
    while let Some(ack) = stream.next_ack().await? {
        counter.take(&ack);
    }
    Ok(())
}

/// Counts acknowledged receipts; they come in the order they were sent.
#[derive(Default)]
struct Counter {
    done: u64,
    middle: u64,
    middle_index: Option<LeafIndex>,
    last: Option<AppendedReceipt>,
}

impl Counter {
    fn take(&mut self, ack: &Ack) {
        for receipt in &ack.appended.receipts {
            if self.done == self.middle {
                self.middle_index = Some(receipt.index);
            }
            self.done += 1;
            self.last = Some(*receipt);
        }
    }
}

fn new_receipt(receipt: StoryReceipt) -> NewReceipt {
    let StoryReceipt { stream, kind, payload, subject, closes_stream } = receipt;
    let new = NewReceipt::json(&stream, kind, Bytes::from(payload)).expect("the story keeps the rules of names");
    NewReceipt { subject: subject.map(Subject), closes_stream, ..new }
}
