//! `counterfoil-verify show INDEX DIR`

use crate::cli::ShowArgs;
use crate::ledger::progress;
use crate::output::{Outcome, Problem, row, safe};
use crate::trust;
use counterfoil_audit::{Directory, Options, ReceiptView, Report, ShownReceipt, Verdict, show_receipt, time_text};
use counterfoil_proof::{LeafIndex, Media};

pub(crate) fn run(args: &ShowArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let as_of = trust::as_of(args.as_of.as_deref())?;
    let options = Options { as_of, progress: progress(), ..Options::default() };
    let index = LeafIndex(args.index);
    let (shown, report) = show_receipt(&Directory::new(&args.dir), &trust, &options, index)?;
    let Some(shown) = shown else {
        let first = report.failures().next().map_or("", |finding| finding.message.as_str());
        let message = format!("receipt {index} cannot be read; the first finding: {first}");
        return Err(Problem::failed(message, "run `counterfoil-verify ledger` on the directory for the whole report"));
    };
    let verified = report.verified() && shown.verdict == Verdict::Present;
    let text = if args.common.json { view(&shown).to_json() + "\n" } else { reading(&shown, &report, verified) };
    Ok(Outcome { text, verified })
}

fn view(shown: &ShownReceipt) -> ReceiptView<'_> {
    ReceiptView {
        envelope: &shown.envelope,
        class: &shown.class,
        content: shown.content.as_ref().map(|(salt, payload)| (salt, payload.as_slice())),
        verdict: Some(shown.verdict.name()),
    }
}

fn reading(shown: &ShownReceipt, report: &Report, verified: bool) -> String {
    let envelope = &shown.envelope;
    let word = if verified { "VERIFIED" } else { "FAILED" };
    let origin = report.origin.as_ref().map_or("an unnamed ledger", |origin| origin.as_str());
    let mut out = format!("{word} receipt {} of {} is {}\n", envelope.index, safe(origin), shown.verdict.name());
    if let Some(first) = report.failures().next() {
        row(&mut out, "first", &first.message);
    }
    row(&mut out, "stream", &format!("{} {}", envelope.stream, envelope.stream_seq));
    row(&mut out, "kind", envelope.kind.as_str());
    row(&mut out, "time", &time_text(envelope.time));
    row(&mut out, "writer", envelope.writer.as_str());
    row(&mut out, "class", &shown.class);
    row(&mut out, "leaf hash", &shown.leaf.to_string());
    row(&mut out, "prev", &envelope.prev.to_string());
    for link in &envelope.links {
        row(&mut out, "link", &format!("{} {}", link.index, link.leaf));
    }
    let payload = match (&shown.content, envelope.media) {
        (None, _) => "not there".to_owned(),
        (Some((_, bytes)), Media::Json | Media::Text) => String::from_utf8_lossy(bytes).into_owned(),
        (Some((_, bytes)), media) => format!("{} bytes of {}; --json prints them", bytes.len(), media.name()),
    };
    row(&mut out, "payload", &payload);
    out
}
