//! Names, one by one, good and bad. Numbers of variable length stand in the table of frames and in stream indexes.

use crate::store::{check, good_and_bad, text_or_hex};
use counterfoil_proof::{Kind, NameError, Origin, Principal, StreamName};
use serde_json::{Value, json};

type Parse = fn(&[u8]) -> Result<(), NameError>;

fn judged(parse: Parse, good: &[&[u8]], bad: &[(&str, &[u8])]) -> Value {
    let good = good.iter().map(|name| {
        parse(name).unwrap_or_else(|error| panic!("{name:?}: {error}"));
        text_or_hex(name)
    });
    let bad = bad.iter().map(|(why, name)| {
        assert!(parse(name).is_err(), "{why}");
        let mut case = text_or_hex(name);
        case["why"] = json!(why);
        case
    });
    good_and_bad(good.collect(), bad.collect())
}

fn stream() -> Value {
    let long = [b's'; 129];
    let good: [&[u8]; 6] =
        [b"s", b"incident/INC-42", b" with spaces + signs ", "Ä\u{a0}\u{1f9fe}".as_bytes(), &long[..128], b"ledger"];
    judged(
        |name| StreamName::from_bytes(name).map(drop),
        &good,
        &[
            ("empty", b""),
            ("129 bytes", &long),
            ("U+0000", b"a\0"),
            ("U+001F", b"a\x1f"),
            ("U+007F", b"a\x7f"),
            ("U+0080", "a\u{80}".as_bytes()),
            ("U+009F", "a\u{9f}".as_bytes()),
            ("line feed", b"a\n"),
            ("not UTF-8", b"a\xff"),
            ("a surrogate", b"\xed\xa0\x80"),
            ("a longer form than needed", b"\xc0\xaf"),
        ],
    )
}

fn kind() -> Value {
    let longest = format!("{}/10", "k".repeat(61));
    let too_long = format!("{}/10", "k".repeat(62));
    judged(
        |name| Kind::from_bytes(name).map(drop),
        &[
            b"a/1",
            b"decision.approved/1",
            b"A-b_c.d/99999999999999999999999",
            b".../2",
            b"ledger.genesis/1",
            longest.as_bytes(),
        ],
        &[
            ("empty", b""),
            ("no version", b"decision"),
            ("empty version", b"decision/"),
            ("empty name", b"/1"),
            ("leading zero", b"decision/01"),
            ("version 0", b"decision/0"),
            ("two slashes", b"decision/approved/1"),
            ("letter in the version", b"decision/1a"),
            ("a sign", b"decision/+1"),
            ("a space", b"a b/1"),
            ("not ASCII", "d\u{e9}cision/1".as_bytes()),
            ("65 bytes", too_long.as_bytes()),
        ],
    )
}

fn principal() -> Value {
    let long = [b'p'; 65];
    judged(
        |name| Principal::from_bytes(name).map(drop),
        &[b"a", b"agent-7", b"a+b@example.com", "zo\u{eb}".as_bytes(), &long[..64], "a\u{200b}".as_bytes()],
        &[
            ("empty", b""),
            ("65 bytes", &long),
            ("a space", b"a b"),
            ("a tab", b"a\tb"),
            ("U+0085", "a\u{85}".as_bytes()),
            ("U+00A0", "a\u{a0}".as_bytes()),
            ("U+1680", "a\u{1680}".as_bytes()),
            ("U+2000", "a\u{2000}".as_bytes()),
            ("U+200A", "a\u{200a}".as_bytes()),
            ("U+2028", "a\u{2028}".as_bytes()),
            ("U+202F", "a\u{202f}".as_bytes()),
            ("U+205F", "a\u{205f}".as_bytes()),
            ("U+3000", "a\u{3000}".as_bytes()),
            ("U+0007", b"a\x07"),
            ("not UTF-8", b"\xff"),
        ],
    )
}

fn origin() -> Value {
    let long = [b'o'; 256];
    judged(
        |name| Origin::from_bytes(name).map(drop),
        &[b"o", b"example.com/support", "b\u{fc}cher.example/log".as_bytes(), &long[..255]],
        &[
            ("empty", b""),
            ("256 bytes", &long),
            ("a plus", b"a+b"),
            ("a space", b"a b"),
            ("U+2003", "a\u{2003}".as_bytes()),
            ("U+009F", "a\u{9f}".as_bytes()),
            ("not UTF-8", b"a\xfe"),
        ],
    )
}

#[test]
fn names_are_those_of_the_vectors() {
    let names = json!({ "stream": stream(), "kind": kind(), "principal": principal(), "origin": origin() });
    check("names.json", &names);
}
