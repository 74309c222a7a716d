//! `counterfoil-verify show INDEX DIR`

use crate::cli::ShowArgs;
use crate::output::{Outcome, Problem, item, row, safe};
use crate::trust;
use counterfoil_audit::{Directory, Options, ReceiptView, Shown, ShownReceipt, show_receipt, time_text};
use counterfoil_proof::{LeafIndex, Media};

const NEXT: &str = "run `counterfoil-verify ledger` on the directory for the whole report";

pub(crate) fn run(args: &ShowArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let as_of = trust::as_of(args.as_of.as_deref())?;
    let options = Options { as_of, ..Options::default() };
    let index = LeafIndex(args.index);
    let answer = show_receipt(&Directory::new(&args.dir), &trust, &options, index)?;
    let first =
        answer.findings.first().map_or(String::new(), |finding| format!("; the first finding: {}", finding.message));
    let Some(receipt) = &answer.receipt else {
        return Err(Problem::failed(format!("receipt {index} cannot be read{first}"), NEXT));
    };
    if receipt.checkpoint.is_none() {
        let message = format!("receipt {index} cannot be shown to be in a signed checkpoint{first}");
        return Err(Problem::failed(message, NEXT));
    }
    let text = if args.common.json { view(receipt).to_json() + "\n" } else { reading(receipt, &answer) };
    Ok(Outcome { text, verified: answer.verified() })
}

fn view(shown: &ShownReceipt) -> ReceiptView<'_> {
    ReceiptView {
        envelope: &shown.envelope,
        class: &shown.class,
        content: shown.content.as_ref().map(|(salt, payload)| (salt, payload.as_slice())),
        verdict: Some(shown.verdict.name()),
    }
}

fn reading(shown: &ShownReceipt, answer: &Shown) -> String {
    let envelope = &shown.envelope;
    let word = if answer.verified() { "VERIFIED" } else { "FAILED" };
    let origin = answer.origin.as_ref().map_or("an unnamed ledger", |origin| origin.as_str());
    let mut out = format!("{word} receipt {} of {} is {}\n", envelope.index, safe(origin), shown.verdict.name());
    if let Some(first) = answer.failures().next() {
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
    if let Some(note) = &shown.checkpoint {
        let head = note.unverified();
        row(&mut out, "checkpoint", &format!("size {}, root {}, signature valid", head.size, head.root));
    }
    row(&mut out, "segment", &answer.segment);
    out.push_str("Bear in mind\n");
    for remark in &answer.remarks {
        item(&mut out, remark, &[]);
    }
    out
}
