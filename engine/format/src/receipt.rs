//! One receipt outside a segment, as the control file and bundles hold it.

use crate::error::FormatError;
use crate::record;
use counterfoil_proof::{ENVELOPE_LEN_MAX, Envelope, Reader, Salt};

/// Longest receipt record in bytes: whatever fits a frame fits here.
pub const RECEIPT_RECORD_LEN_MAX: usize = 64 * 1024 * 1024;
const MAGIC: &[u8; 8] = b"CFRECPT1";
const ERASED: u8 = 0;
const PRESENT: u8 = 1;

/// A receipt with its salt and payload, or without both.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFRECPT1` |
/// | 16 | 2 | bytes of the envelope |
/// | 18 | 1 | state: 0 erased, 1 present |
/// | 19 | 5 | zero |
/// | 24 | 32 | salt, if present |
/// | … | … | envelope |
/// | … | … | payload to the end, if present |
///
/// That salt and payload are the ones the envelope commits to is not checked here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRecord<'a> {
    /// The public part.
    pub envelope: Envelope,
    /// Salt and payload; `None` once erased.
    pub content: Option<(Salt, &'a [u8])>,
}

impl<'a> ReceiptRecord<'a> {
    /// Length that a record states in its first 16 bytes.
    ///
    /// # Errors
    /// [`FormatError`] when they do not begin a receipt record, or one that is too long.
    pub fn declared_len(preamble: &[u8]) -> Result<usize, FormatError> {
        record::declared_len(MAGIC, preamble, RECEIPT_RECORD_LEN_MAX)
    }

    /// Appends the bytes of the record.
    ///
    /// # Panics
    /// When the payload is longer than [`RECEIPT_RECORD_LEN_MAX`] allows.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let envelope = self.envelope.encode();
        let start = out.len();
        out.extend(record::begin(MAGIC, record::PREAMBLE_LEN));
        out.extend(u16::try_from(envelope.len()).expect("envelopes are at most 4096 bytes").to_le_bytes());
        out.extend([if self.content.is_some() { PRESENT } else { ERASED }, 0, 0, 0, 0, 0]);
        if let Some((salt, _)) = &self.content {
            out.extend(salt.0);
        }
        out.extend(envelope);
        if let Some((_, payload)) = self.content {
            out.extend(payload);
        }
        assert!(out.len() - start <= RECEIPT_RECORD_LEN_MAX, "a payload fits a receipt record");
        record::finish(&mut out[start..]);
    }

    /// Reads the record at the start of `bytes`, and says how many bytes it has.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &'a [u8]) -> Result<(Self, usize), FormatError> {
        let body = record::open(MAGIC, bytes, RECEIPT_RECORD_LEN_MAX)?;
        let mut input = Reader::new(body);
        let envelope_len = usize::from(input.u16()?);
        if envelope_len > ENVELOPE_LEN_MAX {
            let [max, found] = [ENVELOPE_LEN_MAX as u64, envelope_len as u64];
            return Err(FormatError::TooLong { field: "bytes of the envelope", max, found });
        }
        let state = input.u8()?;
        record::all_zero(input.bytes(5)?, "reserved bytes are zero")?;
        let salt = match state {
            ERASED => None,
            PRESENT => Some(Salt(input.array()?)),
            other => return Err(FormatError::UnknownValue { field: "payload state", found: other.into() }),
        };
        let envelope = Envelope::decode(input.bytes(envelope_len)?)?;
        if salt.is_none() && !input.is_empty() {
            return Err(FormatError::NotCanonical { rule: "an erased receipt has no payload" });
        }
        let content = salt.map(|salt| (salt, input.rest()));
        Ok((Self { envelope, content }, record::PREAMBLE_LEN + body.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzzing;
    use counterfoil_proof::{
        ClassId, CommitmentAlgorithm, EnvelopeError, Hash, Kind, LeafIndex, Link, Media, Principal, StreamName,
        StreamSeq, Subject, Timestamp,
    };
    use proptest::prelude::*;

    fn envelope(links: usize) -> Envelope {
        Envelope {
            index: LeafIndex(9),
            time: Timestamp(7),
            prev: Hash([1; 32]),
            control_seq: StreamSeq(1),
            control_head: Hash([2; 32]),
            stream: StreamName::new("incident/INC-42").unwrap(),
            stream_seq: StreamSeq(0),
            stream_prev: Hash::ZERO,
            kind: Kind::new("decision.approved/1").unwrap(),
            class: ClassId::FOREVER,
            writer: Principal::new("agent-7").unwrap(),
            writer_signature: None,
            closes_stream: false,
            media: Media::Bytes,
            links: vec![Link { index: LeafIndex(3), leaf: Hash([3; 32]) }; links],
            subject: Some(Subject([4; 16])),
            commitment: CommitmentAlgorithm::Blake3.commit(&Salt([5; 32]), b"payload"),
        }
    }

    fn bytes(links: usize, payload: Option<&[u8]>) -> Vec<u8> {
        let mut out = Vec::new();
        let content = payload.map(|payload| (Salt([5; 32]), payload));
        ReceiptRecord { envelope: envelope(links), content }.encode_into(&mut out);
        out
    }

    /// What is said of a record that was changed by someone who repairs the checksum.
    fn error(mut bytes: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Option<FormatError> {
        change(&mut bytes);
        record::finish(&mut bytes);
        ReceiptRecord::decode(&bytes).err()
    }

    proptest! {
        #[test]
        fn records_read_back_one_behind_the_other(
            receipts in prop::collection::vec((0usize..4, prop::option::of(prop::collection::vec(any::<u8>(), 0..300))), 0..6)
        ) {
            let mut file = Vec::new();
            for (links, payload) in &receipts {
                let content = payload.as_deref().map(|payload| (Salt([5; 32]), payload));
                ReceiptRecord { envelope: envelope(*links), content }.encode_into(&mut file);
            }
            let mut rest = &file[..];
            for (links, payload) in &receipts {
                let (record, len) = ReceiptRecord::decode(rest).unwrap();
                prop_assert_eq!(ReceiptRecord::declared_len(&rest[..16]), Ok(len));
                prop_assert_eq!(record.envelope, envelope(*links));
                prop_assert_eq!(record.content, payload.as_deref().map(|payload| (Salt([5; 32]), payload)));
                rest = &rest[len..];
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn changed_bytes_under_a_repaired_checksum_are_refused_or_canonical(
            links in 0usize..3, erased: bool, at in any::<prop::sample::Index>(), flip in 1u8..
        ) {
            let mut bytes = bytes(links, (!erased).then_some(b"payload"));
            let at = 16 + at.index(bytes.len() - 16);
            bytes[at] ^= flip;
            record::finish(&mut bytes);
            fuzzing::receipt_record(&bytes);
        }
    }

    #[test]
    fn every_flipped_byte_is_noticed() {
        let good = bytes(1, Some(b"payload"));
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 4;
            assert!(ReceiptRecord::decode(&bad).is_err(), "{at}");
        }
    }

    #[test]
    fn a_record_cut_short_is_refused() {
        let good = bytes(0, Some(b"payload"));
        assert_eq!(ReceiptRecord::decode(&good[..good.len() - 1]), Err(FormatError::Truncated));
    }

    #[test]
    fn an_erased_receipt_with_a_payload_is_refused() {
        let rule = "an erased receipt has no payload";
        assert_eq!(error(bytes(0, None), |it| it.push(7)), Some(FormatError::NotCanonical { rule }));
    }

    #[test]
    fn reserved_bytes_that_are_not_zero_are_refused() {
        let error = error(bytes(0, None), |it| it[23] = 1);
        assert_eq!(error, Some(FormatError::NotCanonical { rule: "reserved bytes are zero" }));
    }

    #[test]
    fn an_unknown_state_is_refused() {
        let unknown = FormatError::UnknownValue { field: "payload state", found: 2 };
        assert_eq!(error(bytes(0, None), |it| it[18] = 2), Some(unknown));
    }

    #[test]
    fn an_envelope_longer_than_allowed_is_refused_before_it_is_read() {
        let long = FormatError::TooLong { field: "bytes of the envelope", max: 4096, found: 4097 };
        assert_eq!(error(bytes(0, None), |it| it[16..18].copy_from_slice(&4097u16.to_le_bytes())), Some(long));
    }

    #[test]
    fn an_envelope_that_breaks_its_rules_is_refused() {
        let changed = error(bytes(0, None), |it| it[24] = 9);
        assert!(
            matches!(changed, Some(FormatError::Envelope(EnvelopeError::UnknownValue { found: 9, .. }))),
            "{changed:?}"
        );
    }
}
