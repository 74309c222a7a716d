//! What is wrong with a message, and in which of its fields.

use core::fmt;
use counterfoil_proof::{CheckpointError, EnvelopeError, NameError, NoteError, ProofFileError};

/// A field of a message does not hold what it must.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct ConversionError {
    /// Where.
    pub field: FieldPath,
    /// What is wrong there.
    pub problem: Problem,
}

impl ConversionError {
    /// An error in a field of the message at hand.
    #[must_use]
    pub fn new(field: &'static str, problem: Problem) -> Self {
        Self { field: FieldPath(vec![Step { name: field, at: None }]), problem }
    }

    /// The same error, seen from the message that holds this one as element `at` of its field `list`.
    #[must_use]
    pub fn in_list(mut self, list: &'static str, at: usize) -> Self {
        self.field.0.insert(0, Step { name: list, at: Some(at) });
        self
    }

    /// The same error, seen from the message that holds this one in `field`.
    #[must_use]
    pub fn within(mut self, field: &'static str) -> Self {
        self.field.0.insert(0, Step { name: field, at: None });
        self
    }
}

/// Path to a field, shown as `receipts[3].links[0].leaf_hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath(Vec<Step>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step {
    name: &'static str,
    at: Option<usize>,
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            if depth > 0 {
                f.write_str(".")?;
            }
            f.write_str(step.name)?;
            if let Some(at) = step.at {
                write!(f, "[{at}]")?;
            }
        }
        Ok(())
    }
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The field must be there.
    #[error("is missing")]
    Missing,
    /// Bytes of the wrong length.
    #[error("has {found} bytes, expected {expected}")]
    Length {
        /// Bytes expected.
        expected: usize,
        /// Bytes found.
        found: usize,
    },
    /// A number that this version does not define.
    #[error("holds the unknown value {found}")]
    UnknownValue {
        /// Value found.
        found: i64,
    },
    /// A word that this version does not define.
    #[error("holds an unknown word")]
    UnknownWord,
    /// A list that is too long.
    #[error("has {found} entries, at most {max} are allowed")]
    TooMany {
        /// Entries allowed.
        max: usize,
        /// Entries found.
        found: usize,
    },
    /// A value that another field or message contradicts.
    #[error("contradicts {other}")]
    Contradicts {
        /// What it contradicts.
        other: &'static str,
    },
    /// A name breaks its rules.
    #[error("{0}")]
    Name(NameError),
    /// Not an envelope.
    #[error("is no envelope: {0}")]
    Envelope(EnvelopeError),
    /// Not a checkpoint.
    #[error("is no checkpoint: {0}")]
    Checkpoint(CheckpointError),
    /// Not a proof file.
    #[error("is no proof: {0}")]
    Proof(ProofFileError),
    /// Not a verifier key.
    #[error("is no verifier key: {0}")]
    Key(NoteError),
}
