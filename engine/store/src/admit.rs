//! Admission: everything about a batch that needs no place in the ledger, done on the caller's thread.

use crate::error::{AppendError, ReadError, ReceiptProblem};
use crate::shared::Shared;
use crate::streams::{self, Slot};
use crate::types::{Batch, BatchId, Limits, NewReceipt};
use crate::window::{self, Fingerprint};
use counterfoil_format::frame::BatchLabel;
use counterfoil_proof::{Commitment, LINKS_MAX, Link, Media, Principal, Salt, Sealed, StreamName};
use counterfoil_rules::Rules;
use serde::de::IgnoredAny;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A batch that keeps all rules which do not depend on its place, with its salts and commitments. Only
/// [`crate::Ledger::admit`] makes one.
pub struct AdmittedBatch {
    pub(crate) writer: Principal,
    pub(crate) id: Option<BatchId>,
    pub(crate) fingerprint: Option<Fingerprint>,
    pub(crate) receipts: Vec<AdmittedReceipt>,
    pub(crate) with_proofs: bool,
    /// Upper bound of what it takes on disk.
    pub(crate) stored_bytes: usize,
}

pub(crate) struct AdmittedReceipt {
    pub(crate) new: NewReceipt,
    /// Where its stream stands; held, so that the sequencer finds it in memory.
    pub(crate) slot: Arc<Slot>,
    pub(crate) salt: Salt,
    pub(crate) commitment: Commitment,
}

impl AdmittedBatch {
    pub(crate) fn label(&self) -> BatchLabel {
        match self.id {
            None => BatchLabel::None,
            Some(BatchId::Request(id)) => BatchLabel::Request(id),
            Some(BatchId::Session { session, number }) => BatchLabel::Session { session, number },
        }
    }
}

/// Checks a batch and seals its payloads.
pub(crate) fn admit(shared: &Shared, batch: Batch) -> Result<AdmittedBatch, AppendError> {
    let limits = &shared.limits;
    check_size(limits, &batch)?;
    let rules = shared.published().rules.clone();
    for (at, receipt) in batch.receipts.iter().enumerate() {
        check_receipt(limits, &rules, receipt).map_err(|problem| AppendError::Receipt { at, problem })?;
        for link in &receipt.links {
            if !link_holds(shared, link)? {
                let problem = ReceiptProblem::UnknownLink(*link);
                return Err(AppendError::Receipt { at, problem });
            }
        }
    }
    window::bring_in(shared, &batch).map_err(unreadable)?;
    seal(shared, batch)
}

fn unreadable(error: ReadError) -> AppendError {
    AppendError::Unreadable { cause: Arc::new(error) }
}

/// True when neither links nor streams nor the answer to an earlier batch of this id have to be looked up on disk.
pub(crate) fn needs_no_disk(shared: &Shared, batch: &Batch) -> bool {
    let mut last: Option<&StreamName> = None;
    let mut is_known = |stream| last.replace(stream) == Some(stream) || shared.streams.slots.get(stream).is_some();
    !window::is_on_disk(shared, batch)
        && batch.receipts.iter().all(|receipt| receipt.links.is_empty() && is_known(&receipt.stream))
}

/// Looks up the streams of a batch, each once.
fn slots_of(shared: &Shared, batch: &Batch) -> Result<Vec<Arc<Slot>>, AppendError> {
    let mut found: HashMap<&StreamName, Arc<Slot>> = HashMap::new();
    let mut slots: Vec<Arc<Slot>> = Vec::with_capacity(batch.receipts.len());
    for receipt in &batch.receipts {
        let slot = match slots.last().filter(|last| *last.stream() == receipt.stream) {
            Some(last) => last.clone(),
            None => match found.entry(&receipt.stream) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(entry) => {
                    entry.insert(streams::resolve(shared, &receipt.stream).map_err(unreadable)?).clone()
                }
            },
        };
        slots.push(slot);
    }
    Ok(slots)
}

/// Salts and commits to the payloads of a batch that was checked, or that the ledger itself writes.
pub(crate) fn seal(shared: &Shared, batch: Batch) -> Result<AdmittedBatch, AppendError> {
    let fingerprint = batch.id.map(|_| {
        let mut fingerprint = Fingerprinter::new(&shared.fingerprint_key);
        batch.receipts.iter().for_each(|receipt| fingerprint.add(&Fields::of(receipt)));
        fingerprint.finish()
    });
    let mut random = vec![0; batch.receipts.len() * 32];
    shared.environment.randomness.fill(&mut random).map_err(|error| shared.poison(error))?;
    let salts: Vec<Salt> = random.as_chunks::<32>().0.iter().map(|bytes| Salt(*bytes)).collect();
    let sealed: Vec<Sealed<'_>> =
        batch.receipts.iter().zip(&salts).map(|(receipt, salt)| Sealed { salt, payload: &receipt.payload }).collect();
    let commitments = shared.identity.commitment.commit_all(&sealed);
    let slots = slots_of(shared, &batch)?;
    let stored_bytes = batch.stored_bytes_max();
    let receipts = batch
        .receipts
        .into_iter()
        .zip(salts)
        .zip(commitments)
        .zip(slots)
        .map(|(((new, salt), commitment), slot)| AdmittedReceipt { new, slot, salt, commitment })
        .collect();
    let (writer, id, with_proofs) = (batch.writer, batch.id, batch.with_proofs);
    Ok(AdmittedBatch { writer, id, fingerprint, receipts, with_proofs, stored_bytes })
}

fn check_size(limits: &Limits, batch: &Batch) -> Result<(), AppendError> {
    let found = batch.receipts.len();
    if found == 0 {
        return Err(AppendError::Empty);
    }
    if found > limits.batch_receipts_max {
        return Err(AppendError::TooManyReceipts { max: limits.batch_receipts_max, found });
    }
    let found = batch.stored_bytes_max();
    if found > limits.batch_bytes_max {
        return Err(AppendError::BatchTooLarge { max: limits.batch_bytes_max, found });
    }
    Ok(())
}

fn check_receipt(limits: &Limits, rules: &Rules, receipt: &NewReceipt) -> Result<(), ReceiptProblem> {
    if receipt.stream.is_control() || receipt.kind.is_control() {
        return Err(ReceiptProblem::Reserved);
    }
    if rules.class_name(receipt.class).is_none() {
        return Err(ReceiptProblem::UnknownClass(receipt.class.0));
    }
    let (found, max) = (receipt.payload.len(), limits.payload_bytes_max);
    if found > max {
        return Err(ReceiptProblem::PayloadTooLarge { max, found });
    }
    if receipt.links.len() > LINKS_MAX {
        return Err(ReceiptProblem::TooManyLinks { found: receipt.links.len() });
    }
    let valid = match receipt.media {
        Media::Json => serde_json::from_slice::<IgnoredAny>(&receipt.payload).is_ok(),
        Media::Text => core::str::from_utf8(&receipt.payload).is_ok(),
        Media::Cbor | Media::Protobuf | Media::Bytes => true,
    };
    if valid { Ok(()) } else { Err(ReceiptProblem::Media { media: receipt.media.name() }) }
}

fn link_holds(shared: &Shared, link: &Link) -> Result<bool, AppendError> {
    match crate::read::leaf_hash(shared, link.index) {
        Ok(leaf) => Ok(leaf == link.leaf),
        Err(ReadError::UnknownIndex { .. }) => Ok(false),
        Err(error) => Err(unreadable(error)),
    }
}

/// The parts of a receipt that its writer decides.
pub(crate) struct Fields<'a> {
    pub(crate) stream: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) class: u32,
    pub(crate) media: u8,
    pub(crate) closes_stream: bool,
    pub(crate) subject: Option<[u8; 16]>,
    pub(crate) links: &'a [Link],
    pub(crate) payload: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(receipt: &'a NewReceipt) -> Self {
        Self {
            stream: receipt.stream.as_str(),
            kind: receipt.kind.as_str(),
            class: receipt.class.0,
            media: receipt.media.byte(),
            closes_stream: receipt.closes_stream,
            subject: receipt.subject.map(|subject| subject.0),
            links: &receipt.links,
            payload: &receipt.payload,
        }
    }
}

/// Hashes what makes two batches the same. The result never leaves memory: it covers payloads without their salts.
pub(crate) struct Fingerprinter {
    hasher: blake3::Hasher,
    /// Not hashed yet: BLAKE3 is several times faster on long runs of bytes.
    pending: Vec<u8>,
}

const PENDING_MAX: usize = 64 * 1024;

impl Fingerprinter {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self { hasher: blake3::Hasher::new_keyed(key), pending: Vec::with_capacity(PENDING_MAX) }
    }

    pub(crate) fn add(&mut self, fields: &Fields<'_>) {
        self.part(fields.stream.as_bytes());
        self.part(fields.kind.as_bytes());
        self.part(&fields.class.to_le_bytes());
        self.part(&[fields.media, u8::from(fields.closes_stream)]);
        self.part(fields.subject.as_ref().map_or(&[], |subject| subject));
        for link in fields.links {
            self.part(&link.index.0.to_le_bytes());
            self.part(&link.leaf.0);
        }
        self.part(fields.payload);
    }

    fn part(&mut self, bytes: &[u8]) {
        self.pending.extend((bytes.len() as u64).to_le_bytes());
        self.pending.extend(bytes);
        if self.pending.len() >= PENDING_MAX {
            self.hasher.update(&self.pending);
            self.pending.clear();
        }
    }

    pub(crate) fn finish(mut self) -> Fingerprint {
        self.hasher.update(&self.pending);
        Fingerprint(*self.hasher.finalize().as_bytes())
    }
}
