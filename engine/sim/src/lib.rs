//! Crash simulation of the storage engine: a disk in memory that forgets, fails and lies, a model of what was
//! acknowledged, and cases that compare the two.
//!
//! A [`Case`] is a list of boots. Each boot is one process on the same [`Machine`]: it creates or opens the ledger,
//! checks it against the [`Model`], works through some steps, and ends in a close, a kill or a power cut; one fault can
//! be planted at any call to the disk. The last boot opens the ledger twice, compares bytes, and lets the verifier judge
//! the directory.
//!
//! **What it is not**: it does not explore interleavings of the engine's threads, and it runs neither a file system nor
//! a kernel. What it knows of them stands on [`Machine`].
//!
//! *Deterministic*: everything drawn from the seed, and the order of disk calls as long as one thing is in flight. The
//! driver waits after every step until the durable mark has moved and segments are sealed, and holds back the engine's
//! keeper thread until the rest of a step is done. *Not deterministic*: the order of calls after a fault that hit the
//! keeper, and when a recovery records more than one cut file. A case that found something under such an order may need
//! a few runs to find it again; what a check reports is a violation in any order.

mod case;
mod check;
mod crash_disk;
mod environment;
mod machine;
mod model;
mod rng;
mod run;
mod sectors;

pub use case::{Append, Boot, Case, End, RECEIPTS_MAX, SEGMENT_BYTES_MAX, Step};
pub use check::{Broken, Violation};
pub use crash_disk::CrashDisk;
pub use environment::{FixedClock, SeededRandomness};
pub use machine::{Effect, Fault, FaultKind, FaultPoint, Lie, Machine};
pub use model::Model;
pub use rng::Rng;
pub use run::{Outcome, enumerate, run, run_on};
