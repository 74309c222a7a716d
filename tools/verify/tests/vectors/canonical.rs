//! Canonical JSON with its guard.

use crate::store::{check, good_and_bad, text_or_hex};
use counterfoil_rules::{from_canonical, to_canonical};
use serde_json::{Value, json};

fn nested(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

fn accepted() -> Vec<String> {
    let cases = [
        "null",
        "true",
        "0",
        "-1",
        "9007199254740991",
        "-9007199254740991",
        "\"\"",
        "[]",
        "{}",
        "[1,\"a\",null,false,[],{}]",
        r#"{"":1,"A":2,"a":3,"aa":4}"#,
        r#""\b\t\n\f\r\"\\/""#,
        "\"\\u0000\\u001f\u{7f}\u{80}\u{2028}\"",
        "\"\u{e4}\u{20ac}\u{1f9fe}\"",
        // Keys are ordered by UTF-16 code units: the surrogates of U+1F9FE come before U+FB33.
        "{\"\u{20ac}\":1,\"\u{1f9fe}\":2,\"\u{fb33}\":3}",
    ];
    let mut cases = cases.map(str::to_owned).to_vec();
    cases.push(nested(64));
    cases.push(format!("{}0{}", "[".repeat(63), "]".repeat(63)));
    cases
}

fn refused() -> Vec<(&'static str, Vec<u8>)> {
    let cases: [(&str, &[u8]); 33] = [
        ("empty", b""),
        ("white space before", b" 1"),
        ("a line feed behind", b"1\n"),
        ("white space within", b"[1, 2]"),
        ("a byte order mark", b"\xef\xbb\xbf1"),
        ("not UTF-8", b"\"\xff\""),
        ("two values", b"1 2"),
        ("a fraction", b"1.5"),
        ("an integer with a fraction of zero", b"1.0"),
        ("an exponent", b"1e3"),
        ("negative zero", b"-0"),
        ("a leading zero", b"01"),
        ("a plus", b"+1"),
        ("2^53", b"9007199254740992"),
        ("-2^53", b"-9007199254740992"),
        ("2^64", b"18446744073709551616"),
        ("a number beyond floats", b"1e999"),
        ("not a number", b"NaN"),
        ("keys out of order", br#"{"b":1,"a":2}"#),
        ("keys in the order of code points where UTF-16 differs", "{\"\u{fb33}\":3,\"\u{1f9fe}\":2}".as_bytes()),
        ("a key twice", br#"{"a":1,"a":1}"#),
        ("a key twice, once escaped", br#"{"a":1,"\u0061":1}"#),
        ("an escaped slash", br#""\/""#),
        ("an escape where none is needed", br#""\u0061""#),
        ("a long escape where a short one exists", br#""\u000a""#),
        ("an escape in upper case", br#""\u001F""#),
        ("an escaped pair of surrogates", br#""\ud83e\uddfe""#),
        ("half a pair of surrogates", br#""\ud83e""#),
        ("a control character that is not escaped", b"\"\x01\""),
        ("a comma too many", b"[1,]"),
        ("a comment", b"1//"),
        ("single quotes", b"'a'"),
        ("a word", b"True"),
    ];
    let mut cases: Vec<_> = cases.into_iter().map(|(why, bytes)| (why, bytes.to_vec())).collect();
    cases.push(("65 levels of arrays", nested(65).into_bytes()));
    cases.push(("a number within 64 arrays", format!("{}0{}", "[".repeat(64), "]".repeat(64)).into_bytes()));
    cases.push(("levels beyond any stack", b"[".repeat(20_000)));
    cases
}

#[test]
fn canonical_json_is_that_of_the_vectors() {
    let good = accepted().into_iter().map(|text| {
        let value: Value = from_canonical(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(to_canonical(&value).unwrap(), text.as_bytes());
        json!({ "text": text })
    });
    let bad = refused().into_iter().map(|(why, bytes)| {
        assert!(from_canonical::<Value>(&bytes).is_err(), "{why}");
        let mut case =
            if bytes.len() > 10_000 { json!({ "text": "[", "times": bytes.len() }) } else { text_or_hex(&bytes) };
        case["why"] = json!(why);
        case
    });
    check("canonical-json.json", &good_and_bad(good.collect(), bad.collect()));
}
