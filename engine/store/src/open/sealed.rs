//! Sealed segments: pinned by the manifest, found again through their leaf files.

use super::refusal::{Damage, OpenError, at, in_segment, refuse};
use super::{Loader, Mode};
use crate::chain::Chain;
use crate::disk::DiskFile;
use crate::keeper;
use crate::recovery::{self, Tail};
use crate::segment::{self, Segment, SegmentError, State};
use crate::shared::segment_of;
use crate::tree::{Place, Tree};
use counterfoil_format::{
    ByteOffset, FormatError, LEAF_BLOCK, LeafFile, LeafFileHead, ManifestEntry, SegmentFooter, SegmentState,
};
use counterfoil_proof::{Envelope, Frontier, Hash, LeafHash, LeafIndex, NodeCoordinate};
use counterfoil_rules::ControlReceipt;
use std::sync::Arc;

impl Loader<'_> {
    pub(super) fn load_sealed(&mut self) -> Result<(), OpenError> {
        let sealed: Vec<ManifestEntry> =
            self.manifest.segments.iter().copied().filter(|entry| entry.state != SegmentState::Open).collect();
        for entry in sealed {
            let footer = self.load_sealed_segment(entry)?;
            self.chain = Some(Chain::at_footer(&footer));
        }
        self.build_tree()
    }

    fn load_sealed_segment(&mut self, entry: ManifestEntry) -> Result<SegmentFooter, OpenError> {
        let SegmentState::Sealed { end, file_len, file_digest } = entry.state else {
            unreachable!("only sealed entries are handed in")
        };
        let path = segment::segment_path(entry.id, entry.generation);
        let file = self.disk().open(&path, false).map_err(|error| in_segment(&path)(error.into()))?;
        let found = file.len().map_err(at(&path))?;
        if found != file_len {
            return Err(refuse(path, ByteOffset(found.min(file_len)), Damage::Length { expected: file_len, found }));
        }
        let (footer, footer_at) = segment::read_footer(&*file).map_err(in_segment(&path))?;
        let agrees = footer.first == entry.id.0 && footer.frontier.size() == end && footer.file_digest == file_digest;
        if !agrees {
            let rule = "the footer is the one the manifest pins";
            return Err(refuse(path, footer_at, FormatError::NotCanonical { rule }));
        }
        let (leaves, leaf_file) = self.leaf_file(entry, &*file, &path)?;
        let state = State::Sealed { leaves, leaf_file, file_len };
        let segment = Arc::new(Segment { id: entry.id, generation: entry.generation, file, state });
        self.segments.push(segment.clone());
        self.load_heads(&segment).map_err(in_segment(&path))?;
        self.load_controls(&segment, &footer)?;
        Ok(footer)
    }

    /// The leaf file of a segment; rebuilt from the segment when it is missing or damaged.
    fn leaf_file(
        &self,
        entry: ManifestEntry,
        file: &dyn DiskFile,
        path: &str,
    ) -> Result<(LeafFileHead, Arc<dyn DiskFile>), OpenError> {
        if let Ok(found) = segment::open_leaf_file(self.disk(), entry.id, entry.generation)
            && found.0.ledger_id == self.manifest.ledger_id
        {
            return Ok(found);
        }
        let mut leaves = Vec::new();
        let key = &self.rules().genesis().checkpoint_key;
        let scan = recovery::scan(self.disk(), file, key, None, |_, frame, _| {
            leaves.extend(frame.entries().iter().map(|entry| entry.leaf));
        })
        .map_err(in_segment(path))?;
        if scan.tail != Tail::Footer {
            return Err(refuse(path, scan.end, Damage::BeforeFooter));
        }
        let frames: Vec<_> = scan.frames.iter().map(|frame| (frame.first, frame.at)).collect();
        let bytes = LeafFile::encode(self.manifest.ledger_id, entry.id, entry.generation, &frames, &leaves);
        let leaves_path = segment::leaves_path(entry.id, entry.generation);
        if self.mode == Mode::ReadOnly {
            return keeper::leaf_file_in_memory(bytes).map_err(in_segment(&leaves_path));
        }
        keeper::write_leaf_file(self.disk(), entry.id, entry.generation, &bytes).map_err(at(&leaves_path))?;
        segment::open_leaf_file(self.disk(), entry.id, entry.generation).map_err(in_segment(&leaves_path))
    }

    /// Takes in the streams of a sealed segment, every envelope recomputed against its leaf hash. A reader goes on behind
    /// damage; a writer could give a stream's next receipt the wrong place, and refuses.
    fn load_heads(&mut self, segment: &Segment) -> Result<(), SegmentError> {
        let State::Sealed { leaves, .. } = &segment.state else { unreachable!("only sealed segments are handed in") };
        for (first, offset) in &leaves.frames {
            match self.load_frame_heads(segment, *first, *offset) {
                Err(SegmentError::Damaged { .. }) if self.mode == Mode::ReadOnly => {}
                other => other?,
            }
        }
        Ok(())
    }

    fn load_frame_heads(&mut self, segment: &Segment, first: LeafIndex, at: ByteOffset) -> Result<(), SegmentError> {
        let damaged = |error| SegmentError::Damaged { offset: at, error };
        let frame = segment.frame_index(at)?;
        let hashes = segment.leaves(first, frame.header().receipts as u64)?;
        for (place, leaf) in hashes.iter().enumerate() {
            let envelope = frame.envelope(place, |earlier| hashes[earlier]).map_err(damaged)?;
            if envelope.leaf_hash() != *leaf {
                return Err(damaged(FormatError::NotCanonical { rule: "an envelope hashes to its leaf" }));
            }
            if !envelope.is_control() {
                self.follow_stream(&envelope, *leaf).map_err(damaged)?;
            }
        }
        Ok(())
    }

    /// Moves a stream's head. A reader does without the heads of streams that were written wrongly.
    pub(super) fn follow_stream(&mut self, envelope: &Envelope, leaf: LeafHash) -> Result<(), FormatError> {
        if self.heads.advance(envelope, leaf) || self.mode == Mode::ReadOnly {
            return Ok(());
        }
        Err(FormatError::NotCanonical { rule: "a stream is gap-free and ends when it is closed" })
    }

    /// Folds the control receipts of a sealed segment.
    fn load_controls(&mut self, segment: &Arc<Segment>, footer: &SegmentFooter) -> Result<(), OpenError> {
        let path = segment::segment_path(segment.id, segment.generation);
        for index in footer.control_indices.iter().filter(|index| index.0 > 0) {
            let leaf_of = |at: LeafIndex| segment_of(&self.segments, at).leaves(at, 1).map(|leaves| leaves[0]);
            let receipt = crate::read::receipt_in(segment, *index, leaf_of).map_err(|fault| match fault {
                crate::read::Fault::Io(error) => at(&path)(error),
                crate::read::Fault::Damaged { offset, what } => {
                    refuse(&path, offset, FormatError::NotCanonical { rule: what })
                }
            })?;
            let Some(content) = receipt.content else {
                let rule = "control receipts are never erased";
                return Err(refuse(path, ByteOffset(0), FormatError::NotCanonical { rule }));
            };
            self.fold(ControlReceipt { envelope: &receipt.envelope, payload: &content.payload })?;
        }
        Ok(())
    }

    pub(super) fn fold(&mut self, receipt: ControlReceipt<'_>) -> Result<(), OpenError> {
        if receipt.envelope.index.0 > 0 {
            let rules = self.rules.take().expect("genesis is loaded first");
            self.rules = Some(rules.apply(receipt)?);
        }
        Ok(())
    }

    /// The tree over all sealed segments, from the nodes in their leaf files.
    fn build_tree(&mut self) -> Result<(), OpenError> {
        let end = self.chain.as_ref().map_or(0, |chain| chain.frontier.size().0);
        let mut nodes = Vec::new();
        let mut known: Vec<(u64, Hash)> = Vec::new();
        for segment in &self.segments {
            if let State::Sealed { leaves, .. } = &segment.state {
                let first = leaves.first_node().index;
                known.extend(leaves.nodes.iter().enumerate().map(|(at, node)| (first + at as u64, *node)));
            }
        }
        let mut known = known.into_iter().peekable();
        for block in 0..end / LEAF_BLOCK {
            let node = match known.next_if(|(at, _)| *at == block) {
                Some((_, node)) => node,
                None => {
                    let leaves = self.sealed_leaves(block * LEAF_BLOCK, LEAF_BLOCK)?;
                    crate::tree::node_of_block(&leaves, NodeCoordinate { level: 8, index: block })
                }
            };
            nodes.push(node);
        }
        self.tree = Tree::over_leaf_files(nodes);
        let mut frontier = self.frontier_of_tree();
        let first = frontier.size().0;
        for leaf in self.sealed_leaves(first, end - first)? {
            frontier.push(leaf, |at, node| self.tree.push(at, node));
        }
        if let Some(chain) = &self.chain
            && chain.frontier != frontier
        {
            let last = self.segments.last().expect("there is a sealed segment");
            let path = segment::leaves_path(last.id, last.generation);
            let rule = "leaf files lead to the tree of the footer; delete the .leaves files, they are rebuilt";
            return Err(refuse(path, ByteOffset(0), FormatError::NotCanonical { rule }));
        }
        Ok(())
    }

    fn frontier_of_tree(&self) -> Frontier {
        let size = self.tree.size();
        let mut start = 0u64;
        let mut peaks = Vec::new();
        for level in (0..64u8).rev().filter(|level| size.0 >> level & 1 == 1) {
            match self.tree.locate(NodeCoordinate { level, index: start >> level }) {
                Place::Known(node) => peaks.push(node),
                Place::Block(_) => unreachable!("a tree over whole blocks has its peaks in memory"),
            }
            start += 1 << level;
        }
        Frontier::from_peaks(size, peaks).expect("one peak was taken for each set bit")
    }

    /// Leaf hashes of sealed segments.
    fn sealed_leaves(&self, first: u64, count: u64) -> Result<Vec<LeafHash>, OpenError> {
        let mut out = Vec::new();
        let mut next = first;
        while next < first + count {
            let segment = segment_of(&self.segments, LeafIndex(next));
            let State::Sealed { leaves, .. } = &segment.state else { unreachable!("only sealed segments are loaded") };
            let end = leaves.indices().end.min(first + count);
            let path = segment::leaves_path(segment.id, segment.generation);
            out.extend(segment.leaves(LeafIndex(next), end - next).map_err(in_segment(&path))?);
            next = end;
        }
        Ok(out)
    }
}
