//! Writing a frame.

use super::table::{self, Batch, BatchLabel, Stored};
use super::{
    FRAME_BATCHES_MAX, FRAME_HEADER_LEN, FRAME_LEN_MAX, FRAME_RECEIPTS_MAX, FrameCommit, FrameStart, MAGIC, heads,
};
use crate::record;
use counterfoil_proof::{Envelope, Principal};
use std::collections::HashMap;

/// Collects the receipts of one group commit and writes them as a frame.
pub struct FrameBuilder<'a> {
    start: FrameStart,
    batches: Vec<Batch>,
    names: Names,
    heads: Vec<u8>,
    table: Vec<u8>,
    payloads: Vec<&'a [u8]>,
    payload_len: usize,
    receipts: usize,
    /// Place of the last receipt of each stream, by name.
    last: HashMap<u16, usize>,
}

#[derive(Default)]
struct Names {
    indices: HashMap<Box<str>, u16>,
    encoded: Vec<u8>,
}

impl Names {
    fn index(&mut self, name: &str) -> u16 {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        let index = u16::try_from(self.indices.len()).expect("each receipt adds at most two names, each batch one");
        self.indices.insert(name.into(), index);
        self.encoded.push(u8::try_from(name.len()).expect("names are at most 128 bytes"));
        self.encoded.extend(name.as_bytes());
        index
    }
}

impl<'a> FrameBuilder<'a> {
    /// An empty frame.
    #[must_use]
    pub fn new(start: FrameStart) -> Self {
        Self {
            start,
            batches: Vec::new(),
            names: Names::default(),
            heads: Vec::new(),
            table: Vec::new(),
            payloads: Vec::new(),
            payload_len: 0,
            receipts: 0,
            last: HashMap::new(),
        }
    }

    /// What stood before the frame.
    #[must_use]
    pub fn start(&self) -> &FrameStart {
        &self.start
    }

    /// Begins a batch; receipts pushed from here on belong to it.
    pub fn begin_batch(&mut self, writer: &Principal, label: BatchLabel) {
        let writer = self.names.index(writer.as_str());
        self.batches.push(Batch { label, receipts: 0, writer });
    }

    /// Adds one receipt.
    ///
    /// # Panics
    /// When no batch was begun, or the envelope does not follow the receipts before it.
    pub fn push(&mut self, envelope: &Envelope, stored: Stored<'a>) {
        assert_eq!(envelope.index.0, self.start.first.0 + self.receipts as u64, "receipts follow each other");
        assert_eq!(envelope.time, self.start.time, "a frame has one time");
        let batch = self.batches.last_mut().expect("a receipt belongs to a batch");
        batch.receipts += 1;
        let names = [self.names.index(envelope.stream.as_str()), self.names.index(envelope.kind.as_str())];
        let previous = self.last.insert(names[0], self.receipts).map(|at| self.receipts - at);
        heads::encode(&mut self.heads, envelope, names, previous);
        table::encode_slot(&mut self.table, &stored);
        if let Stored::Present { payload, .. } = stored {
            self.payloads.push(payload);
            self.payload_len += payload.len();
        }
        self.receipts += 1;
    }

    /// The bytes of the frame, unpadded.
    ///
    /// # Panics
    /// When the frame is empty or longer than [`FRAME_LEN_MAX`]: admission bounds both.
    #[must_use]
    pub fn finish(self, commit: &FrameCommit) -> Vec<u8> {
        assert!((1..=FRAME_RECEIPTS_MAX).contains(&self.receipts), "a frame holds a bounded number of receipts");
        assert!(self.batches.len() <= FRAME_BATCHES_MAX, "a frame holds a bounded number of batches");
        assert_eq!(commit.size.0, self.start.first.0 + self.receipts as u64, "the commit covers the frame");
        let small = |len: usize| u32::try_from(len).expect("parts of a frame are far below 4 GiB").to_le_bytes();
        let short = |count: usize| u16::try_from(count).expect("bounded above").to_le_bytes();
        let sections = self.names.encoded.len() + self.heads.len() + self.table.len() + self.payload_len;
        let capacity =
            (FRAME_HEADER_LEN + self.batches.len() * table::BATCH_LEN + sections + 4096).next_multiple_of(4096);
        let mut out = record::begin(MAGIC, capacity);
        out.extend(self.start.nonce);
        let start = &self.start;
        for value in [start.first.0, start.synced_through.0, start.time.0, start.control_seq.0] {
            out.extend(value.to_le_bytes());
        }
        out.extend(start.prev.0);
        out.extend(start.control_head.0);
        for len in [self.receipts, self.names.encoded.len(), self.heads.len(), self.table.len(), self.payload_len] {
            out.extend(small(len));
        }
        out.extend(short(self.batches.len()));
        out.extend(short(self.names.indices.len()));
        out.push(start.commitment.byte());
        out.resize(FRAME_HEADER_LEN, 0);
        for batch in &self.batches {
            batch.encode_into(&mut out);
        }
        out.extend(&self.names.encoded);
        out.extend(&self.heads);
        out.extend(&self.table);
        for payload in &self.payloads {
            out.extend_from_slice(payload);
        }
        commit.encode_into(&mut out);
        assert!(out.len() <= FRAME_LEN_MAX, "admission bounds a frame");
        record::finish(&mut out);
        out
    }
}
