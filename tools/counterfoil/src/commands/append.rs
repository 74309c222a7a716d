//! `counterfoil append`: one receipt, with its proof.

use crate::args::AppendArgs;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::{Outcome, Page};
use crate::session::Session;
use bytes::Bytes;
use counterfoil_audit::time_text;
use counterfoil_client::{AppendOptions, Client, Error, NewReceipt};
use counterfoil_engine::PAYLOAD_BYTES_CEILING;
use counterfoil_proof::{LeafIndex, Link, Media};
use serde::Serialize;
use serde::de::IgnoredAny;

/// A receipt that is durable.
#[derive(Serialize)]
pub(crate) struct Appended {
    pub(crate) index: u64,
    pub(crate) leaf_hash: String,
    stream_seq: u64,
    time: String,
    pub(crate) checkpoint: String,
    pub(crate) proof: String,
}

pub(crate) async fn run(args: AppendArgs) -> Result<Appended, Failure> {
    let payload = files::read(&args.file, PAYLOAD_BYTES_CEILING)?;
    check_media(args.media, &payload)?;
    let session = Session::open(&args.server).await?;
    let receipt = NewReceipt {
        class: args.class,
        subject: args.subject,
        links: links(session.client(), &args.links).await?,
        closes_stream: args.close,
        expected_stream_seq: args.expect_seq,
        ..NewReceipt::new(args.stream, args.kind, args.media, Bytes::from(payload))
    };
    let options = AppendOptions { with_proofs: true, request_id: None };
    let appended = session.client().append(vec![receipt], options).await.map_err(not_appended)?;
    session.remember(&appended.checkpoint).await?;
    Ok(Appended::of_one(&appended))
}

impl Appended {
    /// The answer to a batch of one receipt that asked for its proof; the client checked that it has both.
    pub(crate) fn of_one(appended: &counterfoil_client::Appended) -> Self {
        let receipt = &appended.receipts[0];
        Self {
            index: receipt.index.0,
            leaf_hash: receipt.leaf.to_string(),
            stream_seq: receipt.stream_seq.0,
            time: time_text(appended.time),
            checkpoint: appended.checkpoint.signed().to_string(),
            proof: appended.proofs[0].to_string(),
        }
    }
}

/// A command has no request id to repeat, for its process ends here: it says how to find out what became of the receipt.
fn not_appended(error: Error) -> Failure {
    let unknown = matches!(error, Error::Unreachable(_) | Error::Timeout { .. });
    let failure = Failure::from(error);
    if unknown {
        return failure.with_next(
            "see whether the server runs, and read the stream before you append again: the receipt may be there",
        );
    }
    failure
}

/// Refuses what the ledger would refuse, before it travels.
fn check_media(media: Media, payload: &[u8]) -> Result<(), Failure> {
    let problem = match media {
        Media::Json => serde_json::from_slice::<IgnoredAny>(payload).err().map(|error| format!("JSON: {error}")),
        Media::Text => core::str::from_utf8(payload).err().map(|error| format!("UTF-8 text: {error}")),
        Media::Cbor | Media::Protobuf | Media::Bytes => None,
    };
    let Some(problem) = problem else { return Ok(()) };
    let next = "mend the payload, or say what it is with --media, for example --media bytes";
    Err(Failure::new(Exit::Incomplete, "BAD_PAYLOAD", format!("the payload is not {problem}"), next))
}

/// Leaf hashes of the receipts that caused this one.
async fn links(client: &Client, indices: &[LeafIndex]) -> Result<Vec<Link>, Failure> {
    let mut links = Vec::with_capacity(indices.len());
    for &index in indices {
        links.push(Link { index, leaf: client.get(index).await?.leaf });
    }
    Ok(links)
}

impl Outcome for Appended {
    fn tell(&self, page: &mut Page) {
        page.field("index", self.index);
        page.field("leaf_hash", &self.leaf_hash);
        page.field("stream_seq", self.stream_seq);
        page.field("time", &self.time);
        page.line("");
        page.lines(&self.proof);
    }
}
