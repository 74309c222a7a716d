//! What the ledger said, kept in plain maps: the reference that it is compared with.

use crate::case::{Append, Condition, Draft, Flaw, Name};
use crate::rng::Rng;
use bytes::Bytes;
use counterfoil_engine::{AppendError, Appended, Batch, BatchId, Identity, NewReceipt, Receipt, ReceiptProblem};
use counterfoil_proof::{
    ClassId, Hash, Kind, LeafHash, LeafIndex, Link, Media, Principal, SignedCheckpoint, StreamName, StreamSeq, Subject,
    Timestamp, TreeSize,
};
use std::collections::BTreeMap;

const KINDS: [&str; 3] = ["sim.made/1", "sim.decided/1", "sim.refused/2"];
const SESSION: [u8; 16] = *b"the only session";

/// A receipt that was acknowledged, or that a published checkpoint covers.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) leaf: LeafHash,
    pub(crate) stream_seq: StreamSeq,
    pub(crate) time: Timestamp,
    pub(crate) writer: Principal,
    pub(crate) new: NewReceipt,
}

/// A batch whose fate is not known: the answer was lost.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) batch: Batch,
    /// The ledger said that it is durable.
    pub(crate) durable: bool,
}

/// A batch with an id that was appended, and its first answer.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) batch: Batch,
    /// Index of its first receipt.
    pub(crate) first: usize,
}

/// Everything the ledger said.
#[derive(Default)]
pub struct Model {
    pub(crate) identity: Option<Identity>,
    pub(crate) receipts: Vec<Known>,
    /// Indices of each stream's receipts.
    pub(crate) streams: BTreeMap<StreamName, Vec<usize>>,
    pub(crate) unanswered: Vec<Unanswered>,
    /// Batches with an id that had no answer, each with the index of its first receipt if recovery kept it.
    pub(crate) retries: Vec<(Batch, Option<usize>)>,
    /// Batches with an id, in the order in which they were appended.
    pub(crate) answered: Vec<Answered>,
    /// Every checkpoint handed out.
    pub(crate) checkpoints: BTreeMap<TreeSize, SignedCheckpoint>,
    /// Receipts of batches in flight, and whether one of them closes the stream.
    in_flight: BTreeMap<StreamName, (u64, bool)>,
    batches_made: u64,
    session: Session,
}

/// The one session of a case.
#[derive(Default)]
struct Session {
    next: u64,
    /// The first batch that was refused since the ledger was opened.
    refused: Option<u64>,
    /// The same when everything in flight has come to what it should.
    hoped: Option<u64>,
    /// That one is on its way once more.
    mending: bool,
}

/// What should become of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prediction {
    Appended,
    StreamClosed,
    LostRace,
    EarlierBatchRefused,
    Inadmissible(Flaw),
}

impl Model {
    /// Receipts in a stream, and whether it is closed.
    pub(crate) fn stream(&self, name: &StreamName) -> (u64, bool) {
        let (more, closing) = self.in_flight.get(name).copied().unwrap_or_default();
        let Some(places) = self.streams.get(name) else { return (more, closing) };
        let closed = places.last().is_some_and(|last| self.receipts[*last].new.closes_stream);
        (places.len() as u64 + more, closed || closing)
    }

    /// The latest receipt of a stream.
    pub(crate) fn head(&self, name: &StreamName) -> Option<&Known> {
        self.streams.get(name)?.last().map(|last| &self.receipts[*last])
    }

    /// The batch of a step, with contents that no other batch has.
    pub(crate) fn batch(&mut self, step: &Append) -> Batch {
        self.batches_made += 1;
        let number = self.batches_made;
        let mut rng = Rng::new(number);
        let drafts = step.receipts.iter().enumerate();
        let mut receipts: Vec<_> = drafts.map(|(place, draft)| self.receipt(draft, place, number, &mut rng)).collect();
        let (length, _) = self.stream(&receipts[0].stream);
        receipts[0].expected_stream_seq = match step.condition {
            Condition::None => None,
            Condition::Holds => Some(StreamSeq(length)),
            Condition::Fails => Some(StreamSeq(length + 1000)),
        };
        if let (Some(flaw), Some(last)) = (step.flaw, receipts.last_mut()) {
            self.break_rule(flaw, last);
        }
        Batch {
            writer: Principal::new("sim").expect("a name that keeps its rules"),
            id: self.id(step.name, number),
            receipts,
            with_proofs: step.with_proofs,
        }
    }

    fn id(&mut self, name: Name, number: u64) -> Option<BatchId> {
        match name {
            Name::None => None,
            Name::Request => {
                let mut id = [0; 16];
                id[..8].copy_from_slice(&number.to_le_bytes());
                Some(BatchId::Request(id))
            }
            Name::Session => {
                // A batch that was appended before it was refused is mended by sending it again as it was.
                let was_appended =
                    |refused: &u64| self.answered.iter().any(|one| session_number(&one.batch) == Some(*refused));
                let may_mend = number.is_multiple_of(2) && !self.session.mending;
                let mends = self.session.refused.filter(|refused| may_mend && !was_appended(refused));
                self.session.mending |= mends.is_some();
                let number = mends.unwrap_or_else(|| {
                    self.session.next += 1;
                    self.session.next - 1
                });
                Some(BatchId::Session { session: SESSION, number })
            }
        }
    }

    fn receipt(&self, draft: &Draft, place: usize, number: u64, rng: &mut Rng) -> NewReceipt {
        let mut links = Vec::new();
        for _ in 0..draft.links.min(self.receipts.len() as u64) {
            let index = rng.below(self.receipts.len() as u64);
            let leaf = self.receipts[usize::try_from(index).expect("below a length")].leaf;
            links.push(Link { index: LeafIndex(index), leaf });
        }
        NewReceipt {
            stream: StreamName::new(&format!("case/{}", draft.stream)).expect("a name that keeps its rules"),
            kind: Kind::new(rng.pick(&KINDS)).expect("a name that keeps its rules"),
            class: ClassId::FOREVER,
            media: draft.media,
            payload: payload(draft, place, number),
            subject: draft.has_subject.then(|| Subject(core::array::from_fn(|_| rng.next_u64().to_le_bytes()[0]))),
            links,
            closes_stream: draft.closes,
            expected_stream_seq: None,
        }
    }

    fn break_rule(&self, flaw: Flaw, receipt: &mut NewReceipt) {
        match flaw {
            Flaw::WrongLink => receipt.links = vec![Link { index: LeafIndex(0), leaf: Hash([7; 32]) }],
            Flaw::EarlyLink => {
                let index = LeafIndex(self.receipts.len() as u64 + 100);
                receipt.links = vec![Link { index, leaf: self.receipts[0].leaf }];
            }
            Flaw::UnknownClass => receipt.class = ClassId(77),
            Flaw::WrongMedia => (receipt.media, receipt.payload) = (Media::Json, Bytes::from_static(b"{\"open\":")),
            Flaw::Reserved => receipt.stream = StreamName::control(),
        }
    }

    /// What should become of a batch that is sent now.
    pub(crate) fn predict(&self, batch: &Batch, flaw: Option<Flaw>) -> Prediction {
        self.predict_behind(self.session.refused, batch, flaw)
    }

    /// What should become of a batch that is sent while others are in flight; it is one of them until [`Model::land`].
    pub(crate) fn hope(&mut self, batch: &Batch, flaw: Option<Flaw>) -> Prediction {
        let hoped = self.predict_behind(self.session.hoped, batch, flaw);
        let number = session_number(batch);
        match hoped {
            Prediction::Appended => {
                for receipt in &batch.receipts {
                    let (count, closes) = self.in_flight.entry(receipt.stream.clone()).or_default();
                    *count += 1;
                    *closes |= receipt.closes_stream;
                }
                self.session.hoped = self.session.hoped.filter(|refused| Some(*refused) != number);
            }
            Prediction::Inadmissible(_) => {}
            _ => self.session.hoped = lower(self.session.hoped, number),
        }
        hoped
    }

    fn predict_behind(&self, refused: Option<u64>, batch: &Batch, flaw: Option<Flaw>) -> Prediction {
        if let Some(flaw) = flaw {
            return Prediction::Inadmissible(flaw);
        }
        if let (Some(number), Some(refused)) = (session_number(batch), refused)
            && refused < number
        {
            return Prediction::EarlierBatchRefused;
        }
        let mut closed_here = Vec::new();
        for receipt in &batch.receipts {
            let (length, closed) = self.stream(&receipt.stream);
            if closed || closed_here.contains(&&receipt.stream) {
                return Prediction::StreamClosed;
            }
            if receipt.expected_stream_seq.is_some_and(|expected| expected.0 != length) {
                return Prediction::LostRace;
            }
            if receipt.closes_stream {
                closed_here.push(&receipt.stream);
            }
        }
        Prediction::Appended
    }

    /// Forgets what was taken for appended: the answers tell.
    pub(crate) fn land(&mut self) {
        self.in_flight.clear();
        self.session.mending = false;
        self.session.hoped = self.session.refused;
    }

    /// Takes in a batch that was acknowledged; the first place where the answer is wrong.
    pub(crate) fn acknowledge(&mut self, batch: &Batch, answer: &Appended) -> Result<(), &'static str> {
        if answer.receipts.len() != batch.receipts.len() {
            return Err("one answer for each receipt");
        }
        let first = self.receipts.len();
        for (new, receipt) in batch.receipts.iter().zip(&answer.receipts) {
            if receipt.index.0 != self.receipts.len() as u64 {
                return Err("the next leaf index");
            }
            if receipt.stream_seq.0 != self.stream(&new.stream).0 {
                return Err("the next position in the stream");
            }
            let (leaf, stream_seq, time) = (receipt.leaf, receipt.stream_seq, answer.time);
            self.push(Known { leaf, stream_seq, time, writer: batch.writer.clone(), new: new.clone() });
        }
        self.answered(batch, first);
        Ok(())
    }

    /// Remembers that a batch was appended.
    pub(crate) fn answered(&mut self, batch: &Batch, first: usize) {
        if batch.id.is_some() {
            self.answered.push(Answered { batch: batch.clone(), first });
        }
        self.mended(batch);
    }

    /// A session goes on when this was the batch it waited for.
    pub(crate) fn mended(&mut self, batch: &Batch) {
        let number = session_number(batch);
        self.session.refused = self.session.refused.filter(|refused| Some(*refused) != number);
        self.session.hoped = self.session.refused;
    }

    /// Remembers that the sequencer refused a batch.
    pub(crate) fn refused(&mut self, batch: &Batch) {
        self.session.refused = lower(self.session.refused, session_number(batch));
        self.session.hoped = self.session.refused;
    }

    /// The ledger was opened: it knows of no interrupted session.
    pub(crate) fn opened(&mut self) {
        self.session.refused = None;
        self.land();
    }

    pub(crate) fn push(&mut self, known: Known) {
        self.streams.entry(known.new.stream.clone()).or_default().push(self.receipts.len());
        self.receipts.push(known);
    }

    /// Whether a refusal tells the truth.
    pub(crate) fn is_honest(&self, batch: &Batch, error: &AppendError, prediction: Prediction) -> bool {
        match (error, prediction) {
            (AppendError::StreamClosed { at, stream, closed_at }, Prediction::StreamClosed) => {
                let named = batch.receipts.get(*at).is_some_and(|receipt| receipt.stream == *stream);
                let (length, closed) = self.stream(stream);
                let before = batch.receipts[..*at].iter().filter(|receipt| receipt.stream == *stream);
                let expected = if closed { length - 1 } else { length + before.count() as u64 - 1 };
                named && closed_at.0 == expected
            }
            (AppendError::LostRace { stream, actual, head, .. }, Prediction::LostRace) => {
                *head == self.head(stream).map(|known| known.leaf) && actual.0 == self.stream(stream).0
            }
            (AppendError::EarlierBatchRefused { number }, Prediction::EarlierBatchRefused) => {
                self.session.refused == Some(*number)
            }
            (AppendError::Receipt { at, problem }, Prediction::Inadmissible(flaw)) => {
                let fits = match flaw {
                    Flaw::WrongLink | Flaw::EarlyLink => matches!(problem, ReceiptProblem::UnknownLink(_)),
                    Flaw::UnknownClass => matches!(problem, ReceiptProblem::UnknownClass(77)),
                    Flaw::WrongMedia => matches!(problem, ReceiptProblem::Media { .. }),
                    Flaw::Reserved => matches!(problem, ReceiptProblem::Reserved),
                };
                fits && *at == batch.receipts.len() - 1
            }
            _ => false,
        }
    }

    /// Remembers a checkpoint; `false` when another one of its size was handed out before.
    pub(crate) fn hand_out(&mut self, checkpoint: &SignedCheckpoint) -> bool {
        let first = self.checkpoints.entry(checkpoint.unverified().size).or_insert_with(|| checkpoint.clone());
        first.unverified() == checkpoint.unverified()
    }
}

fn session_number(batch: &Batch) -> Option<u64> {
    match batch.id {
        Some(BatchId::Session { number, .. }) => Some(number),
        Some(BatchId::Request(_)) | None => None,
    }
}

/// The lower of two numbers, if there is one.
fn lower(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.into_iter().chain(other).min()
}

impl Known {
    /// What a receipt that was found says, its payload present.
    pub(crate) fn found(receipt: &Receipt) -> Option<Self> {
        let envelope = &receipt.envelope;
        let new = NewReceipt {
            stream: envelope.stream.clone(),
            kind: envelope.kind.clone(),
            class: envelope.class,
            media: envelope.media,
            payload: receipt.content.as_ref()?.payload.clone(),
            subject: envelope.subject,
            links: envelope.links.clone(),
            closes_stream: envelope.closes_stream,
            expected_stream_seq: None,
        };
        let (leaf, stream_seq, time) = (receipt.leaf, envelope.stream_seq, envelope.time);
        Some(Self { leaf, stream_seq, time, writer: envelope.writer.clone(), new })
    }

    /// True for the same receipt. The condition it was sent under is not part of it.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.leaf, self.stream_seq, self.time) == (other.leaf, other.stream_seq, other.time)
            && self.says(&other.writer, &other.new)
    }

    /// True when it is what was sent.
    pub(crate) fn says(&self, writer: &Principal, sent: &NewReceipt) -> bool {
        let new = &self.new;
        self.writer == *writer
            && (&new.stream, &new.kind, new.class, new.media) == (&sent.stream, &sent.kind, sent.class, sent.media)
            && (new.subject, new.closes_stream) == (sent.subject, sent.closes_stream)
            && new.links == sent.links
            && new.payload == sent.payload
    }
}

/// A payload that no other receipt has.
fn payload(draft: &Draft, place: usize, number: u64) -> Bytes {
    let mut text = format!("batch {number} receipt {place} ");
    text.push_str(&"x".repeat(draft.payload_bytes.saturating_sub(text.len())));
    Bytes::from(if draft.media == Media::Json { format!("\"{text}\"") } else { text })
}
