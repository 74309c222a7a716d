//! Comparing stream indexes with the receipts they cover.
//!
//! What is held of the receipts is the ordinal of their stream, four bytes each, for the receipts since the last
//! comparison. A position that the index names is ticked off there: it must belong to that stream, once; what is left
//! unticked is missing from the index. An index over more receipts than are held at a time is read several times.

use super::chain::State;
use super::context::Context;
use super::files::{io, open, segment_path};
use super::manifest::Listed;
use super::segment::Judged;
use super::streams::Streams;
use crate::error::AuditError;
use crate::report::{Code, Finding};
use crate::source::SourceFile;
use counterfoil_format::{
    ByteOffset, STREAM_DIRECTORY_LEN_MAX, STREAM_TRAILER_LEN, StreamDirectory, StreamIndexEntry, StreamRecord,
    stream_index_file_name,
};
use counterfoil_proof::{LeafIndex, StreamSeq};

/// Receipts held before an index is read, beside those of one segment. Tests hold few, so that theirs are read more than
/// once.
const HELD_MAX: usize = if cfg!(test) { 20 } else { 16 * 1024 * 1024 };
/// Stands for a receipt that the index named already.
const TICKED: u32 = u32::MAX;

/// The comparison of all stream indexes, in the order of the ledger.
#[derive(Default)]
pub(super) struct StreamIndexes {
    /// Indexes that were compared.
    done: usize,
    /// What is wrong with the one being compared is said once.
    told: bool,
    open: Option<OpenIndex>,
    /// Streams of receipts that stand together.
    held: Vec<(LeafIndex, Vec<u32>)>,
    /// Receipts were lost under the index being compared.
    lost: bool,
    /// Indexes that were replaced while the ledger was read.
    pub(super) replaced: u64,
}

struct OpenIndex {
    file: Box<dyn SourceFile>,
    path: String,
    directory: StreamDirectory,
}

/// What is wrong with an index, in words, and where.
struct Wrong {
    at: Option<ByteOffset>,
    index: Option<LeafIndex>,
    what: String,
}

impl Wrong {
    fn new(what: impl Into<String>) -> Self {
        Self { at: None, index: None, what: what.into() }
    }
}

impl StreamIndexes {
    /// Takes a segment's receipts, and compares its index where that is complete or enough is held.
    pub(super) fn add(
        &mut self,
        context: &Context<'_>,
        judged: &mut Judged,
        ordinals: &[u32],
        streams: &Streams,
        state: &State,
    ) -> Result<Option<Finding>, AuditError> {
        let Some(entry) = context.listed.stream_indexes.get(self.done).copied() else { return Ok(None) };
        self.lost |= judged.chain.losses > 0;
        for (first, mut runs) in core::mem::take(&mut judged.streams.order) {
            runs.iter_mut().for_each(|run| *run = ordinals[*run as usize]);
            self.held.push((first, runs));
        }
        let complete = state.next == entry.end;
        let held: usize = self.held.iter().map(|(_, runs)| runs.len()).sum();
        if !complete && held < HELD_MAX {
            return Ok(None);
        }
        let wrong = if self.told { None } else { self.compare(context, &entry, streams, complete)? };
        self.told |= wrong.is_some();
        self.held.clear();
        if complete {
            *self = Self { done: self.done + 1, replaced: self.replaced, ..Self::default() };
        }
        Ok(wrong.map(|wrong| {
            let path = segment_path(&stream_index_file_name(entry.first, entry.end));
            let finding = Finding::new(Code::StreamIndex, format!("{path} {}", wrong.what));
            Finding { index: wrong.index.or(Some(entry.first)), offset: wrong.at, ..finding }
        }))
    }

    fn compare(
        &mut self,
        context: &Context<'_>,
        entry: &StreamIndexEntry,
        streams: &Streams,
        complete: bool,
    ) -> Result<Option<Wrong>, AuditError> {
        if self.open.is_none() {
            match OpenIndex::open(context, entry)? {
                Opened::Sound(index) => self.open = Some(index),
                Opened::Wrong(wrong) => return Ok(Some(wrong)),
                Opened::Replaced => {
                    self.told = true;
                    self.replaced += 1;
                    return Ok(None);
                }
            }
        }
        let Some(index) = self.open.take() else { return Ok(None) };
        let wrong = self.compare_blocks(&index, streams, complete)?;
        self.open = Some(index);
        let late = match wrong {
            Err(wrong) => return Ok(Some(wrong)),
            Ok(late) => late,
        };
        let left = self.held.iter().find_map(|(first, runs)| {
            let at = runs.iter().position(|run| *run != TICKED)?;
            Some(LeafIndex(first.0 + at as u64))
        });
        let left_out =
            left.map(|left| Wrong { index: Some(left), ..Wrong::new(format!("does not name receipt {left}")) });
        Ok(left_out.or(late))
    }

    /// Ticks off what the index names: `Err` with the first thing that cannot be, `Ok` with what is left to say when all
    /// receipts turn out to be named.
    fn compare_blocks(
        &mut self,
        index: &OpenIndex,
        streams: &Streams,
        complete: bool,
    ) -> Result<Result<Option<Wrong>, Wrong>, AuditError> {
        let mut late = None;
        let mut begun = 0;
        let mut last: Option<StreamRecord> = None;
        for n in 0..index.directory.blocks() {
            let range = index.directory.block_range(n);
            let at = Some(ByteOffset(range.start));
            let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
            let read = index.file.read_at(&mut bytes, range.start).map_err(io(&index.path))?;
            let records = match index.directory.decode_block(n, &bytes[..read]) {
                Ok(records) => records,
                Err(error) => {
                    let what = format!("is damaged in the block at byte {}: {error}", range.start);
                    return Ok(Err(Wrong { at, ..Wrong::new(what) }));
                }
            };
            for record in records {
                begun += u64::from(record.first_seq == StreamSeq(0));
                if let Some(wrong) = self.tick_off(&record, streams) {
                    return Ok(Err(Wrong { at, ..wrong }));
                }
                let ended = last.take().filter(|ended| ended.stream != record.stream);
                late = late.or_else(|| self.wrong_end(&ended?, streams));
                last = Some(record);
            }
        }
        late = late.or_else(|| self.wrong_end(&last?, streams));
        let stated = index.directory.streams_begun;
        late = late.or_else(|| {
            let what = format!("says that {stated} streams begin in it, it names {begun}");
            (begun != stated).then(|| Wrong::new(what))
        });
        Ok(Ok(late.filter(|_| complete)))
    }

    /// Ticks off the receipts of a record that are held.
    fn tick_off(&mut self, record: &StreamRecord, streams: &Streams) -> Option<Wrong> {
        let ordinal = streams.ordinal(&record.stream);
        let mut run = 0;
        for index in &record.positions {
            // Positions ascend, and nearly always stay in one run.
            if !self.holds(run, *index) {
                run = self.held.partition_point(|(first, _)| first <= index).saturating_sub(1);
                if !self.holds(run, *index) {
                    continue;
                }
            }
            let (first, runs) = &mut self.held[run];
            let held = &mut runs[usize::try_from(index.0 - first.0).unwrap_or(usize::MAX)];
            if Some(*held) != ordinal {
                let what = format!("names receipt {index} as one of stream {}, which it is not", record.stream);
                return Some(Wrong { index: Some(*index), ..Wrong::new(what) });
            }
            *held = TICKED;
        }
        None
    }

    fn holds(&self, run: usize, index: LeafIndex) -> bool {
        let Some((first, runs)) = self.held.get(run) else { return false };
        index.0 >= first.0 && index.0 - first.0 < runs.len() as u64
    }

    /// The last record of a stream ends where the stream ends: with that all its positions are numbered rightly.
    fn wrong_end(&self, record: &StreamRecord, streams: &Streams) -> Option<Wrong> {
        let head = streams.head(streams.ordinal(&record.stream)?);
        let last = record.first_seq.0 + record.positions.len() as u64 - 1;
        (last != head.seq.0 && !self.lost).then(|| {
            let index = record.positions.last().copied();
            let what = format!("numbers the last receipt of stream {} {last}, it is {}", record.stream, head.seq);
            Wrong { index, ..Wrong::new(what) }
        })
    }
}

enum Opened {
    Sound(OpenIndex),
    Wrong(Wrong),
    /// MANIFEST names another one by now.
    Replaced,
}

impl OpenIndex {
    fn open(context: &Context<'_>, entry: &StreamIndexEntry) -> Result<Opened, AuditError> {
        let path = segment_path(&stream_index_file_name(entry.first, entry.end));
        let Some(file) = open(context.source, &path)? else {
            let now = Listed::read(context.source)?;
            let replaced = now.is_pinned() && !now.stream_indexes.contains(entry);
            return Ok(if replaced { Opened::Replaced } else { Opened::Wrong(Wrong::new("is missing")) });
        };
        let len = file.len().map_err(io(&path))?;
        if len != entry.file_len {
            let what = format!("has {len} bytes, MANIFEST says {}", entry.file_len);
            return Ok(Opened::Wrong(Wrong { at: Some(ByteOffset(len.min(entry.file_len))), ..Wrong::new(what) }));
        }
        let mut trailer = [0; STREAM_TRAILER_LEN];
        file.read_at(&mut trailer, len.saturating_sub(STREAM_TRAILER_LEN as u64)).map_err(io(&path))?;
        let within =
            |at: &ByteOffset| at.0 < len && len - at.0 <= (STREAM_DIRECTORY_LEN_MAX + STREAM_TRAILER_LEN) as u64;
        let Some(at) = StreamDirectory::locate(&trailer).filter(within) else {
            return Ok(Opened::Wrong(Wrong::new("does not end as a stream index does")));
        };
        let mut bytes = vec![0; usize::try_from(len - at.0).unwrap_or(0)];
        let read = file.read_at(&mut bytes, at.0).map_err(io(&path))?;
        let directory = match StreamDirectory::decode(&bytes[..read], at) {
            Ok(directory) => directory,
            Err(error) => {
                let what = format!("has a damaged directory: {error}");
                return Ok(Opened::Wrong(Wrong { at: Some(at), ..Wrong::new(what) }));
            }
        };
        let ours = context.ledger_id.is_none_or(|id| id == directory.ledger_id)
            && (directory.first, directory.end) == (entry.first, entry.end)
            && directory.streams_begun == entry.streams_begun;
        if directory.digest() != entry.directory_digest || !ours {
            let what = "has another directory than MANIFEST says";
            return Ok(Opened::Wrong(Wrong { at: Some(at), ..Wrong::new(what) }));
        }
        Ok(Opened::Sound(Self { file, path, directory }))
    }
}
