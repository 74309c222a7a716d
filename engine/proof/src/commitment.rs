//! Commitments: what the envelope says about a payload without containing it.

use crate::hash::Hash;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;

const BLAKE3_CONTEXT: &str = "counterfoil 2026-01 payload commitment v1";
const BLOCK: usize = 64;
/// A message of at most this many bytes is one BLAKE3 chunk, so equal-length messages can share SIMD lanes.
const CHUNK: usize = 1024;

/// How payloads of a ledger are committed to; chosen at creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CommitmentAlgorithm {
    /// BLAKE3 in `derive_key` mode over `salt ‖ u64 length ‖ 24 zero bytes ‖ payload ‖ zeros to a multiple of 64`.
    Blake3 = 1,
    /// HMAC-SHA-256 (RFC 2104) of the payload, keyed with the salt.
    HmacSha256 = 2,
}

impl CommitmentAlgorithm {
    /// The algorithm with this byte in an envelope, if there is one.
    #[must_use]
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Blake3),
            2 => Some(Self::HmacSha256),
            _ => None,
        }
    }

    /// Its byte in an envelope.
    #[must_use]
    pub fn byte(self) -> u8 {
        self as u8
    }

    /// Its name on the command line and in genesis.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Blake3 => "blake3",
            Self::HmacSha256 => "hmac-sha256",
        }
    }

    /// The algorithm of this name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Blake3, Self::HmacSha256].into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Commits to one payload.
    #[must_use]
    pub fn commit(self, salt: &Salt, payload: &[u8]) -> Commitment {
        let digest = match self {
            Self::Blake3 => blake3_one(salt, payload),
            Self::HmacSha256 => hmac_sha256(&salt.0, payload),
        };
        Commitment { algorithm: self, digest }
    }

    /// Commits to many payloads at once; with BLAKE3, payloads of similar length share SIMD lanes.
    #[must_use]
    pub fn commit_all(self, sealed: &[Sealed<'_>]) -> Vec<Commitment> {
        match self {
            Self::Blake3 => {
                blake3_many(sealed).into_iter().map(|digest| Commitment { algorithm: self, digest }).collect()
            }
            Self::HmacSha256 => sealed.iter().map(|one| self.commit(one.salt, one.payload)).collect(),
        }
    }
}

/// 32 fresh random bytes, stored only beside the payload and destroyed with it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt(pub [u8; 32]);

impl core::fmt::Debug for Salt {
    /// A salt is as secret as its payload: it never reaches a log.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Salt(..)")
    }
}

/// A payload with its salt, as input of a commitment.
#[derive(Clone, Copy)]
pub struct Sealed<'a> {
    /// The salt stored beside the payload.
    pub salt: &'a Salt,
    /// The payload.
    pub payload: &'a [u8],
}

/// Salted hash of a payload, inside the envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    /// Which function made the digest.
    pub algorithm: CommitmentAlgorithm,
    /// Its 32 bytes.
    pub digest: Hash,
}

impl Commitment {
    /// True when this salt and payload are the ones committed to.
    #[must_use]
    pub fn opens_to(&self, salt: &Salt, payload: &[u8]) -> bool {
        self.algorithm.commit(salt, payload) == *self
    }
}

fn first_block(salt: &Salt, len: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..32].copy_from_slice(&salt.0);
    block[32..40].copy_from_slice(&(len as u64).to_le_bytes());
    block
}

fn padding(len: usize) -> usize {
    len.next_multiple_of(BLOCK) - len
}

fn blake3_one(salt: &Salt, payload: &[u8]) -> Hash {
    let mut hasher = blake3::Hasher::new_from_context_key(&CONTEXT_KEY);
    hasher.update(&first_block(salt, payload.len()));
    hasher.update(payload);
    hasher.update(&[0; BLOCK][..padding(payload.len())]);
    Hash(*hasher.finalize().as_bytes())
}

static CONTEXT_KEY: LazyLock<blake3::hazmat::ContextKey> =
    LazyLock::new(|| blake3::hazmat::hash_derive_key_context(BLAKE3_CONTEXT));

use blake3::hazmat::HasherExt as _;

/// Groups messages by padded length and hashes each group in lanes; longer ones go the public way, which has SIMD
/// lanes of its own across chunks.
fn blake3_many(sealed: &[Sealed<'_>]) -> Vec<Hash> {
    let mut digests = vec![Hash::ZERO; sealed.len()];
    let mut groups: [Vec<usize>; CHUNK / BLOCK] = Default::default();
    for (at, one) in sealed.iter().enumerate() {
        let blocks = one.payload.len().div_ceil(BLOCK) + 1;
        match groups.get_mut(blocks - 1) {
            Some(group) => group.push(at),
            None => digests[at] = blake3_one(one.salt, one.payload),
        }
    }
    let lanes = lanes::Lanes::new();
    for (at, group) in groups.iter().enumerate() {
        lanes.hash_group(at + 1, group, sealed, &mut digests);
    }
    digests
}

/// The only user of BLAKE3's hidden `platform` module. `blake3` is pinned exactly, and
/// `lanes_agree_with_the_public_function` compares every length with the public API.
mod lanes {
    use super::{BLOCK, CONTEXT_KEY, Hash, Sealed, first_block};
    use blake3::IncrementCounter;
    use blake3::platform::Platform;

    const CHUNK_START: u8 = 1;
    const CHUNK_END: u8 = 2;
    const ROOT: u8 = 8;
    const DERIVE_KEY_MATERIAL: u8 = 64;

    pub(super) struct Lanes {
        platform: Platform,
        key: [u32; 8],
    }

    impl Lanes {
        pub(super) fn new() -> Self {
            let (words, _) = CONTEXT_KEY.as_chunks::<4>();
            let mut key = [0; 8];
            for (word, bytes) in key.iter_mut().zip(words) {
                *word = u32::from_le_bytes(*bytes);
            }
            Self { platform: Platform::detect(), key }
        }

        pub(super) fn hash_group(&self, blocks: usize, group: &[usize], sealed: &[Sealed<'_>], out: &mut [Hash]) {
            macro_rules! by_blocks {
                ($($n:literal)*) => {
                    match blocks {
                        $($n => self.hash::<{ $n * BLOCK }>(group, sealed, out),)*
                        _ => unreachable!("a group holds messages of at most one chunk"),
                    }
                };
            }
            by_blocks!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16);
        }

        fn hash<const N: usize>(&self, group: &[usize], sealed: &[Sealed<'_>], out: &mut [Hash]) {
            const WIDTH: usize = 16;
            let mut messages = [[0u8; N]; WIDTH];
            for lane in group.chunks(WIDTH) {
                for (message, at) in messages.iter_mut().zip(lane) {
                    let one = sealed[*at];
                    let end = BLOCK + one.payload.len();
                    message[..BLOCK].copy_from_slice(&first_block(one.salt, one.payload.len()));
                    message[BLOCK..end].copy_from_slice(one.payload);
                    message[end..].fill(0);
                }
                let inputs: [&[u8; N]; WIDTH] = core::array::from_fn(|at| &messages[at]);
                let mut digests = [0u8; 32 * WIDTH];
                self.platform.hash_many(
                    &inputs[..lane.len()],
                    &self.key,
                    0,
                    IncrementCounter::No,
                    DERIVE_KEY_MATERIAL,
                    CHUNK_START,
                    CHUNK_END | ROOT,
                    &mut digests,
                );
                for (digest, at) in digests.as_chunks::<32>().0.iter().zip(lane) {
                    out[*at] = Hash(*digest);
                }
            }
        }
    }
}

/// RFC 2104 over SHA-256, for a 32-byte key.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Hash {
    let mut inner_pad = [0x36; BLOCK];
    let mut outer_pad = [0x5c; BLOCK];
    for (at, byte) in key.iter().enumerate() {
        inner_pad[at] ^= byte;
        outer_pad[at] ^= byte;
    }
    let inner = Sha256::new().chain_update(inner_pad).chain_update(message).finalize();
    Hash(Sha256::new().chain_update(outer_pad).chain_update(inner).finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(salt: &Salt, payload: &[u8]) -> Hash {
        let mut message = salt.0.to_vec();
        message.extend((payload.len() as u64).to_le_bytes());
        message.extend([0; 24]);
        message.extend(payload);
        message.resize(message.len().next_multiple_of(64), 0);
        Hash(blake3::derive_key(BLAKE3_CONTEXT, &message))
    }

    #[test]
    fn lanes_agree_with_the_public_function() {
        let salts: Vec<Salt> = (0..2100u32).map(|n| Salt([u8::try_from(n % 251).unwrap(); 32])).collect();
        let payloads: Vec<Vec<u8>> = (0..2100usize)
            .map(|len| (0..len).map(|at| u8::try_from((at * 7 + len) % 256).unwrap()).collect())
            .collect();
        let sealed: Vec<Sealed<'_>> =
            salts.iter().zip(&payloads).map(|(salt, payload)| Sealed { salt, payload }).collect();
        let expected: Vec<Hash> = salts.iter().zip(&payloads).map(|(salt, payload)| reference(salt, payload)).collect();
        let found: Vec<Hash> =
            CommitmentAlgorithm::Blake3.commit_all(&sealed).into_iter().map(|one| one.digest).collect();
        assert_eq!(found, expected);
        for (one, digest) in sealed.iter().zip(&expected) {
            assert_eq!(CommitmentAlgorithm::Blake3.commit(one.salt, one.payload).digest, *digest);
        }
    }

    #[test]
    fn hmac_agrees_with_a_published_vector() {
        // RFC 4231 test case 1, with its 20-byte key zero-padded to 32 bytes as HMAC itself pads it.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        assert_eq!(
            hmac_sha256(&key, b"Hi There").to_string(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn trailing_zeros_change_the_commitment() {
        let salt = Salt([9; 32]);
        for algorithm in [CommitmentAlgorithm::Blake3, CommitmentAlgorithm::HmacSha256] {
            let commitment = algorithm.commit(&salt, b"a");
            assert!(commitment.opens_to(&salt, b"a"));
            assert!(!commitment.opens_to(&salt, b"a\0"));
            assert!(!commitment.opens_to(&Salt([8; 32]), b"a"));
        }
    }
}
