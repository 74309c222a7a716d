//! `counterfoil read`: receipts in order.

use super::get::view;
use crate::args::ReadArgs;
use crate::failure::Failure;
use crate::output::{Outcome, Page};
use crate::session::Session;
use counterfoil_audit::time_text;
use counterfoil_client::{Receipt, Selection};
use counterfoil_proof::{LeafIndex, StreamSeq};
use serde::ser::SerializeSeq as _;
use serde::{Serialize, Serializer};

/// Receipts of one page; the client's limit.
const PAGE_RECEIPTS_MAX: u64 = 1000;

/// Receipts, each following the one before.
#[derive(Serialize)]
pub(crate) struct Listed {
    #[serde(serialize_with = "views")]
    receipts: Vec<Receipt>,
}

fn views<S: Serializer>(receipts: &[Receipt], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(receipts.len()))?;
    for receipt in receipts {
        list.serialize_element(&view(receipt))?;
    }
    list.end()
}

pub(crate) async fn run(args: ReadArgs) -> Result<Listed, Failure> {
    let session = Session::open(&args.server).await?;
    let selection = match args.stream {
        Some(stream) => Selection::Stream { stream, from: StreamSeq(args.from) },
        None => Selection::Ledger { from: LeafIndex(args.from) },
    };
    let mut receipts = Vec::new();
    let mut after = None;
    loop {
        let left = args.limit - receipts.len() as u64;
        let page_size = u32::try_from(left.min(PAGE_RECEIPTS_MAX)).expect("at most 1000");
        let page = session.client().read(&selection, page_size, after.as_ref()).await?;
        receipts.extend(page.receipts);
        after = page.next;
        if after.is_none() || receipts.len() as u64 >= args.limit {
            return Ok(Listed { receipts });
        }
    }
}

impl Outcome for Listed {
    fn tell(&self, page: &mut Page) {
        let rows: Vec<[String; 6]> = self.receipts.iter().map(row).collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let [index, time, stream, stream_seq, kind, payload] = row;
            let [a, b, c, d, e, _] = widths;
            page.line(format!("{index:>a$}  {time:b$}  {stream:c$}  {stream_seq:>d$}  {kind:e$}  {payload}"));
        }
    }
}

fn row(receipt: &Receipt) -> [String; 6] {
    let envelope = &receipt.envelope;
    let payload = match &receipt.content {
        None => "erased".to_owned(),
        Some(content) => format!("{} bytes of {}", content.payload.len(), envelope.media.name()),
    };
    [
        envelope.index.to_string(),
        time_text(envelope.time),
        envelope.stream.to_string(),
        envelope.stream_seq.to_string(),
        envelope.kind.to_string(),
        payload,
    ]
}
