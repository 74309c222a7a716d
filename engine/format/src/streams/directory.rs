//! The directory of a stream index: finds the block that can hold a record.

use super::filter::{self, NameHash};
use super::{
    STREAM_BLOCK_LEN_MAX, STREAM_BLOCK_TARGET, STREAM_DIRECTORY_LEN_MAX, STREAM_TRAILER_LEN, StreamRecord, block,
};
use crate::ByteOffset;
use crate::error::FormatError;
use crate::record;
use core::ops::Range;
use counterfoil_proof::{Hash, LeafHash, LeafIndex, Reader, StreamName, StreamSeq, TreeSize};

const MAGIC: &[u8; 8] = b"CFSTRMD1";
const TRAILER_MAGIC: &[u8; 8] = b"CFSTRMS1";

/// Everything of a stream index but its records. It follows the blocks; the file ends with a trailer of 16 bytes:
/// `CFSTRMS1`, then the directory's offset.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFSTRMD1` |
/// | 16 | 32 | ledger id |
/// | 48 | 8 | index of the first receipt covered |
/// | 56 | 8 | tree size after the last receipt covered |
/// | 64 | 8 | number of streams that begin here: records whose first `stream_seq` is 0 |
/// | 72 | 4 | number of blocks |
/// | 76 | 4 | zero |
/// | 80 | … each | blocks |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamDirectory {
    /// Leaf hash of index 0.
    pub ledger_id: LeafHash,
    /// Index of the first receipt covered.
    pub first: LeafIndex,
    /// Tree size after the last receipt covered.
    pub end: TreeSize,
    /// Number of streams whose first receipt is covered.
    pub streams_begun: u64,
    blocks: Vec<Block>,
    digest: Hash,
}

/// One block of the directory.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | offset of the block in the file |
/// | 8 | 4 | length of the block |
/// | 12 | 4 | number of different names in it |
/// | 16 | 8 | first `stream_seq` of its first record |
/// | 24 | 32 | BLAKE3 of the block |
/// | 56 | 1 | length of the name in its first record |
/// | 57 | … | that name |
/// | … | … | filter over its names |
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) range: Range<u64>,
    pub(super) names: usize,
    pub(super) stream: StreamName,
    pub(super) first_seq: StreamSeq,
    pub(super) digest: Hash,
    pub(super) filter: Box<[u8]>,
}

impl Block {
    fn check_digest(&self, bytes: &[u8]) -> Result<(), FormatError> {
        let expected = digest_of(bytes);
        if expected == self.digest { Ok(()) } else { Err(FormatError::Digest { expected, found: self.digest }) }
    }
}

impl StreamDirectory {
    /// Reads the last 16 bytes of a file: where its directory begins, or `None` when it is no stream index.
    #[must_use]
    pub fn locate(trailer: &[u8; STREAM_TRAILER_LEN]) -> Option<ByteOffset> {
        let (magic, at) = trailer.split_first_chunk::<8>()?;
        let at = u64::from_le_bytes(at.try_into().ok()?);
        (magic == TRAILER_MAGIC).then_some(ByteOffset(at))
    }

    /// Reads a directory with its trailer: the bytes from its offset to the end of the file.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8], at: ByteOffset) -> Result<Self, FormatError> {
        let body = record::open(MAGIC, bytes, STREAM_DIRECTORY_LEN_MAX)?;
        let (whole, trailer) = bytes.split_at(record::PREAMBLE_LEN + body.len());
        let trailer = trailer
            .try_into()
            .map_err(|_| FormatError::NotCanonical { rule: "a trailer of 16 bytes follows the directory" })?;
        if Self::locate(trailer) != Some(at) {
            return Err(FormatError::NotCanonical { rule: "the trailer names the directory's offset" });
        }
        let mut input = Reader::new(body);
        let ledger_id = Hash(input.array()?);
        let [first, end, streams_begun] = [input.u64()?, input.u64()?, input.u64()?];
        let count = input.u32()?;
        record::all_zero(input.bytes(4)?, "reserved bytes are zero")?;
        let blocks = (0..count).map(|_| decode_entry(&mut input)).collect::<Result<Vec<_>, _>>()?;
        if !input.is_empty() {
            return Err(FormatError::NotCanonical { rule: "the directory ends with its blocks" });
        }
        if first >= end {
            return Err(FormatError::NotCanonical { rule: "a stream index covers at least one receipt" });
        }
        check_places(&blocks, at)?;
        check_keys(&blocks)?;
        check_streams_begun(&blocks, streams_begun)?;
        Ok(Self {
            ledger_id,
            first: LeafIndex(first),
            end: TreeSize(end),
            streams_begun,
            blocks,
            digest: digest_of(whole),
        })
    }

    /// BLAKE3 of the directory, which the manifest states.
    #[must_use]
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// The block that holds the last record of the stream whose first `stream_seq` is at most `seq`, if its filter
    /// admits the stream. The record may still not be there; then no block has it.
    #[must_use]
    pub fn find(&self, stream: &StreamName, seq: StreamSeq) -> Option<usize> {
        // Records ascend by (name, first stream_seq), so the last one at or below the key stands in the last block
        // that begins at or below it.
        let after = self.blocks.partition_point(|block| (&block.stream, block.first_seq) <= (stream, seq));
        let at = after.checked_sub(1)?;
        filter::admits(&self.blocks[at].filter, stream).then_some(at)
    }

    /// Number of blocks.
    #[must_use]
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Which bytes of the file hold a block.
    ///
    /// # Panics
    /// When `n` is not below [`StreamDirectory::blocks`].
    #[must_use]
    pub fn block_range(&self, n: usize) -> Range<u64> {
        self.blocks[n].range.clone()
    }

    /// Checks the bytes of a block and returns its records.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong; [`FormatError::Digest`] when the bytes are damaged.
    ///
    /// # Panics
    /// When `n` is not below [`StreamDirectory::blocks`].
    pub fn decode_block(&self, n: usize, bytes: &[u8]) -> Result<Vec<StreamRecord>, FormatError> {
        let block = &self.blocks[n];
        block.check_digest(bytes)?;
        let records = block::decode(bytes, self.first, self.end)?;
        check_contents(block, &records)?;
        if let (Some(last), Some(next)) = (records.last(), self.blocks.get(n + 1)) {
            block::check_successor(last, &next.stream, next.first_seq)?;
        }
        Ok(records)
    }

    /// The last record of a stream that begins at or before `seq` in the bytes of a block, if there is one. The digest is
    /// checked; the rules of the block are not, beyond what it takes to find the record.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong; [`FormatError::Digest`] when the bytes are damaged.
    ///
    /// # Panics
    /// When `n` is not below [`StreamDirectory::blocks`].
    pub fn find_in_block(
        &self,
        n: usize,
        bytes: &[u8],
        stream: &StreamName,
        seq: StreamSeq,
    ) -> Result<Option<StreamRecord>, FormatError> {
        self.blocks[n].check_digest(bytes)?;
        block::find(bytes, (self.first, self.end), (stream, seq))
    }

    /// The bytes from the directory's offset to the end of the file.
    #[must_use]
    pub(crate) fn encode(&self) -> Vec<u8> {
        let covered = self.first..self.end.next_index();
        let mut out = encode(self.ledger_id, covered, self.streams_begun, &self.blocks);
        out.extend(trailer(self.blocks.last().map_or(0, |block| block.range.end)));
        out
    }
}

/// The bytes of a directory, without the trailer.
pub(super) fn encode(ledger_id: LeafHash, covered: Range<LeafIndex>, streams_begun: u64, blocks: &[Block]) -> Vec<u8> {
    let mut out = record::begin(MAGIC, 80);
    out.extend(ledger_id.0);
    for value in [covered.start.0, covered.end.0, streams_begun] {
        out.extend(value.to_le_bytes());
    }
    out.extend(u32::try_from(blocks.len()).expect("far fewer than 2^32 blocks").to_le_bytes());
    out.extend([0; 4]);
    for block in blocks {
        let small = |value: u64| u32::try_from(value).expect("blocks are at most 20 480 bytes");
        out.extend(block.range.start.to_le_bytes());
        out.extend(small(block.range.end - block.range.start).to_le_bytes());
        out.extend(small(block.names as u64).to_le_bytes());
        out.extend(block.first_seq.0.to_le_bytes());
        out.extend(block.digest.0);
        let name = block.stream.as_str().as_bytes();
        out.push(u8::try_from(name.len()).expect("stream names are at most 128 bytes"));
        out.extend(name);
        out.extend(&block.filter);
    }
    assert!(
        out.len() <= STREAM_DIRECTORY_LEN_MAX,
        "a stream index covers so many streams that its directory is too long"
    );
    record::finish(&mut out);
    out
}

/// The trailer of a file whose directory begins at `at`.
pub(super) fn trailer(at: u64) -> [u8; STREAM_TRAILER_LEN] {
    let mut trailer = [0; STREAM_TRAILER_LEN];
    trailer[..8].copy_from_slice(TRAILER_MAGIC);
    trailer[8..].copy_from_slice(&at.to_le_bytes());
    trailer
}

fn digest_of(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}

fn decode_entry(input: &mut Reader<'_>) -> Result<Block, FormatError> {
    let offset = input.u64()?;
    let [len, names] = [input.u32()? as usize, input.u32()? as usize];
    let first_seq = StreamSeq(input.u64()?);
    let digest = Hash(input.array()?);
    let name_len = input.u8()?;
    let stream = StreamName::from_bytes(input.bytes(name_len.into())?)
        .map_err(|error| FormatError::Name { field: "stream", error })?;
    if len > STREAM_BLOCK_LEN_MAX {
        let [max, found] = [STREAM_BLOCK_LEN_MAX, len].map(|len| len as u64);
        return Err(FormatError::TooLong { field: "length of a block", max, found });
    }
    if names == 0 || names > len {
        return Err(FormatError::NotCanonical { rule: "a block has records, and at most one name for each" });
    }
    let end = offset.checked_add(len as u64).ok_or(FormatError::Truncated)?;
    let filter = input.bytes(filter::filter_len(names))?.into();
    Ok(Block { range: offset..end, names, stream, first_seq, digest, filter })
}

/// Blocks fill the file up to the directory, and every one but the last is full.
fn check_places(blocks: &[Block], at: ByteOffset) -> Result<(), FormatError> {
    let mut end = 0;
    for block in blocks {
        if block.range.start != end {
            return Err(FormatError::NotCanonical { rule: "blocks follow each other without gap" });
        }
        end = block.range.end;
    }
    if end != at.0 || blocks.is_empty() {
        return Err(FormatError::NotCanonical { rule: "the directory follows the last block" });
    }
    let full = |block: &Block| block.range.end - block.range.start >= STREAM_BLOCK_TARGET as u64;
    if blocks[..blocks.len() - 1].iter().all(full) {
        Ok(())
    } else {
        Err(FormatError::NotCanonical { rule: "every block but the last is full" })
    }
}

fn check_keys(blocks: &[Block]) -> Result<(), FormatError> {
    if blocks.is_sorted_by(|a, b| (&a.stream, a.first_seq) < (&b.stream, b.first_seq)) {
        Ok(())
    } else {
        Err(FormatError::NotCanonical { rule: "blocks ascend by their first record" })
    }
}

fn check_streams_begun(blocks: &[Block], streams_begun: u64) -> Result<(), FormatError> {
    let max = blocks.iter().map(|block| block.names as u64).sum();
    if streams_begun > max {
        return Err(FormatError::TooLong { field: "number of streams begun", max, found: streams_begun });
    }
    Ok(())
}

/// What the directory says of a block is what its records say.
fn check_contents(block: &Block, records: &[StreamRecord]) -> Result<(), FormatError> {
    if records.first().is_none_or(|first| first.stream != block.stream || first.first_seq != block.first_seq) {
        return Err(FormatError::NotCanonical { rule: "the directory names the first record of a block" });
    }
    let names: Vec<NameHash> =
        records.chunk_by(|a, b| a.stream == b.stream).map(|records| NameHash::of(&records[0].stream)).collect();
    if names.len() != block.names {
        return Err(FormatError::NotCanonical { rule: "the directory counts the names of a block" });
    }
    if filter::build(&names) != block.filter {
        return Err(FormatError::NotCanonical { rule: "the filter has the bits of the names and no others" });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::StreamIndexBuilder;

    /// Three blocks over 400 streams of long names, and the bytes of the file.
    fn example() -> (StreamDirectory, Vec<u8>) {
        let mut builder = StreamIndexBuilder::new(Hash([7; 32]), LeafIndex(0), TreeSize(400));
        for number in 0..400 {
            let stream = StreamName::new(&format!("{number:03}{}", "x".repeat(100))).unwrap();
            builder.push(&stream, StreamSeq(0), &[LeafIndex(399 - number)]);
        }
        let file = builder.finish().rest;
        let at = StreamDirectory::locate(file.last_chunk().unwrap()).unwrap();
        let bytes = &file[usize::try_from(at.0).unwrap()..];
        (StreamDirectory::decode(bytes, at).unwrap(), file)
    }

    /// What is said of a directory that was changed before it was written.
    fn rule(change: impl FnOnce(&mut StreamDirectory)) -> Option<FormatError> {
        let (mut directory, _) = example();
        change(&mut directory);
        let at = ByteOffset(directory.blocks.last().map_or(0, |block| block.range.end));
        StreamDirectory::decode(&directory.encode(), at).err()
    }

    fn broken(rule: &'static str) -> Option<FormatError> {
        Some(FormatError::NotCanonical { rule })
    }

    #[test]
    fn a_directory_reads_back() {
        let (directory, file) = example();
        assert_eq!(directory.blocks(), 3);
        assert_eq!(rule(|_| ()), None);
        assert!(file.ends_with(&directory.encode()));
    }

    #[test]
    fn blocks_leave_no_gap() {
        assert_eq!(rule(|it| it.blocks[1].range.start += 1), broken("blocks follow each other without gap"));
        assert_eq!(rule(|it| it.blocks[0].range.start += 1), broken("blocks follow each other without gap"));
    }

    #[test]
    fn a_block_closed_early_is_refused() {
        let change = |it: &mut StreamDirectory| {
            it.blocks[0].range.end = 16_383;
            it.blocks[1].range.start = 16_383;
        };
        assert_eq!(rule(change), broken("every block but the last is full"));
    }

    #[test]
    fn a_block_that_is_too_long_is_refused() {
        let error = FormatError::TooLong { field: "length of a block", max: 20_480, found: 20_481 };
        let change = |it: &mut StreamDirectory| it.blocks[2].range.end = it.blocks[2].range.start + 20_481;
        assert_eq!(rule(change), Some(error));
    }

    #[test]
    fn a_directory_without_blocks_is_refused() {
        let change = |it: &mut StreamDirectory| it.blocks.clear();
        assert_eq!(rule(change), broken("the directory follows the last block"));
    }

    #[test]
    fn a_directory_with_a_gap_before_it_is_refused() {
        let (directory, _) = example();
        let mut bytes = directory.encode();
        let at = directory.blocks[2].range.end + 1;
        bytes.truncate(bytes.len() - STREAM_TRAILER_LEN);
        bytes.extend(trailer(at));
        let decoded = StreamDirectory::decode(&bytes, ByteOffset(at));
        assert_eq!(decoded.err(), broken("the directory follows the last block"));
    }

    #[test]
    fn bytes_behind_the_blocks_of_a_directory_are_refused() {
        let (directory, _) = example();
        let mut bytes = directory.encode();
        let end = bytes.len() - STREAM_TRAILER_LEN;
        bytes.insert(end, 0);
        record::finish(&mut bytes[..=end]);
        let decoded = StreamDirectory::decode(&bytes, ByteOffset(directory.blocks[2].range.end));
        assert_eq!(decoded.err(), broken("the directory ends with its blocks"));
    }

    #[test]
    fn a_block_without_records_is_refused() {
        let change = |it: &mut StreamDirectory| {
            it.blocks[2].names = 0;
            it.blocks[2].filter = Box::default();
        };
        assert_eq!(rule(change), broken("a block has records, and at most one name for each"));
    }

    #[test]
    fn blocks_out_of_order_are_refused() {
        let change = |it: &mut StreamDirectory| it.blocks[1].stream = it.blocks[0].stream.clone();
        assert_eq!(rule(change), broken("blocks ascend by their first record"));
    }

    #[test]
    fn a_filter_of_another_length_is_refused() {
        let change = |it: &mut StreamDirectory| it.blocks[2].filter = vec![0; 8].into();
        assert!(rule(change).is_some());
    }

    #[test]
    fn an_index_of_no_receipts_is_refused() {
        let rule = rule(|it| it.end = TreeSize(0));
        assert_eq!(rule, broken("a stream index covers at least one receipt"));
    }

    #[test]
    fn more_streams_begun_than_names_are_refused() {
        let error = FormatError::TooLong { field: "number of streams begun", max: 400, found: 401 };
        assert_eq!(rule(|it| it.streams_begun = 401), Some(error));
    }

    /// What is said of a block whose entry was changed.
    fn rule_of_block(n: usize, change: impl FnOnce(&mut StreamDirectory)) -> Option<FormatError> {
        let (mut directory, file) = example();
        let range = directory.block_range(n);
        change(&mut directory);
        let bytes = &file[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
        directory.decode_block(n, bytes).err()
    }

    #[test]
    fn a_block_is_held_to_its_entry() {
        let name = StreamName::new("0").unwrap();
        let first = broken("the directory names the first record of a block");
        assert_eq!(rule_of_block(1, |_| ()), None);
        assert_eq!(rule_of_block(1, |it| it.blocks[1].stream = name), first);
        assert_eq!(rule_of_block(1, |it| it.blocks[1].first_seq = StreamSeq(1)), first);
        assert_eq!(rule_of_block(1, |it| it.blocks[1].names += 1), broken("the directory counts the names of a block"));
        let bits = broken("the filter has the bits of the names and no others");
        assert_eq!(rule_of_block(1, |it| it.blocks[1].filter.fill(0xff)), bits);
    }

    #[test]
    fn the_next_block_goes_on_behind_the_last_record() {
        let at_first = |n: usize| move |it: &mut StreamDirectory| it.blocks[n].stream = it.blocks[0].stream.clone();
        assert_eq!(rule_of_block(1, at_first(2)), broken("records ascend by name"));
    }
}
