//! Reading a ledger and judging every receipt on the way.
//!
//! Every segment states in its header where it stands, so segments are judged on many threads at once, each from its
//! own header; a second pass over what they found, in their order, checks that each header states what the segments
//! before it lead to, and whatever else crosses segments: streams, links, rules, derived files.
//!
//! *Invariants*: no byte of the ledger is trusted before a check from outside reaches it; every length is bounded by the
//! file it stands in before memory is taken; damage in one place never keeps a later place from being read; the report
//! is the same for any number of threads.

mod account;
mod chain;
mod context;
mod control;
mod damage;
mod files;
mod finish;
mod genesis;
mod join;
mod judge;
mod keys;
mod leaf_aid;
mod leaf_book;
mod leaf_file;
mod links;
mod manifest;
mod pool;
mod seal;
mod segment;
mod segment_file;
mod show;
mod statements;
mod stream_index;
mod stream_runs;
mod streams;
mod verify;
mod window;

pub(crate) use finish::{NO_ROOT, ONE_ROOT, SELF_ASSERTED};
pub use show::{Shown, ShownReceipt, show_receipt};
pub use verify::verify_ledger;
