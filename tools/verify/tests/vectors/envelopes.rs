//! Envelopes: every flag and media type, the shortest and the longest, and one broken rule each.

use crate::sample::{TIME, control_envelope, counting, genesis_envelope, plain_envelope};
use crate::store::{check, good_and_bad, refused, spliced, with_byte, with_bytes};
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Envelope, Hash, KeyId, Kind, LeafIndex, Link, Media, Principal, StreamName,
    StreamSeq, Subject, Timestamp, WriterSignature, hex,
};
use serde_json::{Value, json};

/// Where the fixed part of an envelope ends, and the names begin.
const NAMES: usize = 172;
const LINK: usize = 40;
const TIME_BYTES: [u8; 8] = TIME.0.to_le_bytes();

fn links(count: usize) -> Vec<Link> {
    let at = |link: usize| u8::try_from(link).unwrap();
    (0..count).map(|link| Link { index: LeafIndex(at(link % 7).into()), leaf: Hash(counting(at(link))) }).collect()
}

fn signature() -> WriterSignature {
    WriterSignature { key_id: KeyId(counting(0xa0)), bytes: counting(0xb0) }
}

fn longest() -> Envelope {
    Envelope {
        stream: StreamName::new(&"s".repeat(128)).unwrap(),
        kind: Kind::new(&format!("{}/1", "k".repeat(62))).unwrap(),
        writer: Principal::new(&"w".repeat(64)).unwrap(),
        links: links(16),
        closes_stream: true,
        subject: Some(Subject(counting(0x70))),
        writer_signature: Some(signature()),
        ..plain_envelope()
    }
}

fn shortest() -> Envelope {
    Envelope {
        stream: StreamName::new("s").unwrap(),
        stream_seq: StreamSeq(0),
        stream_prev: Hash::ZERO,
        kind: Kind::new("k/1").unwrap(),
        writer: Principal::new("w").unwrap(),
        ..plain_envelope()
    }
}

fn accepted() -> Vec<(String, Envelope)> {
    let plain = plain_envelope;
    let hmac = |mut envelope: Envelope| {
        envelope.commitment.algorithm = CommitmentAlgorithm::HmacSha256;
        envelope
    };
    let largest = Envelope {
        index: LeafIndex(u64::MAX),
        time: Timestamp(u64::MAX),
        control_seq: StreamSeq(u64::MAX),
        stream_seq: StreamSeq(u64::MAX),
        class: ClassId(u32::MAX),
        ..plain()
    };
    let mut cases = vec![
        ("no flag", plain()),
        ("flag 1: closes stream", Envelope { closes_stream: true, ..plain() }),
        ("flag 2: has subject", Envelope { subject: Some(Subject(counting(0x70))), ..plain() }),
        ("flag 4: has writer signature", Envelope { writer_signature: Some(signature()), ..plain() }),
        ("flag 8: control", control_envelope()),
        (
            "flags 2, 4 and 8: a control receipt with subject and signature",
            Envelope {
                subject: Some(Subject([0; 16])),
                writer_signature: Some(signature()),
                links: links(1),
                ..control_envelope()
            },
        ),
        ("genesis", genesis_envelope()),
        ("commitment algorithm 2", hmac(plain())),
        ("one link", Envelope { links: links(1), ..plain() }),
        ("16 links", Envelope { links: links(16), ..plain() }),
        ("the shortest, first of its stream", shortest()),
        ("the longest, flags 1, 2 and 4", longest()),
        ("largest numbers", largest),
        ("names beyond ASCII", Envelope { stream: StreamName::new("vorgang/Ä 7 \u{1f9fe}").unwrap(), ..plain() }),
    ]
    .into_iter()
    .map(|(name, envelope)| (name.to_owned(), envelope))
    .collect::<Vec<_>>();
    for media in [Media::Json, Media::Cbor, Media::Protobuf, Media::Text, Media::Bytes] {
        cases.push((format!("media type {}", media.name()), Envelope { media, ..plain() }));
    }
    cases
}

fn fields(envelope: &Envelope) -> Value {
    let number = |value: u64| value.to_string();
    let link = |link: &Link| json!({ "index": number(link.index.0), "leaf": link.leaf.to_string() });
    json!({
        "version": 1,
        "closes_stream": envelope.closes_stream,
        "control": envelope.is_control(),
        "algorithm": envelope.commitment.algorithm.name(),
        "media": envelope.media.name(),
        "class": envelope.class.0,
        "index": number(envelope.index.0),
        "time": number(envelope.time.0),
        "control_seq": number(envelope.control_seq.0),
        "stream_seq": number(envelope.stream_seq.0),
        "prev": envelope.prev.to_string(),
        "control_head": envelope.control_head.to_string(),
        "stream_prev": envelope.stream_prev.to_string(),
        "commitment": envelope.commitment.digest.to_string(),
        "stream": envelope.stream.as_str(),
        "kind": envelope.kind.as_str(),
        "writer": envelope.writer.as_str(),
        "subject": envelope.subject.map(|subject| hex(&subject.0)),
        "links": envelope.links.iter().map(link).collect::<Vec<_>>(),
        "writer_signature": envelope.writer_signature.as_ref().map(|signature| json!({
            "key_id": hex(&signature.key_id.0), "signature": hex(&signature.bytes),
        })),
    })
}

/// What breaks in the fixed part.
fn fixed_part() -> Vec<(&'static str, Vec<u8>)> {
    let plain = plain_envelope().encode();
    vec![
        ("version 0", with_byte(&plain, 0, 0)),
        ("version 2", with_byte(&plain, 0, 2)),
        ("rule 1: flag 16", with_byte(&plain, 1, 16)),
        ("rule 1: flag 128", with_byte(&plain, 1, 128)),
        ("commitment algorithm 0", with_byte(&plain, 2, 0)),
        ("commitment algorithm 3", with_byte(&plain, 2, 3)),
        ("media type 0", with_byte(&plain, 3, 0)),
        ("media type 6", with_byte(&plain, 3, 6)),
        ("17 links", {
            let with_16 = Envelope { links: links(16), ..plain_envelope() }.encode();
            let last = with_16[with_16.len() - LINK..].to_vec();
            [with_byte(&with_16, 171, 17), last].concat()
        }),
        ("fewer links than stated", with_byte(&plain, 171, 1)),
        ("more links than stated", with_byte(&Envelope { links: links(2), ..plain_envelope() }.encode(), 171, 1)),
        ("subject flagged and absent", with_byte(&plain, 1, 2)),
        ("subject present and not flagged", {
            with_byte(&Envelope { subject: Some(Subject(counting(0))), ..plain_envelope() }.encode(), 1, 0)
        }),
        ("writer signature flagged and absent", with_byte(&plain, 1, 4)),
        ("no bytes", Vec::new()),
        ("ends within the fixed part", plain[..NAMES - 1].to_vec()),
        ("ends within the names", plain[..NAMES + 3].to_vec()),
        ("ends one byte early", plain[..plain.len() - 1].to_vec()),
        ("rule 11: one byte behind the last field", [plain.as_slice(), &[0]].concat()),
        ("more than 4 096 bytes", [longest().encode().as_slice(), &[0; 4096]].concat()),
    ]
}

/// What breaks in the names.
fn names() -> Vec<(&'static str, Vec<u8>)> {
    let shortest = shortest().encode();
    let [stream, kind, writer] = [NAMES, NAMES + 1, NAMES + 4];
    vec![
        ("empty stream", spliced(&with_byte(&shortest, 168, 0), stream..kind, b"")),
        ("stream of 129 bytes", spliced(&with_byte(&shortest, 168, 129), stream..kind, &[b's'; 129])),
        ("control character in the stream", with_byte(&shortest, stream, 0x1f)),
        ("stream is not UTF-8", with_byte(&shortest, stream, 0xff)),
        ("empty kind", spliced(&with_byte(&shortest, 169, 0), kind..writer, b"")),
        ("kind of 65 bytes", {
            let long = [[b'k'; 63].as_slice(), b"/1"].concat();
            spliced(&with_byte(&shortest, 169, 65), kind..writer, &long)
        }),
        ("kind without a version", with_bytes(&shortest, kind, b"kk1")),
        ("version with a leading zero", spliced(&with_byte(&shortest, 169, 4), kind..writer, b"k/01")),
        ("empty writer", spliced(&with_byte(&shortest, 170, 0), writer..writer + 1, b"")),
        ("white space in the writer", with_byte(&shortest, writer, b' ')),
        ("writer of 65 bytes", spliced(&with_byte(&shortest, 170, 65), writer..writer + 1, &[b'w'; 65])),
    ]
}

/// What the fields say against each other.
fn contradictions() -> Vec<(&'static str, Vec<u8>)> {
    let plain = plain_envelope().encode();
    let control = control_envelope().encode();
    let genesis = genesis_envelope().encode();
    let linked = Envelope { links: links(1), ..plain_envelope() }.encode();
    let ordinary_genesis = {
        let numbers = [&[0; 8][..], &TIME_BYTES, &[0; 16]].concat();
        let changed = with_bytes(&with_bytes(&plain, 8, &numbers), 40, &[0; 96]);
        assert_eq!(changed.len(), plain.len());
        changed
    };
    let one_stream = |envelope: &Envelope, name: &[u8]| {
        let mut bytes = envelope.encode();
        bytes[168] = u8::try_from(name.len()).unwrap();
        spliced(&bytes, NAMES..NAMES + envelope.stream.as_str().len(), name)
    };
    vec![
        ("rule 2: control flag on another kind", with_byte(&plain, 1, 8)),
        ("rule 2: kind of a control receipt without its flag", with_byte(&control, 1, 0)),
        ("rule 2: stream ledger on another kind", one_stream(&plain_envelope(), b"ledger")),
        ("rule 2: control receipt in another stream", one_stream(&control_envelope(), b"ledges")),
        ("rule 3: stream_seq of a control receipt", with_byte(&control, 32, 1)),
        ("rule 3: stream_prev of a control receipt", with_byte(&control, 104, 0xff)),
        ("rule 3: class of a control receipt", with_byte(&control, 4, 1)),
        ("rule 3: control receipt closes its stream", with_byte(&control, 1, 9)),
        ("rule 4: index 0 is an ordinary receipt", ordinary_genesis),
        ("rule 5: prev zero above index 0", with_bytes(&plain, 40, &[0; 32])),
        ("rule 5: prev at index 0", with_byte(&genesis, 40, 1)),
        ("rule 6: control_head zero above index 0", with_bytes(&plain, 72, &[0; 32])),
        ("rule 6: control_head and stream_prev at index 0", with_byte(&with_byte(&genesis, 72, 1), 104, 1)),
        ("rule 7: control_seq 0 above index 0", with_byte(&plain, 24, 0)),
        ("rule 7: control_seq and stream_seq 1 at index 0", with_byte(&with_byte(&genesis, 24, 1), 32, 1)),
        ("rule 8: stream_prev zero above stream_seq 0", with_bytes(&plain, 104, &[0; 32])),
        ("rule 8: stream_prev at stream_seq 0", with_byte(&plain, 32, 0)),
        ("rule 9: control_seq above the index", with_byte(&plain, 24, 8)),
        ("rule 9: stream_seq above the index", with_byte(&plain, 32, 8)),
        ("rule 10: link to itself", with_byte(&linked, linked.len() - LINK, 7)),
        ("rule 10: link to a later receipt", with_byte(&linked, linked.len() - LINK, 8)),
    ]
}

#[test]
fn envelopes_are_those_of_the_vectors() {
    let good = accepted().into_iter().map(|(name, envelope)| {
        let bytes = envelope.encode();
        assert_eq!(Envelope::decode(&bytes).as_ref(), Ok(&envelope), "{name}");
        json!({ "name": name, "bytes": hex(&bytes), "leaf": envelope.leaf_hash().to_string(), "fields": fields(&envelope) })
    });
    let bad = [fixed_part(), names(), contradictions()].concat();
    let bad = bad.into_iter().map(|(why, bytes)| {
        assert!(Envelope::decode(&bytes).is_err(), "{why}");
        refused(why, &bytes)
    });
    check("envelopes.json", &good_and_bad(good.collect(), bad.collect()));
}

#[test]
fn the_longest_envelope_has_the_length_that_the_document_states() {
    assert_eq!(longest().encode().len(), 1152);
}
