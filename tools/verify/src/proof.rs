//! `counterfoil-verify proof FILE --receipt FILE`

use crate::cli::ProofArgs;
use crate::output::{Outcome, Problem, row};
use crate::trust::read;
use counterfoil_audit::{ProofFailure, ProofReport, RECEIPT_JSON_LEN_MAX, verify_inclusion};
use counterfoil_proof::{PROOF_FILE_LEN_MAX, VerifiedCheckpoint};
use serde_json::json;

pub(crate) fn run(args: &ProofArgs) -> Result<Outcome, Problem> {
    let trust = args.common.trust()?;
    let proof = read(&args.file, PROOF_FILE_LEN_MAX)?;
    let receipt = read(&args.receipt, RECEIPT_JSON_LEN_MAX)?;
    let report = verify_inclusion(&proof, &receipt, &trust).map_err(problem)?;
    let text = if args.common.json { document(&report) } else { reading(&report) };
    Ok(Outcome { text, verified: true })
}

/// A proof that does not hold is an answer; a check that cannot be made is none.
pub(crate) fn problem(failure: ProofFailure) -> Problem {
    match failure {
        ProofFailure::Incomplete(error) => error.into(),
        failure => Problem::failed(
            failure.to_string(),
            "ask for receipt and proof again; if it still fails, keep both: they show that something was changed",
        ),
    }
}

pub(crate) fn witnesses(checkpoint: &VerifiedCheckpoint) -> Vec<&str> {
    checkpoint.witnesses().iter().map(|name| name.as_str()).collect()
}

fn document(report: &ProofReport) -> String {
    let json = json!({
        "verified": true,
        "index": report.index.0,
        "leaf_hash": report.leaf.to_string(),
        "size": report.checkpoint.checkpoint().size.0,
        "payload_checked": report.payload_checked,
        "checkpoint": report.checkpoint.signed().to_string(),
        "witnesses": witnesses(&report.checkpoint),
    });
    format!("{json:#}\n")
}

fn reading(report: &ProofReport) -> String {
    let checkpoint = report.checkpoint.checkpoint();
    let mut out =
        format!("VERIFIED receipt {} is in {}\n", report.index, crate::output::safe(checkpoint.origin.as_str()));
    row(&mut out, "leaf hash", &report.leaf.to_string());
    row(&mut out, "checkpoint", &format!("size {}, root {}, signature valid", checkpoint.size, checkpoint.root));
    let payload = match report.payload_checked {
        true => "it is the one committed to",
        false => "not shown (erased or left out), so it was not checked",
    };
    row(&mut out, "payload", payload);
    out
}
