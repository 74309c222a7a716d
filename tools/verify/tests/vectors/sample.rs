//! Keys, envelopes and trees that the vectors share. Bytes that would be random count up.

use counterfoil_proof::{
    Checkpoint, CheckpointSigner, ClassId, CommitmentAlgorithm, Envelope, Hash, Kind, LeafHash, LeafIndex, Media,
    NodeCoordinate, NoteSignature, Origin, Principal, RootHash, Salt, SignatureType, SignedCheckpoint, StreamName,
    StreamSeq, Timestamp, TreeSize, VerifierKey,
};
use ed25519_dalek::{Signer as _, SigningKey};

pub(crate) const ORIGIN: &str = "example.com/vectors";
pub(crate) const TIME: Timestamp = Timestamp(1_767_225_600_000_000_000);

/// Bytes that count up, so that a swapped order shows.
pub(crate) fn counting<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|at| first.wrapping_add(u8::try_from(at % 256).expect("below 256")))
}

/// A payload of this length: byte i is i mod 251.
pub(crate) fn payload(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).expect("below 251")).collect()
}

/// A key whose secret seed counts up from this byte.
pub(crate) fn secret(first: u8) -> SigningKey {
    SigningKey::from_bytes(&counting(first))
}

pub(crate) fn origin(name: &str) -> Origin {
    Origin::new(name).unwrap()
}

/// Signs the checkpoints of the sample ledger.
pub(crate) fn signer() -> CheckpointSigner {
    CheckpointSigner::new(origin(ORIGIN), secret(0x80))
}

/// A named key of a type.
pub(crate) fn key(name: &str, kind: SignatureType, first: u8) -> VerifierKey {
    VerifierKey::new(origin(name), kind, secret(first).verifying_key())
}

/// A signature line of a key over a text.
pub(crate) fn line(name: &str, first: u8, text: &str) -> NoteSignature {
    let bytes = secret(first).sign(text.as_bytes()).to_bytes().to_vec();
    NoteSignature { name: origin(name), key_id: key(name, SignatureType::Ed25519, first).id(), bytes }
}

/// A witness's line over a text.
pub(crate) fn cosignature(name: &str, first: u8, seconds: u64, text: &str) -> NoteSignature {
    let message = format!("cosignature/v1\ntime {seconds}\n{text}");
    let signature = secret(first).sign(message.as_bytes()).to_bytes();
    let bytes = [seconds.to_be_bytes().as_slice(), &signature].concat();
    NoteSignature { name: origin(name), key_id: key(name, SignatureType::CosignatureV1, first).id(), bytes }
}

/// The checkpoint that most vectors of notes and policies are about.
pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint { origin: origin(ORIGIN), size: TreeSize(7), root: Tree::counting(7).root(0, 7) }
}

/// That checkpoint with these signature lines.
pub(crate) fn signed(lines: Vec<NoteSignature>) -> SignedCheckpoint {
    SignedCheckpoint::new(checkpoint(), lines).unwrap()
}

/// Bytes of a root that is not the right one.
pub(crate) fn other(hash: Hash) -> Hash {
    Hash(hash.0.map(|byte| !byte))
}

pub(crate) fn genesis_envelope() -> Envelope {
    let salt = Salt(counting(0));
    Envelope {
        index: LeafIndex(0),
        time: TIME,
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
        commitment: CommitmentAlgorithm::Blake3.commit(&salt, b"{}"),
    }
}

/// An ordinary receipt at index 7, the third of its stream, behind two control receipts.
pub(crate) fn plain_envelope() -> Envelope {
    Envelope {
        index: LeafIndex(7),
        time: Timestamp(TIME.0 + 1),
        prev: Hash(counting(0x10)),
        control_seq: StreamSeq(2),
        control_head: Hash(counting(0x30)),
        stream: StreamName::new("incident/INC-42").unwrap(),
        stream_seq: StreamSeq(2),
        stream_prev: Hash(counting(0x50)),
        kind: Kind::new("decision.approved/1").unwrap(),
        writer: Principal::new("agent-7").unwrap(),
        commitment: CommitmentAlgorithm::Blake3.commit(&Salt(counting(0x20)), b"payload"),
        ..genesis_envelope()
    }
}

/// A control receipt at index 7, the third one.
pub(crate) fn control_envelope() -> Envelope {
    Envelope {
        stream: StreamName::control(),
        stream_prev: Hash(counting(0x30)),
        kind: Kind::new("ledger.recovered/1").unwrap(),
        writer: Principal::new("ledger").unwrap(),
        ..plain_envelope()
    }
}

/// A tree over leaves, by the recursion of RFC 6962.
pub(crate) struct Tree(pub(crate) Vec<LeafHash>);

impl Tree {
    /// Leaf i is the leaf hash of the eight bytes of i.
    pub(crate) fn counting(size: u64) -> Self {
        Self((0..size).map(|at| Hash::of_envelope(&at.to_le_bytes())).collect())
    }

    pub(crate) fn size(&self) -> TreeSize {
        TreeSize(self.0.len() as u64)
    }

    /// Root of the leaves from `first` to before `end`.
    pub(crate) fn root(&self, first: usize, end: usize) -> RootHash {
        match end - first {
            0 => Hash::of_empty_tree(),
            1 => self.0[first],
            count => {
                let middle = first + count.next_power_of_two() / 2;
                Hash::of_children(&self.root(first, middle), &self.root(middle, end))
            }
        }
    }

    /// Root of the tree of this size.
    pub(crate) fn root_at(&self, size: TreeSize) -> RootHash {
        self.root(0, usize::try_from(size.0).unwrap())
    }

    pub(crate) fn node(&self, at: NodeCoordinate) -> Hash {
        let (first, count) = at.leaves();
        let [first, end] = [first.0, first.0 + count].map(|index| usize::try_from(index).unwrap());
        self.root(first, end)
    }
}
