//! The control receipts of a bundle: chained from genesis, folded into rules, and bound to the checkpoint by the last.

use super::Check;
use super::tape::Broken;
use crate::report::Code;
use crate::trust::Anchor;
use counterfoil_format::{BundleEntry, ReceiptRecord, TAR_ENTRY_LEN_MAX};
use counterfoil_proof::{
    Hash, InclusionFile, LeafHash, LeafIndex, PROOF_FILE_LEN_MAX, StreamSeq, Timestamp, TrustPolicy,
};
use counterfoil_rules::{ControlReceipt, EXPORTED_KIND, Exported, Rules};
use std::io::Read;

/// What the control receipts lead to.
#[derive(Default)]
pub(super) struct Controls {
    /// Place and hash of each, in order.
    chain: Vec<(LeafIndex, LeafHash)>,
    last_time: Option<Timestamp>,
    /// The rules after the last of them that could be judged.
    pub(super) rules: Option<Rules>,
    /// The last of them, if it states an export.
    pub(super) statement: Option<(LeafIndex, Exported)>,
}

impl Controls {
    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.chain.len() as u64
    }

    /// Leaf hash of the first, which names the ledger.
    pub(super) fn ledger_id(&self) -> Option<LeafHash> {
        self.chain.first().map(|(_, leaf)| *leaf)
    }

    /// True when `seq` of them stand before `index`, and `head` is the last of these.
    pub(super) fn precede(&self, index: LeafIndex, seq: StreamSeq, head: LeafHash) -> bool {
        let Ok(count) = usize::try_from(seq.0) else { return false };
        let before = match count.checked_sub(1) {
            None => index == LeafIndex(0) && head.is_zero(),
            Some(last) => self.chain.get(last).is_some_and(|(at, leaf)| *at < index && *leaf == head),
        };
        before && self.chain.get(count).is_none_or(|(next, _)| *next >= index)
    }

    /// True when the control receipt at this position is this one.
    pub(super) fn contain(&self, seq: StreamSeq, index: LeafIndex, leaf: LeafHash) -> bool {
        usize::try_from(seq.0).is_ok_and(|at| self.chain.get(at) == Some(&(index, leaf)))
    }
}

impl<R: Read> Check<'_, R> {
    pub(super) fn read_controls(&mut self) -> Result<(), Broken> {
        self.tape.begin(BundleEntry::Control, TAR_ENTRY_LEN_MAX)?;
        while self.tape.remaining() > 0 {
            let bytes = self.record(ReceiptRecord::declared_len)?;
            let (record, _) = ReceiptRecord::decode(&bytes)?;
            self.control(&record);
        }
        Ok(())
    }

    /// One control receipt: it follows the one before, its payload is the one committed to, and it keeps the rules.
    fn control(&mut self, record: &ReceiptRecord<'_>) {
        let envelope = &record.envelope;
        let (index, leaf) = (envelope.index, envelope.leaf_hash());
        let (seq, head) = match self.controls.chain.last() {
            None => (StreamSeq(0), Hash::ZERO),
            Some((_, leaf)) => (StreamSeq(self.controls.count()), *leaf),
        };
        let behind = self.controls.chain.last().is_none_or(|(before, _)| *before < index);
        if !envelope.is_control() || (envelope.control_seq, envelope.control_head) != (seq, head) || !behind {
            let found = format!("{} {}", envelope.control_seq, envelope.control_head);
            let message = format!("receipt {index} ({}) is not the next control receipt", envelope.kind);
            let finding = self.finding(Code::ControlChainBroken, message).because(format!("{seq} {head}"), found);
            self.report(finding.at_index(index));
        }
        if self.controls.last_time.is_some_and(|last| envelope.time < last) {
            let finding = self.finding(Code::TimeBackwards, format!("control receipt {index}: time goes backwards"));
            self.report(finding.at_index(index));
        }
        self.controls.chain.push((index, leaf));
        self.controls.last_time = Some(envelope.time);
        self.controls.statement = None;
        match record.content {
            Some((salt, payload)) if envelope.commitment.opens_to(&salt, payload) => {
                self.fold(ControlReceipt { envelope, payload });
            }
            _ => {
                let message = format!("the payload of control receipt {index} is not the one committed to");
                let finding = self.finding(Code::ReceiptCorrupt, message);
                self.report(finding.at_index(index));
            }
        }
    }

    fn fold(&mut self, receipt: ControlReceipt<'_>) {
        let index = receipt.envelope.index;
        let folded = match self.controls.rules.clone() {
            None => Rules::begin(receipt),
            Some(rules) => rules.apply(receipt),
        };
        match folded {
            Ok(rules) => self.controls.rules = Some(rules),
            Err(violation) => {
                let message = format!("control receipt {index} breaks a rule: {violation}");
                let finding = self.finding(Code::ControlViolation, message);
                self.report(finding.at_index(index));
            }
        }
        if receipt.envelope.kind.as_str() == EXPORTED_KIND {
            self.controls.statement = Exported::from_payload(receipt.payload).ok().map(|exported| (index, exported));
        }
    }

    /// The bundle is of the ledger that was asked for, and agrees with itself on which one it is.
    pub(super) fn check_identity(&mut self) {
        let head = self.head().clone();
        let stated = self.checkpoint().unverified().origin.clone();
        let Some(rules) = &self.controls.rules else {
            let message = "the control receipts do not begin with a genesis that can be read";
            let finding = self.finding(Code::NoKey, message);
            return self.report(finding);
        };
        let origin = rules.genesis().origin.clone();
        let id = self.controls.ledger_id().unwrap_or(Hash::ZERO);
        if head.ledger_id != id || head.origin != origin || stated != origin {
            let message = "bundle.json, checkpoint and genesis are of different ledgers";
            let found = format!("{} {}, checkpoint of {stated}", head.origin, head.ledger_id);
            let finding = self.finding(Code::BundleHead, message).because(format!("{origin} {id}"), found);
            self.report(finding);
        }
        if let Some(pin) = self.trust.genesis.filter(|pin| *pin != id) {
            let message = "this bundle is of another ledger than the one asked for";
            let finding = self.finding(Code::GenesisMismatch, message).because(pin, id);
            self.report(finding);
        }
    }

    /// The checkpoint is signed by a key that counts, and genesis names such a key.
    pub(super) fn check_signature(&mut self) {
        let named = self.controls.rules.as_ref().map(|rules| rules.genesis().checkpoint_key.clone());
        if let Anchor::SelfAsserted = self.trust.anchor {
            self.policy = named.clone().and_then(|key| TrustPolicy::single(key).ok());
        }
        let Some(policy) = &self.policy else { return };
        if let Some(named) = named.filter(|named| !policy.logs().contains(named)) {
            let keys: Vec<String> = policy.logs().iter().map(ToString::to_string).collect();
            let message = "genesis names a checkpoint key that is not trusted";
            let finding = self.finding(Code::KeyMismatch, message).because(keys.join(", "), named);
            self.report(finding);
        }
        let Some(policy) = &self.policy else { return };
        match self.checkpoint().clone().verify(policy) {
            Ok(_) => self.signed = true,
            Err(error) => {
                let message = format!("the checkpoint is not signed by a trusted key: {error}");
                let finding = self.finding(Code::Signature, message);
                self.report(finding);
            }
        }
    }

    /// The last control receipt is in the checkpoint's tree, and with it all it is chained to.
    pub(super) fn check_control_proof(&mut self) -> Result<(), Broken> {
        let bytes = self.tape.whole(BundleEntry::ControlProof, PROOF_FILE_LEN_MAX as u64)?;
        let file = InclusionFile::parse(&bytes);
        let file = file.map_err(|error| Broken::Layout(format!("control.proof: {error}")))?;
        let Some((index, leaf)) = self.controls.chain.last().copied() else { return Ok(()) };
        let checkpoint = self.checkpoint();
        let problem = if file.proof.index != index || file.checkpoint != *checkpoint {
            Some("it is about another receipt or checkpoint".to_owned())
        } else {
            file.proof.verify(&leaf, &checkpoint.unverified().root).err().map(|error| error.to_string())
        };
        if let Some(problem) = problem {
            let message = format!("the proof of the last control receipt, {index}, does not hold: {problem}");
            let finding = self.finding(Code::InclusionProof, message);
            self.report(finding.at_index(index));
        }
        Ok(())
    }
}
