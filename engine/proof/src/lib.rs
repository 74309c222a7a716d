//! The trusted core of Counterfoil: everything a stranger must believe in order to check a receipt.
//!
//! It hashes envelopes into an RFC 6962 tree, proves inclusion and consistency, and reads and writes signed
//! checkpoints. **What it is not**: it reads no file, knows no clock, spawns no thread and holds no `unsafe`; its only
//! dependencies are `sha2`, `blake3`, `ed25519-dalek` and a base64 crate.
//!
//! *Invariants*: every parser is bounded and canonical (`encode(decode(b)) == b`, anything else is an error); signatures
//! are checked with `verify_strict` only; a [`VerifiedCheckpoint`] exists only where a [`TrustPolicy`] accepted it.
//!
//! ```
//! use counterfoil_proof::{Frontier, LeafHash, TreeSize};
//!
//! let leaves: Vec<LeafHash> = (0u8..5).map(|n| LeafHash::of_envelope(&[n])).collect();
//! let mut tree = Frontier::empty();
//! for leaf in &leaves {
//!     tree.push(*leaf, |_, _| ());
//! }
//! assert_eq!(tree.size(), TreeSize(5));
//! ```

mod checkpoint;
mod commitment;
mod envelope;
mod frontier;
pub mod fuzzing;
mod hash;
mod merkle;
mod names;
mod note;
mod policy;
mod proof_file;
mod reader;
mod writer;

pub use checkpoint::{Checkpoint, CheckpointError, CheckpointSigner, SignedCheckpoint};
pub use commitment::{Commitment, CommitmentAlgorithm, Salt, Sealed};
pub use envelope::{ClassId, ENVELOPE_LEN_MAX, Envelope, EnvelopeError, LINKS_MAX, Link, Media, Subject};
pub use frontier::Frontier;
pub use hash::{Hash, HexError, LeafHash, LeafIndex, NodeHash, RootHash, StreamSeq, Timestamp, TreeSize, hex, unhex};
pub use merkle::{
    ConsistencyPlan, ConsistencyProof, InclusionPlan, InclusionProof, MerkleError, NodeCoordinate, PROOF_HASHES_MAX,
};
pub use names::{CONTROL_STREAM, Kind, NameError, ORIGIN_LEN_MAX, Origin, Principal, STREAM_LEN_MAX, StreamName};
pub use note::{
    KeyId, NOTE_LEN_MAX, NOTE_SIGNATURES_MAX, NoteError, NoteSignature, SignatureType, SignedNote, VerifierKey,
};
pub use policy::{POLICY_LEN_MAX, PolicyError, TrustPolicy, VerifiedCheckpoint};
pub use proof_file::{ConsistencyFile, InclusionFile, PROOF_FILE_LEN_MAX, ProofFileError};
pub use reader::{Reader, Truncated};
pub use writer::{WriterSignature, WriterStatement};
