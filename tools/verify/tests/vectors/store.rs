//! Where vectors are kept, and how they are written down.

use counterfoil_proof::hex;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

const WRITE: &str = "COUNTERFOIL_WRITE_VECTORS";

/// docs/vectors/, or a file in it.
pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors").join(name)
}

/// True when files are to be written and not compared.
pub(crate) fn writing() -> bool {
    std::env::var_os(WRITE).is_some()
}

#[expect(clippy::disallowed_methods, reason = "a test writes the files it was asked to write")]
pub(crate) fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().expect("a file has a folder")).unwrap();
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Compares a file of vectors with what was computed, or writes it.
pub(crate) fn check(name: &str, vectors: &Value) {
    let path = path(name);
    let text = serde_json::to_string_pretty(vectors).unwrap() + "\n";
    if writing() {
        write(&path, text.as_bytes());
    }
    let stored = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let differs = stored.lines().zip(text.lines()).position(|(stored, computed)| stored != computed);
    let line = differs.map_or(stored.lines().count().min(text.lines().count()), |at| at) + 1;
    assert!(stored == text, "docs/vectors/{name} is not what the code computes, from line {line} on");
}

/// Vectors of one kind: those that must be accepted, and those that must be refused.
pub(crate) fn good_and_bad(good: Vec<Value>, bad: Vec<Value>) -> Value {
    json!({ "good": good, "bad": bad })
}

/// Text where the bytes are text, else hexadecimal.
pub(crate) fn text_or_hex(bytes: &[u8]) -> Value {
    match core::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "hex": hex(bytes) }),
    }
}

/// One case that must be refused, and why.
pub(crate) fn refused(why: &str, bytes: &[u8]) -> Value {
    json!({ "why": why, "bytes": hex(bytes) })
}

/// Bytes with one changed.
pub(crate) fn with_byte(bytes: &[u8], at: usize, value: u8) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    assert_ne!(changed[at], value, "byte {at} changes");
    changed[at] = value;
    changed
}

/// Bytes with a run of them replaced by as many others.
pub(crate) fn with_bytes(bytes: &[u8], at: usize, values: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at..at + values.len()].copy_from_slice(values);
    assert_ne!(changed, bytes, "the bytes from {at} on change");
    changed
}

/// Bytes with a run of them replaced by others, not necessarily as many.
pub(crate) fn spliced(bytes: &[u8], range: core::ops::Range<usize>, values: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], values, &bytes[range.end..]].concat()
}

/// The structure with length and checksum of its preamble made right again, so that only one rule is broken.
pub(crate) fn resealed(mut bytes: Vec<u8>, len: usize) -> Vec<u8> {
    bytes[12..16].copy_from_slice(&u32::try_from(len).unwrap().to_le_bytes());
    let sum = crc32(&bytes[12..len]);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// CRC-32 as docs/format.md section 1 describes it, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |sum: u32| if sum & 1 == 1 { (sum >> 1) ^ 0xEDB8_8320 } else { sum >> 1 };
    let byte = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |sum, _| step(sum));
    !bytes.iter().fold(u32::MAX, byte)
}
