//! What is said once the whole ledger was read.

use super::files::{Head, check_vkey};
use super::join::Join;
use super::manifest::Listed;
use crate::error::AuditError;
use crate::report::{Code, Finding, Report, SignaturesChecked, TrustReport};
use crate::trust::{Anchor, Trust};
use counterfoil_format::{ByteOffset, HeadSlot, SEGMENT_HEADER_LEN, SegmentState};
use counterfoil_proof::{SignedCheckpoint, TreeSize, TrustPolicy};

const REWRITABLE: &str = "no checkpoint seen earlier was given (--seen): whoever holds the checkpoint key could have \
                          rewritten everything, and an older copy of the whole directory cannot be told from the \
                          current one";
pub(crate) const SELF_ASSERTED: &str = "the key was taken from the ledger itself (--self-asserted): this shows that the ledger \
                             fits together, not whose it is";
const SOME_SIGNATURES: &str =
    "signatures were checked at segment ends and the head; --all-signatures checks every frame's";
pub(crate) const ONE_ROOT: &str = "one root principal alone can grant every role (threshold 1)";
pub(crate) const NO_ROOT: &str = "genesis names no root principal: this ledger never has an authority";
const REPLACED: &str =
    "stream indexes were replaced while the ledger was read and were not compared; nothing rests on them";
const LOSSES: &str = "receipts could not be read: streams, links and rules that pass through them were judged as far as \
                      they are known";

impl Join<'_, '_> {
    /// Judges the ledger as a whole and writes the report.
    pub(super) fn finish(mut self, trust: &Trust, head: &Head) -> Result<Report, AuditError> {
        if head.slots.is_empty() {
            // Nothing says what was durable: everything that is there is held to it.
            self.account.raise_mark(self.held());
        }
        self.check_identity(trust)?;
        self.check_head(head);
        let seen = self.check_seen(trust);
        let is_current = Listed::read(self.context.source)?.segments == self.context.listed.segments;
        if let Some(finding) = self.control_file.finish(is_current)? {
            self.report(finding);
        }
        if self.account.failures() == 0 && self.account.checkpoint().is_none() {
            // Without a signature nothing was verified, whatever else fits.
            self.report(Finding::new(
                Code::Signature,
                "no trusted key signed a checkpoint at or below the durable mark",
            ));
        }
        let remarks = self.remarks(trust);
        let context = self.context;
        let anchor = match trust.anchor {
            Anchor::Policy(_) => "outside",
            Anchor::SelfAsserted => "self-asserted",
        };
        let genesis_pinned = trust.genesis.is_some() && trust.genesis == context.ledger_id;
        let settled = self.account.finish();
        let mut tail = settled.tail;
        let above = seen.iter().filter(|seen| seen.0 > settled.verdicts.total());
        tail.findings.extend(above.map(|size| {
            let message = format!("the checkpoint of size {size} seen earlier fits the frames above the durable mark");
            Finding::new(Code::SeenAboveMark, message)
        }));
        let (signatures, time) = (self.signatures, self.state.time);
        Ok(Report {
            ledger_id: context.ledger_id,
            origin: context.keys.origin().cloned(),
            size: TreeSize(settled.verdicts.total()),
            verdicts: settled.verdicts,
            findings: settled.findings,
            checkpoint: settled.checkpoint,
            trust: TrustReport { anchor, keys: context.keys.trusted(), genesis_pinned, seen },
            tail,
            streams: self.streams.len(),
            control_receipts: self.control_receipts,
            segments: context.listed.segments.len() as u64,
            signatures: SignaturesChecked {
                frames: signatures.frames,
                valid: signatures.valid,
                all: context.options.all_signatures,
            },
            as_of: context.options.as_of.or((time.0 > 0).then_some(time)),
            remarks,
        })
    }

    fn report(&mut self, finding: Finding) {
        self.account.report(finding);
    }

    /// Tree size behind the last frame that was read.
    fn held(&self) -> TreeSize {
        self.last_frame.as_ref().map_or(TreeSize(0), |(end, _)| *end)
    }

    /// The ledger is the one that was asked for, and its files agree on which one it is.
    fn check_identity(&mut self, trust: &Trust) -> Result<(), AuditError> {
        let context = self.context;
        if let (Some(pin), Some(id)) = (trust.genesis, context.ledger_id)
            && pin != id
        {
            let finding = Finding::new(Code::GenesisMismatch, "this is another ledger than the one asked for");
            self.report(finding.because(pin, id));
        }
        if let (Some(stated), Some(id)) = (context.listed.ledger_id, context.ledger_id)
            && stated != id
        {
            let finding = Finding::new(Code::Manifest, "MANIFEST belongs to another ledger");
            self.report(finding.because(id, stated));
        }
        if context.ledger_id.is_none() && trust.genesis.is_some() {
            self.report(Finding::new(Code::GenesisMismatch, "genesis cannot be read, so the ledger's id is not known"));
        }
        if context.keys.policy().is_none() {
            let message = "genesis cannot be read, so there is no key to check signatures with";
            self.report(Finding::new(Code::NoKey, message));
        }
        if let Some(rules) = &context.rules
            && let Some(finding) = check_vkey(context.source, &rules.genesis().checkpoint_key.to_string())?
        {
            self.report(finding);
        }
        Ok(())
    }

    /// HEAD states the tree that the frames make.
    fn check_head(&mut self, head: &Head) {
        for slot in &head.slots {
            let root = self.roots.get(&slot.size.0).copied();
            if let Some(root) = root.filter(|root| *root != slot.root) {
                let message = format!("HEAD states another root for size {}", slot.size);
                self.report(Finding::new(Code::HeadMismatch, message).because(root, slot.root));
            }
        }
        if let Some(newest) = head.slots.first() {
            self.check_head_place(newest);
        }
    }

    /// HEAD names the place where its last durable frame ends. Sealed segments may have been rewritten since.
    fn check_head_place(&mut self, slot: &HeadSlot) {
        let Some((size, place)) = &self.last_frame else { return };
        let open = self.context.listed.segments.last().filter(|entry| entry.state == SegmentState::Open);
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
    fn check_seen(&mut self, trust: &Trust) -> Vec<TreeSize> {
        let policy = match &trust.anchor {
            Anchor::Policy(policy) => Some(policy),
            Anchor::SelfAsserted => self.context.keys.policy(),
        };
        let mut consistent = Vec::new();
        for note in &trust.seen {
            match self.compare(note, policy) {
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
        if self.context.keys.origin().is_some_and(|origin| *origin != seen.origin) {
            let message = "the checkpoint seen earlier is of a ledger with another origin";
            let origin = self.context.keys.origin().map_or("", |origin| origin.as_str());
            return Some(Finding::new(Code::SeenUntrusted, message).because(origin, &seen.origin));
        }
        let held = self.held();
        let ours = self.account.checkpoint().map_or_else(|| format!("tree size {held}"), |note| note.to_string());
        if seen.size > held {
            let message = format!(
                "the ledger is shorter than a checkpoint seen earlier: it holds {held} receipts, the note {}",
                seen.size
            );
            return Some(Finding::new(Code::SeenLonger, message).because(note, ours));
        }
        match self.roots.get(&seen.size.0).copied() {
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

    fn remarks(&self, trust: &Trust) -> Vec<String> {
        let threshold = self.context.rules.as_ref().map(|rules| rules.genesis().root_threshold);
        let remarks = [
            (matches!(trust.anchor, Anchor::SelfAsserted), SELF_ASSERTED),
            (trust.seen.is_empty(), REWRITABLE),
            (!self.context.options.all_signatures, SOME_SIGNATURES),
            (threshold == Some(1), ONE_ROOT),
            (threshold == Some(0), NO_ROOT),
            (self.stream_indexes.replaced > 0, REPLACED),
            (self.losses > 0, LOSSES),
        ];
        let unjudged = self.unjudged.first().map(|first| {
            let count = self.unjudged.len();
            format!(
                "statements of exports that rest on receipts which could not be read were not judged: {count}, from \
                 receipt {first} on"
            )
        });
        let remarks = remarks.into_iter().filter(|(applies, _)| *applies).map(|(_, remark)| remark.to_owned());
        remarks.chain(unjudged).collect()
    }
}
