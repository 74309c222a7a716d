//! The server as its operator sees it.

use crate::support::Desk;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.to_owned())
}

fn http_address(line: &str) -> String {
    line.strip_prefix("health and metrics on http://").unwrap().to_owned()
}

#[test]
fn a_server_stops_when_it_is_asked_to() {
    let desk = Desk::new();
    assert_eq!(desk.serve().stop(), 0);
}

#[test]
fn health_and_metrics_are_served_over_http() {
    let desk = Desk::new();
    let mut server = desk.serve_with(&["--http", "127.0.0.1:0"]);
    let http = http_address(&server.next_line());
    server.append("s", "1");
    assert_eq!(get(&http, "/healthz"), (200, "alive\n".into()));
    assert_eq!(get(&http, "/readyz"), (200, "writable\n".into()));
    let (status, metrics) = get(&http, "/metrics");
    assert_eq!(status, 200);
    for line in [
        "counterfoil_tree_size 2",
        "counterfoil_queue_batches 0",
        "counterfoil_segments 1",
        "counterfoil_streams 2",
        "counterfoil_health{state=\"writable\"} 1",
        "counterfoil_health{state=\"poisoned\"} 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} in\n{metrics}");
    }
    assert!(metrics.contains("\ncounterfoil_durable_mark "));
    assert_eq!(get(&http, "/").0, 404);
}

#[test]
fn a_read_only_server_reads_and_does_not_append() {
    let desk = Desk::new();
    let server = desk.serve();
    server.append("s", "1");
    server.stop();
    let mut server = desk.serve_with(&["--read-only", "--http", "127.0.0.1:0"]);
    let http = http_address(&server.next_line());
    assert_eq!(get(&http, "/readyz"), (200, "read-only, as asked\n".into()));
    assert_eq!(server.json(&["get", "1"])["payload"], 1);
    let append = ["append", "-", "--stream", "s", "--kind", "test.note/1"];
    assert_eq!(server.error_with(3, &append, b"2").code, "READ_ONLY");
}

#[test]
fn one_process_serves_a_ledger() {
    let desk = Desk::new();
    let _server = desk.serve();
    let second = desk.run(&["--json", "serve", &desk.text("ledger"), "--listen", "127.0.0.1:0"]).error(3);
    assert_eq!(second.code, "LOCKED");
}

#[test]
fn a_server_without_authentication_stays_on_loopback() {
    let desk = Desk::new();
    let public = desk.run(&["--json", "serve", &desk.text("ledger"), "--listen", "0.0.0.0:0"]).error(2);
    assert!(public.message.contains("loopback"), "{}", public.message);
}

#[test]
fn the_configuration_is_read_and_its_mistakes_are_named() {
    let desk = Desk::new();
    let config = desk.write("config.toml", "payload_bytes_max = 4\n");
    let server = desk.serve_with(&["--config", &config]);
    server.append("s", "1234");
    let append = ["append", "-", "--stream", "s", "--kind", "test.note/1"];
    assert_eq!(server.error_with(3, &append, b"12345").code, "PAYLOAD_TOO_LARGE");
    server.stop();
    let config = desk.write("config.toml", "payload_max = 4\n");
    let refused = desk.run(&["--json", "serve", &desk.text("ledger"), "--config", &config]).error(2);
    assert_eq!(refused.code, "BAD_CONFIG");
    assert!(refused.message.contains("payload_max"), "{}", refused.message);
}

#[test]
fn a_taken_address_could_not_be_listened_on() {
    let desk = Desk::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let refused = desk.run(&["--json", "serve", &desk.text("ledger"), "--listen", &address]).error(3);
    assert_eq!(refused.code, "LISTEN");
}

#[test]
fn the_demo_holds_and_says_what_to_type_next() {
    let desk = Desk::new();
    let story = desk.run(&["--json", "demo", "--dir", &desk.text("demo"), "--receipts", "1500"]).expect_code(0);
    let story = story.json();
    assert_eq!(story["receipts"], 1500);
    assert_eq!(story["verified_size"], 1502);
    assert_eq!(story["damaged"]["index"], 751);
    let next: Vec<&str> =
        story["next"].as_array().unwrap().iter().map(|one| one["command"].as_str().unwrap()).collect();
    assert!(next.iter().any(|command| command.contains("receipt.proof --receipt ")), "{next:?}");
    for file in ["demo/root.pem", "demo/receipt.json", "demo/receipt.proof", "demo/ledger/HEAD", "demo/damaged/HEAD"] {
        assert!(desk.path(file).is_file(), "{file}");
    }
    assert!(!desk.path("demo/damaged/keys").exists());
}
