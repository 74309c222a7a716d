//! Reading: receipts recomputed against their leaf hashes, and proofs. One choke point, [`receipt_in`], hands out
//! payloads.

use crate::disk::read_exact;
use crate::error::ReadError;
use crate::segment::{Segment, SegmentError, State};
use crate::shared::{Shared, segment_of};
use crate::tree::{Place, node_of_block};
use crate::types::{Content, Cursor, Page, Receipt, Selection};
use bytes::Bytes;
use counterfoil_format::frame::FrameIndex;
use counterfoil_format::{ByteOffset, LEAF_BLOCK};
use counterfoil_proof::{
    ConsistencyFile, ConsistencyPlan, Hash, InclusionFile, InclusionPlan, InclusionProof, LeafHash, LeafIndex,
    MerkleError, NodeCoordinate, NodeHash, RootHash, SignedCheckpoint, StreamName, TreeSize,
};
use std::io;
use std::sync::Arc;

/// Why a receipt could not be read.
#[derive(Debug)]
pub(crate) enum Fault {
    Io(io::Error),
    Damaged { offset: ByteOffset, what: &'static str },
}

impl From<SegmentError> for Fault {
    fn from(error: SegmentError) -> Self {
        match error {
            SegmentError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Damaged { offset: ByteOffset(0), what: "the file is shorter than its frames" }
            }
            SegmentError::Io(error) => Self::Io(error),
            SegmentError::Damaged { offset, .. } => {
                Self::Damaged { offset, what: "the stored bytes cannot be decoded" }
            }
        }
    }
}

impl Fault {
    fn of(self, index: LeafIndex, segment: &Segment) -> ReadError {
        let segment = segment.id.0;
        match self {
            Self::Io(source) => ReadError::Io { segment, source },
            Self::Damaged { offset, what } => ReadError::Corrupt { index, segment, offset: offset.0, what },
        }
    }
}

/// Reads one receipt of a segment and recomputes it: its envelope must hash to the leaf in the tree, its payload must
/// open the commitment.
pub(crate) fn receipt_in(
    segment: &Segment,
    index: LeafIndex,
    leaf_of: impl Fn(LeafIndex) -> Result<LeafHash, SegmentError>,
) -> Result<Receipt, Fault> {
    let nowhere = Fault::Damaged { offset: ByteOffset(0), what: "no frame holds it" };
    let (first, offset) = segment.frame_of(index).ok_or(nowhere)?;
    let frame = segment.frame_index(offset)?;
    receipt_of_frame(segment, &frame, offset, first, index, leaf_of)
}

fn receipt_of_frame(
    segment: &Segment,
    frame: &FrameIndex,
    offset: ByteOffset,
    first: LeafIndex,
    index: LeafIndex,
    leaf_of: impl Fn(LeafIndex) -> Result<LeafHash, SegmentError>,
) -> Result<Receipt, Fault> {
    let damaged = |what| Fault::Damaged { offset, what };
    let place = usize::try_from(index.0 - first.0).map_err(|_| damaged("no frame holds it"))?;
    if frame.header().start.first != first || place >= frame.header().receipts {
        return Err(damaged("the frame holds other receipts"));
    }
    let leaf = leaf_of(index)?;
    let mut unreadable = None;
    let envelope = frame
        .envelope(place, |earlier| {
            leaf_of(LeafIndex(first.0 + earlier as u64)).unwrap_or_else(|error| {
                unreadable = Some(error);
                Hash::ZERO
            })
        })
        .map_err(|_| damaged("the envelope cannot be rebuilt"));
    if let Some(error) = unreadable {
        return Err(error.into());
    }
    let envelope = envelope?;
    if envelope.leaf_hash() != leaf {
        return Err(damaged("the envelope does not hash to its leaf"));
    }
    let content = match frame.payload(place) {
        None => None,
        Some((salt, range)) => {
            let at = offset.plus(range.start as u64);
            let payload = read_exact(&*segment.file, at.0, range.len()).map_err(SegmentError::Io)?;
            if !envelope.commitment.opens_to(&salt, &payload) {
                return Err(Fault::Damaged { offset: at, what: "the payload does not open its commitment" });
            }
            Some(Content { salt, payload: Bytes::from(payload) })
        }
    };
    Ok(Receipt { envelope, leaf, content })
}

/// Segments and size at one moment.
struct View {
    segments: Arc<Vec<Arc<Segment>>>,
    size: TreeSize,
}

fn view(shared: &Shared) -> View {
    let published = shared.published();
    View { segments: published.segments.clone(), size: published.size() }
}

fn leaf_in(shared: &Shared, segments: &[Arc<Segment>], index: LeafIndex) -> Result<LeafHash, SegmentError> {
    if let Some(leaf) = shared.published().tree.leaf(index) {
        return Ok(leaf);
    }
    let segment = segment_of(segments, index);
    if let State::Open { .. } = segment.state {
        // Sealed since the view was taken; the tree let go of its leaves after that.
        let sealed = shared.published().segment_of(index).clone();
        return sealed.leaves(index, 1).map(|leaves| leaves[0]);
    }
    segment.leaves(index, 1).map(|leaves| leaves[0])
}

/// Leaf hash of a published receipt.
pub(crate) fn leaf_hash(shared: &Shared, index: LeafIndex) -> Result<LeafHash, ReadError> {
    let view = view(shared);
    if !view.size.contains(index) {
        return Err(ReadError::UnknownIndex { index, size: view.size });
    }
    leaf_in(shared, &view.segments, index)
        .map_err(|error| Fault::from(error).of(index, segment_of(&view.segments, index)))
}

/// Reads one receipt.
pub(crate) fn get(shared: &Shared, index: LeafIndex) -> Result<Receipt, ReadError> {
    let view = view(shared);
    if !view.size.contains(index) {
        return Err(ReadError::UnknownIndex { index, size: view.size });
    }
    let segment = segment_of(&view.segments, index);
    receipt_in(segment, index, |at| leaf_in(shared, &view.segments, at)).map_err(|fault| fault.of(index, segment))
}

/// Bounds of one page.
#[derive(Clone, Copy)]
pub(crate) struct PageBounds {
    pub(crate) receipts_max: usize,
    pub(crate) bytes_max: usize,
}

/// Reads a page.
pub(crate) fn read(
    shared: &Shared,
    selection: &Selection,
    after: Option<Cursor>,
    bounds: PageBounds,
) -> Result<Page, ReadError> {
    let view = view(shared);
    let (from, end, stream) = match selection {
        Selection::Ledger { from } => (*from, view.size, None),
        Selection::Stream { stream, from } => match span_of(shared, stream, &view) {
            Some((first, end)) => (first, end, Some((stream, *from))),
            None => return Err(ReadError::UnknownStream { stream: stream.clone() }),
        },
    };
    let mut next = after.map_or(from, |cursor| cursor.0);
    let mut page = Pager { shared, view: &view, bounds, receipts: Vec::new(), bytes: 0 };
    while end.contains(next) {
        let segment = segment_of(&view.segments, next);
        let nowhere = || Fault::Damaged { offset: ByteOffset(0), what: "no frame holds it" }.of(next, segment);
        let (first, offset) = segment.frame_of(next).ok_or_else(nowhere)?;
        match page.take_frame(segment, first, offset, next, end, stream).map_err(|(at, fault)| fault.of(at, segment))? {
            Taken::All { next: behind } => next = behind,
            Taken::Full { next } => return Ok(Page { receipts: page.receipts, next: Some(Cursor(next)) }),
        }
    }
    Ok(Page { receipts: page.receipts, next: None })
}

/// First index of a stream and the size of the tree that ends with its latest published receipt.
fn span_of(shared: &Shared, stream: &StreamName, view: &View) -> Option<(LeafIndex, TreeSize)> {
    if stream.is_control() {
        return Some((LeafIndex(0), view.size));
    }
    let heads = shared.lock(&shared.heads);
    let head = heads.get(stream)?;
    view.size.contains(head.first).then(|| (head.first, head.latest.size_including().min(view.size)))
}

enum Taken {
    /// Everything wanted of the frame; go on behind it.
    All { next: LeafIndex },
    /// The page is full; go on here.
    Full { next: LeafIndex },
}

struct Pager<'a> {
    shared: &'a Shared,
    view: &'a View,
    bounds: PageBounds,
    receipts: Vec<Receipt>,
    bytes: usize,
}

impl Pager<'_> {
    fn take_frame(
        &mut self,
        segment: &Segment,
        first: LeafIndex,
        offset: ByteOffset,
        from: LeafIndex,
        end: TreeSize,
        stream: Option<(&StreamName, counterfoil_proof::StreamSeq)>,
    ) -> Result<Taken, (LeafIndex, Fault)> {
        let here = |error: SegmentError| (from, Fault::from(error));
        let behind = segment.frame_end(offset).map_err(here)?;
        if let Some((stream, _)) = stream
            && !segment.frame_mentions(offset, stream).map_err(here)?
        {
            return Ok(Taken::All { next: behind });
        }
        let frame = segment.frame_index(offset).map_err(here)?;
        for index in (from.0..behind.0.min(end.0)).map(LeafIndex) {
            let place = usize::try_from(index.0 - first.0).expect("a frame's receipts fit memory");
            if let Some((wanted, from_seq)) = stream {
                let undecodable = |_| (index, Fault::Damaged { offset, what: "the stored bytes cannot be decoded" });
                let (found, seq) = frame.stream_of(place).map_err(undecodable)?;
                if found != wanted || seq < from_seq {
                    continue;
                }
            }
            if self.is_full() {
                return Ok(Taken::Full { next: index });
            }
            let leaf_of = |at| leaf_in(self.shared, &self.view.segments, at);
            let receipt =
                receipt_of_frame(segment, &frame, offset, first, index, leaf_of).map_err(|fault| (index, fault))?;
            self.bytes += receipt.content.as_ref().map_or(0, |content| content.payload.len());
            self.receipts.push(receipt);
        }
        Ok(Taken::All { next: behind })
    }

    fn is_full(&self) -> bool {
        self.receipts.len() >= self.bounds.receipts_max
            || (self.bytes >= self.bounds.bytes_max && !self.receipts.is_empty())
    }
}

/// Fetches nodes of the published tree: those in memory at once, then the others from leaf files.
fn fetch(shared: &Shared, wanted: impl Iterator<Item = NodeCoordinate>) -> Result<Vec<NodeHash>, ReadError> {
    let (places, segments): (Vec<_>, _) = {
        let published = shared.published();
        (wanted.map(|at| (at, published.tree.locate(at))).collect(), published.segments.clone())
    };
    let mut blocks: Option<(LeafIndex, Vec<LeafHash>)> = None;
    let mut nodes = Vec::with_capacity(places.len());
    for (at, place) in places {
        nodes.push(match place {
            Place::Known(node) => node,
            Place::Block(first) => {
                if blocks.as_ref().is_none_or(|(known, _)| *known != first) {
                    blocks = Some((first, block_leaves(&segments, first)?));
                }
                let (_, leaves) = blocks.as_ref().expect("just fetched");
                node_of_block(leaves, at)
            }
        });
    }
    Ok(nodes)
}

/// The 256 leaves from an aligned index on, which may lie in several segments.
fn block_leaves(segments: &[Arc<Segment>], first: LeafIndex) -> Result<Vec<LeafHash>, ReadError> {
    let mut leaves = Vec::new();
    let end = first.0 + LEAF_BLOCK;
    let mut next = first.0;
    while next < end {
        let segment = segment_of(segments, LeafIndex(next));
        let State::Sealed { leaves: head, .. } = &segment.state else {
            unreachable!("leaves that left memory are in leaf files")
        };
        let count = head.indices().end.min(end) - next;
        let found = segment.leaves(LeafIndex(next), count);
        leaves.extend(found.map_err(|error| Fault::from(error).of(LeafIndex(next), segment))?);
        next += count;
    }
    Ok(leaves)
}

/// Proof that a receipt is in the tree of a published size.
pub(crate) fn inclusion(shared: &Shared, index: LeafIndex, size: TreeSize) -> Result<InclusionProof, ReadError> {
    let plan = InclusionPlan::new(index, size).map_err(|_| ReadError::UnknownIndex { index, size })?;
    let nodes = fetch(shared, plan.nodes())?;
    Ok(plan.finish(&nodes))
}

/// Proof that a receipt is in the latest published tree.
pub(crate) fn prove_inclusion(shared: &Shared, index: LeafIndex) -> Result<InclusionFile, ReadError> {
    let checkpoint = SignedCheckpoint::clone(&shared.published().checkpoint);
    let proof = inclusion(shared, index, checkpoint.unverified().size)?;
    Ok(InclusionFile { proof, checkpoint })
}

/// Proof that an older tree is a prefix of the latest published one.
pub(crate) fn prove_consistency(shared: &Shared, old: TreeSize) -> Result<ConsistencyFile, ReadError> {
    let checkpoint = SignedCheckpoint::clone(&shared.published().checkpoint);
    let size = checkpoint.unverified().size;
    let plan = match ConsistencyPlan::new(old, size) {
        Ok(plan) => plan,
        Err(MerkleError::SizesOutOfOrder { .. }) => return Err(ReadError::UnknownSize { asked: old, size }),
        Err(_) => unreachable!("only the order of sizes can be wrong"),
    };
    let nodes = fetch(shared, plan.nodes())?;
    Ok(ConsistencyFile { proof: plan.finish(&nodes), checkpoint, old_root: root_at(shared, old)? })
}

/// Root of the tree at a published size.
fn root_at(shared: &Shared, size: TreeSize) -> Result<RootHash, ReadError> {
    let mut start = 0u64;
    let mut peaks = Vec::new();
    for level in (0..64u8).rev().filter(|level| size.0 >> level & 1 == 1) {
        peaks.push(NodeCoordinate { level, index: start >> level });
        start += 1 << level;
    }
    let nodes = fetch(shared, peaks.into_iter())?;
    let frontier = counterfoil_proof::Frontier::from_peaks(size, nodes);
    Ok(frontier.expect("one peak was planned for each set bit").root())
}
