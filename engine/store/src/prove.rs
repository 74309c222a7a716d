//! Proofs over the published tree.

use crate::error::ReadError;
use crate::read::Fault;
use crate::segment::Segment;
use crate::shared::{Shared, segment_of};
use crate::tree::{Place, node_of_block};
use counterfoil_format::{ByteOffset, LEAF_BLOCK};
use counterfoil_proof::{
    ConsistencyFile, ConsistencyPlan, Frontier, InclusionFile, InclusionPlan, InclusionProof, LeafHash, LeafIndex,
    MerkleError, NodeCoordinate, NodeHash, RootHash, SignedCheckpoint, TreeSize,
};
use std::sync::Arc;

/// Nodes of the published tree.
struct Fetched {
    nodes: Vec<NodeHash>,
    /// Some came from leaf files, which prove nothing: what they lead to is compared with a signed root.
    from_files: bool,
}

/// Fetches nodes of the published tree: those in memory at once, then the others from leaf files.
fn fetch(shared: &Shared, wanted: impl Iterator<Item = NodeCoordinate>) -> Result<Fetched, ReadError> {
    let (places, segments, covered): (Vec<_>, _, _) = {
        let published = shared.published();
        let places = wanted.map(|at| (at, published.tree.locate(at))).collect();
        (places, published.segments.clone(), published.tree.covered())
    };
    let mut blocks: Option<(LeafIndex, Vec<LeafHash>)> = None;
    let mut nodes = Vec::with_capacity(places.len());
    let mut from_files = false;
    for (at, place) in places {
        from_files |= !matches!(place, Place::Known(_));
        nodes.push(match place {
            Place::Known(node) => node,
            Place::Block(first) => {
                if blocks.as_ref().is_none_or(|(known, _)| *known != first) {
                    blocks = Some((first, block_leaves(&segments, first, covered)?));
                }
                let (_, leaves) = blocks.as_ref().expect("just fetched");
                node_of_block(leaves, at)
            }
            Place::CompletedBy(last) => {
                let segment = segment_of(&segments, last);
                segment.sealed().node(at).map_err(|error| Fault::from(error).of(last, segment))?
            }
        });
    }
    Ok(Fetched { nodes, from_files })
}

/// The 256 leaves from an aligned index on, as far as leaf files hold them. They may lie in several segments.
fn block_leaves(segments: &[Arc<Segment>], first: LeafIndex, covered: TreeSize) -> Result<Vec<LeafHash>, ReadError> {
    let mut leaves = Vec::new();
    let end = (first.0 + LEAF_BLOCK).min(covered.0);
    let mut next = first.0;
    while next < end {
        let segment = segment_of(segments, LeafIndex(next));
        let sealed = segment.sealed();
        let count = sealed.end.0.min(end) - next;
        let found = sealed.leaves(LeafIndex(next), count);
        leaves.extend(found.map_err(|error| Fault::from(error).of(LeafIndex(next), segment))?);
        next += count;
    }
    Ok(leaves)
}

/// Proof that a receipt is in the published tree of this size and root.
pub(crate) fn inclusion(
    shared: &Shared,
    index: LeafIndex,
    leaf: &LeafHash,
    (size, root): (TreeSize, RootHash),
) -> Result<InclusionProof, ReadError> {
    let plan = InclusionPlan::new(index, size).map_err(|_| ReadError::UnknownIndex { index, size })?;
    let fetched = fetch(shared, plan.nodes())?;
    let proof = plan.finish(&fetched.nodes);
    match fetched.from_files && proof.verify(leaf, &root).is_err() {
        true => Err(leaf_files_lie(shared, index)),
        false => Ok(proof),
    }
}

fn leaf_files_lie(shared: &Shared, index: LeafIndex) -> ReadError {
    let what = "the leaf files do not lead to the signed root; remove segments/*.leaves, they are made again";
    Fault::Damaged { offset: ByteOffset(0), what }.of(index, shared.published().segment_of(index))
}

/// Proof that a receipt is in the latest published tree.
pub(crate) fn prove_inclusion(shared: &Shared, index: LeafIndex) -> Result<InclusionFile, ReadError> {
    let checkpoint = SignedCheckpoint::clone(&shared.published().checkpoint);
    let latest = checkpoint.unverified();
    let (size, root) = (latest.size, latest.root);
    if !size.contains(index) {
        return Err(ReadError::UnknownIndex { index, size });
    }
    let leaf = crate::read::leaf_hash(shared, index)?;
    let proof = inclusion(shared, index, &leaf, (size, root))?;
    Ok(InclusionFile { proof, checkpoint })
}

/// Proof that an older tree is a prefix of the latest published one.
pub(crate) fn prove_consistency(shared: &Shared, old: TreeSize) -> Result<ConsistencyFile, ReadError> {
    let checkpoint = SignedCheckpoint::clone(&shared.published().checkpoint);
    consistency(shared, old, checkpoint)
}

/// Proof that an older tree is a prefix of that of a published checkpoint.
pub(crate) fn consistency(
    shared: &Shared,
    old: TreeSize,
    checkpoint: SignedCheckpoint,
) -> Result<ConsistencyFile, ReadError> {
    let (size, root) = (checkpoint.unverified().size, checkpoint.unverified().root);
    let plan = match ConsistencyPlan::new(old, size) {
        Ok(plan) => plan,
        Err(MerkleError::SizesOutOfOrder { .. }) => return Err(ReadError::UnknownSize { asked: old, size }),
        Err(_) => unreachable!("only the order of sizes can be wrong"),
    };
    let fetched = fetch(shared, plan.nodes())?;
    let (old_root, old_from_files) = root_at(shared, old)?;
    let proof = plan.finish(&fetched.nodes);
    if (fetched.from_files || old_from_files) && proof.verify(&old_root, &root).is_err() {
        return Err(leaf_files_lie(shared, LeafIndex(old.0.saturating_sub(1))));
    }
    Ok(ConsistencyFile { proof, checkpoint, old_root })
}

/// Root of the tree at a published size, and whether leaf files were needed for it.
fn root_at(shared: &Shared, size: TreeSize) -> Result<(RootHash, bool), ReadError> {
    let mut start = 0u64;
    let mut peaks = Vec::new();
    for level in (0..64u8).rev().filter(|level| size.0 >> level & 1 == 1) {
        peaks.push(NodeCoordinate { level, index: start >> level });
        start += 1 << level;
    }
    let fetched = fetch(shared, peaks.into_iter())?;
    let frontier = Frontier::from_peaks(size, fetched.nodes);
    Ok((frontier.expect("one peak was planned for each set bit").root(), fetched.from_files))
}
