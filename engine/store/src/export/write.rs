//! The entries of a bundle, one after the other.

use super::ExportSummary;
use super::scope::Reading;
use crate::error::ReadError;
use crate::ledger::Ledger;
use crate::prove;
use crate::types::Receipt;
use bytes::Bytes;
use counterfoil_format::{
    BUNDLE_CHUNK_TARGET, BundleEntry, FORMAT_DOCUMENT, ProofRecord, ReceiptRecord, TAR_END_LEN, TarHeader,
};
use counterfoil_proof::{Hash, InclusionFile, LeafHash, LeafIndex, StreamName, TreeSize};
use counterfoil_rules::{BundleHead, ExportScope};
use std::collections::VecDeque;

/// What is written next.
enum Step {
    /// A small entry, or the beginning of a large one.
    Entry(BundleEntry),
    /// More control receipts, then these zeros.
    Controls {
        reading: Box<Reading>,
        padding: usize,
    },
    /// A chunk of receipts; some were read before.
    Chunk {
        reading: Box<Reading>,
        ready: VecDeque<Receipt>,
    },
    End,
}

/// Writes a bundle piece by piece.
pub(super) struct Writer {
    ledger: Ledger,
    steps: VecDeque<Step>,
    /// The last control receipt, once they were measured.
    last_control: (LeafIndex, LeafHash),
}

impl Writer {
    /// `seen`: sizes of older trees, ascending.
    pub(super) fn new(ledger: Ledger, seen: Vec<TreeSize>) -> Self {
        let before = [BundleEntry::Document, BundleEntry::Head, BundleEntry::Checkpoint];
        let control = [BundleEntry::Control, BundleEntry::ControlProof];
        let receipts = [BundleEntry::Receipts(LeafIndex(0))];
        let consistency = seen.into_iter().map(BundleEntry::Consistency);
        let entries = before.into_iter().chain(control).chain(consistency).chain(receipts);
        let steps = entries.map(Step::Entry).chain([Step::End]).collect();
        Self { ledger, steps, last_control: (LeafIndex(0), Hash::ZERO) }
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self, summary: &ExportSummary) -> Option<Result<Bytes, ReadError>> {
        let mut out = Vec::new();
        while out.is_empty() {
            let step = self.steps.pop_front()?;
            if let Err(error) = self.step(step, summary, &mut out) {
                self.steps.clear();
                return Some(Err(error));
            }
        }
        Some(Ok(out.into()))
    }

    fn step(&mut self, step: Step, summary: &ExportSummary, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match step {
            Step::Entry(entry) => self.entry(entry, summary, out),
            Step::Controls { reading, padding } => self.controls(reading, padding, out),
            Step::Chunk { reading, ready } => self.chunk(reading, ready, summary, out),
            Step::End => {
                out.resize(TAR_END_LEN, 0);
                Ok(())
            }
        }
    }

    fn entry(&mut self, entry: BundleEntry, summary: &ExportSummary, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let shared = self.ledger.shared();
        let content = match entry {
            BundleEntry::Document => FORMAT_DOCUMENT.as_bytes().to_vec(),
            BundleEntry::Head => self.head(summary),
            BundleEntry::Checkpoint => summary.checkpoint.to_string().into_bytes(),
            BundleEntry::ControlProof => {
                let (index, leaf) = self.last_control;
                let proof = prove::inclusion(shared, index, &leaf, summary.tree())?;
                InclusionFile { proof, checkpoint: summary.checkpoint.clone() }.to_string().into_bytes()
            }
            BundleEntry::Consistency(old) => {
                prove::consistency(shared, old, summary.checkpoint.clone())?.to_string().into_bytes()
            }
            BundleEntry::Control => return self.begin_controls(summary, out),
            BundleEntry::Receipts(_) => {
                let reading = Box::new(Reading::of(&summary.scope, summary.size));
                self.steps.push_front(Step::Chunk { reading, ready: VecDeque::new() });
                return Ok(());
            }
        };
        put(entry, &content, out);
        Ok(())
    }

    fn head(&self, summary: &ExportSummary) -> Vec<u8> {
        let identity = self.ledger.identity();
        let head = BundleHead {
            ledger_id: identity.ledger_id,
            origin: identity.checkpoint_key.name().clone(),
            scope: summary.scope.clone(),
            size: summary.size,
            count: summary.receipts,
            statement: summary.statement,
            document: Hash(*blake3::hash(FORMAT_DOCUMENT.as_bytes()).as_bytes()),
        };
        head.to_json().expect("what was counted was there")
    }

    /// Measures the control receipts, which a tar header states before them, and begins their entry.
    fn begin_controls(&mut self, summary: &ExportSummary, out: &mut Vec<u8>) -> Result<(), ReadError> {
        let end = summary.statement.map_or(summary.tree().0, LeafIndex::size_including);
        let controls = ExportScope::Stream(StreamName::control());
        let mut reading = Reading::of(&controls, end);
        let (mut len, mut record) = (0, Vec::new());
        while let Some(page) = reading.page(self.ledger.shared())? {
            for receipt in page {
                record.clear();
                put_record(&receipt, &mut record);
                len += record.len() as u64;
                self.last_control = (receipt.envelope.index, receipt.leaf);
            }
        }
        let header = TarHeader::new(&BundleEntry::Control.name(), len);
        out.extend(header.encode());
        let reading = Box::new(Reading::of(&controls, end));
        self.steps.push_front(Step::Controls { reading, padding: header.padding() });
        Ok(())
    }

    fn controls(&mut self, mut reading: Box<Reading>, padding: usize, out: &mut Vec<u8>) -> Result<(), ReadError> {
        match reading.page(self.ledger.shared())? {
            Some(page) => {
                page.iter().for_each(|receipt| put_record(receipt, out));
                self.steps.push_front(Step::Controls { reading, padding });
            }
            None => out.resize(padding, 0),
        }
        Ok(())
    }

    /// One chunk: receipts with their proofs, until it is large enough or there are no more.
    fn chunk(
        &mut self,
        mut reading: Box<Reading>,
        mut ready: VecDeque<Receipt>,
        summary: &ExportSummary,
        out: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        let shared = self.ledger.shared();
        let mut first = None;
        let mut content = Vec::new();
        while (content.len() as u64) < BUNDLE_CHUNK_TARGET {
            let Some(receipt) = ready.pop_front() else {
                match reading.page(shared)? {
                    Some(page) => ready.extend(page),
                    None => break,
                }
                continue;
            };
            let index = receipt.envelope.index;
            first.get_or_insert(index);
            put_record(&receipt, &mut content);
            let hashes = prove::inclusion(shared, index, &receipt.leaf, summary.tree())?.hashes;
            ProofRecord { hashes }.encode_into(&mut content);
        }
        if let Some(first) = first {
            put(BundleEntry::Receipts(first), &content, out);
            self.steps.push_front(Step::Chunk { reading, ready });
        }
        Ok(())
    }
}

fn put_record(receipt: &Receipt, out: &mut Vec<u8>) {
    let content = receipt.content.as_ref().map(|content| (content.salt, content.payload.as_ref()));
    ReceiptRecord { envelope: receipt.envelope.clone(), content }.encode_into(out);
}

fn put(entry: BundleEntry, content: &[u8], out: &mut Vec<u8>) {
    let header = TarHeader::new(&entry.name(), content.len() as u64);
    out.extend(header.encode());
    out.extend(content);
    out.resize(out.len() + header.padding(), 0);
}
