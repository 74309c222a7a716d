//! The rules a ledger lives by, which are receipts in that same ledger.
//!
//! Control receipts as typed canonical JSON, and the fold `(rules, control receipt) → rules | violation` that the engine
//! permits by and the verifier judges by. **What it is not**: it reads no file and no clock.
//!
//! Today the fold knows genesis, the record of a recovery and the statement of an export; every other control kind is a violation, so that a ledger
//! with rules this version cannot judge is never called sound.

mod canonical;
mod exported;
mod fold;
mod genesis;
mod recovered;

pub use canonical::{CanonicalError, from_canonical, to_canonical};
pub use exported::{BundleHead, EXPORTED_KIND, ExportScope, Exported, ExportedError};
pub use fold::{ControlReceipt, Rules, Violation};
pub use genesis::{GENESIS_KIND, Genesis, GenesisError, RELEASE_DELAY_DEFAULT, ledger_writer};
pub use recovered::{RECOVERED_KIND, Recovered};
