//! The preamble every stored structure begins with.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | magic, whose last character is the version |
//! | 8 | 4 | CRC-32 (IEEE) of bytes 12 to the end |
//! | 12 | 4 | length of the whole structure, preamble included |

use crate::error::FormatError;
use counterfoil_proof::Reader;

/// Bytes of the preamble.
pub const PREAMBLE_LEN: usize = 16;
const CRC_AT: usize = 8;
const LEN_AT: usize = 12;

/// Begins a structure: the preamble, to be completed by [`finish`].
pub(crate) fn begin(magic: &[u8; 8], capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity);
    out.extend(magic);
    out.resize(PREAMBLE_LEN, 0);
    out
}

/// Fills in length and checksum.
pub(crate) fn finish(out: &mut [u8]) {
    let len = u32::try_from(out.len()).expect("structures are far below 4 GiB");
    out[LEN_AT..PREAMBLE_LEN].copy_from_slice(&len.to_le_bytes());
    let crc = crc32fast::hash(&out[LEN_AT..]);
    out[CRC_AT..LEN_AT].copy_from_slice(&crc.to_le_bytes());
}

/// Length a structure states, once its magic was recognised. The checksum is not looked at.
///
/// # Errors
/// [`FormatError`] when the magic is another, the input is shorter than a preamble, or the length is outside
/// `PREAMBLE_LEN..=len_max`.
pub fn declared_len(magic: &[u8; 8], bytes: &[u8], len_max: usize) -> Result<usize, FormatError> {
    let mut input = Reader::new(bytes);
    let found = input.array()?;
    if found != *magic {
        return Err(FormatError::Magic { expected: *magic, found });
    }
    let _crc = input.u32()?;
    let len = input.u32()? as usize;
    if len > len_max {
        return Err(FormatError::TooLong { field: "length", max: len_max as u64, found: len as u64 });
    }
    if len < PREAMBLE_LEN { Err(FormatError::Truncated) } else { Ok(len) }
}

/// Checks a structure at the start of `bytes` and returns what follows its preamble.
pub(crate) fn open<'a>(magic: &[u8; 8], bytes: &'a [u8], len_max: usize) -> Result<&'a [u8], FormatError> {
    let len = declared_len(magic, bytes, len_max)?;
    let whole = bytes.get(..len).ok_or(FormatError::Truncated)?;
    let found = u32::from_le_bytes([whole[8], whole[9], whole[10], whole[11]]);
    let expected = crc32fast::hash(&whole[LEN_AT..]);
    if found != expected {
        return Err(FormatError::Checksum { expected, found });
    }
    Ok(&whole[PREAMBLE_LEN..])
}

/// Refuses anything but zeros.
pub(crate) fn all_zero(bytes: &[u8], rule: &'static str) -> Result<(), FormatError> {
    if bytes.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(FormatError::NotCanonical { rule }) }
}
