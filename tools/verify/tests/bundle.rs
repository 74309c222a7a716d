//! Bundles on the auditor's command line: exit codes and JSON shapes.

#![expect(clippy::unwrap_used, reason = "a test stops where its fixture breaks")]

use bytes::Bytes;
use counterfoil_engine::{Batch, Environment, ExportScope, Ledger, Limits, NewLedger, NewReceipt, OpenError, create};
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Kind, LeafIndex, Media, Origin, Principal, StreamName, TreeSize,
};
use serde_json::{Value, json};
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;
use tempfile::TempDir;

/// A folder with the bundles `stated.tar`, `silent.tar` and `range.tar` of one ledger, and the notes `two.checkpoint`,
/// which `stated.tar` extends, and `three.checkpoint`, which no bundle was asked for.
struct Fixture {
    dir: TempDir,
    key: String,
    id: String,
}

fn append(ledger: &Ledger, payload: &str) {
    let receipt = NewReceipt {
        stream: StreamName::new("incident/INC-42").unwrap(),
        kind: Kind::new("alert.received/1").unwrap(),
        class: ClassId::FOREVER,
        media: Media::Json,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    };
    let writer = Principal::new("local").unwrap();
    ledger.append(Batch { writer, id: None, receipts: vec![receipt], with_proofs: false }).unwrap();
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ledger")).unwrap();
        let environment = || Environment::real(&dir.path().join("ledger"));
        let new = NewLedger {
            origin: Origin::new("example.com/cli").unwrap(),
            commitment: CommitmentAlgorithm::HmacSha256,
            roots: Vec::new(),
            root_threshold: None,
            release_delay: Duration::from_secs(60),
        };
        let identity = create(&environment(), &new).unwrap();
        let (key, id) = (identity.checkpoint_key.to_string(), identity.ledger_id.to_string());
        let ledger = Ledger::open(environment(), Limits::default()).unwrap();
        append(&ledger, "{\"step\":1}");
        let two = ledger.checkpoint().to_string();
        append(&ledger, "{\"step\":2}");
        let three = ledger.checkpoint().to_string();
        append(&ledger, "{\"step\":3}");
        let stream = ExportScope::Stream(StreamName::new("incident/INC-42").unwrap());
        let stated = collect(&ledger, stream.clone(), &[TreeSize(2)]);
        let range = collect(&ledger, ExportScope::Range { from: LeafIndex(1), to: TreeSize(3) }, &[]);
        ledger.close().unwrap();
        let ledger = reopen(environment);
        let silent = collect(&ledger, stream, &[]);
        let fixture = Self { dir, key, id };
        fixture.write("stated.tar", &stated);
        fixture.write("silent.tar", &silent);
        fixture.write("range.tar", &range);
        fixture.write("two.checkpoint", two.as_bytes());
        fixture.write("three.checkpoint", three.as_bytes());
        fixture
    }

    #[expect(clippy::disallowed_methods, reason = "a test writes the files it reads")]
    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.dir.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.dir.path().join(name)).unwrap()
    }

    /// Runs in the fixture's directory, with its key.
    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(&[arguments, &["--key", &self.key]].concat())
    }

    fn run_with(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil-verify"));
        command.args(arguments).current_dir(self.dir.path()).output().unwrap()
    }
}

/// A process that another test is starting holds every open file for a moment, that of the lock among them.
fn reopen(environment: impl Fn() -> Environment) -> Ledger {
    loop {
        match Ledger::open_read_only(environment(), Limits::default()) {
            Err(OpenError::Locked) => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

fn collect(ledger: &Ledger, scope: ExportScope, seen: &[TreeSize]) -> Vec<u8> {
    ledger.export(scope, seen).unwrap().map(|piece| piece.unwrap()).collect::<Vec<_>>().concat()
}

#[track_caller]
fn expect(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn expect_json(output: Output, code: i32) -> Value {
    serde_json::from_str(&expect(output, code)).unwrap()
}

#[test]
fn a_stated_bundle_says_who_stated_what() {
    let fixture = Fixture::new();
    let text = expect(fixture.run(&["bundle", "stated.tar", "--genesis", &fixture.id, "--seen", "two.checkpoint"]), 0);
    assert!(text.starts_with("VERIFIED 3 receipts of example.com/cli: stream incident/INC-42\n"), "{text}");
    assert!(text.contains("as the operator stated at size 4, in receipt 4"), "{text}");
    assert!(text.contains(&fixture.key), "{text}");

    let report = expect_json(fixture.run(&["bundle", "stated.tar", "--seen", "two.checkpoint", "--json"]), 0);
    assert_eq!((&report["verified"], &report["complete"]), (&json!(true), &json!("stated")));
    assert_eq!(report["scope"], json!({"stream": "incident/INC-42"}));
    assert_eq!((&report["size"], &report["statement"]), (&json!(4), &json!(4)));
    let verdicts = json!({"present": 3, "erased": 0, "unlawful": 0, "missing": 0, "corrupt": 0});
    assert_eq!(report["verdicts"], verdicts);
    assert_eq!(report["findings"], json!([]));
    assert_eq!(report["trust"]["seen"], json!([2]));
    assert!(report["tail"].is_object());
    assert!(report["checkpoint"].as_str().unwrap().starts_with("example.com/cli\n5\n"));
}

#[test]
fn a_bundle_without_a_statement_says_so() {
    let fixture = Fixture::new();
    let text = expect(fixture.run(&["bundle", "silent.tar"]), 0);
    assert!(text.contains("NOT STATED"), "{text}");
    let report = expect_json(fixture.run_with(&["bundle", "silent.tar", "--self-asserted", "--json"]), 0);
    assert_eq!((&report["complete"], &report["statement"]), (&json!("not-stated"), &Value::Null));
    assert_eq!(report["trust"]["anchor"], "self-asserted");
}

#[test]
fn a_range_is_complete_by_itself() {
    let fixture = Fixture::new();
    let report = expect_json(fixture.run(&["bundle", "range.tar", "--json"]), 0);
    assert_eq!((&report["complete"], &report["scope"]), (&json!("proven"), &json!({"from": 1, "to": 3})));
}

#[test]
fn a_note_that_the_bundle_says_nothing_about_is_no_verdict() {
    let fixture = Fixture::new();
    let error = expect_json(fixture.run(&["bundle", "stated.tar", "--seen", "three.checkpoint", "--json"]), 3);
    assert_eq!(error["error"]["code"], "not-possible");
    let error = expect_json(fixture.run(&["bundle", "none.tar", "--json"]), 3);
    assert_eq!(error["error"]["code"], "io");
    expect(fixture.run_with(&["bundle", "stated.tar"]), 2);
}

#[test]
fn a_changed_bundle_fails_and_says_where() {
    let fixture = Fixture::new();
    let mut bundle = fixture.read("stated.tar");
    let needle = b"{\"step\":2}";
    let at = bundle.windows(needle.len()).position(|window| window == needle).unwrap();
    bundle[at + 8] ^= 1;
    fixture.write("stated.tar", &bundle);
    let text = expect(fixture.run(&["bundle", "stated.tar"]), 1);
    assert!(text.starts_with("FAILED 1 finding in a bundle of example.com/cli"), "{text}");
    assert!(text.contains("receipts/00000000000000000001"), "{text}");
    let report = expect_json(fixture.run(&["bundle", "stated.tar", "--json"]), 1);
    assert_eq!((&report["findings"][0]["code"], &report["complete"]), (&json!("bundle-damaged"), &Value::Null));
}

#[test]
fn a_bundle_of_another_ledger_fails() {
    let (fixture, other) = (Fixture::new(), Fixture::new());
    let arguments = ["bundle", "stated.tar", "--json", "--key", &other.key];
    let report = expect_json(fixture.run_with(&arguments), 1);
    assert_eq!(report["findings"][0]["code"], "key-mismatch");
    let report = expect_json(fixture.run(&["bundle", "stated.tar", "--json", "--genesis", &other.id]), 1);
    assert_eq!(report["findings"][0]["code"], "genesis-mismatch");
}

#[test]
fn a_receipt_is_shown_from_a_bundle_as_from_its_ledger() {
    let fixture = Fixture::new();
    let shown = expect_json(fixture.run(&["show", "2", "stated.tar", "--json"]), 0);
    let from_ledger = expect_json(fixture.run(&["show", "2", "ledger", "--json"]), 0);
    assert_eq!(shown, from_ledger);
    assert_eq!((&shown["payload"], &shown["verdict"]), (&json!({"step": 2}), &json!("present")));
    let text = expect(fixture.run(&["show", "2", "stated.tar"]), 0);
    assert!(text.starts_with("VERIFIED receipt 2 of example.com/cli is present\n"), "{text}");
    let error = expect_json(fixture.run(&["show", "0", "stated.tar", "--json"]), 3);
    assert_eq!(error["error"]["code"], "unknown-index");
}

#[test]
fn other_tar_tools_unpack_a_bundle() {
    let fixture = Fixture::new();
    let folder = fixture.dir.path().join("unpacked");
    fs::create_dir(&folder).unwrap();
    let unpacked = Command::new("tar").args(["-xf", "../stated.tar"]).current_dir(&folder).output();
    let Ok(unpacked) = unpacked else {
        return skipped("there is no `tar` on this machine");
    };
    assert!(unpacked.status.success() && unpacked.stderr.is_empty(), "{unpacked:?}");
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    assert_eq!(read("format.md"), include_bytes!("../../../docs/format.md"));
    assert!(read("checkpoint").starts_with(b"example.com/cli\n5\n"));
    assert!(read("control").starts_with(b"CFRECPT1"));
    assert!(read("receipts/00000000000000000001").starts_with(b"CFRECPT1"));
    assert!(read("consistency/00000000000000000002").starts_with(b"counterfoil-consistency/v1\n"));
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}
