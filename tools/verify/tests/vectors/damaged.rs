//! docs/vectors/damaged.json: what happens to a copy of the golden ledger, and what the verifier says about it.

mod cases;
mod change;

use crate::golden::{Files, report, stored, write_folder};
use crate::store::check;
use cases::{Case, cases};
use counterfoil_audit::{Finding, Report, Severity};
use counterfoil_proof::{LeafHash, SignedCheckpoint, TrustPolicy, VerifierKey};
use serde_json::{Value, json};

/// Where a finding lies and what it is. Its words are not part of the format.
fn finding(finding: &Finding) -> Value {
    let mut shown = json!({ "code": finding.code });
    if let Some(file) = &finding.segment {
        shown["file"] = json!(file);
    }
    if let Some(index) = finding.index {
        shown["index"] = json!(index.0);
        shown["count"] = json!(finding.count.unwrap_or(1));
    }
    shown
}

fn outcome(report: &Report) -> Value {
    let of = |severity| report.findings.iter().filter(move |one| one.severity == severity).map(finding);
    json!({
        "verified": report.verified(),
        "size": report.size.0,
        "verdicts": report.verdicts,
        "failures": of(Severity::Failure).collect::<Vec<_>>(),
        "notes": of(Severity::Note).collect::<Vec<_>>(),
        "tail_receipts": report.tail.receipts,
    })
}

/// Judges one damaged copy.
fn judge(case: &Case, golden: &Files) -> Report {
    let mut files = golden.clone();
    case.changes.iter().for_each(|change| change.apply(&mut files));
    assert!(files != *golden || case.asked.is_object(), "{}: nothing changes", case.name);
    let copy = tempfile::tempdir().unwrap();
    write_folder(copy.path(), &files);
    report(copy.path(), |trust| {
        if let Some(vkey) = case.asked["vkey"].as_str() {
            let policy = TrustPolicy::single(VerifierKey::parse(vkey).unwrap()).unwrap();
            trust.anchor = counterfoil_audit::Anchor::Policy(policy);
        }
        if let Some(id) = case.asked["ledger_id"].as_str() {
            trust.genesis = Some(LeafHash::from_hex(id).unwrap());
        }
        if let Some(note) = case.asked["seen"].as_str() {
            trust.seen = vec![SignedCheckpoint::parse(note.as_bytes()).unwrap()];
        }
    })
}

#[test]
fn damage_is_judged_as_in_the_vectors() {
    let golden = stored();
    let shown = cases(&golden).into_iter().map(|case| {
        let report = judge(&case, &golden);
        assert_eq!(report.verified(), case.harmless, "{}: {}", case.name, report.to_json());
        assert_eq!(report.verdicts.total(), report.size.0, "{}: every receipt has one verdict", case.name);
        let changes: Vec<Value> = case.changes.iter().map(change::Change::shown).collect();
        let mut shown = json!({ "name": case.name, "changes": changes, "outcome": outcome(&report) });
        if case.asked.is_object() {
            shown["asked"] = case.asked;
        }
        shown
    });
    check("damaged.json", &json!({ "cases": shown.collect::<Vec<_>>() }));
}
