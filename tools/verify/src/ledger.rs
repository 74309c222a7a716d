//! `counterfoil-verify ledger DIR`

use crate::cli::LedgerArgs;
use crate::output::{Outcome, Problem, counted, item, row, safe};
use crate::trust;
use counterfoil_audit::{
    Directory, Finding, Options, Report, Severity, TrustReport, Verdicts, time_text, verify_ledger,
};
use counterfoil_proof::TreeSize;
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};

/// Findings printed for people; scripts get all of them.
const FINDINGS_SHOWN_MAX: usize = 20;

pub(crate) fn run(args: &LedgerArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let options = Options {
        all_signatures: args.all_signatures,
        as_of: trust::as_of(args.as_of.as_deref())?,
        progress: progress(),
        threads: args.threads,
    };
    let report = verify_ledger(&Directory::new(&args.dir), &trust, &options)?;
    let text = if args.common.json { report.to_json() + "\n" } else { reading(&report) };
    Ok(Outcome { text, verified: report.verified() })
}

/// Tells a person at the terminal how far it is.
pub(crate) fn progress() -> Option<fn(TreeSize)> {
    fn tell(size: TreeSize) {
        // Nobody reads it: nothing to do about that.
        let _ = writeln!(io::stderr().lock(), "{size} receipts read");
    }
    io::stderr().is_terminal().then_some(tell)
}

/// The report for people.
fn reading(report: &Report) -> String {
    let mut out = headline(report);
    row(&mut out, "verdicts", &verdicts(&report.verdicts));
    row(&mut out, "ledger id", &report.ledger_id.map_or_else(|| "could not be read".to_owned(), |id| id.to_string()));
    let head = report.checkpoint.as_ref().map(|note| note.unverified());
    let head = head.map_or("none with a valid signature".to_owned(), |head| {
        format!("size {}, root {}, signature valid", head.size, head.root)
    });
    row(&mut out, "checkpoint", &head);
    row(&mut out, "checked", &checked(report));
    row(&mut out, "trust", &trusted(&report.trust));
    if let Some(as_of) = report.as_of {
        row(&mut out, "as of", &time_text(as_of));
    }
    if report.tail.receipts > 0 || report.tail.damaged_bytes > 0 {
        row(&mut out, "tail", &tail(report));
    }
    findings(&mut out, report.findings.iter().chain(&report.tail.findings));
    if !report.remarks.is_empty() {
        out.push_str("Bear in mind\n");
    }
    for remark in &report.remarks {
        item(&mut out, remark, &[]);
    }
    out
}

fn headline(report: &Report) -> String {
    let receipts = counted(report.size.0, "receipt");
    let origin = report.origin.as_ref().map_or("an unnamed ledger", |origin| origin.as_str());
    let failures = report.failures().count() as u64;
    match report.failures().next() {
        None => format!("VERIFIED {receipts} of {}\n", safe(origin)),
        Some(first) => {
            let mut out = format!("FAILED {} in {receipts} of {}\n", counted(failures, "finding"), safe(origin));
            row(&mut out, "first", &first.message);
            if let Some(place) = place(first) {
                row(&mut out, "where", &place);
            }
            out
        }
    }
}

fn checked(report: &Report) -> String {
    let signatures = &report.signatures;
    format!(
        "{}, {}, {}; signatures of {} of {}",
        counted(report.segments, "segment"),
        counted(report.streams, "stream"),
        counted(report.control_receipts, "control receipt"),
        signatures.valid,
        counted(signatures.frames, "frame"),
    )
}

/// How many receipts have which verdict.
pub(crate) fn verdicts(verdicts: &Verdicts) -> String {
    format!(
        "{} present, {} erased, {} unlawful, {} missing, {} corrupt",
        verdicts.present, verdicts.erased, verdicts.unlawful, verdicts.missing, verdicts.corrupt
    )
}

/// Whose signatures counted, and what the ledger was compared with.
pub(crate) fn trusted(trust: &TrustReport) -> String {
    let keys: Vec<String> = trust.keys.iter().map(ToString::to_string).collect();
    let mut text = match trust.anchor {
        "self-asserted" => format!("only the ledger's own word for its key {}", keys.join(", ")),
        _ => keys.join(", "),
    };
    if trust.genesis_pinned {
        text.push_str("\nthe ledger id is the one given");
    }
    for size in &trust.seen {
        write!(text, "\nconsistent with the checkpoint of size {size} seen earlier").expect("strings take everything");
    }
    text
}

fn tail(report: &Report) -> String {
    let receipts = counted(report.tail.receipts, "receipt");
    let damaged = counted(report.tail.damaged_bytes, "damaged byte");
    format!(
        "{receipts} and {damaged} above the durable mark; what was acknowledged of them counts once the ledger is opened"
    )
}

/// Lists findings, failures first.
pub(crate) fn findings<'a>(out: &mut String, all: impl Iterator<Item = &'a Finding> + Clone) {
    for (title, severity) in [("Findings\n", Severity::Failure), ("Notes\n", Severity::Note)] {
        let of_this: Vec<&Finding> = all.clone().filter(|finding| finding.severity == severity).collect();
        if !of_this.is_empty() {
            out.push_str(title);
        }
        for finding in of_this.iter().take(FINDINGS_SHOWN_MAX) {
            let place = place(finding);
            let known = [("where", &place), ("expected", &finding.expected), ("found", &finding.found)];
            let mut details: Vec<(&str, &str)> =
                known.iter().filter_map(|(label, value)| Some((*label, value.as_deref()?))).collect();
            details.push(("next", &finding.next));
            item(out, &finding.message, &details);
        }
        if of_this.len() > FINDINGS_SHOWN_MAX {
            item(out, &format!("{} more; --json lists them", of_this.len() - FINDINGS_SHOWN_MAX), &[]);
        }
    }
}

fn place(finding: &Finding) -> Option<String> {
    if let (Some(entry), Some(offset)) = (&finding.entry, finding.offset) {
        return Some(format!("{entry}, read up to byte {offset} of the bundle"));
    }
    let segment = finding.segment.as_ref()?;
    Some(match finding.offset {
        Some(offset) => format!("segments/{segment}, byte {offset}"),
        None => format!("segments/{segment}"),
    })
}
