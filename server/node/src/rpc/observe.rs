//! One line in the log for each call: method, outcome, duration. Never payloads, never names that a caller chose.

use crate::status::Failure;
use core::time::Duration;
use tokio::time::Instant;
use tonic::{Response, Status};
use tracing::{debug, error};

/// Runs a call, logs how it went and puts the outcome on the wire.
pub(crate) async fn observed<T>(
    method: &'static str,
    call: impl Future<Output = Result<T, Failure>>,
) -> Result<Response<T>, Status> {
    let begin = Instant::now();
    match call.await {
        Ok(answer) => {
            debug!(method, outcome = "ok", duration = ?begin.elapsed(), "call");
            Ok(Response::new(answer))
        }
        Err(failure) => Err(failed(method, failure, begin.elapsed())),
    }
}

/// Logs a failure and makes its status.
pub(crate) fn failed(method: &'static str, failure: Failure, duration: Duration) -> Status {
    let explained = failure.explain();
    let outcome = explained.reason;
    if explained.is_for_operator() {
        error!(method, outcome, ?duration, cause = %failure, "call");
    } else {
        debug!(method, outcome, code = ?explained.code, ?duration, "call");
    }
    failure.into()
}
