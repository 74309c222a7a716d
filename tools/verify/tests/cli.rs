//! The contract of the command line: exit codes and JSON shapes, on a ledger that the engine wrote.

#![expect(clippy::unwrap_used, reason = "a test stops where its fixture breaks")]

use bytes::Bytes;
use counterfoil_audit::ReceiptView;
use counterfoil_engine::{Batch, Environment, Ledger, Limits, NewLedger, NewReceipt, create};
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Kind, LeafIndex, Media, Origin, Principal, StreamName, TreeSize,
};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tempfile::TempDir;

const FIRST_SEGMENT: &str = "segments/00000000000000000000.0.seg";

/// A child holds copies of all open files until its program is loaded: one started while another test opens its ledger
/// would keep that ledger locked for a moment.
static STARTS: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    STARTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A closed ledger of nine receipts in a sealed and an open segment, and what a stranger keeps of it.
struct Fixture {
    dir: TempDir,
    key: String,
    id: String,
}

fn receipt(stream: &str, payload: &str) -> NewReceipt {
    NewReceipt {
        stream: StreamName::new(stream).unwrap(),
        kind: Kind::new("alert.received/1").unwrap(),
        class: ClassId::FOREVER,
        media: Media::Json,
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    }
}

fn append(ledger: &Ledger, payloads: &[&str]) {
    let receipts = payloads.iter().map(|payload| receipt("incident/INC-42", payload)).collect();
    let batch = Batch { writer: Principal::new("local").unwrap(), id: None, receipts, with_proofs: false };
    ledger.append(batch).unwrap();
}

#[expect(clippy::disallowed_methods, reason = "a test writes the files it reads")]
fn write(path: PathBuf, text: impl AsRef<[u8]>) {
    fs::write(path, text).unwrap();
}

impl Fixture {
    fn new() -> Self {
        let _alone = alone();
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("ledger")).unwrap();
        let environment = Environment::real(&dir.path().join("ledger"));
        let new = NewLedger {
            origin: Origin::new("example.com/cli").unwrap(),
            commitment: CommitmentAlgorithm::Blake3,
            roots: Vec::new(),
            root_threshold: None,
            release_delay: Duration::from_secs(60),
        };
        let identity = create(&environment, &new).unwrap();
        let ledger = Ledger::open(environment, Limits::default()).unwrap();
        append(&ledger, &["{\"step\":1}", "{\"step\":2}", "{\"step\":3}"]);
        let fixture = Self { dir, key: identity.checkpoint_key.to_string(), id: identity.ledger_id.to_string() };
        write(fixture.path("four.checkpoint"), ledger.checkpoint().to_string());
        ledger.seal().unwrap();
        append(&ledger, &["{\"step\":4}", "{\"step\":5}"]);
        append(&ledger, &["{\"step\":6}", "{\"step\":7}", "{\"step\":8}"]);
        fixture.keep(&ledger);
        ledger.close().unwrap();
        fixture
    }

    /// What `get`, `prove` and `prove --consistency` hand out.
    fn keep(&self, ledger: &Ledger) {
        let receipt = ledger.get(LeafIndex(2)).unwrap();
        let content = receipt.content.as_ref().map(|content| (&content.salt, content.payload.as_ref()));
        let view = ReceiptView { envelope: &receipt.envelope, class: "forever", content, verdict: None };
        write(self.path("2.json"), view.to_json());
        write(self.path("2.proof"), ledger.prove_inclusion(LeafIndex(2)).unwrap().to_string());
        write(self.path("4-9.proof"), ledger.prove_consistency(TreeSize(4)).unwrap().to_string());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs in the fixture's directory.
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_counterfoil-verify"));
        command
            .args(arguments)
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = {
            let _alone = alone();
            command.spawn().unwrap()
        };
        child.wait_with_output().unwrap()
    }

    /// Runs with the fixture's key.
    fn trusted(&self, arguments: &[&str]) -> Output {
        self.run(&[arguments, &["--key", &self.key]].concat())
    }

    fn flip(&self, path: &str, needle: &[u8]) {
        let path = self.path("ledger").join(path);
        let mut bytes = fs::read(&path).unwrap();
        let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
        bytes[at] ^= 1;
        write(path, bytes);
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Exactly one document, nothing else.
fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn error_code(output: &Output) -> String {
    let json = json(output);
    let error = json["error"].as_object().unwrap();
    assert!(error["message"].is_string() && error["next"].is_string());
    error["code"].as_str().unwrap().to_owned()
}

#[test]
fn a_whole_ledger_is_verified() {
    let fixture = Fixture::new();
    let human = fixture.trusted(&["ledger", "ledger", "--genesis", &fixture.id, "--seen", "four.checkpoint"]);
    assert_eq!(code(&human), 0, "{human:?}");
    assert!(stdout(&human).starts_with("VERIFIED 9 receipts of example.com/cli\n"));

    let output = fixture.trusted(&["ledger", "ledger", "--json", "--all-signatures", "--seen", "four.checkpoint"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let report = json(&output);
    let verdicts = serde_json::json!({"present": 9, "erased": 0, "unlawful": 0, "missing": 0, "corrupt": 0});
    assert_eq!(report["verdicts"], verdicts);
    assert_eq!(report["findings"], serde_json::json!([]));
    assert_eq!(report["ledger_id"], fixture.id);
    assert_eq!(report["trust"]["seen"], serde_json::json!([4]));
    assert_eq!(report["signatures_checked"]["valid"], report["signatures_checked"]["frames"]);
    assert!(report["checkpoint"].as_str().unwrap().starts_with("example.com/cli\n9\n"));
    assert_eq!(report["tail"]["receipts"], 0);
    assert!(report["as_of"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn the_answer_is_the_same_on_any_number_of_threads() {
    let fixture = Fixture::new();
    fixture.flip(FIRST_SEGMENT, b"{\"step\":2}");
    let answer = |threads| json(&fixture.trusted(&["ledger", "ledger", "--json", "--threads", threads]));
    assert_eq!(answer("1"), answer("3"));
    assert_eq!(code(&fixture.trusted(&["ledger", "ledger", "--threads", "0"])), 2);
}

#[test]
fn the_key_may_stand_in_a_file_or_a_policy_or_be_self_asserted() {
    let fixture = Fixture::new();
    write(fixture.path("policy"), format!("log {}\nquorum none\n", fixture.key));
    for trust in [&["--key", "ledger/ledger.vkey"][..], &["--policy", "policy"], &["--self-asserted"]] {
        let output = fixture.run(&[&["ledger", "ledger"], trust].concat());
        assert_eq!(code(&output), 0, "{output:?}");
    }
    assert!(stdout(&fixture.run(&["ledger", "ledger", "--self-asserted"])).contains("not whose it is"));
}

#[test]
fn a_flipped_bit_fails_and_names_the_receipt() {
    let fixture = Fixture::new();
    fixture.flip(FIRST_SEGMENT, b"{\"step\":2}");
    let human = fixture.trusted(&["ledger", "ledger"]);
    assert_eq!(code(&human), 1);
    assert!(stdout(&human).starts_with("FAILED 1 finding"), "{}", stdout(&human));
    assert!(stdout(&human).contains("receipt 2 (incident/INC-42, alert.received/1)"));
    let report = json(&fixture.trusted(&["ledger", "ledger", "--json"]));
    assert_eq!(report["verdicts"]["corrupt"], 1);
    let finding = &report["findings"][0];
    assert_eq!((&finding["code"], &finding["index"]), (&"receipt-corrupt".into(), &2.into()));
    assert_eq!(finding["segment"], FIRST_SEGMENT.strip_prefix("segments/").unwrap());
    assert!(finding["offset"].is_u64() && finding["expected"].is_string() && finding["found"].is_string());
    let shown = fixture.trusted(&["show", "2", "ledger", "--json"]);
    assert_eq!(code(&shown), 1);
    assert_eq!(json(&shown)["verdict"], "corrupt");
}

#[test]
fn an_older_checkpoint_that_the_ledger_does_not_reach_fails() {
    let fixture = Fixture::new();
    let other = Fixture::new();
    fs::copy(other.path("four.checkpoint"), fixture.path("foreign.checkpoint")).unwrap();
    let output = fixture.trusted(&["ledger", "ledger", "--seen", "foreign.checkpoint", "--json"]);
    assert_eq!(code(&output), 1);
    assert_eq!(json(&output)["findings"][0]["code"], "seen-untrusted");
}

#[test]
fn exactly_one_anchor_of_trust_is_required() {
    let fixture = Fixture::new();
    for arguments in [&["ledger", "ledger"][..], &["ledger", "ledger", "--self-asserted", "--key", "x"]] {
        let output = fixture.run(arguments);
        assert_eq!(code(&output), 2);
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(["--key", "--policy", "--self-asserted"].iter().all(|flag| message.contains(flag)), "{message}");
        assert!(output.stdout.is_empty());
    }
    let output = fixture.run(&["ledger", "ledger", "--json"]);
    assert_eq!((code(&output), error_code(&output).as_str()), (2, "usage"));
}

#[test]
fn mistakes_in_the_command_line_exit_2() {
    let fixture = Fixture::new();
    for arguments in [
        &["ledger"][..],
        &["nonsense"],
        &[],
        &["show", "x", "ledger", "--self-asserted"],
        &["ledger", "ledger", "--key", "no-such-file-and-no-key"],
        &["ledger", "ledger", "--self-asserted", "--genesis", "xyz"],
        &["ledger", "ledger", "--self-asserted", "--as-of", "yesterday"],
        &["ledger", "ledger", "--self-asserted", "--seen", "2.json"],
        &["ledger", "ledger", "--policy", "2.json"],
    ] {
        assert_eq!(code(&fixture.run(arguments)), 2, "{arguments:?}");
        let output = fixture.run(&[arguments, &["--json"]].concat());
        assert_eq!((code(&output), error_code(&output).as_str()), (2, "usage"), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_completed_exits_3() {
    let fixture = Fixture::new();
    for (arguments, name) in [
        (&["ledger", "nowhere", "--self-asserted"][..], "no-directory"),
        (&["ledger", ".", "--self-asserted"], "not-a-ledger"),
        (&["show", "9", "ledger", "--self-asserted"], "unknown-index"),
        (&["show", "2", "ledger", "--key", &fixture.key, "--seen", "four.checkpoint"], "not-possible"),
        (&["ledger", "ledger", "--self-asserted", "--seen", "nowhere"], "io"),
        (&["proof", "nowhere", "--receipt", "2.json", "--key", &fixture.key], "io"),
        (&["proof", "2.proof", "--receipt", "2.json", "--self-asserted"], "not-possible"),
        (&["proof", "2.proof", "--receipt", "2.json", "--key", &fixture.key, "--genesis", &fixture.id], "not-possible"),
        (
            &["proof", "2.proof", "--receipt", "2.json", "--key", &fixture.key, "--seen", "four.checkpoint"],
            "not-possible",
        ),
        (&["consistency", "4-9.proof", "--self-asserted"], "not-possible"),
    ] {
        let output = fixture.run(&[arguments, &["--json"]].concat());
        assert_eq!((code(&output), error_code(&output).as_str()), (3, name), "{arguments:?}");
        assert_eq!(code(&fixture.run(arguments)), 3, "{arguments:?}");
    }
}

#[test]
fn a_receipt_is_verified_by_its_proof() {
    let fixture = Fixture::new();
    let arguments = ["proof", "2.proof", "--receipt", "2.json"];
    let human = fixture.trusted(&arguments);
    assert_eq!(code(&human), 0, "{human:?}");
    assert!(stdout(&human).starts_with("VERIFIED receipt 2 is in example.com/cli\n"));
    let answer = json(&fixture.trusted(&[&arguments[..], &["--json"]].concat()));
    assert_eq!(
        (&answer["verified"], &answer["index"], &answer["payload_checked"]),
        (&true.into(), &2.into(), &true.into())
    );
}

#[test]
fn a_changed_receipt_or_proof_or_another_key_fails() {
    let fixture = Fixture::new();
    let text = |name: &str| fs::read_to_string(fixture.path(name)).unwrap();
    write(fixture.path("changed.json"), text("2.json").replace("\"step\":2", "\"step\":3"));
    write(fixture.path("moved.json"), text("2.json").replace("\"index\":2", "\"index\":3"));
    write(fixture.path("more.json"), text("2.json").replacen('{', "{\"note\":1,", 1));
    write(fixture.path("moved.proof"), text("2.proof").replace("index 2", "index 3"));
    write(fixture.path("garbage"), "garbage");
    for (proof, receipt) in [
        ("2.proof", "changed.json"),
        ("2.proof", "moved.json"),
        ("2.proof", "more.json"),
        ("moved.proof", "2.json"),
        ("garbage", "2.json"),
        ("2.proof", "garbage"),
    ] {
        let output = fixture.trusted(&["proof", proof, "--receipt", receipt, "--json"]);
        assert_eq!((code(&output), error_code(&output).as_str()), (1, "verification-failed"), "{proof} {receipt}");
    }
    let other = Fixture::new();
    let output = fixture.run(&["proof", "2.proof", "--receipt", "2.json", "--key", &other.key]);
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).starts_with("FAILED"));
}

#[test]
fn a_consistency_proof_is_compared_with_a_checkpoint_kept_earlier() {
    let fixture = Fixture::new();
    let output = fixture.trusted(&["consistency", "4-9.proof", "--seen", "four.checkpoint", "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let answer = json(&output);
    assert_eq!((&answer["old"], &answer["size"], &answer["compared_with_seen"]), (&4.into(), &9.into(), &true.into()));
    assert!(stdout(&fixture.trusted(&["consistency", "4-9.proof"])).starts_with("VERIFIED the first 4 of 9 receipts"));
    let changed = fs::read_to_string(fixture.path("4-9.proof")).unwrap().replace("old 4", "old 5");
    write(fixture.path("changed.proof"), changed);
    assert_eq!(code(&fixture.trusted(&["consistency", "changed.proof"])), 1);
}

#[test]
fn a_shown_receipt_is_the_receipt_file_of_a_proof() {
    let fixture = Fixture::new();
    let output = fixture.trusted(&["show", "2", "ledger", "--json"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let mut shown = json(&output);
    write(fixture.path("shown.json"), &output.stdout);
    assert_eq!(code(&fixture.trusted(&["proof", "2.proof", "--receipt", "shown.json"])), 0);
    assert_eq!(shown.as_object_mut().unwrap().remove("verdict"), Some("present".into()));
    let kept: Value = serde_json::from_slice(&fs::read(fixture.path("2.json")).unwrap()).unwrap();
    assert_eq!(shown, kept);
    let human = stdout(&fixture.trusted(&["show", "2", "ledger"]));
    assert!(human.contains("{\"step\":2}") && human.contains("only this receipt's segment was read"), "{human}");
}

#[test]
fn help_and_version_exit_0_with_an_example_on_every_command() {
    let fixture = Fixture::new();
    for command in ["ledger", "proof", "consistency", "show"] {
        let output = fixture.run(&[command, "--help"]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("Example"), "{command}");
    }
    assert!(stdout(&fixture.run(&["--version"])).starts_with("counterfoil-verify "));
    assert_eq!(code(&fixture.run(&["--help"])), 0);
}

#[test]
fn verifying_changes_nothing() {
    let fixture = Fixture::new();
    let files = |dir: &Path| -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = ["", "segments"]
            .iter()
            .flat_map(|folder| fs::read_dir(dir.join(folder)).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files(&fixture.path("ledger"));
    assert_eq!(code(&fixture.trusted(&["ledger", "ledger"])), 0);
    assert!(before == files(&fixture.path("ledger")));
}
