//! The first receipt, read before all else: it says which key signs, and by which rules the rest is judged.

use super::files::io;
use super::keys::Keys;
use super::manifest::Listed;
use super::segment_file::SegmentFile;
use crate::error::AuditError;
use crate::report::Finding;
use crate::source::Source;
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, Stored};
use counterfoil_format::{SEGMENT_HEADER_LEN, SegmentHeader};
use counterfoil_proof::{Frontier, LeafHash, LeafIndex};
use counterfoil_rules::{ControlReceipt, Rules, Violation};

/// What the beginning of the ledger says of the rest.
#[derive(Default)]
pub(super) struct Beginning {
    pub(super) rules: Option<Rules>,
    pub(super) bad_genesis: Option<Violation>,
    pub(super) ledger_id: Option<LeafHash>,
    /// Genesis names a key that is not trusted.
    pub(super) finding: Option<Finding>,
}

impl Beginning {
    /// Reads the first frame. What is wrong with it is said when its segment is judged.
    pub(super) fn read(source: &dyn Source, listed: &Listed, keys: &mut Keys) -> Result<Self, AuditError> {
        let Some(entry) = listed.segments.first().filter(|entry| entry.id.0 == LeafIndex(0)) else {
            return Ok(Self::default());
        };
        let Some(segment) = SegmentFile::open(source, entry)? else { return Ok(Self::default()) };
        let at = SEGMENT_HEADER_LEN;
        let mut bytes = vec![0; at + FRAME_HEADER_LEN];
        let read = segment.file.read_at(&mut bytes, 0).map_err(io(&segment.path))?;
        bytes.truncate(read);
        let header = bytes.get(..at).and_then(|bytes| SegmentHeader::decode(bytes).ok());
        if let Some(header) = &header {
            keys.learn_origin(&header.origin);
        }
        let Some(Ok(frame_header)) = bytes.get(at..).map(FrameHeader::decode) else { return Ok(Self::default()) };
        let fits = header.is_none_or(|header| header.nonce == frame_header.start.nonce)
            && frame_header.start.first == LeafIndex(0)
            && (at + frame_header.frame_len) as u64 <= segment.len;
        if !fits {
            return Ok(Self::default());
        }
        let mut bytes = vec![0; frame_header.frame_len];
        let read = segment.file.read_at(&mut bytes, at as u64).map_err(io(&segment.path))?;
        // A wrong checksum is no obstacle: what the frame says counts only if it leads to the root it is signed with.
        Ok(match Frame::decode_ignoring_checksum(&bytes[..read]) {
            Ok(frame) => Self::learn(&frame, keys),
            Err(_) => Self::default(),
        })
    }

    fn learn(frame: &Frame<'_>, keys: &mut Keys) -> Self {
        let mut tree = Frontier::empty();
        frame.entries().iter().for_each(|entry| tree.push(entry.leaf, |_, _| ()));
        let holds = tree.root() == frame.commit().root || keys.check(frame.commit(), tree.root()).is_ok();
        let Some(entry) = frame.entries().first().filter(|_| holds) else { return Self::default() };
        let known = Self { ledger_id: Some(entry.leaf), ..Self::default() };
        let Stored::Present { salt, payload } = entry.stored else { return known };
        if !entry.envelope.commitment.opens_to(&salt, payload) {
            return known;
        }
        match Rules::begin(ControlReceipt { envelope: &entry.envelope, payload }) {
            Ok(rules) => Self { finding: keys.learn_genesis(rules.genesis()), rules: Some(rules), ..known },
            Err(violation) => Self { bad_genesis: Some(violation), ..known },
        }
    }
}
