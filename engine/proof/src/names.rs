//! Names that stay in the ledger for ever, parsed once and then passed as types.

use core::fmt;
use std::sync::Arc;

/// The stream that carries control receipts, and nothing else.
pub const CONTROL_STREAM: &str = "ledger";
/// Longest stream name in bytes.
pub const STREAM_LEN_MAX: usize = 128;
/// Longest origin in bytes.
pub const ORIGIN_LEN_MAX: usize = 255;

const KIND_LEN_MAX: usize = 64;
const PRINCIPAL_LEN_MAX: usize = 64;
const CONTROL_KIND_PREFIX: &str = "ledger.";

/// What is wrong with a name, in words for the person who typed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameError {
    /// The name is empty.
    Empty,
    /// The name has more bytes than allowed.
    TooLong {
        /// Bytes allowed.
        max: usize,
        /// Bytes found.
        found: usize,
    },
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A character that this kind of name may not hold.
    Character {
        /// The offending character.
        found: char,
    },
    /// A receipt kind must read `name/version` with a version of 1 or more and no leading zero.
    KindShape,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { max, found } => write!(f, "is {found} bytes long, at most {max} are allowed"),
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::Character { found } => write!(f, "holds the character {found:?}, which is not allowed"),
            Self::KindShape => f.write_str("does not read name/version, for example decision.refused/1"),
        }
    }
}

impl core::error::Error for NameError {}

fn check(name: &str, len_max: usize, allowed: impl Fn(char) -> bool) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > len_max {
        return Err(NameError::TooLong { max: len_max, found: name.len() });
    }
    match name.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(NameError::Character { found }),
        None => Ok(()),
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and takes a name.
            ///
            /// # Errors
            /// [`NameError`] says which rule the name breaks.
            pub fn new(name: &str) -> Result<Self, NameError> {
                check(name, $max, $allowed)?;
                Self::check_shape(name)?;
                Ok(Self(name.into()))
            }

            /// Checks and takes a name from raw bytes.
            ///
            /// # Errors
            /// [`NameError`] says which rule the name breaks.
            pub fn from_bytes(name: &[u8]) -> Result<Self, NameError> {
                Self::new(core::str::from_utf8(name).map_err(|_| NameError::NotUtf8)?)
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name!(
    /// Name of a stream: UTF-8, 1 to 128 bytes, no control characters. It stays for ever: no personal data.
    StreamName,
    STREAM_LEN_MAX,
    |c: char| !c.is_control()
);
name!(
    /// Kind of a receipt, `name/version`: ASCII letters, digits, `.`, `_`, `-`, then `/` and a decimal version.
    Kind,
    KIND_LEN_MAX,
    |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/')
);
name!(
    /// An authenticated writer or officer: UTF-8, 1 to 64 bytes, no white space, no control characters.
    Principal,
    PRINCIPAL_LEN_MAX,
    |c: char| !c.is_control() && !c.is_whitespace()
);
name!(
    /// The ledger's name in its checkpoints and the name of its checkpoint key: UTF-8, 1 to 255 bytes, no white space,
    /// no control characters, no `+` (C2SP signed-note, *Format*).
    Origin,
    ORIGIN_LEN_MAX,
    |c: char| !c.is_control() && !c.is_whitespace() && c != '+'
);

impl StreamName {
    fn check_shape(_: &str) -> Result<(), NameError> {
        Ok(())
    }

    /// The reserved stream of control receipts.
    #[must_use]
    pub fn control() -> Self {
        Self(CONTROL_STREAM.into())
    }

    /// True for the reserved stream of control receipts.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.as_str() == CONTROL_STREAM
    }
}

impl Kind {
    fn check_shape(name: &str) -> Result<(), NameError> {
        let (base, version) = name.split_once('/').ok_or(NameError::KindShape)?;
        let decimal = !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit()) && !version.starts_with('0');
        if base.is_empty() || !decimal { Err(NameError::KindShape) } else { Ok(()) }
    }

    /// True for `ledger.*`, which only control receipts may carry.
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.as_str().starts_with(CONTROL_KIND_PREFIX)
    }
}

impl Principal {
    fn check_shape(_: &str) -> Result<(), NameError> {
        Ok(())
    }
}

impl Origin {
    fn check_shape(_: &str) -> Result<(), NameError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_needs_a_name_and_a_version_without_leading_zero() {
        assert!(Kind::new("decision.refused/1").is_ok());
        for bad in ["decision.refused", "/1", "a/", "a/01", "a/0", "a/1/2", "a/x"] {
            assert_eq!(Kind::new(bad), Err(NameError::KindShape), "{bad}");
        }
        assert_eq!(Kind::new("a b/1"), Err(NameError::Character { found: ' ' }));
    }

    #[test]
    fn lengths_are_counted_in_bytes() {
        assert!(StreamName::new(&"é".repeat(64)).is_ok());
        assert_eq!(StreamName::new(&"é".repeat(65)), Err(NameError::TooLong { max: 128, found: 130 }));
    }

    #[test]
    fn an_origin_has_no_plus_and_no_white_space() {
        assert!(Origin::new("example.com/support").is_ok());
        assert_eq!(Origin::new("a+b"), Err(NameError::Character { found: '+' }));
        assert_eq!(Origin::new("a\u{a0}b"), Err(NameError::Character { found: '\u{a0}' }));
    }

    #[test]
    fn control_characters_are_refused_in_stream_names() {
        assert_eq!(StreamName::new("a\nb"), Err(NameError::Character { found: '\n' }));
        assert_eq!(StreamName::new("a\u{9b}b"), Err(NameError::Character { found: '\u{9b}' }));
    }
}
