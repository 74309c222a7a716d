//! Joining segments in their order: each begins where the one before it ended, and what crosses them fits together.

use super::account::{Account, Unit};
use super::chain::State;
use super::context::Context;
use super::control::{ControlFile, ControlFold};
use super::leaf_book::LeafBook;
use super::links;
use super::segment::{Errand, Heading, Judged, Plan, Signatures, header_mismatch, judge_segment, missing};
use super::segment_file::{Place, SegmentFile};
use super::stream_index::StreamIndexes;
use super::streams::Streams;
use crate::error::AuditError;
use crate::report::{Code, Finding};
use counterfoil_format::frame::{FRAME_HEADER_LEN, FrameHeader, FrameIndex};
use counterfoil_format::{ByteOffset, SegmentHeader};
use counterfoil_proof::{Envelope, Hash, LeafIndex, RootHash, Timestamp, TreeSize};
use std::collections::{BTreeMap, BTreeSet};

/// The ledger as far as its segments were joined.
pub(super) struct Join<'c, 'a> {
    pub(super) context: &'c Context<'a>,
    pub(super) account: Account,
    /// The ledger behind the last segment.
    pub(super) state: State,
    /// How often receipts were lost so far.
    pub(super) losses: u32,
    /// Which receipts these were: tree sizes before and behind them.
    pub(super) lost: Vec<(TreeSize, TreeSize)>,
    /// First indices of segments in which not every frame counts.
    pub(super) damaged: BTreeSet<LeafIndex>,
    /// Statements of exports that rest on receipts that were lost.
    pub(super) unjudged: Vec<LeafIndex>,
    pub(super) streams: Streams,
    pub(super) controls: ControlFold,
    pub(super) control_file: ControlFile,
    pub(super) stream_indexes: StreamIndexes,
    pub(super) control_receipts: u64,
    pub(super) signatures: Signatures,
    pub(super) last_frame: Option<(TreeSize, Place)>,
    pub(super) roots: BTreeMap<u64, RootHash>,
    pub(super) book: LeafBook,
}

impl<'c, 'a> Join<'c, 'a> {
    pub(super) fn new(context: &'c Context<'a>, account: Account) -> Result<Self, AuditError> {
        Ok(Self {
            context,
            account,
            state: State::empty(),
            losses: 0,
            lost: Vec::new(),
            damaged: BTreeSet::new(),
            unjudged: Vec::new(),
            streams: Streams::default(),
            controls: ControlFold::default(),
            control_file: ControlFile::open(context)?,
            stream_indexes: StreamIndexes::default(),
            control_receipts: 0,
            signatures: Signatures::default(),
            last_frame: None,
            roots: BTreeMap::new(),
            book: LeafBook::default(),
        })
    }

    /// Adds the next segment.
    pub(super) fn add(&mut self, judged: Judged) -> Result<(), AuditError> {
        let first = TreeSize(judged.plan.entry.id.0.0);
        if self.state.next < first {
            let place = Place { segment: judged.name.clone(), offset: ByteOffset(0) };
            self.account.settle(missing(self.state.next, first, Some(&place)));
            self.lost.push((self.state.next, first));
            self.state = State::unknown(first, self.state.time);
            self.losses += 1;
        }
        let mismatches = match &judged.heading {
            Heading::Read(header) => disagreements(&self.state, header),
            Heading::Damaged | Heading::Absent => Vec::new(),
        };
        let mut judged = self.judge_again(judged, !mismatches.is_empty())?;
        let whole = mismatches.is_empty() && judged.account.failures() == 0;
        for (what, expected, found) in mismatches {
            let place = Place { segment: judged.name.clone(), offset: ByteOffset(0) };
            let finding = header_mismatch(&place, judged.plan.entry.id.0, what);
            self.account.report(finding.because(expected, found));
        }
        self.account.append(core::mem::replace(&mut judged.account, Account::new(TreeSize(0))));
        if let Some(finding) = judged.digest.take().filter(|_| whole) {
            self.account.report(finding);
        }
        self.join(judged)
    }

    /// Judges a segment from the state before it where its own header cannot be read, or contradicts a state that a
    /// signed root confirms. What lets more receipts stand counts.
    fn judge_again(&self, judged: Judged, contradicted: bool) -> Result<Judged, AuditError> {
        // The first segment was judged from the empty ledger to begin with.
        let from_header = judged.plan.entry.id.0 != LeafIndex(0);
        let doubtful = contradicted && from_header && self.state.is_whole();
        if !(doubtful || judged.needs_state()) {
            return Ok(judged);
        }
        let errand = errand(self.context, &judged.plan, Some(&self.state));
        let again = judge_segment(self.context, judged.plan, errand)?;
        let better = judged.needs_state() || again.account.present() >= judged.account.present();
        Ok(if better { again } else { judged })
    }

    fn join(&mut self, mut judged: Judged) -> Result<(), AuditError> {
        self.state = judged.chain.state.clone();
        let mut late = Vec::new();
        let (ordinals, problems) = self.streams.join(&judged.streams, self.losses);
        for (index, problem) in problems {
            let finding = self.receipt_finding(&judged, index, problem.code, problem.message)?;
            late.push((index, finding.because(problem.expected, problem.found)));
        }
        for broken in links::check(self.context, &mut self.book, &mut judged.links)? {
            let (link, actual) = (broken.link, broken.actual);
            let message = format!("its link {} names no receipt of an earlier batch", link.number);
            let finding = self.receipt_finding(&judged, link.source, Code::LinkBroken, &message)?;
            let found = format!("index {} leaf hash {}", link.target, link.leaf);
            late.push((link.source, finding.because(format!("leaf hash {actual}"), found)));
        }
        late.extend(self.controls.fold(self.context, &judged.controls));
        late.sort_by_key(|(index, _)| *index);
        for (index, finding) in late {
            let (frame, place) = judged.place_of(index);
            let finding = finding.at_index(index).in_segment(&place.segment, place.offset);
            self.account.settle(Unit::new(TreeSize(frame.0), TreeSize(frame.0)).with(finding));
        }
        let notes = [
            self.control_file.compare(&judged)?,
            self.stream_indexes.add(self.context, &mut judged, &ordinals, &self.streams, &self.state)?,
        ];
        notes.into_iter().flatten().for_each(|note| self.account.report(note));
        self.book.add(&mut judged);
        self.losses += judged.chain.losses;
        if judged.damaged || judged.chain.losses > 0 {
            self.damaged.insert(judged.plan.entry.id.0);
        }
        self.lost.append(&mut judged.chain.lost);
        self.control_receipts += judged.control_receipts;
        self.signatures.frames += judged.signatures.frames;
        self.signatures.valid += judged.signatures.valid;
        self.roots.append(&mut judged.chain.roots);
        self.last_frame = judged.last_frame.or(self.last_frame.take());
        Ok(())
    }

    /// A finding about a receipt of which only the place was kept: stream and kind are read once more.
    fn receipt_finding(
        &self,
        judged: &Judged,
        index: LeafIndex,
        code: Code,
        message: &str,
    ) -> Result<Finding, AuditError> {
        let finding = |named: &str| Finding::new(code, format!("receipt {index}{named}: {message}"));
        Ok(match self.envelope(judged, index)? {
            Some(envelope) => Finding {
                stream: Some(envelope.stream.clone()),
                kind: Some(envelope.kind.clone()),
                ..finding(&format!(" ({}, {})", envelope.stream, envelope.kind))
            },
            None => finding(""),
        })
    }

    /// A receipt's envelope, but for the hashes that other receipts give it.
    fn envelope(&self, judged: &Judged, index: LeafIndex) -> Result<Option<Envelope>, AuditError> {
        let (first, place) = judged.place_of(index);
        let Some(file) = SegmentFile::open(self.context.source, &judged.plan.entry)? else { return Ok(None) };
        let mut buffer = Vec::new();
        let header = FrameHeader::decode(file.bytes(place.offset, FRAME_HEADER_LEN, &mut buffer)?);
        let Ok(header) = header else { return Ok(None) };
        let frame = FrameIndex::decode(file.bytes(place.offset, header.index_len(), &mut buffer)?);
        let at = usize::try_from(index.0 - first.0).ok().filter(|at| *at < header.receipts);
        Ok(frame.ok().zip(at).and_then(|(frame, at)| frame.envelope(at, |_| Hash([1; 32])).ok()))
    }

    /// Compares what recoveries say they kept with the tree of that size, which is read a second time for it.
    pub(super) fn check_kept(&mut self, plans: &[Plan]) -> Result<(), AuditError> {
        let kept = core::mem::take(&mut self.controls.kept);
        let mut wanted: BTreeMap<LeafIndex, BTreeSet<u64>> = BTreeMap::new();
        for one in &kept {
            let before = plans.partition_point(|plan| plan.entry.id.0.0 < one.size.0);
            if let Some(plan) = before.checked_sub(1).map(|at| &plans[at]) {
                wanted.entry(plan.entry.id.0).or_default().insert(one.size.0);
            }
        }
        let mut roots = BTreeMap::from([(0, Hash::of_empty_tree())]);
        for plan in plans {
            let Some(watched) = wanted.remove(&plan.entry.id.0) else { continue };
            let empty = State::empty();
            let start = (plan.entry.id.0 == LeafIndex(0)).then_some(&empty);
            let again = judge_segment(self.context, *plan, Errand { start, watched, wanted: None })?;
            roots.extend(again.chain.roots);
        }
        for one in kept {
            let actual = roots.get(&one.size.0).copied();
            if let Some(finding) = actual.and_then(|actual| super::control::misstated(one.size, one.root, actual)) {
                let first = TreeSize(one.index.0);
                self.account.settle(Unit::new(first, first).with(finding.at_index(one.index)));
            }
        }
        Ok(())
    }
}

/// What a segment is asked for besides its verdicts.
pub(super) fn errand<'s>(context: &Context<'_>, plan: &Plan, start: Option<&'s State>) -> Errand<'s> {
    let watched = context.watched.range(plan.entry.id.0.0..).copied().collect();
    Errand { start, watched, wanted: None }
}

/// Where a header contradicts what is known of the ledger before it.
fn disagreements(state: &State, header: &SegmentHeader) -> Vec<(&'static str, String, String)> {
    let tree = state.tree.as_ref().filter(|_| !state.assumed);
    let time = state.time_is_known.then_some(state.time).map(|Timestamp(time)| time.to_string());
    let pairs = [
        ("tree before it", tree.map(|tree| tree.root().to_string()), header.frontier.root().to_string()),
        ("previous leaf hash", state.prev.map(|leaf| leaf.to_string()), header.prev.to_string()),
        ("previous time", time, header.last_time.to_string()),
        ("number of control receipts", state.control.map(|(seq, _)| seq.to_string()), header.control_seq.to_string()),
        ("control head", state.control.map(|(_, head)| head.to_string()), header.control_head.to_string()),
    ];
    let differs = |(what, expected, found): (&'static str, Option<String>, String)| {
        expected.filter(|expected| *expected != found).map(|expected| (what, expected, found))
    };
    pairs.into_iter().filter_map(differs).collect()
}
