//! The exported receipts: each proven to be in the checkpoint's tree, and all of them without a gap.

use super::Check;
use super::tape::Broken;
use crate::report::{Code, Finding, Verdict, Verdicts};
use crate::scan::ShownReceipt;
use counterfoil_format::{
    BUNDLE_CHUNK_TARGET, BundleEntry, PROOF_RECORD_LEN_MAX, ProofRecord, RECEIPT_RECORD_LEN_MAX, ReceiptRecord,
};
use counterfoil_proof::{
    Envelope, Hash, InclusionProof, LeafHash, LeafIndex, StreamName, StreamSeq, Timestamp, TreeSize,
};
use counterfoil_rules::ExportScope;
use std::collections::HashMap;
use std::io::Read;

/// Streams of a range that are followed; of more, only the receipts themselves are judged.
const STREAMS_MAX: usize = 1 << 20;
const PROGRESS_STEP: u64 = 1 << 16;
const CHUNK_LEN_MAX: u64 = BUNDLE_CHUNK_TARGET + (RECEIPT_RECORD_LEN_MAX + PROOF_RECORD_LEN_MAX) as u64;

/// What is known of the receipts up to the one read last.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) count: u64,
    pub(super) verdicts: Verdicts,
    pub(super) last: Option<Last>,
    streams: HashMap<StreamName, StreamHead>,
    /// Some stream is not followed, because there are too many.
    pub(super) too_many_streams: bool,
    /// Some receipt has links, which were not followed.
    pub(super) linked: bool,
}

/// The receipt read last.
#[derive(Clone, Copy)]
pub(super) struct Last {
    pub(super) index: LeafIndex,
    pub(super) leaf: LeafHash,
    pub(super) time: Timestamp,
}

#[derive(Clone, Copy)]
struct StreamHead {
    seq: StreamSeq,
    leaf: LeafHash,
    closed: bool,
}

impl Followed {
    /// Streams with a receipt in the bundle.
    pub(super) fn streams(&self) -> u64 {
        self.streams.len() as u64
    }
}

impl<R: Read> Check<'_, R> {
    pub(super) fn read_receipts(&mut self) -> Result<(), Broken> {
        let mut last_chunk = BUNDLE_CHUNK_TARGET;
        while let Some(entry @ BundleEntry::Receipts(first)) = self.tape.peek()? {
            if last_chunk < BUNDLE_CHUNK_TARGET {
                return Err(Broken::Layout(format!("only the last chunk has less than {BUNDLE_CHUNK_TARGET} bytes")));
            }
            self.tape.begin(entry, CHUNK_LEN_MAX)?;
            last_chunk = self.tape.remaining();
            self.chunk(first, last_chunk)?;
        }
        Ok(())
    }

    fn chunk(&mut self, first: LeafIndex, len: u64) -> Result<(), Broken> {
        let mut next = Some(first);
        loop {
            let bytes = self.record(ReceiptRecord::declared_len)?;
            let proof = self.record(ProofRecord::declared_len)?;
            let (record, _) = ReceiptRecord::decode(&bytes)?;
            if next.take().is_some_and(|first| first != record.envelope.index) {
                return Err(Broken::Layout("a chunk is named after its first receipt".to_owned()));
            }
            self.receipt(&record, ProofRecord::decode(&proof)?);
            let read = len - self.tape.remaining();
            match self.tape.remaining() {
                0 => return Ok(()),
                _ if read >= BUNDLE_CHUNK_TARGET => {
                    let message =
                        format!("a chunk ends with the receipt that brings it to {BUNDLE_CHUNK_TARGET} bytes");
                    return Err(Broken::Layout(message));
                }
                _ => {}
            }
        }
    }

    fn receipt(&mut self, record: &ReceiptRecord<'_>, proof: ProofRecord) {
        let envelope = &record.envelope;
        let leaf = envelope.leaf_hash();
        let proven = self.check_inclusion(envelope, leaf, proof);
        let verdict = match record.content {
            _ if !proven => Verdict::Corrupt,
            None => Verdict::Missing,
            Some((salt, payload)) if envelope.commitment.opens_to(&salt, payload) => Verdict::Present,
            Some(_) => Verdict::Corrupt,
        };
        if proven && verdict == Verdict::Missing {
            self.blame(envelope, Code::PayloadMissing, "its payload is gone and no tombstone permits that");
        } else if proven && verdict == Verdict::Corrupt {
            self.blame(envelope, Code::ReceiptCorrupt, "its payload is not the one committed to");
        }
        self.followed.verdicts.add(verdict, 1);
        self.check_place(envelope);
        self.check_rules(envelope, leaf);
        self.check_stream(envelope, leaf);
        if self.wanted == Some(envelope.index) {
            self.keep(record, leaf, verdict, proven);
        }
        self.followed.count += 1;
        self.followed.linked |= !envelope.links.is_empty();
        self.followed.last = Some(Last { index: envelope.index, leaf, time: envelope.time });
        if let Some(tell) = self.options.progress.filter(|_| self.followed.count.is_multiple_of(PROGRESS_STEP)) {
            tell(TreeSize(self.followed.count));
        }
    }

    fn check_inclusion(&mut self, envelope: &Envelope, leaf: LeafHash, proof: ProofRecord) -> bool {
        let checkpoint = self.checkpoint().unverified();
        let (root, size) = (checkpoint.root, checkpoint.size);
        let proof = InclusionProof { index: envelope.index, size, hashes: proof.hashes };
        match proof.verify(&leaf, &root) {
            Ok(()) => true,
            Err(error) => {
                let message = format!("it is not in the tree of the checkpoint: {error}");
                self.blame(envelope, Code::InclusionProof, &message);
                false
            }
        }
    }

    /// The receipt belongs to what was exported and follows the one before.
    fn check_place(&mut self, envelope: &Envelope) {
        let (scope, size) = (self.head().scope.clone(), self.head().size);
        let last = self.followed.last;
        if last.is_some_and(|last| envelope.time < last.time) {
            self.blame(envelope, Code::TimeBackwards, "time goes backwards");
        }
        match scope {
            ExportScope::Stream(stream) => {
                if envelope.stream != stream || !size.contains(envelope.index) {
                    self.blame(envelope, Code::ReceiptForeign, "it does not belong to what was exported");
                }
                if last.is_some_and(|last| envelope.index <= last.index) {
                    self.blame(envelope, Code::ReceiptForeign, "it stands behind a later receipt");
                }
            }
            ExportScope::Range { from, to } => {
                let due = last.map_or(from.0, |last| last.index.0.saturating_add(1));
                if envelope.index.0 != due || !to.contains(envelope.index) {
                    let message = format!("receipt {due} is due in its place");
                    self.blame(envelope, Code::ReceiptsMissing, &message);
                } else if last.is_some_and(|last| envelope.prev != last.leaf) {
                    self.blame(envelope, Code::ChainBroken, "it does not follow the receipt before it");
                }
            }
        }
    }

    /// What the control receipts say of it.
    fn check_rules(&mut self, envelope: &Envelope, leaf: LeafHash) {
        let (index, seq) = (envelope.index, envelope.control_seq);
        let bound = self.controls.precede(index, seq, envelope.control_head)
            && (!envelope.is_control() || seq.0 >= self.controls.count() || self.controls.contain(seq, index, leaf));
        if !bound {
            self.blame(envelope, Code::ControlChainBroken, "it was appended under other control receipts");
        }
        let Some(rules) = &self.controls.rules else { return };
        let known = rules.class_name(envelope.class).is_some();
        let algorithm = rules.genesis().commitment;
        if !known {
            self.blame(envelope, Code::UnknownClass, "no retention class has its id");
        }
        if envelope.commitment.algorithm != algorithm {
            let message = "its payload is committed to in another way than genesis says";
            self.blame(envelope, Code::CommitmentAlgorithm, message);
        }
        // No control receipt of this version grants a key the role writer.
        if envelope.writer_signature.is_some() {
            self.blame(envelope, Code::WriterSignature, "it is signed by a key that nothing grants the role writer");
        }
    }

    /// It follows the receipt before it in its stream. A range may begin within a stream.
    fn check_stream(&mut self, envelope: &Envelope, leaf: LeafHash) {
        let whole = matches!(self.head().scope, ExportScope::Stream(_));
        let before = self.followed.streams.get(&envelope.stream).copied();
        let (seq, prev) = match before {
            Some(head) => (head.seq.0.saturating_add(1), head.leaf),
            None if whole => (0, Hash::ZERO),
            None => (envelope.stream_seq.0, envelope.stream_prev),
        };
        let problem = if before.is_some_and(|head| head.closed) {
            Some((Code::StreamClosed, "it stands behind the receipt that closed its stream"))
        } else if envelope.stream_seq.0 > seq {
            Some((Code::StreamGap, "its stream skips a position"))
        } else if envelope.stream_seq.0 < seq || envelope.stream_prev != prev {
            Some((Code::StreamForked, "it does not follow the receipt before it in its stream"))
        } else {
            None
        };
        if let Some((code, message)) = problem {
            let found = format!("position {} behind {}", envelope.stream_seq, envelope.stream_prev);
            let finding = self.about(envelope, code, message).because(format!("position {seq} behind {prev}"), found);
            self.report(finding);
        }
        if before.is_none() && self.followed.streams.len() >= STREAMS_MAX {
            self.followed.too_many_streams = true;
            return;
        }
        let closed = envelope.closes_stream || before.is_some_and(|head| head.closed);
        let head = StreamHead { seq: envelope.stream_seq, leaf, closed };
        self.followed.streams.insert(envelope.stream.clone(), head);
    }

    fn keep(&mut self, record: &ReceiptRecord<'_>, leaf: LeafHash, verdict: Verdict, proven: bool) {
        let class = record.envelope.class;
        let name = self.controls.rules.as_ref().and_then(|rules| rules.class_name(class)).map(str::to_owned);
        let content = record.content.filter(|_| verdict == Verdict::Present);
        self.shown = Some(ShownReceipt {
            envelope: record.envelope.clone(),
            leaf,
            class: name.unwrap_or_else(|| format!("unknown class {}", class.0)),
            content: content.map(|(salt, payload)| (salt, payload.to_vec())),
            verdict,
            checkpoint: self.checkpoint.clone().filter(|_| proven && self.signed),
        });
    }

    fn about(&self, envelope: &Envelope, code: Code, message: &str) -> Finding {
        let message = format!("receipt {} ({}, {}): {message}", envelope.index, envelope.stream, envelope.kind);
        Finding {
            stream: Some(envelope.stream.clone()),
            kind: Some(envelope.kind.clone()),
            ..self.finding(code, message).at_index(envelope.index)
        }
    }

    fn blame(&mut self, envelope: &Envelope, code: Code, message: &str) {
        let finding = self.about(envelope, code, message);
        self.report(finding);
    }
}
