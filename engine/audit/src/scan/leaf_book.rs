//! Leaf hashes of all segments joined so far, for the links of later ones, in bounded memory.
//!
//! Holding them would take 32 bytes for each receipt. Instead 32 bytes are held for each 256 receipts: the digest of a
//! block of the leaf file, once the file was found to hold exactly the recomputed hashes. A block that is read again
//! counts only with that digest, so nothing rests on the file staying as it was. Segments without such a file keep
//! their hashes in memory while they are few, and are otherwise judged a second time when a link needs them.

use super::chain::{Leaves, State};
use super::context::Context;
use super::files::{io, open, segment_path};
use super::segment::{Errand, Judged, Plan, judge_segment};
use crate::error::AuditError;
use crate::source::SourceFile;
use counterfoil_format::{LEAF_BLOCK, ManifestEntry, leaves_file_name};
use counterfoil_proof::{Hash, LeafHash, LeafIndex};
use std::collections::BTreeSet;

/// Most leaf hashes held of segments without a leaf file. Tests hold few, so that segments are judged again.
const HELD_LEAVES_MAX: usize = if cfg!(test) { 2 } else { 4 * 1024 * 1024 };

/// The blocks of a leaf file that fits its segment.
pub(super) struct LeafBlocks {
    /// Where in the file the hashes begin.
    pub(super) begin: u64,
    /// BLAKE3 of each block.
    pub(super) digests: Vec<Hash>,
}

/// The leaf hashes of the segments joined so far.
#[derive(Default)]
pub(super) struct LeafBook {
    pages: Vec<Page>,
    held: usize,
    cache: Cache,
}

struct Page {
    plan: Plan,
    leaves: Option<Leaves>,
    blocks: Option<LeafBlocks>,
}

/// What was read last: links are asked for in the order of their targets.
#[derive(Default)]
struct Cache {
    file: Option<(ManifestEntry, Box<dyn SourceFile>)>,
    block: Option<(LeafIndex, Vec<LeafHash>)>,
    judged: Option<(LeafIndex, Leaves)>,
}

impl LeafBook {
    /// Adds a segment that was judged.
    pub(super) fn add(&mut self, judged: &mut Judged) {
        let leaves = core::mem::take(&mut judged.chain.leaves);
        let blocks = judged.blocks.take();
        let hold = blocks.is_none() && self.held + leaves.len() <= HELD_LEAVES_MAX;
        self.held += if hold { leaves.len() } else { 0 };
        self.pages.push(Page { plan: judged.plan, leaves: hold.then_some(leaves), blocks });
    }

    /// The leaf hash of a receipt; `None` when it could not be read.
    pub(super) fn leaf(&mut self, context: &Context<'_>, index: LeafIndex) -> Result<Option<LeafHash>, AuditError> {
        let after = self.pages.partition_point(|page| page.plan.entry.id.0 <= index);
        let Some(page) = after.checked_sub(1).map(|at| &self.pages[at]) else { return Ok(None) };
        if let Some(leaves) = &page.leaves {
            return Ok(leaves.get(index));
        }
        if let Some(blocks) = &page.blocks
            && let Some(leaf) = self.cache.read_block(context, &page.plan.entry, blocks, index)?
        {
            return Ok(Some(leaf));
        }
        self.cache.judge_segment(context, page.plan, index)
    }
}

impl Cache {
    /// Reads a block of a leaf file again; `None` when it is not what it was.
    fn read_block(
        &mut self,
        context: &Context<'_>,
        entry: &ManifestEntry,
        blocks: &LeafBlocks,
        index: LeafIndex,
    ) -> Result<Option<LeafHash>, AuditError> {
        let within = index.0 - entry.id.0.0;
        let first = LeafIndex(entry.id.0.0 + within - within % LEAF_BLOCK);
        let place = usize::try_from(index.0 - first.0).unwrap_or(usize::MAX);
        if let Some((cached, block)) = &self.block
            && *cached == first
        {
            return Ok(block.get(place).copied());
        }
        let number = usize::try_from(within / LEAF_BLOCK).unwrap_or(usize::MAX);
        let Some(digest) = blocks.digests.get(number) else { return Ok(None) };
        let path = segment_path(&leaves_file_name(entry.id, entry.generation));
        if self.file.as_ref().is_none_or(|(cached, _)| cached != entry) {
            self.file = open(context.source, &path)?.map(|file| (*entry, file));
        }
        let Some((_, file)) = &self.file else { return Ok(None) };
        let mut bytes = vec![0; usize::try_from(LEAF_BLOCK).unwrap_or(0) * Hash::LEN];
        let at = blocks.begin + (first.0 - entry.id.0.0) * Hash::LEN as u64;
        let read = file.read_at(&mut bytes, at).map_err(io(&path))?;
        if Hash(*blake3::hash(&bytes[..read]).as_bytes()) != *digest {
            return Ok(None);
        }
        let block: Vec<_> = bytes[..read].as_chunks::<32>().0.iter().map(|leaf| Hash(*leaf)).collect();
        let leaf = block.get(place).copied();
        self.block = Some((first, block));
        Ok(leaf)
    }

    /// Judges a segment a second time for its leaf hashes.
    fn judge_segment(
        &mut self,
        context: &Context<'_>,
        plan: Plan,
        index: LeafIndex,
    ) -> Result<Option<LeafHash>, AuditError> {
        if self.judged.as_ref().is_none_or(|(first, _)| *first != plan.entry.id.0) {
            let empty = State::empty();
            let start = (plan.entry.id.0 == LeafIndex(0)).then_some(&empty);
            let again = judge_segment(context, plan, Errand { start, watched: BTreeSet::new(), wanted: None })?;
            self.judged = Some((plan.entry.id.0, again.chain.leaves));
        }
        Ok(self.judged.as_ref().and_then(|(_, leaves)| leaves.get(index)))
    }
}
