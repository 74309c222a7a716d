//! What the catalog keeps: an entry for each stream, and a cursor.

use counterfoil_proof::{Envelope, Hash, Kind, LeafHash, LeafIndex, Reader, Timestamp, TreeSize};

/// Kinds listed for one stream; of more of them it is only said that there are.
pub(super) const KINDS_MAX: usize = 16;

/// Raised whenever an entry, a cursor or a key changes: a catalog of another version is made anew.
const VERSION: u32 = 1;

/// What is known of one stream.
///
/// Stored little-endian: first index 8, its time 8, last index 8, its time 8, number of receipts 8, flags 1 (1 closed,
/// 2 more kinds), number of kinds 1, each kind with its length 1 before it, ascending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) first: LeafIndex,
    pub(super) first_time: Timestamp,
    pub(super) last: LeafIndex,
    pub(super) last_time: Timestamp,
    pub(super) receipts: u64,
    pub(super) closed: bool,
    /// Ascending.
    pub(super) kinds: Vec<Kind>,
    pub(super) more_kinds: bool,
}

impl Entry {
    const CLOSED: u8 = 1;
    const MORE_KINDS: u8 = 2;

    /// A stretch of one receipt.
    pub(super) fn of(envelope: &Envelope) -> Self {
        Self {
            first: envelope.index,
            first_time: envelope.time,
            last: envelope.index,
            last_time: envelope.time,
            receipts: 1,
            closed: envelope.closes_stream,
            kinds: vec![envelope.kind.clone()],
            more_kinds: false,
        }
    }

    /// Takes in the stream's next receipt.
    pub(super) fn push(&mut self, envelope: &Envelope) {
        self.last = envelope.index;
        self.last_time = envelope.time;
        self.receipts += 1;
        self.closed = envelope.closes_stream;
        self.add_kind(&envelope.kind);
    }

    /// Takes in a later stretch of the same stream.
    pub(super) fn extend(&mut self, later: &Self) {
        self.last = later.last;
        self.last_time = later.last_time;
        self.receipts += later.receipts;
        self.closed = later.closed;
        self.more_kinds |= later.more_kinds;
        later.kinds.iter().for_each(|kind| self.add_kind(kind));
    }

    fn add_kind(&mut self, kind: &Kind) {
        match self.kinds.binary_search(kind) {
            Ok(_) => {}
            Err(_) if self.kinds.len() == KINDS_MAX => self.more_kinds = true,
            Err(place) => self.kinds.insert(place, kind.clone()),
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        for number in [self.first.0, self.first_time.0, self.last.0, self.last_time.0, self.receipts] {
            out.extend(number.to_le_bytes());
        }
        let flag = |set, bit| if set { bit } else { 0 };
        out.push(flag(self.closed, Self::CLOSED) | flag(self.more_kinds, Self::MORE_KINDS));
        out.push(u8::try_from(self.kinds.len()).expect("at most KINDS_MAX"));
        for kind in &self.kinds {
            let kind = kind.as_str().as_bytes();
            out.push(u8::try_from(kind.len()).expect("a kind has at most 64 bytes"));
            out.extend(kind);
        }
        out
    }

    /// Reads an entry; `None` for bytes that are none.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes);
        let mut number = || input.u64().ok();
        let [first, first_time, last, last_time, receipts] = [number()?, number()?, number()?, number()?, number()?];
        let flags = input.u8().ok()?;
        let count = usize::from(input.u8().ok()?);
        let mut kinds = Vec::with_capacity(count.min(KINDS_MAX));
        for _ in 0..count {
            let len = usize::from(input.u8().ok()?);
            kinds.push(Kind::from_bytes(input.bytes(len).ok()?).ok()?);
        }
        let entry = Self {
            first: LeafIndex(first),
            first_time: Timestamp(first_time),
            last: LeafIndex(last),
            last_time: Timestamp(last_time),
            receipts,
            closed: flags & Self::CLOSED != 0,
            kinds,
            more_kinds: flags & Self::MORE_KINDS != 0,
        };
        (entry.encode() == bytes).then_some(entry)
    }
}

/// How far the ledger was taken in.
///
/// Stored little-endian: version 4, ledger id 32, tree size 8, leaf hash of the last receipt 32, number of streams 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) ledger_id: LeafHash,
    pub(super) taken_in: TreeSize,
    /// Leaf hash of the last receipt taken in; it tells histories of the same ledger apart. Zero before the first.
    pub(super) last_leaf: LeafHash,
    /// Streams with an entry.
    pub(super) streams: u64,
}

impl Cursor {
    /// Before the first receipt.
    pub(super) fn at_start(ledger_id: LeafHash) -> Self {
        Self { ledger_id, taken_in: TreeSize(0), last_leaf: Hash::ZERO, streams: 0 }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(84);
        out.extend(VERSION.to_le_bytes());
        out.extend(self.ledger_id.0);
        out.extend(self.taken_in.0.to_le_bytes());
        out.extend(self.last_leaf.0);
        out.extend(self.streams.to_le_bytes());
        out
    }

    /// Reads a cursor; `None` for bytes that are none of this version.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut input = Reader::new(bytes);
        if input.u32().ok()? != VERSION {
            return None;
        }
        let cursor = Self {
            ledger_id: Hash(input.array().ok()?),
            taken_in: TreeSize(input.u64().ok()?),
            last_leaf: Hash(input.array().ok()?),
            streams: input.u64().ok()?,
        };
        input.is_empty().then_some(cursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kinds: usize) -> Entry {
        let kinds = (0..kinds).map(|n| Kind::new(&format!("k{n:02}/1")).unwrap()).collect();
        Entry {
            first: LeafIndex(3),
            first_time: Timestamp(4),
            last: LeafIndex(5),
            last_time: Timestamp(6),
            receipts: 2,
            closed: true,
            kinds,
            more_kinds: false,
        }
    }

    #[test]
    fn entries_and_cursors_survive_the_round_trip() {
        for kinds in [1, KINDS_MAX] {
            assert_eq!(Entry::decode(&entry(kinds).encode()), Some(entry(kinds)));
        }
        let cursor = Cursor { streams: 7, ..Cursor::at_start(Hash([1; 32])) };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
    }

    #[test]
    fn bytes_that_are_no_entry_are_none() {
        let good = entry(2).encode();
        let mut unknown_flag = good.clone();
        unknown_flag[40] |= 4;
        let longer = [good.as_slice(), &[0]].concat();
        for bad in [&good[..good.len() - 1], &unknown_flag, &longer, &[]] {
            assert_eq!(Entry::decode(bad), None);
        }
    }

    #[test]
    fn a_cursor_of_another_version_is_none() {
        let mut bytes = Cursor::at_start(Hash([1; 32])).encode();
        bytes[0] += 1;
        assert_eq!(Cursor::decode(&bytes), None);
    }

    #[test]
    fn of_too_many_kinds_it_is_only_said_that_there_are_more() {
        let mut full = entry(KINDS_MAX);
        full.extend(&Entry { kinds: vec![Kind::new("k03/1").unwrap()], ..entry(0) });
        assert!(!full.more_kinds, "a kind that is listed is no further one");
        full.extend(&Entry { kinds: vec![Kind::new("z/1").unwrap()], ..entry(0) });
        assert_eq!((full.kinds.len(), full.more_kinds), (KINDS_MAX, true));
    }
}
