//! Frames, and the numbers of variable length in them.

mod broken;
mod build;

use crate::store::{check, refused, resealed};
use build::{Draft, FrameCase, frames, single};
use counterfoil_format::frame::{BatchLabel, Frame, Stored};
use counterfoil_proof::hex;
use serde_json::{Value, json};

/// Frames with more receipts show leaf hashes only.
const SHOWN_MAX: usize = 20;

fn label(label: BatchLabel) -> Value {
    match label {
        BatchLabel::None => Value::Null,
        BatchLabel::Request(id) => json!({ "request": hex(&id) }),
        BatchLabel::Session { session, number } => json!({ "session": hex(&session), "number": number.to_string() }),
    }
}

fn shown(case: &FrameCase) -> Value {
    let frame = Frame::decode(&case.bytes).unwrap_or_else(|error| panic!("{}: {error}", case.name));
    let receipts = frame.entries().iter().map(|entry| {
        let (salt, payload) = match entry.stored {
            Stored::Present { salt, payload } => (json!(hex(&salt.0)), json!(hex(payload))),
            Stored::Erased => (Value::Null, Value::Null),
        };
        if frame.entries().len() > SHOWN_MAX {
            return json!({ "leaf": entry.leaf.to_string() });
        }
        json!({ "envelope": hex(&entry.envelope.encode()), "leaf": entry.leaf.to_string(), "salt": salt, "payload": payload })
    });
    let batches =
        frame.batches().iter().map(|batch| json!({ "label": label(batch.label), "receipts": batch.receipts }));
    let start = &frame.header().start;
    json!({
        "name": case.name,
        "bytes": hex(&case.bytes),
        "peaks_before": case.peaks.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "first": start.first.0.to_string(),
        "synced_through": start.synced_through.0.to_string(),
        "nonce": hex(&start.nonce),
        "batches": batches.collect::<Vec<_>>(),
        "receipts": receipts.collect::<Vec<_>>(),
        "checkpoint": case.checkpoint,
    })
}

#[test]
fn frames_are_those_of_the_vectors() {
    let good: Vec<Value> = frames().iter().map(shown).collect();
    let bad = broken::frames().into_iter().map(|(why, bytes)| {
        assert!(Frame::decode(&bytes).is_err(), "{why}");
        refused(why, &bytes)
    });
    check("frames.json", &json!({ "good": good, "bad": bad.collect::<Vec<_>>() }));
}

/// A frame of one receipt whose `stream_seq` is written with these bytes.
fn with_stream_seq(varint: &[u8]) -> Vec<u8> {
    const MARK: u64 = 0x7f;
    let case = single(Draft { stream_seq: MARK, ..Draft::default() });
    // Flags, media, stream, kind and class take a byte each.
    let at = build::Parts::of(&case.bytes).heads.start + 5;
    assert_eq!(case.bytes[at], 0x7f);
    let mut bytes = crate::store::spliced(&case.bytes, at..at + 1, varint);
    let heads = build::Parts::of(&case.bytes).heads.len() - 1 + varint.len();
    bytes[136..140].copy_from_slice(&u32::try_from(heads).unwrap().to_le_bytes());
    let len = bytes.len();
    resealed(bytes, len)
}

#[test]
fn varints_are_those_of_the_vectors() {
    let values = [
        1,
        2,
        127,
        128,
        129,
        300,
        16_383,
        16_384,
        1 << 32,
        (1 << 56) - 1,
        1 << 56,
        (1 << 63) - 1,
        1 << 63,
        u64::MAX - 1,
    ];
    let good = values.map(|value: u64| {
        let mut varint = Vec::new();
        let mut rest = value;
        while rest > 127 {
            varint.push(u8::try_from(rest & 127).unwrap() | 128);
            rest >>= 7;
        }
        varint.push(u8::try_from(rest).unwrap());
        let bytes = with_stream_seq(&varint);
        let frame = Frame::decode(&bytes).unwrap_or_else(|error| panic!("{value}: {error}"));
        assert_eq!(frame.entries()[0].envelope.stream_seq.0, value);
        json!({ "value": value.to_string(), "bytes": hex(&varint) })
    });
    let too_long = [[0xff; 10].as_slice(), &[1]].concat();
    let bad: [(&str, &[u8]); 6] = [
        ("127 in two bytes", &[0xff, 0x00]),
        ("0 in two bytes", &[0x80, 0x00]),
        ("1 in three bytes", &[0x81, 0x80, 0x00]),
        ("2^64", &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02]),
        ("the tenth byte goes on", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81]),
        ("eleven bytes", &too_long),
    ];
    let bad = bad.map(|(why, varint)| {
        assert!(Frame::decode(&with_stream_seq(varint)).is_err(), "{why}");
        refused(why, varint)
    });
    check("varints.json", &json!({ "good": good, "bad": bad }));
}
