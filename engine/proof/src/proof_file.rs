//! Proofs as files a stranger can keep: C2SP tlog-proof for inclusion, and the same shape for consistency.

use crate::checkpoint::{CheckpointError, SignedCheckpoint, parse_decimal};
use crate::hash::{Hash, LeafHash, LeafIndex, TreeSize};
use crate::merkle::{ConsistencyProof, InclusionProof, MerkleError, PROOF_HASHES_MAX};
use crate::note::{NOTE_LEN_MAX, decode_base64};
use crate::policy::{PolicyError, TrustPolicy, VerifiedCheckpoint};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;

/// Longest proof file in bytes.
pub const PROOF_FILE_LEN_MAX: usize = 2 * NOTE_LEN_MAX + 8192;

const INCLUSION_HEADER: &str = "c2sp.org/tlog-proof@v1";
const CONSISTENCY_HEADER: &str = "counterfoil-consistency/v1";

/// Why a file is not a proof, or why its proof does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProofFileError {
    /// More bytes than [`PROOF_FILE_LEN_MAX`].
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// The file is not UTF-8.
    NotUtf8,
    /// A line is malformed.
    Line {
        /// What was expected there.
        expected: &'static str,
    },
    /// A checkpoint in the file is malformed.
    Checkpoint(CheckpointError),
    /// A checkpoint in the file is not trusted.
    Untrusted(PolicyError),
    /// The proof does not hold.
    Merkle(MerkleError),
}

impl fmt::Display for ProofFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => {
                write!(f, "{found} bytes are more than the {PROOF_FILE_LEN_MAX} a proof may have")
            }
            Self::NotUtf8 => f.write_str("a proof is UTF-8 text, this is not"),
            Self::Line { expected } => write!(f, "not a proof file: expected {expected}"),
            Self::Checkpoint(error) => write!(f, "the checkpoint in the proof: {error}"),
            Self::Untrusted(error) => error.fmt(f),
            Self::Merkle(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ProofFileError {}

impl From<CheckpointError> for ProofFileError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(error)
    }
}

impl From<MerkleError> for ProofFileError {
    fn from(error: MerkleError) -> Self {
        Self::Merkle(error)
    }
}

impl From<PolicyError> for ProofFileError {
    fn from(error: PolicyError) -> Self {
        Self::Untrusted(error)
    }
}

/// An inclusion proof with the checkpoint it leads to, as a C2SP tlog-proof file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InclusionFile {
    /// The proof; its size is the checkpoint's.
    pub proof: InclusionProof,
    /// The checkpoint.
    pub checkpoint: SignedCheckpoint,
}

impl InclusionFile {
    /// Reads a proof file. An `extra` line is refused: this product defines none.
    ///
    /// # Errors
    /// [`ProofFileError`] says which line is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let (lines, rest) = split(bytes)?;
        let mut lines = lines.split('\n');
        expect(lines.next(), INCLUSION_HEADER)?;
        let index = number(lines.next(), "index ").map(LeafIndex)?;
        let hashes = hashes(lines)?;
        let checkpoint = SignedCheckpoint::parse(rest.as_bytes())?;
        let proof = InclusionProof { index, size: checkpoint.unverified().size, hashes };
        Ok(Self { proof, checkpoint })
    }

    /// Checks that `leaf` is in the ledger that the policy trusts.
    ///
    /// # Errors
    /// [`ProofFileError`] when the checkpoint is not trusted or the proof does not hold.
    pub fn verify(self, leaf: &LeafHash, policy: &TrustPolicy) -> Result<VerifiedCheckpoint, ProofFileError> {
        let verified = self.checkpoint.verify(policy)?;
        self.proof.verify(leaf, &verified.checkpoint().root)?;
        Ok(verified)
    }
}

impl fmt::Display for InclusionFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{INCLUSION_HEADER}\nindex {}", self.proof.index)?;
        write_hashes(f, &self.proof.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

/// A proof that an older tree is a prefix of a checkpoint. Form: header line, `old SIZE`, `root BASE64`, one base64 hash
/// per line, an empty line, the newer checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyFile {
    /// The proof; its sizes are the checkpoints'.
    pub proof: ConsistencyProof,
    /// The newer checkpoint.
    pub checkpoint: SignedCheckpoint,
    /// Root of the older tree, as the ledger states it.
    pub old_root: Hash,
}

impl ConsistencyFile {
    /// Reads a proof file.
    ///
    /// # Errors
    /// [`ProofFileError`] says which line is malformed.
    pub fn parse(bytes: &[u8]) -> Result<Self, ProofFileError> {
        let (lines, rest) = split(bytes)?;
        let mut lines = lines.split('\n');
        expect(lines.next(), CONSISTENCY_HEADER)?;
        let old = number(lines.next(), "old ").map(TreeSize)?;
        let old_root = lines
            .next()
            .and_then(|line| line.strip_prefix("root "))
            .and_then(hash)
            .ok_or(ProofFileError::Line { expected: "root and the base64 root of the older tree" })?;
        let hashes = hashes(lines)?;
        let checkpoint = SignedCheckpoint::parse(rest.as_bytes())?;
        let proof = ConsistencyProof { old, new: checkpoint.unverified().size, hashes };
        Ok(Self { proof, checkpoint, old_root })
    }

    /// Checks that the older tree is a prefix of the newer one, which the policy trusts.
    ///
    /// # Errors
    /// [`ProofFileError`] when the checkpoint is not trusted or the proof does not hold.
    pub fn verify(self, policy: &TrustPolicy) -> Result<VerifiedCheckpoint, ProofFileError> {
        let verified = self.checkpoint.verify(policy)?;
        self.proof.verify(&self.old_root, &verified.checkpoint().root)?;
        Ok(verified)
    }
}

impl fmt::Display for ConsistencyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = STANDARD.encode(self.old_root.0);
        writeln!(f, "{CONSISTENCY_HEADER}\nold {}\nroot {root}", self.proof.old)?;
        write_hashes(f, &self.proof.hashes)?;
        write!(f, "\n{}", self.checkpoint)
    }
}

fn split(bytes: &[u8]) -> Result<(&str, &str), ProofFileError> {
    if bytes.len() > PROOF_FILE_LEN_MAX {
        return Err(ProofFileError::TooLong { found: bytes.len() });
    }
    let text = core::str::from_utf8(bytes).map_err(|_| ProofFileError::NotUtf8)?;
    text.split_once("\n\n").ok_or(ProofFileError::Line { expected: "an empty line before the checkpoint" })
}

fn expect(line: Option<&str>, header: &'static str) -> Result<(), ProofFileError> {
    if line == Some(header) { Ok(()) } else { Err(ProofFileError::Line { expected: header }) }
}

fn number(line: Option<&str>, prefix: &'static str) -> Result<u64, ProofFileError> {
    line.and_then(|line| line.strip_prefix(prefix))
        .and_then(parse_decimal)
        .ok_or(ProofFileError::Line { expected: prefix })
}

fn hash(line: &str) -> Option<Hash> {
    decode_base64(line)?.try_into().ok().map(Hash)
}

fn hashes<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Vec<Hash>, ProofFileError> {
    let bad = ProofFileError::Line { expected: "at most 64 lines with the base64 form of 32 bytes" };
    let hashes: Option<Vec<Hash>> = lines.take(PROOF_HASHES_MAX + 1).map(hash).collect();
    hashes.filter(|hashes| hashes.len() <= PROOF_HASHES_MAX).ok_or(bad)
}

fn write_hashes(f: &mut fmt::Formatter<'_>, hashes: &[Hash]) -> fmt::Result {
    hashes.iter().try_for_each(|hash| writeln!(f, "{}", STANDARD.encode(hash.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CheckpointSigner, Frontier, InclusionPlan, Origin};
    use ed25519_dalek::SigningKey;

    fn file() -> (InclusionFile, LeafHash, TrustPolicy) {
        let signer = CheckpointSigner::new(Origin::new("example.com/a").unwrap(), SigningKey::from_bytes(&[7; 32]));
        let mut tree = Frontier::empty();
        let mut nodes = std::collections::HashMap::new();
        let leaves: Vec<_> = (0u8..5).map(|n| Hash::of_envelope(&[n])).collect();
        for leaf in &leaves {
            tree.push(*leaf, |at, node| assert!(nodes.insert(at, node).is_none()));
        }
        let plan = InclusionPlan::new(LeafIndex(2), tree.size()).unwrap();
        let fetched: Vec<_> = plan.nodes().map(|at| nodes[&at]).collect();
        let policy = TrustPolicy::single(signer.verifier().clone()).unwrap();
        let checkpoint = signer.sign(tree.size(), tree.root());
        (InclusionFile { proof: plan.finish(&fetched), checkpoint }, leaves[2], policy)
    }

    #[test]
    fn a_proof_file_reads_back_and_verifies() {
        let (file, leaf, policy) = file();
        let text = file.to_string();
        assert!(text.starts_with("c2sp.org/tlog-proof@v1\nindex 2\n"));
        let read = InclusionFile::parse(text.as_bytes()).unwrap();
        assert_eq!(read, file);
        assert!(read.verify(&leaf, &policy).is_ok());
        assert!(file.verify(&Hash([1; 32]), &policy).is_err());
    }

    #[test]
    fn malformed_proof_files_are_refused() {
        let text = file().0.to_string();
        for bad in [
            text.replace("@v1", "@v2"),
            text.replace("index 2", "index 02"),
            text.replace("index 2\n", "extra AA==\nindex 2\n"),
            text.replacen("\n\n", "\n", 1),
            text.replacen("=\n", "\n", 1),
        ] {
            assert!(InclusionFile::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_proof_claiming_another_index_does_not_verify() {
        let (file, leaf, policy) = file();
        let moved = InclusionFile::parse(file.to_string().replace("index 2", "index 3").as_bytes()).unwrap();
        assert!(matches!(moved.verify(&leaf, &policy), Err(ProofFileError::Merkle(MerkleError::RootMismatch { .. }))));
    }
}
