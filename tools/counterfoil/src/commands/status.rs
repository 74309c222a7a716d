//! `counterfoil status`: how large and how well the ledger is.

use crate::args::StatusArgs;
use crate::failure::Failure;
use crate::output::{Outcome, Page};
use crate::session::Session;
use counterfoil_audit::time_text;
use counterfoil_client::{CatalogStatus, Segment};
use serde::Serialize;

/// What the ledger says about itself, its checkpoint checked.
#[derive(Serialize)]
pub(crate) struct Stated {
    ledger: String,
    ledger_id: String,
    origin: String,
    vkey: String,
    commitment: &'static str,
    health: &'static str,
    size: u64,
    root: String,
    durable_mark: u64,
    last_time: String,
    streams: u64,
    control_receipts: u64,
    queue_batches: u64,
    catalog: CatalogStated,
    segments: Vec<SegmentStated>,
    checkpoint: String,
}

/// How the catalog is, from which streams are listed.
#[derive(Serialize)]
struct CatalogStated {
    state: &'static str,
    taken_in: Option<u64>,
    size: u64,
    cause: Option<String>,
}

impl CatalogStated {
    fn of(catalog: CatalogStatus, size: u64) -> Self {
        let (state, taken_in, cause) = match catalog {
            CatalogStatus::Off => ("off", None, None),
            CatalogStatus::Kept { taken_in } => ("kept", Some(taken_in.0), None),
            CatalogStatus::Failed { cause } => ("failed", None, Some(cause)),
        };
        Self { state, taken_in, size, cause }
    }

    fn words(&self) -> String {
        let Self { state, taken_in, size, cause } = self;
        match (taken_in, cause) {
            (Some(taken_in), _) => format!("{state}, {taken_in} of {size} receipts taken in"),
            (None, Some(cause)) => format!("{state}: {cause}"),
            (None, None) => (*state).to_owned(),
        }
    }
}

/// One segment of the ledger.
#[derive(Serialize)]
pub(crate) struct SegmentStated {
    first: u64,
    receipts: u64,
    bytes: u64,
    sealed: bool,
}

impl From<Segment> for SegmentStated {
    fn from(segment: Segment) -> Self {
        Self { first: segment.first.0, receipts: segment.receipts, bytes: segment.bytes, sealed: segment.sealed }
    }
}

impl SegmentStated {
    pub(crate) fn words(&self) -> String {
        let Self { first, receipts, bytes, sealed } = self;
        let state = if *sealed { "sealed" } else { "active" };
        format!("{state}, {receipts} receipts from {first} on, {bytes} bytes")
    }
}

pub(crate) async fn run(args: &StatusArgs) -> Result<Stated, Failure> {
    let session = Session::open(&args.server).await?;
    let identity = session.client().identity();
    let status = session.client().status().await?;
    let checkpoint = status.checkpoint.checkpoint();
    Ok(Stated {
        ledger: identity.ledger.clone(),
        ledger_id: identity.ledger_id.to_string(),
        origin: identity.origin.to_string(),
        vkey: identity.key.to_string(),
        commitment: identity.commitment.name(),
        health: status.health.name(),
        size: checkpoint.size.0,
        root: checkpoint.root.to_string(),
        durable_mark: status.durable_mark.0,
        last_time: time_text(status.last_time),
        streams: status.streams,
        control_receipts: status.control_receipts,
        queue_batches: status.queue_batches,
        catalog: CatalogStated::of(status.catalog, checkpoint.size.0),
        segments: status.segments.into_iter().map(SegmentStated::from).collect(),
        checkpoint: status.checkpoint.signed().to_string(),
    })
}

impl Outcome for Stated {
    fn tell(&self, page: &mut Page) {
        page.field("ledger", &self.ledger);
        page.field("ledger_id", &self.ledger_id);
        page.field("origin", &self.origin);
        page.field("vkey", &self.vkey);
        page.field("commitment", self.commitment);
        page.field("health", self.health);
        page.field("size", self.size);
        page.field("root", &self.root);
        page.field("durable_mark", self.durable_mark);
        page.field("last_time", &self.last_time);
        page.field("streams", self.streams);
        page.field("control_receipts", self.control_receipts);
        page.field("queue_batches", self.queue_batches);
        page.field("catalog", self.catalog.words());
        for segment in &self.segments {
            page.field("segment", segment.words());
        }
    }
}
