//! Every error becomes a gRPC status here, and nowhere else.

use core::fmt::Display;
use core::time::Duration;
use counterfoil_api::{ConversionError, PROOFS_MAX, reason};
use counterfoil_engine::{AppendError, ExportError, ReadError, ReceiptProblem, StreamsError};
use std::collections::HashMap;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, PreconditionViolation, StatusExt as _};

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Caller: a field of the request is malformed.
    #[error("{0}")]
    Request(#[from] ConversionError),
    /// Caller: no ledger of this name.
    #[error("there is no ledger {name} on this server")]
    UnknownLedger {
        /// Name asked for.
        name: String,
    },
    /// Caller, refused: no retention class of this name.
    #[error("receipt {at} of the batch: retention class {name} does not exist")]
    UnknownClass {
        /// 0-based position in the batch.
        at: usize,
        /// Name asked for.
        name: String,
    },
    /// Caller: a page token of another request, or none of ours.
    #[error("this page token does not belong to this ledger and selection")]
    PageToken,
    /// Caller: proofs for more receipts than one answer carries.
    #[error("{found} receipts are more than the {PROOFS_MAX} that get proofs in one batch")]
    TooManyProofs {
        /// Receipts found.
        found: usize,
    },
    /// The engine did not append.
    #[error("{0}")]
    Append(#[from] AppendError),
    /// The engine did not read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The engine listed no streams.
    #[error("{0}")]
    Streams(#[from] StreamsError),
    /// The engine made no bundle.
    #[error("{0}")]
    Export(#[from] ExportError),
    /// Our own bug: work was dropped without an answer.
    #[error("the server dropped this call without an answer")]
    Interrupted,
}

/// A status in the making.
pub(crate) struct Explained {
    pub(crate) code: Code,
    pub(crate) reason: &'static str,
    next: &'static str,
    facts: HashMap<String, String>,
    retry_after: Option<Duration>,
    /// Field of the request that is wrong.
    field: Option<String>,
    /// What the refusal is about.
    subject: Option<String>,
}

impl Explained {
    fn new(code: Code, reason: &'static str, next: &'static str) -> Self {
        Self { code, reason, next, facts: HashMap::new(), retry_after: None, field: None, subject: None }
    }

    fn invalid(reason: &'static str, next: &'static str) -> Self {
        Self::new(Code::InvalidArgument, reason, next)
    }

    fn refused(code: Code, reason: &'static str, next: &'static str, subject: String) -> Self {
        Self { subject: Some(subject), ..Self::new(code, reason, next) }
    }

    fn exhausted(reason: &'static str, next: &'static str, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Code::ResourceExhausted, reason, next) }
    }

    fn fact(mut self, name: &'static str, value: impl Display) -> Self {
        self.facts.insert(name.into(), value.to_string());
        self
    }

    fn field(mut self, field: impl Display) -> Self {
        self.field = Some(field.to_string());
        self
    }

    /// True when the operator of this server must act.
    pub(crate) fn is_for_operator(&self) -> bool {
        matches!(self.code, Code::DataLoss | Code::Internal)
            || matches!(self.reason, reason::POISONED | reason::DISK_FULL | reason::CATALOG_FAILED)
    }

    fn into_status(self, message: String) -> Status {
        let Self { code, reason, next, mut facts, retry_after, field, subject } = self;
        facts.insert(reason::NEXT.into(), next.into());
        let mut details = ErrorDetails::with_error_info(reason, reason::DOMAIN, facts);
        if let Some(retry_after) = retry_after {
            details.set_retry_info(Some(retry_after));
        }
        if let Some(field) = field {
            details.set_bad_request(vec![FieldViolation::new(field, message.as_str())]);
        }
        if let Some(subject) = subject {
            details.set_precondition_failure(vec![PreconditionViolation::new(reason, subject, message.as_str())]);
        }
        Status::with_error_details(code, message, details)
    }
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        failure.explain().into_status(failure.to_string())
    }
}

impl Failure {
    /// What a caller and the log need to know.
    pub(crate) fn explain(&self) -> Explained {
        match self {
            Self::Request(error) => Explained::invalid(reason::BAD_REQUEST, "correct this field").field(&error.field),
            Self::UnknownLedger { name } => Explained::new(
                Code::NotFound,
                reason::UNKNOWN_LEDGER,
                "name a ledger that this server has, such as main",
            )
            .fact("ledger", name),
            Self::UnknownClass { at, name } => unknown_class(*at, name),
            Self::PageToken => {
                Explained::invalid(reason::BAD_PAGE_TOKEN, "begin again without a page token").field("page_token")
            }
            Self::TooManyProofs { found } => {
                Explained::invalid(reason::TOO_MANY_RECEIPTS, "send smaller batches, or ask for proofs later")
                    .field("receipts")
                    .fact("max", PROOFS_MAX)
                    .fact("found", found)
            }
            Self::Append(error) => of_append(error),
            Self::Read(error) => of_read(error),
            Self::Streams(error) => of_streams(error),
            Self::Export(error) => of_export(error),
            Self::Interrupted => Explained::new(Code::Internal, reason::INTERNAL, "report this as a bug, with the log"),
        }
    }
}

fn unknown_class(at: usize, class: impl Display) -> Explained {
    let next = "use the class forever, or have an admin define this class first";
    let subject = format!("class/{class}");
    Explained::refused(Code::FailedPrecondition, reason::UNKNOWN_CLASS, next, subject)
        .fact("at", at)
        .fact("class", class)
}

fn of_append(error: &AppendError) -> Explained {
    let failed = |reason, next| Explained::new(Code::FailedPrecondition, reason, next);
    match error {
        AppendError::Empty => Explained::invalid(reason::EMPTY_BATCH, "send at least one receipt").field("receipts"),
        AppendError::TooManyReceipts { max, found } => too_large(reason::TOO_MANY_RECEIPTS, "receipts", *max, *found),
        AppendError::BatchTooLarge { max, found } => too_large(reason::BATCH_TOO_LARGE, "receipts", *max, *found),
        AppendError::Receipt { at, problem } => of_receipt(*at, problem),
        AppendError::StreamClosed { at, stream, closed_at } => {
            let next = "append to another stream; a closed stream stays closed";
            Explained::refused(Code::FailedPrecondition, reason::STREAM_CLOSED, next, format!("stream/{stream}"))
                .fact("at", at)
                .fact("stream", stream)
                .fact("closed_at", closed_at)
        }
        AppendError::LostRace { stream, expected, actual, head } => {
            let next = "read what the stream holds now and decide again";
            let lost = Explained::refused(Code::Aborted, reason::LOST_RACE, next, format!("stream/{stream}"))
                .fact("stream", stream)
                .fact("expected", expected)
                .fact("actual", actual);
            match head {
                Some(head) => lost.fact("head", head),
                None => lost,
            }
        }
        AppendError::IdReused => {
            let next = "use a new id for a new batch; the first one is in the ledger";
            Explained::refused(Code::FailedPrecondition, reason::ID_REUSED, next, "request_id".into())
        }
        AppendError::EarlierBatchRefused { number } => {
            let next = "send the refused batch again, or what replaces it, before the ones behind it";
            let subject = format!("batch {number}");
            Explained::refused(Code::FailedPrecondition, reason::EARLIER_BATCH_REFUSED, next, subject)
        }
        AppendError::Overloaded { retry_after } => {
            Explained::exhausted(reason::OVERLOADED, "try again after the stated delay", *retry_after)
        }
        AppendError::DiskFull { retry_after } => {
            Explained::exhausted(reason::DISK_FULL, "free space on the server's disk, then try again", *retry_after)
        }
        AppendError::ReadOnly => failed(reason::READ_ONLY, "serve the ledger without --read-only"),
        AppendError::Poisoned { .. } => failed(reason::POISONED, "look at the server's disk, then restart the server"),
        AppendError::Unreadable { cause } => of_read(cause),
        AppendError::ProofUnavailable { .. } => {
            let next = "do not send the batch again: it is durable. Ask for its proofs, and look at the server's disk";
            Explained::new(Code::Internal, reason::READ_FAILED, next)
        }
        AppendError::NotSealed { .. } => failed(reason::POISONED, "look at the server's disk, then restart the server"),
        AppendError::Closing => Explained::new(Code::Unavailable, reason::CLOSING, "try again when the server is back"),
    }
}

fn too_large(reason: &'static str, field: &str, max: usize, found: usize) -> Explained {
    Explained::invalid(reason, "send smaller batches").field(field).fact("max", max).fact("found", found)
}

fn of_receipt(at: usize, problem: &ReceiptProblem) -> Explained {
    let wrong = |reason, field: &str, next| {
        Explained::invalid(reason, next).field(format!("receipts[{at}].{field}")).fact("at", at)
    };
    match problem {
        ReceiptProblem::Reserved => {
            wrong(reason::RESERVED_NAME, "stream", "use another stream than ledger and another kind than ledger.*")
        }
        ReceiptProblem::UnknownClass(id) => unknown_class(at, id),
        ReceiptProblem::PayloadTooLarge { max, found } => {
            let next = "store the payload elsewhere and append its digest, or raise payload_bytes_max on the server";
            wrong(reason::PAYLOAD_TOO_LARGE, "payload", next).fact("max", max).fact("found", found)
        }
        ReceiptProblem::Media { media } => {
            let next = "correct the payload, or state the media type it has";
            wrong(reason::BAD_PAYLOAD, "payload", next).fact("media", media)
        }
        ReceiptProblem::TooManyLinks { found } => {
            wrong(reason::BAD_RECEIPT, "links", "link to fewer receipts").fact("found", found)
        }
        ReceiptProblem::UnknownLink(link) => {
            let next = "link to a receipt of an earlier batch, by its index and leaf hash";
            wrong(reason::UNKNOWN_LINK, "links", next).fact("index", link.index).fact("leaf_hash", link.leaf)
        }
        ReceiptProblem::Name { field, .. } => wrong(reason::BAD_RECEIPT, field, "correct this name"),
    }
}

fn of_read(error: &ReadError) -> Explained {
    let unknown = |reason, next| Explained::new(Code::NotFound, reason, next);
    match error {
        ReadError::UnknownIndex { index, size } => {
            unknown(reason::UNKNOWN_INDEX, "ask for an index below the ledger's size")
                .fact("index", index)
                .fact("size", size)
        }
        ReadError::UnknownStream { stream } => {
            unknown(reason::UNKNOWN_STREAM, "check the name of the stream").fact("stream", stream)
        }
        ReadError::OtherStream { .. } => {
            Explained::invalid(reason::BAD_PAGE_TOKEN, "use a page token with the stream it came from")
                .field("page_token")
        }
        ReadError::UnknownSize { asked, size } => {
            unknown(reason::UNKNOWN_SIZE, "ask for a size up to the ledger's").fact("asked", asked).fact("size", size)
        }
        ReadError::Corrupt { index, segment, offset, what } => {
            let next = "run counterfoil-verify on the ledger's directory";
            Explained::new(Code::DataLoss, reason::CORRUPT, next)
                .fact("index", index)
                .fact("segment", segment)
                .fact("offset", offset)
                .fact("what", what)
        }
        ReadError::Io { segment, .. } => {
            let next = "look at the server's disk and log, then try again";
            Explained::new(Code::Internal, reason::READ_FAILED, next).fact("segment", segment)
        }
    }
}

fn of_streams(error: &StreamsError) -> Explained {
    let failed = |reason, next| Explained::new(Code::FailedPrecondition, reason, next);
    match error {
        StreamsError::Off => failed(reason::NO_CATALOG, "name the stream, or serve the ledger without --read-only"),
        StreamsError::Failed { .. } => {
            failed(reason::CATALOG_FAILED, "look at the server's disk and restart it: the catalog is made anew then")
        }
        StreamsError::Closing => {
            Explained::new(Code::Unavailable, reason::CLOSING, "try again when the server is back")
        }
    }
}

fn of_export(error: &ExportError) -> Explained {
    match error {
        ExportError::EmptyRange { .. } => {
            Explained::invalid(reason::BAD_REQUEST, "give a range whose end is behind its beginning").field("range")
        }
        ExportError::TooManySeen { .. } => {
            Explained::invalid(reason::BAD_REQUEST, "name fewer checkpoints; the latest ones say most")
                .field("seen_sizes")
        }
        ExportError::Read(error) => of_read(error),
        ExportError::Append(error) => of_append(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_api::Problem;
    use counterfoil_proof::{Hash, LeafIndex, Link, NameError, StreamName, StreamSeq, TreeSize};
    use std::io;
    use std::sync::Arc;

    fn details(failure: impl Into<Failure>) -> (Code, ErrorDetails) {
        let status = Status::from(failure.into());
        (status.code(), status.get_error_details())
    }

    fn summary(failure: impl Into<Failure>) -> (Code, String) {
        let (code, details) = details(failure);
        let info = details.error_info().unwrap().clone();
        assert_eq!(info.domain, "counterfoil");
        assert!(!info.metadata["next"].is_empty());
        (code, info.reason)
    }

    fn receipt(problem: ReceiptProblem) -> AppendError {
        AppendError::Receipt { at: 3, problem }
    }

    #[test]
    fn every_append_error_has_its_code_and_reason() {
        use Code::{Aborted, FailedPrecondition, Internal, InvalidArgument, ResourceExhausted, Unavailable};
        let stream = StreamName::new("s").unwrap();
        let delay = Duration::from_millis(50);
        let cause = Arc::new(io::Error::other("x"));
        let link = Link { index: LeafIndex(9), leaf: Hash::ZERO };
        let unread = Arc::new(ReadError::UnknownIndex { index: LeafIndex(1), size: TreeSize(1) });
        for (error, code, reason) in [
            (AppendError::Empty, InvalidArgument, "EMPTY_BATCH"),
            (AppendError::TooManyReceipts { max: 1, found: 2 }, InvalidArgument, "TOO_MANY_RECEIPTS"),
            (AppendError::BatchTooLarge { max: 1, found: 2 }, InvalidArgument, "BATCH_TOO_LARGE"),
            (receipt(ReceiptProblem::Reserved), InvalidArgument, "RESERVED_NAME"),
            (receipt(ReceiptProblem::UnknownClass(7)), FailedPrecondition, "UNKNOWN_CLASS"),
            (receipt(ReceiptProblem::PayloadTooLarge { max: 1, found: 2 }), InvalidArgument, "PAYLOAD_TOO_LARGE"),
            (receipt(ReceiptProblem::Media { media: "json" }), InvalidArgument, "BAD_PAYLOAD"),
            (receipt(ReceiptProblem::TooManyLinks { found: 17 }), InvalidArgument, "BAD_RECEIPT"),
            (receipt(ReceiptProblem::UnknownLink(link)), InvalidArgument, "UNKNOWN_LINK"),
            (receipt(ReceiptProblem::Name { field: "kind", error: NameError::Empty }), InvalidArgument, "BAD_RECEIPT"),
            (
                AppendError::StreamClosed { at: 0, stream: stream.clone(), closed_at: StreamSeq(1) },
                FailedPrecondition,
                "STREAM_CLOSED",
            ),
            (
                AppendError::LostRace { stream, expected: StreamSeq(0), actual: StreamSeq(1), head: None },
                Aborted,
                "LOST_RACE",
            ),
            (AppendError::IdReused, FailedPrecondition, "ID_REUSED"),
            (AppendError::EarlierBatchRefused { number: 3 }, FailedPrecondition, "EARLIER_BATCH_REFUSED"),
            (AppendError::Overloaded { retry_after: delay }, ResourceExhausted, "OVERLOADED"),
            (AppendError::DiskFull { retry_after: delay }, ResourceExhausted, "DISK_FULL"),
            (AppendError::ReadOnly, FailedPrecondition, "READ_ONLY"),
            (AppendError::Poisoned { cause: cause.clone() }, FailedPrecondition, "POISONED"),
            (AppendError::Unreadable { cause: unread.clone() }, Code::NotFound, "UNKNOWN_INDEX"),
            (AppendError::ProofUnavailable { cause: unread }, Internal, "READ_FAILED"),
            (AppendError::NotSealed { cause }, FailedPrecondition, "POISONED"),
            (AppendError::Closing, Unavailable, "CLOSING"),
        ] {
            assert_eq!(summary(error), (code, reason.to_owned()));
        }
    }

    #[test]
    fn every_read_error_has_its_code_and_reason() {
        let segment = LeafIndex(0);
        let stream = StreamName::new("s").unwrap();
        for (error, code, reason) in [
            (ReadError::UnknownIndex { index: LeafIndex(5), size: TreeSize(5) }, Code::NotFound, "UNKNOWN_INDEX"),
            (
                ReadError::OtherStream { stream: stream.clone(), index: LeafIndex(1) },
                Code::InvalidArgument,
                "BAD_PAGE_TOKEN",
            ),
            (ReadError::UnknownStream { stream }, Code::NotFound, "UNKNOWN_STREAM"),
            (ReadError::UnknownSize { asked: TreeSize(6), size: TreeSize(5) }, Code::NotFound, "UNKNOWN_SIZE"),
            (ReadError::Corrupt { index: LeafIndex(5), segment, offset: 4096, what: "x" }, Code::DataLoss, "CORRUPT"),
            (ReadError::Io { segment, source: io::Error::other("x") }, Code::Internal, "READ_FAILED"),
        ] {
            assert_eq!(summary(error), (code, reason.to_owned()));
        }
    }

    #[test]
    fn every_listing_error_has_its_code_and_reason() {
        let cause = Arc::new(counterfoil_engine::CatalogError::Panicked);
        for (error, code, reason) in [
            (StreamsError::Off, Code::FailedPrecondition, "NO_CATALOG"),
            (StreamsError::Failed { cause }, Code::FailedPrecondition, "CATALOG_FAILED"),
            (StreamsError::Closing, Code::Unavailable, "CLOSING"),
        ] {
            assert_eq!(summary(error), (code, reason.to_owned()));
        }
    }

    #[test]
    fn failures_of_this_crate_have_their_code_and_reason() {
        let name = "n".to_owned();
        assert_eq!(summary(Failure::UnknownLedger { name: name.clone() }), (Code::NotFound, "UNKNOWN_LEDGER".into()));
        assert_eq!(summary(Failure::UnknownClass { at: 0, name }), (Code::FailedPrecondition, "UNKNOWN_CLASS".into()));
        assert_eq!(summary(Failure::PageToken), (Code::InvalidArgument, "BAD_PAGE_TOKEN".into()));
        assert_eq!(summary(Failure::TooManyProofs { found: 9 }), (Code::InvalidArgument, "TOO_MANY_RECEIPTS".into()));
        assert_eq!(summary(Failure::Interrupted), (Code::Internal, "INTERNAL".into()));
    }

    #[test]
    fn a_lost_race_carries_the_actual_head() {
        let (_, details) = details(AppendError::LostRace {
            stream: StreamName::new("incident/1").unwrap(),
            expected: StreamSeq(3),
            actual: StreamSeq(5),
            head: Some(Hash([1; 32])),
        });
        let facts = &details.error_info().unwrap().metadata;
        assert_eq!((facts["expected"].as_str(), facts["actual"].as_str()), ("3", "5"));
        assert_eq!(facts["head"], "01".repeat(32));
        let violation = &details.precondition_failure().unwrap().violations[0];
        assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), ("LOST_RACE", "stream/incident/1"));
    }

    #[test]
    fn overload_says_when_to_try_again() {
        let (_, details) = details(AppendError::Overloaded { retry_after: Duration::from_millis(70) });
        assert_eq!(details.retry_info().unwrap().retry_delay, Some(Duration::from_millis(70)));
    }

    #[test]
    fn every_export_error_has_its_code_and_reason() {
        let range = ExportError::EmptyRange { from: LeafIndex(3), to: TreeSize(3) };
        let stream = StreamName::new("s").unwrap();
        for (error, code, reason) in [
            (range, Code::InvalidArgument, "BAD_REQUEST"),
            (ExportError::TooManySeen { found: 65 }, Code::InvalidArgument, "BAD_REQUEST"),
            (ExportError::Read(ReadError::UnknownStream { stream }), Code::NotFound, "UNKNOWN_STREAM"),
            (ExportError::Append(AppendError::Closing), Code::Unavailable, "CLOSING"),
        ] {
            assert_eq!(summary(error), (code, reason.to_owned()));
        }
    }

    #[test]
    fn a_malformed_field_is_named() {
        let error = ConversionError::new("subject", Problem::Length { expected: 16, found: 1 }).in_list("receipts", 2);
        let (code, details) = details(error);
        assert_eq!(code, Code::InvalidArgument);
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "receipts[2].subject");
    }
}
