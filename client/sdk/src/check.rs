//! Answers from the wire, checked against what was asked and against the trust policy. Pure: nothing here waits.

use crate::error::{Error, VerificationError};
use crate::types::{
    Appended, AppendedReceipt, BatchLimits, CatalogStatus, Content, Health, Identity, NextPage, Page, Receipt, Segment,
    Selection, Status,
};
use counterfoil_api::{ConversionError, DEFAULT_CLASS, Problem, parse, v1};
use counterfoil_proof::{
    ClassId, ConsistencyFile, InclusionFile, LeafHash, LeafIndex, SignedCheckpoint, StreamSeq, Timestamp, TreeSize,
    TrustPolicy, VerifiedCheckpoint,
};

/// Reads what a server states about a ledger, and whether the policy, if there is one, knows its key.
pub(crate) fn identity(answer: v1::GetLedgerResponse, trust: Option<&TrustPolicy>) -> Result<Identity, Error> {
    let key = parse::vkey("vkey", &answer.vkey)?;
    let origin = parse::origin("origin", &answer.origin)?;
    if *key.name() != origin {
        return Err(ConversionError::new("vkey", Problem::Contradicts { other: "origin" }).into());
    }
    if let Some(trust) = trust
        && !trust.logs().contains(&key)
    {
        return Err(VerificationError::UnknownKey { stated: key.to_string() }.into());
    }
    Ok(Identity {
        ledger_id: parse::hash("ledger_id", &answer.ledger_id)?,
        commitment: parse::commitment("commitment", &answer.commitment)?,
        limits: limits(parse::required("limits", answer.limits)?)?,
        ledger: answer.ledger,
        origin,
        key,
    })
}

fn limits(limits: v1::Limits) -> Result<BatchLimits, ConversionError> {
    let size = |field, value: u64| {
        let too_large = |_| ConversionError::new(field, Problem::UnknownValue { found: i64::MAX }).within("limits");
        usize::try_from(value).map_err(too_large)
    };
    Ok(BatchLimits {
        payload_bytes_max: size("payload_bytes_max", limits.payload_bytes_max)?,
        batch_receipts_max: size("batch_receipts_max", limits.batch_receipts_max)?,
        batch_bytes_max: size("batch_bytes_max", limits.batch_bytes_max)?,
        proofs_max: size("proofs_max", limits.proofs_max)?,
    })
}

/// Reads a checkpoint and checks its signatures.
pub(crate) fn checkpoint(text: &str, trust: &TrustPolicy) -> Result<VerifiedCheckpoint, Error> {
    verified(parse::checkpoint("checkpoint", text)?, trust)
}

fn verified(checkpoint: SignedCheckpoint, trust: &TrustPolicy) -> Result<VerifiedCheckpoint, Error> {
    Ok(checkpoint.verify(trust).map_err(VerificationError::Untrusted)?)
}

/// What was asked of a batch, against which its answer is checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Receipts in the batch.
    pub(crate) receipts: usize,
    /// Whether proofs were asked for.
    pub(crate) with_proofs: bool,
}

/// Reads the answer to a batch: as many receipts as were sent, at consecutive indices, under a trusted checkpoint, each
/// with a proof that holds if proofs were asked for.
pub(crate) fn appended(answer: Option<v1::Appended>, asked: Asked, trust: &TrustPolicy) -> Result<Appended, Error> {
    let answer = parse::required("appended", answer)?;
    let checkpoint = checkpoint(&answer.checkpoint, trust)?;
    count("answers", asked.receipts, answer.receipts.len())?;
    let mut receipts = Vec::with_capacity(answer.receipts.len());
    let mut proofs = Vec::new();
    for (at, wire) in answer.receipts.iter().enumerate() {
        let receipt = AppendedReceipt {
            index: LeafIndex(wire.index),
            stream_seq: StreamSeq(wire.stream_seq),
            leaf: parse::hash("leaf_hash", &wire.leaf_hash).map_err(|error| error.in_list("receipts", at))?,
        };
        if asked.with_proofs {
            let proof = parse::inclusion("proof", &wire.proof).map_err(|error| error.in_list("receipts", at))?;
            proofs.push(proof_of(proof, &receipt, &checkpoint)?);
        }
        receipts.push(receipt);
    }
    for pair in receipts.windows(2) {
        in_order(pair[0].index.0.saturating_add(1), pair[1].index.0)?;
    }
    if let Some(last) = receipts.last()
        && !checkpoint.checkpoint().size.contains(last.index)
    {
        return Err(VerificationError::NotCovered { index: last.index }.into());
    }
    Ok(Appended { receipts, time: Timestamp(answer.time), checkpoint, proofs })
}

/// A proof that came with a batch: under the batch's own checkpoint, whose signatures were checked once.
fn proof_of(
    proof: InclusionFile,
    receipt: &AppendedReceipt,
    checkpoint: &VerifiedCheckpoint,
) -> Result<InclusionFile, VerificationError> {
    if proof.proof.index != receipt.index || proof.checkpoint != *checkpoint.signed() {
        return Err(VerificationError::OtherProof);
    }
    match proof.proof.verify(&receipt.leaf, &checkpoint.checkpoint().root) {
        Ok(()) => Ok(proof),
        Err(error) => Err(VerificationError::Inclusion { index: receipt.index, error }),
    }
}

/// Reads an inclusion proof and checks it for this leaf at this index.
pub(crate) fn inclusion(
    text: &str,
    index: LeafIndex,
    leaf: &LeafHash,
    trust: &TrustPolicy,
) -> Result<InclusionFile, Error> {
    let proof = parse::inclusion("proof", text)?;
    if proof.proof.index != index {
        return Err(VerificationError::OtherProof.into());
    }
    proof.clone().verify(leaf, trust).map_err(VerificationError::Proof)?;
    Ok(proof)
}

/// Reads a consistency proof and checks it for this older size.
pub(crate) fn consistency(text: &str, old: TreeSize, trust: &TrustPolicy) -> Result<ConsistencyFile, Error> {
    let proof = parse::consistency("proof", text)?;
    if proof.proof.old != old {
        return Err(VerificationError::OtherProof.into());
    }
    proof.clone().verify(trust).map_err(VerificationError::Proof)?;
    Ok(proof)
}

/// Reads a receipt: the envelope leads to the leaf hash, what stands beside it agrees with it, and the commitment opens
/// to salt and payload unless they are erased.
pub(crate) fn receipt(wire: Option<v1::Receipt>) -> Result<Receipt, Error> {
    let wire = parse::required("receipt", wire)?;
    let envelope = parse::envelope("envelope", &wire.envelope)?;
    let index = envelope.index;
    let stated = parse::hash("leaf_hash", &wire.leaf_hash)?;
    let leaf = LeafHash::of_envelope(&wire.envelope);
    if leaf != stated {
        return Err(VerificationError::Leaf { index, stated, found: leaf }.into());
    }
    for (field, agrees) in [
        ("index", wire.index == index.0),
        ("time", wire.time == envelope.time.0),
        ("class", (wire.class == DEFAULT_CLASS) == (envelope.class == ClassId::FOREVER)),
    ] {
        if !agrees {
            return Err(VerificationError::Shown { index, field }.into());
        }
    }
    let content = match (wire.salt, wire.payload) {
        (None, None) => None,
        (Some(salt), Some(payload)) => Some(Content { salt: parse::salt("salt", &salt)?, payload }),
        (Some(_), None) => return Err(ConversionError::new("payload", Problem::Missing).into()),
        (None, Some(_)) => return Err(ConversionError::new("salt", Problem::Missing).into()),
    };
    if content.as_ref().is_some_and(|content| !envelope.commitment.opens_to(&content.salt, &content.payload)) {
        return Err(VerificationError::Commitment { index }.into());
    }
    Ok(Receipt { envelope, envelope_bytes: wire.envelope, leaf, class: wire.class, content })
}

/// Reads a page: the receipts that were asked for, without a gap, each chained to the one before.
pub(crate) fn page(
    answer: v1::ReadResponse,
    selection: &Selection,
    after: Option<&NextPage>,
    receipts_max: usize,
) -> Result<Page, Error> {
    if answer.receipts.len() > receipts_max {
        count("receipts", receipts_max, answer.receipts.len())?;
    }
    let first = match selection {
        Selection::Ledger { from } => from.0,
        Selection::Stream { from, .. } => from.0,
    };
    let mut position = after.map_or(first, |after| after.position);
    let mut previous = after.and_then(|after| after.previous);
    let mut receipts = Vec::with_capacity(answer.receipts.len());
    for wire in answer.receipts {
        let receipt = receipt(Some(wire))?;
        follows(&receipt, selection, position, previous)?;
        position = position.saturating_add(1);
        previous = Some(receipt.leaf);
        receipts.push(receipt);
    }
    let next = match answer.next_page_token {
        token if token.is_empty() => None,
        token => Some(NextPage { token, position, previous }),
    };
    Ok(Page { receipts, next })
}

fn follows(
    receipt: &Receipt,
    selection: &Selection,
    position: u64,
    previous: Option<LeafHash>,
) -> Result<(), VerificationError> {
    let envelope = &receipt.envelope;
    let (found, before) = match selection {
        Selection::Ledger { .. } => (envelope.index.0, envelope.prev),
        Selection::Stream { stream, .. } if envelope.stream == *stream => (envelope.stream_seq.0, envelope.stream_prev),
        Selection::Stream { .. } => return Err(VerificationError::OtherStream { index: envelope.index }),
    };
    in_order(position, found)?;
    if previous.is_some_and(|previous| previous != before) {
        return Err(VerificationError::Chain { index: envelope.index });
    }
    Ok(())
}

fn in_order(asked: u64, found: u64) -> Result<(), VerificationError> {
    if asked == found { Ok(()) } else { Err(VerificationError::OutOfOrder { asked, found }) }
}

fn count(what: &'static str, asked: usize, found: usize) -> Result<(), VerificationError> {
    if asked == found {
        return Ok(());
    }
    Err(VerificationError::Count { what, asked: asked as u64, found: found as u64 })
}

/// Reads a status and checks its checkpoint.
pub(crate) fn status(answer: v1::GetStatusResponse, trust: &TrustPolicy) -> Result<Status, Error> {
    let health = match answer.health() {
        v1::Health::Writable => Health::Writable,
        v1::Health::ReadOnly => Health::ReadOnly,
        v1::Health::Poisoned => Health::Poisoned,
        v1::Health::Unspecified => {
            return Err(ConversionError::new("health", Problem::UnknownValue { found: answer.health.into() }).into());
        }
    };
    let catalog = catalog(parse::required("catalog", answer.catalog)?).map_err(|error| error.within("catalog"))?;
    Ok(Status {
        checkpoint: checkpoint(&answer.checkpoint, trust)?,
        durable_mark: TreeSize(answer.durable_mark),
        last_time: Timestamp(answer.last_time),
        streams: answer.streams,
        control_receipts: answer.control_receipts,
        segments: answer.segments.into_iter().map(segment).collect(),
        queue_batches: answer.queue_batches,
        health,
        catalog,
    })
}

fn catalog(wire: v1::Catalog) -> Result<CatalogStatus, ConversionError> {
    match wire.state() {
        v1::CatalogState::Off => Ok(CatalogStatus::Off),
        v1::CatalogState::Kept => Ok(CatalogStatus::Kept { taken_in: TreeSize(wire.taken_in) }),
        v1::CatalogState::Failed => Ok(CatalogStatus::Failed { cause: wire.cause }),
        v1::CatalogState::Unspecified => {
            Err(ConversionError::new("state", Problem::UnknownValue { found: wire.state.into() }))
        }
    }
}

/// Reads a segment's figures.
pub(crate) fn segment(wire: v1::Segment) -> Segment {
    Segment { first: LeafIndex(wire.first_index), receipts: wire.receipts, bytes: wire.bytes, sealed: wire.sealed }
}

#[cfg(test)]
mod tests;
