//! One batch at a time, sent again when that is safe.

use crate::check::{self, Asked};
use crate::client::{Client, answer, with_timeout};
use crate::error::{Error, Report};
use crate::types::{AppendOptions, Appended, BatchId, BatchLimits, NewReceipt};
use core::time::Duration;
use counterfoil_api::{reason, v1};
use tokio::time::{Instant, sleep};

const RETRY_DELAY_FIRST: Duration = Duration::from_millis(20);
const RETRY_DELAY_MAX: Duration = Duration::from_secs(1);

impl Client {
    /// Appends a batch, all of it or nothing. It is durable when this returns.
    ///
    /// When the server is overloaded, closing or gone, the batch is sent again until the timeout, under the same
    /// request id, so that it is never appended twice.
    ///
    /// # Errors
    /// [`Error::Refused`] when the ledger's rules say no. After [`Error::Timeout`] and [`Error::Unreachable`] the outcome
    /// is unknown: send the batch again with the same [`AppendOptions::request_id`].
    pub async fn append(&self, receipts: Vec<NewReceipt>, options: AppendOptions) -> Result<Appended, Error> {
        check_batch(&receipts, options.with_proofs, &self.identity().limits)?;
        let request_id = options.request_id.map_or_else(BatchId::random, Ok)?;
        let asked = Asked { receipts: receipts.len(), with_proofs: options.with_proofs };
        let message = v1::AppendRequest {
            ledger: self.ledger(),
            receipts: wire_receipts(receipts),
            request_id: request_id.0.to_vec().into(),
            with_proofs: options.with_proofs,
        };
        let appended = self.append_until_answered(message).await?;
        check::appended(appended, asked, &self.shared.trust)
    }

    async fn append_until_answered(&self, message: v1::AppendRequest) -> Result<Option<v1::Appended>, Error> {
        let deadline = Instant::now() + self.shared.timeout;
        let mut backoff = RETRY_DELAY_FIRST;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let request = with_timeout(message.clone(), left);
            let error = match answer(left, self.rpc.clone().append(request)).await {
                Ok(answer) => return Ok(answer.appended),
                Err(Error::Timeout { .. }) => return Err(Error::Timeout { after: self.shared.timeout }),
                Err(error @ (Error::Unreachable(_) | Error::Busy(_))) => error,
                Err(error) => return Err(error),
            };
            let delay = error.report().and_then(|report| report.retry_after).unwrap_or(backoff);
            if Instant::now() + delay >= deadline {
                return Err(error);
            }
            sleep(delay).await;
            backoff = (backoff * 2).min(RETRY_DELAY_MAX);
        }
    }
}

/// Refuses here what the server would refuse, before it is sent.
pub(crate) fn check_batch(receipts: &[NewReceipt], with_proofs: bool, limits: &BatchLimits) -> Result<(), Error> {
    let invalid = |code, message: String| Err(Error::Invalid(Report::new(code, message, "send smaller batches")));
    let bytes: usize = receipts.iter().map(|receipt| receipt.payload.len()).sum();
    match receipts.len() {
        0 => return invalid(reason::EMPTY_BATCH, "the batch holds no receipt".into()),
        found if found > limits.batch_receipts_max => {
            let message = format!("{found} receipts are more than the {} of one batch", limits.batch_receipts_max);
            return invalid(reason::TOO_MANY_RECEIPTS, message);
        }
        found if with_proofs && found > limits.proofs_max => {
            let message = format!("{found} receipts are more than the {} that get proofs", limits.proofs_max);
            return invalid(reason::TOO_MANY_RECEIPTS, message);
        }
        _ => {}
    }
    if bytes > limits.batch_bytes_max {
        let message = format!("{bytes} bytes are more than the {} of one batch", limits.batch_bytes_max);
        return invalid(reason::BATCH_TOO_LARGE, message);
    }
    Ok(())
}

pub(crate) fn wire_receipts(receipts: Vec<NewReceipt>) -> Vec<v1::NewReceipt> {
    receipts.into_iter().map(wire_receipt).collect()
}

fn wire_receipt(receipt: NewReceipt) -> v1::NewReceipt {
    v1::NewReceipt {
        stream: receipt.stream.as_str().to_owned(),
        kind: receipt.kind.as_str().to_owned(),
        class: receipt.class.unwrap_or_default(),
        media: v1::Media::from(receipt.media).into(),
        payload: receipt.payload,
        subject: receipt.subject.map(|subject| subject.0.to_vec().into()).unwrap_or_default(),
        links: receipt.links.into_iter().map(v1::Link::from).collect(),
        closes_stream: receipt.closes_stream,
        expected_stream_seq: receipt.expected_stream_seq.map(|seq| seq.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BatchLimits =
        BatchLimits { payload_bytes_max: 8, batch_receipts_max: 4, batch_bytes_max: 10, proofs_max: 2 };

    fn batch(payloads: &[usize]) -> Vec<NewReceipt> {
        payloads.iter().map(|len| NewReceipt::json("s", "k/1", vec![b' '; *len]).unwrap()).collect()
    }

    fn code(payloads: &[usize], with_proofs: bool) -> String {
        check_batch(&batch(payloads), with_proofs, &LIMITS).unwrap_err().code().to_owned()
    }

    #[test]
    fn batches_beyond_the_limits_are_refused_before_they_are_sent() {
        assert!(check_batch(&batch(&[5, 5]), true, &LIMITS).is_ok());
        assert_eq!(code(&[], false), reason::EMPTY_BATCH);
        assert_eq!(code(&[1; 5], false), reason::TOO_MANY_RECEIPTS);
        assert_eq!(code(&[1; 3], true), reason::TOO_MANY_RECEIPTS);
        assert_eq!(code(&[6, 5], false), reason::BATCH_TOO_LARGE);
    }
}
