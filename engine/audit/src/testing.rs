//! Small ledgers in memory, written byte by byte through the format crate, so that tests can also write wrong ones.

mod memory;
mod samples;
mod stream_index;

pub(crate) use memory::Memory;
pub(crate) use samples::{five_segments, scratch_of_five_segments, scratch_of_sixteen, sixteen};
pub(crate) use stream_index::{Positions, stream_index};

use crate::{Anchor, Options, Report, Trust, verify_ledger};
use counterfoil_format::frame::{BatchLabel, CommitSignature, FrameBuilder, FrameCommit, FrameStart, Stored};
use counterfoil_format::{
    ByteOffset, Generation, HEAD_FILE_LEN, HeadSlot, LeafFile, Manifest, ManifestEntry, ReceiptRecord, SegmentFooter,
    SegmentHeader, SegmentId, SegmentState, StreamIndexEntry, leaves_file_name, segment_file_name,
    stream_index_file_name,
};
use counterfoil_proof::{
    Checkpoint, CheckpointSigner, ClassId, CommitmentAlgorithm, Envelope, Frontier, Hash, Kind, LeafHash, LeafIndex,
    Link, Media, Origin, Principal, RootHash, Salt, SignatureType, SignedCheckpoint, StreamName, StreamSeq, Timestamp,
    TreeSize, TrustPolicy,
};
use counterfoil_rules::{GENESIS_KIND, Genesis, RELEASE_DELAY_DEFAULT, ledger_writer};
use ed25519_dalek::{Signer as _, SigningKey};
use std::collections::{BTreeMap, HashMap};

pub(crate) const ORIGIN: &str = "example.com/test";
const SEED: u8 = 7;

/// One receipt to write. What is not said follows from its place.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) stream: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) payload: Vec<u8>,
    pub(crate) closes: bool,
    pub(crate) erased: bool,
    pub(crate) links: Vec<Link>,
    /// Applied last, before the envelope is hashed and signed.
    pub(crate) change: fn(&mut Envelope),
}

pub(crate) fn draft(stream: &'static str, payload: &str) -> Draft {
    Draft {
        stream,
        kind: "alert.received/1",
        payload: payload.as_bytes().to_vec(),
        closes: false,
        erased: false,
        links: Vec::new(),
        change: |_| (),
    }
}

/// Where one receipt's payload lies.
#[derive(Clone)]
pub(crate) struct Spot {
    pub(crate) path: String,
    pub(crate) frame: u64,
    pub(crate) frame_len: u64,
    pub(crate) payload: u64,
}

/// A ledger as written, and what is needed to damage it with precision.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) memory: Memory,
    pub(crate) ledger_id: LeafHash,
    pub(crate) spots: Vec<Spot>,
    /// Checkpoints by size, one for each frame.
    pub(crate) checkpoints: BTreeMap<u64, SignedCheckpoint>,
    pub(crate) leaves: Vec<LeafHash>,
    pub(crate) roots: BTreeMap<u64, RootHash>,
}

/// Writes a ledger.
pub(crate) struct Scratch {
    key: SigningKey,
    algorithm: CommitmentAlgorithm,
    memory: Memory,
    entries: Vec<ManifestEntry>,
    tree: Frontier,
    time: u64,
    prev: LeafHash,
    control: (StreamSeq, LeafHash),
    streams: HashMap<String, (u64, LeafHash)>,
    spots: Vec<Spot>,
    leaves: Vec<LeafHash>,
    roots: BTreeMap<u64, RootHash>,
    synced: TreeSize,
    segment: Open,
    /// What stream indexes over the sealed segments hold, one for each.
    covered: Vec<(TreeSize, Positions)>,
    control_file: Vec<u8>,
    /// One stream index covers all sealed segments, instead of one each.
    pub(crate) merged: bool,
    /// Time of the next frame, if it is not to follow the last.
    pub(crate) next_time: Option<u64>,
}

struct Open {
    header: SegmentHeader,
    positions: Positions,
    control: Vec<u8>,
    bytes: Vec<u8>,
    frames: Vec<(LeafIndex, ByteOffset)>,
    first_time: Option<Timestamp>,
    payload_bytes: u64,
    controls: Vec<LeafIndex>,
}

pub(crate) fn signer(seed: u8) -> CheckpointSigner {
    CheckpointSigner::new(Origin::new(ORIGIN).unwrap(), SigningKey::from_bytes(&[seed; 32]))
}

impl Scratch {
    /// A ledger that holds its genesis, in a frame of its own.
    pub(crate) fn new() -> Self {
        Self::with_algorithm(CommitmentAlgorithm::Blake3)
    }

    pub(crate) fn with_algorithm(algorithm: CommitmentAlgorithm) -> Self {
        Self::begin(algorithm, SEED)
    }

    /// A ledger whose frames are signed by another key than the one genesis names.
    pub(crate) fn signed_with(seed: u8) -> Self {
        Self::begin(CommitmentAlgorithm::Blake3, seed)
    }

    fn begin(algorithm: CommitmentAlgorithm, seed: u8) -> Self {
        let genesis = Genesis {
            origin: Origin::new(ORIGIN).unwrap(),
            commitment: algorithm,
            checkpoint_key: signer(SEED).verifier().clone(),
            roots: Vec::new(),
            root_threshold: 0,
            release_delay: RELEASE_DELAY_DEFAULT,
            created: Timestamp(1_010),
            random: [9; 32],
        };
        let payload = genesis.to_payload().unwrap();
        let genesis = Draft { stream: "ledger", kind: GENESIS_KIND, payload, ..draft("", "") };
        // The id is known only once genesis is written: the first pass finds it.
        let mut probe = Self::empty(algorithm, Hash::ZERO);
        probe.frame(std::slice::from_ref(&genesis));
        let mut scratch = Self::empty(algorithm, probe.leaves[0]);
        scratch.sign_with(seed).frame(&[genesis]);
        scratch
    }

    fn empty(algorithm: CommitmentAlgorithm, ledger_id: LeafHash) -> Self {
        let mut scratch = Self {
            key: SigningKey::from_bytes(&[SEED; 32]),
            algorithm,
            memory: Memory::default(),
            entries: Vec::new(),
            tree: Frontier::empty(),
            time: 1_000,
            prev: Hash::ZERO,
            control: (StreamSeq(0), Hash::ZERO),
            streams: HashMap::new(),
            spots: Vec::new(),
            leaves: Vec::new(),
            roots: BTreeMap::new(),
            synced: TreeSize(0),
            segment: Open::placeholder(ledger_id),
            covered: Vec::new(),
            control_file: Vec::new(),
            merged: false,
            next_time: None,
        };
        scratch.begin_segment(ledger_id);
        scratch
    }

    fn begin_segment(&mut self, ledger_id: LeafHash) {
        let header = SegmentHeader {
            nonce: [u8::try_from(self.entries.len()).unwrap() + 1; 16],
            ledger_id,
            last_time: Timestamp(if self.leaves.is_empty() { 0 } else { self.time }),
            control_seq: self.control.0,
            prev: self.prev,
            control_head: self.control.1,
            generation: Generation(0),
            frontier: self.tree.clone(),
            origin: Origin::new(ORIGIN).unwrap(),
        };
        self.segment = Open { bytes: header.encode(), header, ..Open::placeholder(ledger_id) };
    }

    /// Signs the frames that follow with another key.
    pub(crate) fn sign_with(&mut self, seed: u8) -> &mut Self {
        self.key = SigningKey::from_bytes(&[seed; 32]);
        self
    }

    /// Writes one frame with these receipts, in one batch.
    pub(crate) fn frame(&mut self, drafts: &[Draft]) -> &mut Self {
        self.time = self.next_time.take().unwrap_or(self.time + 10);
        let start = FrameStart {
            nonce: self.segment.header.nonce,
            first: self.tree.size().next_index(),
            synced_through: self.synced,
            time: Timestamp(self.time),
            control_seq: self.control.0,
            prev: self.prev,
            control_head: self.control.1,
            commitment: self.algorithm,
        };
        let at = self.segment.bytes.len() as u64;
        let mut builder = FrameBuilder::new(start);
        builder.begin_batch(&writer_of(&drafts[0]), BatchLabel::None);
        let salts: Vec<Salt> = (0..drafts.len()).map(|n| Salt([u8::try_from(n % 250).unwrap() + 1; 32])).collect();
        for (draft, salt) in drafts.iter().zip(&salts) {
            let envelope = self.envelope(draft, salt);
            let stored = match draft.erased {
                true => Stored::Erased,
                false => Stored::Present { salt: *salt, payload: &draft.payload },
            };
            builder.push(&envelope, stored);
            self.advance(draft, &envelope, *salt);
        }
        let commit = self.commit();
        let frame = builder.finish(&commit);
        self.note(drafts, at, &frame);
        self.segment.frames.push((start.first, ByteOffset(at)));
        self.segment.first_time.get_or_insert(start.time);
        self.segment.bytes.extend(&frame);
        let padded = self.segment.bytes.len().next_multiple_of(4096);
        self.segment.bytes.resize(padded, 0);
        self.synced = self.tree.size();
        self
    }

    fn envelope(&self, draft: &Draft, salt: &Salt) -> Envelope {
        let control = draft.stream == "ledger";
        let (seq, prev) = self.streams.get(draft.stream).copied().unwrap_or((0, Hash::ZERO));
        let mut envelope = Envelope {
            index: self.tree.size().next_index(),
            time: Timestamp(self.time),
            prev: self.prev,
            control_seq: self.control.0,
            control_head: self.control.1,
            stream: StreamName::new(draft.stream).unwrap(),
            stream_seq: if control { self.control.0 } else { StreamSeq(seq) },
            stream_prev: if control { self.control.1 } else { prev },
            kind: Kind::new(draft.kind).unwrap(),
            class: ClassId::FOREVER,
            writer: writer_of(draft),
            writer_signature: None,
            closes_stream: draft.closes,
            media: Media::Json,
            links: draft.links.clone(),
            subject: None,
            commitment: self.algorithm.commit(salt, &draft.payload),
        };
        (draft.change)(&mut envelope);
        envelope
    }

    fn advance(&mut self, draft: &Draft, envelope: &Envelope, salt: Salt) {
        let begun = (envelope.stream_seq, Vec::new());
        self.segment.positions.entry(draft.stream.to_owned()).or_insert(begun).1.push(envelope.index);
        let leaf = envelope.leaf_hash();
        self.tree.push(leaf, |_, _| ());
        self.leaves.push(leaf);
        self.prev = leaf;
        if envelope.is_control() {
            self.control = (StreamSeq(self.control.0.0 + 1), leaf);
            self.segment.controls.push(envelope.index);
            let content = Some((salt, draft.payload.as_slice()));
            ReceiptRecord { envelope: envelope.clone(), content }.encode_into(&mut self.segment.control);
        } else {
            self.streams.insert(draft.stream.to_owned(), (envelope.stream_seq.0 + 1, leaf));
        }
        if !draft.erased {
            self.segment.payload_bytes += draft.payload.len() as u64;
        }
    }

    fn commit(&mut self) -> FrameCommit {
        let (size, root) = (self.tree.size(), self.tree.root());
        self.roots.insert(size.0, root);
        let text = Checkpoint { origin: Origin::new(ORIGIN).unwrap(), size, root }.text();
        let verifier = CheckpointSigner::new(Origin::new(ORIGIN).unwrap(), self.key.clone()).verifier().clone();
        let bytes = self.key.sign(text.as_bytes()).to_bytes().to_vec();
        let signature = CommitSignature { key_id: verifier.id(), kind: SignatureType::Ed25519, bytes };
        FrameCommit { size, root, signatures: vec![signature] }
    }

    /// Finds the payloads of a frame, which stand one behind the other before the commit of 112 bytes.
    fn note(&mut self, drafts: &[Draft], frame_at: u64, frame: &[u8]) {
        let total: usize = drafts.iter().filter(|draft| !draft.erased).map(|draft| draft.payload.len()).sum();
        let mut payload = frame_at + (frame.len() - 112 - total) as u64;
        for draft in drafts {
            let path = format!("segments/{}", segment_file_name(self.segment.header.id(), Generation(0)));
            self.spots.push(Spot { path, frame: frame_at, frame_len: frame.len() as u64, payload });
            payload += if draft.erased { 0 } else { draft.payload.len() as u64 };
        }
    }

    /// A link to a receipt written before.
    pub(crate) fn link(&self, index: usize) -> Link {
        Link { index: LeafIndex(index as u64), leaf: self.leaves[index] }
    }

    /// Root of the tree of the first so many receipts.
    pub(crate) fn root_at(&self, size: u64) -> RootHash {
        let mut tree = Frontier::empty();
        self.leaves[..usize::try_from(size).unwrap()].iter().for_each(|leaf| tree.push(*leaf, |_, _| ()));
        tree.root()
    }

    /// Leaf hash of a receipt written before.
    pub(crate) fn leaf(&self, index: usize) -> LeafHash {
        self.leaves[index]
    }

    /// The next frame lies about the receipt before it.
    pub(crate) fn pretend_prev(&mut self, prev: LeafHash) -> &mut Self {
        self.prev = prev;
        self
    }

    /// The next frames lie about the control receipts before them.
    pub(crate) fn pretend_control(&mut self, seq: StreamSeq, head: LeafHash) -> &mut Self {
        self.control = (seq, head);
        self
    }

    /// The next frames commit in another way than genesis says.
    pub(crate) fn pretend_algorithm(&mut self, algorithm: CommitmentAlgorithm) -> &mut Self {
        self.algorithm = algorithm;
        self
    }

    /// Seals the segment and begins the next.
    pub(crate) fn seal(&mut self) -> &mut Self {
        let id = self.segment.header.id();
        let ledger_id = self.segment.header.ledger_id;
        let file_digest = Hash(*blake3::hash(&self.segment.bytes).as_bytes());
        let footer = SegmentFooter {
            first: id.0,
            first_time: self.segment.first_time.unwrap(),
            last_time: Timestamp(self.time),
            frames: self.segment.frames.len() as u64,
            payload_bytes: self.segment.payload_bytes,
            control_seq: self.control.0,
            last_leaf: self.prev,
            control_head: self.control.1,
            file_digest,
            frontier: self.tree.clone(),
            control_indices: self.segment.controls.clone(),
        };
        let at = ByteOffset(self.segment.bytes.len() as u64);
        self.segment.bytes.extend(footer.encode(at));
        let leaves = &self.leaves[usize::try_from(id.0.0).unwrap()..];
        let leaf_file =
            LeafFile::encode(ledger_id, id, Generation(0), &self.segment.header.frontier, &self.segment.frames, leaves);
        let state =
            SegmentState::Sealed { end: self.tree.size(), file_len: self.segment.bytes.len() as u64, file_digest };
        self.put(segment_file_name(id, Generation(0)), self.segment.bytes.clone());
        self.put(leaves_file_name(id, Generation(0)), leaf_file);
        self.entries.push(ManifestEntry { id, generation: Generation(0), state });
        self.covered.push((self.tree.size(), core::mem::take(&mut self.segment.positions)));
        self.control_file.append(&mut self.segment.control);
        self.begin_segment(ledger_id);
        self
    }

    /// Writes the stream indexes of the sealed segments.
    fn stream_indexes(&mut self, ledger_id: LeafHash) -> Vec<StreamIndexEntry> {
        let mut covered = core::mem::take(&mut self.covered);
        if self.merged {
            covered = stream_index::merge(covered).into_iter().collect();
        }
        let mut first = LeafIndex(0);
        let mut entries = Vec::new();
        for (end, positions) in covered {
            let (bytes, entry) = stream_index(ledger_id, first, end, &positions);
            self.put(stream_index_file_name(first, end), bytes);
            entries.push(entry);
            first = end.next_index();
        }
        entries
    }

    fn put(&mut self, name: String, bytes: Vec<u8>) {
        self.memory.0.insert(format!("segments/{name}"), bytes);
    }

    /// Writes what is open, with the durable mark at the end.
    pub(crate) fn finish(&mut self) -> Ledger {
        self.finish_with_mark(self.tree.size())
    }

    /// Writes what is open. The open segment ends in a page of zeros.
    pub(crate) fn finish_with_mark(&mut self, mark: TreeSize) -> Ledger {
        let id = self.segment.header.id();
        let mut bytes = self.segment.bytes.clone();
        let end = ByteOffset(bytes.len() as u64);
        bytes.resize(bytes.len() + 4096, 0);
        self.put(segment_file_name(id, Generation(0)), bytes);
        self.entries.push(ManifestEntry { id, generation: Generation(0), state: SegmentState::Open });
        let ledger_id = self.segment.header.ledger_id;
        let stream_indexes = self.stream_indexes(ledger_id);
        if !stream_indexes.is_empty() {
            self.memory.0.insert("control".into(), self.control_file.clone());
        }
        let manifest = Manifest { ledger_id, counter: 3, segments: self.entries.clone(), stream_indexes };
        self.memory.0.insert("MANIFEST".into(), manifest.encode());
        let mut head = Vec::new();
        for (counter, size) in [(4, 1), (5, mark.0)] {
            let offset = if mark == self.tree.size() { end } else { ByteOffset(8192) };
            let segment = if mark == self.tree.size() { id } else { SegmentId(LeafIndex(0)) };
            let slot = HeadSlot { counter, size: TreeSize(size), segment, offset, root: self.roots[&size] };
            head.extend(slot.encode());
        }
        assert_eq!(head.len(), HEAD_FILE_LEN);
        self.memory.0.insert("HEAD".into(), head);
        self.memory.0.insert("ledger.vkey".into(), format!("{}\n", signer(SEED).verifier()).into_bytes());
        let checkpoints = self.roots.iter().map(|(size, root)| (*size, signer(SEED).sign(TreeSize(*size), *root)));
        Ledger {
            memory: self.memory.clone(),
            ledger_id,
            spots: self.spots.clone(),
            checkpoints: checkpoints.collect(),
            leaves: self.leaves.clone(),
            roots: self.roots.clone(),
        }
    }
}

impl Open {
    fn placeholder(ledger_id: LeafHash) -> Self {
        let header = SegmentHeader {
            nonce: [0; 16],
            ledger_id,
            last_time: Timestamp(0),
            control_seq: StreamSeq(0),
            prev: Hash::ZERO,
            control_head: Hash::ZERO,
            generation: Generation(0),
            frontier: Frontier::empty(),
            origin: Origin::new(ORIGIN).unwrap(),
        };
        Self {
            header,
            positions: Positions::new(),
            control: Vec::new(),
            bytes: Vec::new(),
            frames: Vec::new(),
            first_time: None,
            payload_bytes: 0,
            controls: Vec::new(),
        }
    }
}

fn writer_of(draft: &Draft) -> Principal {
    if draft.stream == "ledger" { ledger_writer() } else { Principal::new("local").unwrap() }
}

/// Trust in the key of the ledgers here.
pub(crate) fn trust() -> Trust {
    Trust::new(Anchor::Policy(TrustPolicy::single(signer(SEED).verifier().clone()).unwrap()))
}

impl Ledger {
    pub(crate) fn verify(&self) -> Report {
        self.verify_with(&trust())
    }

    pub(crate) fn verify_with(&self, trust: &Trust) -> Report {
        verify_ledger(&self.memory, trust, &Options::default()).unwrap()
    }

    /// What MANIFEST says.
    pub(crate) fn manifest(&self) -> Manifest {
        Manifest::decode(&self.memory.0["MANIFEST"]).unwrap()
    }

    /// Replaces a stream index by another one that MANIFEST names.
    pub(crate) fn put_stream_index(&mut self, number: usize, (bytes, entry): (Vec<u8>, StreamIndexEntry)) {
        let mut manifest = self.manifest();
        let old = manifest.stream_indexes[number];
        self.memory.0.remove(&format!("segments/{}", stream_index_file_name(old.first, old.end)));
        self.memory.0.insert(format!("segments/{}", stream_index_file_name(entry.first, entry.end)), bytes);
        manifest.stream_indexes[number] = entry;
        *self.file("MANIFEST") = manifest.encode();
    }

    pub(crate) fn file(&mut self, path: &str) -> &mut Vec<u8> {
        self.memory.0.get_mut(path).unwrap()
    }

    /// Flips one bit.
    pub(crate) fn flip(&mut self, path: &str, at: u64) -> &mut Self {
        self.file(path)[usize::try_from(at).unwrap()] ^= 1;
        self
    }

    pub(crate) fn size(&self) -> u64 {
        self.leaves.len() as u64
    }
}
