//! What a writer signs.

use crate::sample::{control_envelope, counting, key, plain_envelope, secret};
use crate::store::check;
use counterfoil_proof::{
    ClassId, Envelope, Hash, LeafIndex, Link, Media, SignatureType, Subject, WriterSignature, WriterStatement, hex,
};
use ed25519_dalek::Signer as _;
use serde_json::json;

const WRITER: &str = "agent-7";

fn envelopes() -> Vec<(&'static str, Envelope)> {
    let link = |index, first| Link { index: LeafIndex(index), leaf: Hash(counting(first)) };
    let full = Envelope {
        class: ClassId(258),
        media: Media::Cbor,
        closes_stream: true,
        subject: Some(Subject(counting(0x70))),
        links: vec![link(3, 1), link(0, 2)],
        ..plain_envelope()
    };
    vec![
        ("no subject, no link", plain_envelope()),
        ("subject, two links, class 258, closes its stream", full),
        ("a control receipt", control_envelope()),
    ]
}

#[test]
fn writer_statements_are_those_of_the_vectors() {
    let ledger = Hash(counting(0xc0));
    let verifier = key(WRITER, SignatureType::Ed25519, 0x84);
    let cases = envelopes().into_iter().map(|(name, envelope)| {
        let statement = WriterStatement::of(ledger, &envelope);
        let bytes = secret(0x84).sign(&statement.message()).to_bytes();
        let signature = WriterSignature { key_id: verifier.id(), bytes };
        assert!(statement.is_signed_by(&signature, &verifier), "{name}");
        assert!(!WriterStatement::of(Hash(counting(0xc1)), &envelope).is_signed_by(&signature, &verifier), "{name}");
        json!({
            "name": name,
            "statement": hex(&statement.message()),
            "envelope": hex(&Envelope { writer_signature: Some(signature), ..envelope }.encode()),
        })
    });
    let cases: Vec<_> = cases.collect();
    check("writer.json", &json!({ "ledger_id": ledger.to_string(), "vkey": verifier.to_string(), "cases": cases }));
}
