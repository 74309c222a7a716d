//! `counterfoil get`: one receipt.

use crate::args::GetArgs;
use crate::failure::{Exit, Failure};
use crate::output::{Outcome, Page};
use crate::session::Session;
use bytes::Bytes;
use counterfoil_audit::{ReceiptView, time_text};
use counterfoil_client::{Client, Receipt};
use counterfoil_proof::{LeafIndex, Media, TreeSize, hex};
use serde::{Serialize, Serializer};

/// A longer payload is cut where a person reads it.
const SHOWN_CHARS_MAX: usize = 4000;

/// A receipt that is proved to be in the ledger.
pub(crate) struct Proved {
    pub(crate) receipt: Receipt,
    size: TreeSize,
}

pub(crate) async fn run(args: &GetArgs) -> Result<Proved, Failure> {
    let session = Session::open(&args.server).await?;
    fetch(session.client(), args.index).await
}

/// Gets a receipt and its proof.
pub(crate) async fn fetch(client: &Client, index: LeafIndex) -> Result<Proved, Failure> {
    let receipt = client.get(index).await?;
    // Without this the server could show a receipt of its own making.
    let proof = client.prove_inclusion(index, &receipt.leaf).await?;
    Ok(Proved { receipt, size: proof.proof.size })
}

/// The payload's bytes alone.
pub(crate) async fn payload(args: &GetArgs) -> Result<Bytes, Failure> {
    let Proved { receipt, .. } = run(args).await?;
    let erased = || {
        let message = format!("the payload of receipt {} is erased", args.index);
        let next = "read the receipt without --raw: its envelope stays, and is still proved";
        Failure::new(Exit::Refused, "ERASED", message, next)
    };
    receipt.content.map(|content| content.payload).ok_or_else(erased)
}

/// The receipt as JSON.
pub(crate) fn view(receipt: &Receipt) -> ReceiptView<'_> {
    ReceiptView {
        envelope: &receipt.envelope,
        class: &receipt.class,
        content: receipt.content.as_ref().map(|content| (&content.salt, &content.payload[..])),
        verdict: None,
    }
}

impl Serialize for Proved {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        view(&self.receipt).serialize(serializer)
    }
}

impl Outcome for Proved {
    fn tell(&self, page: &mut Page) {
        let Receipt { envelope, leaf, class, content, .. } = &self.receipt;
        page.field("index", envelope.index);
        page.field("time", time_text(envelope.time));
        page.field("stream", &envelope.stream);
        page.field("stream_seq", envelope.stream_seq);
        page.field("kind", &envelope.kind);
        page.field("class", class);
        page.field("writer", &envelope.writer);
        page.field("leaf_hash", leaf);
        page.field("prev", envelope.prev);
        for link in &envelope.links {
            page.field("link", format!("{} {}", link.index, link.leaf));
        }
        if let Some(subject) = envelope.subject {
            page.field("subject", hex(&subject.0));
        }
        if envelope.closes_stream {
            page.field("closes_stream", "yes");
        }
        page.field("proved", format!("in the checkpoint of size {}", self.size));
        page.field("media", envelope.media.name());
        match content {
            None => page.field("payload", "erased"),
            Some(content) => page.field("payload", shown(envelope.media, &content.payload)),
        }
    }
}

fn shown(media: Media, payload: &[u8]) -> String {
    let text = match media {
        Media::Json | Media::Text => core::str::from_utf8(payload).ok(),
        Media::Cbor | Media::Protobuf | Media::Bytes => None,
    };
    match text {
        None => format!("{} bytes (--raw writes them)", payload.len()),
        Some(text) => match text.char_indices().nth(SHOWN_CHARS_MAX) {
            None => text.to_owned(),
            Some((end, _)) => format!("{}… ({} bytes in all; --raw writes them)", &text[..end], payload.len()),
        },
    }
}
