//! Streams listed from the catalog, online and after it was made anew offline.

use crate::support::{Desk, Serving, keys};
use serde_json::{Value, json};

fn names(listed: &Value) -> Vec<&str> {
    listed["streams"].as_array().unwrap().iter().map(|stream| stream["stream"].as_str().unwrap()).collect()
}

fn append_to(server: &Serving<'_>, streams: &[&str]) {
    streams.iter().for_each(|stream| drop(server.append(stream, "1")));
}

#[test]
fn a_stream_just_appended_to_is_listed_with_what_is_known_of_it() {
    let desk = Desk::new();
    let server = desk.serve();
    let first = server.append("incident/1", "1");
    let close = ["append", "-", "--stream", "incident/1", "--kind", "test.closed/1", "--close"];
    let last = server.json_with(&close, b"2");
    let listed = server.json(&["streams", "incident/"]);
    assert_eq!(keys(&listed), ["catalog", "left_out", "streams"]);
    assert_eq!(
        listed["streams"],
        json!([{
            "stream": "incident/1",
            "receipts": 2,
            "first": 1,
            "last": 2,
            "first_time": first["time"],
            "last_time": last["time"],
            "kinds": ["test.closed/1", "test.note/1"],
            "more_kinds": false,
            "closed": true,
        }])
    );
    assert_eq!(listed["catalog"], json!({ "taken_in": 3, "size": 3 }));
    assert_eq!(names(&server.json(&["streams"])), ["incident/1", "ledger"]);
    let status = server.json(&["status"]);
    assert_eq!(status["catalog"], json!({ "state": "kept", "taken_in": 3, "size": 3, "cause": null }));
}

#[test]
fn streams_are_listed_for_people_in_columns_that_no_name_can_break() {
    let desk = Desk::new();
    let server = desk.serve();
    append_to(&server, &["long/name", "s\u{202e}"]);
    let text = server.run(&["streams"]).expect_code(0).text().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("ledger     1  0-0  "), "{text}");
    assert!(lines[1].starts_with("long/name  1  1-1  "), "{text}");
    assert!(lines[2].starts_with("s\\u{202e}  1  2-2  "), "{text}");
    assert!(lines.iter().all(|line| line.contains("  open  ")), "{text}");
}

#[test]
fn a_prefix_and_a_limit_choose_what_is_listed() {
    let desk = Desk::new();
    let server = desk.serve();
    append_to(&server, &["a/1", "a/2", "a/3", "b"]);
    assert_eq!(names(&server.json(&["streams", "a/"])), ["a/1", "a/2", "a/3"]);
    assert_eq!(names(&server.json(&["streams", "a/", "--limit", "2"])), ["a/1", "a/2"]);
    assert!(names(&server.json(&["streams", "c"])).is_empty());
}

#[test]
fn more_streams_than_a_page_are_all_listed() {
    let desk = Desk::new();
    let server = desk.serve();
    let lines: String = (0..2500).map(|n| format!("{{\"id\":\"s{n:04}\"}}\n")).collect();
    let file = desk.write("lines", lines);
    server.json(&["ingest", &file, "--stream-from", "/id", "--kind", "test.line/1"]);
    let listed = server.json(&["streams", "s"]);
    assert_eq!(names(&listed).len(), 2500);
}

#[test]
fn a_catalog_is_made_anew_offline_and_taken_over() {
    let desk = Desk::new();
    let server = desk.serve();
    append_to(&server, &["a", "b"]);
    let locked = desk.run(&["--json", "catalog", "rebuild", &desk.text("ledger")]).error(3);
    assert_eq!(locked.code, "LOCKED");
    server.stop();
    let rebuilt = desk.run(&["--json", "catalog", "rebuild", &desk.text("ledger")]).expect_code(0).json();
    assert_eq!(rebuilt, json!({ "streams": 3, "receipts": 3 }));
    let text = desk.run(&["catalog", "rebuild", &desk.text("ledger")]).expect_code(0);
    assert_eq!(text.text(), "streams   3\nreceipts  3\n");
    let server = desk.serve();
    assert_eq!(names(&server.json(&["streams"])), ["a", "b", "ledger"]);
    let nowhere = desk.run(&["--json", "catalog", "rebuild", &desk.text("nowhere")]).error(3);
    assert_eq!(nowhere.code, "NOT_A_LEDGER");
}

#[test]
fn a_killed_server_lists_everything_again() {
    let desk = Desk::new();
    let server = desk.serve();
    append_to(&server, &["a"]);
    server.json(&["streams"]);
    server.kill();
    drop(server);
    let server = desk.serve();
    append_to(&server, &["b"]);
    assert_eq!(names(&server.json(&["streams"])), ["a", "b", "ledger"]);
}

#[test]
fn a_read_only_server_lists_no_streams_and_says_why() {
    let desk = Desk::new();
    let server = desk.serve_with(&["--read-only"]);
    assert_eq!(server.error(3, &["streams"]).code, "NO_CATALOG");
    assert_eq!(server.json(&["status"])["catalog"]["state"], "off");
}
