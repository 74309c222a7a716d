//! Every exit code, and the error document that comes with it.

use crate::support::Desk;
use std::net::TcpListener;

const NOTE: [&str; 6] = ["append", "-", "--stream", "s", "--kind", "test.note/1"];

fn note<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&NOTE[..], more].concat()
}

#[test]
fn help_and_version_are_no_errors() {
    let desk = Desk::new();
    assert!(desk.run(&["--version"]).expect_code(0).text().starts_with("counterfoil "));
    assert!(desk.run(&["help"]).expect_code(0).text().contains("Exit codes"));
    assert!(desk.run(&["ingest", "--help"]).expect_code(0).text().contains("Examples:"));
}

#[test]
fn a_wrong_command_line_is_usage() {
    let desk = Desk::new();
    for args in [
        &["--json"][..],
        &["get", "--json"],
        &["get", "x", "--json"],
        &["tail", "--json"],
        &["append", "-", "--stream", "a\nb", "--kind", "k/1", "--json"],
        &["append", "-", "--stream", "a", "--kind", "k", "--json"],
        &["ingest", "-", "--kind", "k/1", "--json"],
        &["ingest", "-", "--kind", "k/1", "--stream", "a", "--stream-from", "/a", "--json"],
        &["prove", "1", "--consistency", "1", "2", "-o", "-", "--json"],
        &["init", "x", "--origin", "a b", "--json"],
        &["status", "--timeout", "10", "--json"],
    ] {
        assert_eq!(desk.run(args).error(2).code, "USAGE", "{args:?}");
    }
    assert_eq!(desk.run(&["status", "--server", "nowhere", "--json"]).error(2).code, "BAD_SERVER");
    let human = desk.run(&["get"]).expect_code(2);
    assert!(human.stdout.is_empty() && human.stderr.contains("<INDEX>"), "{}", human.stderr);
}

#[test]
fn failures_for_a_person_say_what_and_what_next_on_stderr() {
    let desk = Desk::new();
    let server = desk.serve();
    let answer = server.run(&["get", "99"]).expect_code(3);
    assert!(answer.stdout.is_empty());
    let lines: Vec<&str> = answer.stderr.lines().collect();
    assert!(lines.len() == 2 && lines[0].starts_with("error: ") && lines[1].starts_with("next: "), "{lines:?}");
}

#[test]
fn what_does_not_exist_could_not_be_completed() {
    let desk = Desk::new();
    let server = desk.serve();
    assert_eq!(server.error(3, &["get", "99"]).code, "UNKNOWN_INDEX");
    assert_eq!(server.error(3, &["prove", "99", "-o", "-"]).code, "UNKNOWN_INDEX");
    assert_eq!(server.error(3, &["read", "--stream", "none"]).code, "UNKNOWN_STREAM");
    assert_eq!(server.error(3, &["status", "--ledger", "none"]).code, "UNKNOWN_LEDGER");
    assert_eq!(server.error_with(3, &note(&["--link", "99"]), b"1").code, "UNKNOWN_INDEX");
    let missing = desk.text("missing");
    assert_eq!(server.error(3, &["append", &missing, "--stream", "s", "--kind", "k/1"]).code, "IO");
    assert_eq!(server.error(3, &["ingest", &missing, "--stream", "s", "--kind", "k/1"]).code, "IO");
    assert_eq!(desk.run(&["serve", &missing, "--json"]).error(3).code, "NOT_A_LEDGER");
}

#[test]
fn consistency_with_another_size_than_the_latest_names_the_possible_one() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    server.append("s", "2");
    for new in ["2", "9"] {
        let failure = server.error(3, &["prove", "--consistency", "1", new, "-o", "-"]);
        assert_eq!(failure.code, "UNKNOWN_SIZE");
        assert!(failure.next.ends_with("--consistency 1 3"), "{}", failure.next);
    }
    assert_eq!(server.error(2, &["prove", "--consistency", "3", "1", "-o", "-"]).code, "USAGE");
}

#[test]
fn a_server_that_is_not_there_or_does_not_answer_could_not_be_reached() {
    let desk = Desk::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let failure = desk.run(&["status", "--json", "--server", &silent, "--timeout", "200ms"]).error(3);
    assert_eq!(failure.code, "TIMEOUT");
    drop(listener);
    let failure = desk.run(&["status", "--json", "--server", &silent]).error(3);
    assert_eq!(failure.code, "UNREACHABLE");
}

#[test]
fn payloads_that_are_not_what_they_are_called_are_not_sent() {
    let desk = Desk::new();
    let server = desk.serve();
    assert_eq!(server.error_with(3, &note(&[]), b"{").code, "BAD_PAYLOAD");
    assert_eq!(server.error_with(3, &note(&["--media", "text"]), b"\xff").code, "BAD_PAYLOAD");
    let long = vec![b'1'; 1024 * 1024 + 1];
    assert_eq!(server.error_with(3, &note(&["--media", "bytes"]), &long).code, "PAYLOAD_TOO_LARGE");
    assert_eq!(server.json(&["checkpoint"])["size"], 1);
}

#[test]
fn what_the_rules_refuse_is_refused() {
    let desk = Desk::new();
    let server = desk.serve();
    server.json_with(&note(&["--expect-seq", "0"]), b"1");
    let lost = server.error_with(4, &note(&["--expect-seq", "0"]), b"2");
    assert_eq!(lost.code, "LOST_RACE");
    assert_eq!(server.error_with(4, &note(&["--class", "none"]), b"2").code, "UNKNOWN_CLASS");
    server.json_with(&note(&["--close"]), b"2");
    assert_eq!(server.error_with(4, &note(&[]), b"3").code, "STREAM_CLOSED");
}

#[test]
fn nothing_is_overwritten() {
    let desk = Desk::new();
    let before = std::fs::read(desk.path("root.pem")).unwrap();
    assert_eq!(desk.run(&["--json", "keygen", "root", "-o", &desk.text("root.pem")]).error(3).code, "IO");
    assert_eq!(std::fs::read(desk.path("root.pem")).unwrap(), before);
    let again = desk.run(&["--json", "init", &desk.text("ledger"), "--origin", "a.example/b"]).error(3);
    assert_eq!(again.code, "NOT_EMPTY");
    let demo = desk.run(&["--json", "demo", "--dir", &desk.text("ledger")]).error(3);
    assert_eq!(demo.code, "NOT_EMPTY");
}

#[test]
fn roots_must_be_different_people_who_can_reach_the_threshold() {
    let desk = Desk::new();
    let (dir, key) = (desk.text("other"), desk.text("root.pem"));
    let init = ["--json", "init", &dir, "--origin", "a.example/b", "--root-key", &key];
    assert_eq!(desk.run(&[&init[..], &["--root-key", &key]].concat()).error(2).code, "USAGE");
    assert_eq!(desk.run(&[&init[..], &["--root-threshold", "2"]].concat()).error(2).code, "USAGE");
    let inside = desk.text("other/root.pem");
    assert_eq!(desk.run(&["--json", "init", &dir, "--origin", "a.b/c", "--root-key", &inside]).error(2).code, "USAGE");
}

#[test]
fn a_damaged_payload_is_a_corrupt_read() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "{\"find\":\"me\"}");
    server.json(&["seal"]);
    desk.flip_bit_of(b"{\"find\":\"me\"}");
    assert_eq!(server.error(1, &["get", "1"]).code, "CORRUPT");
    assert_eq!(server.run(&["get", "1", "--raw"]).expect_code(1).stdout, b"");
}

#[test]
fn a_ledger_damaged_below_its_mark_is_not_opened() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "{\"find\":\"me\"}");
    server.append("s", "1");
    server.stop();
    desk.flip_bit_of(b"{\"find\":\"me\"}");
    assert_eq!(
        desk.run(&["--json", "serve", &desk.text("ledger"), "--listen", "127.0.0.1:0"]).error(1).code,
        "DAMAGED"
    );
}
