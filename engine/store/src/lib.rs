//! The storage engine of one ledger: append, read, prove.
//!
//! It is synchronous and has its own threads. **What it is not**: it knows no network, no async runtime and no gRPC
//! type; disk, clock and randomness come in from outside through [`Environment`].

mod error;
mod types;
mod ledger;

pub use error::*;
pub use ledger::*;
pub use types::*;
