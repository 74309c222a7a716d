//! What is said once the whole ledger was read.

use super::files::check_vkey;
use super::{Scan, ShownReceipt};
use crate::error::AuditError;
use crate::report::{Code, Finding, Report, TrustReport};
use crate::trust::Anchor;
use counterfoil_format::{ByteOffset, HeadSlot, SEGMENT_HEADER_LEN, SegmentState};
use counterfoil_proof::{SignedCheckpoint, TreeSize, TrustPolicy};

const REWRITABLE: &str = "no checkpoint seen earlier was given (--seen): whoever holds the checkpoint key could have \
                          rewritten everything";
const SELF_ASSERTED: &str = "the key was taken from the ledger itself (--self-asserted): this shows that the ledger \
                             fits together, not whose it is";
const SOME_SIGNATURES: &str =
    "signatures were checked at segment ends and the head; --all-signatures checks every frame's";
const ONE_ROOT: &str = "one root principal alone can grant every role (threshold 1)";
const NO_ROOT: &str = "genesis names no root principal: this ledger never has an authority";
const LOSSES: &str = "receipts could not be read: streams, links and rules that pass through them were judged as far as \
                      they are known";

impl Scan<'_> {
    pub(super) fn finish(mut self) -> Result<(Report, Option<ShownReceipt>), AuditError> {
        if self.head.slots.is_empty() {
            // Nothing says what was durable: everything that is there is held to it.
            let end = self.last_frame.as_ref().map_or(TreeSize(0), |(end, _)| *end);
            self.account.raise_mark(end);
        }
        self.check_identity()?;
        self.check_head();
        let seen = self.check_seen();
        if self.account.failures() == 0 && self.account.checkpoint().is_none() {
            // Without a signature nothing was verified, whatever else fits.
            self.report(Finding::new(
                Code::Signature,
                "no trusted key signed a checkpoint at or below the durable mark",
            ));
        }
        let keys = self.keys.trusted();
        let remarks = self.remarks();
        let settled = self.account.finish();
        let pinned = self.trust.genesis.is_some() && self.trust.genesis == self.chain.ledger_id;
        let anchor = match self.trust.anchor {
            Anchor::Policy(_) => "outside",
            Anchor::SelfAsserted => "self-asserted",
        };
        let mut tail = settled.tail;
        let above = seen.iter().filter(|seen| seen.0 > settled.verdicts.total());
        tail.findings.extend(above.map(|size| {
            let message = format!("the checkpoint of size {size} seen earlier fits the frames above the durable mark");
            Finding::new(Code::SeenAboveMark, message)
        }));
        let report = Report {
            ledger_id: self.chain.ledger_id,
            origin: self.keys.origin().cloned(),
            size: TreeSize(settled.verdicts.total()),
            verdicts: settled.verdicts,
            findings: settled.findings,
            checkpoint: settled.checkpoint,
            trust: TrustReport { anchor, keys, genesis_pinned: pinned, seen },
            tail,
            streams: self.chain.streams.len() as u64 + u64::from(self.chain.control_receipts > 0),
            control_receipts: self.chain.control_receipts,
            segments: self.entries.len() as u64,
            signatures: self.keys.counts(),
            as_of: self.options.as_of.or((self.chain.time.0 > 0).then_some(self.chain.time)),
            remarks,
        };
        Ok((report, self.shown))
    }

    /// The ledger is the one that was asked for, and its files agree on which one it is.
    fn check_identity(&mut self) -> Result<(), AuditError> {
        if let (Some(pin), Some(id)) = (self.trust.genesis, self.chain.ledger_id)
            && pin != id
        {
            let finding = Finding::new(Code::GenesisMismatch, "this is another ledger than the one asked for");
            self.report(finding.because(pin, id));
        }
        if let (Some(stated), Some(id)) = (self.manifest_id, self.chain.ledger_id)
            && stated != id
        {
            let finding = Finding::new(Code::Manifest, "MANIFEST belongs to another ledger");
            self.report(finding.because(id, stated));
        }
        if self.chain.ledger_id.is_none() && self.trust.genesis.is_some() {
            self.report(Finding::new(Code::GenesisMismatch, "genesis cannot be read, so the ledger's id is not known"));
        }
        if self.keys.policy().is_none() {
            let message = "genesis cannot be read, so there is no key to check signatures with";
            self.report(Finding::new(Code::NoKey, message));
        }
        if let Some(rules) = &self.chain.rules
            && let Some(finding) = check_vkey(self.source, &rules.genesis().checkpoint_key.to_string())?
        {
            self.report(finding);
        }
        Ok(())
    }

    /// HEAD states the tree that the frames make.
    fn check_head(&mut self) {
        let slots = core::mem::take(&mut self.head.slots);
        for slot in &slots {
            let root = self.chain.watched.get(&slot.size.0).copied().flatten();
            if let Some(root) = root.filter(|root| *root != slot.root) {
                let message = format!("HEAD states another root for size {}", slot.size);
                self.report(Finding::new(Code::HeadMismatch, message).because(root, slot.root));
            }
        }
        if let Some(newest) = slots.first() {
            self.check_head_place(newest);
        }
        self.head.slots = slots;
    }

    /// HEAD names the place where its last durable frame ends. Sealed segments may have been rewritten since.
    fn check_head_place(&mut self, slot: &HeadSlot) {
        let Some((size, place)) = &self.last_frame else { return };
        let open = self.entries.last().filter(|entry| entry.state == SegmentState::Open);
        let Some(open) = open.filter(|entry| *size == slot.size && entry.id == slot.segment) else { return };
        let begins_here = open.id.0 == size.next_index();
        let expected = if begins_here { ByteOffset(SEGMENT_HEADER_LEN as u64) } else { place.offset };
        if slot.offset.align_up() != expected {
            let message = "HEAD states another end of the last durable frame";
            let finding = Finding::new(Code::HeadMismatch, message).because(expected, slot.offset);
            self.report(finding);
        }
    }

    /// Compares the ledger with the checkpoints seen earlier, and returns the sizes of those that fit.
    fn check_seen(&mut self) -> Vec<TreeSize> {
        let policy = match &self.trust.anchor {
            Anchor::Policy(policy) => Some(policy.clone()),
            Anchor::SelfAsserted => self.keys.policy().cloned(),
        };
        let mut consistent = Vec::new();
        for note in &self.trust.seen {
            match self.compare(note, policy.as_ref()) {
                None => consistent.push(note.unverified().size),
                Some(finding) => self.report(finding),
            }
        }
        consistent
    }

    fn compare(&self, note: &SignedCheckpoint, policy: Option<&TrustPolicy>) -> Option<Finding> {
        let seen = note.unverified();
        let policy = policy?;
        if let Err(error) = note.clone().verify(policy) {
            let message = format!("the checkpoint of size {} seen earlier is not trusted: {error}", seen.size);
            return Some(Finding::new(Code::SeenUntrusted, message).because("a trusted signature", note));
        }
        if self.keys.origin().is_some_and(|origin| *origin != seen.origin) {
            let message = "the checkpoint seen earlier is of a ledger with another origin";
            let origin = self.keys.origin().map_or("", |origin| origin.as_str());
            return Some(Finding::new(Code::SeenUntrusted, message).because(origin, &seen.origin));
        }
        let held = self.last_frame.as_ref().map_or(TreeSize(0), |(end, _)| *end);
        let ours = self.account.checkpoint().map_or_else(|| format!("tree size {held}"), |note| note.to_string());
        if seen.size > held {
            let message = format!(
                "the ledger is shorter than a checkpoint seen earlier: it holds {held} receipts, the note {}",
                seen.size
            );
            return Some(Finding::new(Code::SeenLonger, message).because(note, ours));
        }
        match self.chain.watched.get(&seen.size.0).copied().flatten() {
            Some(root) if root == seen.root => None,
            Some(root) => {
                let message =
                    format!("the ledger forked: at size {} it has another root than the note seen earlier", seen.size);
                Some(Finding::new(Code::SeenForked, message).because(note, format!("root {root}\n{ours}")))
            }
            None => {
                let message = format!(
                    "the tree of size {} is damaged and cannot be compared with the note seen earlier",
                    seen.size
                );
                Some(Finding::new(Code::SeenUnknown, message).because(note, "damage"))
            }
        }
    }

    fn remarks(&self) -> Vec<String> {
        let threshold = self.chain.rules.as_ref().map(|rules| rules.genesis().root_threshold);
        let remarks = [
            (matches!(self.trust.anchor, Anchor::SelfAsserted), SELF_ASSERTED),
            (self.trust.seen.is_empty(), REWRITABLE),
            (!self.options.all_signatures, SOME_SIGNATURES),
            (threshold == Some(1), ONE_ROOT),
            (threshold == Some(0), NO_ROOT),
            (self.chain.losses > 0, LOSSES),
        ];
        remarks.into_iter().filter(|(applies, _)| *applies).map(|(_, remark)| remark.to_owned()).collect()
    }
}
