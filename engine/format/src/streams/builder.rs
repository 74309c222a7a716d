//! Writes a stream index front to back, holding one block and the directory.

use super::directory::{self, Block};
use super::filter::{self, NameHash};
use super::{STREAM_BLOCK_TARGET, STREAM_RECORD_POSITIONS, StreamRecord, block};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};

/// A stream index in the making. Streams are pushed in ascending order of their names.
#[derive(Debug)]
pub struct StreamIndexBuilder {
    ledger_id: LeafHash,
    first: LeafIndex,
    end: TreeSize,
    streams_begun: u64,
    /// The record that is filled; it is written when it is known whether its stream goes on.
    filling: Option<StreamRecord>,
    /// The block that is filled: its bytes, its names, the first and the latest of them.
    block: Vec<u8>,
    names: Vec<NameHash>,
    block_first: Option<(StreamName, StreamSeq)>,
    latest: Option<StreamName>,
    /// Bytes of closed blocks, and those not taken yet.
    closed_len: u64,
    finished: Vec<u8>,
    blocks: Vec<Block>,
}

/// What ends a stream index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamIndexEnd {
    /// The rest of the file: blocks not taken yet, directory and trailer.
    pub rest: Vec<u8>,
    /// BLAKE3 of the directory, for the manifest.
    pub directory_digest: Hash,
    /// Number of streams whose first receipt is covered.
    pub streams_begun: u64,
}

impl StreamIndexBuilder {
    /// An index over the receipts from `first` to the tree of size `end`.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn new(ledger_id: LeafHash, first: LeafIndex, end: TreeSize) -> Self {
        assert!(end.contains(first), "a stream index covers at least one receipt");
        Self {
            ledger_id,
            first,
            end,
            streams_begun: 0,
            filling: None,
            block: Vec::new(),
            names: Vec::new(),
            block_first: None,
            latest: None,
            closed_len: 0,
            finished: Vec::new(),
            blocks: Vec::new(),
        }
    }

    /// Adds receipts of a stream, of which `first_seq` is the first. The same stream may be pushed on.
    ///
    /// # Panics
    /// When the stream is below the one pushed before, `first_seq` leaves a gap in it, `positions` do not ascend or are
    /// not among those covered, or a `stream_seq` is above its index.
    pub fn push(&mut self, stream: &StreamName, first_seq: StreamSeq, positions: &[LeafIndex]) {
        for (seq, position) in (first_seq.0..).map(StreamSeq).zip(positions) {
            let full = match &self.filling {
                Some(record) if record.stream == *stream => {
                    assert_eq!(record.next_seq(), seq, "a stream has no gaps");
                    assert!(record.positions.last() < Some(position), "positions ascend");
                    record.positions.len() == STREAM_RECORD_POSITIONS
                }
                Some(record) => {
                    assert!(record.stream < *stream, "streams ascend");
                    true
                }
                None => true,
            };
            assert!(self.first <= *position && self.end.contains(*position), "positions are among those covered");
            assert!(seq.0 <= position.0, "a stream_seq is at most the index");
            if full {
                self.write_record();
            }
            let record = self.filling.get_or_insert_with(|| StreamRecord {
                stream: stream.clone(),
                first_seq: seq,
                positions: Vec::with_capacity(positions.len().min(STREAM_RECORD_POSITIONS)),
            });
            record.positions.push(*position);
        }
    }

    /// The bytes of the file that are complete and were not taken yet.
    #[must_use]
    pub fn take_finished(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.finished)
    }

    /// Ends the file.
    ///
    /// # Panics
    /// When nothing was pushed, or the directory exceeds [`super::STREAM_DIRECTORY_LEN_MAX`].
    #[must_use]
    pub fn finish(mut self) -> StreamIndexEnd {
        self.write_record();
        self.close_block();
        assert!(!self.blocks.is_empty(), "a stream index covers at least one receipt");
        let directory =
            directory::encode(self.ledger_id, self.first..self.end.next_index(), self.streams_begun, &self.blocks);
        let directory_digest = Hash(*blake3::hash(&directory).as_bytes());
        let mut rest = self.finished;
        rest.extend(directory);
        rest.extend(directory::trailer(self.closed_len));
        StreamIndexEnd { rest, directory_digest, streams_begun: self.streams_begun }
    }

    fn write_record(&mut self) {
        let Some(record) = self.filling.take() else { return };
        block::encode_record(&mut self.block, self.latest.as_ref(), self.first, &record);
        if self.latest.as_ref() != Some(&record.stream) {
            self.names.push(NameHash::of(&record.stream));
        }
        if record.first_seq == StreamSeq(0) {
            self.streams_begun += 1;
        }
        self.block_first.get_or_insert_with(|| (record.stream.clone(), record.first_seq));
        self.latest = Some(record.stream);
        if self.block.len() >= STREAM_BLOCK_TARGET {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        let Some((stream, first_seq)) = self.block_first.take() else { return };
        let end = self.closed_len + self.block.len() as u64;
        self.blocks.push(Block {
            range: self.closed_len..end,
            names: self.names.len(),
            stream,
            first_seq,
            digest: Hash(*blake3::hash(&self.block).as_bytes()),
            filter: filter::build(&self.names),
        });
        self.closed_len = end;
        self.finished.append(&mut self.block);
        self.names.clear();
        self.latest = None;
    }
}
