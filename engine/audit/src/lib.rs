//! The verifier as a library: verdicts over ledgers, bundles and proofs, from bytes and public keys alone.
//!
//! **What it is not**: it has no clock, writes nothing, opens no connection and never trusts a key found inside what it
//! checks, unless it is told to and then says so.
//!
//! *Invariants*: every receipt has exactly one verdict; whatever is wrong with a ledger is a [`Finding`] in the
//! [`Report`], and an [`AuditError`] means only that there is no verdict; hostile bytes cost neither a panic nor more
//! memory than they are long; the report on a ledger is the same for any number of threads.
//!
//! Memory while a ledger is verified: what the segments that are judged at once hold (one for each thread and one that
//! waits: 32 bytes a receipt, their streams and links), some 150 bytes for each stream of the ledger, one byte for each
//! eight receipts, and at most 64 MiB to compare stream indexes.
//!
//! That a ledger of one receipt is a prefix of one of two, by the key of the one who signed both:
//!
//! ```
//! use counterfoil_audit::{Anchor, Trust, verify_consistency};
//! use counterfoil_proof::{TrustPolicy, VerifierKey};
//!
//! let key = "example.com/support+d9e923e0+Ac0Us3+VbpUxlP9/tzs9gdzFYdYadTgJS3w+GmQ+5fOq";
//! let proof = "counterfoil-consistency/v1
//! old 1
//! root 0y1qH2YzwxRz6WUIX5ZP7V88YdX69IFk71zutwkqoC8=
//! 6w6vjNUiMbsk3UTpAfrBOF6tYHn7sf0t/o2kX2nvvUA=
//!
//! example.com/support
//! 2
//! vC6/eO52Mj1LUHq8/K58Qe8FvLTsU0VFNwieHXTzvYQ=
//!
//! — example.com/support 2ekj4E3Rt9mQ/7DahpYI1tLcHJYVmhaFXMYtV+fl9Dlva4jkQHdOrjwU2uj3JylllHQaVA4Zy+x7lskwCd6dHLZC4wE=
//! ";
//! let trust = Trust::new(Anchor::Policy(TrustPolicy::single(VerifierKey::parse(key)?)?));
//! let report = verify_consistency(proof.as_bytes(), &trust)?;
//! assert_eq!((report.old.0, report.checkpoint.checkpoint().size.0), (1, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A whole ledger, and one receipt of it:
//!
//! ```no_run
//! use counterfoil_audit::{Anchor, Directory, Options, Trust, show_receipt, verify_ledger};
//! use counterfoil_proof::LeafIndex;
//!
//! let (ledger, trust) = (Directory::new("ledger"), Trust::new(Anchor::SelfAsserted));
//! let report = verify_ledger(&ledger, &trust, &Options::default())?;
//! println!("{} receipts, verified: {}", report.size, report.verified());
//! println!("{:?}", show_receipt(&ledger, &trust, &Options::default(), LeafIndex(42))?.receipt);
//! # Ok::<(), counterfoil_audit::AuditError>(())
//! ```

mod bundle;
mod error;
pub mod fuzzing;
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

pub use bundle::{BundleReport, Completeness, show_in_bundle, verify_bundle};
pub use error::AuditError;
pub use proofs::{ConsistencyReport, ProofFailure, ProofReport, verify_consistency, verify_inclusion};
pub use receipt::{RECEIPT_JSON_LEN_MAX, ReceiptDocument, ReceiptError, ReceiptView};
pub use report::{
    Code, FINDINGS_MAX, Finding, Report, Severity, SignaturesChecked, Tail, TrustReport, Verdict, Verdicts,
};
pub use scan::{Shown, ShownReceipt, show_receipt, verify_ledger};
pub use source::{Directory, Source, SourceFile};
pub use time::{parse_time, time_text};
pub use trust::{Anchor, Options, Trust};
