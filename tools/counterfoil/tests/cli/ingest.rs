//! One receipt per line.

use crate::support::{Desk, keys};

const KIND: [&str; 2] = ["--kind", "test.line/1"];

fn ingest<'a>(file: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["ingest", file][..], &KIND, more].concat()
}

#[test]
fn payloads_are_lines_without_their_line_feed() {
    let desk = Desk::new();
    let server = desk.serve();
    let lines = ["{\"a\":1}\r", " [1, 2] ", "\"last\""];
    let file = desk.write("lines", lines.join("\n"));
    let done = server.json(&ingest(&file, &["--stream", "s"]));
    assert_eq!(keys(&done), ["bytes", "checkpoint", "receipts", "seconds", "skipped"]);
    assert_eq!((done["receipts"].as_u64(), done["skipped"].as_u64()), (Some(3), Some(0)));
    assert_eq!(done["bytes"].as_u64().unwrap(), lines.map(str::len).iter().sum::<usize>() as u64);
    for (index, line) in (1..).zip(lines) {
        assert_eq!(server.run(&["get", &index.to_string(), "--raw"]).expect_code(0).stdout, line.as_bytes());
    }
}

#[test]
fn lines_name_their_streams() {
    let desk = Desk::new();
    let server = desk.serve();
    let lines = b"{\"x\":{\"s\":\"a\"}}\n{\"x\":{\"s\":\"b\"}}\n{\"x\":{\"s\":\"a\"}}\n";
    server.json_with(&ingest("-", &["--stream-from", "/x/s", "--batch", "2"]), lines);
    let a = server.json(&["read", "--stream", "a"]);
    let seqs: Vec<_> =
        a["receipts"].as_array().unwrap().iter().map(|one| one["stream_seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [0, 1]);
}

#[test]
fn many_batches_arrive_in_order() {
    let desk = Desk::new();
    let server = desk.serve();
    let lines: String = (0..2500).map(|n| format!("{n}\n")).collect();
    let done = server.json_with(&ingest("-", &["--stream", "s", "--batch", "100"]), lines.as_bytes());
    assert_eq!(done["receipts"], 2500);
    let last = server.json(&["read", "--stream", "s", "--from", "2498", "--limit", "5"]);
    let payloads: Vec<_> = last["receipts"].as_array().unwrap().iter().map(|one| one["payload"].as_u64()).collect();
    assert_eq!(payloads, [Some(2498), Some(2499)]);
}

#[test]
fn nothing_to_ingest_is_nothing_wrong() {
    let desk = Desk::new();
    let server = desk.serve();
    let done = server.json(&ingest("-", &["--stream", "s"]));
    assert_eq!(done["receipts"], 0);
    assert!(done["checkpoint"].as_str().unwrap().starts_with("test.example/ledger\n1\n"));
}

#[test]
fn the_first_bad_line_ends_the_work_after_everything_before_it() {
    let desk = Desk::new();
    let server = desk.serve();
    let long = format!("\"{}\"", "x".repeat(2_000_000));
    let cases: [(&[u8], &str); 7] = [
        (b"", "it is empty"),
        (b"{", "it is not JSON, at column 1"),
        (b"\xff", "it is not JSON"),
        (b"{\"t\":\"a\"}", "it has nothing at /s"),
        (b"{\"s\":7}", "is no string"),
        (b"{\"s\":\"ledger\"}", "reserved"),
        (long.as_bytes(), "2000002 bytes"),
    ];
    for (at, (bad, problem)) in cases.iter().enumerate() {
        let lines = [b"{\"s\":\"a\"}\n{\"s\":\"a\"}\n", *bad, b"\n{\"s\":\"a\"}\n"].concat();
        let failure = server.error_with(3, &ingest("-", &["--stream-from", "/s"]), &lines);
        assert_eq!(failure.code, "BAD_LINE");
        assert!(failure.message.starts_with("line 3: ") && failure.message.contains(problem), "{}", failure.message);
        let size = server.json(&["checkpoint"])["size"].as_u64().unwrap();
        assert_eq!(size, 1 + 2 * (at as u64 + 1), "two more receipts each time");
    }
}

#[test]
fn bad_lines_can_be_left_out_and_are_counted() {
    let desk = Desk::new();
    let server = desk.serve();
    let lines = format!("1\n{}2\n", "bad\n".repeat(12));
    let answer = server.run_with(&ingest("-", &["--stream", "s", "--skip-bad", "--json"]), lines.as_bytes());
    let answer = answer.expect_code(0);
    assert_eq!((answer.json()["receipts"].as_u64(), answer.json()["skipped"].as_u64()), (Some(2), Some(12)));
    assert!(
        answer.stderr.contains("skipped line 2:") && answer.stderr.contains("skipped line 11:"),
        "{}",
        answer.stderr
    );
    assert!(
        !answer.stderr.contains("skipped line 12:") && answer.stderr.contains("skipped 2 more"),
        "{}",
        answer.stderr
    );
}

#[test]
fn a_closed_stream_refuses_and_names_the_lines() {
    let desk = Desk::new();
    let server = desk.serve();
    server.json_with(&["append", "-", "--stream", "s", "--kind", "test.end/1", "--close"], b"1");
    let failure = server.error_with(4, &ingest("-", &["--stream", "s"]), b"1\n2\n");
    assert_eq!(failure.code, "STREAM_CLOSED");
    assert!(failure.message.contains("lines 1 to 2"), "{}", failure.message);
}
