//! Appending: one batch, or a stream of batches whose answers come in order while later batches are already on their
//! way to the disk.

use crate::ledgers::{Hosted, Taken};
use crate::limits::{INLINE_ADMIT_BYTES_MAX, STREAM_BATCHES_MAX};
use crate::node::Node;
use crate::rpc::{observe, wire};
use crate::status::Failure;
use core::time::Duration;
use counterfoil_api::{ConversionError, Problem, parse, v1};
use counterfoil_engine::{AdmittedBatch, AppendError, Appended, Batch, BatchId, Ledger};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::codegen::BoxStream;
use tonic::{Status, Streaming};
use tracing::debug;

/// Answer of the engine to come.
type Answer = oneshot::Receiver<Result<Appended, AppendError>>;

/// Appends one batch.
pub(crate) async fn unary(node: &Node, request: v1::AppendRequest) -> Result<v1::AppendResponse, Failure> {
    let ledger = &node.ledger(&request.ledger)?.1.ledger;
    let id = parse::optional_id("request_id", &request.request_id)?.map(BatchId::Request);
    let batch = batch(node, ledger, id, request.receipts, request.with_proofs)?;
    let answer = submit(ledger, admit(ledger, batch).await?, None);
    Ok(v1::AppendResponse { appended: Some(wire::appended(answered(answer).await?)) })
}

fn batch(
    node: &Node,
    ledger: &Ledger,
    id: Option<BatchId>,
    receipts: Vec<v1::NewReceipt>,
    with_proofs: bool,
) -> Result<Batch, Failure> {
    Ok(Batch { writer: node.caller(), id, receipts: wire::receipts(ledger, receipts, with_proofs)?, with_proofs })
}

/// Admission is well under a millisecond for an ordinary batch, less than handing it to another thread. A large batch,
/// or one for which something is looked up on disk, gets a thread of its own.
async fn admit(ledger: &Ledger, batch: Batch) -> Result<AdmittedBatch, Failure> {
    let payloads: usize = batch.receipts.iter().map(|receipt| receipt.payload.len()).sum();
    if payloads <= INLINE_ADMIT_BYTES_MAX && ledger.admits_from_memory(&batch) {
        return Ok(ledger.admit(batch)?);
    }
    let ledger = ledger.clone();
    let admitted = tokio::task::spawn_blocking(move || ledger.admit(batch)).await;
    Ok(admitted.map_err(|_| Failure::Interrupted)??)
}

fn submit(ledger: &Ledger, batch: AdmittedBatch, taken: Option<Taken>) -> Answer {
    let (sender, answer) = oneshot::channel();
    ledger.submit(batch, move |done| {
        drop(taken);
        // A caller that stopped waiting gets no answer; what was accepted is appended all the same.
        let _ = sender.send(done);
    });
    answer
}

async fn answered(answer: Answer) -> Result<Appended, Failure> {
    Ok(answer.await.map_err(|_| Failure::Interrupted)??)
}

/// Appends the batches of a stream.
pub(crate) fn stream(
    node: Arc<Node>,
    batches: Streaming<v1::AppendStreamRequest>,
) -> BoxStream<v1::AppendStreamResponse> {
    let (answers, in_flight) = mpsc::channel(STREAM_BATCHES_MAX);
    tokio::spawn(async move {
        let begin = Instant::now();
        let accepted = accept_all(&node, batches, answers).await;
        debug!(method = "AppendStream", accepted, duration = ?begin.elapsed(), "stream ended");
    });
    Box::pin(ReceiverStream::new(in_flight).then(InFlight::answer))
}

/// A batch whose answer is to come, or what ends the stream.
enum InFlight {
    Accepted { batch_number: u64, answer: Answer, begin: Instant },
    Refused(Failure),
    Broken(Status),
}

impl InFlight {
    async fn answer(self) -> Result<v1::AppendStreamResponse, Status> {
        const METHOD: &str = "AppendStream";
        match self {
            Self::Accepted { batch_number, answer, begin } => match answered(answer).await {
                Ok(appended) => {
                    debug!(method = METHOD, outcome = "ok", duration = ?begin.elapsed(), "batch");
                    Ok(v1::AppendStreamResponse { batch_number, appended: Some(wire::appended(appended)) })
                }
                Err(failure) => Err(observe::failed(METHOD, failure, begin.elapsed())),
            },
            Self::Refused(failure) => Err(observe::failed(METHOD, failure, Duration::ZERO)),
            Self::Broken(status) => Err(status),
        }
    }
}

/// Accepts batches until the stream ends, one is refused, or the server stops. Gives the number accepted.
async fn accept_all(
    node: &Node,
    mut batches: Streaming<v1::AppendStreamRequest>,
    answers: mpsc::Sender<InFlight>,
) -> u64 {
    let mut session: Option<Session> = None;
    let mut accepted = 0;
    // A place for the answer comes first: without it nothing more is read. No place means that the caller is gone.
    while let Ok(place) = answers.reserve().await {
        let next = tokio::select! {
            biased;
            () = node.stopping() => Err(InFlight::Refused(AppendError::Closing.into())),
            message = batches.message() => message.map_err(InFlight::Broken),
        };
        let message = match next {
            Ok(Some(message)) => message,
            Ok(None) => break,
            Err(end) => {
                place.send(end);
                break;
            }
        };
        match accept(node, &mut session, message).await {
            Ok(in_flight) => place.send(in_flight),
            Err(failure) => {
                place.send(InFlight::Refused(failure));
                break;
            }
        }
        accepted += 1;
    }
    accepted
}

async fn accept(
    node: &Node,
    session: &mut Option<Session>,
    message: v1::AppendStreamRequest,
) -> Result<InFlight, Failure> {
    let begin = Instant::now();
    let session = match session {
        Some(session) => session.continued_by(&message)?,
        None => session.insert(Session::begun_by(&message)?),
    };
    let (batch_number, id) = (message.batch_number, session.batch(message.batch_number)?);
    let Hosted { ledger, room } = node.ledger(&session.ledger)?.1;
    let batch = batch(node, ledger, Some(id), message.receipts, message.with_proofs)?;
    let bytes = batch.stored_bytes_max();
    let taken = room.take(bytes).await;
    let answer = submit(ledger, admit(ledger, batch).await?, Some(taken));
    Ok(InFlight::Accepted { batch_number, answer, begin })
}

/// What the first message of a stream settles.
struct Session {
    ledger: String,
    id: [u8; 16],
    last: Option<u64>,
}

impl Session {
    fn begun_by(first: &v1::AppendStreamRequest) -> Result<Self, ConversionError> {
        Ok(Self { ledger: first.ledger.clone(), id: parse::id("session", &first.session)?, last: None })
    }

    fn continued_by(&mut self, next: &v1::AppendStreamRequest) -> Result<&mut Self, ConversionError> {
        let first = Problem::Contradicts { other: "the first message of the stream" };
        if !next.ledger.is_empty() && next.ledger != self.ledger {
            return Err(ConversionError::new("ledger", first));
        }
        if !next.session.is_empty() && next.session[..] != self.id {
            return Err(ConversionError::new("session", first));
        }
        Ok(self)
    }

    fn batch(&mut self, number: u64) -> Result<BatchId, ConversionError> {
        if self.last.is_some_and(|last| number <= last) {
            let problem = Problem::Contradicts { other: "the batch before, whose number is not smaller" };
            return Err(ConversionError::new("batch_number", problem));
        }
        self.last = Some(number);
        Ok(BatchId::Session { session: self.id, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(ledger: &str, session: &[u8]) -> v1::AppendStreamRequest {
        v1::AppendStreamRequest { ledger: ledger.into(), session: session.to_vec().into(), ..Default::default() }
    }

    #[test]
    fn a_stream_begins_with_16_bytes_of_session() {
        assert!(Session::begun_by(&message("main", &[1; 16])).is_ok());
        assert_eq!(
            Session::begun_by(&message("main", &[])).err().unwrap().to_string(),
            "session has 0 bytes, expected 16"
        );
    }

    #[test]
    fn later_messages_repeat_ledger_and_session_or_leave_them_empty() {
        let mut session = Session::begun_by(&message("main", &[1; 16])).unwrap();
        assert!(session.continued_by(&message("", &[])).is_ok());
        assert!(session.continued_by(&message("main", &[1; 16])).is_ok());
        assert!(session.continued_by(&message("other", &[])).is_err());
        assert!(session.continued_by(&message("", &[2; 16])).is_err());
    }

    #[test]
    fn batch_numbers_grow() {
        let mut session = Session::begun_by(&message("main", &[1; 16])).unwrap();
        assert!(session.batch(0).is_ok());
        assert!(session.batch(5).is_ok());
        assert_eq!(
            session.batch(5).unwrap_err().to_string(),
            "batch_number contradicts the batch before, whose number is not smaller"
        );
    }
}
