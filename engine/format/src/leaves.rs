//! Leaf files: the leaf hashes of a sealed segment, and what finds a frame in it. Derived, rebuildable from the segment.

use crate::error::FormatError;
use crate::record;
use crate::segment::{Generation, SegmentId};
use crate::{ByteOffset, FRAME_ALIGN};
use core::ops::Range;
use counterfoil_proof::{Frontier, Hash, LeafHash, LeafIndex, NodeCoordinate, NodeHash, Reader};

/// Leaves under one checksum.
pub const LEAF_BLOCK: u64 = 256;
/// Lowest level of the tree nodes kept in the head: each covers 256 leaves.
pub const NODE_LEVEL: u8 = 8;
const MAGIC: &[u8; 8] = b"CFLEAFS1";
const BLOCK_LEAVES: usize = 256;
const HEAD_LEN_MAX: usize = 512 * 1024 * 1024;

/// Everything of a leaf file but the leaf hashes themselves.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFLEAFS1`; its length is that of the head |
/// | 16 | 32 | ledger id |
/// | 48 | 8 | index of the first receipt |
/// | 56 | 8 | number of receipts |
/// | 64 | 4 | generation |
/// | 68 | 4 | number of frames |
/// | 72 | 4 | number of nodes |
/// | 76 | 4 | number of blocks: receipts divided by 256, rounded up |
/// | 80 | 16 each | frames: first index, offset in the segment |
/// | … | 32 each | nodes of level 8 and above whose last leaf is in this segment, level by level upwards, ascending within a level |
/// | … | 4 each | CRC-32 of each block of 256 leaf hashes (the last may be shorter) |
///
/// The leaf hashes follow the head, 32 bytes each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFileHead {
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// The segment.
    pub id: SegmentId,
    /// Its generation.
    pub generation: Generation,
    /// Number of receipts in it.
    pub count: u64,
    /// First index and offset of each frame, ascending.
    pub frames: Vec<(LeafIndex, ByteOffset)>,
    nodes: Vec<NodeHash>,
    checksums: Vec<u32>,
}

/// What the preamble of a leaf file states: how many bytes to read for its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortPreamble(pub usize);

impl ShortPreamble {
    /// Reads the first 16 bytes of a leaf file.
    ///
    /// # Errors
    /// [`FormatError`] when it is no leaf file.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        record::declared_len(MAGIC, bytes, HEAD_LEN_MAX).map(Self)
    }
}

/// A whole leaf file, as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafFile;

impl LeafFile {
    /// The bytes of the file of a segment; `before` is the tree its header states.
    ///
    /// # Panics
    /// When `before` is the tree before another segment.
    #[must_use]
    pub fn encode(
        ledger_id: LeafHash,
        id: SegmentId,
        generation: Generation,
        before: &Frontier,
        frames: &[(LeafIndex, ByteOffset)],
        leaves: &[LeafHash],
    ) -> Vec<u8> {
        assert_eq!(before.size().next_index(), id.0, "the tree before a segment ends where it begins");
        let body: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
        let head = LeafFileHead {
            ledger_id,
            id,
            generation,
            count: leaves.len() as u64,
            frames: frames.to_vec(),
            nodes: completed_nodes(before, leaves),
            checksums: body.chunks(BLOCK_LEAVES * Hash::LEN).map(crc32fast::hash).collect(),
        };
        let mut out = head.encode();
        out.extend(body);
        out
    }
}

impl LeafFileHead {
    /// Reads a head; `bytes` are exactly as many as its preamble states.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let body = record::open(MAGIC, bytes, HEAD_LEN_MAX)?;
        if body.len() + record::PREAMBLE_LEN != bytes.len() {
            return Err(FormatError::NotCanonical { rule: "the head is as long as its preamble states" });
        }
        let mut input = Reader::new(body);
        let ledger_id = Hash(input.array()?);
        let [first, count] = [input.u64()?, input.u64()?];
        let generation = Generation(input.u32()?);
        let [frames, nodes, blocks] = [input.u32()? as usize, input.u32()? as usize, input.u32()? as usize];
        let frames = take::<16>(&mut input, frames)?.iter().map(decode_frame).collect::<Result<Vec<_>, _>>()?;
        let end = first.checked_add(count).ok_or(FormatError::NotCanonical { rule: "indices fit 64 bits" })?;
        if nodes as u64 != node_counts(first..end).sum::<u64>() {
            return Err(FormatError::NotCanonical { rule: "there is one node for each that ends in the segment" });
        }
        let nodes = take::<32>(&mut input, nodes)?.iter().map(|bytes| Hash(*bytes)).collect();
        let checksums: Vec<u32> = take::<4>(&mut input, blocks)?.iter().map(|b| u32::from_le_bytes(*b)).collect();
        if !input.is_empty() || count.div_ceil(LEAF_BLOCK) != checksums.len() as u64 {
            return Err(FormatError::NotCanonical { rule: "the head ends with one checksum for each block" });
        }
        let ascending = frames.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1);
        if !ascending || frames.first().is_none_or(|(at, _)| at.0 != first) {
            return Err(FormatError::NotCanonical { rule: "frames ascend from the first index" });
        }
        if frames.last().is_some_and(|(at, _)| at.0 >= end) {
            return Err(FormatError::NotCanonical { rule: "frames begin in the segment" });
        }
        Ok(Self { ledger_id, id: SegmentId(LeafIndex(first)), generation, count, frames, nodes, checksums })
    }

    /// The bytes of the head.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = record::begin(MAGIC, usize::try_from(self.len()).expect("heads are far below 4 GiB"));
        out.extend(self.ledger_id.0);
        out.extend(self.id.0.0.to_le_bytes());
        out.extend(self.count.to_le_bytes());
        out.extend(self.generation.0.to_le_bytes());
        for count in [self.frames.len(), self.nodes.len(), self.checksums.len()] {
            let count = u32::try_from(count).expect("a segment holds far fewer than 2^32 receipts");
            out.extend(count.to_le_bytes());
        }
        for (first, offset) in &self.frames {
            out.extend(first.0.to_le_bytes());
            out.extend(offset.0.to_le_bytes());
        }
        for node in &self.nodes {
            out.extend(node.0);
        }
        for checksum in &self.checksums {
            out.extend(checksum.to_le_bytes());
        }
        record::finish(&mut out);
        out
    }

    /// Bytes of the head, after which the leaf hashes follow.
    #[must_use]
    pub fn len(&self) -> u64 {
        (80 + self.frames.len() * 16 + self.nodes.len() * Hash::LEN + self.checksums.len() * 4) as u64
    }

    /// Never true: a head has at least its fixed fields.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The indices this segment holds.
    #[must_use]
    pub fn indices(&self) -> Range<u64> {
        self.id.0.0..self.id.0.0 + self.count
    }

    /// The node at a place of the whole tree, when its level is at least [`NODE_LEVEL`] and its last leaf is in this
    /// segment.
    #[must_use]
    pub fn node(&self, at: NodeCoordinate) -> Option<NodeHash> {
        let level = at.level.checked_sub(NODE_LEVEL)?;
        let below: u64 = node_counts(self.indices()).take(level.into()).sum();
        let [first, end] = [self.id.0.0, self.indices().end].map(|size| size.checked_shr(at.level.into()).unwrap_or(0));
        let within = at.index.checked_sub(first).filter(|_| at.index < end)?;
        self.nodes.get(usize::try_from(below + within).ok()?).copied()
    }

    /// Which bytes of the file hold the block with this leaf, and the index of the block's first leaf.
    #[must_use]
    pub fn block_of(&self, index: LeafIndex) -> Option<(LeafIndex, Range<u64>)> {
        let within = index.0.checked_sub(self.id.0.0).filter(|within| *within < self.count)?;
        let first = within - within % LEAF_BLOCK;
        let end = (first + LEAF_BLOCK).min(self.count);
        let byte = |leaf: u64| self.len() + leaf * Hash::LEN as u64;
        Some((LeafIndex(self.id.0.0 + first), byte(first)..byte(end)))
    }

    /// Checks the bytes of the block that begins at `first` and returns its leaf hashes.
    ///
    /// # Errors
    /// [`FormatError::Checksum`] when they are damaged.
    pub fn decode_block(&self, first: LeafIndex, bytes: &[u8]) -> Result<Vec<LeafHash>, FormatError> {
        let at = usize::try_from((first.0 - self.id.0.0) / LEAF_BLOCK).map_err(|_| FormatError::Truncated)?;
        let found = *self.checksums.get(at).ok_or(FormatError::Truncated)?;
        let expected = crc32fast::hash(bytes);
        if expected != found {
            return Err(FormatError::Checksum { expected, found });
        }
        Ok(bytes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect())
    }

    /// Offset in the segment of the frame that holds this leaf, and the frame's first index.
    #[must_use]
    pub fn frame_of(&self, index: LeafIndex) -> Option<(LeafIndex, ByteOffset)> {
        let after = self.frames.partition_point(|(first, _)| *first <= index);
        self.frames.get(after.checked_sub(1)?).copied()
    }
}

fn take<'a, const N: usize>(input: &mut Reader<'a>, count: usize) -> Result<&'a [[u8; N]], FormatError> {
    let bytes = count.checked_mul(N).ok_or(FormatError::Truncated)?;
    Ok(input.bytes(bytes)?.as_chunks::<N>().0)
}

fn decode_frame(bytes: &[u8; 16]) -> Result<(LeafIndex, ByteOffset), FormatError> {
    let mut input = Reader::new(bytes);
    let (first, offset) = (LeafIndex(input.u64()?), ByteOffset(input.u64()?));
    if !offset.0.is_multiple_of(FRAME_ALIGN) {
        return Err(FormatError::NotCanonical { rule: "frames are aligned" });
    }
    Ok((first, offset))
}

/// Number of nodes whose last leaf is in the range, for each level from [`NODE_LEVEL`] up, until there is none.
fn node_counts(indices: Range<u64>) -> impl Iterator<Item = u64> {
    (u32::from(NODE_LEVEL)..u64::BITS)
        .map(move |level| (indices.end >> level) - (indices.start >> level))
        .take_while(|count| *count > 0)
}

/// Nodes of [`NODE_LEVEL`] and above that `leaves` complete behind the tree `before`, level by level.
fn completed_nodes(before: &Frontier, leaves: &[LeafHash]) -> Vec<NodeHash> {
    let mut tree = before.clone();
    let mut levels: Vec<Vec<NodeHash>> = Vec::new();
    for leaf in leaves {
        tree.push(*leaf, |at, node| {
            let Some(level) = at.level.checked_sub(NODE_LEVEL).map(usize::from) else { return };
            if level == levels.len() {
                levels.push(Vec::new());
            }
            levels[level].push(node);
        });
    }
    levels.concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn leaves(first: u64, count: u64) -> Vec<LeafHash> {
        (first..first + count).map(|n| Hash::of_envelope(&n.to_le_bytes())).collect()
    }

    fn file(first: u64, count: u64) -> Vec<u8> {
        let frames: Vec<_> =
            (0..count).step_by(100).map(|n| (LeafIndex(first + n), ByteOffset((n + 1) * FRAME_ALIGN))).collect();
        let id = SegmentId(LeafIndex(first));
        let before = tree(first, |_, _| ());
        LeafFile::encode(Hash([1; 32]), id, Generation(0), &before, &frames, &leaves(first, count))
    }

    fn tree(size: u64, mut completed: impl FnMut(NodeCoordinate, NodeHash)) -> Frontier {
        let mut tree = Frontier::empty();
        for leaf in leaves(0, size) {
            tree.push(leaf, &mut completed);
        }
        tree
    }

    /// Changes a head as a hostile writer would, who repairs the checksum.
    fn decode_changed(file: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Result<LeafFileHead, FormatError> {
        let ShortPreamble(len) = ShortPreamble::decode(file).unwrap();
        let mut head = file[..len].to_vec();
        change(&mut head);
        record::finish(&mut head);
        LeafFileHead::decode(&head)
    }

    fn head(file: &[u8]) -> LeafFileHead {
        let ShortPreamble(len) = ShortPreamble::decode(file).unwrap();
        LeafFileHead::decode(&file[..len]).unwrap()
    }

    proptest! {
        #[test]
        fn every_leaf_of_a_file_is_found_again(first in 0u64..1000, count in 1u64..1500, at in any::<prop::sample::Index>()) {
            let file = file(first, count);
            let head = head(&file);
            prop_assert_eq!(head.indices(), first..first + count);
            let index = LeafIndex(first + at.index(usize::try_from(count).unwrap()) as u64);
            let (start, bytes) = head.block_of(index).unwrap();
            let range = usize::try_from(bytes.start).unwrap()..usize::try_from(bytes.end).unwrap();
            let block = head.decode_block(start, &file[range]).unwrap();
            let within = usize::try_from(index.0 - start.0).unwrap();
            prop_assert_eq!(block[within], Hash::of_envelope(&index.0.to_le_bytes()));
            let (frame, _) = head.frame_of(index).unwrap();
            prop_assert_eq!(frame.0, index.0 - (index.0 - first) % 100);
            prop_assert!(head.block_of(LeafIndex(first + count)).is_none());
        }

        #[test]
        fn changed_bytes_under_a_repaired_checksum_are_refused_or_canonical(
            first in 0u64..1000, count in 1u64..1500, at in any::<prop::sample::Index>(), flip in 1u8..
        ) {
            let file = file(first, count);
            let ShortPreamble(len) = ShortPreamble::decode(&file).unwrap();
            let mut head = file[..len].to_vec();
            let at = 16 + at.index(len - 16);
            head[at] ^= flip;
            record::finish(&mut head);
            fuzzing::leaf_file(&head);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn a_file_has_the_nodes_that_end_in_its_segment(first in 0u64..5000, count in 1u64..1500) {
            let mut ending = BTreeMap::new();
            let whole = tree(first + count, |at, node| {
                let last = ((at.index + 1) << at.level) - 1;
                if at.level >= NODE_LEVEL && last >= first { ending.insert((at.level, at.index), node); }
            });
            let head = head(&file(first, count));
            prop_assert_eq!(head.nodes.len(), ending.len());
            for level in 0..=u8::MAX {
                let positions = whole.size().0.checked_shr(level.into()).unwrap_or(0) + 2;
                for index in (0..positions).chain([u64::MAX]) {
                    let node = head.node(NodeCoordinate { level, index });
                    prop_assert_eq!(node, ending.get(&(level, index)).copied());
                }
            }
        }
    }

    #[test]
    fn a_node_too_many_is_refused() {
        let error = FormatError::NotCanonical { rule: "there is one node for each that ends in the segment" };
        let one_more = decode_changed(&file(5, 300), |head| {
            head[72] += 1;
            head.splice(80 + 3 * 16..80 + 3 * 16, [7; 32]);
        });
        assert_eq!(one_more, Err(error));
    }

    #[test]
    fn a_count_beyond_64_bits_is_refused() {
        let changed = decode_changed(&file(5, 3), |head| head[56..64].fill(0xff));
        assert_eq!(changed, Err(FormatError::NotCanonical { rule: "indices fit 64 bits" }));
    }

    #[test]
    fn a_frame_behind_the_segment_is_refused() {
        let changed = decode_changed(&file(5, 300), |head| head[48 + 64 + 1] = 9);
        assert_eq!(changed, Err(FormatError::NotCanonical { rule: "frames begin in the segment" }));
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let good = file(5, 300);
        let ShortPreamble(len) = ShortPreamble::decode(&good).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            let noticed = if at < len {
                ShortPreamble::decode(&bad)
                    .and_then(|short| LeafFileHead::decode(bad.get(..short.0).unwrap_or(&bad)))
                    .is_err()
            } else {
                let head = head(&bad);
                let index = LeafIndex(5 + ((at - len) / 32) as u64);
                let (first, range) = head.block_of(index).unwrap();
                let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
                head.decode_block(first, &bad[range]).is_err()
            };
            assert!(noticed, "{at}");
        }
    }
}
