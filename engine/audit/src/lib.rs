//! The verifier as a library: verdicts over ledgers and proofs, from bytes and public keys alone.
//!
//! **What it is not**: it has no clock, writes nothing, opens no connection and never trusts a key found inside what it
//! checks, unless it is told to and then says so.
//!
//! *Invariants*: every receipt has exactly one verdict; whatever is wrong with a ledger is a [`Finding`] in the
//! [`Report`], and an [`AuditError`] means only that there is no verdict; hostile bytes cost neither a panic nor more
//! memory than they are long.
//!
//! ```no_run
//! use counterfoil_audit::{Anchor, Directory, Options, Trust, verify_ledger};
//!
//! let report = verify_ledger(&Directory::new("ledger"), &Trust::new(Anchor::SelfAsserted), &Options::default())?;
//! println!("{} receipts, verified: {}", report.size, report.verified());
//! # Ok::<(), counterfoil_audit::AuditError>(())
//! ```

mod error;
mod proofs;
mod receipt;
mod report;
mod scan;
mod source;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod time;
mod trust;

pub use error::AuditError;
pub use proofs::{ConsistencyReport, ProofFailure, ProofReport, verify_consistency, verify_inclusion};
pub use receipt::{RECEIPT_JSON_LEN_MAX, ReceiptDocument, ReceiptError, ReceiptView};
pub use report::{
    Code, FINDINGS_MAX, Finding, Report, Severity, SignaturesChecked, Tail, TrustReport, Verdict, Verdicts,
};
pub use scan::{ShownReceipt, show_receipt, verify_ledger};
pub use source::{Directory, Source, SourceFile};
pub use time::{parse_time, time_text};
pub use trust::{Anchor, Options, Trust};
