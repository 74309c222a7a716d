//! Bundles: receipts of one stream or range with everything that is needed to verify them, as one tar file.
//!
//! The entries stand in the order of [`BundleEntry`]; docs/format.md, section *Bundles*, says what each holds.

use crate::error::FormatError;
use crate::record;
use counterfoil_proof::{Hash, LeafIndex, PROOF_HASHES_MAX, Reader, TreeSize};

/// The format document, as every bundle carries it.
pub const FORMAT_DOCUMENT: &str = include_str!("../../../docs/format.md");
/// Most bytes of `format.md` in a bundle.
pub const FORMAT_DOCUMENT_LEN_MAX: u64 = 1 << 20;
/// Most bytes of `bundle.json`.
pub const BUNDLE_HEAD_LEN_MAX: u64 = 4096;
/// A chunk of receipts is closed by the receipt that brings it to this many bytes.
pub const BUNDLE_CHUNK_TARGET: u64 = 4 * 1024 * 1024;
/// Most consistency proofs in a bundle.
pub const BUNDLE_CONSISTENCY_MAX: usize = 64;

const PROOF_MAGIC: &[u8; 8] = b"CFPROOF1";
const PROOF_FIXED_LEN: usize = record::PREAMBLE_LEN + 8;
/// Most bytes of an inclusion proof record.
pub const PROOF_RECORD_LEN_MAX: usize = PROOF_FIXED_LEN + PROOF_HASHES_MAX * Hash::LEN;

const INDEX_DIGITS: usize = 20;
const CONSISTENCY: &str = "consistency/";
const RECEIPTS: &str = "receipts/";

/// An entry of a bundle. The variants stand in the order in which a bundle has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BundleEntry {
    /// The format document.
    Document,
    /// What the bundle holds, as canonical JSON.
    Head,
    /// The checkpoint that all proofs lead to.
    Checkpoint,
    /// Receipt records of the control receipts from genesis on.
    Control,
    /// Inclusion proof of the last of them.
    ControlProof,
    /// Consistency proof of the tree of this size with the checkpoint.
    Consistency(TreeSize),
    /// A chunk of receipts with their inclusion proofs; the index is that of its first.
    Receipts(LeafIndex),
}

impl BundleEntry {
    /// Name of the entry.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Document => "format.md".to_owned(),
            Self::Head => "bundle.json".to_owned(),
            Self::Checkpoint => "checkpoint".to_owned(),
            Self::Control => "control".to_owned(),
            Self::ControlProof => "control.proof".to_owned(),
            Self::Consistency(size) => format!("{CONSISTENCY}{:020}", size.0),
            Self::Receipts(first) => format!("{RECEIPTS}{:020}", first.0),
        }
    }

    /// The entry of this name, if it is one.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let number = |digits: &str| -> Option<u64> {
            let decimal = digits.len() == INDEX_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
            decimal.then(|| digits.parse().ok()).flatten()
        };
        Some(match name {
            "format.md" => Self::Document,
            "bundle.json" => Self::Head,
            "checkpoint" => Self::Checkpoint,
            "control" => Self::Control,
            "control.proof" => Self::ControlProof,
            _ => match (name.strip_prefix(CONSISTENCY), name.strip_prefix(RECEIPTS)) {
                (Some(size), _) => Self::Consistency(TreeSize(number(size)?)),
                (_, Some(first)) => Self::Receipts(LeafIndex(number(first)?)),
                _ => return None,
            },
        })
    }
}

/// Hashes of an inclusion proof, behind the receipt record they belong to. Index and tree size are those of the receipt
/// and of the bundle's checkpoint.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFPROOF1` |
/// | 16 | 1 | number of hashes |
/// | 17 | 7 | zero |
/// | 24 | 32 each | hashes, from the leaf's sibling up |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofRecord {
    /// The hashes.
    pub hashes: Vec<Hash>,
}

impl ProofRecord {
    /// Length that a record states in its first 16 bytes.
    ///
    /// # Errors
    /// [`FormatError`] when they do not begin a proof record, or one that is too long.
    pub fn declared_len(preamble: &[u8]) -> Result<usize, FormatError> {
        record::declared_len(PROOF_MAGIC, preamble, PROOF_RECORD_LEN_MAX)
    }

    /// Appends the bytes of the record.
    ///
    /// # Panics
    /// When there are more hashes than a proof has.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        assert!(self.hashes.len() <= PROOF_HASHES_MAX, "a proof has at most one hash for each level");
        let mut own = record::begin(PROOF_MAGIC, PROOF_FIXED_LEN + self.hashes.len() * Hash::LEN);
        own.push(u8::try_from(self.hashes.len()).expect("at most 64"));
        own.extend([0; 7]);
        self.hashes.iter().for_each(|hash| own.extend(hash.0));
        record::finish(&mut own);
        out.extend(own);
    }

    /// Reads a record that fills `bytes`.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let body = record::open(PROOF_MAGIC, bytes, PROOF_RECORD_LEN_MAX)?;
        let mut input = Reader::new(body);
        let count = usize::from(input.u8()?);
        record::all_zero(input.bytes(7)?, "reserved bytes are zero")?;
        let (hashes, rest) = input.rest().as_chunks::<{ Hash::LEN }>();
        if hashes.len() != count || !rest.is_empty() || bytes.len() != body.len() + record::PREAMBLE_LEN {
            return Err(FormatError::NotCanonical { rule: "a proof record ends with its hashes" });
        }
        Ok(Self { hashes: hashes.iter().map(|bytes| Hash(*bytes)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn entries_stand_in_their_order_and_read_back() {
        let entries = [
            BundleEntry::Document,
            BundleEntry::Head,
            BundleEntry::Checkpoint,
            BundleEntry::Control,
            BundleEntry::ControlProof,
            BundleEntry::Consistency(TreeSize(0)),
            BundleEntry::Consistency(TreeSize(u64::MAX)),
            BundleEntry::Receipts(LeafIndex(7)),
            BundleEntry::Receipts(LeafIndex(8)),
        ];
        assert!(entries.is_sorted());
        for entry in entries {
            assert_eq!(BundleEntry::parse(&entry.name()), Some(entry));
        }
    }

    #[test]
    fn other_names_are_no_entries() {
        for name in [
            "",
            "control/",
            "receipts/7",
            "receipts/+0000000000000000007",
            "receipts/99999999999999999999",
            "../control",
        ] {
            assert_eq!(BundleEntry::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_flipped_byte_of_a_proof_record_is_refused() {
        let mut bytes = Vec::new();
        ProofRecord { hashes: vec![Hash([5; 32]); 2] }.encode_into(&mut bytes);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert!(ProofRecord::decode(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn the_document_fits_a_bundle() {
        assert!((FORMAT_DOCUMENT.len() as u64) < FORMAT_DOCUMENT_LEN_MAX / 2);
    }

    proptest! {
        #[test]
        fn proof_records_read_back(hashes in prop::collection::vec(any::<[u8; 32]>(), 0..=64)) {
            let record = ProofRecord { hashes: hashes.into_iter().map(Hash).collect() };
            let mut bytes = Vec::new();
            record.encode_into(&mut bytes);
            prop_assert_eq!(ProofRecord::declared_len(&bytes), Ok(bytes.len()));
            prop_assert_eq!(ProofRecord::decode(&bytes), Ok(record));
        }
    }
}
