//! Hashes, positions and times as types that cannot be confused with one another.

use core::fmt;
use sha2::{Digest, Sha256};

/// 32 bytes of a SHA-256 or BLAKE3 digest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(pub [u8; 32]);

/// RFC 6962 leaf hash of an envelope: `SHA-256(0x00 ‖ envelope)`.
pub type LeafHash = Hash;
/// RFC 6962 interior node: `SHA-256(0x01 ‖ left ‖ right)`. A leaf hash is the node of level 0.
pub type NodeHash = Hash;
/// RFC 6962 Merkle tree head of some tree size.
pub type RootHash = Hash;

impl Hash {
    /// 32 zero bytes: "there is none before this one".
    pub const ZERO: Self = Self([0; 32]);

    /// Length in bytes.
    pub const LEN: usize = 32;

    /// `SHA-256(0x00 ‖ envelope)`, RFC 6962 section 2.1.
    #[must_use]
    pub fn of_envelope(envelope: &[u8]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update([0x00]);
        hasher.update(envelope);
        Self(hasher.finalize().into())
    }

    /// `SHA-256(0x01 ‖ left ‖ right)`, RFC 6962 section 2.1.
    #[must_use]
    pub fn of_children(left: &Self, right: &Self) -> Self {
        let mut message = [0x01; 65];
        message[1..33].copy_from_slice(&left.0);
        message[33..].copy_from_slice(&right.0);
        Self(Sha256::digest(message).into())
    }

    /// Root of the empty tree: SHA-256 of nothing, RFC 6962 section 2.1.
    #[must_use]
    pub fn of_empty_tree() -> Self {
        Self(Sha256::digest([]).into())
    }

    /// True when this is [`Hash::ZERO`].
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }

    /// Parses 64 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`HexError`] for any other length or character.
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        let bytes = unhex(text)?;
        Ok(Self(bytes.try_into().map_err(|_| HexError)?))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// Reads lower-case hexadecimal, the only form this product writes.
///
/// # Errors
/// [`HexError`] for an odd length, an upper-case digit or anything else.
pub fn unhex(text: &str) -> Result<Vec<u8>, HexError> {
    fn digit(byte: u8) -> Result<u8, HexError> {
        match byte {
            b'0'..=b'9' => Ok(byte - b'0'),
            b'a'..=b'f' => Ok(byte - b'a' + 10),
            _ => Err(HexError),
        }
    }
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return Err(HexError);
    }
    pairs.iter().map(|[high, low]| Ok(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// Text that is not lower-case hexadecimal of the expected length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HexError;

impl fmt::Display for HexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not lower-case hexadecimal of the expected length")
    }
}

impl core::error::Error for HexError {}

/// 0-based position of a receipt in the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeafIndex(pub u64);

/// Number of receipts in the ledger at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeSize(pub u64);

/// 0-based position of a receipt in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamSeq(pub u64);

/// Unix time in nanoseconds, as the sequencer gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl LeafIndex {
    /// Size of the tree in which this leaf is the last one.
    #[must_use]
    pub fn size_including(self) -> TreeSize {
        TreeSize(self.0 + 1)
    }
}

impl TreeSize {
    /// Index the next receipt will have.
    #[must_use]
    pub fn next_index(self) -> LeafIndex {
        LeafIndex(self.0)
    }

    /// True when a tree of this size holds the leaf.
    #[must_use]
    pub fn contains(self, index: LeafIndex) -> bool {
        index.0 < self.0
    }

    /// The tree after `count` more receipts.
    #[must_use]
    pub fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

macro_rules! display_as_decimal {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_as_decimal!(LeafIndex, TreeSize, StreamSeq, Timestamp);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_tree_has_the_hash_of_rfc_6962() {
        assert_eq!(
            Hash::of_empty_tree().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }

    #[test]
    fn an_empty_leaf_has_the_hash_of_rfc_6962() {
        assert_eq!(
            Hash::of_envelope(b"").to_string(),
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
        );
    }

    #[test]
    fn upper_case_and_odd_hexadecimal_is_refused() {
        assert_eq!(unhex("AB"), Err(HexError));
        assert_eq!(unhex("abc"), Err(HexError));
        assert_eq!(unhex("00ff"), Ok(vec![0, 255]));
    }
}
