//! What is said once the whole bundle was read.

use super::Check;
use super::report::{BundleReport, Completeness};
use crate::error::AuditError;
use crate::report::{Code, Finding, TrustReport};
use crate::scan::{NO_ROOT, ONE_ROOT, SELF_ASSERTED, ShownReceipt};
use crate::trust::Anchor;
use counterfoil_proof::{SignedCheckpoint, TreeSize, TrustPolicy};
use counterfoil_rules::ExportScope;
use std::io::Read;

const REWRITABLE: &str =
    "no checkpoint seen earlier was given (--seen): whoever holds the checkpoint key could have rewritten everything";
const FORKS: &str = "only a whole ledger shows that no stream has a second history";
const LINKS: &str = "links to other receipts were not followed: only a whole ledger shows what they name";
const STREAMS: &str = "the range has more streams than are followed at once: of some, gaps would not be noticed";
const NOT_STATED: &str = "completeness is not stated: receipts at the end of the stream may have been left out";

/// What comparing with one checkpoint seen earlier showed.
enum Compared {
    Consistent(TreeSize),
    Wrong(Box<Finding>),
    NotPossible(&'static str),
}

impl<R: Read> Check<'_, R> {
    /// The receipts are as many as stated, and the last of them is the one stated.
    pub(super) fn check_completeness(&mut self) {
        let head = self.head().clone();
        let (count, last) = (self.followed.count, self.followed.last);
        let size = self.checkpoint().unverified().size;
        if count != head.count || head.size > size {
            let message = "the bundle does not hold as many receipts as it says";
            let expected = format!("{} receipts at size {}", head.count, head.size);
            let found = format!("{count} receipts, checkpoint of size {size}");
            let finding = self.finding(Code::ReceiptsMissing, message).because(expected, found);
            self.report(finding);
        }
        let Some(index) = head.statement else { return };
        let stated = self.controls.statement.as_ref().filter(|(at, _)| *at == index).map(|(_, exported)| exported);
        let Some(stated) = stated.cloned() else {
            let message = format!("the last control receipt is not the statement {index} that bundle.json names");
            let finding = self.finding(Code::StatementMissing, message);
            return self.report(finding.at_index(index));
        };
        let found = (&head.scope, head.size, count, last.map(|last| last.leaf));
        if found != (&stated.scope, stated.size, stated.count, Some(stated.head)) {
            let message = format!("the bundle does not hold what the operator stated in receipt {index}");
            let text = |scope: &ExportScope, size, count, head: String| {
                format!("{scope} at size {size}: {count} receipts, the last {head}")
            };
            let expected = text(&stated.scope, stated.size, stated.count, stated.head.to_string());
            let head_found = last.map_or_else(|| "none".to_owned(), |last| last.leaf.to_string());
            let found = text(&head.scope, head.size, count, head_found);
            let finding = self.finding(Code::StatementFalse, message).because(expected, found);
            self.report(finding.at_index(index));
        }
    }

    pub(super) fn finish(mut self) -> Result<(BundleReport, Option<ShownReceipt>), AuditError> {
        let (seen, not_possible) = self.check_seen();
        if self.findings.iter().all(|finding| finding.severity != crate::Severity::Failure) && !self.signed {
            let finding = self.finding(Code::Signature, "no trusted key signed the checkpoint");
            self.report(finding);
        }
        if self.left_out > 0 {
            let message = format!("{} more findings are not listed", self.left_out);
            self.findings.push(Finding::new(Code::MoreFindings, message));
        }
        self.findings.sort_by_key(|finding| finding.severity);
        let id = self.controls.ledger_id();
        let anchor = match self.trust.anchor {
            Anchor::Policy(_) => "outside",
            Anchor::SelfAsserted => "self-asserted",
        };
        let keys = self.policy.as_ref().map_or_else(Vec::new, |policy| policy.logs().to_vec());
        let pinned = self.trust.genesis.is_some() && self.trust.genesis == id;
        let mut report = BundleReport {
            ledger_id: id,
            origin: self.controls.rules.as_ref().map(|rules| rules.genesis().origin.clone()),
            scope: self.head.as_ref().map(|head| head.scope.clone()),
            size: self.head.as_ref().map(|head| head.size),
            complete: None,
            statement: self.head.as_ref().and_then(|head| head.statement),
            verdicts: self.followed.verdicts,
            checkpoint: self.checkpoint.clone().filter(|_| self.signed),
            trust: TrustReport { anchor, keys, genesis_pinned: pinned, seen },
            streams: self.followed.streams(),
            control_receipts: self.controls.count(),
            as_of: self.options.as_of.or(self.followed.last.map(|last| last.time)),
            remarks: Vec::new(),
            findings: core::mem::take(&mut self.findings),
        };
        if report.verified() {
            if let Some(error) = not_possible {
                return Err(error);
            }
            report.complete = self.head.as_ref().map(|head| match (&head.scope, head.statement) {
                (ExportScope::Range { .. }, _) => Completeness::Proven,
                (ExportScope::Stream(_), Some(_)) => Completeness::Stated,
                (ExportScope::Stream(_), None) => Completeness::NotStated,
            });
        }
        report.remarks = self.remarks(report.complete);
        Ok((report, self.shown))
    }

    /// Compares the bundle with the checkpoints seen earlier: the sizes of those that fit, and the first comparison that
    /// is not possible.
    fn check_seen(&mut self) -> (Vec<TreeSize>, Option<AuditError>) {
        let policy = match &self.trust.anchor {
            Anchor::Policy(policy) => Some(policy.clone()),
            Anchor::SelfAsserted => self.policy.clone(),
        };
        let (Some(policy), Some(ours)) = (policy, self.checkpoint.clone()) else { return (Vec::new(), None) };
        let (mut consistent, mut not_possible) = (Vec::new(), None);
        for note in &self.trust.seen {
            match self.compare(note, &ours, &policy) {
                Compared::Consistent(size) => consistent.push(size),
                Compared::Wrong(finding) => self.report(*finding),
                Compared::NotPossible(reason) => {
                    let next = "export again with --seen and this note, and verify that bundle";
                    not_possible.get_or_insert(AuditError::NotPossible { check: "--seen", reason, next });
                }
            }
        }
        (consistent, not_possible)
    }

    fn compare(&self, note: &SignedCheckpoint, ours: &SignedCheckpoint, policy: &TrustPolicy) -> Compared {
        let (seen, stated) = (note.unverified(), ours.unverified());
        let wrong = |code, message| {
            let finding = Finding::new(code, message).because(note, ours);
            Compared::Wrong(Box::new(Finding { next: finding.next.replace("directory", "bundle"), ..finding }))
        };
        if let Err(error) = note.clone().verify(policy) {
            let message = format!("the checkpoint of size {} seen earlier is not trusted: {error}", seen.size);
            return wrong(Code::SeenUntrusted, message);
        }
        if seen.origin != stated.origin {
            return wrong(Code::SeenUntrusted, "the checkpoint seen earlier is of a ledger with another origin".into());
        }
        let root = match self.older.iter().find(|(size, _)| *size == seen.size) {
            _ if seen.size == stated.size => stated.root,
            Some((_, root)) => *root,
            None if seen.size > stated.size => {
                return Compared::NotPossible("the checkpoint seen earlier is newer than the bundle");
            }
            None => {
                return Compared::NotPossible("the bundle holds no consistency proof with the checkpoint seen earlier");
            }
        };
        if root == seen.root {
            return Compared::Consistent(seen.size);
        }
        let message =
            format!("the ledger forked: at size {} it has another root than the note seen earlier", seen.size);
        wrong(Code::SeenForked, message)
    }

    fn remarks(&self, complete: Option<Completeness>) -> Vec<String> {
        let threshold = self.controls.rules.as_ref().map(|rules| rules.genesis().root_threshold);
        let fixed = [
            (matches!(self.trust.anchor, Anchor::SelfAsserted), SELF_ASSERTED),
            (self.trust.seen.is_empty(), REWRITABLE),
            (true, FORKS),
            (complete == Some(Completeness::NotStated), NOT_STATED),
            (self.followed.linked, LINKS),
            (self.followed.too_many_streams, STREAMS),
            (threshold == Some(1), ONE_ROOT),
            (threshold == Some(0), NO_ROOT),
        ];
        fixed.into_iter().filter(|(applies, _)| *applies).map(|(_, remark)| remark.to_owned()).collect()
    }
}
