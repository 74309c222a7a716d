//! Bundles from the command line, to a reader who has nothing but the file and a key.

use crate::support::{Desk, keys};
use counterfoil_audit::{Anchor, BundleReport, Completeness, Options, Trust, verify_bundle};
use counterfoil_proof::{SignedCheckpoint, TrustPolicy, VerifierKey};

fn trust(desk: &Desk) -> Trust {
    let key = std::fs::read_to_string(desk.path("ledger/ledger.vkey")).unwrap();
    let key = VerifierKey::parse(key.trim_end()).unwrap();
    Trust::new(Anchor::Policy(TrustPolicy::single(key).unwrap()))
}

fn verify(desk: &Desk, file: &str, trust: &Trust) -> BundleReport {
    let bundle = std::fs::read(desk.path(file)).unwrap();
    verify_bundle(bundle.as_slice(), trust, &Options::default()).unwrap()
}

#[test]
fn a_stream_is_exported_to_one_file_that_verifies() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("incident/1", "1");
    let note = desk.write("note", server.run(&["checkpoint"]).expect_code(0).stdout);
    server.append("incident/2", "2");
    server.append("incident/1", "3");
    let out = desk.text("1.tar");
    let made = server.json(&["export", "--stream", "incident/1", "-o", &out, "--seen", &note]);
    assert_eq!(keys(&made), ["bytes", "checkpoint", "complete", "file", "receipts", "statement"]);
    assert_eq!((&made["receipts"], &made["statement"], &made["complete"]), (&2.into(), &4.into(), &true.into()));
    assert_eq!(made["bytes"], std::fs::metadata(&out).unwrap().len());

    let seen = SignedCheckpoint::parse(&std::fs::read(&note).unwrap()).unwrap();
    let report = verify(&desk, "1.tar", &Trust { seen: vec![seen.clone()], ..trust(&desk) });
    assert_eq!(report.findings, []);
    assert_eq!(report.trust.seen, [seen.unverified().size]);
    assert_eq!((report.complete, report.verdicts.present), (Some(Completeness::Stated), 2));
    assert_eq!(made["checkpoint"], report.checkpoint.unwrap().to_string());
    let left: Vec<_> = std::fs::read_dir(desk.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with('.')), "{left:?}");
}

#[test]
fn a_range_is_exported_without_its_end() {
    let desk = Desk::new();
    let server = desk.serve();
    for payload in ["1", "2", "3"] {
        server.append("s", payload);
    }
    let text = server.run(&["export", "--range", "1..3", "-o", &desk.text("range.tar")]).expect_code(0);
    assert!(text.text().contains("receipts   2\n"), "{}", text.text());
    let report = verify(&desk, "range.tar", &trust(&desk));
    assert_eq!((report.findings, report.verdicts.present), (Vec::new(), 2));
    assert_eq!(report.complete, Some(Completeness::Proven));
}

#[test]
fn a_file_is_overwritten_only_by_force() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    let out = desk.write("s.tar", "mine");
    let failure = server.error(3, &["export", "--stream", "s", "-o", &out]);
    assert_eq!(failure.code, "EXISTS");
    assert!(failure.next.contains("--force"), "{}", failure.next);
    assert_eq!(std::fs::read(&out).unwrap(), b"mine");
    assert_eq!(server.size(), 2, "nothing was stated for it");
    server.json(&["export", "--stream", "s", "-o", &out, "--force"]);
    assert!(verify(&desk, "s.tar", &trust(&desk)).verified());
}

#[test]
fn a_failed_export_leaves_no_file() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    let out = desk.text("out.tar");
    assert_eq!(server.error(3, &["export", "--stream", "none", "-o", &out]).code, "UNKNOWN_STREAM");
    assert_eq!(server.error(3, &["export", "--range", "0..9", "-o", &out]).code, "UNKNOWN_INDEX");
    assert_eq!(server.run(&["export", "--range", "2..2", "-o", &out]).code, 2);
    assert_eq!(server.run(&["export", "-o", &out]).code, 2);
    server.append("s", "\"needle\"");
    desk.flip_bit_of(b"needle");
    assert_eq!(server.error(1, &["export", "--stream", "s", "-o", &out]).code, "CORRUPT");
    assert!(!desk.path("out.tar").exists());
}

#[test]
fn a_ledger_that_forked_from_a_note_is_found_before_anything_is_stated() {
    let desk = Desk::new();
    desk.copy_ledger("backup");
    let server = desk.serve();
    server.append("s", "1");
    let note = desk.write("note", server.run(&["checkpoint"]).expect_code(0).stdout);
    server.stop();
    desk.swap_ledger("backup", "first");
    let server = desk.serve();
    let state = desk.text("other-state");
    server.json_with(&["append", "-", "--stream", "s", "--kind", "test.note/1", "--state", &state], b"2");
    let out = desk.text("s.tar");
    let failure = server.error(1, &["export", "--stream", "s", "-o", &out, "--seen", &note, "--state", &state]);
    assert_eq!(failure.code, "LEDGER_FORKED");
    assert_eq!(server.size(), 2);
}

#[test]
fn a_ledger_that_cannot_append_says_that_completeness_is_not_stated() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    server.stop();
    let server = desk.serve_with(&["--read-only"]);
    let answer = server.run(&["--json", "export", "--stream", "s", "-o", &desk.text("s.tar")]).expect_code(0);
    let made = answer.json();
    assert_eq!((&made["statement"], &made["complete"]), (&serde_json::Value::Null, &false.into()));
    assert!(answer.stderr.contains("nobody states"), "{}", answer.stderr);
    assert_eq!(verify(&desk, "s.tar", &trust(&desk)).complete, Some(Completeness::NotStated));
}
