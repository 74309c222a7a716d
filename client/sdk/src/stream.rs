//! Batches in flight: many are on their way while the first is written.

use crate::append::{check_batch, wire_receipts};
use crate::check::{self, Asked};
use crate::client::{Client, answer};
use crate::error::{Error, RECONNECT, Report, UNREACHABLE, VerificationError};
use crate::types::{Appended, BatchId, NewReceipt};
use counterfoil_api::v1;
use std::collections::VecDeque;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Streaming};

/// How to stream batches.
#[derive(Clone, Copy, Debug)]
pub struct StreamOptions {
    /// Name of the session; `None` takes fresh random bytes. State it to send unanswered batches again after a broken
    /// connection, under the numbers they had.
    pub session: Option<BatchId>,
    /// Number of the first batch.
    pub first_batch: u64,
    /// True to get, and check, an inclusion proof for each receipt.
    pub with_proofs: bool,
    /// Most batches sent and not yet answered.
    pub batches_in_flight_max: usize,
    /// Most payload bytes sent and not yet answered; one batch may always be on its way.
    pub bytes_in_flight_max: usize,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self {
            session: None,
            first_batch: 0,
            with_proofs: false,
            batches_in_flight_max: 32,
            bytes_in_flight_max: 32 * 1024 * 1024,
        }
    }
}

/// The checked answer to one batch of a stream.
#[derive(Clone, Debug)]
pub struct Ack {
    /// The batch.
    pub batch: u64,
    /// Where its receipts went.
    pub appended: Appended,
}

/// A stream of batches to one ledger. Answers come in the order of the batches; after an error, every batch that was
/// acknowledged is durable and [`AppendStream::unacknowledged`] names those whose outcome is unknown.
#[derive(Debug)]
pub struct AppendStream {
    client: Client,
    options: StreamOptions,
    session: BatchId,
    outgoing: mpsc::Sender<v1::AppendStreamRequest>,
    incoming: Streaming<v1::AppendStreamResponse>,
    next_batch: u64,
    pending: VecDeque<Pending>,
    bytes_in_flight: usize,
    ready: VecDeque<Ack>,
    failure: Option<Error>,
}

/// A batch on its way.
#[derive(Clone, Copy, Debug)]
struct Pending {
    batch: u64,
    receipts: usize,
    bytes: usize,
}

impl Client {
    /// Opens a stream of batches.
    ///
    /// # Errors
    /// [`Error::Unreachable`] or [`Error::Timeout`] when the server does not answer.
    pub async fn append_stream(&self, options: StreamOptions) -> Result<AppendStream, Error> {
        let session = options.session.map_or_else(BatchId::random, Ok)?;
        let (outgoing, requests) = mpsc::channel(options.batches_in_flight_max.max(1));
        let request = Request::new(ReceiverStream::new(requests));
        let incoming = answer(self.shared.timeout, self.rpc.clone().append_stream(request)).await?;
        Ok(AppendStream {
            client: self.clone(),
            options,
            session,
            outgoing,
            incoming,
            next_batch: options.first_batch,
            pending: VecDeque::new(),
            bytes_in_flight: 0,
            ready: VecDeque::new(),
            failure: None,
        })
    }
}

impl AppendStream {
    /// Name of the session, to be stated when unanswered batches are sent again.
    #[must_use]
    pub fn session(&self) -> BatchId {
        self.session
    }

    /// Sends a batch and gives its number. Waits for answers while too much is in flight; those are kept for
    /// [`AppendStream::next_ack`] and [`AppendStream::ready_ack`], so take them from time to time.
    ///
    /// # Errors
    /// [`Error::Invalid`] when this batch is beyond the limits, which leaves the stream as it was; anything else ends
    /// the stream, because a batch was refused or the connection broke.
    pub async fn send(&mut self, receipts: Vec<NewReceipt>) -> Result<u64, Error> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        check_batch(&receipts, self.options.with_proofs, &self.client.identity().limits)?;
        let bytes: usize = receipts.iter().map(|receipt| receipt.payload.len()).sum();
        while self.is_full(bytes) {
            self.receive().await?;
        }
        let pending = Pending { batch: self.next_batch, receipts: receipts.len(), bytes };
        let message = v1::AppendStreamRequest {
            ledger: self.client.ledger(),
            session: self.session.0.to_vec().into(),
            batch_number: pending.batch,
            receipts: wire_receipts(receipts),
            with_proofs: self.options.with_proofs,
        };
        if self.outgoing.send(message).await.is_err() {
            return Err(self.ending().await);
        }
        self.next_batch += 1;
        self.bytes_in_flight += bytes;
        self.pending.push_back(pending);
        Ok(pending.batch)
    }

    /// The oldest answer not yet taken; waits for it. `None` when every batch sent was answered and taken.
    ///
    /// # Errors
    /// What ended the stream, once all answers before it are taken.
    pub async fn next_ack(&mut self) -> Result<Option<Ack>, Error> {
        if self.ready.is_empty() {
            if let Some(failure) = &self.failure {
                return Err(failure.clone());
            }
            if !self.pending.is_empty() {
                self.receive().await?;
            }
        }
        Ok(self.ready.pop_front())
    }

    /// The oldest answer that already came; does not wait.
    pub fn ready_ack(&mut self) -> Option<Ack> {
        self.ready.pop_front()
    }

    /// Batches sent and not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.pending.len()
    }

    /// Numbers of the batches that were sent and not answered. After an error they may or may not be in the ledger: send
    /// them again with the same [`StreamOptions::session`] and numbers.
    pub fn unacknowledged(&self) -> impl Iterator<Item = u64> + '_ {
        self.pending.iter().map(|pending| pending.batch)
    }

    /// Waits for all answers and gives those not yet taken.
    ///
    /// # Errors
    /// What ended the stream before the last answer. To keep the answers before it, take them by
    /// [`AppendStream::next_ack`] first.
    pub async fn finish(mut self) -> Result<Vec<Ack>, Error> {
        let mut acks = Vec::with_capacity(self.ready.len() + self.pending.len());
        while let Some(ack) = self.next_ack().await? {
            acks.push(ack);
        }
        Ok(acks)
    }

    fn is_full(&self, bytes: usize) -> bool {
        !self.pending.is_empty()
            && (self.pending.len() >= self.options.batches_in_flight_max
                || self.bytes_in_flight.saturating_add(bytes) > self.options.bytes_in_flight_max)
    }

    /// Waits for one answer, checks it, and keeps it in `ready`.
    async fn receive(&mut self) -> Result<(), Error> {
        match self.receive_checked().await {
            Ok(ack) => {
                self.ready.push_back(ack);
                Ok(())
            }
            Err(error) => {
                self.failure = Some(error.clone());
                Err(error)
            }
        }
    }

    async fn receive_checked(&mut self) -> Result<Ack, Error> {
        let after = self.client.shared.timeout;
        let message = match timeout(after, self.incoming.message()).await {
            Err(_) => return Err(Error::Timeout { after }),
            Ok(Err(status)) => return Err(Error::from_status(&status, after)),
            Ok(Ok(None)) => return Err(ended_early()),
            Ok(Ok(Some(message))) => message,
        };
        let Some(pending) = self.pending.front().copied() else {
            return Err(VerificationError::Count { what: "answers", asked: 0, found: 1 }.into());
        };
        if message.batch_number != pending.batch {
            return Err(VerificationError::OutOfOrder { asked: pending.batch, found: message.batch_number }.into());
        }
        let asked = Asked { receipts: pending.receipts, with_proofs: self.options.with_proofs };
        let appended = check::appended(message.appended, asked, &self.client.shared.trust)?;
        self.pending.pop_front();
        self.bytes_in_flight -= pending.bytes;
        Ok(Ack { batch: pending.batch, appended })
    }

    /// The server reads no more: what came before its last word is kept, and its last word is why.
    async fn ending(&mut self) -> Error {
        loop {
            if let Err(error) = self.receive().await {
                return error;
            }
        }
    }
}

fn ended_early() -> Error {
    let message = "the server ended the stream before it answered every batch";
    Error::Unreachable(Report::new(UNREACHABLE, message, RECONNECT))
}
