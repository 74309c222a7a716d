//! The one writer: fixes index, time, chain and tree, and writes frames.
//!
//! It runs on a thread of its own. Frames go to the committer in the order in which they were written; while the
//! committer waits for the disk, the next frame gathers here.

use crate::admit::{AdmittedBatch, AdmittedReceipt};
use crate::chain::{Chain, Tally};
use crate::commit::{Commit, CommittedFrame, Outcome, Waiter};
use crate::create;
use crate::disk::{DiskFile, create_anew, is_disk_full, put_in_place, write_replacement};
use crate::error::AppendError;
use crate::keeper::{self, KeeperJob, Prepared, SealJob};
use crate::planted::{PlantedBug, planted};
use crate::queue::{Done, SealDone, Work};
use crate::segment::{self, FOLDER, Segment};
use crate::sessions::Sessions;
use crate::shared::Shared;
use crate::types::{AppendedReceipt, BatchId, Limits};
use crate::window::{Answer, Remembered};
use core::time::Duration;
use counterfoil_format::frame::{FRAME_RECEIPTS_MAX, FrameBuilder, FrameStart, Stored};
use counterfoil_format::{
    ByteOffset, Generation, ManifestEntry, SEGMENT_HEADER_LEN, SegmentHeader, SegmentId, SegmentState,
};
use counterfoil_proof::{
    CheckpointSigner, Envelope, LeafIndex, NodeCoordinate, NodeHash, Principal, StreamName, StreamSeq, Timestamp,
};
use counterfoil_rules::{ControlReceipt, Rules};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Sender, SyncSender};

/// Bytes of batches gathered into one frame; a single larger batch still fits.
const FRAME_BYTES_TARGET: usize = 8 * 1024 * 1024;
/// What a frame needs besides its records: header, batches, commit, padding.
const FRAME_OVERHEAD: u64 = 256 * 1024;
/// Most bytes allocated beyond what a frame needs.
const GROWTH_MAX: u64 = 16 * 1024 * 1024;
/// When fewer prepared bytes than this are left, the keeper is asked for more.
const ZEROS_WANTED: u64 = 2 * 1024 * 1024;
const DISK_FULL_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Sequencer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) signer: CheckpointSigner,
    pub(crate) chain: Chain,
    pub(crate) active: Active,
    pub(crate) rules: Arc<Rules>,
    pub(crate) pace: Pace,
    pub(crate) sessions: Sessions,
    pub(crate) commits: SyncSender<Commit>,
    pub(crate) keeper: Sender<KeeperJob>,
}

/// The segment that is written to.
pub(crate) struct Active {
    pub(crate) segment: Arc<Segment>,
    pub(crate) nonce: [u8; 16],
    pub(crate) end: ByteOffset,
    pub(crate) prepared: Arc<Prepared>,
    /// Bytes of the file that exist, as far as is known here.
    pub(crate) writable: u64,
    /// What was writable when the keeper was last asked for more.
    pub(crate) asked_at: u64,
    /// Writing caught up with the keeper, so it is not asked again for this segment.
    pub(crate) hurried: bool,
    pub(crate) tally: Tally,
}

/// Time while the process runs: the wall clock at start plus what the boot clock counted since.
pub(crate) struct Pace {
    wall: Timestamp,
    boot: Duration,
}

impl Pace {
    pub(crate) fn begin(shared: &Shared) -> Self {
        let clock = &shared.environment.clock;
        Self { wall: clock.wall(), boot: clock.since_boot() }
    }

    fn now(&self, shared: &Shared) -> Timestamp {
        let elapsed = shared.environment.clock.since_boot().saturating_sub(self.boot);
        Timestamp(self.wall.0.saturating_add(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)))
    }
}

/// A batch whose place is fixed, waiting for its frame.
struct Staged {
    batch: AdmittedBatch,
    receipts: Vec<AppendedReceipt>,
    done: Done,
}

/// A batch that was appended before, waiting for its first answer to be durable.
struct Repeated {
    answer: RepeatedAnswer,
    with_proofs: bool,
    done: Done,
}

enum RepeatedAnswer {
    Known(Arc<Answer>),
    /// The first one is in the frame that is being built.
    InThisFrame(usize),
}

/// What one gathering leads to.
#[derive(Default)]
struct Gathering {
    staged: Vec<Staged>,
    repeated: Vec<Repeated>,
    refused: Vec<Waiter>,
    ids: HashMap<(Principal, BatchId), usize>,
    nodes: Vec<(NodeCoordinate, NodeHash)>,
}

impl Gathering {
    fn refuse(&mut self, error: AppendError, done: Done) {
        self.refused.push(Waiter { outcome: Outcome::Refused(error), done });
    }
}

impl Sequencer {
    /// Works until the queue is closed and empty.
    pub(crate) fn run(mut self) {
        while let Some(work) = self.shared.queue.take(FRAME_RECEIPTS_MAX / 2, FRAME_BYTES_TARGET) {
            let mut batches = Vec::new();
            for item in work {
                match item {
                    Work::Append { batch, done } => batches.push((batch, done)),
                    Work::Seal { done } => self.seal(done),
                }
            }
            if !batches.is_empty() {
                self.append(batches);
            }
        }
    }

    fn append(&mut self, batches: Vec<(AdmittedBatch, Done)>) {
        if let Err(error) = self.make_room(&batches) {
            return self.turn_away(batches, &error);
        }
        let time = self.pace.now(&self.shared).max(self.chain.last_time);
        let start = FrameStart {
            nonce: self.active.nonce,
            first: self.chain.next_index(),
            synced_through: self.shared.published().size(),
            time,
            control_seq: self.chain.control_seq,
            prev: self.chain.prev,
            control_head: self.chain.control_head,
            commitment: self.shared.identity.commitment,
        };
        let mut gathering = Gathering::default();
        let rules = self.rules.clone();
        let mut placed: Vec<Vec<Envelope>> = Vec::new();
        for (batch, done) in batches {
            let Some((batch, done)) = self.sort_out_repeats(batch, done, &mut gathering) else { continue };
            let missing = self.sessions.missing_before(&batch);
            let in_order = missing.map_or(Ok(()), |number| Err(AppendError::EarlierBatchRefused { number }));
            let checked = in_order.and_then(|()| check_streams(&batch));
            let checked = match checked {
                Err(AppendError::LostRace { .. }) if self.forgets_conditions() => Ok(()),
                other => other,
            };
            if let Err(error) = checked {
                self.sessions.refuse(&batch);
                if planted(&*self.shared.environment.disk, PlantedBug::RefuseBeforeSync) {
                    done(Err(error));
                } else {
                    gathering.refuse(error, done);
                }
                continue;
            }
            self.sessions.append(&batch);
            let (envelopes, receipts) = self.place(&batch, time, &mut gathering.nodes);
            if let Some(id) = batch.id {
                gathering.ids.insert((batch.writer.clone(), id), gathering.staged.len());
            }
            placed.push(envelopes);
            gathering.staged.push(Staged { batch, receipts, done });
        }
        let control_changed = !Arc::ptr_eq(&rules, &self.rules);
        self.write(start, gathering, &placed, control_changed);
    }

    /// Answers batches that there is no room for. One that was sent before needs none: it gets its first answer.
    fn turn_away(&mut self, batches: Vec<(AdmittedBatch, Done)>, error: &AppendError) {
        let mut gathering = Gathering::default();
        for (batch, done) in batches {
            if let Some((batch, done)) = self.sort_out_repeats(batch, done, &mut gathering) {
                self.sessions.refuse(&batch);
                done(Err(error.clone()));
            }
        }
        self.hand_over(None, gathering, Vec::new());
    }

    fn forgets_conditions(&self) -> bool {
        planted(&*self.shared.environment.disk, PlantedBug::IgnoreCondition)
    }

    /// Fails before anything is placed when the disk has no room for these batches, and rolls when the segment is full.
    fn make_room(&mut self, batches: &[(AdmittedBatch, Done)]) -> Result<(), AppendError> {
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        let needed: usize = batches.iter().map(|(batch, _)| batch.stored_bytes).sum();
        let needed = needed as u64 + FRAME_OVERHEAD;
        if self.active.is_full(&self.shared.limits, self.chain.next_index()) {
            match self.roll(None) {
                Err(error) if is_disk_full(&error) => return Err(disk_full()),
                Err(error) => return Err(self.shared.poison(error)),
                Ok(()) => {}
            }
        }
        self.prepare(needed)
    }

    /// Makes sure that the file reaches far enough for the next frame, and that zeros are written ahead when there is
    /// leisure for it. Under load the keeper falls behind; then space is allocated without being written: syncs are
    /// slower, but there are few of them for many receipts (docs/adr/0005).
    fn prepare(&mut self, needed: u64) -> Result<(), AppendError> {
        let active = &mut self.active;
        let end = active.end.plus(needed).align_up().0;
        if let Some(len) = active.prepared.peek() {
            active.writable = len;
        }
        if end > active.writable {
            let file = &**active.segment.open_file();
            let ahead = end + (4 * needed).min(GROWTH_MAX);
            // Nothing is placed behind what could not be allocated. On a nearly full disk there is room for this frame
            // but not for more.
            let allocated = match active.prepared.allocate(file, ahead) {
                Err(error) if is_disk_full(&error) => active.prepared.allocate(file, end),
                other => other,
            };
            match allocated {
                Err(error) if is_disk_full(&error) => return Err(disk_full()),
                Err(error) => return Err(self.shared.poison(error)),
                Ok(len) => active.writable = len,
            }
            active.hurried = true;
        } else if active.wants_zeros(end) && active.writable < self.shared.limits.segment_bytes_max {
            active.asked_at = active.writable;
            let zeros = KeeperJob::WriteZeros(active.segment.clone(), active.prepared.clone());
            keeper::ask(&self.shared, &self.keeper, zeros);
        }
        Ok(())
    }

    /// Answers a batch that was sent before with its first answer, or refuses it when the content differs.
    fn sort_out_repeats(
        &mut self,
        batch: AdmittedBatch,
        done: Done,
        gathering: &mut Gathering,
    ) -> Option<(AdmittedBatch, Done)> {
        let Some(id) = batch.id else { return Some((batch, done)) };
        let key = (batch.writer.clone(), id);
        let (fingerprint, answer) = match gathering.ids.get(&key) {
            Some(at) => (gathering.staged[*at].batch.fingerprint, RepeatedAnswer::InThisFrame(*at)),
            None => match self.shared.lock(&self.shared.window).get(&key) {
                Some(known) => (known.fingerprint, RepeatedAnswer::Known(known.answer.clone())),
                None => return Some((batch, done)),
            },
        };
        if fingerprint.is_some() && fingerprint != batch.fingerprint {
            gathering.refuse(AppendError::IdReused, done);
        } else {
            // It may have been refused in between for want of space, and its session waits for it.
            self.sessions.append(&batch);
            gathering.repeated.push(Repeated { answer, with_proofs: batch.with_proofs, done });
        }
        None
    }

    /// Fixes the place of every receipt of a batch.
    fn place(
        &mut self,
        batch: &AdmittedBatch,
        time: Timestamp,
        nodes: &mut Vec<(NodeCoordinate, NodeHash)>,
    ) -> (Vec<Envelope>, Vec<AppendedReceipt>) {
        let mut envelopes = Vec::with_capacity(batch.receipts.len());
        let mut receipts = Vec::with_capacity(batch.receipts.len());
        let mut encoded = Vec::with_capacity(512);
        for receipt in &batch.receipts {
            let envelope = self.envelope(batch, receipt, time);
            encoded.clear();
            envelope.encode_into(&mut encoded);
            let leaf = counterfoil_proof::Hash::of_envelope(&encoded);
            self.chain.push(&envelope, leaf, |at, node| nodes.push((at, node)));
            if envelope.is_control() {
                let control = ControlReceipt { envelope: &envelope, payload: &receipt.new.payload };
                let rules = Rules::clone(&self.rules).apply(control);
                self.rules = Arc::new(rules.expect("the ledger writes no control receipt that breaks its own rules"));
            }
            assert!(receipt.slot.advance(&envelope, leaf), "a receipt is given the place behind its stream's head");
            if envelope.stream_seq == StreamSeq(0) {
                self.shared.streams.add_new();
            }
            self.active.tally.add(&envelope, receipt.new.payload.len());
            receipts.push(AppendedReceipt { index: envelope.index, stream_seq: envelope.stream_seq, leaf });
            envelopes.push(envelope);
        }
        (envelopes, receipts)
    }

    fn envelope(&self, batch: &AdmittedBatch, receipt: &AdmittedReceipt, time: Timestamp) -> Envelope {
        let new = &receipt.new;
        let (stream_seq, stream_prev) = receipt.slot.next();
        Envelope {
            index: self.chain.next_index(),
            time,
            prev: self.chain.prev,
            control_seq: self.chain.control_seq,
            control_head: self.chain.control_head,
            stream: new.stream.clone(),
            stream_seq,
            stream_prev,
            kind: new.kind.clone(),
            class: new.class,
            writer: batch.writer.clone(),
            writer_signature: None,
            closes_stream: new.closes_stream,
            media: new.media,
            links: new.links.clone(),
            subject: new.subject,
            commitment: receipt.commitment,
        }
    }

    /// Writes the frame of a gathering and hands it to the committer. What failed to be written poisons the ledger: the
    /// places were taken in memory, and only recovery can tell what is on disk.
    fn write(&mut self, start: FrameStart, mut gathering: Gathering, placed: &[Vec<Envelope>], control_changed: bool) {
        let mut written = None;
        let mut answers: Vec<Arc<Answer>> = Vec::new();
        if !gathering.staged.is_empty() {
            let checkpoint = Arc::new(self.signer.sign(self.chain.frontier.size(), self.chain.frontier.root()));
            let mut frame = FrameBuilder::new(start);
            for (staged, envelopes) in gathering.staged.iter().zip(placed) {
                frame.begin_batch(&staged.batch.writer, staged.batch.label());
                for (receipt, envelope) in staged.batch.receipts.iter().zip(envelopes) {
                    frame.push(envelope, Stored::Present { salt: receipt.salt, payload: &receipt.new.payload });
                }
            }
            let bytes = segment::pad(frame.finish(&create::commit(&checkpoint)));
            let at = self.active.end;
            if let Err(error) = self.active.segment.open_file().write_all_at(&bytes, at.0) {
                let error = self.shared.poison(error);
                gathering.staged.into_iter().map(|staged| staged.done).for_each(|done| done(Err(error.clone())));
                gathering.repeated.into_iter().for_each(|repeated| (repeated.done)(Err(error.clone())));
                gathering.refused.into_iter().for_each(|refused| (refused.done)(Err(error.clone())));
                return;
            }
            self.active.end = at.plus(bytes.len() as u64);
            self.active.tally.frames += 1;
            for staged in &gathering.staged {
                let receipts = staged.receipts.clone();
                let answer = Arc::new(Answer { receipts, time: start.time, checkpoint: checkpoint.clone() });
                self.remember(staged, &answer);
                answers.push(answer);
            }
            written = Some(CommittedFrame {
                segment: self.active.segment.clone(),
                first: start.first,
                at,
                end: self.active.end,
                nodes: core::mem::take(&mut gathering.nodes),
                checkpoint,
                time: start.time,
                control_receipts: self.chain.control_seq.0,
                rules: control_changed.then(|| self.rules.clone()),
            });
        }
        self.hand_over(written, gathering, answers);
    }

    /// Hands a frame, if one was written, and everybody who waits to the committer. What is not in the frame waits behind
    /// it, and behind all frames before it.
    fn hand_over(&self, frame: Option<CommittedFrame>, gathering: Gathering, answers: Vec<Arc<Answer>>) {
        let mut waiters = Vec::new();
        for repeated in gathering.repeated {
            let answer = match repeated.answer {
                RepeatedAnswer::Known(answer) => answer,
                RepeatedAnswer::InThisFrame(at) => answers[at].clone(),
            };
            waiters.push(Waiter::appended(answer, repeated.with_proofs, repeated.done));
        }
        for (staged, answer) in gathering.staged.into_iter().zip(answers) {
            waiters.push(Waiter::appended(answer, staged.batch.with_proofs, staged.done));
        }
        waiters.extend(gathering.refused);
        if waiters.is_empty() {
            return;
        }
        if let Err(returned) = self.commits.send(Commit { frame, waiters }) {
            let error = self.shared.poisoned().unwrap_or(AppendError::Closing);
            returned.0.waiters.into_iter().for_each(|waiter| (waiter.done)(Err(error.clone())));
        }
    }

    /// An answer is remembered before it is durable: whoever repeats the batch waits behind it in the same order.
    fn remember(&self, staged: &Staged, answer: &Arc<Answer>) {
        if let Some(id) = staged.batch.id {
            let remembered = Remembered { fingerprint: staged.batch.fingerprint, answer: answer.clone() };
            self.shared.lock(&self.shared.window).insert((staged.batch.writer.clone(), id), remembered);
        }
    }

    fn seal(&mut self, done: SealDone) {
        if let Some(error) = self.shared.poisoned() {
            return done(Err(error));
        }
        if self.active.is_empty() {
            return done(Ok(None));
        }
        let mut done = Some(done);
        if let Err(error) = self.roll(Some(&mut done)) {
            let error = if is_disk_full(&error) { disk_full() } else { self.shared.poison(error) };
            if let Some(done) = done {
                done(Err(error));
            }
        }
    }

    /// Begins a new segment. The old one's last frame is durable before the new one exists, and the new one is in the
    /// manifest before it holds a frame.
    fn roll(&mut self, done: Option<&mut Option<SealDone>>) -> io::Result<()> {
        let size = self.chain.frontier.size();
        self.shared.wait_published(size).map_err(|_| io::Error::other("the ledger is poisoned"))?;
        let id = SegmentId(self.chain.next_index());
        let header = SegmentHeader {
            nonce: self.shared.environment.random()?,
            ledger_id: self.shared.identity.ledger_id,
            last_time: self.chain.last_time,
            control_seq: self.chain.control_seq,
            prev: self.chain.prev,
            control_head: self.chain.control_head,
            generation: Generation(0),
            frontier: self.chain.frontier.clone(),
            origin: self.shared.identity.checkpoint_key.name().clone(),
        };
        let file = self.new_file(&header, &segment::segment_path(id, Generation(0)))?;
        {
            let mut manifest = self.shared.lock(&self.shared.manifest);
            let mut next = manifest.clone();
            next.counter += 1;
            next.segments.push(ManifestEntry { id, generation: Generation(0), state: SegmentState::Open });
            let disk = &*self.shared.environment.disk;
            write_replacement(disk, "", "MANIFEST", &next.encode())?;
            // From here on the new segment may be in the manifest whatever the system says, and a receipt behind its first
            // index in the old one would be one too many: not even a full disk can be waited for.
            put_in_place(disk, "", "MANIFEST").map_err(io::Error::other)?;
            *manifest = next;
        }
        let segment = Arc::new(Segment::open(id, Generation(0), file));
        {
            let mut published = self.shared.published_mut();
            let mut segments = published.segments.to_vec();
            segments.push(segment.clone());
            published.segments = Arc::new(segments);
            published.active_end = SEGMENT_HEADER_LEN as u64;
        }
        let active =
            Active::new(segment, header.nonce, ByteOffset(SEGMENT_HEADER_LEN as u64), SEGMENT_HEADER_LEN as u64);
        let full = core::mem::replace(&mut self.active, active);
        let job = SealJob {
            segment: full.segment,
            end: full.end,
            chain: self.chain.clone(),
            tally: full.tally,
            done: done.and_then(Option::take),
        };
        keeper::ask(&self.shared, &self.keeper, KeeperJob::Seal(Box::new(job)));
        Ok(())
    }

    fn new_file(&self, header: &SegmentHeader, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let disk = &*self.shared.environment.disk;
        let temporary = format!("{path}.tmp");
        let file = create_anew(disk, &temporary)?;
        file.write_all_at(&header.encode(), 0)?;
        file.sync_all()?;
        disk.rename(&temporary, path)?;
        disk.sync_dir(FOLDER)?;
        Ok(file)
    }
}

impl Active {
    pub(crate) fn new(segment: Arc<Segment>, nonce: [u8; 16], end: ByteOffset, file_len: u64) -> Self {
        Self {
            segment,
            nonce,
            end,
            prepared: Arc::new(Prepared::new(file_len)),
            writable: file_len,
            asked_at: 0,
            hurried: false,
            tally: Tally::default(),
        }
    }

    /// True when few prepared bytes are left behind the next frame, and the keeper was not asked since it made some.
    fn wants_zeros(&self, end: u64) -> bool {
        !self.hurried && end + ZEROS_WANTED > self.writable && self.asked_at != self.writable
    }

    fn is_empty(&self) -> bool {
        self.tally.frames == 0
    }

    fn is_full(&self, limits: &Limits, next: LeafIndex) -> bool {
        let receipts = next.0 - self.segment.id.0.0;
        !self.is_empty() && (self.end.0 >= limits.segment_bytes_max || receipts >= limits.segment_receipts_max)
    }
}

fn disk_full() -> AppendError {
    AppendError::DiskFull { retry_after: DISK_FULL_RETRY }
}

/// Checks closed streams and conditions against the heads before the batch.
fn check_streams(batch: &AdmittedBatch) -> Result<(), AppendError> {
    let mut added: HashMap<&StreamName, u64> = HashMap::new();
    let mut closed_here: HashMap<&StreamName, StreamSeq> = HashMap::new();
    let may_matter = |receipt: &AdmittedReceipt| receipt.new.closes_stream || receipt.new.expected_stream_seq.is_some();
    // Most batches neither close streams nor have conditions: then only the heads count.
    let counts = batch.receipts.iter().any(may_matter);
    for (at, receipt) in batch.receipts.iter().enumerate() {
        let new = &receipt.new;
        let head = receipt.slot.head();
        let closed_before = head.filter(|head| head.closed).map(|head| head.seq);
        if let Some(closed_at) = closed_before.or_else(|| closed_here.get(&new.stream).copied()) {
            return Err(AppendError::StreamClosed { at, stream: new.stream.clone(), closed_at });
        }
        if !counts {
            continue;
        }
        let (actual, _) = receipt.slot.next();
        if let Some(expected) = new.expected_stream_seq
            && expected != actual
        {
            let head = head.map(|head| head.leaf);
            return Err(AppendError::LostRace { stream: new.stream.clone(), expected, actual, head });
        }
        if new.closes_stream {
            let before = added.get(&new.stream).copied().unwrap_or(0);
            closed_here.insert(&new.stream, StreamSeq(actual.0 + before));
        }
        *added.entry(&new.stream).or_default() += 1;
    }
    Ok(())
}
