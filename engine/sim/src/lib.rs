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
//! *Deterministic*: everything drawn from the seed, and the order of disk calls. The driver waits after every step until
//! the durable mark has moved; it holds the engine's threads at their calls where several things are in flight, and
//! lets the keeper make as many calls as the case says. The same seed makes the same trace.
//!
//! With the feature `planted-bugs`, which only this crate's tests turn on, `Machine::plant` puts a bug into the engine.

mod broken;
mod case;
mod check;
mod crash_disk;
mod environment;
mod export;
mod gate;
mod machine;
mod model;
mod rng;
mod run;
mod sectors;
mod steps;

pub use broken::{Broken, Violation};
pub use case::*;
pub use crash_disk::CrashDisk;
pub use environment::{SeededRandomness, SimClock};
pub use machine::{Contents, Effect, Fault, FaultKind, FaultPoint, Lie, Machine};
pub use model::Model;
pub use rng::Rng;
pub use run::{Outcome, enumerate, run, run_on};
