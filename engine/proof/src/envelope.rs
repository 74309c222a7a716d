//! The envelope: the small public part of a receipt, whose hash is its Merkle leaf.
//!
//! Canonical layout, version 1, integers little-endian (docs/format.md, *Envelope*):
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | flags: 1 closes stream, 2 has subject, 4 has writer signature, 8 control |
//! | 2 | 1 | commitment algorithm |
//! | 3 | 1 | media type |
//! | 4 | 4 | class id |
//! | 8 | 8 | index |
//! | 16 | 8 | time |
//! | 24 | 8 | `control_seq` |
//! | 32 | 8 | `stream_seq` |
//! | 40 | 32 | prev |
//! | 72 | 32 | `control_head` |
//! | 104 | 32 | `stream_prev` |
//! | 136 | 32 | commitment |
//! | 168 | 1 | length of stream name, 1–128 |
//! | 169 | 1 | length of kind, 3–64 |
//! | 170 | 1 | length of writer, 1–64 |
//! | 171 | 1 | number of links, 0–16 |
//! | 172 | … | stream, kind, writer |
//! | … | 16 | subject, if flagged |
//! | … | 40 each | links: index, leaf hash |
//! | … | 68 | writer signature, if flagged: key id, Ed25519 signature |

use crate::commitment::{Commitment, CommitmentAlgorithm};
use crate::hash::{Hash, LeafHash, LeafIndex, StreamSeq, Timestamp};
use crate::names::{Kind, NameError, Principal, StreamName};
use crate::note::KeyId;
use crate::reader::{Reader, Truncated};
use crate::writer::WriterSignature;
use core::fmt;

/// Largest envelope in bytes. The largest that version 1 can form is 1 152.
pub const ENVELOPE_LEN_MAX: usize = 4096;
/// Most links in one receipt.
pub const LINKS_MAX: usize = 16;

const VERSION: u8 = 1;
const FIXED_LEN: usize = 172;

mod flag {
    pub(super) const CLOSES_STREAM: u8 = 1;
    pub(super) const SUBJECT: u8 = 2;
    pub(super) const WRITER_SIGNATURE: u8 = 4;
    pub(super) const CONTROL: u8 = 8;
    pub(super) const ALL: u8 = CLOSES_STREAM | SUBJECT | WRITER_SIGNATURE | CONTROL;
}

/// What the payload bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Media {
    /// JSON text.
    Json = 1,
    /// CBOR.
    Cbor = 2,
    /// A serialized protocol buffer.
    Protobuf = 3,
    /// UTF-8 text.
    Text = 4,
    /// Anything else.
    Bytes = 5,
}

impl Media {
    const ALL: [Self; 5] = [Self::Json, Self::Cbor, Self::Protobuf, Self::Text, Self::Bytes];

    /// The media type with this byte, if there is one.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.byte() == byte)
    }

    /// Its byte in an envelope.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cbor => "cbor",
            Self::Protobuf => "protobuf",
            Self::Text => "text",
            Self::Bytes => "bytes",
        }
    }

    /// The media type of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|media| media.name() == name)
    }
}

/// A retention class. Class 0, `forever`, always exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(pub u32);

impl ClassId {
    /// The class whose receipts are never erased.
    pub const FOREVER: Self = Self(0);
}

/// Pseudonym of a data subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject(pub [u8; 16]);

/// A cause: an earlier receipt, named by place and by content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Where the cause is.
    pub index: LeafIndex,
    /// What the cause is.
    pub leaf: LeafHash,
}

/// The public part of a receipt, hashed into the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Leaf index, 0-based.
    pub index: LeafIndex,
    /// Nanoseconds since the Unix epoch, never decreasing along the ledger.
    pub time: Timestamp,
    /// Leaf hash of the receipt before; zero for index 0.
    pub prev: LeafHash,
    /// How many control receipts came before this one.
    pub control_seq: StreamSeq,
    /// Leaf hash of the latest control receipt before this one; zero for index 0.
    pub control_head: LeafHash,
    /// The stream this receipt belongs to.
    pub stream: StreamName,
    /// Position in the stream, 0-based.
    pub stream_seq: StreamSeq,
    /// Leaf hash of the stream's previous receipt; zero for the first.
    pub stream_prev: LeafHash,
    /// What kind of receipt this is.
    pub kind: Kind,
    /// Retention class.
    pub class: ClassId,
    /// Authenticated principal that appended it.
    pub writer: Principal,
    /// The writer's own signature, if it signed.
    pub writer_signature: Option<WriterSignature>,
    /// No receipt follows this one in its stream.
    pub closes_stream: bool,
    /// What the payload bytes are.
    pub media: Media,
    /// Causes, in the order the writer gave them.
    pub links: Vec<Link>,
    /// Data subject, for subject-wide holds and erasure.
    pub subject: Option<Subject>,
    /// Salted hash of the payload.
    pub commitment: Commitment,
}

/// Why bytes are not an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnvelopeError {
    /// More bytes than any envelope has.
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// The bytes end early.
    Truncated,
    /// Bytes follow the last field.
    TrailingBytes,
    /// A field holds a value that version 1 does not define.
    UnknownValue {
        /// Name of the field.
        field: &'static str,
        /// Value found.
        found: u8,
    },
    /// A name breaks its rules.
    Name {
        /// Name of the field.
        field: &'static str,
        /// Which rule.
        error: NameError,
    },
    /// More than [`LINKS_MAX`] links.
    TooManyLinks {
        /// Links found.
        found: usize,
    },
    /// Two fields contradict each other.
    Contradiction {
        /// The rule that is broken.
        rule: &'static str,
    },
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { found } => {
                write!(f, "{found} bytes are more than the {ENVELOPE_LEN_MAX} an envelope may have")
            }
            Self::Truncated => Truncated.fmt(f),
            Self::TrailingBytes => f.write_str("bytes follow the last field"),
            Self::UnknownValue { field, found } => write!(f, "{field} holds the unknown value {found}"),
            Self::Name { field, error } => write!(f, "{field} {error}"),
            Self::TooManyLinks { found } => write!(f, "{found} links are more than the {LINKS_MAX} allowed"),
            Self::Contradiction { rule } => write!(f, "fields contradict each other: {rule}"),
        }
    }
}

impl core::error::Error for EnvelopeError {}

impl From<Truncated> for EnvelopeError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl Envelope {
    /// True for control receipts, which carry the ledger's rules.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.kind.is_control()
    }

    /// Leaf hash of this envelope.
    #[must_use]
    pub fn leaf_hash(&self) -> LeafHash {
        Hash::of_envelope(&self.encode())
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(FIXED_LEN + 128);
        self.encode_into(&mut out);
        out
    }

    /// Appends the canonical bytes to `out`.
    ///
    /// # Panics
    /// When the envelope breaks one of its own rules: only our own code builds one.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        assert_eq!(self.check(), Ok(()), "an envelope that breaks its rules is never hashed");
        out.extend([VERSION, self.flags(), self.commitment.algorithm.byte(), self.media.byte()]);
        out.extend(self.class.0.to_le_bytes());
        for value in [self.index.0, self.time.0, self.control_seq.0, self.stream_seq.0] {
            out.extend(value.to_le_bytes());
        }
        for hash in [&self.prev, &self.control_head, &self.stream_prev, &self.commitment.digest] {
            out.extend(hash.0);
        }
        let names = [self.stream.as_str(), self.kind.as_str(), self.writer.as_str()];
        out.extend(names.map(|name| u8::try_from(name.len()).expect("names are at most 128 bytes")));
        out.push(u8::try_from(self.links.len()).expect("at most 16 links"));
        for name in names {
            out.extend(name.as_bytes());
        }
        if let Some(subject) = self.subject {
            out.extend(subject.0);
        }
        for link in &self.links {
            out.extend(link.index.0.to_le_bytes());
            out.extend(link.leaf.0);
        }
        if let Some(signature) = &self.writer_signature {
            out.extend(signature.key_id.0);
            out.extend(signature.bytes);
        }
    }

    /// Reads an envelope. Only canonical bytes are accepted.
    ///
    /// # Errors
    /// [`EnvelopeError`] names the field or rule that is broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, EnvelopeError> {
        if bytes.len() > ENVELOPE_LEN_MAX {
            return Err(EnvelopeError::TooLong { found: bytes.len() });
        }
        let mut input = Reader::new(bytes);
        let [version, flags, algorithm, media] = input.array()?;
        if version != VERSION {
            return Err(EnvelopeError::UnknownValue { field: "version", found: version });
        }
        if flags & !flag::ALL != 0 {
            return Err(EnvelopeError::UnknownValue { field: "flags", found: flags });
        }
        let unknown = |field, found| EnvelopeError::UnknownValue { field, found };
        let algorithm =
            CommitmentAlgorithm::from_byte(algorithm).ok_or_else(|| unknown("commitment algorithm", algorithm))?;
        let media = Media::from_byte(media).ok_or_else(|| unknown("media", media))?;
        let class = ClassId(input.u32()?);
        let [index, time, control_seq, stream_seq] = [input.u64()?, input.u64()?, input.u64()?, input.u64()?];
        let mut hash = || input.array().map(Hash);
        let [prev, control_head, stream_prev, digest] = [hash()?, hash()?, hash()?, hash()?];
        let [stream_len, kind_len, writer_len, links] = input.array()?;
        if usize::from(links) > LINKS_MAX {
            return Err(EnvelopeError::TooManyLinks { found: links.into() });
        }
        let named = |field| move |error| EnvelopeError::Name { field, error };
        let stream = StreamName::from_bytes(input.bytes(stream_len.into())?).map_err(named("stream"))?;
        let kind = Kind::from_bytes(input.bytes(kind_len.into())?).map_err(named("kind"))?;
        let writer = Principal::from_bytes(input.bytes(writer_len.into())?).map_err(named("writer"))?;
        let subject = if flags & flag::SUBJECT == 0 { None } else { Some(Subject(input.array()?)) };
        let links = (0..links)
            .map(|_| Ok(Link { index: LeafIndex(input.u64()?), leaf: Hash(input.array()?) }))
            .collect::<Result<_, Truncated>>()?;
        let writer_signature = if flags & flag::WRITER_SIGNATURE == 0 {
            None
        } else {
            Some(WriterSignature { key_id: KeyId(input.array()?), bytes: input.array()? })
        };
        if !input.is_empty() {
            return Err(EnvelopeError::TrailingBytes);
        }
        let envelope = Self {
            index: LeafIndex(index),
            time: Timestamp(time),
            prev,
            control_seq: StreamSeq(control_seq),
            control_head,
            stream,
            stream_seq: StreamSeq(stream_seq),
            stream_prev,
            kind,
            class,
            writer,
            writer_signature,
            closes_stream: flags & flag::CLOSES_STREAM != 0,
            media,
            links,
            subject,
            commitment: Commitment { algorithm, digest },
        };
        if envelope.flags() != flags {
            return Err(EnvelopeError::Contradiction { rule: "control flag ⇔ kind ledger.*" });
        }
        envelope.check()?;
        Ok(envelope)
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        for (set, bit) in [
            (self.closes_stream, flag::CLOSES_STREAM),
            (self.subject.is_some(), flag::SUBJECT),
            (self.writer_signature.is_some(), flag::WRITER_SIGNATURE),
            (self.is_control(), flag::CONTROL),
        ] {
            if set {
                flags |= bit;
            }
        }
        flags
    }

    /// Checks the rules that hold inside one envelope.
    ///
    /// # Errors
    /// [`EnvelopeError`] names the rule that is broken.
    pub fn check(&self) -> Result<(), EnvelopeError> {
        let control = self.is_control();
        let genesis = self.index.0 == 0;
        let rules = [
            (self.stream.is_control() == control, "stream ledger ⇔ kind ledger.*"),
            (!control || self.stream_seq == self.control_seq, "a control receipt's stream_seq is its control_seq"),
            (!control || self.stream_prev == self.control_head, "a control receipt's stream_prev is its control_head"),
            (!control || self.class == ClassId::FOREVER, "a control receipt has class 0"),
            (!control || !self.closes_stream, "the stream ledger is never closed"),
            (!genesis || control, "index 0 is a control receipt"),
            (self.prev.is_zero() == genesis, "prev is zero ⇔ index 0"),
            (self.control_head.is_zero() == genesis, "control_head is zero ⇔ index 0"),
            ((self.control_seq.0 == 0) == genesis, "control_seq is 0 ⇔ index 0"),
            (self.stream_prev.is_zero() == (self.stream_seq.0 == 0), "stream_prev is zero ⇔ stream_seq 0"),
            (self.control_seq.0 <= self.index.0, "control_seq is at most index"),
            (self.stream_seq.0 <= self.index.0, "stream_seq is at most index"),
            (self.links.iter().all(|link| link.index < self.index), "links point backwards"),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(EnvelopeError::Contradiction { rule }),
            None if self.links.len() > LINKS_MAX => Err(EnvelopeError::TooManyLinks { found: self.links.len() }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
