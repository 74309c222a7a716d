//! A server whose ledger is not the one seen before is found out.

use crate::support::Desk;

#[test]
fn a_ledger_that_shrank_is_found_out_with_both_notes() {
    let desk = Desk::new();
    desk.copy_ledger("backup");
    let server = desk.serve();
    let seen = server.append("s", "1")["checkpoint"].as_str().unwrap().to_owned();
    server.stop();
    desk.swap_ledger("backup", "later");

    let server = desk.serve();
    let failure = server.error(1, &["checkpoint"]);
    assert_eq!(failure.code, "LEDGER_SHRANK");
    assert!(failure.message.contains(&seen), "{}", failure.message);
    assert!(failure.message.contains("test.example/ledger\n1\n"), "{}", failure.message);
    assert!(failure.next.contains("state"), "{}", failure.next);
    // The evidence stays: asking again finds it again.
    assert_eq!(server.error(1, &["status"]).code, "LEDGER_SHRANK");
}

#[test]
fn a_ledger_that_forked_is_found_out_with_both_notes() {
    let desk = Desk::new();
    desk.copy_ledger("backup");
    let server = desk.serve();
    let seen = server.append("s", "1")["checkpoint"].as_str().unwrap().to_owned();
    server.stop();
    desk.swap_ledger("backup", "first");

    let server = desk.serve();
    let other_state = desk.text("other-state");
    for payload in ["2", "3"] {
        let append = ["append", "-", "--stream", "s", "--kind", "test.note/1", "--state", &other_state];
        server.json_with(&append, payload.as_bytes());
    }
    let failure = server.error(1, &["read"]);
    assert_eq!(failure.code, "LEDGER_FORKED");
    assert!(failure.message.contains(&seen), "{}", failure.message);
    assert!(failure.message.contains("test.example/ledger\n3\n"), "{}", failure.message);
}

#[test]
fn another_ledger_at_the_same_place_is_found_out_when_the_state_is_named() {
    let desk = Desk::new();
    let state = desk.text("pinned");
    let server = desk.serve();
    server.json(&["checkpoint", "--state", &state]);
    server.stop();
    let other = desk.text("other");
    desk.run(&["init", &other, "--origin", "test.example/ledger"]).expect_code(0);
    desk.swap_ledger("other", "first");

    let server = desk.serve();
    let failure = server.error(1, &["checkpoint", "--state", &state]);
    assert_eq!(failure.code, "OTHER_KEY");
}

#[test]
fn a_ledger_that_grew_is_remembered_at_its_new_size() {
    let desk = Desk::new();
    let state = desk.text("pinned");
    let server = desk.serve();
    server.json(&["checkpoint", "--state", &state]);
    server.append("s", "1");
    let latest = server.run(&["checkpoint", "--state", &state]).expect_code(0).stdout;
    assert_eq!(std::fs::read(desk.path("pinned/checkpoint")).unwrap(), latest);
}

#[test]
fn damaged_state_is_never_overwritten() {
    let desk = Desk::new();
    let state = desk.text("pinned");
    let server = desk.serve();
    server.json(&["checkpoint", "--state", &state]);
    desk.write("pinned/checkpoint", "not a note");
    assert_eq!(server.error(3, &["checkpoint", "--state", &state]).code, "BAD_STATE");
    assert_eq!(std::fs::read(desk.path("pinned/checkpoint")).unwrap(), b"not a note");
}

#[test]
fn what_was_acknowledged_before_the_server_died_must_be_there_when_it_comes_back() {
    let desk = Desk::new();
    desk.copy_ledger("backup");
    let server = desk.serve();
    let lines: String = (0..200_000).map(|n| format!("{n}\n")).collect();
    let file = desk.write("lines", &lines);
    let ingest = ["ingest", &file, "--stream", "s", "--kind", "test.line/1", "--batch", "10"];
    let failure = server.error_while(3, &ingest, |server| {
        while server.size() < 100 {}
        server.kill();
    });
    assert_eq!(failure.code, "UNREACHABLE");
    assert!(failure.message.contains("are acknowledged"), "{}", failure.message);
    drop(server);
    desk.swap_ledger("backup", "killed");
    let server = desk.serve();
    assert_eq!(server.error(1, &["checkpoint"]).code, "LEDGER_SHRANK");
    drop(server);
    desk.swap_ledger("killed", "backup");
    desk.serve().json(&["checkpoint"]);
}
