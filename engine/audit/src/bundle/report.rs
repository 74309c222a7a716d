//! What the verification of a bundle found.

use crate::report::{Finding, Severity, Tail, TrustReport, Verdicts};
use crate::time::time_text;
use counterfoil_proof::{LeafHash, LeafIndex, Origin, SignedCheckpoint, Timestamp, TreeSize};
use counterfoil_rules::ExportScope;
use serde::{Serialize, Serializer};

/// Whether a bundle holds all receipts of its scope, and on whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Completeness {
    /// Every index of a range is there and proven: nobody's word is needed.
    Proven,
    /// The operator stated number and last receipt of the stream, in a receipt under the checkpoint.
    Stated,
    /// Nobody stated it: receipts at the end of the stream may be missing.
    NotStated,
}

/// The result of verifying a bundle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleReport {
    /// Leaf hash of index 0, if it could be read.
    pub ledger_id: Option<LeafHash>,
    /// The ledger's name in its checkpoints.
    pub origin: Option<Origin>,
    /// Which receipts the bundle is said to hold.
    pub scope: Option<ExportScope>,
    /// Tree size at which they were counted.
    pub size: Option<TreeSize>,
    /// Whether they are all; `None` when the bundle failed.
    pub complete: Option<Completeness>,
    /// The receipt that states it.
    pub statement: Option<LeafIndex>,
    /// One verdict for each receipt exported, counted.
    pub verdicts: Verdicts,
    /// What is wrong, failures first.
    pub findings: Vec<Finding>,
    /// The checkpoint, if its signature was checked.
    pub checkpoint: Option<SignedCheckpoint>,
    /// What was trusted.
    pub trust: TrustReport,
    /// Streams with a receipt in the bundle.
    pub streams: u64,
    /// Control receipts in the bundle.
    pub control_receipts: u64,
    /// The moment holes were judged for.
    pub as_of: Option<Timestamp>,
    /// What was not checked, or means less than a reader may think.
    pub remarks: Vec<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ScopeJson<'a> {
    Stream { stream: &'a str },
    Range { from: u64, to: u64 },
}

#[derive(Serialize)]
struct ReportJson<'a> {
    verified: bool,
    #[serde(serialize_with = "text")]
    ledger_id: &'a Option<LeafHash>,
    #[serde(serialize_with = "text")]
    origin: &'a Option<Origin>,
    scope: Option<ScopeJson<'a>>,
    size: Option<u64>,
    complete: Option<Completeness>,
    statement: Option<u64>,
    verdicts: &'a Verdicts,
    findings: &'a [Finding],
    #[serde(serialize_with = "text")]
    checkpoint: &'a Option<SignedCheckpoint>,
    trust: &'a TrustReport,
    tail: Tail,
    streams: u64,
    control_receipts: u64,
    as_of: Option<String>,
    remarks: &'a [String],
}

fn text<T: ToString, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

impl BundleReport {
    /// True when nothing is wrong with the bundle. Whether it holds all receipts is [`BundleReport::complete`].
    #[must_use]
    pub fn verified(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The findings that fail the bundle, the first of them first.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Failure)
    }

    /// The report as one JSON document. A bundle has no tail: `tail` is there because a ledger's report has one.
    #[must_use]
    pub fn to_json(&self) -> String {
        let scope = self.scope.as_ref().map(|scope| match scope {
            ExportScope::Stream(stream) => ScopeJson::Stream { stream: stream.as_str() },
            ExportScope::Range { from, to } => ScopeJson::Range { from: from.0, to: to.0 },
        });
        let json = ReportJson {
            verified: self.verified(),
            ledger_id: &self.ledger_id,
            origin: &self.origin,
            scope,
            size: self.size.map(|size| size.0),
            complete: self.complete,
            statement: self.statement.map(|index| index.0),
            verdicts: &self.verdicts,
            findings: &self.findings,
            checkpoint: &self.checkpoint,
            trust: &self.trust,
            tail: Tail::default(),
            streams: self.streams,
            control_receipts: self.control_receipts,
            as_of: self.as_of.map(time_text),
            remarks: &self.remarks,
        };
        serde_json::to_string_pretty(&json).expect("a report has string keys and no floats")
    }
}
