//! `counterfoil-verify consistency FILE`

use crate::cli::ConsistencyArgs;
use crate::output::{Outcome, Problem, row, safe};
use crate::proof::{problem, witnesses};
use crate::trust::read;
use counterfoil_audit::{ConsistencyReport, verify_consistency};
use counterfoil_proof::PROOF_FILE_LEN_MAX;
use serde_json::json;

pub(crate) fn run(args: &ConsistencyArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let proof = read(&args.file, PROOF_FILE_LEN_MAX)?;
    let report = verify_consistency(&proof, &trust).map_err(problem)?;
    let seen = !trust.seen.is_empty();
    let text = if args.common.json { document(&report, seen) } else { reading(&report, seen) };
    Ok(Outcome { text, verified: true })
}

fn document(report: &ConsistencyReport, seen: bool) -> String {
    let json = json!({
        "verified": true,
        "old": report.old.0,
        "old_root": report.old_root.to_string(),
        "size": report.checkpoint.checkpoint().size.0,
        "compared_with_seen": seen,
        "checkpoint": report.checkpoint.signed().to_string(),
        "witnesses": witnesses(&report.checkpoint),
    });
    format!("{json:#}\n")
}

fn reading(report: &ConsistencyReport, seen: bool) -> String {
    let checkpoint = report.checkpoint.checkpoint();
    let (old, new) = (report.old, checkpoint.size);
    let mut out =
        format!("VERIFIED the first {old} of {new} receipts of {} are unchanged\n", safe(checkpoint.origin.as_str()));
    row(&mut out, "old root", &report.old_root.to_string());
    row(&mut out, "checkpoint", &format!("size {new}, root {}, signature valid", checkpoint.root));
    let compared = match seen {
        true => "the roots are those of the checkpoints seen earlier",
        false => "compare the old root with a checkpoint you kept, or give it with --seen",
    };
    row(&mut out, "seen", compared);
    out
}
