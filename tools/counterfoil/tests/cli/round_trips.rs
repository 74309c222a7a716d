//! What goes in comes out, and proves.

use crate::support::{Desk, keys};
use counterfoil_proof::{ConsistencyFile, InclusionFile, LeafHash, TrustPolicy, VerifierKey};
use std::os::unix::fs::PermissionsExt as _;

fn policy(desk: &Desk) -> TrustPolicy {
    let vkey = std::fs::read_to_string(desk.path("ledger/ledger.vkey")).unwrap();
    TrustPolicy::single(VerifierKey::parse(vkey.trim_end()).unwrap()).unwrap()
}

#[test]
fn init_names_the_ledger_its_key_and_what_to_type_next() {
    let desk = Desk::new();
    let (dir, key) = (desk.text("other"), desk.text("root.pem"));
    let made = desk.run(&["--json", "init", &dir, "--origin", "a.example/b", "--root-key", &key]).expect_code(0).json();
    assert_eq!(keys(&made), ["ledger_id", "next", "origin", "roots", "threshold", "vkey"]);
    assert_eq!(made["origin"], "a.example/b");
    assert_eq!(made["threshold"], 1);
    let vkey = std::fs::read_to_string(desk.path("other/ledger.vkey")).unwrap();
    assert_eq!(made["vkey"].as_str().unwrap(), vkey.trim_end());
    assert!(made["next"][0].as_str().unwrap().ends_with(&format!("serve {dir}")));
    assert!(made["roots"][0].as_str().unwrap().starts_with("root+"));
}

#[test]
fn init_warns_when_nobody_will_ever_have_authority() {
    let desk = Desk::new();
    let made = desk.run(&["init", &desk.text("other"), "--origin", "a.example/b"]).expect_code(0);
    assert!(made.stderr.contains("never has an authority"), "{}", made.stderr);
    assert!(made.text().starts_with("origin "));
}

#[test]
fn keygen_writes_a_private_file_and_prints_the_public_key() {
    let desk = Desk::new();
    let made = desk.run(&["keygen", "alice", "-o", &desk.text("alice.pem"), "--json"]).expect_code(0).json();
    assert_eq!(keys(&made), ["name", "vkey"]);
    assert_eq!(made["name"], "alice");
    assert!(VerifierKey::parse(made["vkey"].as_str().unwrap()).is_ok());
    let mode = std::fs::metadata(desk.path("alice.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(std::fs::read_to_string(desk.path("alice.pem")).unwrap().starts_with("-----BEGIN PRIVATE KEY-----\n"));
}

#[test]
fn an_appended_receipt_comes_with_a_proof_that_holds() {
    let desk = Desk::new();
    let server = desk.serve();
    let first = server.append("s/1", "{\"a\":1}");
    assert_eq!(keys(&first), ["checkpoint", "index", "leaf_hash", "proof", "stream_seq", "time"]);
    assert_eq!((first["index"].as_u64(), first["stream_seq"].as_u64()), (Some(1), Some(0)));
    let leaf = LeafHash::from_hex(first["leaf_hash"].as_str().unwrap()).unwrap();
    let proof = InclusionFile::parse(first["proof"].as_str().unwrap().as_bytes()).unwrap();
    assert_eq!(proof.checkpoint.to_string(), first["checkpoint"].as_str().unwrap());
    proof.verify(&leaf, &policy(&desk)).unwrap();
}

#[test]
fn a_receipt_has_all_that_was_said_about_it() {
    let desk = Desk::new();
    let server = desk.serve();
    let cause = server.append("s/1", "{}");
    let file = desk.write("payload", "no JSON");
    let subject = "00112233445566778899aabbccddeeff";
    server.json(&[
        "append",
        &file,
        "--stream",
        "s/2",
        "--kind",
        "test.end/3",
        "--class",
        "forever",
        "--media",
        "text",
        "--expect-seq",
        "0",
        "--link",
        "1",
        "--subject",
        subject,
        "--close",
    ]);
    let receipt = server.json(&["get", "2"]);
    let expected = [
        "class",
        "closes_stream",
        "envelope",
        "index",
        "kind",
        "leaf_hash",
        "links",
        "media",
        "payload",
        "payload_bytes",
        "prev",
        "salt",
        "stream",
        "stream_seq",
        "subject",
        "time",
        "writer",
    ];
    assert_eq!(keys(&receipt), expected);
    assert_eq!(receipt["links"][0]["leaf_hash"], cause["leaf_hash"]);
    assert_eq!(receipt["prev"], cause["leaf_hash"]);
    assert_eq!(receipt["subject"], subject);
    assert_eq!((receipt["media"].as_str(), receipt["kind"].as_str()), (Some("text"), Some("test.end/3")));
    assert_eq!((receipt["class"].as_str(), receipt["writer"].as_str()), (Some("forever"), Some("local")));
}

#[test]
fn raw_payloads_are_the_bytes_that_went_in() {
    let desk = Desk::new();
    let server = desk.serve();
    let every_byte: Vec<u8> = (0..=255).collect();
    let payloads: [(&str, Vec<u8>); 6] = [
        ("bytes", every_byte),
        ("bytes", Vec::new()),
        ("text", b"\r\n\n two\tlines \x1b[31m".to_vec()),
        ("json", b" {\"a\" : [1.0e+2, \"\\u00e9\"] }\r\n".to_vec()),
        ("bytes", vec![0xff; 300_000]),
        ("cbor", vec![0xa0]),
    ];
    for (index, (media, payload)) in (1..).zip(payloads) {
        let file = desk.write("payload", &payload);
        server.json(&["append", &file, "--stream", "odd", "--kind", "test.odd/1", "--media", media]);
        let raw = server.run(&["get", &index.to_string(), "--raw"]).expect_code(0);
        assert_eq!(raw.stdout, payload, "{media}");
    }
}

#[test]
fn read_pages_through_the_ledger_and_through_a_stream() {
    let desk = Desk::new();
    let server = desk.serve();
    for n in 0..5 {
        server.append(if n % 2 == 0 { "even" } else { "odd" }, &n.to_string());
    }
    let indices = |args: &[&str]| -> Vec<u64> {
        let list = server.json(args);
        assert_eq!(keys(&list), ["receipts"]);
        list["receipts"].as_array().unwrap().iter().map(|receipt| receipt["index"].as_u64().unwrap()).collect()
    };
    assert_eq!(indices(&["read"]), [0, 1, 2, 3, 4, 5]);
    assert_eq!(indices(&["read", "--from", "2", "--limit", "2"]), [2, 3]);
    assert_eq!(indices(&["read", "--stream", "even"]), [1, 3, 5]);
    assert_eq!(indices(&["read", "--stream", "even", "--from", "1"]), [3, 5]);
    let human = server.run(&["read", "--stream", "odd"]).expect_code(0);
    assert_eq!(human.text().lines().count(), 2);
}

#[test]
fn checkpoint_prints_the_note() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    let json = server.json(&["checkpoint"]);
    assert_eq!(keys(&json), ["checkpoint", "origin", "root", "size"]);
    assert_eq!((json["size"].as_u64(), json["origin"].as_str()), (Some(2), Some("test.example/ledger")));
    let note = server.run(&["checkpoint"]).expect_code(0);
    assert_eq!(note.text(), json["checkpoint"].as_str().unwrap());
}

#[test]
fn proofs_are_files_that_hold() {
    let desk = Desk::new();
    let server = desk.serve();
    let first = server.append("s", "1");
    server.append("s", "2");
    let file = desk.text("1.proof");
    let made = server.json(&["prove", "1", "-o", &file]);
    assert_eq!(made["file"].as_str(), Some(file.as_str()));
    let leaf = LeafHash::from_hex(first["leaf_hash"].as_str().unwrap()).unwrap();
    InclusionFile::parse(&std::fs::read(&file).unwrap()).unwrap().verify(&leaf, &policy(&desk)).unwrap();

    let text = server.run(&["prove", "--consistency", "2", "3", "-o", "-"]).expect_code(0).stdout;
    let proof = ConsistencyFile::parse(&text).unwrap();
    assert_eq!(proof.old_root.to_string(), json_root_of(&first["checkpoint"]));
    proof.verify(&policy(&desk)).unwrap();
}

fn json_root_of(checkpoint: &serde_json::Value) -> String {
    let note = checkpoint.as_str().unwrap().as_bytes();
    counterfoil_proof::SignedCheckpoint::parse(note).unwrap().unverified().root.to_string()
}

#[test]
fn sealing_shows_in_the_status() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    let sealed = server.json(&["seal"]);
    assert_eq!((sealed["sealed"]["first"].as_u64(), sealed["sealed"]["receipts"].as_u64()), (Some(0), Some(2)));
    assert!(server.json(&["seal"])["sealed"].is_null());
    let status = server.json(&["status"]);
    assert_eq!((status["health"].as_str(), status["size"].as_u64()), (Some("writable"), Some(2)));
    assert_eq!(status["segments"][0]["sealed"], true);
    server.append("s", "2");
    assert_eq!(server.json(&["status"])["streams"], 2);
}

#[test]
fn what_was_written_stays_over_a_restart() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "{\"kept\":true}");
    assert_eq!(server.stop(), 0);
    let server = desk.serve();
    assert_eq!(server.json(&["get", "1"])["payload"]["kept"], true);
    assert_eq!(server.append("s", "2")["stream_seq"], 1);
}

#[test]
fn nothing_that_was_appended_can_steer_a_terminal() {
    let desk = Desk::new();
    let server = desk.serve();
    let file = desk.write("payload", "\x1b]0;title\x07\u{9b}2J\u{202e}");
    let stream = "s/\u{202e}gnp.exe";
    server.json(&["append", &file, "--stream", stream, "--kind", "test.odd/1", "--media", "text"]);
    for args in [&["get", "1"][..], &["read"], &["read", "--stream", stream]] {
        let answer = server.run(args).expect_code(0);
        let text = answer.text();
        assert!(text.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{text:?}");
        assert!(text.contains("s/\\u{202e}gnp.exe"), "{text}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_counterfoil"))
        .args(["get", "1", "--server", &server.url])
        .env("XDG_STATE_HOME", desk.path("state"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}
