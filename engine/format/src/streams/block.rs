//! Records of a block.

use super::{STREAM_BLOCK_TARGET, STREAM_RECORD_POSITIONS, StreamRecord};
use crate::error::FormatError;
use crate::varint;
use core::cmp::Ordering;
use counterfoil_proof::{LeafIndex, Reader, STREAM_LEN_MAX, StreamName, StreamSeq, TreeSize};

/// Appends one record to a block whose latest name is `previous`.
pub(super) fn encode_record(out: &mut Vec<u8>, previous: Option<&StreamName>, first: LeafIndex, record: &StreamRecord) {
    let name = record.stream.as_str().as_bytes();
    let shared = shared_len(previous, name);
    varint::write(out, shared as u64);
    varint::write(out, (name.len() - shared) as u64);
    out.extend(&name[shared..]);
    varint::write(out, record.first_seq.0);
    varint::write(out, record.positions.len() as u64);
    let mut before = first;
    for position in &record.positions {
        varint::write(out, position.0 - before.0);
        before = *position;
    }
}

/// Reads the records of a block of a file that covers `first` to `end`.
pub(crate) fn decode(bytes: &[u8], first: LeafIndex, end: TreeSize) -> Result<Vec<StreamRecord>, FormatError> {
    let mut input = Reader::new(bytes);
    let mut records: Vec<StreamRecord> = Vec::new();
    while !input.is_empty() {
        if bytes.len() - input.rest().len() >= STREAM_BLOCK_TARGET {
            return Err(FormatError::NotCanonical { rule: "a block ends with the record that fills it" });
        }
        let record = decode_record(&mut input, records.last().map(|record| &record.stream), first, end)?;
        if let Some(previous) = records.last() {
            check_successor(previous, &record.stream, record.first_seq)?;
            if previous.stream == record.stream && previous.positions.last() >= record.positions.first() {
                return Err(FormatError::NotCanonical { rule: "positions of a stream ascend" });
            }
        }
        records.push(record);
    }
    Ok(records)
}

/// The last record of a stream that begins at or before `seq` in a block whose digest was checked. Of the records before
/// it only what is needed to pass over them is looked at.
pub(super) fn find(
    bytes: &[u8],
    (first, end): (LeafIndex, TreeSize),
    (stream, seq): (&StreamName, StreamSeq),
) -> Result<Option<StreamRecord>, FormatError> {
    let wanted = stream.as_str().as_bytes();
    let mut input = Reader::new(bytes);
    let mut name: Vec<u8> = Vec::with_capacity(STREAM_LEN_MAX);
    let mut found = None;
    while !input.is_empty() {
        let [shared, rest] = [varint::read(&mut input)?, varint::read(&mut input)?];
        name.truncate(usize::try_from(shared).map_err(|_| FormatError::Truncated)?);
        name.extend(input.bytes(usize::try_from(rest).map_err(|_| FormatError::Truncated)?)?);
        if name.as_slice() > wanted {
            break;
        }
        if name == wanted {
            let positions = decode_positions(&mut input, first, end)?;
            if positions.first_seq > seq {
                break;
            }
            let Positions { first_seq, positions } = positions;
            found = Some(StreamRecord { stream: stream.clone(), first_seq, positions });
        } else {
            let [_first_seq, count] = [varint::read(&mut input)?, varint::read(&mut input)?];
            for _ in 0..count {
                varint::read(&mut input)?;
            }
        }
    }
    Ok(found)
}

/// Refuses a record that cannot stand behind `previous`: another order, a gap in a stream, a record closed early.
pub(super) fn check_successor(
    previous: &StreamRecord,
    stream: &StreamName,
    first_seq: StreamSeq,
) -> Result<(), FormatError> {
    match previous.stream.cmp(stream) {
        Ordering::Less => Ok(()),
        Ordering::Greater => Err(FormatError::NotCanonical { rule: "records ascend by name" }),
        Ordering::Equal if previous.next_seq() != first_seq => {
            Err(FormatError::NotCanonical { rule: "records of a stream follow each other without gap" })
        }
        Ordering::Equal if previous.positions.len() < STREAM_RECORD_POSITIONS => {
            Err(FormatError::NotCanonical { rule: "only the last record of a stream has fewer than 256 positions" })
        }
        Ordering::Equal => Ok(()),
    }
}

fn decode_record(
    input: &mut Reader<'_>,
    previous: Option<&StreamName>,
    first: LeafIndex,
    end: TreeSize,
) -> Result<StreamRecord, FormatError> {
    let stream = decode_name(input, previous)?;
    let Positions { first_seq, positions } = decode_positions(input, first, end)?;
    Ok(StreamRecord { stream, first_seq, positions })
}

/// A record without its name.
struct Positions {
    first_seq: StreamSeq,
    positions: Vec<LeafIndex>,
}

fn decode_positions(input: &mut Reader<'_>, first: LeafIndex, end: TreeSize) -> Result<Positions, FormatError> {
    let first_seq = StreamSeq(varint::read(input)?);
    let count = varint::read(input)?;
    if count == 0 {
        return Err(FormatError::NotCanonical { rule: "a record has positions" });
    }
    if count > STREAM_RECORD_POSITIONS as u64 {
        let max = STREAM_RECORD_POSITIONS as u64;
        return Err(FormatError::TooLong { field: "number of positions", max, found: count });
    }
    let mut positions: Vec<LeafIndex> = Vec::new();
    for _ in 0..count {
        let step = varint::read(input)?;
        if step == 0 && !positions.is_empty() {
            return Err(FormatError::NotCanonical { rule: "positions of a stream ascend" });
        }
        let before = positions.last().copied().unwrap_or(first);
        let position = before.0.checked_add(step).map(LeafIndex).filter(|position| end.contains(*position));
        positions.push(position.ok_or(FormatError::NotCanonical { rule: "positions are among those covered" })?);
    }
    if positions[0].0 < first_seq.0 {
        return Err(FormatError::NotCanonical { rule: "a stream_seq is at most the index" });
    }
    Ok(Positions { first_seq, positions })
}

fn decode_name(input: &mut Reader<'_>, previous: Option<&StreamName>) -> Result<StreamName, FormatError> {
    let [shared, rest] = [varint::read(input)?, varint::read(input)?];
    let rest = input.bytes(usize::try_from(rest).map_err(|_| FormatError::Truncated)?)?;
    let before = previous.map_or(&[][..], |name| name.as_str().as_bytes());
    let start = usize::try_from(shared).ok().and_then(|shared| before.get(..shared));
    let start = start.ok_or(FormatError::NotCanonical { rule: "a name shares bytes with the one before it" })?;
    if let Some(same) = previous.filter(|_| rest.is_empty() && start.len() == before.len()) {
        return Ok(same.clone());
    }
    let name = [start, rest].concat();
    if shared_len(previous, &name) != start.len() {
        return Err(FormatError::NotCanonical { rule: "a name shares as many bytes as it can" });
    }
    StreamName::from_bytes(&name).map_err(|error| FormatError::Name { field: "stream", error })
}

/// Length of the longest common prefix.
fn shared_len(previous: Option<&StreamName>, name: &[u8]) -> usize {
    let previous = previous.map_or(&[][..], |name| name.as_str().as_bytes());
    previous.iter().zip(name).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A record over a file of the indices 100 to 999: shared bytes, rest, first `stream_seq`, steps.
    type Written<'a> = (u64, &'a str, u64, &'a [u64]);

    fn written(records: &[Written<'_>]) -> Vec<u8> {
        let mut out = Vec::new();
        for (shared, rest, first_seq, steps) in records {
            varint::write(&mut out, *shared);
            varint::write(&mut out, rest.len() as u64);
            out.extend(rest.as_bytes());
            varint::write(&mut out, *first_seq);
            varint::write(&mut out, steps.len() as u64);
            for step in *steps {
                varint::write(&mut out, *step);
            }
        }
        out
    }

    fn decode_covered(bytes: &[u8]) -> Result<Vec<StreamRecord>, FormatError> {
        decode(bytes, LeafIndex(100), TreeSize(1000))
    }

    #[test]
    fn records_read_back() {
        let full = [1; 256];
        let block = written(&[(0, "a", 7, &[0, 1, 898]), (1, "b", 0, &full), (2, "", 256, &[700]), (0, "c", 0, &[4])]);
        let records = decode_covered(&block).unwrap();
        let shown: Vec<_> = records
            .iter()
            .map(|record| (record.stream.as_str(), record.first_seq.0, record.positions[0].0, record.positions.len()))
            .collect();
        assert_eq!(shown, [("a", 7, 100, 3), ("ab", 0, 101, 256), ("ab", 256, 800, 1), ("c", 0, 104, 1)]);
        let mut again = Vec::new();
        let mut previous = None;
        for record in &records {
            encode_record(&mut again, previous, LeafIndex(100), record);
            previous = Some(&record.stream);
        }
        assert_eq!(again, block);
    }

    #[test]
    fn records_that_no_writer_writes_are_refused() {
        let full = [1; 256];
        let cases: [(&[Written<'_>], &str); 12] = [
            (&[(1, "a", 0, &[0])], "a name shares bytes with the one before it"),
            (&[(0, "a", 0, &[0]), (2, "b", 0, &[0])], "a name shares bytes with the one before it"),
            (&[(0, "ab", 0, &[0]), (0, "ac", 0, &[0])], "a name shares as many bytes as it can"),
            (&[(0, "b", 0, &[0]), (0, "a", 0, &[0])], "records ascend by name"),
            (&[(0, "a", 0, &full), (1, "", 257, &[300])], "records of a stream follow each other without gap"),
            (&[(0, "a", 0, &full), (1, "", 0, &[300])], "records of a stream follow each other without gap"),
            (&[(0, "a", 0, &[0]), (1, "", 1, &[1])], "only the last record of a stream has fewer than 256 positions"),
            (&[(0, "a", 0, &full), (1, "", 256, &[256])], "positions of a stream ascend"),
            (&[(0, "a", 0, &[0, 0])], "positions of a stream ascend"),
            (&[(0, "a", 0, &[])], "a record has positions"),
            (&[(0, "a", 0, &[900])], "positions are among those covered"),
            (&[(0, "a", 101, &[0])], "a stream_seq is at most the index"),
        ];
        for (records, rule) in cases {
            assert_eq!(decode_covered(&written(records)), Err(FormatError::NotCanonical { rule }));
        }
    }

    #[test]
    fn a_record_of_257_positions_is_refused() {
        let error = FormatError::TooLong { field: "number of positions", max: 256, found: 257 };
        assert_eq!(decode_covered(&written(&[(0, "a", 0, &[1; 257])])), Err(error));
    }

    #[test]
    fn a_sum_beyond_64_bits_is_refused() {
        let block = written(&[(0, "a", 0, &[u64::MAX])]);
        assert!(decode_covered(&block).is_err());
    }

    #[test]
    fn half_a_character_is_no_name() {
        let mut block = written(&[(0, "é", 0, &[0])]);
        block[3] = b'x';
        assert!(matches!(decode_covered(&block), Err(FormatError::Name { field: "stream", .. })));
    }

    #[test]
    fn a_block_that_goes_on_when_it_is_full_is_refused() {
        let names: Vec<_> = (0..100).map(|n| format!("{n:02}{}", "x".repeat(120))).collect();
        let step = [1; 256];
        let mut block: Vec<Written<'_>> = names.iter().map(|name| (0, name.as_str(), 0, &step[..])).collect();
        for (at, record) in block.iter_mut().enumerate().skip(1) {
            record.0 = u64::from(at % 10 != 0);
            record.1 = &record.1[usize::from(at % 10 != 0)..];
        }
        let filled = (1..).find(|count| written(&block[..*count]).len() >= STREAM_BLOCK_TARGET).unwrap();
        assert_eq!(decode_covered(&written(&block[..filled])).unwrap().len(), filled);
        let rule = "a block ends with the record that fills it";
        assert_eq!(decode_covered(&written(&block[..=filled])), Err(FormatError::NotCanonical { rule }));
    }
}
