//! `counterfoil streams`: where to look.

use crate::args::StreamsArgs;
use crate::failure::Failure;
use crate::output::{Outcome, Output, Page, clean};
use crate::session::Session;
use counterfoil_audit::time_text;
use counterfoil_client::{ListedStream, StreamsPage};
use counterfoil_proof::Kind;
use serde::Serialize;

/// Streams of one page; the client's limit.
const PAGE_STREAMS_MAX: u64 = 1000;

/// Streams in the order of their names' bytes, and how far the catalog they come from got.
#[derive(Serialize)]
pub(crate) struct Listed {
    streams: Vec<Stream>,
    catalog: Catalog,
    left_out: u64,
}

/// How much of how much the catalog knew when it knew least.
#[derive(Serialize)]
struct Catalog {
    taken_in: u64,
    size: u64,
}

#[derive(Serialize)]
struct Stream {
    stream: String,
    receipts: u64,
    first: u64,
    last: u64,
    first_time: String,
    last_time: String,
    kinds: Vec<String>,
    more_kinds: bool,
    closed: bool,
}

impl From<ListedStream> for Stream {
    fn from(listed: ListedStream) -> Self {
        Self {
            stream: listed.stream.to_string(),
            receipts: listed.receipts,
            first: listed.first.0,
            last: listed.last.0,
            first_time: time_text(listed.first_time),
            last_time: time_text(listed.last_time),
            kinds: listed.kinds.iter().map(Kind::to_string).collect(),
            more_kinds: listed.more_kinds,
            closed: listed.closed,
        }
    }
}

pub(crate) async fn run(args: StreamsArgs, output: &Output) -> Result<Listed, Failure> {
    let session = Session::open(&args.server).await?;
    let mut listed = Listed { streams: Vec::new(), catalog: Catalog { taken_in: u64::MAX, size: 0 }, left_out: 0 };
    let mut after = None;
    loop {
        let left = args.limit.map_or(u64::MAX, |limit| limit - listed.streams.len() as u64);
        let page_size = u32::try_from(left.min(PAGE_STREAMS_MAX)).expect("at most 1000");
        let page = session.client().streams(&args.prefix, page_size, after.as_ref()).await?;
        after = listed.take(page);
        if after.is_none() || args.limit.is_some_and(|limit| listed.streams.len() as u64 >= limit) {
            break;
        }
    }
    listed.remark(output);
    Ok(listed)
}

impl Listed {
    fn take(&mut self, page: StreamsPage) -> Option<counterfoil_client::NextStreams> {
        let StreamsPage { streams, next, taken_in, size, left_out } = page;
        self.streams.extend(streams.into_iter().map(Stream::from));
        if taken_in.0 < self.catalog.taken_in {
            self.catalog = Catalog { taken_in: taken_in.0, size: size.0 };
        }
        self.left_out += left_out;
        next
    }

    fn remark(&self, output: &Output) {
        let Catalog { taken_in, size } = self.catalog;
        if taken_in < size {
            output.remark(&format!(
                "the catalog knows {taken_in} of {size} receipts: streams may be missing or shown with fewer receipts"
            ));
        }
        if self.left_out > 0 {
            output.remark(&format!(
                "{} streams are left out because the ledger cannot be read where they begin or end; run counterfoil-verify \
                 on its directory",
                self.left_out
            ));
        }
    }
}

impl Outcome for Listed {
    fn tell(&self, page: &mut Page) {
        let rows: Vec<[String; 6]> = self.streams.iter().map(row).collect();
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for row in &rows {
            let [stream, receipts, indices, last_time, state, kinds] = row;
            let [a, b, c, d, e, _] = widths;
            page.line(format!("{stream:a$}  {receipts:>b$}  {indices:c$}  {last_time:d$}  {state:e$}  {kinds}"));
        }
    }
}

fn row(stream: &Stream) -> [String; 6] {
    let more = if stream.more_kinds { " …" } else { "" };
    [
        clean(&stream.stream).into_owned(),
        stream.receipts.to_string(),
        format!("{}-{}", stream.first, stream.last),
        stream.last_time.clone(),
        if stream.closed { "closed" } else { "open" }.to_owned(),
        format!("{}{more}", stream.kinds.join(" ")),
    ]
}
