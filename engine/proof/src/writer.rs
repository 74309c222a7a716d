//! The writer's own signature over what it claims, so that not even the operator can write in its name.

use crate::commitment::Commitment;
use crate::envelope::{ClassId, Envelope, Link, Media, Subject};
use crate::hash::{LeafHash, StreamSeq};
use crate::names::{Kind, StreamName};
use crate::note::{KeyId, VerifierKey};

const CONTEXT: &[u8] = b"counterfoil-writer/v1\n";

/// Signature of a writer, as stored in the envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriterSignature {
    /// Key id of the signing key, as in its verifier key.
    pub key_id: KeyId,
    /// Ed25519 signature over [`WriterStatement::message`].
    pub bytes: [u8; 64],
}

/// What a writer signs: everything it decides itself, and nothing the sequencer decides.
#[derive(Clone, Copy, Debug)]
pub struct WriterStatement<'a> {
    /// Leaf hash of index 0.
    pub ledger: LeafHash,
    /// Stream appended to.
    pub stream: &'a StreamName,
    /// Position in it, which is why a signing writer appends conditionally.
    pub stream_seq: StreamSeq,
    /// Kind of the receipt.
    pub kind: &'a Kind,
    /// Retention class.
    pub class: ClassId,
    /// Media type of the payload.
    pub media: Media,
    /// Data subject.
    pub subject: Option<Subject>,
    /// Causes.
    pub links: &'a [Link],
    /// Commitment to the payload.
    pub commitment: Commitment,
}

impl<'a> WriterStatement<'a> {
    /// The statement that an envelope makes in a ledger.
    #[must_use]
    pub fn of(ledger: LeafHash, envelope: &'a Envelope) -> Self {
        Self {
            ledger,
            stream: &envelope.stream,
            stream_seq: envelope.stream_seq,
            kind: &envelope.kind,
            class: envelope.class,
            media: envelope.media,
            subject: envelope.subject,
            links: &envelope.links,
            commitment: envelope.commitment,
        }
    }

    /// The signed bytes: `counterfoil-writer/v1\n`, ledger id, `u64` stream position, `u32` class, media, commitment
    /// algorithm, number of subjects (0 or 1), number of links, `u8` length and bytes of stream and of kind, subject,
    /// links (`u64` index, leaf hash), commitment. Integers are little-endian.
    #[must_use]
    pub fn message(&self) -> Vec<u8> {
        let mut out = CONTEXT.to_vec();
        out.extend(self.ledger.0);
        out.extend(self.stream_seq.0.to_le_bytes());
        out.extend(self.class.0.to_le_bytes());
        let links = u8::try_from(self.links.len()).expect("at most 16 links");
        out.extend([self.media.byte(), self.commitment.algorithm.byte(), self.subject.is_some().into(), links]);
        for name in [self.stream.as_str(), self.kind.as_str()] {
            out.push(u8::try_from(name.len()).expect("names are at most 128 bytes"));
            out.extend(name.as_bytes());
        }
        if let Some(subject) = self.subject {
            out.extend(subject.0);
        }
        for link in self.links {
            out.extend(link.index.0.to_le_bytes());
            out.extend(link.leaf.0);
        }
        out.extend(self.commitment.digest.0);
        out
    }

    /// True when `key` made this signature over this statement.
    #[must_use]
    pub fn is_signed_by(&self, signature: &WriterSignature, key: &VerifierKey) -> bool {
        key.id() == signature.key_id && key.verifies_raw(&self.message(), &signature.bytes)
    }
}
