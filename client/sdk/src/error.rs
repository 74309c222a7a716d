//! Errors, sorted by who must act.

use core::fmt;
use core::time::Duration;
use counterfoil_api::{ConversionError, reason};
use counterfoil_proof::{LeafHash, LeafIndex, MerkleError, PolicyError, ProofFileError, SignedCheckpoint};
use std::collections::BTreeMap;
use std::error::Error as _;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// Why a call has no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// Retry: the server cannot be reached, went away or is closing.
    #[error("{0}")]
    Unreachable(Box<Report>),
    /// Retry: no answer in time. A batch may have been appended all the same.
    #[error("no answer within {} s", after.as_secs_f64())]
    Timeout {
        /// How long the call was allowed to take.
        after: Duration,
    },
    /// Retry: the ledger takes no more at the moment, retries included.
    #[error("{0}")]
    Busy(Box<Report>),
    /// Caller: the ledger's rules say no: lost race, closed stream, unknown class.
    #[error("{0}")]
    Refused(Box<Report>),
    /// Caller: there is no such ledger, receipt, stream or tree size.
    #[error("{0}")]
    NotFound(Box<Report>),
    /// Caller: the request itself is wrong.
    #[error("{0}")]
    Invalid(Box<Report>),
    /// Nobody should rely on this answer: a check failed.
    #[error("the answer does not hold: {0}")]
    Verification(Box<VerificationError>),
    /// Operator: the server found stored bytes that do not lead to their hash.
    #[error("{0}")]
    Corrupt(Box<Report>),
    /// Operator: the server cannot do it: read-only, poisoned, failing disk.
    #[error("{0}")]
    Failed(Box<Report>),
    /// Operator of this machine: it gives no random bytes.
    #[error("this machine gives no random bytes: {0}")]
    Randomness(getrandom::Error),
}

/// What the server, or this client in its place, has to say about a failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Machine-readable reason, one of [`counterfoil_api::reason`] or one of this module.
    pub code: String,
    /// What is wrong.
    pub message: String,
    /// What to do next; empty when nothing is known.
    pub next: String,
    /// Facts by name, such as `actual` and `head` of a lost race.
    pub facts: BTreeMap<String, String>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

/// [`Report::code`] when no server answered.
pub const UNREACHABLE: &str = "UNREACHABLE";
pub(crate) const RECONNECT: &str = "see whether the server runs. A batch that was on its way may have been appended: send it again under the same \
     request id or session, which appends it once";
/// [`Report::code`] when the URL of the server is not one.
pub const BAD_SERVER: &str = "BAD_SERVER";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Report {
    pub(crate) fn new(code: &str, message: impl Into<String>, next: impl Into<String>) -> Box<Self> {
        Box::new(Self {
            code: code.into(),
            message: message.into(),
            next: next.into(),
            facts: BTreeMap::new(),
            retry_after: None,
        })
    }
}

impl Error {
    /// Machine-readable reason.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Timeout { .. } => "TIMEOUT",
            Self::Verification(error) => error.code(),
            Self::Randomness(_) => "NO_RANDOMNESS",
            other => other.report().map_or("", |report| report.code.as_str()),
        }
    }

    /// What to do next, in a sentence; empty when nothing is known.
    #[must_use]
    pub fn next(&self) -> &str {
        match self {
            Self::Timeout { .. } => {
                "send the batch again under the same request id, which appends it once, or allow more time"
            }
            Self::Verification(_) => {
                "do not rely on this answer; keep it, and check the ledger with counterfoil-verify and a key you trust"
            }
            Self::Randomness(_) => "wait until the system's random source is ready",
            other => other.report().map_or("", |report| report.next.as_str()),
        }
    }

    /// Facts by name; empty when there are none.
    #[must_use]
    pub fn facts(&self) -> &BTreeMap<String, String> {
        static NONE: BTreeMap<String, String> = BTreeMap::new();
        self.report().map_or(&NONE, |report| &report.facts)
    }

    /// What was reported, unless the error is of this client's own finding.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        match self {
            Self::Unreachable(report)
            | Self::Busy(report)
            | Self::Refused(report)
            | Self::NotFound(report)
            | Self::Invalid(report)
            | Self::Corrupt(report)
            | Self::Failed(report) => Some(report),
            Self::Timeout { .. } | Self::Verification(_) | Self::Randomness(_) => None,
        }
    }

    /// True when the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy(_) | Self::Timeout { .. })
    }

    pub(crate) fn unreachable(server: &str, error: &tonic::transport::Error) -> Self {
        let message = format!("no server answers at {server}: {}", innermost(error));
        Self::Unreachable(Report::new(UNREACHABLE, message, "start `counterfoil serve`, or name another --server"))
    }

    /// Sorts a status by its reason and code.
    pub(crate) fn from_status(status: &Status, timeout: Duration) -> Self {
        let details = status.get_error_details();
        let Some(info) = details.error_info().filter(|info| info.domain == reason::DOMAIN) else {
            return Self::from_foreign_status(status, timeout);
        };
        let mut facts: BTreeMap<String, String> =
            info.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        let report = Box::new(Report {
            code: info.reason.clone(),
            message: status.message().to_owned(),
            next: facts.remove(reason::NEXT).unwrap_or_default(),
            facts,
            retry_after: details.retry_info().and_then(|retry| retry.retry_delay),
        });
        match (info.reason.as_str(), status.code()) {
            (
                reason::READ_ONLY
                | reason::POISONED
                | reason::NO_CATALOG
                | reason::CATALOG_FAILED
                | reason::READ_FAILED
                | reason::INTERNAL,
                _,
            ) => Self::Failed(report),
            (_, Code::Unavailable) => Self::Unreachable(report),
            (_, Code::ResourceExhausted) => Self::Busy(report),
            (_, Code::NotFound) => Self::NotFound(report),
            (_, Code::InvalidArgument) => Self::Invalid(report),
            (_, Code::DataLoss) => Self::Corrupt(report),
            _ => Self::Refused(report),
        }
    }

    /// A status made by the transport or by something between, not by our server.
    fn from_foreign_status(status: &Status, timeout: Duration) -> Self {
        let code = format!("{:?}", status.code());
        let report = |next: &str| Report::new(&code, status.message(), next);
        match status.code() {
            Code::Cancelled | Code::DeadlineExceeded => Self::Timeout { after: timeout },
            Code::InvalidArgument | Code::OutOfRange => Self::Invalid(report("send smaller batches")),
            Code::Unimplemented => Self::Invalid(report("use a client and a server of the same version")),
            Code::NotFound => Self::NotFound(report("")),
            Code::ResourceExhausted => Self::Busy(report("try again later")),
            // What the transport makes of a broken connection carries its cause; an answer that cannot be decoded has none.
            Code::Unknown | Code::Internal if status.source().is_none() => {
                Self::Failed(report("use a client and a server of the same version, and look at the server's log"))
            }
            Code::Unavailable | Code::Unknown | Code::Internal => {
                let cause = status.source().map_or_else(|| status.message().to_owned(), innermost);
                let message = format!("the connection to the server broke: {cause}");
                Self::Unreachable(Report::new(UNREACHABLE, message, RECONNECT))
            }
            _ => Self::Refused(report("")),
        }
    }
}

impl From<VerificationError> for Error {
    fn from(error: VerificationError) -> Self {
        Self::Verification(Box::new(error))
    }
}

impl From<ConversionError> for Error {
    fn from(error: ConversionError) -> Self {
        VerificationError::Malformed(error).into()
    }
}

/// The error at the end of a chain, which names what happened where the outer ones say "transport error".
fn innermost(error: &(dyn core::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Which check of an answer failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum VerificationError {
    /// A field does not hold what it must.
    #[error("{0}")]
    Malformed(ConversionError),
    /// A checkpoint is not signed by whom we trust.
    #[error("{0}")]
    Untrusted(PolicyError),
    /// The server states a checkpoint key that the trust policy does not name.
    #[error("the server states the checkpoint key {stated}, which is not trusted")]
    UnknownKey {
        /// Verifier key the server states.
        stated: String,
    },
    /// A proof does not hold.
    #[error("{0}")]
    Proof(ProofFileError),
    /// An inclusion proof does not lead to the checkpoint of its batch.
    #[error("the proof of receipt {index}: {error}")]
    Inclusion {
        /// The receipt.
        index: LeafIndex,
        /// What is wrong with the proof.
        error: MerkleError,
    },
    /// A proof comes with another checkpoint, or for another leaf or size, than was asked for.
    #[error("the proof is not about what was asked")]
    OtherProof,
    /// An envelope does not lead to its leaf hash.
    #[error("the envelope of receipt {index} has leaf hash {found}, the server says {stated}")]
    Leaf {
        /// The receipt.
        index: LeafIndex,
        /// Leaf hash the server states.
        stated: LeafHash,
        /// Leaf hash of the envelope.
        found: LeafHash,
    },
    /// Salt and payload are not the ones committed to.
    #[error("salt and payload of receipt {index} are not the ones its envelope commits to")]
    Commitment {
        /// The receipt.
        index: LeafIndex,
    },
    /// A field beside an envelope differs from it.
    #[error("the answer states another {field} than the envelope of receipt {index}")]
    Shown {
        /// The receipt.
        index: LeafIndex,
        /// The field.
        field: &'static str,
    },
    /// Another receipt than the one asked for, or a gap.
    #[error("receipt {found} came where {asked} was due")]
    OutOfOrder {
        /// Position that was due, in the ledger or in the stream.
        asked: u64,
        /// Position that came.
        found: u64,
    },
    /// A receipt of another stream.
    #[error("receipt {index} is not of the stream asked for")]
    OtherStream {
        /// The receipt.
        index: LeafIndex,
    },
    /// A receipt is not chained to the one before.
    #[error("receipt {index} does not follow the receipt before it")]
    Chain {
        /// The receipt.
        index: LeafIndex,
    },
    /// The answer to a batch has another number of receipts or proofs, or is of another batch.
    #[error("{found} {what} came where {asked} was due")]
    Count {
        /// What was counted.
        what: &'static str,
        /// What was due.
        asked: u64,
        /// What came.
        found: u64,
    },
    /// The checkpoint of a batch does not cover it.
    #[error("the checkpoint does not cover receipt {index}")]
    NotCovered {
        /// The last receipt of the batch.
        index: LeafIndex,
    },
    /// The ledger is smaller than a checkpoint kept earlier.
    #[error("the ledger shrank. {0}")]
    Shrank(Box<TwoCheckpoints>),
    /// The ledger does not begin with what a checkpoint kept earlier covers.
    #[error("the ledger forked: it does not begin with what was seen earlier. {0}")]
    Forked(Box<TwoCheckpoints>),
}

/// Two checkpoints that cannot both be of one ledger that only grows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TwoCheckpoints {
    /// The checkpoint kept.
    pub seen: SignedCheckpoint,
    /// The latest one.
    pub found: SignedCheckpoint,
}

impl fmt::Display for TwoCheckpoints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seen earlier:\n{}\nNow:\n{}", self.seen, self.found)
    }
}

impl VerificationError {
    /// Machine-readable reason.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "MALFORMED_ANSWER",
            Self::Untrusted(_) | Self::UnknownKey { .. } => "UNTRUSTED_CHECKPOINT",
            Self::Proof(_) | Self::Inclusion { .. } | Self::OtherProof => "BAD_PROOF",
            Self::Leaf { .. } | Self::Shown { .. } => "LEAF_MISMATCH",
            Self::Commitment { .. } => "COMMITMENT_MISMATCH",
            Self::OutOfOrder { .. } | Self::OtherStream { .. } | Self::Count { .. } => "NOT_WHAT_WAS_ASKED",
            Self::Chain { .. } => "BROKEN_CHAIN",
            Self::NotCovered { .. } => "NOT_COVERED",
            Self::Shrank(_) => "LEDGER_SHRANK",
            Self::Forked(_) => "LEDGER_FORKED",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tonic_types::ErrorDetails;

    const AFTER: Duration = Duration::from_secs(10);

    fn ours(code: Code, reason: &str) -> Error {
        let facts = HashMap::from([("actual".into(), "5".into()), (reason::NEXT.into(), "decide again".into())]);
        let details = ErrorDetails::with_error_info(reason, reason::DOMAIN, facts);
        Error::from_status(&Status::with_error_details(code, "no", details), AFTER)
    }

    #[test]
    fn statuses_of_the_server_are_sorted_by_who_must_act() {
        assert!(matches!(ours(Code::Aborted, reason::LOST_RACE), Error::Refused(_)));
        assert!(matches!(ours(Code::FailedPrecondition, reason::STREAM_CLOSED), Error::Refused(_)));
        assert!(matches!(ours(Code::FailedPrecondition, reason::POISONED), Error::Failed(_)));
        assert!(matches!(ours(Code::FailedPrecondition, reason::READ_ONLY), Error::Failed(_)));
        assert!(matches!(ours(Code::FailedPrecondition, reason::NO_CATALOG), Error::Failed(_)));
        assert!(matches!(ours(Code::Internal, reason::READ_FAILED), Error::Failed(_)));
        assert!(matches!(ours(Code::ResourceExhausted, reason::OVERLOADED), Error::Busy(_)));
        assert!(matches!(ours(Code::Unavailable, reason::CLOSING), Error::Unreachable(_)));
        assert!(matches!(ours(Code::NotFound, reason::UNKNOWN_INDEX), Error::NotFound(_)));
        assert!(matches!(ours(Code::InvalidArgument, reason::BAD_REQUEST), Error::Invalid(_)));
        assert!(matches!(ours(Code::DataLoss, reason::CORRUPT), Error::Corrupt(_)));
        // A reason of a later server is still sorted, by its code.
        assert!(matches!(ours(Code::FailedPrecondition, "HOLD_ACTIVE"), Error::Refused(_)));
    }

    #[test]
    fn code_facts_and_next_step_are_taken_over() {
        let error = ours(Code::Aborted, reason::LOST_RACE);
        assert_eq!((error.code(), error.next(), error.to_string().as_str()), ("LOST_RACE", "decide again", "no"));
        assert_eq!(error.facts(), &BTreeMap::from([("actual".to_owned(), "5".to_owned())]));
    }

    #[test]
    fn statuses_that_are_not_ours_are_sorted_too() {
        let foreign = |code| Error::from_status(&Status::new(code, "x"), AFTER);
        assert!(matches!(foreign(Code::DeadlineExceeded), Error::Timeout { after: AFTER }));
        assert!(matches!(foreign(Code::OutOfRange), Error::Invalid(_)));
        assert!(matches!(foreign(Code::Unimplemented), Error::Invalid(_)));
        assert!(matches!(foreign(Code::Internal), Error::Failed(_)));
        assert!(matches!(foreign(Code::Unavailable), Error::Unreachable(_)));
        let broken = Status::from_error(Box::new(std::io::Error::other("reset by peer")));
        let broken = Error::from_status(&broken, AFTER);
        assert!(matches!(broken, Error::Unreachable(_)), "{broken:?}");
        assert!(broken.to_string().contains("reset by peer"), "{broken}");
    }
}
