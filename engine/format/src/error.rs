use counterfoil_proof::{EnvelopeError, Hash, NameError, Truncated};

/// Why stored bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// The bytes end early.
    #[error("the bytes end before the value does")]
    Truncated,
    /// Another kind of record, or none.
    #[error("expected a record that begins with {}, found {}", text(expected), text(found))]
    Magic {
        /// Bytes a record of this kind begins with.
        expected: [u8; 8],
        /// Bytes found.
        found: [u8; 8],
    },
    /// A length outside its limits.
    #[error("{field} is {found}, at most {max} is allowed")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Value allowed.
        max: u64,
        /// Value found.
        found: u64,
    },
    /// The checksum does not fit the bytes.
    #[error("the checksum is {found:08x}, the bytes have {expected:08x}")]
    Checksum {
        /// CRC-32 of the bytes.
        expected: u32,
        /// CRC-32 stored.
        found: u32,
    },
    /// The digest does not fit the bytes.
    #[error("the BLAKE3 digest is {found}, the bytes have {expected}")]
    Digest {
        /// BLAKE3 of the bytes.
        expected: Hash,
        /// Digest stored.
        found: Hash,
    },
    /// A field holds a value that this version does not define.
    #[error("{field} holds the unknown value {found}")]
    UnknownValue {
        /// Name of the field.
        field: &'static str,
        /// Value found.
        found: u64,
    },
    /// Bytes that a writer would have written otherwise.
    #[error("not in canonical form: {rule}")]
    NotCanonical {
        /// The rule that is broken.
        rule: &'static str,
    },
    /// A name breaks its rules.
    #[error("{field} {error}")]
    Name {
        /// Name of the field.
        field: &'static str,
        /// Which rule.
        error: NameError,
    },
    /// The envelope rebuilt from a record breaks its rules.
    #[error("the envelope: {0}")]
    Envelope(EnvelopeError),
}

fn text(magic: &[u8; 8]) -> String {
    magic.escape_ascii().to_string()
}

impl From<Truncated> for FormatError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl From<EnvelopeError> for FormatError {
    fn from(error: EnvelopeError) -> Self {
        Self::Envelope(error)
    }
}
