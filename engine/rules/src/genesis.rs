//! `ledger.genesis/1`, the receipt at index 0.

use crate::canonical::{CanonicalError, from_canonical, to_canonical};
use core::time::Duration;
use counterfoil_proof::{
    CommitmentAlgorithm, NoteError, Origin, Principal, SignatureType, Timestamp, VerifierKey, hex, unhex,
};
use serde::{Deserialize, Serialize};

/// Kind of the receipt at index 0.
pub const GENESIS_KIND: &str = "ledger.genesis/1";
/// How long after its second signature a hold's release counts, unless genesis says otherwise.
pub const RELEASE_DELAY_DEFAULT: Duration = Duration::from_secs(24 * 60 * 60);
const FORMAT_VERSION: u32 = 1;
const TREE: &str = "rfc6962-sha256";
const ROOTS_MAX: usize = 64;

/// The principal that writes control receipts nobody signed: the ledger itself.
#[must_use]
pub fn ledger_writer() -> Principal {
    Principal::new("ledger").expect("a constant name that keeps its rules")
}

/// What a ledger is from its first receipt on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The ledger's name; equal to the name of the checkpoint key.
    pub origin: Origin,
    /// How payloads are committed to.
    pub commitment: CommitmentAlgorithm,
    /// Key of the first checkpoints.
    pub checkpoint_key: VerifierKey,
    /// Root principals, each named by its key.
    pub roots: Vec<VerifierKey>,
    /// How many of them must sign; 0 when there are none.
    pub root_threshold: usize,
    /// How long after its second signature a hold's release counts for an erasure.
    pub release_delay: Duration,
    /// When the ledger was created.
    pub created: Timestamp,
    /// Random: two ledgers never have the same id.
    pub random: [u8; 32],
}

/// The same as it stands in the receipt. Times are decimal strings of nanoseconds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    checkpoint_key: String,
    commitment: String,
    created: String,
    format: u32,
    origin: String,
    random: String,
    release_delay_seconds: u64,
    root_threshold: usize,
    roots: Vec<String>,
    tree: String,
}

/// Why a payload is not a genesis.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GenesisError {
    /// It is not canonical JSON of the right shape.
    #[error("genesis: {0}")]
    Canonical(#[from] CanonicalError),
    /// A key is malformed.
    #[error("genesis, {field}: {error}")]
    Key {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        error: NoteError,
    },
    /// A field holds a value that this version does not know.
    #[error("genesis: {field} has an unknown or malformed value")]
    Field {
        /// Name of the field.
        field: &'static str,
    },
    /// The threshold does not fit the number of roots.
    #[error("a threshold of {threshold} does not fit {roots} root principals; choose 1 to {roots}, or 0 for none")]
    Threshold {
        /// Threshold asked for.
        threshold: usize,
        /// Root principals named.
        roots: usize,
    },
    /// Two roots have the same name or the same key: principals are counted, not keys.
    #[error("root principal {name} is named twice, or its key is another root's; every root is a different person")]
    DuplicateRoot {
        /// The name.
        name: Origin,
    },
    /// More roots than allowed.
    #[error("{found} root principals are more than the {ROOTS_MAX} allowed")]
    TooManyRoots {
        /// Roots named.
        found: usize,
    },
}

impl Genesis {
    /// Threshold when none is asked for: two when two or more roots are named, else one; 0 without roots.
    #[must_use]
    pub fn default_threshold(roots: usize) -> usize {
        roots.min(2)
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`GenesisError`] says which rule is broken.
    pub fn check(&self) -> Result<(), GenesisError> {
        if self.checkpoint_key.kind() != SignatureType::Ed25519 || *self.checkpoint_key.name() != self.origin {
            return Err(GenesisError::Field { field: "checkpoint_key" });
        }
        if self.roots.len() > ROOTS_MAX {
            return Err(GenesisError::TooManyRoots { found: self.roots.len() });
        }
        for (at, root) in self.roots.iter().enumerate() {
            if root.kind() != SignatureType::Ed25519 || Principal::new(root.name().as_str()).is_err() {
                return Err(GenesisError::Field { field: "roots" });
            }
            let same = |other: &VerifierKey| other.name() == root.name() || other.public_key() == root.public_key();
            if self.roots[..at].iter().any(same) {
                return Err(GenesisError::DuplicateRoot { name: root.name().clone() });
            }
        }
        let (threshold, roots) = (self.root_threshold, self.roots.len());
        if threshold > roots || (threshold == 0) != (roots == 0) {
            return Err(GenesisError::Threshold { threshold, roots });
        }
        Ok(())
    }

    /// The payload of the receipt.
    ///
    /// # Errors
    /// [`GenesisError`] when the genesis breaks its rules.
    pub fn to_payload(&self) -> Result<Vec<u8>, GenesisError> {
        self.check()?;
        Ok(to_canonical(&Payload {
            checkpoint_key: self.checkpoint_key.to_string(),
            commitment: self.commitment.name().to_owned(),
            created: self.created.to_string(),
            format: FORMAT_VERSION,
            origin: self.origin.to_string(),
            random: hex(&self.random),
            release_delay_seconds: self.release_delay.as_secs(),
            root_threshold: self.root_threshold,
            roots: self.roots.iter().map(ToString::to_string).collect(),
            tree: TREE.to_owned(),
        })?)
    }

    /// Reads the payload of the receipt.
    ///
    /// # Errors
    /// [`GenesisError`] says what is wrong.
    pub fn from_payload(bytes: &[u8]) -> Result<Self, GenesisError> {
        let payload: Payload = from_canonical(bytes)?;
        let unknown = |field| GenesisError::Field { field };
        if payload.format != FORMAT_VERSION {
            return Err(unknown("format"));
        }
        if payload.tree != TREE {
            return Err(unknown("tree"));
        }
        let key = |field, text: &str| VerifierKey::parse(text).map_err(|error| GenesisError::Key { field, error });
        let created: u64 = payload.created.parse().map_err(|_| unknown("created"))?;
        if created.to_string() != payload.created {
            return Err(unknown("created"));
        }
        let genesis = Self {
            origin: Origin::new(&payload.origin).map_err(|_| unknown("origin"))?,
            commitment: CommitmentAlgorithm::from_name(&payload.commitment).ok_or_else(|| unknown("commitment"))?,
            checkpoint_key: key("checkpoint_key", &payload.checkpoint_key)?,
            roots: payload.roots.iter().map(|root| key("roots", root)).collect::<Result<_, _>>()?,
            root_threshold: payload.root_threshold,
            release_delay: Duration::from_secs(payload.release_delay_seconds),
            created: Timestamp(created),
            random: unhex(&payload.random).ok().and_then(|b| b.try_into().ok()).ok_or_else(|| unknown("random"))?,
        };
        genesis.check()?;
        Ok(genesis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;

    fn key(name: &str, seed: u8) -> VerifierKey {
        let key = SigningKey::from_bytes(&[seed; 32]).verifying_key();
        VerifierKey::new(Origin::new(name).unwrap(), SignatureType::Ed25519, key)
    }

    fn genesis() -> Genesis {
        Genesis {
            origin: Origin::new("example.com/a").unwrap(),
            commitment: CommitmentAlgorithm::Blake3,
            checkpoint_key: key("example.com/a", 1),
            roots: vec![key("ann", 2), key("bob", 3)],
            root_threshold: 2,
            release_delay: RELEASE_DELAY_DEFAULT,
            created: Timestamp(u64::MAX),
            random: [7; 32],
        }
    }

    #[test]
    fn a_genesis_reads_back() {
        let payload = genesis().to_payload().unwrap();
        assert_eq!(Genesis::from_payload(&payload), Ok(genesis()));
    }

    #[test]
    fn principals_are_counted_not_keys() {
        let name = Origin::new("ann").unwrap();
        let twice = Genesis { roots: vec![key("ann", 2), key("ann", 3)], ..genesis() };
        assert_eq!(twice.check(), Err(GenesisError::DuplicateRoot { name: name.clone() }));
        let alias = Genesis { roots: vec![key("bob", 2), key("ann", 2)], ..genesis() };
        assert_eq!(alias.check(), Err(GenesisError::DuplicateRoot { name }));
    }

    #[test]
    fn thresholds_fit_the_roots() {
        for (roots, threshold, fits) in [(0, 0, true), (0, 1, false), (2, 0, false), (2, 1, true), (2, 3, false)] {
            let roots = [key("ann", 2), key("bob", 3)][..roots].to_vec();
            let found = Genesis { roots, root_threshold: threshold, ..genesis() }.check();
            assert_eq!(found.is_ok(), fits, "{found:?}");
        }
        assert_eq!([0, 1, 2, 5].map(Genesis::default_threshold), [0, 1, 2, 2]);
    }

    #[test]
    fn a_checkpoint_key_of_another_name_is_refused() {
        let other = Genesis { checkpoint_key: key("example.com/b", 1), ..genesis() };
        assert_eq!(other.check(), Err(GenesisError::Field { field: "checkpoint_key" }));
    }
}
