//! What exports stated, compared with what the ledger holds.
//!
//! A statement counts the receipts of a stream below a tree size and names the last of them. The stream's next receipt
//! repeats both: its position is the count, and it holds the leaf hash of the one before. Where there is no next receipt
//! the last one is known since the segments were joined. So the ledger is read again only for streams that went on, from
//! the smallest size stated of them to the last of their next receipts, and of most frames only the index is read.

use super::account::Unit;
use super::context::Context;
use super::join::Join;
use super::segment::{Errand, Plan, judge_segment};
use super::segment_file::{SegmentFile, fits};
use super::streams::Streams;
use crate::error::AuditError;
use crate::report::{Code, Finding};
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, FrameIndex};
use counterfoil_format::{ByteOffset, SEGMENT_HEADER_LEN};
use counterfoil_proof::{Hash, Kind, LeafHash, LeafIndex, StreamName, TreeSize};
use counterfoil_rules::{EXPORTED_KIND, ExportScope, Exported};
use std::collections::{BTreeSet, HashMap};

/// A `ledger.exported/1` receipt that keeps the rules.
pub(super) struct Statement {
    pub(super) index: LeafIndex,
    pub(super) exported: Exported,
}

/// How many receipts a scope held at a tree size, as far as the ledger shows it.
#[derive(Clone, Copy)]
struct Held {
    count: u64,
    /// Leaf hash of the last of so many.
    last: LeafHash,
    bound: Bound,
}

/// What lost receipts leave open.
#[derive(Clone, Copy)]
enum Bound {
    /// Nothing.
    Exact,
    /// Receipts between the tree size and the next one that was read: some of those counted may stand behind that size.
    AtMost,
    /// Receipts between the last one that was read and the tree size: there may be more.
    AtLeast,
}

impl Held {
    /// Whether a statement is true; `None` when that rests on receipts that were lost.
    fn judge(&self, stated: &Exported) -> Option<bool> {
        let other = stated.count == self.count && stated.head != self.last;
        match self.bound {
            Bound::Exact => Some(stated.count == self.count && !other),
            Bound::AtMost => (stated.count > self.count || other).then_some(false),
            Bound::AtLeast => (stated.count < self.count || other).then_some(false),
        }
    }
}

impl core::fmt::Display for Held {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { count, last, .. } = self;
        match self.bound {
            _ if *count == 0 => write!(f, "no receipt"),
            Bound::Exact => write!(f, "{count} receipts, the last {last}"),
            Bound::AtMost => write!(f, "at most {count} receipts, number {count} {last}"),
            Bound::AtLeast => write!(f, "at least {count} receipts, number {count} {last}"),
        }
    }
}

impl Join<'_, '_> {
    /// Compares what exports stated with the ledger, of which parts are read a second time for it.
    pub(super) fn check_stated(&mut self, plans: &[Plan]) -> Result<(), AuditError> {
        let statements = core::mem::take(&mut self.controls.statements);
        let mut search = Search::new(self.context, &self.damaged, statements.len());
        let mut ranges = Vec::new();
        for (number, statement) in statements.iter().enumerate() {
            let size = statement.exported.size;
            match &statement.exported.scope {
                ExportScope::Range { to, .. } => ranges.push((*to, number)),
                ExportScope::Stream(stream) => match ended(&self.streams, &self.lost, stream, size) {
                    Some(held) => search.held[number] = Some(held),
                    None => search.ask(stream, size, number),
                },
            }
        }
        search.run(plans)?;
        let mut held = search.held;
        // Neighbours are read together.
        ranges.sort_unstable();
        for (to, number) in ranges {
            let last = LeafIndex(to.0 - 1);
            // Of a lost receipt the book may hold what only a leaf file says.
            if self.lost.iter().all(|(first, end)| last.0 < first.0 || last.0 >= end.0) {
                let (count, leaf) = (statements[number].exported.count, self.book.leaf(self.context, last)?);
                held[number] = leaf.map(|last| Held { count, last, bound: Bound::Exact });
            }
        }
        for (statement, held) in statements.iter().zip(held) {
            match held.and_then(|held| Some((held, held.judge(&statement.exported)?))) {
                Some((_, true)) => {}
                Some((held, false)) => {
                    let first = TreeSize(statement.index.0);
                    self.account.settle(Unit::new(first, first).with(contradicted(statement, &held)));
                }
                None => self.unjudged.push(statement.index),
            }
        }
        Ok(())
    }
}

/// What a stream held at a tree size behind which it has no receipt; `None` when it has one. `lost` are the receipts that
/// could not be read.
fn ended(streams: &Streams, lost: &[(TreeSize, TreeSize)], stream: &StreamName, size: TreeSize) -> Option<Held> {
    let head = streams.ordinal(stream).map(|ordinal| streams.head(ordinal));
    if head.is_some_and(|head| !size.contains(head.index)) {
        return None;
    }
    let behind = head.map_or(TreeSize(0), |head| head.index.size_including());
    let known = lost.iter().all(|(first, end)| *first >= size || *end <= behind);
    let bound = if known { Bound::Exact } else { Bound::AtLeast };
    Some(match head {
        Some(head) => Held { count: head.seq.0.saturating_add(1), last: head.leaf, bound },
        None => Held { count: 0, last: Hash::ZERO, bound },
    })
}

fn contradicted(statement: &Statement, held: &Held) -> Finding {
    let Statement { index, exported } = statement;
    let Exported { scope, size, count, head } = exported;
    let stream = StreamName::control();
    let message = format!(
        "receipt {index} ({stream}, {EXPORTED_KIND}): the ledger contradicts what it states of {scope} at tree size {size}"
    );
    let stated = Held { count: *count, last: *head, bound: Bound::Exact };
    Finding {
        stream: Some(stream),
        kind: Kind::new(EXPORTED_KIND).ok(),
        ..Finding::new(Code::StatementFalse, message).because(held, stated).at_index(*index)
    }
}

/// The search for the first receipts of streams behind tree sizes.
struct Search<'s> {
    context: &'s Context<'s>,
    /// First indices of segments in which not every frame counts.
    damaged: &'s BTreeSet<LeafIndex>,
    /// Of each stream the tree sizes, each with the number of the statement that asks.
    asked: HashMap<StreamName, BTreeSet<(TreeSize, usize)>>,
    /// All of them.
    open: BTreeSet<(TreeSize, usize)>,
    /// Tree size behind the frame read last.
    next: TreeSize,
    /// Every receipt from here to there was read.
    whole_from: TreeSize,
    /// What was found for each statement.
    held: Vec<Option<Held>>,
    buffer: Vec<u8>,
}

impl<'s> Search<'s> {
    fn new(context: &'s Context<'s>, damaged: &'s BTreeSet<LeafIndex>, statements: usize) -> Self {
        Self {
            context,
            damaged,
            asked: HashMap::new(),
            open: BTreeSet::new(),
            next: TreeSize(0),
            whole_from: TreeSize(0),
            held: vec![None; statements],
            buffer: Vec::new(),
        }
    }

    fn ask(&mut self, stream: &StreamName, size: TreeSize, statement: usize) {
        self.asked.entry(stream.clone()).or_default().insert((size, statement));
        self.open.insert((size, statement));
    }

    /// Reads from the smallest size asked for until nothing is asked any more.
    fn run(&mut self, plans: &[Plan]) -> Result<(), AuditError> {
        for (at, plan) in plans.iter().enumerate() {
            let Some((smallest, _)) = self.open.first() else { break };
            let wanted = plans.get(at + 1).is_none_or(|next| next.entry.id.0.0 > smallest.0);
            if wanted {
                self.segment(plan)?;
            }
        }
        Ok(())
    }

    fn segment(&mut self, plan: &Plan) -> Result<(), AuditError> {
        let Some(file) = SegmentFile::open(self.context.source, &plan.entry)? else { return Ok(()) };
        if self.damaged.contains(&plan.entry.id.0) {
            // Only judging tells which of its frames count.
            let errand = Errand { start: None, watched: BTreeSet::new(), wanted: None };
            for (first, at) in judge_segment(self.context, *plan, errand)?.frames.frames {
                self.frame(&file, plan, TreeSize(first.0), at)?;
            }
            return Ok(());
        }
        let (mut next, mut at) = (TreeSize(plan.entry.id.0.0), ByteOffset(SEGMENT_HEADER_LEN as u64));
        while !self.open.is_empty()
            && let Some(header) = self.frame(&file, plan, next, at)?
        {
            (next, at) = (header.end(), at.plus(header.frame_len as u64).align_up());
        }
        Ok(())
    }

    /// Looks for what is asked in the frame that begins behind `next` receipts; `None` when it is not there.
    fn frame(
        &mut self,
        file: &SegmentFile,
        plan: &Plan,
        next: TreeSize,
        at: ByteOffset,
    ) -> Result<Option<FrameHeader>, AuditError> {
        let header = FrameHeader::decode(file.bytes(at, FRAME_HEADER_LEN, &mut self.buffer)?);
        let Some(header) = header.ok().filter(|header| fits(header, next, None, plan.end)) else { return Ok(None) };
        let mut found = Vec::new();
        if self.open.first().is_some_and(|(size, _)| *size < header.end()) {
            let index = FrameIndex::decode(file.bytes(at, header.index_len(), &mut self.buffer)?);
            let Ok(index) = index else { return Ok(None) };
            self.look(&index, &mut found);
        }
        if self.next < next {
            self.whole_from = next;
        }
        self.next = header.end();
        if !found.is_empty() {
            self.note(file, at, &header, &found)?;
        }
        Ok(Some(header))
    }

    /// Finds receipts that are asked for: their places in the frame, and what was asked.
    fn look(&mut self, index: &FrameIndex, found: &mut Vec<(usize, (TreeSize, usize))>) {
        let header = index.header();
        for place in 0..header.receipts {
            let receipt = LeafIndex(header.start.first.0 + place as u64);
            let Ok((stream, _)) = index.stream_of(place) else { continue };
            let Some(asked) = self.asked.get_mut(stream) else { continue };
            while let Some(one) = asked.first().copied().filter(|(size, _)| !size.contains(receipt)) {
                asked.remove(&one);
                self.open.remove(&one);
                found.push((place, one));
            }
        }
    }

    /// Learns from receipts that were found how many there were before them.
    fn note(
        &mut self,
        file: &SegmentFile,
        at: ByteOffset,
        header: &FrameHeader,
        found: &[(usize, (TreeSize, usize))],
    ) -> Result<(), AuditError> {
        // A receipt that follows one of its own frame holds the hash of that one, which has to be computed.
        let bytes = file.bytes(at, header.frame_len, &mut self.buffer)?;
        let Ok(frame) = Frame::decode_ignoring_checksum(bytes) else { return Ok(()) };
        for (place, (size, statement)) in found {
            let Some(entry) = frame.entries().get(*place) else { continue };
            let bound = if *size < self.whole_from { Bound::AtMost } else { Bound::Exact };
            let (count, last) = (entry.envelope.stream_seq.0, entry.envelope.stream_prev);
            self.held[*statement] = Some(Held { count, last, bound });
        }
        Ok(())
    }
}
