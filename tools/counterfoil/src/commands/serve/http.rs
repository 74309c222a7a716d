//! Health and metrics over HTTP, for those who watch. No receipt is served here.

use super::cannot;
use crate::failure::Failure;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use core::fmt::Write as _;
use counterfoil_engine::{CatalogStatus, Health, Ledger, Status};
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A listener that does not answer yet.
pub(super) struct Side {
    listener: TcpListener,
    address: SocketAddr,
    watched: Watched,
}

/// What is watched, and whether it is meant to append.
#[derive(Clone)]
struct Watched {
    ledger: Ledger,
    read_only: bool,
}

impl Side {
    pub(super) async fn bind(address: SocketAddr, ledger: Ledger, read_only: bool) -> Result<Self, Failure> {
        let failed = |error| cannot(&format!("listen on {address}"), &error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, watched: Watched { ledger, read_only } })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the task is aborted.
    pub(super) fn serve(self) -> JoinHandle<()> {
        let router = Router::new()
            .route("/healthz", get(async || "alive\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.watched);
        tokio::spawn(async move {
            if let Err(error) = axum::serve(self.listener, router).await {
                tracing::error!(%error, "health and metrics are no longer served");
            }
        })
    }
}

async fn ready(State(watched): State<Watched>) -> (StatusCode, &'static str) {
    match watched.ledger.status().health {
        Health::Writable => (StatusCode::OK, "writable\n"),
        Health::ReadOnly if watched.read_only => (StatusCode::OK, "read-only, as asked\n"),
        Health::ReadOnly => (StatusCode::SERVICE_UNAVAILABLE, "read-only\n"),
        Health::Poisoned => {
            (StatusCode::SERVICE_UNAVAILABLE, "poisoned: a write or sync failed; restart the server to recover\n")
        }
    }
}

async fn metrics(State(watched): State<Watched>) -> ([(&'static str, &'static str); 1], String) {
    ([("content-type", "text/plain; version=0.0.4; charset=utf-8")], exposition(&watched.ledger.status()))
}

/// Prometheus text format, version 0.0.4.
fn exposition(status: &Status) -> String {
    let mut text = String::new();
    let catalogued = match &status.catalog {
        CatalogStatus::Kept { taken_in } => taken_in.0,
        CatalogStatus::Off | CatalogStatus::Failed { .. } => 0,
    };
    for (name, help, value) in [
        ("tree_size", "Receipts in the latest checkpoint.", status.checkpoint.unverified().size.0),
        ("durable_mark", "Receipts known durable from the disk alone.", status.durable_mark.0),
        ("queue_batches", "Batches waiting for the sequencer.", status.queue_batches as u64),
        ("segments", "Segments of the ledger.", status.segments.len() as u64),
        ("streams", "Streams, the control stream included.", status.streams),
        ("catalog_taken_in", "Receipts the catalog knows; 0 without one.", catalogued),
    ] {
        let _ = writeln!(
            text,
            "# HELP counterfoil_{name} {help}\n# TYPE counterfoil_{name} gauge\ncounterfoil_{name} {value}"
        );
    }
    text.push_str("# HELP counterfoil_health 1 for the state the ledger is in.\n# TYPE counterfoil_health gauge\n");
    for (state, health) in
        [("writable", Health::Writable), ("read-only", Health::ReadOnly), ("poisoned", Health::Poisoned)]
    {
        let _ = writeln!(text, "counterfoil_health{{state=\"{state}\"}} {}", u8::from(status.health == health));
    }
    text
}
