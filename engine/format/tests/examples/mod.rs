//! The worked examples of docs/format.md: a ledger of two receipts, computed from the constants the document states.

mod sealed;

use counterfoil_format::frame::{BatchLabel, CommitSignature, FrameBuilder, FrameCommit, FrameStart, Stored};
use counterfoil_format::{
    ByteOffset, FRAME_ALIGN, Generation, HeadSlot, ProofRecord, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId,
};
use counterfoil_proof::{
    CheckpointSigner, ClassId, CommitmentAlgorithm, ConsistencyFile, ConsistencyProof, Envelope, Frontier, Hash,
    InclusionFile, InclusionProof, Kind, LeafIndex, Link, Media, Origin, Principal, Salt, SignatureType,
    SignedCheckpoint, StreamName, StreamSeq, Subject, Timestamp, TreeSize, TrustPolicy, hex,
};
use counterfoil_rules::{
    BundleHead, ExportScope, Exported, GENESIS_KIND, Genesis, RELEASE_DELAY_DEFAULT, Recovered, ledger_writer,
    to_canonical,
};
use ed25519_dalek::SigningKey;
use std::collections::BTreeMap;

const ALGORITHM: CommitmentAlgorithm = CommitmentAlgorithm::Blake3;
const CREATED: Timestamp = Timestamp(1_767_225_600_000_000_000);
const PAYLOAD: &[u8] = br#"{"refund":"approved"}"#;
/// Salt of index 0, and of the commitments shown first.
const SALT: Salt = Salt(counting(0x00));
const SECOND_SALT: Salt = Salt(counting(0x20));
const RANDOM: [u8; 32] = counting(0x40);
const NONCE: [u8; 16] = counting(0x60);
const SUBJECT: Subject = Subject(counting(0x70));
const SECRET_KEY: [u8; 32] = counting(0x80);

/// Bytes that count up, so that a swapped order shows.
const fn counting<const N: usize>(first: u8) -> [u8; N] {
    let mut bytes = [first; N];
    let mut at = 1;
    while at < N {
        bytes[at] = bytes[at - 1] + 1;
        at += 1;
    }
    bytes
}

/// The ledger of the examples.
struct Example {
    signer: CheckpointSigner,
    genesis_payload: Vec<u8>,
    genesis: Envelope,
    second: Envelope,
    /// The tree after each receipt, and the checkpoint over it.
    trees: [(Frontier, SignedCheckpoint); 2],
}

/// Every example by its label, each line ended.
pub(crate) fn all() -> BTreeMap<&'static str, String> {
    let ledger = Example::new();
    let line = |text: String| text + "\n";
    let [genesis_frame, second_frame] = ledger.frames();
    let [_, (_, checkpoint)] = &ledger.trees;
    ledger.check_files();
    BTreeMap::from([
        ("commitments", commitments()),
        ("vkey", line(ledger.signer.verifier().to_string())),
        ("genesis-payload", line(String::from_utf8(ledger.genesis_payload.clone()).unwrap())),
        ("genesis-envelope", lines_of_hex(&ledger.genesis.encode())),
        ("genesis-leaf", line(ledger.genesis.leaf_hash().to_string())),
        ("genesis-frame", lines_of_hex(&genesis_frame)),
        ("second-envelope", lines_of_hex(&ledger.second.encode())),
        ("second-leaf", line(ledger.second.leaf_hash().to_string())),
        ("second-frame", lines_of_hex(&second_frame)),
        ("writer-statement", lines_of_hex(&ledger.statement())),
        ("checkpoint", checkpoint.to_string()),
        ("inclusion-proof", ledger.inclusion().to_string()),
        ("consistency-proof", ledger.consistency().to_string()),
        ("segment-header", lines_of_hex(without_padding(&ledger.segment_header().encode()))),
        ("head-slot", lines_of_hex(without_padding(&ledger.head(genesis_frame.len()).encode()))),
        ("segment-footer", lines_of_hex(&ledger.segment_end())),
        ("leaf-file", lines_of_hex(&ledger.leaf_file())),
        ("stream-index", lines_of_hex(&ledger.stream_index().0)),
        ("genesis-record", lines_of_hex(&ledger.genesis_record())),
        ("manifest", lines_of_hex(&ledger.manifest())),
        ("recovered-payload", line(recovered())),
        ("exported-payload", line(ledger.exported())),
        ("bundle-json", line(ledger.bundle_head())),
        ("proof-record", lines_of_hex(&ledger.proof_record())),
    ])
}

/// 32 bytes to a line.
fn lines_of_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|chunk| hex(chunk) + "\n").collect()
}

fn without_padding(bytes: &[u8]) -> &[u8] {
    &bytes[..bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)]
}

fn commitments() -> String {
    let digest = |algorithm: CommitmentAlgorithm| algorithm.commit(&SALT, PAYLOAD).digest;
    format!(
        "salt         {}\npayload      {}\nblake3       {}\nhmac-sha256  {}\n",
        hex(&SALT.0),
        hex(PAYLOAD),
        digest(CommitmentAlgorithm::Blake3),
        digest(CommitmentAlgorithm::HmacSha256)
    )
}

fn recovered() -> String {
    let payload = to_canonical(&Recovered {
        cut_file: "00000000000000000000-16384-2d3adedff11b61f1.cut".into(),
        cut_digest: "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213".into(),
        cut_bytes: 512,
        kept_size: "3".into(),
        kept_root: Hash(counting(0xa0)).to_string(),
    });
    String::from_utf8(payload.unwrap()).unwrap()
}

impl Example {
    fn new() -> Self {
        let origin = Origin::new("example.com/support").unwrap();
        let signer = CheckpointSigner::new(origin.clone(), SigningKey::from_bytes(&SECRET_KEY));
        let genesis = Genesis {
            origin,
            commitment: ALGORITHM,
            checkpoint_key: signer.verifier().clone(),
            roots: Vec::new(),
            root_threshold: 0,
            release_delay: RELEASE_DELAY_DEFAULT,
            created: CREATED,
            random: RANDOM,
        };
        let genesis_payload = genesis.to_payload().unwrap();
        let genesis = genesis_envelope(&genesis_payload);
        let second = second_envelope(&genesis);
        let mut tree = Frontier::empty();
        let trees = [&genesis, &second].map(|envelope| {
            tree.push(envelope.leaf_hash(), |_, _| ());
            (tree.clone(), signer.sign(tree.size(), tree.root()))
        });
        Self { signer, genesis_payload, genesis, second, trees }
    }

    /// Both frames, without padding.
    fn frames(&self) -> [Vec<u8>; 2] {
        let mut frame = FrameBuilder::new(start(&self.genesis, TreeSize(0)));
        frame.begin_batch(&self.genesis.writer, BatchLabel::None);
        frame.push(&self.genesis, Stored::Present { salt: SALT, payload: &self.genesis_payload });
        let first = frame.finish(&commit(&self.trees[0].1));
        let mut frame = FrameBuilder::new(start(&self.second, TreeSize(1)));
        frame.begin_batch(&self.second.writer, BatchLabel::Session { session: counting(0x90), number: 7 });
        frame.push(&self.second, Stored::Present { salt: SECOND_SALT, payload: PAYLOAD });
        [first, frame.finish(&commit(&self.trees[1].1))]
    }

    fn statement(&self) -> Vec<u8> {
        counterfoil_proof::WriterStatement::of(self.genesis.leaf_hash(), &self.second).message()
    }

    fn inclusion(&self) -> InclusionFile {
        let proof = InclusionProof { index: LeafIndex(1), size: TreeSize(2), hashes: vec![self.genesis.leaf_hash()] };
        InclusionFile { proof, checkpoint: self.trees[1].1.clone() }
    }

    fn consistency(&self) -> ConsistencyFile {
        let proof = ConsistencyProof { old: TreeSize(1), new: TreeSize(2), hashes: vec![self.second.leaf_hash()] };
        ConsistencyFile { proof, checkpoint: self.trees[1].1.clone(), old_root: self.trees[0].0.root() }
    }

    fn scope(&self) -> ExportScope {
        ExportScope::Stream(self.second.stream.clone())
    }

    fn exported(&self) -> String {
        let head = self.second.leaf_hash();
        let exported = Exported { scope: self.scope(), size: TreeSize(2), count: 1, head };
        String::from_utf8(exported.to_payload().unwrap()).unwrap()
    }

    /// The digest of the document is made up: the document cannot hold its own.
    fn bundle_head(&self) -> String {
        let head = BundleHead {
            ledger_id: self.genesis.leaf_hash(),
            origin: self.signer.verifier().name().clone(),
            scope: self.scope(),
            size: TreeSize(2),
            count: 1,
            statement: Some(LeafIndex(2)),
            document: Hash(counting(0xb0)),
        };
        String::from_utf8(head.to_json().unwrap()).unwrap()
    }

    fn proof_record(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        ProofRecord { hashes: self.inclusion().proof.hashes }.encode_into(&mut bytes);
        bytes
    }

    /// The files are not only written as shown: they verify.
    fn check_files(&self) {
        let policy = TrustPolicy::single(self.signer.verifier().clone()).unwrap();
        let inclusion = InclusionFile::parse(self.inclusion().to_string().as_bytes()).unwrap();
        inclusion.verify(&self.second.leaf_hash(), &policy).unwrap();
        let consistency = ConsistencyFile::parse(self.consistency().to_string().as_bytes()).unwrap();
        consistency.verify(&policy).unwrap();
    }

    fn segment_header(&self) -> SegmentHeader {
        SegmentHeader {
            nonce: NONCE,
            ledger_id: self.genesis.leaf_hash(),
            last_time: Timestamp(0),
            control_seq: StreamSeq(0),
            prev: Hash::ZERO,
            control_head: Hash::ZERO,
            generation: Generation(0),
            frontier: Frontier::empty(),
            origin: self.signer.verifier().name().clone(),
        }
    }

    /// HEAD after genesis.
    fn head(&self, frame_len: usize) -> HeadSlot {
        let (tree, _) = &self.trees[0];
        let end = SEGMENT_HEADER_LEN as u64 + (frame_len as u64).next_multiple_of(FRAME_ALIGN);
        HeadSlot {
            counter: 0,
            size: tree.size(),
            segment: SegmentId(LeafIndex(0)),
            offset: ByteOffset(end),
            root: tree.root(),
        }
    }
}

fn genesis_envelope(payload: &[u8]) -> Envelope {
    Envelope {
        index: LeafIndex(0),
        time: CREATED,
        prev: Hash::ZERO,
        control_seq: StreamSeq(0),
        control_head: Hash::ZERO,
        stream: StreamName::control(),
        stream_seq: StreamSeq(0),
        stream_prev: Hash::ZERO,
        kind: Kind::new(GENESIS_KIND).unwrap(),
        class: ClassId::FOREVER,
        writer: ledger_writer(),
        writer_signature: None,
        closes_stream: false,
        media: Media::Json,
        links: Vec::new(),
        subject: None,
        commitment: ALGORITHM.commit(&SALT, payload),
    }
}

fn second_envelope(genesis: &Envelope) -> Envelope {
    let leaf = genesis.leaf_hash();
    Envelope {
        index: LeafIndex(1),
        time: Timestamp(CREATED.0 + 1_500_000_000),
        prev: leaf,
        control_seq: StreamSeq(1),
        control_head: leaf,
        stream: StreamName::new("incident/INC-42").unwrap(),
        kind: Kind::new("decision.approved/1").unwrap(),
        writer: Principal::new("agent-7").unwrap(),
        links: vec![Link { index: LeafIndex(0), leaf }],
        subject: Some(SUBJECT),
        commitment: ALGORITHM.commit(&SECOND_SALT, PAYLOAD),
        ..genesis.clone()
    }
}

fn start(envelope: &Envelope, synced_through: TreeSize) -> FrameStart {
    FrameStart {
        nonce: NONCE,
        first: envelope.index,
        synced_through,
        time: envelope.time,
        control_seq: envelope.control_seq,
        prev: envelope.prev,
        control_head: envelope.control_head,
        commitment: ALGORITHM,
    }
}

fn commit(signed: &SignedCheckpoint) -> FrameCommit {
    let signatures = signed.note().signatures().iter().map(|line| CommitSignature {
        key_id: line.key_id,
        kind: SignatureType::Ed25519,
        bytes: line.bytes.clone(),
    });
    let checkpoint = signed.unverified();
    FrameCommit { size: checkpoint.size, root: checkpoint.root, signatures: signatures.collect() }
}
