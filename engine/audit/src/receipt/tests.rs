use super::*;
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Hash, Kind, LeafIndex, Link, Principal, StreamName, StreamSeq, Subject, Timestamp,
};

fn envelope(media: Media, payload: &[u8]) -> Envelope {
    Envelope {
        index: LeafIndex(7),
        time: Timestamp(1_000_000_001),
        prev: Hash([1; 32]),
        control_seq: StreamSeq(1),
        control_head: Hash([2; 32]),
        stream: StreamName::new("incident/INC-42").unwrap(),
        stream_seq: StreamSeq(0),
        stream_prev: Hash::ZERO,
        kind: Kind::new("decision.refused/1").unwrap(),
        class: ClassId::FOREVER,
        writer: Principal::new("local").unwrap(),
        writer_signature: None,
        closes_stream: true,
        media,
        links: vec![Link { index: LeafIndex(3), leaf: Hash([4; 32]) }],
        subject: Some(Subject([5; 16])),
        commitment: CommitmentAlgorithm::Blake3.commit(&Salt([6; 32]), payload),
    }
}

fn json(media: Media, payload: &[u8]) -> String {
    let salt = Salt([6; 32]);
    let envelope = envelope(media, payload);
    ReceiptView { envelope: &envelope, class: "forever", content: Some((&salt, payload)), verdict: None }.to_json()
}

#[test]
fn a_receipt_reads_back_with_its_payload_byte_for_byte() {
    for (media, payload) in [
        (Media::Json, b" {\"a\": 1.0,\n\"b\":\"\\u00e9\"}\n".as_slice()),
        (Media::Json, b"null"),
        (Media::Json, b"{\"broken\":"),
        (Media::Text, b"caf\xc3\xa9"),
        (Media::Bytes, b""),
    ] {
        let json = json(media, payload);
        assert!(!json.contains('\n'), "{json}");
        let read = ReceiptDocument::parse(json.as_bytes()).unwrap();
        assert_eq!(read.envelope, envelope(media, payload));
        assert_eq!(read.leaf, read.envelope.leaf_hash());
        assert_eq!(read.content, Some((Salt([6; 32]), payload.to_vec())));
        assert_eq!(read.view().to_json(), json);
    }
}

#[test]
fn the_fields_are_those_of_the_contract() {
    let value: Value = serde_json::from_str(&json(Media::Json, b"{\"z\":1}")).unwrap();
    assert_eq!(value["index"], 7);
    assert_eq!(value["time"], "1970-01-01T00:00:01.000000001Z");
    assert_eq!(value["stream_seq"], 0);
    assert_eq!(value["subject"], "05".repeat(16));
    assert_eq!(value["closes_stream"], true);
    assert_eq!(value["links"][0]["leaf_hash"], "04".repeat(32));
    assert_eq!(value["payload"]["z"], 1);
    assert_eq!(value["payload_bytes"], "eyJ6IjoxfQ==");
    assert_eq!(value.as_object().unwrap().len(), 17);
}

#[test]
fn an_erased_receipt_shows_null_three_times() {
    let envelope = envelope(Media::Json, b"{}");
    let view = ReceiptView { envelope: &envelope, class: "forever", content: None, verdict: None };
    let value: Value = serde_json::from_str(&view.to_json()).unwrap();
    assert!(value["payload"].is_null() && value["salt"].is_null() && value["payload_bytes"].is_null());
    assert_eq!(ReceiptDocument::parse(view.to_json().as_bytes()).unwrap().content, None);
}

#[test]
fn every_shown_field_that_differs_is_named() {
    let good: Value = serde_json::from_str(&json(Media::Json, b"{\"a\":1}")).unwrap();
    for (field, other) in [
        ("index", Value::from(8)),
        ("time", "1970-01-01T00:00:01.000000002Z".into()),
        ("stream", "incident/INC-43".into()),
        ("stream_seq", 1.into()),
        ("kind", "decision.made/1".into()),
        ("class", "short".into()),
        ("writer", "ann".into()),
        ("leaf_hash", "00".repeat(32).into()),
        ("prev", "00".repeat(32).into()),
        ("links", Value::Array(Vec::new())),
        ("media", "text".into()),
        ("subject", "06".repeat(16).into()),
        ("closes_stream", false.into()),
        ("payload", serde_json::json!({"a": 2})),
    ] {
        let mut bad = good.clone();
        bad[field] = other;
        let error = ReceiptDocument::parse(bad.to_string().as_bytes()).unwrap_err();
        assert!(matches!(error, ReceiptError::Differs { field: found, .. } if found == field), "{field}: {error}");
    }
}

#[test]
fn unknown_missing_and_doubled_fields_are_refused() {
    let good = json(Media::Json, b"{}");
    let unknown = good.replacen('{', "{\"note\":1,", 1);
    let doubled = good.replacen('{', "{\"index\":7,", 1);
    let missing = good.replacen("\"index\":7,", "", 1);
    for (bad, word) in [(unknown, "unknown field `note`"), (doubled, "duplicate field"), (missing, "missing field")] {
        let error = ReceiptDocument::parse(bad.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}

#[test]
fn a_reformatted_payload_is_still_the_same_receipt() {
    let json = json(Media::Json, b"{\"a\":\"\\u00e9\"}");
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<Value>(&json).unwrap()).unwrap();
    assert!(ReceiptDocument::parse(pretty.as_bytes()).is_ok());
}

#[test]
fn half_an_erasure_is_refused() {
    let mut value: Value = serde_json::from_str(&json(Media::Json, b"{}")).unwrap();
    value["salt"] = Value::Null;
    assert!(matches!(ReceiptDocument::parse(value.to_string().as_bytes()), Err(ReceiptError::HalfErased)));
}
