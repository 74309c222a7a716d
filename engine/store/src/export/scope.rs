//! What a stream or range held at one published tree size.

use super::ExportError;
use crate::error::ReadError;
use crate::read::{self, PageBounds};
use crate::shared::Shared;
use crate::streams;
use crate::types::{Cursor, Page, Receipt, Selection};
use counterfoil_proof::{LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};
use counterfoil_rules::ExportScope;

/// One page is read at a time.
const PAGE: PageBounds = PageBounds { receipts_max: 4096, bytes_max: 4 * 1024 * 1024 };

/// The receipts of a scope below a tree size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    /// A published tree size.
    pub(super) size: TreeSize,
    /// How many there are below it.
    pub(super) count: u64,
    /// Leaf hash of the last of them.
    pub(super) head: LeafHash,
}

/// Counts the receipts of a scope.
pub(super) fn count(shared: &Shared, scope: &ExportScope) -> Result<Counted, ExportError> {
    match scope {
        ExportScope::Stream(stream) => Ok(count_stream(shared, stream)?),
        ExportScope::Range { from, to } => {
            let count = to.0.checked_sub(from.0).filter(|count| *count > 0);
            let count = count.ok_or(ExportError::EmptyRange { from: *from, to: *to })?;
            let head = read::leaf_hash(shared, LeafIndex(to.0 - 1))?;
            Ok(Counted { size: shared.published().size(), count, head })
        }
    }
}

/// The receipts of a stream at the published size. A head may be ahead of it; a stream whose head is not published yet is
/// counted receipt by receipt.
fn count_stream(shared: &Shared, stream: &StreamName) -> Result<Counted, ReadError> {
    // The size comes first: a head read later knows of every receipt below it.
    let size = shared.published().size();
    let head = if stream.is_control() { None } else { streams::resolve(shared, stream)?.head() };
    if let Some(head) = head.filter(|head| size.contains(head.latest)) {
        return Ok(Counted { size, count: head.seq.0 + 1, head: head.leaf });
    }
    let mut last = None;
    let mut reading = Reading::of(&ExportScope::Stream(stream.clone()), size);
    while let Some(page) = reading.page(shared)? {
        last = page.last().map(|receipt| (receipt.envelope.stream_seq, receipt.leaf)).or(last);
    }
    let (seq, head) = last.ok_or_else(|| ReadError::UnknownStream { stream: stream.clone() })?;
    Ok(Counted { size, count: seq.0 + 1, head })
}

/// Reads the receipts of a scope below a tree size, a page at a time.
pub(super) struct Reading {
    selection: Selection,
    end: TreeSize,
    after: Option<Cursor>,
    done: bool,
}

impl Reading {
    /// From the beginning of the scope.
    pub(super) fn of(scope: &ExportScope, size: TreeSize) -> Self {
        let (selection, end) = match scope {
            ExportScope::Stream(stream) => (Selection::Stream { stream: stream.clone(), from: StreamSeq(0) }, size),
            ExportScope::Range { from, to } => (Selection::Ledger { from: *from }, *to),
        };
        Self { selection, end, after: None, done: false }
    }

    /// The next receipts; `None` when there are no more.
    pub(super) fn page(&mut self, shared: &Shared) -> Result<Option<Vec<Receipt>>, ReadError> {
        if self.done {
            return Ok(None);
        }
        let Page { mut receipts, next } = read::read(shared, &self.selection, self.after, PAGE)?;
        let read = receipts.len();
        receipts.retain(|receipt| self.end.contains(receipt.envelope.index));
        self.after = next;
        self.done = receipts.len() < read || next.is_none_or(|next| !self.end.contains(next.0));
        Ok(Some(receipts))
    }
}
