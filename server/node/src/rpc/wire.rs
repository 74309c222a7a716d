//! Messages to and from the engine's types.

use crate::status::Failure;
use bytes::{Bytes, BytesMut};
use counterfoil_api::{ConversionError, DEFAULT_CLASS, PROOFS_MAX, parse, v1};
use counterfoil_engine::{
    Appended, CatalogStatus, ExportScope, ExportSummary, Health, Identity, Ledger, Limits, ListedStream, NewReceipt,
    Receipt, SegmentStatus, Selection, Status,
};
use counterfoil_proof::{ClassId, Hash, InclusionFile, Kind, LeafIndex, StreamName, StreamSeq, TreeSize};

/// Reads the receipts of a batch.
pub(crate) fn receipts(
    ledger: &Ledger,
    wire: Vec<v1::NewReceipt>,
    with_proofs: bool,
) -> Result<Vec<NewReceipt>, Failure> {
    if with_proofs && wire.len() > PROOFS_MAX {
        return Err(Failure::TooManyProofs { found: wire.len() });
    }
    let mut names = Names::default();
    let mut receipts = Vec::with_capacity(wire.len());
    for (at, wire) in wire.into_iter().enumerate() {
        let class = class(ledger, at, &wire.class)?;
        receipts.push(receipt(&mut names, class, wire).map_err(|error| error.in_list("receipts", at))?);
    }
    Ok(receipts)
}

fn class(ledger: &Ledger, at: usize, name: &str) -> Result<ClassId, Failure> {
    if name.is_empty() || name == DEFAULT_CLASS {
        return Ok(ClassId::FOREVER);
    }
    ledger.rules().class_by_name(name).ok_or_else(|| Failure::UnknownClass { at, name: name.to_owned() })
}

fn receipt(names: &mut Names, class: ClassId, wire: v1::NewReceipt) -> Result<NewReceipt, ConversionError> {
    Ok(NewReceipt {
        stream: names.stream(&wire.stream)?,
        kind: names.kind(&wire.kind)?,
        class,
        media: parse::media("media", wire.media)?,
        subject: parse::subject("subject", &wire.subject)?,
        links: parse::links("links", wire.links)?,
        closes_stream: wire.closes_stream,
        expected_stream_seq: wire.expected_stream_seq.map(StreamSeq),
        payload: wire.payload,
    })
}

/// The names of the receipt before: neighbours in a batch often share them, and then they share the allocation.
#[derive(Default)]
struct Names {
    stream: Option<StreamName>,
    kind: Option<Kind>,
}

impl Names {
    fn stream(&mut self, name: &str) -> Result<StreamName, ConversionError> {
        match &self.stream {
            Some(known) if known.as_str() == name => Ok(known.clone()),
            _ => Ok(self.stream.insert(parse::stream("stream", name)?).clone()),
        }
    }

    fn kind(&mut self, name: &str) -> Result<Kind, ConversionError> {
        match &self.kind {
            Some(known) if known.as_str() == name => Ok(known.clone()),
            _ => Ok(self.kind.insert(parse::kind("kind", name)?).clone()),
        }
    }
}

/// Reads which receipts are asked for.
pub(crate) fn selection(wire: Option<v1::read_request::Selection>) -> Result<Selection, ConversionError> {
    use v1::read_request::Selection as Wire;
    match wire {
        None => Ok(Selection::Ledger { from: LeafIndex(0) }),
        Some(Wire::FromIndex(from)) => Ok(Selection::Ledger { from: LeafIndex(from) }),
        Some(Wire::Stream(wire)) => {
            let stream = parse::stream("stream", &wire.stream).map_err(|error| error.within("stream"))?;
            Ok(Selection::Stream { stream, from: StreamSeq(wire.from_seq) })
        }
    }
}

/// Reads which receipts are to be exported.
pub(crate) fn scope(wire: Option<v1::export_request::Scope>) -> Result<ExportScope, ConversionError> {
    use v1::export_request::Scope as Wire;
    match parse::required("scope", wire)? {
        Wire::Stream(stream) => Ok(ExportScope::Stream(parse::stream("stream", &stream)?)),
        Wire::Range(range) => Ok(ExportScope::Range { from: LeafIndex(range.from), to: TreeSize(range.to) }),
    }
}

/// Writes what a bundle holds.
pub(crate) fn summary(summary: &ExportSummary) -> v1::ExportSummary {
    v1::ExportSummary {
        receipts: summary.receipts,
        size: summary.size.0,
        statement: summary.statement.map(|index| index.0),
        checkpoint: summary.checkpoint.to_string(),
    }
}

/// Writes the answer to a batch.
pub(crate) fn appended(appended: Appended) -> v1::Appended {
    let Appended { receipts, time, checkpoint, proofs } = appended;
    // One allocation for all leaf hashes; each message holds a slice of it.
    let mut hashes = BytesMut::with_capacity(receipts.len() * Hash::LEN);
    let mut wire: Vec<v1::AppendedReceipt> = receipts
        .iter()
        .map(|receipt| {
            hashes.extend_from_slice(&receipt.leaf.0);
            v1::AppendedReceipt {
                index: receipt.index.0,
                stream_seq: receipt.stream_seq.0,
                leaf_hash: Bytes::new(),
                proof: String::new(),
            }
        })
        .collect();
    let mut hashes = hashes.freeze();
    for wire in &mut wire {
        wire.leaf_hash = hashes.split_to(Hash::LEN);
    }
    let text = checkpoint.to_string();
    if !proofs.is_empty() {
        assert_eq!(proofs.len(), wire.len(), "the engine makes one proof for each receipt");
        let mut file_checkpoint = Some(checkpoint);
        for (wire, proof) in wire.iter_mut().zip(proofs) {
            let checkpoint = file_checkpoint.take().expect("put back below");
            let file = InclusionFile { proof, checkpoint };
            wire.proof = file.to_string();
            file_checkpoint = Some(file.checkpoint);
        }
    }
    v1::Appended { receipts: wire, time: time.0, checkpoint: text }
}

/// Writes a receipt.
pub(crate) fn read(ledger: &Ledger, receipt: Receipt) -> v1::Receipt {
    let Receipt { envelope, leaf, content } = receipt;
    let class = ledger.rules().class_name(envelope.class).unwrap_or_default().to_owned();
    let (salt, payload) = match content {
        Some(content) => (Some(Bytes::copy_from_slice(&content.salt.0)), Some(content.payload)),
        None => (None, None),
    };
    v1::Receipt {
        index: envelope.index.0,
        time: envelope.time.0,
        envelope: envelope.encode().into(),
        leaf_hash: Bytes::copy_from_slice(&leaf.0),
        salt,
        payload,
        class,
    }
}

/// Writes what never changes about a ledger, and what this server accepts.
pub(crate) fn identity(name: &str, identity: &Identity, limits: &Limits) -> v1::GetLedgerResponse {
    v1::GetLedgerResponse {
        ledger: name.to_owned(),
        ledger_id: Bytes::copy_from_slice(&identity.ledger_id.0),
        origin: identity.checkpoint_key.name().to_string(),
        vkey: identity.checkpoint_key.to_string(),
        commitment: identity.commitment.name().to_owned(),
        limits: Some(v1::Limits {
            payload_bytes_max: limits.payload_bytes_max as u64,
            batch_receipts_max: limits.batch_receipts_max as u64,
            batch_bytes_max: limits.batch_bytes_max as u64,
            proofs_max: PROOFS_MAX as u64,
        }),
    }
}

/// Writes a status.
pub(crate) fn status(status: Status) -> v1::GetStatusResponse {
    let health = match status.health {
        Health::Writable => v1::Health::Writable,
        Health::ReadOnly => v1::Health::ReadOnly,
        Health::Poisoned => v1::Health::Poisoned,
    };
    v1::GetStatusResponse {
        checkpoint: status.checkpoint.to_string(),
        durable_mark: status.durable_mark.0,
        last_time: status.last_time.0,
        streams: status.streams,
        control_receipts: status.control_receipts,
        segments: status.segments.iter().map(segment).collect(),
        queue_batches: status.queue_batches as u64,
        health: health.into(),
        catalog: Some(catalog(&status.catalog)),
    }
}

fn catalog(status: &CatalogStatus) -> v1::Catalog {
    let (state, taken_in, cause) = match status {
        CatalogStatus::Off => (v1::CatalogState::Off, 0, String::new()),
        CatalogStatus::Kept { taken_in } => (v1::CatalogState::Kept, taken_in.0, String::new()),
        CatalogStatus::Failed { cause } => (v1::CatalogState::Failed, 0, cause.to_string()),
    };
    v1::Catalog { state: state.into(), taken_in, cause }
}

/// Writes a stream of the catalog.
pub(crate) fn stream(listed: &ListedStream) -> v1::Stream {
    v1::Stream {
        stream: listed.stream.to_string(),
        receipts: listed.receipts,
        first_index: listed.first.0,
        first_time: listed.first_time.0,
        last_index: listed.last.0,
        last_time: listed.last_time.0,
        closed: listed.closed,
        kinds: listed.kinds.iter().map(ToString::to_string).collect(),
        more_kinds: listed.more_kinds,
    }
}

/// Writes a segment's figures.
pub(crate) fn segment(segment: &SegmentStatus) -> v1::Segment {
    v1::Segment {
        first_index: segment.first.0,
        receipts: segment.receipts,
        bytes: segment.bytes,
        sealed: segment.sealed,
    }
}
