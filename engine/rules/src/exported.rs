//! `ledger.exported/1`: what a bundle was said to hold when it was exported, and the head of the bundle that repeats it.

use crate::canonical::{CanonicalError, from_canonical, to_canonical};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, Origin, StreamName, TreeSize};
use serde::{Deserialize, Serialize};

/// Kind of the receipt that states what a stream or range held.
pub const EXPORTED_KIND: &str = "ledger.exported/1";
const BUNDLE_VERSION: u32 = 1;

/// Which receipts a bundle holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportScope {
    /// All receipts of a stream.
    Stream(StreamName),
    /// The receipts from an index up to a tree size.
    Range {
        /// Index of the first.
        from: LeafIndex,
        /// Tree size that the last one completes.
        to: TreeSize,
    },
}

/// The statement of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Which receipts.
    pub scope: ExportScope,
    /// Tree size at which they were counted.
    pub size: TreeSize,
    /// How many there are below that size; at least one.
    pub count: u64,
    /// Leaf hash of the last of them.
    pub head: LeafHash,
}

/// What a bundle says of itself, in `bundle.json`. Nothing of it is believed: all of it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BundleHead {
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// The ledger's name in its checkpoints.
    pub origin: Origin,
    /// Which receipts.
    pub scope: ExportScope,
    /// Tree size at which they were counted.
    pub size: TreeSize,
    /// How many there are.
    pub count: u64,
    /// Index of the `ledger.exported/1` that states all this; `None` when completeness is not stated.
    pub statement: Option<LeafIndex>,
    /// BLAKE3 of `format.md`.
    pub document: Hash,
}

/// Why a statement or a bundle's head is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExportedError {
    /// It is not canonical JSON of the right shape.
    #[error(transparent)]
    Canonical(#[from] CanonicalError),
    /// A field holds a value that this version does not know.
    #[error("{field} has an unknown or malformed value")]
    Field {
        /// Name of the field.
        field: &'static str,
    },
    /// It counts other receipts than there can be.
    #[error("{count} receipts cannot be in this scope at tree size {size}")]
    Count {
        /// Receipts counted.
        count: u64,
        /// Tree size they were counted at.
        size: TreeSize,
    },
}

/// A scope as it stands in JSON: `stream`, or `from` and `to`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScopeText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    count: String,
    head: String,
    scope: ScopeText,
    size: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    bundle: u32,
    count: String,
    document: String,
    ledger_id: String,
    origin: String,
    scope: ScopeText,
    size: String,
    statement: Option<String>,
}

impl ExportScope {
    /// True when the scope can hold `count` receipts at a tree size, and at least one.
    fn admits(&self, count: u64, size: TreeSize) -> bool {
        let of_scope = match self {
            Self::Stream(_) => true,
            Self::Range { from, to } => *to <= size && to.0.checked_sub(from.0) == Some(count),
        };
        of_scope && (1..=size.0).contains(&count)
    }

    fn text(&self) -> ScopeText {
        match self {
            Self::Stream(stream) => ScopeText { stream: Some(stream.to_string()), from: None, to: None },
            Self::Range { from, to } => {
                ScopeText { stream: None, from: Some(from.to_string()), to: Some(to.to_string()) }
            }
        }
    }
}

impl core::fmt::Display for ExportScope {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Stream(stream) => write!(f, "stream {stream}"),
            Self::Range { from, to } => write!(f, "receipts {from} to {}", to.0.saturating_sub(1)),
        }
    }
}

impl ScopeText {
    fn parse(&self) -> Result<ExportScope, ExportedError> {
        match (&self.stream, &self.from, &self.to) {
            (Some(stream), None, None) => {
                StreamName::new(stream).map(ExportScope::Stream).map_err(|_| ExportedError::Field { field: "scope" })
            }
            (None, Some(from), Some(to)) => {
                Ok(ExportScope::Range { from: LeafIndex(decimal("scope", from)?), to: TreeSize(decimal("scope", to)?) })
            }
            _ => Err(ExportedError::Field { field: "scope" }),
        }
    }
}

impl Exported {
    /// The payload of the receipt.
    ///
    /// # Errors
    /// [`ExportedError`] when it counts what cannot be.
    pub fn to_payload(&self) -> Result<Vec<u8>, ExportedError> {
        self.check()?;
        Ok(to_canonical(&Statement {
            count: self.count.to_string(),
            head: self.head.to_string(),
            scope: self.scope.text(),
            size: self.size.to_string(),
        })?)
    }

    /// Reads the payload of the receipt.
    ///
    /// # Errors
    /// [`ExportedError`] says what is wrong.
    pub fn from_payload(bytes: &[u8]) -> Result<Self, ExportedError> {
        let text: Statement = from_canonical(bytes)?;
        let exported = Self {
            scope: text.scope.parse()?,
            size: TreeSize(decimal("size", &text.size)?),
            count: decimal("count", &text.count)?,
            head: hash("head", &text.head)?,
        };
        // A null reads as a missing key: only one of the two is what is written.
        if exported.to_payload()? != bytes {
            return Err(ExportedError::Field { field: "scope" });
        }
        Ok(exported)
    }

    fn check(&self) -> Result<(), ExportedError> {
        if self.scope.admits(self.count, self.size) {
            Ok(())
        } else {
            Err(ExportedError::Count { count: self.count, size: self.size })
        }
    }
}

impl BundleHead {
    /// The bytes of `bundle.json`.
    ///
    /// # Errors
    /// [`ExportedError`] when it counts what cannot be.
    pub fn to_json(&self) -> Result<Vec<u8>, ExportedError> {
        self.check()?;
        Ok(to_canonical(&Head {
            bundle: BUNDLE_VERSION,
            count: self.count.to_string(),
            document: self.document.to_string(),
            ledger_id: self.ledger_id.to_string(),
            origin: self.origin.to_string(),
            scope: self.scope.text(),
            size: self.size.to_string(),
            statement: self.statement.map(|index| index.to_string()),
        })?)
    }

    /// Reads `bundle.json`.
    ///
    /// # Errors
    /// [`ExportedError`] says what is wrong.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ExportedError> {
        let text: Head = from_canonical(bytes)?;
        if text.bundle != BUNDLE_VERSION {
            return Err(ExportedError::Field { field: "bundle" });
        }
        let statement = text.statement.as_deref().map(|index| decimal("statement", index).map(LeafIndex));
        let head = Self {
            ledger_id: hash("ledger_id", &text.ledger_id)?,
            origin: Origin::new(&text.origin).map_err(|_| ExportedError::Field { field: "origin" })?,
            scope: text.scope.parse()?,
            size: TreeSize(decimal("size", &text.size)?),
            count: decimal("count", &text.count)?,
            statement: statement.transpose()?,
            document: hash("document", &text.document)?,
        };
        // A missing key reads as null: only one of the two is what is written.
        if head.to_json()? != bytes {
            return Err(ExportedError::Field { field: "scope or statement" });
        }
        Ok(head)
    }

    fn check(&self) -> Result<(), ExportedError> {
        if self.scope.admits(self.count, self.size) {
            Ok(())
        } else {
            Err(ExportedError::Count { count: self.count, size: self.size })
        }
    }
}

fn decimal(field: &'static str, text: &str) -> Result<u64, ExportedError> {
    let number: Option<u64> = text.parse().ok();
    number.filter(|number| number.to_string() == text).ok_or(ExportedError::Field { field })
}

fn hash(field: &'static str, text: &str) -> Result<Hash, ExportedError> {
    Hash::from_hex(text).map_err(|_| ExportedError::Field { field })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream() -> ExportScope {
        ExportScope::Stream(StreamName::new("incident/INC-42").unwrap())
    }

    fn range(from: u64, to: u64) -> ExportScope {
        ExportScope::Range { from: LeafIndex(from), to: TreeSize(to) }
    }

    fn exported(scope: ExportScope, count: u64, size: u64) -> Exported {
        Exported { scope, size: TreeSize(size), count, head: Hash([1; 32]) }
    }

    #[test]
    fn nothing_is_counted_that_cannot_be_there() {
        for (scope, count, size, possible) in [
            (stream(), 1, 1, true),
            (stream(), 0, 1, false),
            (stream(), 2, 1, false),
            (range(2, 5), 3, 5, true),
            (range(2, 5), 2, 5, false),
            (range(2, 5), 3, 4, false),
            (range(5, 5), 0, 5, false),
            (range(5, 2), 3, 9, false),
        ] {
            let made = exported(scope, count, size).to_payload();
            assert_eq!(made.is_ok(), possible, "{count} at {size}: {made:?}");
        }
    }

    #[test]
    fn a_scope_is_a_stream_or_a_range() {
        let good = exported(range(2, 5), 3, 5).to_payload().unwrap();
        let good = String::from_utf8(good).unwrap();
        for bad in [
            good.replace(r#""from":"2","#, ""),
            good.replace(r#""from":"2","#, r#""from":"2","stream":"a","#),
            good.replace(r#""from":"2","#, r#""from":"2","stream":null,"#),
            good.replace(r#""from":"2","to":"5""#, r#""stream":"""#),
            good.replace(r#""from":"2","to":"5""#, ""),
            good.replace(r#""2""#, r#""02""#),
        ] {
            assert_ne!(bad, good);
            assert!(Exported::from_payload(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_bundle_of_another_version_or_without_a_word_on_its_statement_is_refused() {
        let head = BundleHead {
            ledger_id: Hash([2; 32]),
            origin: Origin::new("example.com/a").unwrap(),
            scope: stream(),
            size: TreeSize(9),
            count: 3,
            statement: None,
            document: Hash([3; 32]),
        };
        let good = String::from_utf8(head.to_json().unwrap()).unwrap();
        assert_eq!(BundleHead::from_json(good.as_bytes()), Ok(head));
        for bad in [good.replace(r#""bundle":1"#, r#""bundle":2"#), good.replace(r#","statement":null"#, "")] {
            assert_ne!(bad, good);
            assert!(BundleHead::from_json(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn statements_and_heads_read_back(name in "[^\u{0}-\u{1f}\u{7f}-\u{9f}]{1,32}", count in 1..=u64::MAX, more: u64, statement: Option<u64>, ranged: bool) {
            let size = count.saturating_add(more);
            let scope = if ranged { range(size - count, size) } else { ExportScope::Stream(StreamName::new(&name).unwrap()) };
            let statement = statement.map(LeafIndex);
            let made = exported(scope.clone(), count, size);
            prop_assert_eq!(Exported::from_payload(&made.to_payload().unwrap()), Ok(made));
            let head = BundleHead {
                ledger_id: Hash([2; 32]), origin: Origin::new("a").unwrap(), scope, size: TreeSize(size), count, statement,
                document: Hash([3; 32]),
            };
            prop_assert_eq!(BundleHead::from_json(&head.to_json().unwrap()), Ok(head));
        }
    }
}
