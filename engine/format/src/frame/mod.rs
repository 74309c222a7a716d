//! Frames: one group commit each, self-decodable, ending with the checkpoint it creates.
//!
//! A frame begins at a multiple of 4 096 and is padded with zeros to the next one. Its parts follow each other without
//! gap: header, batches, names, heads, payload table, payloads, commit. Heads hold what the envelopes do not share with
//! their neighbours; payloads and salts stand apart from them, so that erasure leaves every other part as it was.

mod builder;
mod decode;
mod heads;
mod table;

pub use builder::FrameBuilder;
pub use decode::{Frame, FrameEntry, FrameIndex, batches_of, envelope_at, payload_at};
pub use table::{Batch, BatchLabel, Stored};

use crate::error::FormatError;
use crate::record;
use counterfoil_proof::{
    CommitmentAlgorithm, Hash, KeyId, LeafHash, LeafIndex, NoteSignature, Origin, Reader, RootHash, SignatureType,
    StreamSeq, Timestamp, TreeSize,
};

/// Bytes of a frame header.
pub const FRAME_HEADER_LEN: usize = 160;
/// Longest frame in bytes, padding excluded.
pub const FRAME_LEN_MAX: usize = 64 * 1024 * 1024;
/// Most receipts in one frame.
pub const FRAME_RECEIPTS_MAX: usize = 30_000;
/// Most batches in one frame.
pub const FRAME_BATCHES_MAX: usize = 4096;
/// Most distinct names in one frame: their indices are 16 bits wide.
pub const FRAME_NAMES_MAX: usize = 65_535;
const _: () = assert!(2 * FRAME_RECEIPTS_MAX + FRAME_BATCHES_MAX <= FRAME_NAMES_MAX, "names cannot run out");
/// Most signatures under one checkpoint.
pub const COMMIT_SIGNATURES_MAX: usize = 4;
pub(crate) const MAGIC: &[u8; 8] = b"CFFRAME1";
const SIGNATURE_LEN_MAX: usize = 8192;

/// What a frame knows of the ledger before its first receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameStart {
    /// Nonce of the segment.
    pub nonce: [u8; 16],
    /// Index of the first receipt.
    pub first: LeafIndex,
    /// Tree size known durable when this frame was written.
    pub synced_through: TreeSize,
    /// Time of every receipt in this frame.
    pub time: Timestamp,
    /// Control receipts before the first receipt.
    pub control_seq: StreamSeq,
    /// Leaf hash of the receipt before the first; zero if there is none.
    pub prev: LeafHash,
    /// Leaf hash of the last control receipt before the first receipt; zero if there is none.
    pub control_head: LeafHash,
    /// How the payloads are committed to.
    pub commitment: CommitmentAlgorithm,
}

/// Header of a frame.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 16 | preamble, magic `CFFRAME1`; its checksum covers the whole frame |
/// | 16 | 16 | nonce of the segment |
/// | 32 | 8 | index of the first receipt |
/// | 40 | 8 | `synced_through`: tree size known durable when this was written |
/// | 48 | 8 | time of every receipt in this frame |
/// | 56 | 8 | `control_seq` at the first receipt |
/// | 64 | 32 | leaf hash of the receipt before the first |
/// | 96 | 32 | control head at the first receipt |
/// | 128 | 4 | number of receipts, at least 1 |
/// | 132 | 4 | bytes of names |
/// | 136 | 4 | bytes of heads |
/// | 140 | 4 | bytes of the payload table |
/// | 144 | 4 | bytes of payloads |
/// | 148 | 2 | number of batches |
/// | 150 | 2 | number of names |
/// | 152 | 1 | commitment algorithm |
/// | 153 | 7 | zero |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// What stood before the frame.
    pub start: FrameStart,
    /// Length of the frame, padding excluded.
    pub frame_len: usize,
    /// Number of receipts.
    pub receipts: usize,
    pub(crate) batches: usize,
    pub(crate) names: usize,
    pub(crate) names_len: usize,
    pub(crate) heads_len: usize,
    pub(crate) table_len: usize,
    pub(crate) payload_len: usize,
}

/// Where the parts of a frame begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    pub(crate) names: usize,
    pub(crate) heads: usize,
    pub(crate) table: usize,
    pub(crate) payloads: usize,
    pub(crate) commit: usize,
}

impl FrameHeader {
    /// Reads a header without looking at the frame's checksum, which covers the whole frame.
    ///
    /// # Errors
    /// [`FormatError`] says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let frame_len = record::declared_len(MAGIC, bytes, FRAME_LEN_MAX)?;
        let mut input = Reader::new(bytes.get(record::PREAMBLE_LEN..FRAME_HEADER_LEN).ok_or(FormatError::Truncated)?);
        let nonce = input.array()?;
        let [first, synced_through, time, control_seq] = [input.u64()?, input.u64()?, input.u64()?, input.u64()?];
        let [prev, control_head] = [Hash(input.array()?), Hash(input.array()?)];
        let mut length = || input.u32().map(|len| len as usize);
        let [receipts, names_len, heads_len, table_len, payload_len] =
            [length()?, length()?, length()?, length()?, length()?];
        let [batches, names] = [usize::from(input.u16()?), usize::from(input.u16()?)];
        let algorithm = input.u8()?;
        let commitment = CommitmentAlgorithm::from_byte(algorithm)
            .ok_or(FormatError::UnknownValue { field: "commitment algorithm", found: algorithm.into() })?;
        record::all_zero(input.rest(), "reserved bytes are zero")?;
        for (field, found, max) in
            [("number of receipts", receipts, FRAME_RECEIPTS_MAX), ("number of batches", batches, FRAME_BATCHES_MAX)]
        {
            if found > max {
                return Err(FormatError::TooLong { field, max: max as u64, found: found as u64 });
            }
        }
        if receipts == 0 || batches == 0 {
            return Err(FormatError::NotCanonical { rule: "a frame holds at least one receipt" });
        }
        let start = FrameStart {
            nonce,
            first: LeafIndex(first),
            synced_through: TreeSize(synced_through),
            time: Timestamp(time),
            control_seq: StreamSeq(control_seq),
            prev,
            control_head,
            commitment,
        };
        let header = Self { start, frame_len, receipts, batches, names, names_len, heads_len, table_len, payload_len };
        match header.parts().commit.checked_add(COMMIT_FIXED_LEN) {
            Some(least) if least <= frame_len => Ok(header),
            _ => Err(FormatError::Truncated),
        }
    }

    /// Tree size after the frame.
    #[must_use]
    pub fn end(&self) -> TreeSize {
        TreeSize(self.start.first.0.saturating_add(self.receipts as u64))
    }

    /// Bytes at the start of the frame that hold everything but payloads and commit.
    #[must_use]
    pub fn index_len(&self) -> usize {
        self.parts().payloads
    }

    /// Bytes at the start of the frame that hold batches and names.
    #[must_use]
    pub fn names_end(&self) -> usize {
        self.parts().heads
    }

    /// Bytes at the start of the frame that hold everything envelopes are rebuilt from.
    #[must_use]
    pub fn heads_end(&self) -> usize {
        self.parts().table
    }

    pub(crate) fn parts(&self) -> Parts {
        let names = FRAME_HEADER_LEN + self.batches * table::BATCH_LEN;
        let heads = names + self.names_len;
        let table = heads + self.heads_len;
        let payloads = table + self.table_len;
        Parts { names, heads, table, payloads, commit: payloads + self.payload_len }
    }
}

const COMMIT_FIXED_LEN: usize = 41;

/// The checkpoint a frame creates; its end.
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 8 | tree size after the frame |
/// | 8 | 32 | root of that tree |
/// | 40 | 1 | number of signatures, 1–4 |
/// | 41 | … | signatures: 4 bytes key id, 1 byte type, 2 bytes length, that many bytes |
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameCommit {
    /// Tree size after the frame.
    pub size: TreeSize,
    /// Root of that tree.
    pub root: RootHash,
    /// Signatures over the C2SP checkpoint text.
    pub signatures: Vec<CommitSignature>,
}

/// One signature of a commit. Its key name is the origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitSignature {
    /// Id of the key.
    pub key_id: KeyId,
    /// What kind of signature it is; today always Ed25519.
    pub kind: SignatureType,
    /// The signature.
    pub bytes: Vec<u8>,
}

impl CommitSignature {
    /// As a signature line of a checkpoint of this origin.
    #[must_use]
    pub fn to_note(&self, origin: &Origin) -> NoteSignature {
        NoteSignature { name: origin.clone(), key_id: self.key_id, bytes: self.bytes.clone() }
    }
}

impl FrameCommit {
    pub(crate) fn encode_into(&self, out: &mut Vec<u8>) {
        assert!((1..=COMMIT_SIGNATURES_MAX).contains(&self.signatures.len()), "a commit has one to four signatures");
        out.extend(self.size.0.to_le_bytes());
        out.extend(self.root.0);
        out.push(u8::try_from(self.signatures.len()).expect("at most four"));
        for signature in &self.signatures {
            out.extend(signature.key_id.0);
            out.push(signature.kind.byte());
            let len = u16::try_from(signature.bytes.len()).expect("signatures are at most 8192 bytes");
            out.extend(len.to_le_bytes());
            out.extend(&signature.bytes);
        }
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut input = Reader::new(bytes);
        let size = TreeSize(input.u64()?);
        let root = Hash(input.array()?);
        let count = usize::from(input.u8()?);
        if !(1..=COMMIT_SIGNATURES_MAX).contains(&count) {
            return Err(FormatError::UnknownValue { field: "number of signatures", found: count as u64 });
        }
        let mut signatures = Vec::with_capacity(count);
        for _ in 0..count {
            let key_id = KeyId(input.array()?);
            let kind = input.u8()?;
            if kind != SignatureType::Ed25519.byte() {
                return Err(FormatError::UnknownValue { field: "signature type", found: kind.into() });
            }
            let len = usize::from(input.u16()?);
            if len > SIGNATURE_LEN_MAX {
                let max = SIGNATURE_LEN_MAX as u64;
                return Err(FormatError::TooLong { field: "signature length", max, found: len as u64 });
            }
            let bytes = input.bytes(len)?.to_vec();
            signatures.push(CommitSignature { key_id, kind: SignatureType::Ed25519, bytes });
        }
        if !input.is_empty() {
            return Err(FormatError::NotCanonical { rule: "the frame ends with its last signature" });
        }
        Ok(Self { size, root, signatures })
    }
}

#[cfg(test)]
mod tests;
