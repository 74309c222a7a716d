//! Judging one frame and its receipts.

use super::account::Unit;
use super::chain::{Grown, StreamHead};
use super::keys::Unchecked;
use super::segment::{Place, Segment};
use super::{Scan, ShownReceipt};
use crate::report::{Code, Finding, Verdict};
use counterfoil_format::frame::{Frame, FrameEntry, FrameIndex, FrameStart, Stored};
use counterfoil_format::{ByteOffset, FormatError};
use counterfoil_proof::{LeafIndex, RootHash, Sealed, StreamSeq, TreeSize};
use counterfoil_rules::{ControlReceipt, Rules};

/// How a frame's envelopes are known to be the ones that were signed.
struct Standing {
    /// The tree with them, unless damage before this frame hides it.
    grown: Option<Grown>,
    /// The root that the frame's signatures cover.
    root: RootHash,
    /// The frame states another root than this one.
    misstated: bool,
}

impl Scan<'_> {
    /// Judges a frame that begins where the next one is expected; `broken` when its checksum does not fit. False when
    /// its envelopes cannot be told from damage or, above the durable mark, when recovery would not take it for a frame.
    pub(super) fn frame(
        &mut self,
        segment: &mut Segment,
        at: ByteOffset,
        frame: &Frame<'_>,
        bytes: &[u8],
        broken: Option<FormatError>,
    ) -> bool {
        let (header, place) = (frame.header(), segment.place(at));
        let (first, end) = (TreeSize(header.start.first.0), header.end());
        let Some(standing) = self.standing(frame, broken.is_some()) else { return false };
        self.genesis(frame);
        let durable = end <= self.account.mark();
        let mut unit = Unit::new(first, end);
        let at_head = self.head.slots.first().is_none_or(|head| end >= head.size);
        let unknown = standing.grown.is_none();
        let commit = frame.commit();
        if self.options.all_signatures || broken.is_some() || segment.damaged || at_head || unknown || !durable {
            let signed = self.keys.judge(&mut unit, commit, standing.root, &place);
            if !signed && (!durable || unknown) && self.keys.policy().is_some() {
                return false;
            }
            segment.unchecked = None;
        } else {
            segment.unchecked = Some(Unchecked { place: place.clone(), first, commit: commit.clone() });
        }
        if standing.misstated {
            let message = "the frame states another root than the one its signature covers";
            unit.findings.push(place.finding(Code::RootMismatch, message).because(standing.root, commit.root));
        }
        self.keys.count_frame();
        unit.accepted = broken.is_none();
        unit.damaged_bytes = if unit.accepted { 0 } else { header.frame_len as u64 };
        self.start(&mut unit, &header.start, &place);
        self.receipts(&mut unit, frame, bytes, &place);
        if let Some(error) = broken.filter(|_| unit.verdicts.corrupt == 0 && unit.findings.is_empty()) {
            let message = format!("a byte of the frame is damaged that belongs to no receipt: {error}");
            unit.findings.push(place.finding(Code::FrameDamaged, message).at_index(header.start.first));
        } else if broken.is_none() {
            self.account.raise_mark(header.start.synced_through.min(first));
        }
        segment.note(at, frame);
        self.advance(frame, standing.grown);
        self.last_frame = Some((end, segment.place(at.plus(header.frame_len as u64).align_up())));
        self.account.settle(unit);
        true
    }

    /// Learns from the first receipt which key signs the frames, its own included.
    fn genesis(&mut self, frame: &Frame<'_>) {
        let Some(entry) = frame.entries().first().filter(|entry| entry.envelope.index == LeafIndex(0)) else { return };
        let Stored::Present { salt, payload } = entry.stored else { return };
        if !entry.envelope.commitment.opens_to(&salt, payload) {
            return;
        }
        match Rules::begin(ControlReceipt { envelope: &entry.envelope, payload }) {
            Ok(rules) => {
                if let Some(finding) = self.keys.learn_genesis(rules.genesis()) {
                    self.report(finding);
                }
                self.chain.rules = Some(rules);
            }
            Err(violation) => self.chain.bad_genesis = Some(violation),
        }
    }

    fn standing(&mut self, frame: &Frame<'_>, broken: bool) -> Option<Standing> {
        let stated = frame.commit().root;
        let grown = self.chain.grow(frame.entries().iter().map(|entry| entry.leaf));
        match grown {
            Some(grown) if grown.tree.root() == stated => {
                Some(Standing { grown: Some(grown), root: stated, misstated: false })
            }
            Some(grown) if self.keys.check(frame.commit(), grown.tree.root()).is_ok() => {
                let root = grown.tree.root();
                Some(Standing { grown: Some(grown), root, misstated: true })
            }
            Some(_) if !self.chain.assumed => None,
            // What was assumed of lost receipts turned out wrong, or was never known.
            _ => {
                self.chain.tree = None;
                (!broken).then_some(Standing { grown: None, root: stated, misstated: false })
            }
        }
    }

    /// What a frame says of the ledger before it.
    fn start(&mut self, unit: &mut Unit, start: &FrameStart, place: &Place) {
        let chain = &self.chain;
        let mut blame = |code, message: &str, expected: String, found: String| {
            let finding = place.finding(code, message).because(expected, found).at_index(start.first);
            unit.findings.push(finding);
        };
        if let Some(prev) = chain.prev.filter(|prev| *prev != start.prev) {
            let message = "the frame does not follow the receipt before it";
            blame(Code::ChainBroken, message, prev.to_string(), start.prev.to_string());
        }
        if let Some((seq, head)) = chain.control.filter(|control| *control != (start.control_seq, start.control_head)) {
            let found = format!("{} {}", start.control_seq, start.control_head);
            let message = "the frame misstates the control receipts before it";
            blame(Code::ControlChainBroken, message, format!("{seq} {head}"), found);
        }
        if start.time < chain.time {
            let (expected, found) = (crate::time_text(chain.time), crate::time_text(start.time));
            blame(Code::TimeBackwards, "time goes backwards", format!("{expected} or later"), found);
        }
        if start.synced_through.0 > start.first.0 {
            let (expected, found) = (format!("at most {}", start.first), start.synced_through.to_string());
            blame(Code::SyncedThrough, "the frame calls receipts durable that did not exist", expected, found);
        }
        let algorithm = chain.rules.as_ref().map(|rules| rules.genesis().commitment);
        if let Some(algorithm) = algorithm.filter(|algorithm| *algorithm != start.commitment) {
            let message = "payloads are committed to in another way than genesis says";
            blame(Code::CommitmentAlgorithm, message, algorithm.name().into(), start.commitment.name().into());
        }
    }

    fn receipts(&mut self, unit: &mut Unit, frame: &Frame<'_>, bytes: &[u8], place: &Place) {
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
            self.keep_if_wanted(entry, verdict);
        }
    }

    /// Everything about a receipt but its payload. `before`: links point to receipts before its batch.
    fn receipt(&mut self, unit: &mut Unit, entry: &FrameEntry<'_>, before: LeafIndex, verdict: Verdict, place: &Place) {
        for (at, link) in entry.envelope.links.iter().enumerate() {
            if link.index >= before || !self.chain.holds(link) {
                let message = format!("its link {at} names no receipt of an earlier batch");
                let found = format!("index {} leaf hash {}", link.index, link.leaf);
                let expected = match self.chain.leaves.get(link.index) {
                    Some(leaf) if link.index < before => format!("leaf hash {leaf}"),
                    _ => format!("an index below {before}"),
                };
                unit.findings.push(receipt_finding(entry, Code::LinkBroken, &message, place).because(expected, found));
            }
        }
        if entry.envelope.is_control() {
            self.control(unit, entry, verdict, place);
        } else {
            self.stream(unit, entry, place);
        }
        let class = entry.envelope.class;
        if self.chain.rules.as_ref().is_some_and(|rules| rules.class_name(class).is_none()) {
            let message = format!("no retention class has the id {}", class.0);
            unit.findings.push(receipt_finding(entry, Code::UnknownClass, &message, place));
        }
        // No control receipt of this version grants a key the role writer.
        if entry.envelope.writer_signature.is_some() {
            let message = "it is signed by a key that nothing grants the role writer";
            unit.findings.push(receipt_finding(entry, Code::WriterSignature, message, place));
        }
        self.chain.leaves.push(entry.envelope.index, entry.leaf);
    }

    fn stream(&mut self, unit: &mut Unit, entry: &FrameEntry<'_>, place: &Place) {
        let envelope = &entry.envelope;
        let head = self.chain.streams.get(&envelope.stream);
        let stale = self.chain.is_stale(head);
        let expected = head.map_or(0, |head| head.seq.0 + 1);
        let problem = match head {
            Some(head) if head.closed => Some((
                Code::StreamClosed,
                "it stands behind the receipt that closed its stream",
                String::from("no receipt"),
            )),
            _ if envelope.stream_seq.0 > expected && !stale => {
                Some((Code::StreamGap, "its stream skips a position", format!("position {expected}")))
            }
            _ if envelope.stream_seq.0 < expected => Some((
                Code::StreamForked,
                "its position in the stream is taken by an earlier receipt",
                format!("position {expected}"),
            )),
            Some(head) if envelope.stream_seq.0 == expected && envelope.stream_prev != head.leaf => Some((
                Code::StreamForked,
                "it does not follow the receipt before it in its stream",
                head.leaf.to_string(),
            )),
            _ => None,
        };
        if let Some((code, message, expected)) = problem {
            let found = format!("position {} behind {}", envelope.stream_seq, envelope.stream_prev);
            unit.findings.push(receipt_finding(entry, code, message, place).because(expected, found));
        }
        let closed = envelope.closes_stream || head.is_some_and(|head| head.closed);
        let losses = self.chain.losses;
        let head = StreamHead { seq: envelope.stream_seq, leaf: entry.leaf, closed, losses };
        self.chain.streams.insert(envelope.stream.clone(), head);
    }

    /// Folds one control receipt into the rules.
    fn control(&mut self, unit: &mut Unit, entry: &FrameEntry<'_>, verdict: Verdict, place: &Place) {
        self.chain.control_receipts += 1;
        let Stored::Present { payload, .. } = entry.stored else { return };
        if verdict != Verdict::Present {
            return;
        }
        // Genesis was folded before its frame's signature could be checked.
        let Some(rules) = self.chain.rules.clone().filter(|_| entry.envelope.index != LeafIndex(0)) else {
            if let Some(violation) = self.chain.bad_genesis.take() {
                let message = format!("it breaks a rule: {violation}");
                unit.findings.push(receipt_finding(entry, Code::ControlViolation, &message, place));
            }
            // When genesis is damaged what follows cannot be judged, and that is said there.
            return;
        };
        match rules.apply(ControlReceipt { envelope: &entry.envelope, payload }) {
            Ok(rules) => self.chain.rules = Some(rules),
            Err(violation) => {
                let message = format!("it breaks a rule: {violation}");
                unit.findings.push(receipt_finding(entry, Code::ControlViolation, &message, place));
            }
        }
    }

    fn keep_if_wanted(&mut self, entry: &FrameEntry<'_>, verdict: Verdict) {
        if self.wanted != Some(entry.envelope.index) {
            return;
        }
        let class = entry.envelope.class;
        let name = self.chain.rules.as_ref().and_then(|rules| rules.class_name(class)).map(str::to_owned);
        let content = match entry.stored {
            Stored::Present { salt, payload } if verdict == Verdict::Present => Some((salt, payload.to_vec())),
            _ => None,
        };
        self.shown = Some(ShownReceipt {
            envelope: entry.envelope.clone(),
            leaf: entry.leaf,
            class: name.unwrap_or_else(|| format!("unknown class {}", class.0)),
            content,
            verdict,
        });
    }

    fn advance(&mut self, frame: &Frame<'_>, grown: Option<Grown>) {
        let start = &frame.header().start;
        let controls = frame.entries().iter().filter(|entry| entry.envelope.is_control());
        let (count, last) = controls.fold((0, start.control_head), |(count, _), entry| (count + 1, entry.leaf));
        if start.first == LeafIndex(0) {
            self.chain.ledger_id = frame.entries().first().map(|entry| entry.leaf);
        }
        if let Some(grown) = grown {
            self.chain.confirm(grown);
        }
        self.chain.next = frame.header().end();
        self.chain.prev = frame.entries().last().map(|entry| entry.leaf);
        self.chain.control = Some((StreamSeq(start.control_seq.0.saturating_add(count)), last));
        self.chain.time = self.chain.time.max(start.time);
    }
}

impl Segment {
    /// Remembers what footer and leaf file must say of a frame.
    fn note(&mut self, at: ByteOffset, frame: &Frame<'_>) {
        let start = &frame.header().start;
        self.nonce.get_or_insert(start.nonce);
        self.first_time.get_or_insert(start.time);
        self.frames.push((start.first, at));
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
