//! Trust policies: malformed ones, and what checkpoints satisfy which.

use crate::sample::{ORIGIN, checkpoint, cosignature, key, line, signed};
use crate::store::{check, text_or_hex};
use counterfoil_proof::{KeyId, NoteSignature, PolicyError, SignatureType, SignedCheckpoint, TrustPolicy};
use serde_json::{Value, json};

const LOG: u8 = 0x80;
const WITNESSES: [(&str, u8); 3] = [("w.example/1", 0x81), ("w.example/2", 0x82), ("w.example/3", 0x83)];
const SECONDS: u64 = 1_767_225_600;

fn log() -> String {
    format!("log {}\n", key(ORIGIN, SignatureType::Ed25519, LOG))
}

/// A `witness` line for witness n, named wn.
fn witness(n: usize) -> String {
    let (name, first) = WITNESSES[n - 1];
    format!("witness w{n} {}\n", key(name, SignatureType::CosignatureV1, first))
}

fn three() -> String {
    log() + &witness(1) + &witness(2) + &witness(3)
}

/// Signature lines of the log and of these witnesses over the sample checkpoint.
fn by(witnesses: &[usize]) -> Vec<NoteSignature> {
    let text = checkpoint().text();
    let cosigned = witnesses.iter().map(|n| {
        let (name, first) = WITNESSES[n - 1];
        cosignature(name, first, SECONDS, &text)
    });
    core::iter::once(line(ORIGIN, LOG, &text)).chain(cosigned).collect()
}

fn broken(mut line: NoteSignature) -> NoteSignature {
    *line.bytes.last_mut().unwrap() ^= 1;
    line
}

struct Case {
    name: &'static str,
    policy: String,
    lines: Vec<NoteSignature>,
    satisfied: bool,
}

fn case(name: &'static str, policy: String, lines: Vec<NoteSignature>, satisfied: bool) -> Case {
    Case { name, policy, lines, satisfied }
}

fn logs() -> Vec<Case> {
    let text = checkpoint().text();
    let none = log() + "quorum none\n";
    let [own] = <[NoteSignature; 1]>::try_from(by(&[])).unwrap();
    let stranger = line("example.com/stranger", 0x90, &text);
    let second = format!("log {}\n", key(ORIGIN, SignatureType::Ed25519, 0x84));
    let other_name = format!("log {}\nquorum none\n", key("example.com/other", SignatureType::Ed25519, LOG));
    let cut = NoteSignature { bytes: own.bytes[..63].to_vec(), ..own.clone() };
    let other_id = NoteSignature { key_id: KeyId([0; 4]), ..own.clone() };
    vec![
        case("the log signed", none.clone(), vec![own.clone()], true),
        case("the log signed twice", none.clone(), vec![own.clone(), own.clone()], true),
        case("lines of unknown keys are ignored", none.clone(), vec![stranger.clone(), own.clone()], true),
        case(
            "a line with the log's name and another key id is of an unknown key",
            none.clone(),
            vec![other_id.clone(), own.clone()],
            true,
        ),
        case("one of two log keys signed", log() + &second + "quorum none\n", vec![own.clone()], true),
        case("nobody known signed", none.clone(), vec![stranger], false),
        case("only a line with another key id", none.clone(), vec![other_id], false),
        case("the log's signature is wrong", none.clone(), vec![broken(own.clone())], false),
        case("a second line of the log is wrong", none.clone(), vec![own.clone(), broken(own.clone())], false),
        case("a second line of the log has 63 bytes", none.clone(), vec![own.clone(), cut], false),
        case(
            "the second log key signed wrongly",
            log() + &second + "quorum none\n",
            vec![own.clone(), broken(line(ORIGIN, 0x84, &text))],
            false,
        ),
        case("the log's name is not the origin", other_name, vec![line("example.com/other", LOG, &text)], false),
        case("no log line", "quorum none\n".to_owned(), vec![own.clone()], false),
        case("a signature over another text", none, vec![line(ORIGIN, LOG, "another\n")], false),
    ]
}

fn quorums() -> Vec<Case> {
    let of = |rest: &str| three() + rest;
    let two = of("group g 2 w1 w2 w3\nquorum g\n");
    let nested = of("group a any w1 w2\ngroup b all a w3\nquorum b\n");
    vec![
        case("one witness, who signed", of("quorum w1\n"), by(&[1]), true),
        case("one witness, another signed", of("quorum w1\n"), by(&[2]), false),
        case("two of three, two signed", two.clone(), by(&[1, 3]), true),
        case("two of three, one signed", two.clone(), by(&[3]), false),
        case("two of three, one signed twice", two.clone(), by(&[3, 3]), false),
        case("all, all signed", of("group g all w1 w2 w3\nquorum g\n"), by(&[1, 2, 3]), true),
        case("all, two signed", of("group g all w1 w2 w3\nquorum g\n"), by(&[1, 2]), false),
        case("any, none signed", of("group g any w1 w2 w3\nquorum g\n"), by(&[]), false),
        case("a group in a group, reached", nested.clone(), by(&[2, 3]), true),
        case("a group in a group, not reached", nested, by(&[1, 2]), false),
        case("no quorum asked for, a witness signed", of("quorum none\n"), by(&[1]), true),
        case("the log did not sign", two, by(&[1, 2])[1..].to_vec(), false),
    ]
}

fn cosignatures() -> Vec<Case> {
    let one = three() + "quorum w1\n";
    let text = checkpoint().text();
    let (name, first) = WITNESSES[0];
    let with = |witness: NoteSignature| [by(&[]), vec![witness]].concat();
    let right = cosignature(name, first, SECONDS, &text);
    let mut other_time = right.clone();
    other_time.bytes[7] ^= 1;
    let plain = NoteSignature { bytes: line(name, first, &text).bytes, ..right.clone() };
    let short = NoteSignature { bytes: right.bytes[..71].to_vec(), ..right.clone() };
    let long = NoteSignature { bytes: [right.bytes.as_slice(), &[0]].concat(), ..right.clone() };
    vec![
        case("second 0", one.clone(), with(cosignature(name, first, 0, &text)), true),
        case("second 2^63 - 1", one.clone(), with(cosignature(name, first, u64::MAX >> 1, &text)), true),
        case("second 2^63", one.clone(), with(cosignature(name, first, 1 << 63, &text)), false),
        case("another second than the signed one", one.clone(), with(other_time), false),
        case("71 bytes", one.clone(), with(short), false),
        case("73 bytes", one.clone(), with(long), false),
        case("a signature without a time", one.clone(), with(plain), false),
        case(
            "a wrong line of a witness that the quorum does not need",
            one.clone(),
            [by(&[1]), vec![broken(by(&[2])[1].clone())]].concat(),
            false,
        ),
        case(
            "a witness's line over another checkpoint",
            one,
            with(cosignature(name, first, SECONDS, "another\n")),
            false,
        ),
    ]
}

fn layouts() -> Vec<Case> {
    let own = by(&[]);
    let vkey = key(ORIGIN, SignatureType::Ed25519, LOG);
    let spread = format!(
        "\n# a comment: \u{e4}\n  \t\n  # indented\n \tlog\t {vkey} \t https://example.com/log \nquorum   none"
    );
    vec![
        case("comments, empty lines, tabs, a URL and no last line feed", spread, own.clone(), true),
        case("quorum before log", format!("quorum none\n{}", log()), own.clone(), true),
        case("a threshold as large as the group", three() + "group g 3 w1 w2 w3\nquorum g\n", by(&[1, 2, 3]), true),
        case("a name that is a keyword", log() + &witness(1).replace(" w1 ", " log ") + "quorum log\n", by(&[1]), true),
    ]
}

fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |rest: &str| (three() + rest).into_bytes();
    let only = |text: String| text.into_bytes();
    let log_key = key(ORIGIN, SignatureType::Ed25519, LOG);
    let witness_key = key("w.example/9", SignatureType::CosignatureV1, 0x90);
    vec![
        ("empty", Vec::new()),
        ("no quorum line", bytes("")),
        ("two quorum lines", bytes("quorum none\nquorum none\n")),
        ("quorum of an unknown name", bytes("quorum w4\n")),
        ("quorum of two names", bytes("quorum w1 w2\n")),
        ("quorum without a name", bytes("quorum\n")),
        ("an unknown keyword", bytes("logs x\nquorum none\n")),
        ("a keyword in upper case", bytes("QUORUM none\n")),
        ("log without a key", bytes("log\nquorum none\n")),
        ("log with two words behind the key", only(format!("log {log_key} a b\nquorum none\n"))),
        ("log with a key of a witness", only(format!("log {witness_key}\nquorum none\n"))),
        ("one key in two log lines", only(log() + &log() + "quorum none\n")),
        ("one key under two names in two log lines", {
            only(log() + &format!("log {}\nquorum none\n", key("example.com/other", SignatureType::Ed25519, LOG)))
        }),
        ("witness without a key", bytes("witness w4\nquorum none\n")),
        ("witness with a key of a log", bytes(&format!("witness w4 {log_key}\nquorum none\n"))),
        ("one key in two witness lines", bytes(&(witness(1).replace("w1", "w4") + "quorum none\n"))),
        ("one name for two witnesses", bytes(&format!("witness w1 {witness_key}\nquorum none\n"))),
        ("a witness named none", bytes(&format!("witness none {witness_key}\nquorum none\n"))),
        ("a group named none", bytes("group none any w1\nquorum none\n")),
        ("a group named like a witness", bytes("group w1 any w2\nquorum none\n")),
        ("a group without members", bytes("group g 1\nquorum g\n")),
        ("a group of an unknown name", bytes("group g any w4\nquorum g\n")),
        ("a group of a later name", bytes("group g any h\ngroup h any w1\nquorum g\n")),
        ("a group of itself", bytes("group g any g\nquorum g\n")),
        ("a name in two groups", bytes("group g any w1 w2\ngroup h any w1 w3\nquorum g\n")),
        ("a name twice in a group", bytes("group g any w1 w1\nquorum g\n")),
        ("threshold 0", bytes("group g 0 w1 w2\nquorum g\n")),
        ("threshold above the members", bytes("group g 3 w1 w2\nquorum g\n")),
        ("threshold with a leading zero", bytes("group g 01 w1 w2\nquorum g\n")),
        ("threshold with a sign", bytes("group g +1 w1 w2\nquorum g\n")),
        ("a broken key", bytes("log example.com/x+00000000+AQ==\nquorum none\n")),
        ("carriage returns", only((three() + "quorum none\n").replace('\n', "\r\n"))),
        ("a zero byte in a comment", bytes("# \0\nquorum none\n")),
    ]
}

fn shown(case: Case) -> Value {
    let note = signed(case.lines);
    let policy = TrustPolicy::parse(case.policy.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let verdict = SignedCheckpoint::parse(note.to_string().as_bytes()).unwrap().verify(&policy);
    assert_eq!(verdict.is_ok(), case.satisfied, "{}: {verdict:?}", case.name);
    let reason = match verdict {
        Ok(_) => Value::Null,
        Err(PolicyError::NoTrustedSignature { .. }) => json!("no signature of a trusted log"),
        Err(PolicyError::BadSignature { .. }) => json!("a line of a known key does not verify"),
        Err(PolicyError::Quorum { .. }) => json!("the quorum is not reached"),
        Err(other) => panic!("{}: {other}", case.name),
    };
    json!({
        "name": case.name,
        "policy": case.policy,
        "note": note.to_string(),
        "satisfied": case.satisfied,
        "reason": reason,
    })
}

#[test]
fn policies_are_judged_as_in_the_vectors() {
    let cases = [logs(), quorums(), cosignatures(), layouts()].into_iter().flatten().map(shown);
    let bad = malformed().into_iter().map(|(why, policy)| {
        assert!(TrustPolicy::parse(&policy).is_err(), "{why}");
        let mut case = text_or_hex(&policy);
        case["why"] = json!(why);
        case
    });
    check("policies.json", &json!({ "cases": cases.collect::<Vec<_>>(), "malformed": bad.collect::<Vec<_>>() }));
}
