//! Judging one frame and its receipts.

use super::account::Unit;
use super::chain::Grown;
use super::control::Control;
use super::keys::Unchecked;
use super::links::OutwardLink;
use super::segment::{Segment, SegmentScan};
use super::segment_file::Place;
use super::show::ShownReceipt;
use crate::report::{Code, Finding, Verdict};
use counterfoil_format::frame::{Frame, FrameEntry, FrameIndex, FrameStart, Stored};
use counterfoil_format::{ByteOffset, FormatError};
use counterfoil_proof::{LeafIndex, RootHash, Sealed, StreamSeq, TreeSize};

/// How a frame's envelopes are known to be the ones that were signed.
struct Standing {
    /// The tree with them, unless damage before this frame hides it.
    grown: Option<Grown>,
    /// The root that the frame's signatures cover.
    root: RootHash,
    /// The frame states another root than this one.
    misstated: bool,
}

impl SegmentScan<'_, '_> {
    /// Judges a frame that begins where the next one is expected; `broken` when its checksum does not fit. False when
    /// its envelopes cannot be told from damage or, above the durable mark, when recovery would not take it for a frame.
    pub(super) fn frame(
        &mut self,
        segment: &mut Segment<'_>,
        at: ByteOffset,
        frame: &Frame<'_>,
        bytes: &[u8],
        broken: Option<FormatError>,
    ) -> bool {
        let (header, place) = (frame.header(), segment.file.place(at));
        let (first, end) = (TreeSize(header.start.first.0), header.end());
        let Some(standing) = self.standing(frame, broken.is_some()) else { return false };
        let durable = end <= self.out.account.mark();
        let mut unit = Unit::new(first, end);
        if self.must_be_signed(segment, frame, &standing, broken.is_some()) {
            let keys = &self.context.keys;
            let signed = keys.judge(&mut unit, frame.commit(), standing.root, &place);
            if !signed && (!durable || standing.grown.is_none()) && keys.policy().is_some() {
                return false;
            }
            self.out.signatures.valid += u64::from(signed);
            segment.unchecked = None;
        } else {
            segment.unchecked = Some(Unchecked { place: place.clone(), first, commit: frame.commit().clone() });
        }
        if standing.misstated {
            let message = "the frame states another root than the one its signature covers";
            let finding = place.finding(Code::RootMismatch, message);
            unit.findings.push(finding.because(standing.root, frame.commit().root));
        }
        self.out.signatures.frames += 1;
        unit.accepted = broken.is_none();
        unit.damaged_bytes = if unit.accepted { 0 } else { header.frame_len as u64 };
        self.start(&mut unit, &header.start, &place);
        self.receipts(&mut unit, frame, bytes, &place, standing.grown.is_some());
        if let Some(error) = broken.filter(|_| unit.verdicts.corrupt == 0 && unit.findings.is_empty()) {
            let message = format!("a byte of the frame is damaged that belongs to no receipt: {error}");
            unit.findings.push(place.finding(Code::FrameDamaged, message).at_index(header.start.first));
        } else if broken.is_none() {
            self.out.account.raise_mark(header.start.synced_through.min(first));
        }
        segment.note(at, frame);
        self.advance(frame, standing.grown);
        self.out.last_frame = Some((end, segment.file.place(at.plus(header.frame_len as u64).align_up())));
        self.settle(unit);
        self.context.tell(header.receipts as u64);
        true
    }

    /// Frames whose signature is checked at once. Of the others only the last of a segment is.
    fn must_be_signed(&self, segment: &Segment<'_>, frame: &Frame<'_>, standing: &Standing, broken: bool) -> bool {
        let (start, end) = (&frame.header().start, frame.header().end());
        let at_head = self.context.head_size.is_none_or(|size| end >= size);
        let wanted = self.wanted.is_some_and(|wanted| start.first <= wanted && end.contains(wanted));
        let above = end > self.out.account.mark();
        let unsure = broken || segment.damaged || standing.grown.is_none();
        self.context.options.all_signatures || at_head || wanted || above || unsure
    }

    fn standing(&mut self, frame: &Frame<'_>, broken: bool) -> Option<Standing> {
        let stated = frame.commit().root;
        let grown = self.out.chain.grow(frame.entries().iter().map(|entry| entry.leaf));
        match grown {
            Some(grown) if grown.tree.root() == stated => {
                Some(Standing { grown: Some(grown), root: stated, misstated: false })
            }
            Some(grown) if self.context.keys.check(frame.commit(), grown.tree.root()).is_ok() => {
                let root = grown.tree.root();
                Some(Standing { grown: Some(grown), root, misstated: true })
            }
            Some(_) if !self.out.chain.state.assumed => None,
            // What was assumed of lost receipts turned out wrong, or was never known.
            _ => {
                self.out.chain.state.tree = None;
                (!broken).then_some(Standing { grown: None, root: stated, misstated: false })
            }
        }
    }

    /// What a frame says of the ledger before it.
    fn start(&self, unit: &mut Unit, start: &FrameStart, place: &Place) {
        let state = &self.out.chain.state;
        let mut blame = |code, message: &str, expected: String, found: String| {
            let finding = place.finding(code, message).because(expected, found).at_index(start.first);
            unit.findings.push(finding);
        };
        if let Some(prev) = state.prev.filter(|prev| *prev != start.prev) {
            let message = "the frame does not follow the receipt before it";
            blame(Code::ChainBroken, message, prev.to_string(), start.prev.to_string());
        }
        if let Some((seq, head)) = state.control.filter(|control| *control != (start.control_seq, start.control_head)) {
            let found = format!("{} {}", start.control_seq, start.control_head);
            let message = "the frame misstates the control receipts before it";
            blame(Code::ControlChainBroken, message, format!("{seq} {head}"), found);
        }
        if start.time < state.time {
            let (expected, found) = (crate::time_text(state.time), crate::time_text(start.time));
            blame(Code::TimeBackwards, "time goes backwards", format!("{expected} or later"), found);
        }
        if start.synced_through.0 > start.first.0 {
            let (expected, found) = (format!("at most {}", start.first), start.synced_through.to_string());
            blame(Code::SyncedThrough, "the frame calls receipts durable that did not exist", expected, found);
        }
        let algorithm = self.context.rules.as_ref().map(|rules| rules.genesis().commitment);
        if let Some(algorithm) = algorithm.filter(|algorithm| *algorithm != start.commitment) {
            let message = "payloads are committed to in another way than genesis says";
            blame(Code::CommitmentAlgorithm, message, algorithm.name().into(), start.commitment.name().into());
        }
    }

    fn receipts(&mut self, unit: &mut Unit, frame: &Frame<'_>, bytes: &[u8], place: &Place, proven: bool) {
        let opened = opened(frame);
        let index = opened.contains(&Verdict::Corrupt).then(|| FrameIndex::decode(bytes).ok()).flatten();
        let mut batches = frame.batches().iter();
        let (mut batch_first, mut batch_end) = (0, 0);
        for (at, (entry, verdict)) in frame.entries().iter().zip(opened).enumerate() {
            while at >= batch_end {
                batch_first = batch_end;
                batch_end += batches.next().map_or(usize::MAX, |batch| batch.receipts);
            }
            unit.verdicts.add(verdict, 1);
            if verdict != Verdict::Present {
                let range = index.as_ref().and_then(|index| index.payload(at)).map_or(0, |(_, range)| range.start);
                unit.findings.push(payload_finding(entry, verdict, place, range as u64));
            }
            let before = LeafIndex(frame.header().start.first.0 + batch_first as u64);
            self.receipt(unit, entry, before, verdict, place);
            if self.wanted == Some(entry.envelope.index) {
                self.out.shown = Some(self.shown(unit, entry, verdict, proven));
            }
        }
    }

    /// Everything about a receipt but its payload. `before`: links point to receipts before its batch.
    fn receipt(&mut self, unit: &mut Unit, entry: &FrameEntry<'_>, before: LeafIndex, verdict: Verdict, place: &Place) {
        let envelope = &entry.envelope;
        self.links(unit, entry, before, place);
        if envelope.is_control() {
            let first = unit.first;
            self.out.control_receipts += 1;
            self.out.controls.push(Control::of(entry, verdict, (first, self.root_before(first))));
        }
        if let Some(problem) = self.out.streams.push(envelope, entry.leaf, self.out.chain.losses) {
            let finding = receipt_finding(entry, problem.code, problem.message, place);
            unit.findings.push(finding.because(problem.expected, problem.found));
        }
        // This version's rules never change after genesis.
        let class = envelope.class;
        if self.context.rules.as_ref().is_some_and(|rules| rules.class_name(class).is_none()) {
            let message = format!("no retention class has the id {}", class.0);
            unit.findings.push(receipt_finding(entry, Code::UnknownClass, &message, place));
        }
        // No control receipt of this version grants a key the role writer.
        if envelope.writer_signature.is_some() {
            let message = "it is signed by a key that nothing grants the role writer";
            unit.findings.push(receipt_finding(entry, Code::WriterSignature, message, place));
        }
        self.out.chain.leaves.push(envelope.index, entry.leaf);
    }

    /// Links inside the segment are checked here, the others once the segments before are known. Receipts that were
    /// lost are given the benefit of the doubt.
    fn links(&mut self, unit: &mut Unit, entry: &FrameEntry<'_>, before: LeafIndex, place: &Place) {
        for (number, link) in (0u8..).zip(&entry.envelope.links) {
            let source = entry.envelope.index;
            if link.index < self.out.plan.entry.id.0 {
                self.out.links.push(OutwardLink { target: link.index, leaf: link.leaf, source, number });
                continue;
            }
            let held = self.out.chain.leaves.get(link.index).filter(|_| link.index < before);
            if link.index < before && held.is_none_or(|leaf| leaf == link.leaf) {
                continue;
            }
            let message = format!("its link {number} names no receipt of an earlier batch");
            let found = format!("index {} leaf hash {}", link.index, link.leaf);
            let expected = held.map_or_else(|| format!("an index below {before}"), |leaf| format!("leaf hash {leaf}"));
            unit.findings.push(receipt_finding(entry, Code::LinkBroken, &message, place).because(expected, found));
        }
    }

    /// Root of the tree before the frame that is being judged, if it is known.
    fn root_before(&self, first: TreeSize) -> Option<RootHash> {
        let state = &self.out.chain.state;
        let tree = state.tree.as_ref().filter(|tree| tree.size() == first && !state.assumed);
        tree.map(counterfoil_proof::Frontier::root)
    }

    fn shown(&self, unit: &Unit, entry: &FrameEntry<'_>, verdict: Verdict, proven: bool) -> ShownReceipt {
        let class = entry.envelope.class;
        let name = self.context.rules.as_ref().and_then(|rules| rules.class_name(class)).map(str::to_owned);
        let content = match entry.stored {
            Stored::Present { salt, payload } if verdict == Verdict::Present => Some((salt, payload.to_vec())),
            _ => None,
        };
        ShownReceipt {
            envelope: entry.envelope.clone(),
            leaf: entry.leaf,
            class: name.unwrap_or_else(|| format!("unknown class {}", class.0)),
            content,
            verdict,
            checkpoint: unit.checkpoint.clone().filter(|_| proven),
        }
    }

    fn advance(&mut self, frame: &Frame<'_>, grown: Option<Grown>) {
        let start = &frame.header().start;
        let controls = frame.entries().iter().filter(|entry| entry.envelope.is_control());
        let (count, last) = controls.fold((0, start.control_head), |(count, _), entry| (count + 1, entry.leaf));
        if let Some(grown) = grown {
            self.out.chain.confirm(grown);
        }
        let state = &mut self.out.chain.state;
        state.next = frame.header().end();
        state.prev = frame.entries().last().map(|entry| entry.leaf);
        state.control = Some((StreamSeq(start.control_seq.0.saturating_add(count)), last));
        state.time = state.time.max(start.time);
        state.time_is_known = true;
    }
}

impl Segment<'_> {
    /// Remembers what footer and leaf file must say of a frame.
    fn note(&mut self, at: ByteOffset, frame: &Frame<'_>) {
        let start = &frame.header().start;
        self.nonce.get_or_insert(start.nonce);
        self.first_time.get_or_insert(start.time);
        self.frames.frames.push((start.first, at));
        for entry in frame.entries() {
            if let Stored::Present { payload, .. } = entry.stored {
                self.payload_bytes += payload.len() as u64;
            }
            if entry.envelope.is_control() {
                self.control_indices.push(entry.envelope.index);
            }
        }
    }
}

/// The verdict over each payload of a frame: whether it opens its commitment.
fn opened(frame: &Frame<'_>) -> Vec<Verdict> {
    let sealed: Vec<Sealed<'_>> = frame
        .entries()
        .iter()
        .filter_map(|entry| match &entry.stored {
            Stored::Present { salt, payload } => Some(Sealed { salt, payload }),
            Stored::Erased => None,
        })
        .collect();
    let mut commitments = frame.header().start.commitment.commit_all(&sealed).into_iter();
    let verdict = |entry: &FrameEntry<'_>| match entry.stored {
        Stored::Erased => Verdict::Missing,
        Stored::Present { .. } if commitments.next() == Some(entry.envelope.commitment) => Verdict::Present,
        Stored::Present { .. } => Verdict::Corrupt,
    };
    frame.entries().iter().map(verdict).collect()
}

pub(super) fn receipt_finding(entry: &FrameEntry<'_>, code: Code, message: &str, place: &Place) -> Finding {
    let envelope = &entry.envelope;
    let message = format!("receipt {} ({}, {}): {message}", envelope.index, envelope.stream, envelope.kind);
    Finding {
        stream: Some(envelope.stream.clone()),
        kind: Some(envelope.kind.clone()),
        ..place.finding(code, message).at_index(envelope.index)
    }
}

/// A payload that is not there or not the one committed to. `within` is where in the frame it begins.
fn payload_finding(entry: &FrameEntry<'_>, verdict: Verdict, place: &Place, within: u64) -> Finding {
    let at = Place { offset: place.offset.plus(within), ..place.clone() };
    if verdict == Verdict::Missing {
        let finding =
            receipt_finding(entry, Code::PayloadMissing, "its payload is gone and no tombstone permits that", &at);
        return finding.because("a payload or a tombstone", "neither");
    }
    let finding = receipt_finding(entry, Code::ReceiptCorrupt, "its payload is not the one committed to", &at);
    let Stored::Present { salt, payload } = entry.stored else { return finding };
    let found = entry.envelope.commitment.algorithm.commit(&salt, payload);
    finding.because(entry.envelope.commitment.digest, found.digest)
}
