//! `counterfoil-verify bundle FILE`

use crate::cli::BundleArgs;
use crate::ledger::{findings, progress, trusted, verdicts};
use crate::output::{Outcome, Problem, counted, item, row, safe};
use crate::trust;
use counterfoil_audit::{BundleReport, Completeness, Options, time_text, verify_bundle};
use std::io::BufReader;

/// Bytes read at once.
const BUFFER_LEN: usize = 1 << 20;

pub(crate) fn run(args: &BundleArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let options = Options { as_of: trust::as_of(args.as_of.as_deref())?, progress: progress(), ..Options::default() };
    let report = verify_bundle(reader(&args.file)?, &trust, &options)?;
    let text = if args.common.json { report.to_json() + "\n" } else { reading(&report) };
    Ok(Outcome { text, verified: report.verified() })
}

/// A bundle to be read once.
pub(crate) fn reader(path: &std::path::Path) -> Result<impl std::io::Read, Problem> {
    let file = trust::open(path).map_err(|error| Problem::unreadable(path, &error))?;
    Ok(BufReader::with_capacity(BUFFER_LEN, file))
}

/// The report for people.
fn reading(report: &BundleReport) -> String {
    let mut out = headline(report);
    row(&mut out, "complete", &complete(report));
    row(&mut out, "verdicts", &verdicts(&report.verdicts));
    row(&mut out, "ledger id", &report.ledger_id.map_or_else(|| "could not be read".to_owned(), |id| id.to_string()));
    let head = report.checkpoint.as_ref().map(|note| note.unverified());
    let head = head.map_or("none with a valid signature".to_owned(), |head| {
        format!("size {}, root {}, signature valid", head.size, head.root)
    });
    row(&mut out, "checkpoint", &head);
    let streams = counted(report.streams, "stream");
    row(&mut out, "checked", &format!("{streams}, {}", counted(report.control_receipts, "control receipt")));
    row(&mut out, "trust", &trusted(&report.trust));
    if let Some(as_of) = report.as_of {
        row(&mut out, "as of", &time_text(as_of));
    }
    findings(&mut out, report.findings.iter());
    out.push_str("Bear in mind\n");
    for remark in &report.remarks {
        item(&mut out, remark, &[]);
    }
    out
}

fn headline(report: &BundleReport) -> String {
    let origin = report.origin.as_ref().map_or("an unnamed ledger", |origin| origin.as_str());
    let receipts = counted(report.verdicts.total(), "receipt");
    let scope = report.scope.as_ref().map_or_else(|| "unknown scope".to_owned(), ToString::to_string);
    match report.failures().next() {
        None => format!("VERIFIED {receipts} of {}: {}\n", safe(origin), safe(&scope)),
        Some(first) => {
            let failures = counted(report.failures().count() as u64, "finding");
            let mut out = format!("FAILED {failures} in a bundle of {}: {}\n", safe(origin), safe(&scope));
            row(&mut out, "first", &first.message);
            out
        }
    }
}

/// What is complete, and on whose word.
fn complete(report: &BundleReport) -> String {
    let size = report.size.map_or(0, |size| size.0);
    match (report.complete, report.statement) {
        (None, _) => "not shown: the bundle failed".to_owned(),
        (Some(Completeness::Proven), _) => "yes: every receipt of the range is there and proven".to_owned(),
        (Some(Completeness::Stated), statement) => {
            let keys: Vec<String> = report.trust.keys.iter().map(ToString::to_string).collect();
            let statement = statement.map_or(0, |index| index.0);
            format!(
                "as the operator stated at size {size}, in receipt {statement}\nunder a checkpoint of key {}",
                keys.join(", ")
            )
        }
        (Some(Completeness::NotStated), _) => {
            format!("NOT STATED: receipts at the end of the stream, up to size {size}, may have been left out")
        }
    }
}
