//! docs/vectors/ledger/: the golden ledger of format version 1, which every later version must read, verify and continue.

mod build;
mod folder;

use crate::store::{check, path, write, writing};
use build::{build, key_pem};
use counterfoil_audit::{Anchor, Directory, Options, Report, Trust, verify_ledger};
use counterfoil_engine::{Environment, Ledger, Limits, Selection};
use counterfoil_proof::{LeafIndex, StreamSeq, TreeSize, TrustPolicy, VerifierKey};
pub(crate) use folder::{Files, read_folder, write_folder};
use serde_json::{Value, json};
use std::path::Path;

/// The golden ledger's folder in docs/vectors/.
const LEDGER: &str = "ledger";

/// The golden ledger as it is stored.
pub(crate) fn stored() -> Files {
    read_folder(&path(LEDGER))
}

pub(crate) fn vkey() -> VerifierKey {
    let text = String::from_utf8(stored()["ledger.vkey"].clone()).unwrap();
    VerifierKey::parse(text.trim_end()).unwrap()
}

/// What the verifier says about a directory, every signature checked.
pub(crate) fn report(folder: &Path, trust: impl FnOnce(&mut Trust)) -> Report {
    let mut trusted = Trust::new(Anchor::Policy(TrustPolicy::single(vkey()).unwrap()));
    trust(&mut trusted);
    let options = Options { all_signatures: true, ..Options::default() };
    verify_ledger(&Directory::new(folder), &trusted, &options).unwrap()
}

/// Opens a copy of a ledger with a clock and randomness that repeat.
pub(crate) fn exporting(files: &Files, use_it: impl FnOnce(&Ledger)) {
    let copy = tempfile::tempdir().unwrap();
    write_folder(copy.path(), files);
    write(&copy.path().join("keys/checkpoint.pem"), key_pem().as_bytes());
    let ledger = Ledger::open(build::environment_of(copy.path()), Limits::default()).unwrap();
    use_it(&ledger);
    ledger.close().unwrap();
}

fn open(folder: &Path) -> Ledger {
    Ledger::open(Environment::real(folder), Limits::default()).unwrap()
}

/// All there is to say about the ledger: what a second verifier compares its own findings with.
fn expected(folder: &Path) -> Value {
    let report = report(folder, |_| ());
    assert!(report.verified(), "{}", report.to_json());
    let ledger = Ledger::open_read_only(Environment::real(folder), Limits::default()).unwrap();
    let receipts = (0..report.size.0).map(|index| {
        let receipt = ledger.get(LeafIndex(index)).unwrap();
        json!({
            "index": index,
            "leaf": receipt.leaf.to_string(),
            "stream": receipt.envelope.stream.as_str(),
            "stream_seq": receipt.envelope.stream_seq.0,
            "kind": receipt.envelope.kind.as_str(),
            "writer": receipt.envelope.writer.as_str(),
            "media": receipt.envelope.media.name(),
            "closes_stream": receipt.envelope.closes_stream,
            "links": receipt.envelope.links.iter().map(|link| link.index.0).collect::<Vec<_>>(),
            "has_subject": receipt.envelope.subject.is_some(),
            "payload_bytes": receipt.content.map(|content| content.payload.len()),
        })
    });
    json!({
        "ledger_id": report.ledger_id.unwrap().to_string(),
        "origin": report.origin.as_ref().unwrap().as_str(),
        "vkey": vkey().to_string(),
        "size": report.size.0,
        "verdicts": report.verdicts,
        "checkpoint": report.checkpoint.as_ref().unwrap().to_string(),
        "streams": report.streams,
        "control_receipts": report.control_receipts,
        "segments": report.segments,
        "notes": report.findings.iter().map(|finding| json!(finding.code)).collect::<Vec<_>>(),
        "receipts": receipts.collect::<Vec<_>>(),
    })
}

#[test]
fn the_golden_ledger_is_the_one_that_the_engine_builds() {
    let built = build();
    // Golden: a later engine may write the same receipts in another way, and this ledger stays. So it is never replaced.
    if writing() && !path(LEDGER).exists() {
        built.iter().for_each(|(name, bytes)| write(&path(LEDGER).join(name), bytes));
    }
    let stored = stored();
    let names = |files: &Files| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&stored), names(&built));
    for (name, bytes) in &built {
        assert!(stored[name] == *bytes, "{name} is not what the engine builds");
    }
}

#[test]
fn the_golden_ledger_verifies_and_is_what_is_expected_of_it() {
    check("expected.json", &expected(&path(LEDGER)));
}

#[test]
fn a_copy_of_the_golden_ledger_is_opened_read_continued_and_verified() {
    let copy = tempfile::tempdir().unwrap();
    write_folder(copy.path(), &stored());
    write(&copy.path().join("keys/checkpoint.pem"), key_pem().as_bytes());
    let before = report(copy.path(), |_| ());
    let ledger = open(copy.path());
    let all = ledger.read(&Selection::Ledger { from: LeafIndex(0) }, None, 1000, usize::MAX).unwrap();
    assert_eq!(all.receipts.len() as u64, before.size.0);
    for receipt in &all.receipts {
        let stream = Selection::Stream { stream: receipt.envelope.stream.clone(), from: receipt.envelope.stream_seq };
        assert_eq!(ledger.read(&stream, None, 1, usize::MAX).unwrap().receipts[0].leaf, receipt.leaf);
        let policy = TrustPolicy::single(vkey()).unwrap();
        ledger.prove_inclusion(receipt.envelope.index).unwrap().verify(&receipt.leaf, &policy).unwrap();
    }
    let appended = ledger.append(build::one_more()).unwrap();
    assert_eq!(appended.receipts[0].index.size_including(), TreeSize(before.size.0 + 1));
    assert_eq!(appended.receipts[0].stream_seq, StreamSeq(build::one_more_follows()));
    ledger.seal().unwrap();
    ledger.close().unwrap();
    let after = report(copy.path(), |trust| trust.seen = vec![before.checkpoint.unwrap()]);
    assert!(after.verified(), "{}", after.to_json());
    assert_eq!(after.verdicts.present, before.verdicts.present + 1);
}
