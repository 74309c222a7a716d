//! `Export`: a bundle, piece by piece.

use crate::limits::EXPORT_PIECE_BYTES_MAX;
use crate::node::Node;
use crate::rpc::{observe, wire};
use crate::status::Failure;
use bytes::Bytes;
use counterfoil_api::v1;
use counterfoil_engine::{AppendError, Export};
use counterfoil_proof::TreeSize;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::codegen::BoxStream;
use tracing::debug;

const METHOD: &str = "Export";
/// Pieces read ahead of a caller that takes them slowly.
const PIECES_AHEAD: usize = 4;

/// Begins an export; the bytes are read as the caller takes them.
pub(crate) async fn stream(
    node: Arc<Node>,
    request: v1::ExportRequest,
) -> Result<BoxStream<v1::ExportResponse>, Failure> {
    let scope = wire::scope(request.scope)?;
    let seen: Vec<TreeSize> = request.seen_sizes.into_iter().map(TreeSize).collect();
    let export = node.blocking(&request.ledger, move |ledger| ledger.export(scope, &seen)).await?;
    let (parts, ready) = mpsc::channel(PIECES_AHEAD);
    tokio::spawn(async move {
        let begin = Instant::now();
        // A caller that went away takes no more parts, and is told nothing.
        let told = match send(&node, request.ledger, export, &parts).await {
            Ok(()) => {
                debug!(method = METHOD, outcome = "ok", duration = ?begin.elapsed(), "stream ended");
                return;
            }
            Err(failure) => observe::failed(METHOD, failure, begin.elapsed()),
        };
        let _ = parts.send(Err(told)).await;
    });
    Ok(Box::pin(ReceiverStream::new(ready)))
}

type Part = Result<v1::ExportResponse, Status>;

async fn send(node: &Node, ledger: String, export: Export, parts: &mpsc::Sender<Part>) -> Result<(), Failure> {
    use v1::export_response::Part as Wire;
    let mut export = export;
    let mut ready = vec![Wire::Summary(wire::summary(export.summary()))];
    loop {
        for part in ready {
            let sent = tokio::select! {
                biased;
                () = node.stopping() => return Err(AppendError::Closing.into()),
                sent = parts.send(Ok(v1::ExportResponse { part: Some(part) })) => sent,
            };
            if sent.is_err() {
                return Ok(());
            }
        }
        let (rest, bytes) = node.blocking(&ledger, move |_| next(export)).await?;
        export = rest;
        let Some(bytes) = bytes else { return Ok(()) };
        ready = pieces(bytes).map(Wire::Chunk).collect();
    }
}

fn next(mut export: Export) -> Result<(Export, Option<Bytes>), Failure> {
    let bytes = export.next().transpose()?;
    Ok((export, bytes))
}

fn pieces(mut bytes: Bytes) -> impl Iterator<Item = Bytes> {
    core::iter::from_fn(move || {
        let len = bytes.len().min(EXPORT_PIECE_BYTES_MAX);
        (len > 0).then(|| bytes.split_to(len))
    })
}
