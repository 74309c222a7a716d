//! One receipt, from its own segment alone.

use super::chain::State;
use super::join::errand;
use super::segment::{Errand, Judged, Plan, judge_segment};
use super::verify::begin;
use crate::error::AuditError;
use crate::report::{Code, Finding, Severity, Verdict};
use crate::source::Source;
use crate::trust::{Anchor, Options, Trust};
use counterfoil_proof::{Envelope, LeafHash, LeafIndex, Origin, Salt, SignedCheckpoint};

const ALONE: &str = "only this receipt's segment was read, up to the receipt: that it is in the tree of this checkpoint was \
                     shown, that the rest of the ledger is whole was not";
const SELF_ASSERTED: &str = "the key was taken from the ledger itself (--self-asserted): this shows that the receipt fits \
                             that key, not whose it is";
const ABOVE_MARK: &str = "the receipt lies above the durable mark: it may not have been acknowledged yet";

/// One receipt of a ledger.
#[derive(Clone, Debug)]
pub struct ShownReceipt {
    /// The envelope.
    pub envelope: Envelope,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// Name of its retention class.
    pub class: String,
    /// Salt and payload, if they are there and open the commitment.
    pub content: Option<(Salt, Vec<u8>)>,
    /// The verdict over it.
    pub verdict: Verdict,
    /// The checkpoint its frame created, signed by a trusted key and recomputed from the segment's header and all
    /// envelopes up to there: the receipt is in its tree. `None` when that could not be shown.
    pub checkpoint: Option<SignedCheckpoint>,
}

/// What one receipt's segment says of it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The receipt asked for; `None` when its envelope cannot be read.
    pub receipt: Option<ShownReceipt>,
    /// The ledger's name in its checkpoints.
    pub origin: Option<Origin>,
    /// Name of the segment's file.
    pub segment: String,
    /// What is wrong with the keys, the ledger's identity, and the segment as far as it was read.
    pub findings: Vec<Finding>,
    /// What was not checked, or means less than a reader may think.
    pub remarks: Vec<&'static str>,
    index: LeafIndex,
}

impl Shown {
    /// True when the receipt is in the tree of a checkpoint that a trusted key signed, its payload is the one committed
    /// to, and nothing is wrong with it or with the ledger's identity.
    #[must_use]
    pub fn verified(&self) -> bool {
        let proven = self.receipt.as_ref().filter(|receipt| receipt.checkpoint.is_some());
        proven.is_some_and(|receipt| receipt.verdict == Verdict::Present) && self.failures().next().is_none()
    }

    /// The findings that fail this receipt: damage elsewhere in the segment does not.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        let identity = [Code::KeyMismatch, Code::NoKey, Code::GenesisMismatch];
        let concerns = move |finding: &&Finding| {
            let about_it = finding.index == Some(self.index) && finding.count.is_none();
            finding.severity == Severity::Failure && (about_it || identity.contains(&finding.code))
        };
        self.findings.iter().filter(concerns)
    }
}

/// Shows one receipt, reading no more than the beginning of the ledger and the receipt's segment up to it.
///
/// The tree that the segment's header states and the envelopes from there to the end of the receipt's frame lead to the
/// root that the frame's signature covers, so a trusted signature shows that the receipt is in the ledger of that key.
///
/// # Errors
/// [`AuditError::UnknownIndex`] when the ledger does not hold it, [`AuditError::NotPossible`] when checkpoints seen
/// earlier are to be compared, for which the whole ledger must be read, and when reading fails.
pub fn show_receipt(
    source: &dyn Source,
    trust: &Trust,
    options: &Options,
    index: LeafIndex,
) -> Result<Shown, AuditError> {
    if !trust.seen.is_empty() || matches!(&trust.anchor, Anchor::Policy(policy) if policy.asks_for_witnesses()) {
        return Err(AuditError::NotPossible {
            check: "a checkpoint seen earlier",
            reason: "one segment alone does not lead to it",
            next: "verify the whole ledger with `counterfoil-verify ledger`, which takes --seen",
        });
    }
    let (context, _, mut findings) = begin(source, trust, options)?;
    let plans = Plan::of_all(&context.listed.segments);
    let unknown = |size| AuditError::UnknownIndex { index, size };
    let after = plans.partition_point(|plan| plan.entry.id.0 <= index);
    let plan = after.checked_sub(1).map(|at| plans[at]).ok_or_else(|| unknown(context.mark))?;
    let empty = State::empty();
    let start = (plan.entry.id.0 == LeafIndex(0)).then_some(&empty);
    let errand = Errand { wanted: Some(index), ..errand(&context, &plan, start) };
    let judged = judge_segment(&context, plan, errand)?;
    let size = context.mark.max(judged.chain.state.next);
    if judged.shown.is_none() && !size.contains(index) {
        return Err(unknown(size));
    }
    findings.extend(identity(trust, context.ledger_id, context.keys.policy().is_none()));
    Ok(shown(judged, index, findings, context.keys.origin().cloned(), &trust.anchor))
}

fn shown(
    judged: Judged,
    index: LeafIndex,
    mut findings: Vec<Finding>,
    origin: Option<Origin>,
    anchor: &Anchor,
) -> Shown {
    let mark = judged.account.mark();
    let settled = judged.account.finish();
    findings.extend(settled.findings);
    findings.extend(settled.tail.findings);
    let remarks =
        [(true, ALONE), (matches!(anchor, Anchor::SelfAsserted), SELF_ASSERTED), (!mark.contains(index), ABOVE_MARK)];
    Shown {
        receipt: judged.shown,
        origin,
        segment: judged.name,
        findings,
        remarks: remarks.into_iter().filter(|(applies, _)| *applies).map(|(_, remark)| remark).collect(),
        index,
    }
}

fn identity(trust: &Trust, ledger_id: Option<LeafHash>, no_key: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(pin) = trust.genesis.filter(|pin| ledger_id != Some(*pin)) {
        let found = ledger_id.map_or_else(|| "a genesis that cannot be read".to_owned(), |id| id.to_string());
        let message = "this is another ledger than the one asked for";
        findings.push(Finding::new(Code::GenesisMismatch, message).because(pin, found));
    }
    if no_key {
        let message = "genesis cannot be read, so there is no key to check signatures with";
        findings.push(Finding::new(Code::NoKey, message));
    }
    findings
}
