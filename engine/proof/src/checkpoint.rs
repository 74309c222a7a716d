//! Checkpoints: signed tree heads in C2SP tlog-checkpoint form, without extension lines.

use crate::hash::{Hash, RootHash, TreeSize};
use crate::names::{NameError, Origin};
use crate::note::{NoteError, NoteSignature, SignatureType, SignedNote, VerifierKey, decode_base64};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use core::fmt;
use ed25519_dalek::{Signer as _, SigningKey};

/// What a ledger states about itself at one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The ledger's name, which is the name of its checkpoint key.
    pub origin: Origin,
    /// Number of receipts.
    pub size: TreeSize,
    /// RFC 6962 root over them.
    pub root: RootHash,
}

/// Why text is not a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckpointError {
    /// It is not a signed note.
    Note(NoteError),
    /// The body is not exactly three lines.
    Shape,
    /// The origin breaks its rules.
    Origin(NameError),
    /// The tree size is not a canonical decimal.
    Size,
    /// The root hash is not canonical base64 of 32 bytes.
    Root,
    /// A tree of size 0 has another root than the hash of nothing.
    EmptyRoot,
}

impl fmt::Display for CheckpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Note(error) => error.fmt(f),
            Self::Shape => f.write_str("a checkpoint has three lines: origin, size and root"),
            Self::Origin(error) => write!(f, "the origin {error}"),
            Self::Size => f.write_str("the tree size is not a decimal number without leading zeros"),
            Self::Root => f.write_str("the root hash is not the base64 form of 32 bytes"),
            Self::EmptyRoot => f.write_str("a tree of size 0 has the hash of nothing as its root"),
        }
    }
}

impl core::error::Error for CheckpointError {}

impl From<NoteError> for CheckpointError {
    fn from(error: NoteError) -> Self {
        Self::Note(error)
    }
}

impl Checkpoint {
    /// The note text: three lines, each ended by a newline.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads a note text.
    ///
    /// # Errors
    /// [`CheckpointError`] says which line is wrong.
    pub fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.strip_suffix('\n').ok_or(CheckpointError::Shape)?.split('\n');
        let (Some(origin), Some(size), Some(root), None) = (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Shape);
        };
        let origin = Origin::new(origin).map_err(CheckpointError::Origin)?;
        let size = TreeSize(parse_decimal(size).ok_or(CheckpointError::Size)?);
        let root = decode_base64(root).and_then(|root| root.try_into().ok()).ok_or(CheckpointError::Root)?;
        let checkpoint = Self { origin, size, root: Hash(root) };
        if size.0 == 0 && checkpoint.root != Hash::of_empty_tree() {
            return Err(CheckpointError::EmptyRoot);
        }
        Ok(checkpoint)
    }
}

/// An ASCII decimal without leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A checkpoint with signatures nobody has checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: SignedNote,
}

impl SignedCheckpoint {
    /// A checkpoint with its signature lines.
    ///
    /// # Errors
    /// [`NoteError`] when there are none or too many.
    pub fn new(checkpoint: Checkpoint, signatures: Vec<NoteSignature>) -> Result<Self, NoteError> {
        let note = SignedNote::new(checkpoint.text(), signatures)?;
        Ok(Self { checkpoint, note })
    }

    /// Reads a signed checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`] when it is no note or its text is no checkpoint.
    pub fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let note = SignedNote::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse_text(note.text())?, note })
    }

    /// What it states, unverified.
    #[must_use]
    pub fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note around it.
    #[must_use]
    pub fn note(&self) -> &SignedNote {
        &self.note
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.note.fmt(f)
    }
}

/// A ledger's checkpoint key.
pub struct CheckpointSigner {
    key: SigningKey,
    verifier: VerifierKey,
}

impl CheckpointSigner {
    /// The signer of a ledger of this origin.
    #[must_use]
    pub fn new(origin: Origin, key: SigningKey) -> Self {
        let verifier = VerifierKey::new(origin, SignatureType::Ed25519, key.verifying_key());
        Self { key, verifier }
    }

    /// The public half.
    #[must_use]
    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs the tree head of this ledger.
    #[must_use]
    pub fn sign(&self, size: TreeSize, root: RootHash) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: self.verifier.name().clone(), size, root };
        let bytes = self.key.sign(checkpoint.text().as_bytes()).to_bytes().to_vec();
        let signature = NoteSignature { name: checkpoint.origin.clone(), key_id: self.verifier.id(), bytes };
        SignedCheckpoint::new(checkpoint, vec![signature]).expect("one signature over valid text is a note")
    }
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointSigner({})", self.verifier)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> CheckpointSigner {
        CheckpointSigner::new(Origin::new("example.com/a").unwrap(), SigningKey::from_bytes(&[7; 32]))
    }

    #[test]
    fn a_signed_checkpoint_reads_back_and_its_key_verifies_it() {
        let signed = signer().sign(TreeSize(5), Hash([3; 32]));
        let read = SignedCheckpoint::parse(signed.to_string().as_bytes()).unwrap();
        assert_eq!(read, signed);
        assert!(signer().verifier().verifies(read.note().text(), &read.note().signatures()[0]));
    }

    #[test]
    fn every_non_canonical_text_is_refused() {
        let good = signer().sign(TreeSize(5), Hash([3; 32])).unverified().text();
        for (bad, error) in [
            (good.replace("\n5\n", "\n05\n"), CheckpointError::Size),
            (good.replace("\n5\n", "\n+5\n"), CheckpointError::Size),
            (good.replace("\n5\n", "\n0\n"), CheckpointError::EmptyRoot),
            (format!("{good}extension\n"), CheckpointError::Shape),
            (good.replace("=\n", "\n"), CheckpointError::Root),
            (
                good.replace("example.com/a", "example.com/+"),
                CheckpointError::Origin(NameError::Character { found: '+' }),
            ),
        ] {
            assert_eq!(Checkpoint::parse_text(&bad), Err(error), "{bad}");
        }
    }
}
