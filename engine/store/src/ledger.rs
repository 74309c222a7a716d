//! SKELETON
#![allow(missing_docs, unused_variables, clippy::todo)]
use crate::{error::*, types::*};
use counterfoil_proof::*;
use std::path::Path;
use std::sync::Arc;

/// disk, clock, randomness of one ledger
#[derive(Clone)]
pub struct Environment {}
impl Environment {
    /// The real ones, over a ledger directory.
    pub fn real(directory: &Path) -> Self { todo!() }
}
#[derive(Debug, thiserror::Error)]
#[error("open")]
pub struct OpenError;
#[derive(Debug, thiserror::Error)]
#[error("create")]
pub struct CreateError;

/// Creates a ledger in an empty directory (does not open it).
pub fn create(environment: &Environment, new: &NewLedger) -> Result<Identity, CreateError> { todo!() }

/// One open ledger. Cheap to clone; all clones share it. Closing happens through `close` or when the last clone drops.
#[derive(Clone)]
pub struct Ledger {}

/// A batch that was validated and whose commitments are computed; only `Ledger::admit` makes one.
pub struct AdmittedBatch(());

impl Ledger {
    pub fn open(environment: Environment, limits: Limits) -> Result<Self, OpenError> { todo!() }
    pub fn open_read_only(environment: Environment, limits: Limits) -> Result<Self, OpenError> { todo!() }
    pub fn identity(&self) -> &Identity { todo!() }
    pub fn limits(&self) -> &Limits { todo!() }
    /// CPU work on the caller's thread: validation, salts, commitments. Never blocks on disk for ordinary batches.
    pub fn admit(&self, batch: Batch) -> Result<AdmittedBatch, AppendError> { todo!() }
    /// Queues without blocking; `done` runs on an engine thread when the batch is durable or refused.
    pub fn submit(&self, batch: AdmittedBatch, done: impl FnOnce(Result<Appended, AppendError>) + Send + 'static) { todo!() }
    /// admit + submit + wait
    pub fn append(&self, batch: Batch) -> Result<Appended, AppendError> { todo!() }
    pub fn get(&self, index: LeafIndex) -> Result<Receipt, ReadError> { todo!() }
    /// At most `limit` receipts and about `bytes_max` payload bytes (at least one receipt).
    pub fn read(&self, selection: &Selection, after: Option<Cursor>, limit: usize, bytes_max: usize) -> Result<Page, ReadError> { todo!() }
    /// Latest published checkpoint.
    pub fn checkpoint(&self) -> Arc<SignedCheckpoint> { todo!() }
    /// Against the latest published checkpoint.
    pub fn prove_inclusion(&self, index: LeafIndex) -> Result<InclusionFile, ReadError> { todo!() }
    /// From tree size `old` to the latest published checkpoint.
    pub fn prove_consistency(&self, old: TreeSize) -> Result<ConsistencyFile, ReadError> { todo!() }
    /// Seals the active segment; `None` when it holds no receipts.
    pub fn seal(&self) -> Result<Option<SegmentStatus>, AppendError> { todo!() }
    pub fn status(&self) -> Status { todo!() }
    /// Finishes what was accepted, syncs, moves the durable mark.
    pub fn close(&self) -> Result<(), AppendError> { todo!() }
}
