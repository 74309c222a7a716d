//! docs/vectors/: vectors of format version 1 for whoever writes a second reader, and the golden ledger.
//!
//! Every test computes its file, asks the code for the verdict of each case on the way, and compares the stored file byte
//! for byte. `COUNTERFOIL_WRITE_VECTORS=1` writes the files instead; the golden ledger is written only where there is none.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod bundles;
mod canonical;
mod commitments;
mod control;
mod damaged;
mod derived;
mod ed25519;
mod envelopes;
mod frames;
mod golden;
mod keys;
mod merkle;
mod names;
mod notes;
mod policies;
mod proof_files;
mod sample;
mod segments;
mod store;
mod writer;
