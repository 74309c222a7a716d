//! HEAD: the durable mark, in two slots written in turn.

use crate::ByteOffset;
use crate::error::FormatError;
use crate::record;
use crate::segment::SegmentId;
use counterfoil_proof::{Hash, LeafIndex, Reader, RootHash, TreeSize};

/// Distance between the two slots: each has a sector of its own.
pub const HEAD_SLOT_LEN: usize = 4096;
/// Bytes of the file.
pub const HEAD_FILE_LEN: usize = 2 * HEAD_SLOT_LEN;
const MAGIC: &[u8; 8] = b"CFHEADS1";

/// One slot of HEAD, padded with zeros to 4 096 bytes.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFHEADS1`, length 80 |
/// | 16 | 8 | counter; it goes up by one with every write, its parity is the slot |
/// | 24 | 8 | tree size known durable |
/// | 32 | 8 | first index of the segment that ends there |
/// | 40 | 8 | offset in that segment after the last durable frame |
/// | 48 | 32 | root of the tree of that size |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSlot {
    /// Number of this write.
    pub counter: u64,
    /// Tree size known durable.
    pub size: TreeSize,
    /// The segment that ends there.
    pub segment: SegmentId,
    /// End of the last durable frame in it.
    pub offset: ByteOffset,
    /// Root of the tree of that size.
    pub root: RootHash,
}

impl HeadSlot {
    /// Where in the file this write belongs.
    #[must_use]
    pub fn position(&self) -> ByteOffset {
        ByteOffset((self.counter % 2) * HEAD_SLOT_LEN as u64)
    }

    /// The bytes of the slot.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = record::begin(MAGIC, HEAD_SLOT_LEN);
        for value in [self.counter, self.size.0, self.segment.0.0, self.offset.0] {
            out.extend(value.to_le_bytes());
        }
        out.extend(self.root.0);
        record::finish(&mut out);
        out.resize(HEAD_SLOT_LEN, 0);
        out
    }

    /// Reads a slot at a position of the file.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8], position: ByteOffset) -> Result<Self, FormatError> {
        let body = record::open(MAGIC, bytes, HEAD_SLOT_LEN)?;
        let mut input = Reader::new(body);
        let slot = Self {
            counter: input.u64()?,
            size: TreeSize(input.u64()?),
            segment: SegmentId(LeafIndex(input.u64()?)),
            offset: ByteOffset(input.u64()?),
            root: Hash(input.array()?),
        };
        if !input.is_empty() {
            return Err(FormatError::NotCanonical { rule: "a HEAD slot has 80 bytes" });
        }
        record::all_zero(&bytes[record::PREAMBLE_LEN + body.len()..], "a HEAD slot is padded with zeros")?;
        if slot.position() != position {
            return Err(FormatError::NotCanonical { rule: "the counter's parity is the slot" });
        }
        Ok(slot)
    }
}

/// The valid slot with the highest counter, of the file's bytes; the first error when both are bad.
///
/// # Errors
/// [`FormatError`] of the first slot.
pub fn newest_slot(file: &[u8]) -> Result<HeadSlot, FormatError> {
    let slots = [0, HEAD_SLOT_LEN].map(|at| {
        let bytes = file.get(at..at + HEAD_SLOT_LEN).ok_or(FormatError::Truncated)?;
        HeadSlot::decode(bytes, ByteOffset(at as u64))
    });
    match slots {
        [Ok(a), Ok(b)] => Ok(if a.counter > b.counter { a } else { b }),
        [Ok(one), Err(_)] | [Err(_), Ok(one)] => Ok(one),
        [Err(error), Err(_)] => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(counter: u64) -> HeadSlot {
        HeadSlot {
            counter,
            size: TreeSize(counter * 10),
            segment: SegmentId(LeafIndex(0)),
            offset: ByteOffset(8192),
            root: Hash([1; 32]),
        }
    }

    fn file(counters: [u64; 2]) -> Vec<u8> {
        let mut file = vec![0; HEAD_FILE_LEN];
        for counter in counters {
            let at = usize::try_from(slot(counter).position().0).unwrap();
            file[at..at + HEAD_SLOT_LEN].copy_from_slice(&slot(counter).encode());
        }
        file
    }

    #[test]
    fn the_newest_valid_slot_counts() {
        assert_eq!(newest_slot(&file([4, 5])), Ok(slot(5)));
        assert_eq!(newest_slot(&file([6, 5])), Ok(slot(6)));
        let mut torn = file([4, 5]);
        torn[HEAD_SLOT_LEN + 30] ^= 1;
        assert_eq!(newest_slot(&torn), Ok(slot(4)));
        torn[30] ^= 1;
        assert!(newest_slot(&torn).is_err());
    }

    #[test]
    fn a_slot_in_the_wrong_place_is_refused() {
        assert!(HeadSlot::decode(&slot(4).encode(), ByteOffset(4096)).is_err());
    }

    #[test]
    fn every_flipped_byte_of_a_slot_is_noticed() {
        for at in 0..HEAD_SLOT_LEN {
            let mut bytes = slot(4).encode();
            bytes[at] ^= 0x10;
            assert!(HeadSlot::decode(&bytes, ByteOffset(0)).is_err(), "{at}");
        }
    }
}
