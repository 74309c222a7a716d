//! Payloads of control receipts.

use crate::sample::{ORIGIN, TIME, control_envelope, counting, genesis_envelope, key, signer};
use crate::store::{check, good_and_bad};
use core::time::Duration;
use counterfoil_proof::{
    CommitmentAlgorithm, Envelope, Hash, Kind, LeafIndex, SignatureType, StreamName, TreeSize, VerifierKey,
};
use counterfoil_rules::{
    ControlReceipt, EXPORTED_KIND, ExportScope, Exported, Genesis, RELEASE_DELAY_DEFAULT, Recovered, Rules,
    to_canonical,
};
use serde_json::{Value, json};

type Payloads = Vec<(&'static str, Vec<u8>)>;

fn root(name: &str, first: u8) -> VerifierKey {
    key(name, SignatureType::Ed25519, first)
}

pub(crate) fn genesis() -> Genesis {
    Genesis {
        origin: signer().verifier().name().clone(),
        commitment: CommitmentAlgorithm::Blake3,
        checkpoint_key: signer().verifier().clone(),
        roots: Vec::new(),
        root_threshold: 0,
        release_delay: RELEASE_DELAY_DEFAULT,
        created: TIME,
        random: counting(0x40),
    }
}

fn recovered() -> Recovered {
    Recovered {
        cut_file: "00000000000000000000-16384-2d3adedff11b61f1.cut".into(),
        cut_digest: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213".into(),
        cut_bytes: 512,
        kept_size: "7".into(),
        kept_root: Hash(counting(0xa0)).to_string(),
    }
}

/// A payload with one value replaced; `Null` takes the key away.
fn with(payload: &[u8], name: &str, value: Value) -> Vec<u8> {
    let mut object: Value = serde_json::from_slice(payload).unwrap();
    match value {
        Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
        value => object[name] = value,
    }
    to_canonical(&object).unwrap()
}

fn genesis_cases() -> [Payloads; 2] {
    let payload = |genesis: &Genesis| genesis.to_payload().unwrap();
    let plain = payload(&genesis());
    let two_roots = Genesis { roots: vec![root("ann", 1), root("bob", 2)], root_threshold: 2, ..genesis() };
    let hmac = Genesis { commitment: CommitmentAlgorithm::HmacSha256, release_delay: Duration::ZERO, ..genesis() };
    let many = (0..64).map(|n| root(&format!("root-{n}"), n + 1)).collect();
    let many = Genesis { roots: many, root_threshold: 64, ..genesis() };
    let good = vec![
        ("no roots", plain.clone()),
        ("two roots", payload(&two_roots)),
        ("64 roots", payload(&many)),
        ("hmac-sha256, no delay", payload(&hmac)),
    ];
    let two = payload(&two_roots);
    let roots = |keys: &[VerifierKey]| json!(keys.iter().map(ToString::to_string).collect::<Vec<_>>());
    let other = root("example.com/other", 3);
    let witness = key(ORIGIN, SignatureType::CosignatureV1, 0x80);
    let mut bad: Vec<_> = ["checkpoint_key", "commitment", "created", "format", "origin", "random"]
        .into_iter()
        .chain(["release_delay_seconds", "root_threshold", "roots", "tree"])
        .map(|name| ("a key is missing", with(&plain, name, Value::Null)))
        .collect();
    bad.extend([
        ("an unknown key", with(&plain, "more", json!(1))),
        ("white space", [plain.as_slice(), b"\n"].concat()),
        ("not an object", b"[]".to_vec()),
        ("another format", with(&plain, "format", json!(2))),
        ("format as text", with(&plain, "format", json!("1"))),
        ("another tree", with(&plain, "tree", json!("rfc6962-sha512"))),
        ("another commitment", with(&plain, "commitment", json!("sha256"))),
        ("created is a number", with(&plain, "created", json!(1))),
        ("created has a leading zero", with(&plain, "created", json!("01"))),
        ("created has a sign", with(&plain, "created", json!("+1"))),
        ("created is beyond 64 bits", with(&plain, "created", json!("18446744073709551616"))),
        ("random is short", with(&plain, "random", json!("00"))),
        ("random in upper case", with(&plain, "random", json!("AB".repeat(32)))),
        ("the key has another name than the origin", with(&plain, "checkpoint_key", json!(other.to_string()))),
        ("the key is of a witness", with(&plain, "checkpoint_key", json!(witness.to_string()))),
        ("a negative delay", with(&plain, "release_delay_seconds", json!(-1))),
        ("a threshold without roots", with(&plain, "root_threshold", json!(1))),
        ("threshold 0 with roots", with(&two, "root_threshold", json!(0))),
        ("a threshold above the roots", with(&two, "root_threshold", json!(3))),
        ("one name twice", with(&two, "roots", roots(&[root("ann", 1), root("ann", 2)]))),
        ("one key twice", with(&two, "roots", roots(&[root("ann", 1), root("bob", 1)]))),
        ("a root whose name is no principal", with(&two, "roots", roots(&[root("ann", 1), root(&"r".repeat(65), 2)]))),
        ("65 roots", {
            let keys: Vec<_> = (0..65).map(|n| root(&format!("root-{n}"), n + 1)).collect();
            with(&two, "roots", roots(&keys))
        }),
    ]);
    [good, bad]
}

fn recovered_cases() -> [Payloads; 2] {
    let plain = to_canonical(&recovered()).unwrap();
    let good = vec![("kept all", plain.clone()), ("kept less", with(&plain, "kept_size", json!("1")))];
    let mut bad: Vec<_> = ["cut_bytes", "cut_digest", "cut_file", "kept_root", "kept_size"]
        .map(|name| ("a key is missing", with(&plain, name, Value::Null)))
        .to_vec();
    bad.extend([
        ("an unknown key", with(&plain, "more", json!(1))),
        ("kept_size above the receipt's index", with(&plain, "kept_size", json!("8"))),
        ("kept_size is a number", with(&plain, "kept_size", json!(7))),
        ("kept_size has a leading zero", with(&plain, "kept_size", json!("07"))),
        ("kept_root is short", with(&plain, "kept_root", json!("00"))),
        ("kept_root in upper case", with(&plain, "kept_root", json!("AB".repeat(32)))),
        ("cut_bytes is text", with(&plain, "cut_bytes", json!("512"))),
        ("cut_bytes is negative", with(&plain, "cut_bytes", json!(-1))),
    ]);
    [good, bad]
}

fn exported_cases() -> [Payloads; 2] {
    let head = Hash(counting(0xb0));
    let of = |scope, count, size| Exported { scope, size: TreeSize(size), count, head }.to_payload().unwrap();
    let stream = || ExportScope::Stream(StreamName::new("incident/INC-42").unwrap());
    let plain = of(stream(), 3, 7);
    let range = of(ExportScope::Range { from: LeafIndex(2), to: TreeSize(6) }, 4, 7);
    let good = vec![("a stream", plain.clone()), ("a range", range.clone())];
    let mut bad: Vec<_> =
        ["count", "head", "scope", "size"].map(|name| ("a key is missing", with(&plain, name, Value::Null))).to_vec();
    bad.extend([
        ("an unknown key", with(&plain, "more", json!(1))),
        ("count 0", with(&plain, "count", json!("0"))),
        ("count above the size", with(&plain, "count", json!("8"))),
        ("count is a number", with(&plain, "count", json!(3))),
        ("size above the receipt's index", with(&plain, "size", json!("8"))),
        ("head in upper case", with(&plain, "head", json!("AB".repeat(32)))),
        ("an empty stream name", with(&plain, "scope", json!({ "stream": "" }))),
        ("an empty scope", with(&plain, "scope", json!({}))),
        ("a scope of both", with(&range, "scope", json!({ "from": "2", "stream": "s", "to": "6" }))),
        ("a range with another count", with(&range, "count", json!("3"))),
        ("an empty range", with(&range, "scope", json!({ "from": "6", "to": "6" }))),
        ("a range beyond the size", with(&range, "scope", json!({ "from": "4", "to": "8" }))),
    ]);
    [good, bad]
}

fn exported_envelope() -> Envelope {
    Envelope { kind: Kind::new(EXPORTED_KIND).unwrap(), ..control_envelope() }
}

fn apply(envelope: &Envelope, payload: &[u8]) -> bool {
    let first = genesis().to_payload().unwrap();
    let rules = Rules::begin(ControlReceipt { envelope: &genesis_envelope(), payload: &first }).unwrap();
    rules.apply(ControlReceipt { envelope, payload }).is_ok()
}

fn shown(cases: Vec<(&str, Vec<u8>)>, expected: bool, judge: impl Fn(&[u8]) -> bool) -> Vec<Value> {
    let shown = cases.into_iter().map(|(name, payload)| {
        assert_eq!(judge(&payload), expected, "{name}: {}", String::from_utf8_lossy(&payload));
        let text = String::from_utf8(payload).unwrap();
        json!({ if expected { "name" } else { "why" }: name, "text": text })
    });
    shown.collect()
}

#[test]
fn control_payloads_are_judged_as_in_the_vectors() {
    let genesis_holds = |payload: &[u8]| Genesis::from_payload(payload).is_ok();
    let [good, bad] = genesis_cases();
    let genesis = good_and_bad(shown(good, true, genesis_holds), shown(bad, false, genesis_holds));
    let at_index_7 = |payload: &[u8]| apply(&control_envelope(), payload);
    let [good, bad] = recovered_cases();
    let recovered = good_and_bad(shown(good, true, at_index_7), shown(bad, false, at_index_7));
    assert_eq!(control_envelope().index, LeafIndex(7));
    let at_index_7 = |payload: &[u8]| apply(&exported_envelope(), payload);
    let [good, bad] = exported_cases();
    let exported = good_and_bad(shown(good, true, at_index_7), shown(bad, false, at_index_7));
    let vectors = json!({
        "ledger.genesis/1": genesis,
        "ledger.recovered/1 at index 7": recovered,
        "ledger.exported/1 at index 7": exported,
    });
    check("control.json", &vectors);
}
