//! Bodies of the fuzz targets; they also run as unit tests.
//!
//! Each takes any bytes, panics when a decoder breaks its promise, and says whether the bytes were accepted. The promise
//! of all of them: no panic, and whatever is accepted encodes to the very bytes it was decoded from.

use crate::{
    Checkpoint, ConsistencyFile, Envelope, Hash, InclusionFile, NoteSignature, PROOF_HASHES_MAX, SignedCheckpoint,
    SignedNote, TreeSize, TrustPolicy, VerifierKey,
};
use core::fmt::Display;

/// [`Envelope::decode`].
pub fn envelope(bytes: &[u8]) -> bool {
    same_bytes(bytes, Envelope::decode(bytes).ok(), Envelope::encode).is_some()
}

/// [`SignedNote::parse`].
pub fn note(bytes: &[u8]) -> bool {
    same_bytes(bytes, SignedNote::parse(bytes).ok(), text).is_some()
}

/// [`SignedCheckpoint::parse`].
pub fn checkpoint(bytes: &[u8]) -> bool {
    same_bytes(bytes, SignedCheckpoint::parse(bytes).ok(), text).is_some()
}

/// [`TrustPolicy::parse`], which has no encoding. No policy trusts a checkpoint that nobody signed.
pub fn policy(bytes: &[u8]) -> bool {
    let Ok(policy) = TrustPolicy::parse(bytes) else { return false };
    let words = bytes.split(u8::is_ascii_whitespace).filter_map(|word| core::str::from_utf8(word).ok());
    for key in words.filter_map(|word| VerifierKey::parse(word).ok()) {
        assert!(forged(&key).verify(&policy).is_err(), "a checkpoint that nobody signed was trusted");
    }
    true
}

/// [`VerifierKey::parse`].
pub fn vkey(bytes: &[u8]) -> bool {
    let key = core::str::from_utf8(bytes).ok().and_then(|key| VerifierKey::parse(key).ok());
    same_bytes(bytes, key, text).is_some()
}

/// [`InclusionFile::parse`], then the arithmetic of its proof.
pub fn tlog_proof(bytes: &[u8]) -> bool {
    let Some(file) = same_bytes(bytes, InclusionFile::parse(bytes).ok(), text) else { return false };
    let holds = file.proof.verify(&Hash::ZERO, &file.checkpoint.unverified().root).is_ok();
    assert!(!holds || file.proof.hashes.len() <= PROOF_HASHES_MAX);
    true
}

/// [`ConsistencyFile::parse`], then the arithmetic of its proof.
pub fn consistency(bytes: &[u8]) -> bool {
    let Some(file) = same_bytes(bytes, ConsistencyFile::parse(bytes).ok(), text) else { return false };
    let holds = file.proof.verify(&file.old_root, &file.checkpoint.unverified().root).is_ok();
    assert!(!holds || file.proof.old <= file.proof.new, "a larger tree was accepted as the prefix of a smaller one");
    true
}

fn text(value: &impl Display) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Passes on what was decoded, once it encodes to the bytes it came from.
fn same_bytes<T>(bytes: &[u8], decoded: Option<T>, encode: impl FnOnce(&T) -> Vec<u8>) -> Option<T> {
    let value = decoded?;
    assert!(encode(&value) == bytes, "accepted bytes are not the ones the value encodes to");
    Some(value)
}

/// A checkpoint in the name of a key, with a signature that needs no secret: a lax verifier accepts it for a key of small
/// order.
fn forged(key: &VerifierKey) -> SignedCheckpoint {
    let mut bytes = vec![0; 64];
    bytes[0] = 1;
    let signature = NoteSignature { name: key.name().clone(), key_id: key.id(), bytes };
    let checkpoint = Checkpoint { origin: key.name().clone(), size: TreeSize(0), root: Hash::of_empty_tree() };
    SignedCheckpoint::new(checkpoint, vec![signature]).expect("one signature over valid text is a note")
}

#[cfg(test)]
mod tests;
