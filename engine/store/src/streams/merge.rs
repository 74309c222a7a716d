//! Merging neighbouring stream indexes into one, in small steps.

use super::runs::LoadedRun;
use crate::disk::DiskFile;
use crate::segment::SegmentError;
use core::ops::Range;
use counterfoil_format::{ByteOffset, FormatError, Manifest, StreamIndexBuilder, StreamIndexEntry, StreamRecord};
use counterfoil_proof::{LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};
use std::io;
use std::sync::Arc;
use std::vec::IntoIter;

/// Indexes of about the same size that are merged into one.
const MERGED_RUNS: usize = 8;
/// No merge covers more segments: its work stays bounded, however old the ledger gets.
const MERGED_SEGMENTS_MAX: usize = 512;
/// Records that one step of a merge takes on.
pub(crate) const STEP_RECORDS: usize = 16_384;

/// Indexes that contradict each other are damaged, however well each of them keeps its own rules.
fn follow(latest: Option<Latest>, record: &StreamRecord) -> Result<Latest, SegmentError> {
    let first = record.positions[0];
    let fits = latest.is_none_or(|latest| {
        latest.stream.as_str() < record.stream.as_str()
            || latest.stream == record.stream && latest.next_seq == record.first_seq && latest.position < first
    });
    if !fits {
        let error = FormatError::NotCanonical { rule: "neighbouring stream indexes go on with the same streams" };
        return Err(SegmentError::Damaged { offset: ByteOffset(0), error });
    }
    let next_seq = StreamSeq(record.first_seq.0 + record.positions.len() as u64);
    let position = *record.positions.last().expect("a record holds at least one position");
    Ok(Latest { stream: record.stream.clone(), next_seq, position })
}

/// Which stream indexes of a manifest to merge next: eight neighbours of one tier, where each tier covers eight times as
/// many segments as the one below. So a receipt's place is written three times at most, and a lookup meets few indexes.
pub(crate) fn due(manifest: &Manifest) -> Option<Range<usize>> {
    let weight = |entry: &StreamIndexEntry| {
        let first = manifest.segments.partition_point(|segment| segment.id.0 < entry.first);
        manifest.segments.partition_point(|segment| segment.id.0 < entry.end.next_index()) - first
    };
    let weights: Vec<usize> = manifest.stream_indexes.iter().map(weight).collect();
    let tier = |weight: usize| weight.max(1).ilog(MERGED_RUNS);
    let mut windows = weights.windows(MERGED_RUNS).enumerate().rev();
    let found = windows.find(|(_, window)| {
        window.iter().all(|weight| tier(*weight) == tier(window[0]))
            && window.iter().sum::<usize>() <= MERGED_SEGMENTS_MAX
    });
    found.map(|(at, _)| at..at + MERGED_RUNS)
}

/// Where a merged index is written.
pub(crate) enum Output {
    File { file: Arc<dyn DiskFile>, len: u64 },
    Memory(Vec<u8>),
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::File { file, len } => {
                file.write_all_at(bytes, *len)?;
                *len += bytes.len() as u64;
            }
            Self::Memory(memory) => memory.extend(bytes),
        }
        Ok(())
    }

    fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(memory) => memory.len() as u64,
        }
    }
}

/// A merge under way.
pub(crate) struct Merge {
    sources: Vec<Source>,
    builder: StreamIndexBuilder,
    output: Output,
    first: LeafIndex,
    end: TreeSize,
    latest: Option<Latest>,
}

/// What the next record of a stream has to follow.
struct Latest {
    stream: StreamName,
    next_seq: StreamSeq,
    position: LeafIndex,
}

/// One of the indexes, read from its first record on.
struct Source {
    run: Arc<LoadedRun>,
    next_block: usize,
    records: IntoIter<StreamRecord>,
}

impl Source {
    fn peek(&mut self) -> Result<Option<&StreamRecord>, SegmentError> {
        if self.records.as_slice().is_empty() && self.next_block < self.run.directory.blocks() {
            self.records = self.run.block(self.next_block)?.into_iter();
            self.next_block += 1;
        }
        Ok(self.records.as_slice().first())
    }
}

impl Merge {
    /// Begins to merge indexes that follow each other without a gap.
    pub(crate) fn begin(runs: Vec<Arc<LoadedRun>>, ledger_id: LeafHash, output: Output) -> Self {
        let first = runs.first().expect("there is something to merge").directory.first;
        let end = runs.last().expect("there is something to merge").directory.end;
        let sources = runs.into_iter().map(|run| Source { run, next_block: 0, records: Vec::new().into_iter() });
        let builder = StreamIndexBuilder::new(ledger_id, first, end);
        Self { sources: sources.collect(), builder, output, first, end, latest: None }
    }

    /// Takes on at most so many records; true when there are no more.
    pub(crate) fn step(&mut self, records: usize) -> Result<bool, SegmentError> {
        for _ in 0..records {
            let mut next: Option<(usize, &StreamRecord)> = None;
            for (at, source) in self.sources.iter_mut().enumerate() {
                // Of one stream, the older index comes first.
                if let Some(record) = source.peek()?
                    && next.is_none_or(|(_, found)| record.stream.as_str() < found.stream.as_str())
                {
                    next = Some((at, record));
                }
            }
            let Some((at, record)) = next else { return Ok(true) };
            self.latest = Some(follow(self.latest.take(), record)?);
            self.builder.push(&record.stream, record.first_seq, &record.positions);
            self.sources[at].records.next();
        }
        let finished = self.builder.take_finished();
        self.output.write(&finished)?;
        Ok(false)
    }

    /// Writes the end of the file. What comes back pins it.
    pub(crate) fn finish(self) -> io::Result<(StreamIndexEntry, Output)> {
        let Self { mut builder, mut output, first, end, .. } = self;
        output.write(&builder.take_finished())?;
        let last = builder.finish();
        output.write(&last.rest)?;
        let entry = StreamIndexEntry {
            first,
            end,
            file_len: output.len(),
            streams_begun: last.streams_begun,
            directory_digest: last.directory_digest,
        };
        Ok((entry, output))
    }
}
