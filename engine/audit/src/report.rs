//! What a verification found.

use crate::time::time_text;
use counterfoil_format::ByteOffset;
use counterfoil_proof::{
    Kind, LeafHash, LeafIndex, Origin, SignedCheckpoint, StreamName, Timestamp, TreeSize, VerifierKey,
};
use serde::{Serialize, Serializer};

/// Most findings listed; the rest is counted.
pub const FINDINGS_MAX: usize = 10_000;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The ledger is not what it claims to be.
    Failure,
    /// Nothing is lost: the file is derived from others, or above the durable mark.
    Note,
}

/// What kind of finding this is, for scripts. The names are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// A receipt's envelope or payload is not what was committed to.
    ReceiptCorrupt,
    /// Receipts whose bytes cannot be told apart any more.
    RangeCorrupt,
    /// A receipt's payload is gone, and no tombstone permits that.
    PayloadMissing,
    /// Receipts that ought to be there are not.
    ReceiptsMissing,
    /// Bytes of a frame that belong to no receipt are damaged.
    FrameDamaged,
    /// Bytes that must be zero are not.
    PaddingNotZero,
    /// Bytes that belong to nothing lie behind the frames of a segment.
    BytesBehindFrames,
    /// The envelopes do not lead to the root their frame states.
    RootMismatch,
    /// A frame is not signed by a trusted key.
    Signature,
    /// Genesis names a checkpoint key that is not trusted.
    KeyMismatch,
    /// There is no key to check signatures with.
    NoKey,
    /// The ledger has another id than the one asked for.
    GenesisMismatch,
    /// A frame does not follow the receipt before it.
    ChainBroken,
    /// A frame misstates the control receipts before it.
    ControlChainBroken,
    /// Time goes backwards.
    TimeBackwards,
    /// A stream skips a position.
    StreamGap,
    /// A stream has two receipts at one position, or one that does not follow its predecessor.
    StreamForked,
    /// A receipt stands behind the one that closed its stream.
    StreamClosed,
    /// A link names a receipt that is not there.
    LinkBroken,
    /// Payloads are committed to in another way than genesis says.
    CommitmentAlgorithm,
    /// No retention class has this id.
    UnknownClass,
    /// A writer's signature of a key that nothing grants the role writer.
    WriterSignature,
    /// A control receipt breaks a rule.
    ControlViolation,
    /// A frame claims that more is durable than there was.
    SyncedThrough,
    /// MANIFEST is missing, unreadable or belongs to another ledger.
    Manifest,
    /// HEAD is missing or unreadable.
    Head,
    /// One slot of HEAD is unreadable.
    HeadSlot,
    /// HEAD states another tree than the ledger holds.
    HeadMismatch,
    /// A segment's file is missing.
    SegmentMissing,
    /// A segment's file is longer or shorter than MANIFEST says.
    SegmentLength,
    /// A segment's file has another digest than MANIFEST or its footer says.
    SegmentDigest,
    /// A segment's header is damaged.
    SegmentHeader,
    /// A segment's header states another place in the ledger.
    SegmentHeaderMismatch,
    /// A sealed segment's footer is damaged.
    SegmentFooter,
    /// A footer misstates its segment.
    SegmentFooterMismatch,
    /// A segment file with frames that MANIFEST does not name.
    SegmentUnlisted,
    /// A file that no longer, or not yet, belongs to the ledger.
    LeftoverFile,
    /// A leaf file is missing, damaged or does not fit its segment.
    LeafFile,
    /// A stream index is missing, damaged or does not fit the receipts it covers.
    StreamIndex,
    /// The copy of the control receipts is missing or differs from them.
    ControlFile,
    /// ledger.vkey is missing or differs from genesis.
    VkeyFile,
    /// A recovery was begun and not finished.
    RecoveryUnfinished,
    /// A checkpoint seen earlier is not signed by a trusted key.
    SeenUntrusted,
    /// The ledger is shorter than a checkpoint seen earlier.
    SeenLonger,
    /// The ledger had another root at the size of a checkpoint seen earlier.
    SeenForked,
    /// A checkpoint seen earlier cannot be compared because the tree is damaged there.
    SeenUnknown,
    /// A checkpoint seen earlier fits, and lies above the durable mark.
    SeenAboveMark,
    /// A bundle's bytes are not laid out as they must be.
    BundleDamaged,
    /// A bundle's description contradicts what it holds.
    BundleHead,
    /// A bundle's copy of the format document is another one than was exported.
    BundleDocument,
    /// A receipt is not proven to be in the tree of the checkpoint.
    InclusionProof,
    /// A consistency proof does not hold.
    ConsistencyProof,
    /// A receipt does not belong to what was exported.
    ReceiptForeign,
    /// The statement of an export that should be there is not.
    StatementMissing,
    /// The statement of an export says something else than what is there.
    StatementFalse,
    /// More findings than are listed.
    MoreFindings,
}

/// One thing that is not as it should be, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is.
    pub code: Code,
    /// The receipt, or the first of several.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "index")]
    pub index: Option<LeafIndex>,
    /// How many receipts, where it is not one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The receipt's stream.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub stream: Option<StreamName>,
    /// The receipt's kind.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text")]
    pub kind: Option<Kind>,
    /// Name of the segment's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub segment: Option<String>,
    /// Name of the entry of a bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entry: Option<String>,
    /// Byte offset in the segment's file or the bundle; behind the damage where the bytes end early.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "offset")]
    pub offset: Option<ByteOffset>,
    /// What should be there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What is wrong, in words.
    pub message: String,
    /// What to do next.
    pub next: String,
}

fn index<S: Serializer>(value: &Option<LeafIndex>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|index| index.0).serialize(serializer)
}

fn offset<S: Serializer>(value: &Option<ByteOffset>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|offset| offset.0).serialize(serializer)
}

fn text<T: ToString, S: Serializer>(value: &Option<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

const NEXT_RESTORE: &str = "keep this directory as it is; restore the segment from a copy or archive and verify again";
const NEXT_OPEN: &str = "open the ledger once with `counterfoil serve`; it rebuilds the file";

impl Finding {
    /// A finding with the severity and the next step that its code has by default.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let (severity, next) = code.defaults();
        Self {
            severity,
            code,
            index: None,
            count: None,
            stream: None,
            kind: None,
            segment: None,
            entry: None,
            offset: None,
            expected: None,
            found: None,
            message: message.into(),
            next: next.to_owned(),
        }
    }

    pub(crate) fn at_index(mut self, index: LeafIndex) -> Self {
        self.index = Some(index);
        self
    }

    pub(crate) fn in_segment(mut self, segment: &str, offset: ByteOffset) -> Self {
        self.segment = Some(segment.to_owned());
        self.offset = Some(offset);
        self
    }

    pub(crate) fn because(mut self, expected: impl ToString, found: impl ToString) -> Self {
        self.expected = Some(expected.to_string());
        self.found = Some(found.to_string());
        self
    }
}

impl Code {
    fn defaults(self) -> (Severity, &'static str) {
        let severity = match self {
            Self::HeadSlot
            | Self::LeafFile
            | Self::StreamIndex
            | Self::ControlFile
            | Self::VkeyFile
            | Self::LeftoverFile
            | Self::RecoveryUnfinished
            | Self::SeenAboveMark
            | Self::BundleDocument => Severity::Note,
            _ => Severity::Failure,
        };
        (severity, self.next())
    }

    fn next(self) -> &'static str {
        match self {
            Self::LeafFile | Self::StreamIndex | Self::ControlFile => NEXT_OPEN,
            Self::HeadSlot => "nothing, the other slot counts; the next sync writes this one again",
            Self::VkeyFile => {
                "write the key from `counterfoil status` into it; verifiers take keys from elsewhere anyway"
            }
            Self::LeftoverFile => "nothing; the next start of the server removes it",
            Self::SeenAboveMark => "nothing; opening the ledger makes these receipts durable",
            Self::RecoveryUnfinished => "start the server: it finishes the recovery",
            Self::Signature | Self::KeyMismatch => {
                "compare the key with the operator over another channel; if it is the right one, the ledger was signed by someone else"
            }
            Self::NoKey => "verify with --key or --policy: the ledger's own key cannot be read",
            Self::GenesisMismatch => "make sure this is the directory of the ledger you mean",
            Self::Manifest | Self::Head => "restore the file from a copy",
            Self::SeenUntrusted => "make sure the note belongs to this ledger and the trusted key",
            Self::SeenLonger | Self::SeenForked => {
                "keep both notes: together they prove that the history was changed; ask the operator for the other copy"
            }
            Self::ControlViolation => {
                "verify with a newer version if the kind is unknown; otherwise the operator broke a rule"
            }
            Self::ChainBroken
            | Self::ControlChainBroken
            | Self::TimeBackwards
            | Self::StreamGap
            | Self::StreamForked
            | Self::StreamClosed
            | Self::LinkBroken
            | Self::CommitmentAlgorithm
            | Self::UnknownClass
            | Self::WriterSignature
            | Self::SyncedThrough
            | Self::RootMismatch => {
                "no crash leaves this: compare with a copy of the ledger and with checkpoints kept earlier"
            }
            Self::BundleDocument => "read the document in another copy; a verifier does not use the one in the bundle",
            Self::StatementFalse => "keep this copy and ask the operator to explain the statement",
            Self::MoreFindings => "settle the findings listed and verify again",
            _ => NEXT_RESTORE,
        }
    }
}

/// How many receipts have which verdict. Every receipt has exactly one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdicts {
    /// The commitment was recomputed from the payload.
    pub present: u64,
    /// A lawful tombstone covers it.
    pub erased: u64,
    /// A tombstone breaks a rule that was in force at its index.
    pub unlawful: u64,
    /// No payload and no tombstone, or no receipt at all.
    pub missing: u64,
    /// Its bytes are not the ones committed to.
    pub corrupt: u64,
}

impl Verdicts {
    /// All receipts judged.
    #[must_use]
    pub fn total(&self) -> u64 {
        let counts = [self.present, self.erased, self.unlawful, self.missing, self.corrupt];
        counts.into_iter().fold(0, u64::saturating_add)
    }

    pub(crate) fn add(&mut self, verdict: Verdict, count: u64) {
        let counter = match verdict {
            Verdict::Present => &mut self.present,
            Verdict::Erased => &mut self.erased,
            Verdict::Unlawful => &mut self.unlawful,
            Verdict::Missing => &mut self.missing,
            Verdict::Corrupt => &mut self.corrupt,
        };
        *counter = counter.saturating_add(count);
    }

    pub(crate) fn add_all(&mut self, other: &Self) {
        for (verdict, count) in [
            (Verdict::Present, other.present),
            (Verdict::Erased, other.erased),
            (Verdict::Unlawful, other.unlawful),
            (Verdict::Missing, other.missing),
            (Verdict::Corrupt, other.corrupt),
        ] {
            self.add(verdict, count);
        }
    }
}

/// The verdict over one receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The commitment was recomputed from the payload.
    Present,
    /// A lawful tombstone covers it.
    Erased,
    /// A tombstone breaks a rule that was in force at its index.
    Unlawful,
    /// No payload and no tombstone, or no receipt at all.
    Missing,
    /// Its bytes are not the ones committed to.
    Corrupt,
}

impl Verdict {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Present => "present",
            Self::Erased => "erased",
            Self::Unlawful => "unlawful",
            Self::Missing => "missing",
            Self::Corrupt => "corrupt",
        }
    }
}

/// What lies above the durable mark. Nobody was promised it, so nothing here fails a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tail {
    /// Receipts in valid frames above the mark.
    pub receipts: u64,
    /// Tree size with them.
    #[serde(serialize_with = "size")]
    pub size: Option<TreeSize>,
    /// Bytes behind them that are neither frames nor zeros.
    pub damaged_bytes: u64,
    /// What was found there.
    pub findings: Vec<Finding>,
}

fn size<S: Serializer>(value: &Option<TreeSize>, serializer: S) -> Result<S::Ok, S::Error> {
    value.map(|size| size.0).serialize(serializer)
}

/// What was trusted, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TrustReport {
    /// `outside` for a key or policy that was given, `self-asserted` for the key that genesis names.
    pub anchor: &'static str,
    /// The keys whose signatures counted, as verifier keys.
    #[serde(serialize_with = "texts")]
    pub keys: Vec<VerifierKey>,
    /// True when the ledger's id was given and matches.
    pub genesis_pinned: bool,
    /// Sizes of the checkpoints seen earlier that the ledger is consistent with.
    #[serde(serialize_with = "sizes")]
    pub seen: Vec<TreeSize>,
}

fn texts<T: ToString, S: Serializer>(values: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(ToString::to_string))
}

fn sizes<S: Serializer>(values: &[TreeSize], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(|size| size.0))
}

/// Which frames' signatures were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SignaturesChecked {
    /// Frames read.
    pub frames: u64,
    /// Frames whose signature was checked and found valid.
    pub valid: u64,
    /// True when every frame's signature was to be checked.
    pub all: bool,
}

/// The result of verifying a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Leaf hash of index 0, if it could be read.
    pub ledger_id: Option<LeafHash>,
    /// The ledger's name in its checkpoints.
    pub origin: Option<Origin>,
    /// Receipts judged: the tree size at the durable mark.
    pub size: TreeSize,
    /// One verdict for each of them, counted.
    pub verdicts: Verdicts,
    /// What is wrong, failures first, each kind in the order of the ledger.
    pub findings: Vec<Finding>,
    /// The ledger's checkpoint at the durable mark, its signature checked.
    pub checkpoint: Option<SignedCheckpoint>,
    /// What was trusted.
    pub trust: TrustReport,
    /// What lies above the durable mark.
    pub tail: Tail,
    /// Streams, the control stream included.
    pub streams: u64,
    /// Control receipts.
    pub control_receipts: u64,
    /// Segments of the ledger.
    pub segments: u64,
    /// Which signatures were checked.
    pub signatures: SignaturesChecked,
    /// The moment holes were judged for.
    pub as_of: Option<Timestamp>,
    /// What was not checked, or means less than a reader may think.
    pub remarks: Vec<String>,
}

#[derive(Serialize)]
struct ReportJson<'a> {
    verified: bool,
    #[serde(serialize_with = "text")]
    ledger_id: &'a Option<LeafHash>,
    #[serde(serialize_with = "text")]
    origin: &'a Option<Origin>,
    size: u64,
    verdicts: &'a Verdicts,
    findings: &'a [Finding],
    #[serde(serialize_with = "text")]
    checkpoint: &'a Option<SignedCheckpoint>,
    trust: &'a TrustReport,
    tail: &'a Tail,
    streams: u64,
    control_receipts: u64,
    segments: u64,
    signatures_checked: &'a SignaturesChecked,
    as_of: Option<String>,
    remarks: &'a [String],
}

impl Report {
    /// True when nothing is wrong with the ledger up to its durable mark.
    #[must_use]
    pub fn verified(&self) -> bool {
        self.failures().next().is_none()
    }

    /// The findings that fail the ledger, the first of them first.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.severity == Severity::Failure)
    }

    /// The report as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = ReportJson {
            verified: self.verified(),
            ledger_id: &self.ledger_id,
            origin: &self.origin,
            size: self.size.0,
            verdicts: &self.verdicts,
            findings: &self.findings,
            checkpoint: &self.checkpoint,
            trust: &self.trust,
            tail: &self.tail,
            streams: self.streams,
            control_receipts: self.control_receipts,
            segments: self.segments,
            signatures_checked: &self.signatures,
            as_of: self.as_of.map(time_text),
            remarks: &self.remarks,
        };
        serde_json::to_string_pretty(&json).expect("a report has string keys and no floats")
    }
}
