//! `ledger.recovered/1`: bytes behind the last accepted commit were cut, and are kept aside for a person to look at.

use counterfoil_proof::{Hash, TreeSize};
use serde::{Deserialize, Serialize};

/// Kind of the receipt that records a cut.
pub const RECOVERED_KIND: &str = "ledger.recovered/1";

/// The payload of the receipt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovered {
    /// Name of the file under cut/.
    pub cut_file: String,
    /// BLAKE3 of that file, lower-case hexadecimal.
    pub cut_digest: String,
    /// Bytes in it.
    pub cut_bytes: u64,
    /// Tree size kept, as a decimal string.
    pub kept_size: String,
    /// Root of the tree kept, lower-case hexadecimal.
    pub kept_root: String,
}

impl Recovered {
    /// Tree size and root that were kept; `None` when either is malformed.
    #[must_use]
    pub fn kept(&self) -> Option<(TreeSize, Hash)> {
        let size: u64 = self.kept_size.parse().ok().filter(|size: &u64| size.to_string() == self.kept_size)?;
        Some((TreeSize(size), Hash::from_hex(&self.kept_root).ok()?))
    }

    /// True when the digest is one and the file's name is `<20 digits>-<decimal>-<first 16 digits of the digest>.cut`.
    #[must_use]
    pub fn names_its_file(&self) -> bool {
        let is_decimal = |text: &str| text.parse::<u64>().is_ok_and(|number| number.to_string() == text);
        let is_index = |text: &str| text.parse::<u64>().is_ok_and(|number| format!("{number:020}") == text);
        let parts = self.cut_file.strip_suffix(".cut").map(|name| name.split('-').collect::<Vec<_>>());
        Hash::from_hex(&self.cut_digest).is_ok()
            && matches!(parts.as_deref(), Some([first, offset, digest])
                if is_index(first) && is_decimal(offset) && self.cut_digest.get(..16) == Some(*digest))
    }
}
