//! Batches and payload records of a frame.

use crate::error::FormatError;
use crate::{record, varint};
use counterfoil_proof::{Reader, Salt};

pub(super) const BATCH_LEN: usize = 32;
const STATE_ERASED: u8 = 0;
const STATE_PRESENT: u8 = 1;
const ENCODING_PLAIN: u8 = 0;

/// How a batch was named by its writer, so that sending it twice appends it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BatchLabel {
    /// It has no name.
    None,
    /// Id of a unary request.
    Request([u8; 16]),
    /// Session and number of a batch in a stream of batches.
    Session {
        /// The session.
        session: [u8; 16],
        /// Number of the batch in it.
        number: u64,
    },
}

/// One batch of a frame.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | label: 0 none, 1 request id, 2 session and number |
/// | 1 | 1 | zero |
/// | 2 | 2 | name of the writer of all its receipts |
/// | 4 | 4 | number of receipts, at least 1 |
/// | 8 | 16 | request id or session; zero without label |
/// | 24 | 8 | batch number; zero without session |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Its name.
    pub label: BatchLabel,
    /// Number of receipts in it.
    pub receipts: usize,
    pub(super) writer: u16,
}

impl Batch {
    pub(super) fn encode_into(&self, out: &mut Vec<u8>) {
        let (kind, id, number) = match self.label {
            BatchLabel::None => (0, [0; 16], 0),
            BatchLabel::Request(id) => (1, id, 0),
            BatchLabel::Session { session, number } => (2, session, number),
        };
        out.extend([kind, 0]);
        out.extend(self.writer.to_le_bytes());
        out.extend(u32::try_from(self.receipts).expect("bounded by the frame").to_le_bytes());
        out.extend(id);
        out.extend(number.to_le_bytes());
    }

    pub(super) fn decode(bytes: &[u8; BATCH_LEN]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes);
        let kind = input.u8()?;
        record::all_zero(input.bytes(1)?, "reserved bytes are zero")?;
        let writer = input.u16()?;
        let receipts = input.u32()? as usize;
        let id: [u8; 16] = input.array()?;
        let number = input.u64()?;
        let label = match kind {
            0 if id == [0; 16] && number == 0 => BatchLabel::None,
            1 if number == 0 => BatchLabel::Request(id),
            2 => BatchLabel::Session { session: id, number },
            0 | 1 => return Err(FormatError::NotCanonical { rule: "unused parts of a batch label are zero" }),
            other => return Err(FormatError::UnknownValue { field: "batch label", found: other.into() }),
        };
        if receipts == 0 {
            return Err(FormatError::NotCanonical { rule: "a batch holds at least one receipt" });
        }
        Ok(Self { label, receipts, writer })
    }
}

/// A payload as stored beside its envelope, or what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored<'a> {
    /// The payload with its salt.
    Present {
        /// The salt.
        salt: Salt,
        /// The payload.
        payload: &'a [u8],
    },
    /// Payload and salt were removed.
    Erased,
}

/// One record of the payload table: state byte (0 erased, 1 present) and, when present, encoding byte (0 plain), salt,
/// varint length.
#[derive(Clone, Copy, Debug)]
pub(super) enum Slot {
    Present { salt: Salt, start: usize, len: usize },
    Erased,
}

pub(super) fn encode_slot(out: &mut Vec<u8>, stored: &Stored<'_>) {
    match stored {
        Stored::Erased => out.push(STATE_ERASED),
        Stored::Present { salt, payload } => {
            out.extend([STATE_PRESENT, ENCODING_PLAIN]);
            out.extend(salt.0);
            varint::write(out, payload.len() as u64);
        }
    }
}

/// Reads the table of a frame; `payload_len` bytes of payloads belong to it.
pub(super) fn decode_slots(bytes: &[u8], receipts: usize, payload_len: usize) -> Result<Vec<Slot>, FormatError> {
    let mut input = Reader::new(bytes);
    let mut start = 0usize;
    let mut slots = Vec::with_capacity(receipts.min(bytes.len()));
    for _ in 0..receipts {
        slots.push(decode_slot(&mut input, &mut start, payload_len)?);
    }
    if !input.is_empty() || start != payload_len {
        return Err(FormatError::NotCanonical { rule: "the payload table covers the payloads exactly" });
    }
    Ok(slots)
}

/// The record at place `at` of a table, without a look at those behind it.
pub(super) fn slot_at(bytes: &[u8], at: usize, payload_len: usize) -> Result<Slot, FormatError> {
    let mut input = Reader::new(bytes);
    let mut start = 0usize;
    for _ in 0..at {
        decode_slot(&mut input, &mut start, payload_len)?;
    }
    decode_slot(&mut input, &mut start, payload_len)
}

fn decode_slot(input: &mut Reader<'_>, start: &mut usize, payload_len: usize) -> Result<Slot, FormatError> {
    match input.u8()? {
        STATE_ERASED => Ok(Slot::Erased),
        STATE_PRESENT => {
            let encoding = input.u8()?;
            if encoding != ENCODING_PLAIN {
                return Err(FormatError::UnknownValue { field: "payload encoding", found: encoding.into() });
            }
            let salt = Salt(input.array()?);
            let found = varint::read(input)?;
            let left = payload_len - *start;
            let len = usize::try_from(found).ok().filter(|len| *len <= left).ok_or(FormatError::TooLong {
                field: "payload length",
                max: left as u64,
                found,
            })?;
            let slot = Slot::Present { salt, start: *start, len };
            *start += len;
            Ok(slot)
        }
        other => Err(FormatError::UnknownValue { field: "payload state", found: other.into() }),
    }
}
