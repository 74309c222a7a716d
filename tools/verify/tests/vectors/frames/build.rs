//! Frames built receipt by receipt.

use crate::sample::{counting, payload, plain_envelope, secret, signer};
use core::ops::Range;
use counterfoil_format::frame::{
    BatchLabel, CommitSignature, FRAME_HEADER_LEN, FrameBuilder, FrameCommit, FrameStart, Stored,
};
use counterfoil_proof::{
    CheckpointSigner, ClassId, CommitmentAlgorithm, Envelope, Frontier, Hash, KeyId, Kind, LeafIndex, Link, Media,
    Principal, Salt, SignatureType, SignedCheckpoint, StreamName, StreamSeq, Subject, Timestamp, TreeSize,
    WriterSignature,
};
use std::collections::HashMap;

/// A frame, the tree before it and the checkpoint it creates.
pub(super) struct FrameCase {
    pub(super) name: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) peaks: Vec<Hash>,
    pub(super) checkpoint: String,
}

/// Where the parts of a frame lie, read from its header.
pub(super) struct Parts {
    pub(super) batches: Range<usize>,
    pub(super) names: Range<usize>,
    pub(super) heads: Range<usize>,
    pub(super) table: Range<usize>,
    pub(super) payloads: Range<usize>,
    pub(super) commit: Range<usize>,
}

impl Parts {
    pub(super) fn of(frame: &[u8]) -> Self {
        let number = |at: usize| u32::from_le_bytes(frame[at..at + 4].try_into().unwrap()) as usize;
        let batches = FRAME_HEADER_LEN..FRAME_HEADER_LEN + 32 * usize::from(frame[148]);
        let after = |before: &Range<usize>, len: usize| before.end..before.end + len;
        let names = after(&batches, number(132));
        let heads = after(&names, number(136));
        let table = after(&heads, number(140));
        let payloads = after(&table, number(144));
        let commit = payloads.end..frame.len();
        Self { batches, names, heads, table, payloads, commit }
    }
}

/// One receipt to write; what is not said follows from the receipts before it.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) stream: &'static str,
    pub(super) kind: &'static str,
    /// Position of its stream's first receipt in the frame.
    pub(super) stream_seq: u64,
    pub(super) payload: Option<Vec<u8>>,
    pub(super) closes: bool,
    pub(super) subject: bool,
    pub(super) signed: bool,
    pub(super) links: u8,
    pub(super) class: u32,
    pub(super) media: Media,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            stream: "incident/INC-42",
            kind: "alert.received/1",
            stream_seq: 3,
            payload: Some(payload(21)),
            closes: false,
            subject: false,
            signed: false,
            links: 0,
            class: 0,
            media: Media::Bytes,
        }
    }
}

type DraftBatch = (&'static str, BatchLabel, Vec<Draft>);

/// Writes one frame at the place where a tree of so many leaves ends.
struct Writer {
    algorithm: CommitmentAlgorithm,
    tree: Frontier,
    envelope: Envelope,
    streams: HashMap<&'static str, (u64, Hash)>,
    salts: u8,
}

impl Writer {
    fn new(algorithm: CommitmentAlgorithm, size: u64) -> Self {
        let mut tree = Frontier::empty();
        // Proofs over trees of 2^63 leaves are not made by hand: peaks are any hashes.
        if size > 1000 {
            let peaks = (0..size.count_ones()).map(|at| Hash([u8::try_from(at).unwrap(); 32])).collect();
            tree = Frontier::from_peaks(TreeSize(size), peaks).unwrap();
        } else {
            (0..size).for_each(|at| tree.push(Hash::of_envelope(&at.to_le_bytes()), |_, _| ()));
        }
        let envelope =
            Envelope { index: LeafIndex(size), time: Timestamp(1_767_225_601_000_000_000), ..plain_envelope() };
        Self { algorithm, tree, envelope, streams: HashMap::new(), salts: 0 }
    }

    fn start(&self, synced_through: u64) -> FrameStart {
        FrameStart {
            nonce: counting(0x60),
            first: self.envelope.index,
            synced_through: TreeSize(synced_through),
            time: self.envelope.time,
            control_seq: self.envelope.control_seq,
            prev: self.envelope.prev,
            control_head: self.envelope.control_head,
            commitment: self.algorithm,
        }
    }

    /// The envelope of a draft, with its salt; the next one follows it.
    fn envelope(&mut self, writer: &str, draft: &Draft) -> (Envelope, Salt) {
        let salt = Salt(counting(self.salts));
        self.salts = self.salts.wrapping_add(32);
        let stream = StreamName::new(draft.stream).unwrap();
        let control = stream.is_control();
        let (seq, prev) = self.streams.get(draft.stream).copied().unwrap_or_else(|| {
            let prev = if draft.stream_seq == 0 { Hash::ZERO } else { Hash(counting(0x50)) };
            (draft.stream_seq, prev)
        });
        let links = (0..draft.links).map(|at| Link { index: LeafIndex(at.into()), leaf: Hash(counting(at)) });
        let envelope = Envelope {
            stream_seq: if control { self.envelope.control_seq } else { StreamSeq(seq) },
            stream_prev: if control { self.envelope.control_head } else { prev },
            stream,
            kind: Kind::new(draft.kind).unwrap(),
            class: ClassId(draft.class),
            writer: Principal::new(writer).unwrap(),
            writer_signature: draft
                .signed
                .then(|| WriterSignature { key_id: KeyId(counting(0xa0)), bytes: counting(0xb0) }),
            closes_stream: draft.closes,
            media: draft.media,
            links: links.collect(),
            subject: draft.subject.then(|| Subject(counting(0x70))),
            commitment: self.algorithm.commit(&salt, draft.payload.as_deref().unwrap_or(b"gone")),
            ..self.envelope.clone()
        };
        let leaf = envelope.leaf_hash();
        self.streams.insert(draft.stream, (seq + 1, leaf));
        self.tree.push(leaf, |_, _| ());
        self.envelope.index = LeafIndex(envelope.index.0 + 1);
        self.envelope.prev = leaf;
        if control {
            self.envelope.control_seq = StreamSeq(envelope.control_seq.0 + 1);
            self.envelope.control_head = leaf;
        }
        (envelope, salt)
    }
}

fn signature(signed: &SignedCheckpoint) -> CommitSignature {
    let [line] = signed.note().signatures() else { panic!("one signature each") };
    CommitSignature { key_id: line.key_id, kind: SignatureType::Ed25519, bytes: line.bytes.clone() }
}

fn frame(
    name: &'static str,
    (algorithm, size, synced): (CommitmentAlgorithm, u64, u64),
    signers: &[CheckpointSigner],
    batches: &[DraftBatch],
) -> FrameCase {
    let mut writer = Writer::new(algorithm, size);
    let peaks = writer.tree.peaks().to_vec();
    let mut frame = FrameBuilder::new(writer.start(synced));
    for (principal, label, drafts) in batches {
        frame.begin_batch(&Principal::new(principal).unwrap(), *label);
        for draft in drafts {
            let (envelope, salt) = writer.envelope(principal, draft);
            let stored = match &draft.payload {
                Some(payload) => Stored::Present { salt, payload },
                None => Stored::Erased,
            };
            frame.push(&envelope, stored);
        }
    }
    let (size, root) = (writer.tree.size(), writer.tree.root());
    let signed: Vec<SignedCheckpoint> = signers.iter().map(|signer| signer.sign(size, root)).collect();
    let bytes = frame.finish(&FrameCommit { size, root, signatures: signed.iter().map(signature).collect() });
    let lines = signed.iter().flat_map(|one| one.note().signatures().to_vec()).collect();
    let checkpoint = SignedCheckpoint::new(signed[0].unverified().clone(), lines).unwrap().to_string();
    FrameCase { name, bytes, peaks, checkpoint }
}

/// A frame of one receipt at an index where any `stream_seq` is possible.
pub(super) fn single(draft: Draft) -> FrameCase {
    let place = (CommitmentAlgorithm::Blake3, u64::MAX - 1, 0);
    frame("one receipt", place, &[signer()], &[("agent-7", BatchLabel::None, vec![draft])])
}

/// A control receipt as recovery writes it; the payload only has to be bytes here.
fn control() -> Draft {
    Draft { stream: "ledger", kind: "ledger.recovered/1", media: Media::Json, ..Draft::default() }
}

/// Two batches with all that a frame can hold.
pub(super) fn rich() -> FrameCase {
    let second_key = CheckpointSigner::new(signer().verifier().name().clone(), secret(0x84));
    let first = vec![
        Draft { links: 2, subject: true, ..Draft::default() },
        Draft { stream: "case 7", stream_seq: 0, class: 300, ..Draft::default() },
        Draft { payload: None, ..Draft::default() },
        Draft { closes: true, kind: "incident.closed/1", payload: Some(Vec::new()), ..Draft::default() },
    ];
    let second = vec![
        control(),
        Draft {
            stream: "case 7",
            signed: true,
            media: Media::Text,
            payload: Some(b"signed".to_vec()),
            ..Draft::default()
        },
        Draft {
            stream: "agent-7",
            stream_seq: 0,
            subject: true,
            signed: true,
            links: 16,
            payload: None,
            ..Draft::default()
        },
        control(),
        Draft { stream: "case 7", closes: true, payload: Some(payload(200)), ..Draft::default() },
    ];
    let batches = [
        ("agent-7", BatchLabel::Request(counting(0x90)), first),
        ("ledger", BatchLabel::Session { session: counting(0xa0), number: 513 }, second),
    ];
    frame("two batches with everything", (CommitmentAlgorithm::Blake3, 19, 17), &[signer(), second_key], &batches)
}

/// Two batches of one receipt, with labels.
pub(super) fn labelled() -> FrameCase {
    let one = || vec![Draft::default()];
    let session = BatchLabel::Session { session: counting(0xa0), number: 7 };
    let batches = [("agent-7", BatchLabel::Request(counting(0x90)), one()), ("agent-8", session, one())];
    frame("two labels", (CommitmentAlgorithm::Blake3, 8, 8), &[signer()], &batches)
}

/// The frames of the vectors.
pub(super) fn frames() -> Vec<FrameCase> {
    let blake3 = CommitmentAlgorithm::Blake3;
    let plain = |drafts| vec![("agent-7", BatchLabel::None, drafts)];
    let many = (0..140).map(|_| Draft { payload: Some(b"x".to_vec()), ..Draft::default() }).collect();
    vec![
        frame("one receipt", (blake3, 8, 8), &[signer()], &plain(vec![Draft::default()])),
        frame(
            "one receipt, hmac-sha256, nothing synced",
            (CommitmentAlgorithm::HmacSha256, 8, 0),
            &[signer()],
            &plain(vec![Draft::default()]),
        ),
        frame("a control receipt", (blake3, 8, 8), &[signer()], &[("ledger", BatchLabel::None, vec![control()])]),
        labelled(),
        rich(),
        frame("140 receipts of one stream: varints of two bytes", (blake3, 300, 299), &[signer()], &plain(many)),
        frame(
            "four signatures",
            (blake3, 8, 8),
            &[0x80, 0x84, 0x85, 0x86]
                .map(|first| CheckpointSigner::new(signer().verifier().name().clone(), secret(first))),
            &plain(vec![Draft::default()]),
        ),
    ]
}
