use super::*;
use proptest::prelude::*;

fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_filter("zero is reserved", |bytes| *bytes != [0; 32]).prop_map(Hash)
}

prop_compose! {
    fn ordinary()(
        stream in "[a-z/é]{1,40}", kind in "[a-z.]{1,20}", version in 1u32..99, writer in "[a-z]{1,20}",
        index in 1u64..u64::MAX, time: u64, control_seq in any::<u64>(), stream_seq in any::<u64>(), class: u32,
        prev in hash(), control_head in hash(), stream_prev in hash(), digest in hash(),
        links in prop::collection::vec((any::<u64>(), hash()), 0..=LINKS_MAX),
        subject in any::<Option<[u8; 16]>>(), signature in any::<Option<([u8; 4], [u8; 32], [u8; 32])>>(),
        closes_stream: bool, media in 0usize..5, hmac: bool,
    ) -> Envelope {
        let stream_seq = stream_seq % (index + 1);
        Envelope {
            index: LeafIndex(index), time: Timestamp(time), prev,
            control_seq: StreamSeq(control_seq % index + 1), control_head,
            stream: StreamName::new(&format!("s{stream}")).unwrap(),
            stream_seq: StreamSeq(stream_seq),
            stream_prev: if stream_seq == 0 { Hash::ZERO } else { stream_prev },
            kind: Kind::new(&format!("x{kind}/{version}")).unwrap(), class: ClassId(class),
            writer: Principal::new(&writer).unwrap(),
            writer_signature: signature.map(|(id, r, s)| {
                let mut bytes = [0; 64];
                bytes[..32].copy_from_slice(&r);
                bytes[32..].copy_from_slice(&s);
                WriterSignature { key_id: KeyId(id), bytes }
            }),
            closes_stream, media: Media::ALL[media],
            links: links.into_iter().map(|(at, leaf)| Link { index: LeafIndex(at % index), leaf }).collect(),
            subject: subject.map(Subject),
            commitment: Commitment {
                algorithm: if hmac { CommitmentAlgorithm::HmacSha256 } else { CommitmentAlgorithm::Blake3 },
                digest,
            },
        }
    }
}

fn genesis() -> Envelope {
    Envelope {
        index: LeafIndex(0),
        time: Timestamp(1),
        prev: Hash::ZERO,
        control_seq: StreamSeq(0),
        control_head: Hash::ZERO,
        stream: StreamName::control(),
        stream_seq: StreamSeq(0),
        stream_prev: Hash::ZERO,
        kind: Kind::new("ledger.genesis/1").unwrap(),
        class: ClassId::FOREVER,
        writer: Principal::new("ledger").unwrap(),
        writer_signature: None,
        closes_stream: false,
        media: Media::Json,
        links: Vec::new(),
        subject: None,
        commitment: CommitmentAlgorithm::Blake3.commit(&crate::Salt([1; 32]), b"{}"),
    }
}

proptest! {
    #[test]
    fn decode_returns_what_encode_wrote(envelope in ordinary()) {
        let bytes = envelope.encode();
        prop_assert!(bytes.len() <= ENVELOPE_LEN_MAX);
        prop_assert_eq!(Envelope::decode(&bytes).unwrap(), envelope);
    }

    #[test]
    fn any_accepted_bytes_are_canonical(envelope in ordinary(), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = envelope.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(other) = Envelope::decode(&bytes) {
            prop_assert_eq!(other.encode(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(envelope) = Envelope::decode(&bytes) {
            prop_assert_eq!(envelope.encode(), bytes);
        }
    }
}

#[test]
fn genesis_round_trips() {
    let bytes = genesis().encode();
    assert_eq!(Envelope::decode(&bytes), Ok(genesis()));
}

#[test]
fn cut_or_extended_bytes_are_refused() {
    let bytes = genesis().encode();
    for end in 0..bytes.len() {
        assert_eq!(Envelope::decode(&bytes[..end]), Err(EnvelopeError::Truncated), "{end}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(Envelope::decode(&longer), Err(EnvelopeError::TrailingBytes));
}

#[test]
fn a_control_flag_on_an_ordinary_receipt_is_refused() {
    let mut bytes = genesis().encode();
    bytes[1] ^= flag::CONTROL;
    assert!(matches!(Envelope::decode(&bytes), Err(EnvelopeError::Contradiction { .. })));
}

#[test]
fn an_ordinary_kind_in_the_control_stream_is_refused() {
    let mut bytes = Envelope { kind: Kind::new("ledger.x/1").unwrap(), ..genesis() }.encode();
    let kind_at = FIXED_LEN + CONTROL_STREAM_LEN;
    bytes[kind_at] = b'X';
    bytes[1] = 0;
    assert_eq!(Envelope::decode(&bytes), Err(EnvelopeError::Contradiction { rule: "stream ledger ⇔ kind ledger.*" }));
}

const CONTROL_STREAM_LEN: usize = crate::CONTROL_STREAM.len();
