//! Segments without a trusted footer: scanned frame by frame.

use super::refusal::{Damage, OpenError, in_segment, refuse};
use super::{ActiveTail, Loader, Mode, write_head};
use crate::chain::Chain;
use crate::disk::DiskFile;
use crate::keeper::SealJob;
use crate::planted::{PlantedBug, planted};
use crate::recovery::{self, Decision, Evidence, Growth, Scan};
use crate::repair;
use crate::segment::{self, Segment};
use counterfoil_format::frame::{Frame, Stored};
use counterfoil_format::{ByteOffset, FormatError, HeadSlot, ManifestEntry, SegmentId, SegmentState};
use counterfoil_proof::{Envelope, LeafHash, StreamSeq, TreeSize, VerifierKey};
use counterfoil_rules::ControlReceipt;
use std::sync::Arc;

impl Loader<'_> {
    pub(super) fn load_open(&mut self) -> Result<(), OpenError> {
        let open: Vec<ManifestEntry> =
            self.manifest.segments.iter().copied().filter(|entry| entry.state == SegmentState::Open).collect();
        for entry in open {
            let next = self.manifest.segments.iter().find(|next| next.id > entry.id).map(|next| next.id);
            self.load_open_segment(entry, next)?;
        }
        Ok(())
    }

    fn load_open_segment(&mut self, entry: ManifestEntry, next: Option<SegmentId>) -> Result<(), OpenError> {
        let path = segment::segment_path(entry.id, entry.generation);
        let writable = self.mode == Mode::Write;
        let file = self.disk().open(&path, writable).map_err(|error| in_segment(&path)(error.into()))?;
        let mut scan = self.scan_open(entry, &*file, &path)?;
        let kept = scan.chain.frontier.size();
        self.mark = self.mark.max(scan.mark);
        let short = next.is_some_and(|next| next.0 != kept.next_index());
        let below_mark = kept < self.mark.min(next.map_or(self.mark, |next| TreeSize(next.0.0))) || short;
        let evidence = Evidence { tail: scan.tail, below_mark, last_segment: next.is_none() };
        let decision = evidence.decide();
        match (decision, self.mode) {
            (Decision::Accept, _) | (_, Mode::ReadOnly) => {}
            (Decision::Cut, Mode::Write) => repair::cut(self.disk(), &*file, entry.id, &scan, self.signing_key())?,
            (Decision::RefuseBelowMark, Mode::Write) => {
                let mark = self.mark.max(next.map_or(TreeSize(0), |next| TreeSize(next.0.0)));
                return Err(refuse(path, scan.end, Damage::BelowMark { mark, kept }));
            }
            (Decision::RefuseSealedLast, Mode::Write) => {
                return Err(refuse(path, scan.end, Damage::SealedLast));
            }
        }
        if self.mode == Mode::ReadOnly {
            self.forget_above_mark(&mut scan);
        } else if next.is_none() && self.head.is_some_and(|head| kept > head.size) {
            self.rewrite_above_mark(entry, &*file, &scan)?;
        }
        let segment = Segment::open(entry.id, entry.generation, file);
        for frame in &scan.frames {
            segment.add_frame(frame.first, frame.at);
            self.checkpoint = Some(Arc::new(frame.checkpoint.clone()));
        }
        let segment = Arc::new(segment);
        self.segments.push(segment.clone());
        self.chain = Some(scan.chain.clone());
        let (end, chain, tally) = (scan.end, scan.chain, scan.tally);
        match next {
            Some(_) => self.unsealed.push(SealJob { segment, end, chain, tally, done: None }),
            None => self.active = Some(ActiveTail { nonce: scan.header.nonce, end, tally }),
        }
        Ok(())
    }

    pub(super) fn signing_key(&self) -> &VerifierKey {
        &self.rules().genesis().checkpoint_key
    }

    /// Scans an open segment and takes in its receipts.
    fn scan_open(&mut self, entry: ManifestEntry, file: &dyn DiskFile, path: &str) -> Result<Scan, OpenError> {
        let header = segment::read_header(file).map_err(in_segment(path))?;
        let expected = self.chain.clone().unwrap_or_else(|| Chain::at_header(&header));
        let belongs = header.id() == entry.id
            && header.generation == entry.generation
            && (header.ledger_id == self.manifest.ledger_id)
            && Chain::at_header(&header) == expected;
        if !belongs {
            let damage = Damage::Discontinuous { expected: expected.frontier.size(), found: header.frontier.size() };
            return Err(refuse(path, ByteOffset(0), damage));
        }
        let (key, head) = (self.signing_key().clone(), self.head);
        let mut fault = None;
        let scan = recovery::scan(self.environment.disk.as_ref(), file, &key, head.as_ref(), |at, frame, growth| {
            if fault.is_none() {
                fault = self.take_frame(path, at, frame, growth).err();
            }
        })
        .map_err(in_segment(path))?;
        match fault {
            Some(error) => Err(error),
            None => Ok(scan),
        }
    }

    fn take_frame(&mut self, path: &str, at: ByteOffset, frame: &Frame<'_>, growth: &Growth) -> Result<(), OpenError> {
        for (place, node) in &growth.nodes {
            self.tree.push(*place, *node);
        }
        for entry in frame.entries() {
            let envelope = &entry.envelope;
            match entry.stored {
                Stored::Present { payload, .. } if envelope.is_control() => {
                    self.fold(ControlReceipt { envelope, payload })?;
                }
                _ => {}
            }
            if !planted(self.disk(), PlantedBug::BelieveStaleStreamHead) {
                self.follow_stream(envelope, entry.leaf).map_err(|error| refuse(path, at, error))?;
            }
        }
        if planted(self.disk(), PlantedBug::ForgetBatchIds) {
            return Ok(());
        }
        let mut entries = frame.entries();
        let batches = frame.batches().iter().map(|batch| {
            let (mine, rest) = entries.split_at(batch.receipts);
            entries = rest;
            (batch.label, batch.receipts, mine[0].envelope.writer.clone())
        });
        self.window.take_in_frame(frame.header().start.first, at, batches);
        Ok(())
    }

    /// Moves a stream's head. A reader does without the heads of streams that were written wrongly.
    fn follow_stream(&mut self, envelope: &Envelope, leaf: LeafHash) -> Result<(), FormatError> {
        if envelope.stream_seq == StreamSeq(0) {
            self.streams += 1;
        }
        if self.slots.follow(envelope, leaf) || self.mode == Mode::ReadOnly {
            return Ok(());
        }
        Err(FormatError::NotCanonical { rule: "a stream is gap-free and ends when it is closed" })
    }

    /// A reader that cannot make frames durable serves none above the mark.
    fn forget_above_mark(&mut self, scan: &mut Scan) {
        while scan.frames.last().is_some_and(|last| last.end > self.mark) {
            scan.frames.pop();
        }
    }

    /// Frames above the mark may be in the page cache only: a sync may have failed under them. They are made durable
    /// again, and HEAD says so, before anything is published.
    fn rewrite_above_mark(&mut self, entry: ManifestEntry, file: &dyn DiskFile, scan: &Scan) -> Result<(), OpenError> {
        let head = self.head.expect("only called with HEAD");
        if planted(self.disk(), PlantedBug::PublishBeforeMark) {
            self.mark = scan.chain.frontier.size();
            return Ok(());
        }
        if let Some(first) = scan.frames.iter().find(|frame| frame.end > self.mark) {
            repair::rewrite(self.disk(), entry.id, entry.generation, file, first.at, scan.end)?;
        }
        let slot = HeadSlot {
            counter: head.counter + 1,
            size: scan.chain.frontier.size(),
            segment: entry.id,
            offset: scan.end,
            root: scan.chain.frontier.root(),
        };
        write_head(self.disk(), &slot)?;
        self.mark = slot.size;
        Ok(())
    }
}
