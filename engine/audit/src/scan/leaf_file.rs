//! Comparing a leaf file with the leaf hashes its segment leads to.

use super::files::{io, open, segment_path};
use super::leaf_aid::LeafAid;
use super::leaf_book::LeafBlocks;
use super::manifest::Listed;
use super::segment::{Segment, SegmentScan};
use crate::error::AuditError;
use crate::report::{Code, Finding};
use counterfoil_format::{ByteOffset, LEAF_BLOCK, leaves_file_name};
use counterfoil_proof::{Hash, LeafHash, LeafIndex, NodeCoordinate, NodeHash};

/// What is wrong with a leaf file: the first byte that differs, if it can be told, and the first receipt concerned.
type Differs = (Option<ByteOffset>, LeafIndex, String);

impl SegmentScan<'_, '_> {
    /// Compares the leaf file of a whole segment, and keeps the digests of its blocks.
    pub(super) fn check_leaf_file(&mut self, segment: &Segment<'_>) -> Result<(), AuditError> {
        let entry = &segment.file.entry;
        let leaves = self.out.chain.leaves.range(entry.id.0, self.out.chain.state.next);
        let Some(leaves) = leaves else { return Ok(()) };
        let path = segment_path(&leaves_file_name(entry.id, entry.generation));
        let Some(aid) = LeafAid::load(self.context.source, entry)? else {
            let there = open(self.context.source, &path)?.is_some();
            let now = Listed::read(self.context.source)?;
            // Beside a live server the segment may have got a new generation.
            if there || now.segment(entry.id).is_none_or(|now| now.generation == entry.generation) {
                let what = if there { "is damaged" } else { "is missing" };
                self.report(Finding::new(Code::LeafFile, format!("{path} {what}")).at_index(entry.id.0));
            }
            return Ok(());
        };
        let head = head_differs(&aid, self.context.ledger_id, segment, &self.out.chain.nodes, leaves.len());
        match head {
            Some(what) => {
                let finding = Finding::new(Code::LeafFile, format!("{path} {what}")).at_index(entry.id.0);
                self.report(Finding { offset: Some(ByteOffset(0)), ..finding });
            }
            None => match compare_blocks(&aid, entry.id.0, leaves)? {
                Ok(blocks) => self.out.blocks = Some(blocks),
                Err((offset, index, what)) => {
                    let finding = Finding::new(Code::LeafFile, format!("{path} {what}")).at_index(index);
                    self.report(Finding { offset, ..finding });
                }
            },
        }
        Ok(())
    }
}

/// Where the head says something else than the segment does.
fn head_differs(
    aid: &LeafAid,
    ledger_id: Option<LeafHash>,
    segment: &Segment<'_>,
    nodes: &[(NodeCoordinate, NodeHash)],
    leaves: usize,
) -> Option<&'static str> {
    let head = &aid.head;
    let facts = [
        (ledger_id.is_none_or(|id| id == head.ledger_id), "belongs to another ledger"),
        (head.count == leaves as u64, "holds another number of receipts"),
        (head.frames == segment.frames.frames, "finds frames elsewhere"),
        (nodes.iter().all(|(at, node)| head.node(*at) == Some(*node)), "holds another node of the tree"),
    ];
    facts.into_iter().find(|(holds, _)| !holds).map(|(_, what)| what)
}

fn compare_blocks(
    aid: &LeafAid,
    first: LeafIndex,
    leaves: &[LeafHash],
) -> Result<Result<LeafBlocks, Differs>, AuditError> {
    let block_leaves = usize::try_from(LEAF_BLOCK).unwrap_or(usize::MAX);
    let mut digests = Vec::with_capacity(leaves.len().div_ceil(block_leaves));
    let begin = aid.head.len();
    let mut bytes = vec![0; block_leaves * Hash::LEN];
    for (number, block) in (0u64..).zip(leaves.chunks(block_leaves)) {
        let (at, index) = (begin + number * LEAF_BLOCK * Hash::LEN as u64, LeafIndex(first.0 + number * LEAF_BLOCK));
        let bytes = &mut bytes[..block.len() * Hash::LEN];
        let read = aid.file.read_at(bytes, at).map_err(io(&aid.path))?;
        let found = bytes[..read].as_chunks::<32>().0;
        if let Some(same) = (0..block.len()).find(|same| found.get(*same) != Some(&block[*same].0)) {
            let index = LeafIndex(index.0 + same as u64);
            let at = ByteOffset(at + (same * Hash::LEN) as u64);
            return Ok(Err((Some(at), index, format!("holds another leaf hash of receipt {index}"))));
        }
        if aid.head.decode_block(index, bytes).is_err() {
            return Ok(Err((
                Some(ByteOffset(0)),
                index,
                format!("has another checksum over the block of receipt {index}"),
            )));
        }
        digests.push(Hash(*blake3::hash(bytes).as_bytes()));
    }
    Ok(Ok(LeafBlocks { begin, digests }))
}
