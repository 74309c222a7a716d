//! Bundles: receipts of a stream or range, with what is needed to verify them offline, as the bytes of a tar file.
//!
//! An export first appends the receipt that states what it holds. Everything is then proven against the one checkpoint
//! that covers this receipt, and handed out a few megabytes at a time.

mod scope;
#[cfg(test)]
mod tests;
mod write;

use crate::error::{AppendError, ReadError};
use crate::ledger::Ledger;
use crate::shared::Shared;
use counterfoil_format::BUNDLE_CONSISTENCY_MAX;
use counterfoil_proof::{LeafIndex, RootHash, SignedCheckpoint, TreeSize};
use counterfoil_rules::{EXPORTED_KIND, ExportScope, Exported};
use scope::Counted;
use write::Writer;

/// Why a bundle cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Caller: the range holds nothing.
    #[error("the range from {from} to {to} holds no receipt; its end must be behind its beginning")]
    EmptyRange {
        /// Index of the first receipt asked for.
        from: LeafIndex,
        /// Tree size that the range ends with.
        to: TreeSize,
    },
    /// Caller: too many consistency proofs.
    #[error(
        "{found} checkpoints seen earlier are more than the {BUNDLE_CONSISTENCY_MAX} of one bundle; name fewer of them"
    )]
    TooManySeen {
        /// Different sizes asked for.
        found: usize,
    },
    /// What is to be exported cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The statement could not be appended, and may be later.
    #[error("the receipt that states what the bundle holds was not appended: {0}")]
    Append(#[from] AppendError),
}

/// What a bundle will hold.
#[derive(Clone, Debug)]
pub struct ExportSummary {
    /// Which receipts.
    pub scope: ExportScope,
    /// Tree size at which they were counted.
    pub size: TreeSize,
    /// How many there are.
    pub receipts: u64,
    /// Index of the receipt that states all this; `None` when the ledger cannot append, so that completeness is not
    /// stated.
    pub statement: Option<LeafIndex>,
    /// The checkpoint that all proofs lead to.
    pub checkpoint: SignedCheckpoint,
}

/// A bundle in the making: an iterator over its bytes, in pieces that fit memory. After an error there is no more, and
/// what came before is no bundle.
pub struct Export {
    summary: ExportSummary,
    writer: Writer,
}

impl Ledger {
    /// Exports the receipts of a scope, with consistency proofs to the trees of `seen`. Where the ledger can append, a
    /// `ledger.exported/1` receipt states first what the bundle holds.
    ///
    /// # Errors
    /// [`ExportError`] when there is nothing to export or the statement cannot be appended at the moment.
    pub fn export(&self, scope: ExportScope, seen: &[TreeSize]) -> Result<Export, ExportError> {
        let mut seen = seen.to_vec();
        seen.sort_unstable();
        seen.dedup();
        if seen.len() > BUNDLE_CONSISTENCY_MAX {
            return Err(ExportError::TooManySeen { found: seen.len() });
        }
        let shared = self.shared();
        check_sizes(shared, &seen)?;
        let counted = scope::count(shared, &scope)?;
        let (statement, checkpoint) = match self.state(&scope, &counted)? {
            Some((statement, checkpoint)) => (Some(statement), checkpoint),
            None => (None, SignedCheckpoint::clone(&shared.published().checkpoint)),
        };
        let summary = ExportSummary { scope, size: counted.size, receipts: counted.count, statement, checkpoint };
        Ok(Export { writer: Writer::new(self.clone(), seen), summary })
    }

    /// Appends the statement; `None` when the ledger does not append.
    fn state(
        &self,
        scope: &ExportScope,
        counted: &Counted,
    ) -> Result<Option<(LeafIndex, SignedCheckpoint)>, ExportError> {
        let exported = Exported { scope: scope.clone(), size: counted.size, count: counted.count, head: counted.head };
        let payload = exported.to_payload().expect("what was counted was there");
        match self.append_control(EXPORTED_KIND, core::iter::once(payload)) {
            Ok(appended) => Ok(Some((appended.receipts[0].index, appended.checkpoint))),
            Err(AppendError::ReadOnly | AppendError::Poisoned { .. } | AppendError::DiskFull { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl ExportSummary {
    /// Size and root of the tree that all proofs lead to.
    fn tree(&self) -> (TreeSize, RootHash) {
        let checkpoint = self.checkpoint.unverified();
        (checkpoint.size, checkpoint.root)
    }
}

impl Export {
    /// What the bundle holds.
    #[must_use]
    pub fn summary(&self) -> &ExportSummary {
        &self.summary
    }
}

impl Iterator for Export {
    type Item = Result<bytes::Bytes, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.writer.next(&self.summary)
    }
}

fn check_sizes(shared: &Shared, seen: &[TreeSize]) -> Result<(), ReadError> {
    let size = shared.published().size();
    match seen.last() {
        Some(asked) if *asked > size => Err(ReadError::UnknownSize { asked: *asked, size }),
        _ => Ok(()),
    }
}
