//! `counterfoil-verify show INDEX DIR-OR-BUNDLE`

use crate::bundle;
use crate::cli::ShowArgs;
use crate::ledger::progress;
use crate::output::{Outcome, Problem, item, row, safe};
use crate::trust;
use counterfoil_audit::{
    BundleReport, Directory, Finding, Options, ReceiptView, Shown, ShownReceipt, Verdict, show_in_bundle, show_receipt,
    time_text,
};
use counterfoil_proof::{LeafIndex, Media, Origin};

const NEXT: &str = "run `counterfoil-verify ledger` on the directory, or `bundle` on the file, for the whole report";

pub(crate) fn run(args: &ShowArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let as_of = trust::as_of(args.as_of.as_deref())?;
    let options = Options { as_of, ..Options::default() };
    let index = LeafIndex(args.index);
    let (receipt, context) = if args.path.is_file() {
        let options = Options { progress: progress(), ..options };
        Context::of_bundle(show_in_bundle(bundle::reader(&args.path)?, &trust, &options, index)?)
    } else {
        Context::of_ledger(show_receipt(&Directory::new(&args.path), &trust, &options, index)?)
    };
    let first = context.first.as_ref().map_or(String::new(), |first| format!("; the first finding: {first}"));
    let Some(receipt) = receipt else {
        return Err(Problem::failed(format!("receipt {index} cannot be read{first}"), NEXT));
    };
    if receipt.checkpoint.is_none() {
        let message = format!("receipt {index} cannot be shown to be in a signed checkpoint{first}");
        return Err(Problem::failed(message, NEXT));
    }
    let text = if args.common.json { view(&receipt).to_json() + "\n" } else { reading(&receipt, &context) };
    Ok(Outcome { text, verified: context.verified })
}

/// What is said of a receipt by where it was found.
struct Context {
    verified: bool,
    origin: Option<Origin>,
    /// What was found first, and what of it fails the receipt.
    first: Option<String>,
    failure: Option<String>,
    place: (&'static str, String),
    remarks: Vec<String>,
}

impl Context {
    fn of_ledger(shown: Shown) -> (Option<ShownReceipt>, Self) {
        let failure = shown.failures().next().map(message);
        let context = Self {
            verified: shown.verified(),
            first: shown.findings.first().map(message),
            failure,
            place: ("segment", shown.segment),
            remarks: shown.remarks.into_iter().map(str::to_owned).collect(),
            origin: shown.origin,
        };
        (shown.receipt, context)
    }

    fn of_bundle((receipt, report): (Option<ShownReceipt>, BundleReport)) -> (Option<ShownReceipt>, Self) {
        let present = receipt.as_ref().is_some_and(|receipt| receipt.verdict == Verdict::Present);
        let failure = report.failures().next().map(message);
        let context = Self {
            verified: report.verified() && present,
            first: report.findings.first().map(message),
            failure,
            place: ("bundle", report.scope.map_or_else(|| "unknown scope".to_owned(), |scope| scope.to_string())),
            remarks: report.remarks,
            origin: report.origin,
        };
        (receipt, context)
    }
}

fn message(finding: &Finding) -> String {
    finding.message.clone()
}

fn view(shown: &ShownReceipt) -> ReceiptView<'_> {
    ReceiptView {
        envelope: &shown.envelope,
        class: &shown.class,
        content: shown.content.as_ref().map(|(salt, payload)| (salt, payload.as_slice())),
        verdict: Some(shown.verdict.name()),
    }
}

fn reading(shown: &ShownReceipt, context: &Context) -> String {
    let envelope = &shown.envelope;
    let word = if context.verified { "VERIFIED" } else { "FAILED" };
    let origin = context.origin.as_ref().map_or("an unnamed ledger", |origin| origin.as_str());
    let mut out = format!("{word} receipt {} of {} is {}\n", envelope.index, safe(origin), shown.verdict.name());
    if let Some(first) = &context.failure {
        row(&mut out, "first", first);
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
    let (label, place) = &context.place;
    row(&mut out, label, place);
    out.push_str("Bear in mind\n");
    for remark in &context.remarks {
        item(&mut out, remark, &[]);
    }
    out
}
