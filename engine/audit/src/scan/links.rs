//! Links from one segment to receipts of earlier ones.

use super::context::Context;
use super::leaf_book::LeafBook;
use crate::error::AuditError;
use counterfoil_proof::{LeafHash, LeafIndex};

/// A link that leaves its segment. A segment holds no more of them than its file has bytes for, and only segments that
/// wait for their turn keep theirs.
#[derive(Clone, Copy, Debug)]
pub(super) struct OutwardLink {
    /// The receipt it names.
    pub(super) target: LeafIndex,
    pub(super) leaf: LeafHash,
    /// The receipt that holds it.
    pub(super) source: LeafIndex,
    /// Its place among that one's links.
    pub(super) number: u8,
}

/// A link whose receipt has another leaf hash.
pub(super) struct BrokenLink {
    pub(super) link: OutwardLink,
    /// The leaf hash that is there.
    pub(super) actual: LeafHash,
}

/// Compares the links of a segment with the receipts before it. Receipts that were lost are given the benefit of the
/// doubt.
pub(super) fn check(
    context: &Context<'_>,
    book: &mut LeafBook,
    links: &mut [OutwardLink],
) -> Result<Vec<BrokenLink>, AuditError> {
    links.sort_unstable_by_key(|link| (link.target, link.source, link.number));
    let mut broken = Vec::new();
    for link in links {
        if let Some(actual) = book.leaf(context, link.target)?.filter(|leaf| *leaf != link.leaf) {
            broken.push(BrokenLink { link: *link, actual });
        }
    }
    Ok(broken)
}
