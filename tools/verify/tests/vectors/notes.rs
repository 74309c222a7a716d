//! Signed notes and checkpoints: what is one, and how strictly it is read.

use crate::sample::{ORIGIN, checkpoint, cosignature, line, origin, signed};
use crate::store::{check, good_and_bad, text_or_hex};
use counterfoil_proof::{
    Checkpoint, Hash, KeyId, NOTE_LEN_MAX, NOTE_SIGNATURES_MAX, NoteSignature, SignedCheckpoint, SignedNote, TreeSize,
    hex,
};
use serde_json::{Value, json};

fn note(text: &str, lines: Vec<NoteSignature>) -> SignedNote {
    SignedNote::new(text.to_owned(), lines).unwrap()
}

fn accepted_notes() -> Vec<(&'static str, SignedNote)> {
    let one = |text| note(text, vec![line(ORIGIN, 0x80, text)]);
    let text = checkpoint().text();
    let many = (0..NOTE_SIGNATURES_MAX).map(|_| line(ORIGIN, 0x80, "many\n")).collect();
    let short = |bytes: &[u8]| NoteSignature { name: origin("k"), key_id: KeyId(*b"abcd"), bytes: bytes.to_vec() };
    vec![
        ("one line of text", one("hello\n")),
        ("an empty line within the text", one("hello\n\nworld\n")),
        ("a text that is one line feed", one("\n")),
        ("text beyond ASCII", one("Grüße \u{1f9fe}\u{7f}\u{85}\n")),
        ("a checkpoint", signed(vec![line(ORIGIN, 0x80, &text)]).note().clone()),
        (
            "two signatures",
            note(&text, vec![line(ORIGIN, 0x80, &text), cosignature("witness.example/w1", 0x81, 1, &text)]),
        ),
        ("64 signature lines", note("many\n", many)),
        ("a signature of one byte", note("hello\n", vec![short(&[7])])),
        ("a key id and no signature", note("hello\n", vec![short(&[])])),
        ("a text that looks like a signature line", one("\u{2014} example.com/vectors AAAA\n")),
    ]
}

fn malformed_notes() -> Vec<(&'static str, Vec<u8>)> {
    let good = note("hello\n", vec![line(ORIGIN, 0x80, "hello\n")]).to_string();
    let signature = good.split_once("\n\n").unwrap().1.to_owned();
    let bytes = |text: String| text.into_bytes();
    let change = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(changed, good, "{from} is there");
        changed.into_bytes()
    };
    vec![
        ("empty", Vec::new()),
        ("no empty line", change("\n\n", "\n")),
        ("no signature line", b"hello\n\n".to_vec()),
        ("no text and no line feed before the empty line", bytes(format!("\n{signature}"))),
        ("no line feed at the end", bytes(good.trim_end().to_owned())),
        ("an empty line at the end", bytes(format!("{good}\n"))),
        ("carriage returns", bytes(good.replace('\n', "\r\n"))),
        ("a tab in the text", change("hello", "hel\tlo")),
        ("a zero byte in the text", change("hello", "hel\0lo")),
        ("not UTF-8", [b"\xff", good.as_bytes()].concat()),
        ("a hyphen for the dash", change("\u{2014}", "-")),
        ("no space behind the dash", change("\u{2014} ", "\u{2014}")),
        ("two spaces behind the dash", change("\u{2014} ", "\u{2014}  ")),
        ("two spaces behind the key name", change("vectors ", "vectors  ")),
        ("a space at the end of the line", bytes(format!("{} \n", good.trim_end()))),
        ("no key name", change("example.com/vectors ", "")),
        ("a plus in the key name", change("example.com/", "example.com+")),
        ("no-break space in the key name", change("example.com/", "example.com\u{a0}")),
        ("no signature", bytes(format!("hello\n\n\u{2014} {ORIGIN}\n"))),
        ("three bytes of signature", bytes(format!("hello\n\n\u{2014} {ORIGIN} AAAA\n"))),
        ("base64 without padding", bytes(format!("hello\n\n\u{2014} {ORIGIN} AAAAAAA\n"))),
        ("padding where none belongs", bytes(format!("hello\n\n\u{2014} {ORIGIN} AAAAAAAA====\n"))),
        ("unused bits of the base64 are not zero", bytes(format!("hello\n\n\u{2014} {ORIGIN} AAAAAAB=\n"))),
        ("the URL alphabet", bytes(format!("hello\n\n\u{2014} {ORIGIN} AAAAA-__\n"))),
        ("another line among the signatures", bytes(format!("{good}hello\n"))),
        ("65 signature lines", {
            let lines = signature.repeat(NOTE_SIGNATURES_MAX + 1);
            bytes(format!("hello\n\n{lines}"))
        }),
        ("65 537 bytes", {
            let fill = "x".repeat(NOTE_LEN_MAX + 1 - signature.len() - 2);
            bytes(format!("{fill}\n\n{signature}"))
        }),
    ]
}

/// Lines of a note or of a long one: a rule to build it by, where the bytes would only fill the page.
fn stored(bytes: &[u8]) -> Value {
    if bytes.len() <= NOTE_LEN_MAX / 2 {
        return text_or_hex(bytes);
    }
    let fill = bytes.iter().take_while(|byte| **byte == b'x').count();
    let mut case = text_or_hex(&bytes[fill..]);
    case["after_this_many_x"] = json!(fill);
    case
}

fn shown_note((name, note): (&'static str, SignedNote)) -> Value {
    let bytes = note.to_string();
    assert_eq!(SignedNote::parse(bytes.as_bytes()).as_ref(), Ok(&note), "{name}");
    let lines = note.signatures().iter().map(
        |line| json!({ "name": line.name.as_str(), "key_id": hex(&line.key_id.0), "signature": hex(&line.bytes) }),
    );
    json!({ "name": name, "note": bytes, "signed_text": note.text(), "signatures": lines.collect::<Vec<_>>() })
}

#[test]
fn notes_are_those_of_the_vectors() {
    let good = accepted_notes().into_iter().map(shown_note).collect();
    let bad = malformed_notes().into_iter().map(|(why, bytes)| {
        assert!(SignedNote::parse(&bytes).is_err(), "{why}");
        let mut case = stored(&bytes);
        case["why"] = json!(why);
        case
    });
    check("notes.json", &good_and_bad(good, bad.collect()));
}

fn accepted_checkpoints() -> Vec<(&'static str, Checkpoint)> {
    let root = checkpoint().root;
    let of = |name: &str, size, root| Checkpoint { origin: origin(name), size: TreeSize(size), root };
    vec![
        ("size 7", checkpoint()),
        ("size 0", of(ORIGIN, 0, Hash::of_empty_tree())),
        ("the largest size", of(ORIGIN, u64::MAX, root)),
        ("an origin beyond ASCII", of("b\u{fc}cher.example/log", 1, root)),
        ("the longest origin", of(&"o".repeat(255), 1, root)),
    ]
}

fn malformed_checkpoints() -> Vec<(&'static str, String)> {
    let text = checkpoint().text();
    let [_, size, root] = text.lines().collect::<Vec<_>>().try_into().unwrap();
    let of = |origin: &str, size: &str, root: &str| format!("{origin}\n{size}\n{root}\n");
    let texts = vec![
        ("an extension line", format!("{text}extension\n")),
        ("an empty extension line", format!("{text}\n")),
        ("two lines", format!("{ORIGIN}\n{size}\n")),
        ("no origin", of("", size, root)),
        ("white space in the origin", of("example com", size, root)),
        ("a plus in the origin", of("example+com", size, root)),
        ("an origin of 256 bytes", of(&"o".repeat(256), size, root)),
        ("an empty size", of(ORIGIN, "", root)),
        ("a size with a leading zero", of(ORIGIN, "07", root)),
        ("a size with a sign", of(ORIGIN, "+7", root)),
        ("a negative size", of(ORIGIN, "-7", root)),
        ("a hexadecimal size", of(ORIGIN, "0x7", root)),
        ("a space behind the size", of(ORIGIN, "7 ", root)),
        ("a size of 2^64", of(ORIGIN, "18446744073709551616", root)),
        ("digits that are not ASCII", of(ORIGIN, "\u{667}", root)),
        ("a root of 31 bytes", of(ORIGIN, size, &root.replacen(&root[..4], "", 1))),
        ("a root without padding", of(ORIGIN, size, root.trim_end_matches('='))),
        ("a root in hexadecimal", of(ORIGIN, size, &checkpoint().root.to_string())),
        ("size 0 with another root than that of no leaves", of(ORIGIN, "0", root)),
    ];
    texts.into_iter().map(|(why, text)| (why, note(&text, vec![line(ORIGIN, 0x80, &text)]).to_string())).collect()
}

#[test]
fn checkpoints_are_those_of_the_vectors() {
    let good = accepted_checkpoints().into_iter().map(|(name, checkpoint)| {
        let text = checkpoint.text();
        let signed = SignedCheckpoint::new(checkpoint.clone(), vec![line(ORIGIN, 0x80, &text)]).unwrap();
        assert_eq!(SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap().unverified(), &checkpoint);
        json!({
            "name": name,
            "note": signed.to_string(),
            "origin": checkpoint.origin.as_str(),
            "size": checkpoint.size.0.to_string(),
            "root": checkpoint.root.to_string(),
        })
    });
    let bad = malformed_checkpoints().into_iter().map(|(why, note)| {
        assert!(SignedNote::parse(note.as_bytes()).is_ok(), "{why}: a note it is");
        assert!(SignedCheckpoint::parse(note.as_bytes()).is_err(), "{why}");
        json!({ "why": why, "note": note })
    });
    check("checkpoints.json", &good_and_bad(good.collect(), bad.collect()));
}
