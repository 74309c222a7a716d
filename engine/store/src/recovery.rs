//! Recovery: from what is found behind the last accepted frame to what is done about it.

use crate::chain::{Chain, Tally};
use crate::disk::{Disk, DiskFile, read_into};
use crate::planted::{PlantedBug, planted};
use crate::segment::{self, SegmentError};
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameCommit, FrameHeader, Stored};
use counterfoil_format::{ByteOffset, FRAME_ALIGN, HeadSlot, SEGMENT_HEADER_LEN, SegmentFooter, SegmentHeader};
use counterfoil_proof::{
    Checkpoint, Frontier, LeafIndex, NodeCoordinate, NodeHash, Origin, SignedCheckpoint, TreeSize, VerifierKey,
};
use std::io;

/// What stands behind the last accepted frame of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Zeros to the end of the file, or nothing.
    Empty,
    /// A footer: sealing had begun.
    Footer,
    /// Anything else.
    Damaged {
        /// End of the last nonzero byte.
        end: ByteOffset,
    },
}

/// Everything the decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Evidence {
    pub(crate) tail: Tail,
    /// The durable mark lies above what was accepted.
    pub(crate) below_mark: bool,
    /// No segment follows.
    pub(crate) last_segment: bool,
}

/// What recovery does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// The segment is whole.
    Accept,
    /// Bytes that were never acknowledged are set aside and zeroed.
    Cut,
    /// Acknowledged receipts are gone.
    RefuseBelowMark,
    /// A manifest older than the segments: it does not name what follows a sealed one.
    RefuseSealedLast,
}

impl Evidence {
    /// Total: new evidence must be decided before it compiles.
    pub(crate) fn decide(self) -> Decision {
        match (self.tail, self.below_mark, self.last_segment) {
            // Acknowledged receipts are gone: a crash cannot leave this, a failing disk or a person can.
            (_, true, _) => Decision::RefuseBelowMark,
            // A footer is torn. The next segment's header says where this one ends, and its frames reach that.
            (Tail::Damaged { .. }, false, false) => Decision::Accept,
            // A roll makes the next segment known before the footer of the old one is begun.
            (Tail::Footer, false, true) => Decision::RefuseSealedLast,
            // Never acknowledged. Kept under cut/, then zeroed.
            (Tail::Damaged { .. }, false, true) => Decision::Cut,
            (Tail::Empty, false, _) | (Tail::Footer, false, false) => Decision::Accept,
        }
    }
}

/// What a scan of a segment without trusted footer found.
pub(crate) struct Scan {
    pub(crate) header: SegmentHeader,
    pub(crate) frames: Vec<ScannedFrame>,
    pub(crate) chain: Chain,
    pub(crate) tally: Tally,
    /// Where the next frame belongs.
    pub(crate) end: ByteOffset,
    pub(crate) tail: Tail,
    /// Highest mark that an accepted frame, or a survivor behind damage, carries.
    pub(crate) mark: TreeSize,
}

/// One accepted frame.
pub(crate) struct ScannedFrame {
    pub(crate) first: LeafIndex,
    pub(crate) end: TreeSize,
    pub(crate) at: ByteOffset,
    pub(crate) checkpoint: SignedCheckpoint,
}

/// What a frame adds to the ledger before it.
pub(crate) struct Growth {
    /// Every node of the tree that its receipts complete, in order.
    pub(crate) nodes: Vec<(NodeCoordinate, NodeHash)>,
    /// The checkpoint it creates. Its signature is checked for the last frame of a scan.
    pub(crate) checkpoint: SignedCheckpoint,
    frontier: Frontier,
}

/// Scans a segment from its header and hands every accepted frame to `accepted`.
pub(crate) fn scan(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    key: &VerifierKey,
    head: Option<&HeadSlot>,
    mut accepted: impl FnMut(ByteOffset, &Frame<'_>, &Growth),
) -> Result<Scan, SegmentError> {
    let header = segment::read_header(file)?;
    let mut scan = Scan {
        chain: Chain::at_header(&header),
        header,
        frames: Vec::new(),
        tally: Tally::default(),
        end: ByteOffset(SEGMENT_HEADER_LEN as u64),
        tail: Tail::Empty,
        mark: TreeSize(0),
    };
    let mut buffer = Vec::new();
    while let Some(bytes) = read_frame(file, scan.end, &mut buffer)? {
        let decode = match planted(disk, PlantedBug::IgnoreFrameChecksum) {
            true => Frame::decode_ignoring_checksum,
            false => Frame::decode,
        };
        let Ok(frame) = decode(bytes) else { break };
        let Some(growth) = scan.grow(&frame, head) else { break };
        // A frame and the zeros behind it are one write: where the zeros are damaged, it was never acknowledged.
        if !padding_is_zero(file, scan.end.plus(bytes.len() as u64))? {
            break;
        }
        accepted(scan.end, &frame, &growth);
        scan.take(&frame, growth);
    }
    // Every root covers all receipts before it, so the signature at the end vouches for all frames of the segment.
    if scan.frames.last().is_some_and(|last| !is_signed(&last.checkpoint, key)) {
        let error =
            counterfoil_format::FormatError::NotCanonical { rule: "the last frame is signed by the ledger's key" };
        return Err(SegmentError::Damaged { offset: scan.frames.last().map_or(scan.end, |last| last.at), error });
    }
    if !planted(disk, PlantedBug::IgnoreDamagedTail) {
        scan.look_behind(file, key)?;
    }
    Ok(scan)
}

impl Scan {
    /// What a frame adds, or `None` when it does not continue the chain.
    fn grow(&self, frame: &Frame<'_>, head: Option<&HeadSlot>) -> Option<Growth> {
        if frame.header().start.nonce != self.header.nonce || !self.chain.continues_with(frame) {
            return None;
        }
        let mut frontier = self.chain.frontier.clone();
        let mut nodes = Vec::with_capacity(2 * frame.entries().len());
        for entry in frame.entries() {
            frontier.push(entry.leaf, |at, node| nodes.push((at, node)));
        }
        let commit = frame.commit();
        let head_agrees = head.is_none_or(|head| head.size != commit.size || head.root == commit.root);
        if frontier.root() != commit.root || !head_agrees {
            return None;
        }
        Some(Growth { nodes, checkpoint: checkpoint_of(commit, &self.header.origin)?, frontier })
    }

    fn take(&mut self, frame: &Frame<'_>, growth: Growth) {
        for entry in frame.entries() {
            self.chain.follow(&entry.envelope, entry.leaf);
            let payload_bytes = match entry.stored {
                Stored::Present { payload, .. } => payload.len(),
                Stored::Erased => 0,
            };
            self.tally.add(&entry.envelope, payload_bytes);
        }
        self.chain.frontier = growth.frontier;
        self.tally.frames += 1;
        self.mark = self.mark.max(frame.header().start.synced_through);
        let header = frame.header();
        let checkpoint = growth.checkpoint;
        self.frames.push(ScannedFrame { first: header.start.first, end: header.end(), at: self.end, checkpoint });
        self.end = self.end.plus(header.frame_len as u64).align_up();
    }

    /// Classifies what follows the last accepted frame, and looks for survivors behind damage: whole frames of this
    /// segment, signed, whose mark says that what is damaged had been durable.
    fn look_behind(&mut self, file: &dyn DiskFile, key: &VerifierKey) -> Result<(), SegmentError> {
        let Some((_, end)) = segment::nonzero_span(file, self.end)? else { return Ok(()) };
        if let Ok((_, at)) = segment::read_footer(file)
            && at == self.end
        {
            self.tail = Tail::Footer;
            return Ok(());
        }
        self.tail = Tail::Damaged { end };
        let mut at = self.end.plus(FRAME_ALIGN);
        let mut buffer = Vec::new();
        while at < end {
            if let Some(bytes) = read_frame(file, at, &mut buffer)?
                && let Ok(frame) = Frame::decode(bytes)
                && frame.header().start.nonce == self.header.nonce
                && checkpoint_of(frame.commit(), &self.header.origin).is_some_and(|found| is_signed(&found, key))
            {
                self.mark = self.mark.max(frame.header().start.synced_through);
            }
            at = at.plus(FRAME_ALIGN);
        }
        Ok(())
    }
}

/// The checkpoint a frame's commit states, unverified.
pub(crate) fn checkpoint_of(commit: &FrameCommit, origin: &Origin) -> Option<SignedCheckpoint> {
    let checkpoint = Checkpoint { origin: origin.clone(), size: commit.size, root: commit.root };
    let signatures = commit.signatures.iter().map(|signature| signature.to_note(origin)).collect();
    SignedCheckpoint::new(checkpoint, signatures).ok()
}

/// True when a key signed a checkpoint.
pub(crate) fn is_signed(checkpoint: &SignedCheckpoint, key: &VerifierKey) -> bool {
    let note = checkpoint.note();
    note.signatures().iter().any(|signature| key.verifies(note.text(), signature))
}

/// The bytes of what may be a frame, read into a buffer that is used again; `None` when no header is there or the file
/// ends before the frame does.
fn read_frame<'b>(file: &dyn DiskFile, at: ByteOffset, buffer: &'b mut Vec<u8>) -> io::Result<Option<&'b [u8]>> {
    if !reaches(read_into(file, at.0, FRAME_HEADER_LEN, buffer))? {
        return Ok(None);
    }
    let Ok(header) = FrameHeader::decode(buffer) else { return Ok(None) };
    if !reaches(read_into(file, at.0, header.frame_len, buffer))? {
        return Ok(None);
    }
    Ok(Some(buffer))
}

/// False when the file ends before what was read.
fn reaches(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether only zeros, or the end of the file, lie between the end of a frame and the place of the next one.
fn padding_is_zero(file: &dyn DiskFile, frame_end: ByteOffset) -> io::Result<bool> {
    let end = frame_end.align_up();
    let mut buffer = vec![0; usize::try_from(end.0 - frame_end.0).expect("less than 4 KiB")];
    let mut at = frame_end;
    while at < end {
        let rest = usize::try_from(end.0 - at.0).expect("less than 4 KiB");
        let read = file.read_at(&mut buffer[..rest], at.0)?;
        if read == 0 {
            break;
        }
        if buffer[..read].iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        at = at.plus(read as u64);
    }
    Ok(true)
}

/// The footer of a scanned segment.
pub(crate) fn footer_of(
    chain: &Chain,
    tally: &Tally,
    first: LeafIndex,
    digest: counterfoil_proof::Hash,
) -> SegmentFooter {
    SegmentFooter {
        first,
        first_time: tally.first_time.unwrap_or(chain.last_time),
        last_time: chain.last_time,
        frames: tally.frames,
        payload_bytes: tally.payload_bytes,
        control_seq: chain.control_seq,
        last_leaf: chain.prev,
        control_head: chain.control_head,
        file_digest: digest,
        frontier: chain.frontier.clone(),
        control_indices: tally.control_indices.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_evidence_is_decided_as_documented() {
        let damaged = Tail::Damaged { end: ByteOffset(9) };
        for (tail, below_mark, last_segment, decision) in [
            (Tail::Empty, false, true, Decision::Accept),
            (Tail::Empty, false, false, Decision::Accept),
            (Tail::Footer, false, false, Decision::Accept),
            (Tail::Footer, false, true, Decision::RefuseSealedLast),
            (damaged, false, true, Decision::Cut),
            (damaged, false, false, Decision::Accept),
            (Tail::Empty, true, true, Decision::RefuseBelowMark),
            (Tail::Footer, true, false, Decision::RefuseBelowMark),
            (damaged, true, true, Decision::RefuseBelowMark),
        ] {
            let evidence = Evidence { tail, below_mark, last_segment };
            assert_eq!(evidence.decide(), decision, "{evidence:?}");
        }
    }
}
