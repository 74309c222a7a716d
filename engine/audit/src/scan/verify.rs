//! A whole ledger: its small files, its segments on many threads, then what joins them.

use super::account::Account;
use super::chain::State;
use super::context::Context;
use super::files::{Head, check_is_ledger, check_other_files, read_head};
use super::genesis::Beginning;
use super::join::{Join, errand};
use super::keys::Keys;
use super::manifest::Listed;
use super::pool::in_order;
use super::segment::{Plan, judge_segment};
use crate::error::AuditError;
use crate::report::{Finding, Report};
use crate::source::Source;
use crate::trust::{Anchor, Options, Trust};
use core::num::NonZeroUsize;
use counterfoil_proof::{LeafIndex, TreeSize};
use std::sync::atomic::AtomicU64;

/// Verifies a whole ledger directory.
///
/// # Errors
/// [`AuditError`] when the verification could not be completed. Whatever is wrong with the ledger is in the report.
pub fn verify_ledger(source: &dyn Source, trust: &Trust, options: &Options) -> Result<Report, AuditError> {
    if let Anchor::Policy(policy) = &trust.anchor
        && policy.asks_for_witnesses()
        && trust.seen.is_empty()
    {
        return Err(AuditError::NotPossible {
            check: "the policy's quorum of witnesses",
            reason: "a ledger directory holds no cosignatures",
            next: "give a cosigned checkpoint of this ledger with --seen",
        });
    }
    let (context, head, findings) = begin(source, trust, options)?;
    let mut account = Account::new(context.mark);
    findings.into_iter().for_each(|finding| account.report(finding));
    let plans = Plan::of_all(&context.listed.segments);
    let mut join = Join::new(&context, account)?;
    let empty = State::empty();
    let judge = |part: usize| {
        let plan: &Plan = &plans[part];
        let start = (plan.entry.id.0 == LeafIndex(0)).then_some(&empty);
        judge_segment(&context, *plan, errand(&context, plan, start))
    };
    in_order(plans.len(), threads(options), judge, |_, judged| join.add(judged?))?;
    join.check_kept(&plans)?;
    join.check_stated(&plans)?;
    for finding in check_other_files(source, &context.listed)? {
        join.account.report(finding);
    }
    join.finish(trust, &head)
}

fn threads(options: &Options) -> NonZeroUsize {
    options.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Reads what says where everything else is. HEAD before MANIFEST before segments: each is then at least as new as what
/// was read before it.
pub(super) fn begin<'a>(
    source: &'a dyn Source,
    trust: &Trust,
    options: &'a Options,
) -> Result<(Context<'a>, Head, Vec<Finding>), AuditError> {
    check_is_ledger(source)?;
    let head = read_head(source)?;
    let listed = Listed::read(source)?;
    let mut keys = Keys::new(trust);
    let beginning = Beginning::read(source, &listed, &mut keys)?;
    let findings = head.findings.iter().chain(&listed.problem).chain(&beginning.finding).cloned().collect();
    let slots = head.slots.iter().map(|slot| slot.size);
    let seen = trust.seen.iter().map(|note| note.unverified().size);
    let context = Context {
        source,
        options,
        keys,
        rules: beginning.rules,
        bad_genesis: beginning.bad_genesis,
        ledger_id: beginning.ledger_id,
        mark: slots.clone().chain([listed.mark()]).max().unwrap_or(TreeSize(0)),
        head_size: head.slots.first().map(|slot| slot.size),
        watched: slots.chain(seen).map(|size| size.0).collect(),
        listed,
        read: AtomicU64::new(0),
    };
    Ok((context, head, findings))
}
