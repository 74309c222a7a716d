//! Keys in vkey form.

use crate::sample::{ORIGIN, key, origin, signer};
use crate::store::{check, good_and_bad};
use counterfoil_proof::{SignatureType, VerifierKey, hex, unhex};
use ed25519_dalek::VerifyingKey;
use serde_json::json;

/// A key whose bytes are not those of a point's first encoding: y is p + 3.
const SECOND_ENCODING: &str = "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f";
/// No point of the curve has y = 2.
const NO_POINT: &str = "0200000000000000000000000000000000000000000000000000000000000000";

fn key_of_bytes(public_key: &str) -> VerifierKey {
    let bytes = <[u8; 32]>::try_from(unhex(public_key).unwrap()).unwrap();
    let point = VerifyingKey::from_bytes(&bytes).unwrap();
    VerifierKey::new(origin(ORIGIN), SignatureType::Ed25519, point)
}

/// The text of a vkey with these parts, whether they belong together or not.
fn text(name: &str, kind: u8, public_key: &[u8]) -> String {
    use base64::Engine as _;
    use sha2::Digest as _;
    let key = [&[kind], public_key].concat();
    let id = sha2::Sha256::digest([name.as_bytes(), b"\n", &key].concat());
    format!("{name}+{}+{}", hex(&id[..4]), base64::engine::general_purpose::STANDARD.encode(key))
}

fn malformed() -> Vec<(&'static str, String)> {
    let good = signer().verifier().to_string();
    let public_key = *signer().verifier().public_key();
    let (start, id_and_key) = good.split_once('+').unwrap();
    let (id, base64) = id_and_key.split_once('+').unwrap();
    vec![
        ("empty", String::new()),
        ("one part", start.to_owned()),
        ("two parts", format!("{start}+{id}")),
        ("no name", format!("+{id_and_key}")),
        ("white space in the name", good.replace("example", "exam ple")),
        ("another name", good.replace("example", "exemple")),
        ("key id in upper case", format!("{start}+{}+{base64}", id.to_uppercase())),
        ("key id of seven digits", format!("{start}+{}+{base64}", &id[1..])),
        ("another key id", format!("{start}+{}+{base64}", "00000000")),
        ("padding where none belongs", format!("{good}=")),
        ("the URL alphabet", good.replacen("+Ac", "+A_", 1)),
        ("a line feed behind", format!("{good}\n")),
        ("31 bytes of key", text(ORIGIN, 1, &public_key[..31])),
        ("33 bytes of key", text(ORIGIN, 1, &[public_key.as_slice(), &[0]].concat())),
        ("type 0", text(ORIGIN, 0, &public_key)),
        ("type 2", text(ORIGIN, 2, &public_key)),
        ("type 255", text(ORIGIN, 255, &public_key)),
        ("no point of the curve", text(ORIGIN, 1, &unhex(NO_POINT).unwrap())),
    ]
}

#[test]
fn keys_are_those_of_the_vectors() {
    let good = [
        signer().verifier().clone(),
        key("witness.example/w1", SignatureType::CosignatureV1, 0x81),
        key("b\u{fc}cher.example/log", SignatureType::Ed25519, 0x82),
        key_of_bytes(SECOND_ENCODING),
    ]
    .map(|key| {
        let vkey = key.to_string();
        assert_eq!(VerifierKey::parse(&vkey).as_ref(), Ok(&key));
        json!({
            "vkey": vkey,
            "name": key.name().as_str(),
            "type": key.kind().byte(),
            "key_id": hex(&key.id().0),
            "public_key": hex(key.public_key()),
        })
    });
    let bad = malformed().into_iter().map(|(why, vkey)| {
        assert!(VerifierKey::parse(&vkey).is_err(), "{why}: {vkey}");
        json!({ "why": why, "vkey": vkey })
    });
    check("keys.json", &good_and_bad(good.to_vec(), bad.collect()));
}
