//! Idempotency: the first answer again for a batch that is sent twice.
//!
//! The window holds the answers of the most recent batches that carried an id: as many as together hold
//! [`WINDOW_RECEIPTS_MAX`] receipts. After reopening it holds those among the last [`WINDOW_RECEIPTS_MAX`] receipts of the
//! ledger, and reads an answer from its frame when somebody asks again.

use crate::admit::{Fields, Fingerprinter};
use crate::error::ReadError;
use crate::read::Fault;
use crate::recovery;
use crate::segment::{Segment, SegmentError};
use crate::shared::{Shared, segment_of};
use crate::types::{AppendedReceipt, Batch, BatchId};
use counterfoil_format::frame::{BatchLabel, Frame, FrameEntry, Stored};
use counterfoil_format::{ByteOffset, FormatError};
use counterfoil_proof::{Envelope, LeafIndex, Principal, SignedCheckpoint, Timestamp};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Receipts whose answers are remembered.
pub const WINDOW_RECEIPTS_MAX: usize = 262_144;

/// What makes two batches the same. It is keyed with a secret of this process and never leaves its memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(pub(crate) [u8; 32]);

/// An answer, with the proofs left out.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) receipts: Vec<AppendedReceipt>,
    pub(crate) time: Timestamp,
    pub(crate) checkpoint: Arc<SignedCheckpoint>,
}

/// A batch that was appended before.
#[derive(Clone)]
pub(crate) struct Remembered {
    /// `None` when a payload of it was erased since: then the first answer stands for whatever comes.
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) answer: Arc<Answer>,
}

/// What the window knows of a batch.
#[derive(Clone)]
enum Known {
    InMemory(Remembered),
    /// Appended before the ledger was opened.
    InFrame(Place),
}

/// Where a batch is on disk.
#[derive(Clone, Copy)]
struct Place {
    /// First receipt of its frame.
    first: LeafIndex,
    at: ByteOffset,
    /// Which batch of the frame.
    batch: usize,
    receipts: usize,
}

impl Known {
    fn receipts(&self) -> usize {
        match self {
            Self::InMemory(remembered) => remembered.answer.receipts.len(),
            Self::InFrame(place) => place.receipts,
        }
    }
}

type Key = (Principal, BatchId);

/// The most recent batches that carried an id.
#[derive(Default)]
pub(crate) struct Window {
    answers: HashMap<Key, Known>,
    order: VecDeque<Key>,
    receipts: usize,
}

impl Window {
    /// What is remembered of a batch that [`bring_in`] looked at.
    pub(crate) fn get(&self, key: &Key) -> Option<&Remembered> {
        match self.answers.get(key)? {
            Known::InMemory(remembered) => Some(remembered),
            Known::InFrame(_) => unreachable!("admission brings the answer in before the batch gets here"),
        }
    }

    pub(crate) fn insert(&mut self, key: Key, remembered: Remembered) {
        self.take_in(key, Known::InMemory(remembered));
    }

    fn take_in(&mut self, key: Key, known: Known) {
        self.receipts += known.receipts();
        assert!(self.answers.insert(key.clone(), known).is_none(), "an id is looked up before it is used");
        self.order.push_back(key);
        while self.receipts > WINDOW_RECEIPTS_MAX && self.order.len() > 1 {
            let oldest = self.order.pop_front().expect("there is more than one");
            let gone = self.answers.remove(&oldest).expect("every key in order has an answer");
            self.receipts -= gone.receipts();
        }
    }

    /// Takes in the batches of a frame that was there before the ledger was opened, oldest frames first.
    pub(crate) fn take_in_frame(
        &mut self,
        first: LeafIndex,
        at: ByteOffset,
        batches: impl IntoIterator<Item = (BatchLabel, usize, Principal)>,
    ) {
        for (batch, (label, receipts, writer)) in batches.into_iter().enumerate() {
            let Some(id) = id_of(label) else { continue };
            let key = (writer, id);
            if !self.answers.contains_key(&key) {
                self.take_in(key, Known::InFrame(Place { first, at, batch, receipts }));
            }
        }
    }
}

fn id_of(label: BatchLabel) -> Option<BatchId> {
    match label {
        BatchLabel::None => None,
        BatchLabel::Request(id) => Some(BatchId::Request(id)),
        BatchLabel::Session { session, number } => Some(BatchId::Session { session, number }),
    }
}

/// True when the first answer to a batch is known to be on disk.
pub(crate) fn is_on_disk(shared: &Shared, batch: &Batch) -> bool {
    let Some(id) = batch.id else { return false };
    let key = (batch.writer.clone(), id);
    matches!(shared.lock(&shared.window).answers.get(&key), Some(Known::InFrame(_)))
}

/// Reads the first answer to a batch from disk if it was given before the ledger was opened, so that the sequencer finds
/// it in memory.
pub(crate) fn bring_in(shared: &Shared, batch: &Batch) -> Result<(), ReadError> {
    let Some(id) = batch.id else { return Ok(()) };
    let key = (batch.writer.clone(), id);
    let place = match shared.lock(&shared.window).answers.get(&key) {
        Some(Known::InFrame(place)) => *place,
        _ => return Ok(()),
    };
    let segments = shared.published().segments.clone();
    let segment = segment_of(&segments, place.first);
    let remembered = read_answer(shared, segment, place);
    let remembered = remembered.map_err(|error| Fault::from(error).of(place.first, segment))?;
    if let Some(known @ Known::InFrame(_)) = shared.lock(&shared.window).answers.get_mut(&key) {
        *known = Known::InMemory(remembered);
    }
    Ok(())
}

fn read_answer(shared: &Shared, segment: &Segment, place: Place) -> Result<Remembered, SegmentError> {
    let damaged = |error| SegmentError::Damaged { offset: place.at, error };
    let bytes = segment.frame_bytes(place.at)?;
    let frame = Frame::decode(&bytes).map_err(damaged)?;
    let another = || damaged(FormatError::NotCanonical { rule: "a sealed frame is the one it was" });
    let before: usize = frame.batches().iter().take(place.batch).map(|batch| batch.receipts).sum();
    let entries = frame.entries().get(before..before + place.receipts).ok_or_else(another)?;
    let origin = shared.identity.checkpoint_key.name();
    let checkpoint = recovery::checkpoint_of(frame.commit(), origin).ok_or_else(another)?;
    if !recovery::is_signed(&checkpoint, &shared.identity.checkpoint_key) {
        return Err(another());
    }
    for entry in entries {
        let opens = match entry.stored {
            Stored::Present { salt, payload } => entry.envelope.commitment.opens_to(&salt, payload),
            Stored::Erased => true,
        };
        let leaf = crate::read::leaf_hash(shared, entry.envelope.index).ok();
        if !opens || leaf != Some(entry.leaf) {
            return Err(another());
        }
    }
    let receipts = entries.iter().map(|entry| AppendedReceipt {
        index: entry.envelope.index,
        stream_seq: entry.envelope.stream_seq,
        leaf: entry.leaf,
    });
    let (receipts, time) = (receipts.collect(), frame.header().start.time);
    let answer = Arc::new(Answer { receipts, time, checkpoint: Arc::new(checkpoint) });
    Ok(Remembered { fingerprint: fingerprint_of(&shared.fingerprint_key, entries), answer })
}

fn fingerprint_of(key: &[u8; 32], entries: &[FrameEntry<'_>]) -> Option<Fingerprint> {
    let mut print = Fingerprinter::new(key);
    for entry in entries {
        let Stored::Present { payload, .. } = entry.stored else { return None };
        print.add(&fields(&entry.envelope, payload));
    }
    Some(print.finish())
}

fn fields<'e>(envelope: &'e Envelope, payload: &'e [u8]) -> Fields<'e> {
    Fields {
        stream: envelope.stream.as_str(),
        kind: envelope.kind.as_str(),
        class: envelope.class.0,
        media: envelope.media.byte(),
        closes_stream: envelope.closes_stream,
        subject: envelope.subject.map(|subject| subject.0),
        links: &envelope.links,
        payload,
    }
}
