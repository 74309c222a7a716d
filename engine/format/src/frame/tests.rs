use super::*;
use crate::fuzzing;
use counterfoil_proof::{ClassId, Envelope, Kind, Link, Media, Principal, Salt, StreamName, Subject, WriterSignature};
use proptest::prelude::*;
use std::collections::HashMap;

/// What a test says of one receipt; the rest follows from its place.
#[derive(Clone, Debug)]
struct Seed {
    stream: u8,
    payload: Vec<u8>,
    erased: bool,
    control: bool,
    closes: bool,
    subject: Option<[u8; 16]>,
    link: bool,
    signed: bool,
    class: u32,
}

prop_compose! {
    fn seed()(
        stream in 0u8..5, payload in prop::collection::vec(any::<u8>(), 0..200), erased in prop::bool::weighted(0.2),
        control in prop::bool::weighted(0.1), closes in prop::bool::weighted(0.05), subject in any::<Option<[u8; 16]>>(),
        link: bool, signed in prop::bool::weighted(0.2), class in prop_oneof![Just(0u32), any::<u32>()],
    ) -> Seed {
        Seed { stream, payload, erased, control, closes, subject, link, signed, class }
    }
}

fn start() -> FrameStart {
    FrameStart {
        nonce: [3; 16],
        first: LeafIndex(1000),
        synced_through: TreeSize(990),
        time: Timestamp(77),
        control_seq: StreamSeq(2),
        prev: Hash([1; 32]),
        control_head: Hash([2; 32]),
        commitment: CommitmentAlgorithm::Blake3,
    }
}

/// Chains the seeds into envelopes, as the sequencer does.
fn envelopes(seeds: &[Seed], writers: &[&str]) -> Vec<(Envelope, LeafHash)> {
    let start = start();
    let (mut prev, mut control_seq, mut control_head) = (start.prev, start.control_seq, start.control_head);
    let mut heads: HashMap<String, (u64, Hash)> =
        [("s0".into(), (40, Hash([9; 32]))), ("s1".into(), (7, Hash([8; 32])))].into();
    let mut closed: HashMap<String, u32> = HashMap::new();
    let mut out: Vec<(Envelope, LeafHash)> = Vec::new();
    for (at, seed) in seeds.iter().enumerate() {
        let base = format!("s{}", seed.stream);
        let name = format!("{base}{}", "x".repeat(closed.get(&base).copied().unwrap_or(0) as usize));
        let (stream_seq, stream_prev) = match seed.control {
            true => (control_seq, control_head),
            false => heads.get(&name).map_or((StreamSeq(0), Hash::ZERO), |(seq, leaf)| (StreamSeq(*seq), *leaf)),
        };
        let envelope = Envelope {
            index: LeafIndex(start.first.0 + at as u64),
            time: start.time,
            prev,
            control_seq,
            control_head,
            stream: if seed.control { StreamName::control() } else { StreamName::new(&name).unwrap() },
            stream_seq,
            stream_prev,
            kind: Kind::new(if seed.control { "ledger.test/1" } else { "alert.received/1" }).unwrap(),
            class: ClassId(if seed.control { 0 } else { seed.class }),
            writer: Principal::new(writers[at]).unwrap(),
            writer_signature: seed.signed.then_some(WriterSignature { key_id: KeyId([1; 4]), bytes: [5; 64] }),
            closes_stream: seed.closes && !seed.control,
            media: Media::Bytes,
            links: if seed.link { vec![Link { index: LeafIndex(12), leaf: Hash([4; 32]) }] } else { Vec::new() },
            subject: seed.subject.map(Subject),
            commitment: CommitmentAlgorithm::Blake3.commit(&Salt([6; 32]), &seed.payload),
        };
        let leaf = envelope.leaf_hash();
        prev = leaf;
        if seed.control {
            control_seq = StreamSeq(control_seq.0 + 1);
            control_head = leaf;
        } else {
            heads.insert(name, (stream_seq.0 + 1, leaf));
            *closed.entry(base).or_default() += u32::from(seed.closes);
        }
        out.push((envelope, leaf));
    }
    out
}

fn frame(seeds: &[Seed], batch_len: usize) -> (Vec<u8>, Vec<(Envelope, LeafHash)>) {
    let writers: Vec<&str> = (0..seeds.len()).map(|at| ["ann", "bob"][at / batch_len % 2]).collect();
    let envelopes = envelopes(seeds, &writers);
    let mut builder = FrameBuilder::new(start());
    for (at, (seed, (envelope, _))) in seeds.iter().zip(&envelopes).enumerate() {
        if at % batch_len == 0 {
            let label = match at % 3 {
                0 => BatchLabel::None,
                1 => BatchLabel::Request([u8::try_from(at).unwrap(); 16]),
                _ => BatchLabel::Session { session: [7; 16], number: at as u64 },
            };
            builder.begin_batch(&envelope.writer, label);
        }
        let stored = match seed.erased {
            true => Stored::Erased,
            false => Stored::Present { salt: Salt([6; 32]), payload: &seed.payload },
        };
        builder.push(envelope, stored);
    }
    let signature = CommitSignature { key_id: KeyId([1; 4]), kind: SignatureType::Ed25519, bytes: vec![2; 64] };
    let size = TreeSize(start().first.0 + seeds.len() as u64);
    (builder.finish(&FrameCommit { size, root: Hash([5; 32]), signatures: vec![signature] }), envelopes)
}

proptest! {
    #[test]
    fn a_frame_reads_back(seeds in prop::collection::vec(seed(), 1..40), batch_len in 1usize..10) {
        let (bytes, envelopes) = frame(&seeds, batch_len);
        let decoded = Frame::decode(&bytes).unwrap();
        prop_assert_eq!(decoded.header().frame_len, bytes.len());
        prop_assert_eq!(decoded.header().start, start());
        for (entry, (seed, (envelope, leaf))) in decoded.entries().iter().zip(seeds.iter().zip(&envelopes)) {
            prop_assert_eq!(&entry.envelope, envelope);
            prop_assert_eq!(&entry.leaf, leaf);
            let stored = if seed.erased { None } else { Some(seed.payload.as_slice()) };
            let found = match entry.stored { Stored::Present { payload, .. } => Some(payload), Stored::Erased => None };
            prop_assert_eq!(found, stored);
        }
        prop_assert_eq!(fuzzing::rebuild(&decoded), bytes);
    }

    #[test]
    fn one_receipt_is_rebuilt_from_the_index_alone(seeds in prop::collection::vec(seed(), 1..40), at in any::<prop::sample::Index>()) {
        let (bytes, envelopes) = frame(&seeds, 4);
        let at = at.index(seeds.len());
        let header = FrameHeader::decode(&bytes).unwrap();
        let index = FrameIndex::decode(&bytes[..header.index_len()]).unwrap();
        let envelope = index.envelope(at, |earlier| envelopes[earlier].1).unwrap();
        prop_assert_eq!(&envelope, &envelopes[at].0);
        prop_assert_eq!(index.payload(at).map(|(_, range)| &bytes[range]), (!seeds[at].erased).then_some(seeds[at].payload.as_slice()));
        let batches = batches_of(&bytes[..header.names_end()]).unwrap();
        let mut left = at;
        let mine = batches.iter().find(|(_, receipts, _)| left.checked_sub(*receipts).inspect(|rest| left = *rest).is_none());
        prop_assert_eq!(&mine.unwrap().2, &envelope.writer);
        let alone = envelope_at(&bytes[..header.heads_end()], at, |earlier| envelopes[earlier].1);
        prop_assert_eq!(alone, Ok(envelope));
        prop_assert_eq!(payload_at(&bytes[..header.index_len()], at), Ok(index.payload(at)));
    }

    #[test]
    fn every_flipped_bit_is_noticed(seeds in prop::collection::vec(seed(), 1..10), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let (mut bytes, _) = frame(&seeds, 4);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(Frame::decode(&bytes).is_err());
    }

    /// A hostile writer can repair the checksum; what is accepted must still be canonical.
    #[test]
    fn changed_bytes_under_a_repaired_checksum_are_refused_or_canonical(
        seeds in prop::collection::vec(seed(), 1..10), at in any::<prop::sample::Index>(), flip in 1u8..
    ) {
        let (mut bytes, _) = frame(&seeds, 3);
        let at = 16 + at.index(bytes.len() - 16);
        bytes[at] ^= flip;
        let crc = crc32fast::hash(&bytes[12..]);
        bytes[8..12].copy_from_slice(&crc.to_le_bytes());
        fuzzing::frame(&bytes);
        if let Ok(index) = FrameIndex::decode(&bytes) {
            for at in 0..index.header().receipts {
                let _ = index.envelope(at, |_| Hash([1; 32]));
            }
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        fuzzing::frame(&bytes);
        fuzzing::segment_header(&bytes);
        fuzzing::segment_footer(&bytes);
        fuzzing::head_slot(&bytes);
        fuzzing::manifest(&bytes);
        fuzzing::leaf_file(&bytes);
        fuzzing::receipt_record(&bytes);
        fuzzing::stream_directory(&bytes);
        fuzzing::stream_block(&bytes);
        fuzzing::tar_header(&bytes);
        fuzzing::proof_record(&bytes);
    }
}

fn plain(control: bool) -> Seed {
    Seed {
        stream: 1,
        payload: b"{}".to_vec(),
        erased: false,
        control,
        closes: false,
        subject: None,
        link: false,
        signed: false,
        class: 0,
    }
}

#[test]
fn a_control_receipt_never_has_flag_16() {
    let (mut bytes, _) = frame(&[plain(true)], 1);
    let heads = FrameHeader::decode(&bytes).unwrap().parts().heads;
    bytes[heads] |= 16;
    let crc = crc32fast::hash(&bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    let error = FormatError::NotCanonical { rule: "a control receipt never has flag 16" };
    assert_eq!(Frame::decode(&bytes).err(), Some(error));
}

#[test]
fn bytes_behind_a_frame_do_not_matter() {
    let (mut bytes, _) = frame(&[plain(false)], 1);
    let len = bytes.len();
    bytes.extend([0xff; 100]);
    assert_eq!(Frame::decode(&bytes).unwrap().header().frame_len, len);
}
