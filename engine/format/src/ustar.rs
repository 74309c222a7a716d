//! The headers of POSIX ustar archives, in the one form that a bundle has.

use crate::error::FormatError;
use crate::record::all_zero;

/// Bytes of a tar block: headers are one block, contents are padded to whole ones.
pub const TAR_BLOCK: usize = 512;
/// Zero blocks at the end of an archive, in bytes.
pub const TAR_END_LEN: usize = 2 * TAR_BLOCK;
/// Longest name of an entry.
pub const TAR_NAME_LEN_MAX: usize = 100;
/// Largest entry: what eleven octal digits hold.
pub const TAR_ENTRY_LEN_MAX: u64 = 8_589_934_591;

const SIZE_AT: usize = 124;
const SIZE_DIGITS: usize = 11;
const CHECKSUM_AT: usize = 148;
const CHECKSUM_LEN: usize = 8;

/// Header of one regular file in an archive. Nothing but name and length varies.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 100 | name, then zeros |
/// | 100 | 8 | mode: `0000644` and a zero byte |
/// | 108 | 8 | user: `0000000` and a zero byte |
/// | 116 | 8 | group: `0000000` and a zero byte |
/// | 124 | 12 | length of the content: eleven octal digits and a zero byte |
/// | 136 | 12 | time: `00000000000` and a zero byte |
/// | 148 | 8 | sum of all bytes of the header, these eight taken as spaces: six octal digits, a zero byte, a space |
/// | 156 | 1 | type: `0`, a regular file |
/// | 157 | 100 | zero |
/// | 257 | 8 | `ustar`, a zero byte, `00` |
/// | 265 | 64 | zero |
/// | 329 | 16 | device: twice `0000000` and a zero byte |
/// | 345 | 167 | zero |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TarHeader {
    name: String,
    len: u64,
}

impl TarHeader {
    /// The header of a file of `len` bytes.
    ///
    /// # Panics
    /// When name or length do not fit: only our own code names entries.
    #[must_use]
    pub fn new(name: &str, len: u64) -> Self {
        assert!(is_name(name.as_bytes()) && len <= TAR_ENTRY_LEN_MAX, "an entry fits its header");
        Self { name: name.to_owned(), len }
    }

    /// Name of the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Bytes of its content, without padding.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when the file holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Zeros behind the content, up to the next block.
    #[must_use]
    pub fn padding(&self) -> usize {
        usize::try_from(self.len.next_multiple_of(TAR_BLOCK as u64) - self.len).expect("less than a block")
    }

    /// The bytes of the header.
    #[must_use]
    pub fn encode(&self) -> [u8; TAR_BLOCK] {
        let mut out = [0; TAR_BLOCK];
        let len = format!("{:011o}", self.len);
        let fields: [(usize, &[u8]); 10] = [
            (0, self.name.as_bytes()),
            (100, b"0000644"),
            (108, b"0000000"),
            (116, b"0000000"),
            (SIZE_AT, len.as_bytes()),
            (136, b"00000000000"),
            (CHECKSUM_AT, &[b' '; CHECKSUM_LEN]),
            (156, b"0"),
            (257, b"ustar\x0000"),
            (329, b"0000000\x000000000"),
        ];
        for (at, bytes) in fields {
            out[at..at + bytes.len()].copy_from_slice(bytes);
        }
        let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        out[CHECKSUM_AT..CHECKSUM_AT + CHECKSUM_LEN].copy_from_slice(text.as_bytes());
        out
    }

    /// Reads a header; `None` for a block of zeros, which ends an archive. Any header that [`TarHeader::encode`] would
    /// not have written is refused.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(block: &[u8; TAR_BLOCK]) -> Result<Option<Self>, FormatError> {
        if all_zero(block, "").is_ok() {
            return Ok(None);
        }
        let wrong = |rule| FormatError::NotCanonical { rule };
        let name_len = block[..TAR_NAME_LEN_MAX].iter().position(|byte| *byte == 0).unwrap_or(TAR_NAME_LEN_MAX);
        let name = &block[..name_len];
        if !is_name(name) {
            return Err(wrong("a tar entry has a name of printable ASCII"));
        }
        let mut len = 0;
        for digit in &block[SIZE_AT..SIZE_AT + SIZE_DIGITS] {
            let value = digit.checked_sub(b'0').filter(|value| *value < 8);
            len = len * 8 + u64::from(value.ok_or(wrong("the length of a tar entry is octal"))?);
        }
        let header = Self { name: name.iter().map(|byte| char::from(*byte)).collect(), len };
        let expected = header.encode();
        if expected != *block {
            return Err(wrong("a tar header varies in name and length only, and has the right checksum"));
        }
        Ok(Some(header))
    }
}

fn is_name(name: &[u8]) -> bool {
    (1..=TAR_NAME_LEN_MAX).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_has_the_bytes_that_posix_asks_for() {
        let header = TarHeader::new("receipts/00000000000000000007", 4_194_309).encode();
        assert_eq!(&header[..29], b"receipts/00000000000000000007");
        assert_eq!(&header[100..108], b"0000644\0");
        assert_eq!(&header[124..136], b"00020000005\0");
        assert_eq!(&header[257..265], b"ustar\x0000");
        let sum: u32 = (0..512).map(|at| if (148..156).contains(&at) { 32 } else { u32::from(header[at]) }).sum();
        assert_eq!(&header[148..156], format!("{sum:06o}\0 ").as_bytes());
    }

    #[test]
    fn every_flipped_byte_of_a_header_is_refused() {
        let header = TarHeader::new("bundle.json", 300).encode();
        for at in 0..TAR_BLOCK {
            let mut bad = header;
            bad[at] ^= 1;
            assert!(TarHeader::decode(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn a_block_of_zeros_is_no_header() {
        assert_eq!(TarHeader::decode(&[0; TAR_BLOCK]), Ok(None));
    }

    proptest! {
        #[test]
        fn headers_read_back(name in "[!-~]{1,100}", len in 0..=TAR_ENTRY_LEN_MAX) {
            let header = TarHeader::new(&name, len);
            prop_assert_eq!((header.padding() as u64 + len) % 512, 0);
            prop_assert_eq!(TarHeader::decode(&header.encode()), Ok(Some(header)));
        }

        #[test]
        fn whatever_decodes_encodes_to_the_same(name in "[!-~]{1,100}", len in 0..=TAR_ENTRY_LEN_MAX, at in 0..TAR_BLOCK, byte: u8) {
            let mut block = TarHeader::new(&name, len).encode();
            block[at] = byte;
            if let Ok(Some(header)) = TarHeader::decode(&block) {
                prop_assert_eq!(header.encode(), block);
            }
        }
    }
}
