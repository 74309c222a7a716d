//! Verifying a bundle: receipts of one stream or range, without the ledger they come from.
//!
//! *Invariants*: the bundle is read once, front to back, and at most one receipt and its proof are in memory; the hash
//! and place of each control receipt are kept, and of each stream of a range its head; nothing that the bundle says of
//! itself is believed before a signature or a hash leads to it.

mod control;
mod finish;
mod receipts;
mod report;
mod tape;
#[cfg(test)]
mod tests;

use crate::error::AuditError;
use crate::report::{Code, FINDINGS_MAX, Finding};
use crate::scan::ShownReceipt;
use crate::trust::{Anchor, Options, Trust};
use control::Controls;
use counterfoil_format::{
    BUNDLE_CONSISTENCY_MAX, BUNDLE_HEAD_LEN_MAX, BundleEntry, ByteOffset, FORMAT_DOCUMENT_LEN_MAX, FormatError,
    PREAMBLE_LEN,
};
use counterfoil_proof::{
    ConsistencyFile, LeafIndex, NOTE_LEN_MAX, PROOF_FILE_LEN_MAX, RootHash, SignedCheckpoint, TreeSize, TrustPolicy,
};
use counterfoil_rules::BundleHead;
use receipts::Followed;
pub use report::{BundleReport, Completeness};
use std::io::Read;
use tape::{Broken, Tape};

/// Verifies a bundle.
///
/// # Errors
/// [`AuditError`] when the verification could not be completed, or a check that was asked for is not possible with this
/// bundle. Whatever is wrong with the bundle is in the report.
pub fn verify_bundle(reader: impl Read, trust: &Trust, options: &Options) -> Result<BundleReport, AuditError> {
    Ok(Check::new(reader, trust, options, None)?.run()?.0)
}

/// Verifies a bundle and returns one receipt of it; `None` when its record could not be read.
///
/// # Errors
/// [`AuditError::NotInBundle`] when it is not among the receipts exported, and as [`verify_bundle`].
pub fn show_in_bundle(
    reader: impl Read,
    trust: &Trust,
    options: &Options,
    index: LeafIndex,
) -> Result<(Option<ShownReceipt>, BundleReport), AuditError> {
    let (report, shown) = Check::new(reader, trust, options, Some(index))?.run()?;
    if shown.is_none() && report.verified() {
        return Err(AuditError::NotInBundle { index });
    }
    Ok((shown, report))
}

/// A verification in progress.
struct Check<'a, R> {
    tape: Tape<R>,
    trust: &'a Trust,
    options: &'a Options,
    wanted: Option<LeafIndex>,
    shown: Option<ShownReceipt>,
    findings: Vec<Finding>,
    left_out: u64,
    head: Option<BundleHead>,
    checkpoint: Option<SignedCheckpoint>,
    /// The keys that count, once they are known.
    policy: Option<TrustPolicy>,
    /// The checkpoint's signatures satisfied them.
    signed: bool,
    controls: Controls,
    /// Older trees that the checkpoint's tree was shown to extend.
    older: Vec<(TreeSize, RootHash)>,
    followed: Followed,
}

impl<'a, R: Read> Check<'a, R> {
    fn new(reader: R, trust: &'a Trust, options: &'a Options, wanted: Option<LeafIndex>) -> Result<Self, AuditError> {
        let policy = match &trust.anchor {
            Anchor::Policy(policy) if policy.asks_for_witnesses() && trust.seen.is_empty() => {
                return Err(AuditError::NotPossible {
                    check: "the policy's quorum of witnesses",
                    reason: "a bundle holds no cosignatures",
                    next: "give a cosigned checkpoint of this ledger with --seen, and export with --seen of the same",
                });
            }
            Anchor::Policy(policy) => Some(policy.without_witnesses()),
            Anchor::SelfAsserted => None,
        };
        Ok(Self {
            tape: Tape::new(reader),
            trust,
            options,
            wanted,
            shown: None,
            findings: Vec::new(),
            left_out: 0,
            head: None,
            checkpoint: None,
            policy,
            signed: false,
            controls: Controls::default(),
            older: Vec::new(),
            followed: Followed::default(),
        })
    }

    fn run(mut self) -> Result<(BundleReport, Option<ShownReceipt>), AuditError> {
        match self.entries() {
            Ok(()) => self.check_completeness(),
            Err(Broken::Io(source)) => return Err(AuditError::Io { path: "the bundle".to_owned(), source }),
            Err(Broken::Layout(message)) => {
                let message = format!("{message}; nothing behind it was read");
                let finding = self.finding(Code::BundleDamaged, message);
                self.report(finding);
            }
        }
        self.finish()
    }

    /// Reads all entries, in their order.
    fn entries(&mut self) -> Result<(), Broken> {
        let document = self.tape.whole(BundleEntry::Document, FORMAT_DOCUMENT_LEN_MAX)?;
        let head = self.tape.whole(BundleEntry::Head, BUNDLE_HEAD_LEN_MAX)?;
        let head = BundleHead::from_json(&head).map_err(|error| Broken::Layout(format!("bundle.json: {error}")))?;
        if blake3::hash(&document) != head.document.0 {
            let message = "format.md is not the document that was exported; what it says was not used here";
            let finding = self.finding(Code::BundleDocument, message);
            self.report(finding);
        }
        drop(document);
        let note = self.tape.whole(BundleEntry::Checkpoint, NOTE_LEN_MAX as u64)?;
        let checkpoint = SignedCheckpoint::parse(&note);
        let checkpoint = checkpoint.map_err(|error| Broken::Layout(format!("the checkpoint: {error}")))?;
        self.head = Some(head);
        self.checkpoint = Some(checkpoint);
        self.read_controls()?;
        self.check_identity();
        self.check_signature();
        self.check_control_proof()?;
        self.read_consistency()?;
        self.read_receipts()?;
        self.tape.end()
    }

    fn read_consistency(&mut self) -> Result<(), Broken> {
        while let Some(entry @ BundleEntry::Consistency(old)) = self.tape.peek()? {
            if self.older.len() >= BUNDLE_CONSISTENCY_MAX {
                return Err(Broken::Layout("there are too many consistency proofs".to_owned()));
            }
            let bytes = self.tape.whole(entry, PROOF_FILE_LEN_MAX as u64)?;
            let file = ConsistencyFile::parse(&bytes);
            let file = file.map_err(|error| Broken::Layout(format!("{}: {error}", entry.name())))?;
            let checkpoint = self.checkpoint();
            let holds = file.proof.verify(&file.old_root, &checkpoint.unverified().root);
            let problem = match holds {
                Err(error) => Some(format!("the consistency proof with size {old} does not hold: {error}")),
                Ok(()) if file.proof.old != old || file.checkpoint != *checkpoint => {
                    Some(format!("the consistency proof with size {old} is about other checkpoints"))
                }
                Ok(()) => None,
            };
            match problem {
                Some(message) => {
                    let finding = self.finding(Code::ConsistencyProof, message);
                    self.report(finding);
                }
                None => self.older.push((old, file.old_root)),
            }
        }
        Ok(())
    }

    /// The next record of the entry at hand.
    fn record(&mut self, declared_len: fn(&[u8]) -> Result<usize, FormatError>) -> Result<Vec<u8>, Broken> {
        let mut bytes = Vec::new();
        self.tape.take(PREAMBLE_LEN, &mut bytes)?;
        let len = declared_len(&bytes)?;
        self.tape.take(len - PREAMBLE_LEN, &mut bytes)?;
        Ok(bytes)
    }

    /// What the bundle says it holds; read before anything that asks for it.
    fn head(&self) -> &BundleHead {
        self.head.as_ref().expect("the head is read first")
    }

    /// The bundle's checkpoint; whether it is signed by a trusted key is another question.
    fn checkpoint(&self) -> &SignedCheckpoint {
        self.checkpoint.as_ref().expect("the checkpoint is read before what leads to it")
    }

    /// A finding at what was read last.
    fn finding(&self, code: Code, message: impl Into<String>) -> Finding {
        let finding = Finding::new(code, message);
        let next = match code {
            Code::Signature
            | Code::KeyMismatch
            | Code::ControlViolation
            | Code::BundleDocument
            | Code::WriterSignature => finding.next.clone(),
            _ => NEXT_EXPORT.to_owned(),
        };
        let entry = self.tape.entry().map(BundleEntry::name);
        Finding { entry, offset: Some(ByteOffset(self.tape.offset())), next, ..finding }
    }

    fn report(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }
}

const NEXT_EXPORT: &str =
    "keep this file and ask for another export; if that one differs or fails too, the operator has to explain both";
