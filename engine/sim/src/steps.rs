//! What a process does with an open ledger, and what the ledger must answer.

use crate::broken::Broken;
use crate::case::{Append, Draft, Flaw, Gather, Step};
use crate::crash_disk::CrashDisk;
use crate::gate::{Gate, Worker};
use crate::model::{Answered, Prediction, Unanswered};
use crate::run::{Flow, Process, pause};
use bytes::Bytes;
use core::cell::OnceCell;
use counterfoil_engine::{AppendError, Appended, Batch, Ledger, ReadError, Selection};
use counterfoil_proof::{LeafIndex, StreamSeq, TrustPolicy};
use std::sync::mpsc::{self, Receiver, TryRecvError};

/// Bytes of a frame beside its receipts, and of a receipt beside payload and links, at most.
const FRAME_OVERHEAD: u64 = 400;
const RECEIPT_OVERHEAD: u64 = 200;
const LINK_BYTES: u64 = 42;
const FRAME_ALIGN: u64 = 4096;

type Answer = Result<Appended, AppendError>;

/// A batch that was sent.
struct Flight {
    batch: Batch,
    flaw: Option<Flaw>,
    /// What should become of it when nothing fails.
    hoped: Prediction,
    answers: Receiver<Answer>,
    answer: OnceCell<Answer>,
}

impl Flight {
    fn is_answered(&self) -> bool {
        match self.answers.try_recv() {
            Ok(answer) => drop(self.answer.set(answer)),
            // The engine let go of the batch without a word, which only a panic explains.
            Err(TryRecvError::Disconnected) if self.answer.get().is_none() => {
                drop(self.answer.set(Err(AppendError::Closing)));
            }
            Err(_) => {}
        }
        self.answer.get().is_some()
    }
}

impl Process<'_> {
    pub(crate) fn step(&mut self, step: &Step) -> Result<Flow, Broken> {
        match step {
            Step::Append(append) => {
                let batch = self.model.batch(append);
                self.append(batch, append.flaw)
            }
            Step::Together(appends, gather) => self.together(appends, *gather),
            Step::Repeat { changed } => self.repeat_some(*changed),
            Step::Seal => self.seal(),
            Step::Read => self.read(),
            Step::Export => self.export(),
            Step::Reopen => {
                let flow = self.close()?;
                if flow == Flow::On { self.open() } else { Ok(flow) }
            }
            Step::OpenTwice => self.open_twice(),
        }
    }

    /// Appends one batch and waits until nothing is left to do.
    fn append(&mut self, batch: Batch, flaw: Option<Flaw>) -> Result<Flow, Broken> {
        let got_over = self.disk.faulted();
        let flight = self.send(batch, flaw);
        self.await_answers(core::slice::from_ref(&flight))?;
        self.model.land();
        self.idle()?;
        let flow = self.take_answer(flight, got_over)?;
        self.check_published(flow)
    }

    fn send(&mut self, batch: Batch, flaw: Option<Flaw>) -> Flight {
        let hoped = self.model.hope(&batch, flaw);
        Flight { flaw, hoped, ..self.submit(batch) }
    }

    fn submit(&self, batch: Batch) -> Flight {
        let (sender, answers) = mpsc::channel();
        let ledger = self.ledger();
        match ledger.admit(batch.clone()) {
            // The receiver may be gone after a broken promise.
            Ok(admitted) => ledger.submit(admitted, move |answer| drop(sender.send(answer))),
            Err(error) => drop(sender.send(Err(error))),
        }
        Flight { batch, flaw: None, hoped: Prediction::Appended, answers, answer: OnceCell::new() }
    }

    /// Waits until every batch is answered. A crash answers everything too: the calls of a stopped process fail.
    fn await_answers(&self, flights: &[Flight]) -> Result<(), Broken> {
        let mut polls = 0;
        while !flights.iter().all(Flight::is_answered) {
            pause(&mut polls)?;
        }
        Ok(())
    }

    /// Sends batches so that all of them are written before the first is synced.
    fn together(&mut self, appends: &[Append], gather: Gather) -> Result<Flow, Broken> {
        let got_over = self.disk.faulted();
        let (together, single) = appends.split_at(self.fitting(appends));
        let mut flow = Flow::On;
        if together.len() > 1 {
            let flights = self.fly(together, gather)?;
            self.await_answers(&flights)?;
            self.model.land();
            self.idle()?;
            for flight in flights {
                if self.take_answer(flight, got_over)? == Flow::Stop {
                    flow = Flow::Stop;
                }
            }
            flow = self.check_published(flow)?;
        } else if let [append] = together {
            let batch = self.model.batch(append);
            flow = self.append(batch, append.flaw)?;
        }
        for append in single {
            if flow == Flow::On {
                let batch = self.model.batch(append);
                flow = self.append(batch, append.flaw)?;
            }
        }
        Ok(flow)
    }

    /// How many batches fit the segment that is written to: what would not fit begins a new one, and that waits for the
    /// sync.
    fn fitting(&self, appends: &[Append]) -> usize {
        let status = CrashDisk::observe(|| self.ledger().status());
        let used = status.segments.last().map_or(0, |active| active.bytes);
        let mut room = self.limits.segment_bytes_max.saturating_sub(used);
        let fits = |append: &&Append| {
            room = room.saturating_sub(frame_bytes_max(append));
            room > 0
        };
        appends.iter().take_while(fits).count()
    }

    /// Sends batches while the committer is held at its first sync, and lets it go on when all are written or refused.
    fn fly(&mut self, appends: &[Append], gather: Gather) -> Result<Vec<Flight>, Broken> {
        let mut flights = Vec::new();
        let writes = self.disk.sequencer_writes();
        self.disk.gate(Worker::Committer, Gate::hold);
        if gather == Gather::TwoFrames {
            self.disk.gate(Worker::Sequencer, Gate::hold);
        }
        for append in appends {
            let before = self.disk.sequencer_writes();
            let batch = self.model.batch(append);
            let flight = self.send(batch, append.flaw);
            let is_parked = || self.disk.is_parked(Worker::Sequencer);
            match gather {
                Gather::Frames => self.wait(|one| one.disk.sequencer_writes() > before || one.sequencer_rests())?,
                Gather::TwoFrames => self.wait(|one| is_parked() || one.sequencer_rests())?,
            }
            flights.push(flight);
            self.wait_for_first_sync(writes)?;
        }
        if gather == Gather::TwoFrames {
            self.disk.gate(Worker::Sequencer, Gate::let_write);
            self.wait(|one| one.disk.sequencer_writes() > writes || one.sequencer_rests())?;
            self.wait_for_first_sync(writes)?;
            self.disk.gate(Worker::Sequencer, Gate::release);
        }
        self.wait(Self::sequencer_rests)?;
        self.disk.gate(Worker::Committer, Gate::release);
        Ok(flights)
    }

    /// Waits until the committer stands before the sync of the first frame, once there is one.
    fn wait_for_first_sync(&self, writes_before: u64) -> Result<(), Broken> {
        if self.disk.sequencer_writes() == writes_before {
            return Ok(());
        }
        self.wait(|one| one.disk.is_parked(Worker::Committer) || one.is_poisoned())
    }

    /// True when the sequencer has given every batch to the committer, or turned it away.
    fn sequencer_rests(&self) -> bool {
        self.ledger().status().queue_batches == 0
    }

    /// Compares the answer to a batch with what should have become of it, all earlier ones being known.
    fn take_answer(&mut self, flight: Flight, got_over: bool) -> Result<Flow, Broken> {
        let Flight { batch, flaw, hoped, answer, .. } = flight;
        let faulted = self.disk.faulted();
        let prediction = self.model.predict(&batch, flaw);
        let lost = |durable| (hoped == Prediction::Appended).then(|| Unanswered { batch: batch.clone(), durable });
        // What is durable before this one is not known until the ledger is read again.
        let behind_unknown = self.model.unanswered.iter().any(|before| before.durable);
        match answer.into_inner().expect("it was waited for") {
            Ok(_) if behind_unknown => {
                self.model.unanswered.push(Unanswered { batch, durable: true });
                return Ok(Flow::Stop);
            }
            Err(AppendError::LostRace { .. } | AppendError::StreamClosed { .. }) if behind_unknown => {}
            Ok(answer) if prediction == Prediction::Appended => {
                let known = self.model.receipts.len();
                self.model.acknowledge(&batch, &answer).map_err(|expected| Broken::WrongAnswer { expected })?;
                self.check_answer(&batch, &answer, known)?;
            }
            Ok(_) => return Err(Broken::WrongAnswer { expected: "a refusal" }),
            Err(AppendError::Poisoned { .. }) if got_over => return Err(Broken::PoisonedLate),
            Err(AppendError::Poisoned { .. }) if faulted => {
                self.model.unanswered.extend(lost(false));
                return self.stay_poisoned();
            }
            Err(AppendError::ProofUnavailable { .. }) if faulted && hoped == Prediction::Appended => {
                self.model.unanswered.extend(lost(true));
                return Ok(Flow::Stop);
            }
            Err(AppendError::DiskFull { .. }) if faulted => self.model.refused(&batch),
            Err(error) if self.model.is_honest(&batch, &error, prediction) => {
                if !matches!(prediction, Prediction::Inadmissible(_)) {
                    self.model.refused(&batch);
                }
            }
            // The refusal of the batch before it was lost with what that one rested on.
            Err(AppendError::EarlierBatchRefused { .. }) if faulted && !got_over => {}
            // Nothing was appended, for want of a read that the fault struck.
            Err(AppendError::Unreadable { .. }) if faulted && !got_over => {}
            Err(error) => return Err(Broken::WrongError(error)),
        }
        Ok(self.flow())
    }

    /// Nothing but what was acknowledged is published.
    pub(crate) fn check_published(&self, flow: Flow) -> Result<Flow, Broken> {
        let size = CrashDisk::observe(|| self.ledger().checkpoint().unverified().size);
        if flow == Flow::On && size.0 != self.model.receipts.len() as u64 {
            return Err(Broken::Stray { index: LeafIndex(self.model.receipts.len() as u64) });
        }
        Ok(flow)
    }

    fn check_answer(&mut self, batch: &Batch, answer: &Appended, first: usize) -> Result<(), Broken> {
        let size = answer.checkpoint.unverified().size;
        if size.0 < self.model.receipts.len() as u64 || !self.model.hand_out(&answer.checkpoint) {
            return Err(Broken::Forked { size });
        }
        let policy = TrustPolicy::single(self.ledger().identity().checkpoint_key.clone())?;
        let expected = if batch.with_proofs { batch.receipts.len() } else { 0 };
        if answer.proofs.len() != expected {
            return Err(Broken::WrongAnswer { expected: "a proof for each receipt, if asked for" });
        }
        let verified = answer.checkpoint.clone().verify(&policy)?;
        for (proof, known) in answer.proofs.iter().zip(&self.model.receipts[first..]) {
            let unproved = |source| Broken::Unproved { index: proof.index, source };
            proof.verify(&known.leaf, &verified.checkpoint().root).map_err(unproved)?;
        }
        Ok(())
    }

    /// A poisoned ledger takes nothing more.
    fn stay_poisoned(&mut self) -> Result<Flow, Broken> {
        let batch = self.model.batch(&Append::plain(&[(0, 1)]));
        let flight = self.submit(batch);
        self.await_answers(core::slice::from_ref(&flight))?;
        match flight.answer.into_inner().expect("it was waited for") {
            Err(AppendError::Poisoned { .. }) => Ok(Flow::Stop),
            // A stopped process does not get as far as that.
            Err(AppendError::Unreadable { .. }) if self.disk.stopped() => Ok(Flow::Stop),
            Err(error) => Err(Broken::WrongError(error)),
            Ok(_) => Err(Broken::PoisonForgotten),
        }
    }

    fn seal(&mut self) -> Result<Flow, Broken> {
        let got_over = self.disk.faulted();
        // The sequencer begins a segment before the keeper seals the other one, and neither meets older work of the keeper.
        self.let_keeper_finish()?;
        self.disk.gate(Worker::Keeper, Gate::release);
        let answer = self.ledger().seal();
        self.let_keeper_finish()?;
        let faulted = self.disk.faulted();
        match answer {
            Ok(_) => {}
            Err(AppendError::NotSealed { .. } | AppendError::DiskFull { .. }) if faulted => {}
            Err(AppendError::Poisoned { .. }) if got_over => return Err(Broken::PoisonedLate),
            Err(AppendError::Poisoned { .. }) if faulted => return Ok(Flow::Stop),
            Err(error) => return Err(Broken::WrongError(error)),
        }
        self.idle()?;
        Ok(self.flow())
    }

    /// Reads one receipt with faults in play, and a page of a stream. A failed read says that it is one, and the next one
    /// works.
    fn read(&mut self) -> Result<Flow, Broken> {
        let index = LeafIndex(self.rng.below(self.model.receipts.len() as u64));
        let stream = self.model.receipts.last().expect("there is genesis").new.stream.clone();
        let read = |ledger: &Ledger| -> Result<(), ReadError> {
            ledger.get(index)?;
            ledger.prove_inclusion(index)?;
            let selection = Selection::Stream { stream: stream.clone(), from: StreamSeq(0) };
            ledger.read(&selection, None, 3, 1000).map(drop)
        };
        match read(self.ledger()) {
            Ok(()) => Ok(Flow::On),
            Err(_) if self.disk.stopped() => Ok(Flow::Stop),
            Err(ReadError::Io { .. }) if self.disk.faulted() => {
                let again = read(self.ledger());
                again.map(|()| Flow::On).map_err(|source| Broken::Unreadable { index, source })
            }
            Err(source) => Err(Broken::Unreadable { index, source }),
        }
    }

    /// Sends batches that had no answer once more: their first answers, or first ones now, and never twice.
    pub(crate) fn send_again(&mut self) -> Result<Flow, Broken> {
        let mut flow = Flow::On;
        for (batch, kept) in core::mem::take(&mut self.model.retries) {
            if flow != Flow::On {
                break;
            }
            flow = match kept {
                Some(first) => self.repeat(&Answered { batch, first }, false)?,
                None => self.append(batch, None)?,
            };
        }
        Ok(flow)
    }

    fn repeat_some(&mut self, changed: bool) -> Result<Flow, Broken> {
        if self.model.answered.is_empty() {
            return Ok(Flow::On);
        }
        let at = self.rng.below(self.model.answered.len() as u64);
        let answered = self.model.answered[usize::try_from(at).expect("below a length")].clone();
        self.repeat(&answered, changed)
    }

    /// Sends a batch that was appended once more. The ledgers here are shorter than what answers are remembered for.
    fn repeat(&mut self, answered: &Answered, changed: bool) -> Result<Flow, Broken> {
        let Answered { batch, first } = answered;
        let mut batch = batch.clone();
        if changed {
            batch.receipts[0].payload = Bytes::from_static(b"\"something else\"");
        }
        let flight = self.submit(batch.clone());
        self.await_answers(core::slice::from_ref(&flight))?;
        self.idle()?;
        match flight.answer.into_inner().expect("it was waited for") {
            Err(AppendError::IdReused) if changed => Ok(self.flow()),
            Ok(answer) if !changed => {
                let known = &self.model.receipts[*first..first + batch.receipts.len()];
                let same = answer.receipts.iter().zip(known).enumerate().all(|(place, (receipt, known))| {
                    receipt.index.0 == (first + place) as u64
                        && (receipt.leaf, receipt.stream_seq) == (known.leaf, known.stream_seq)
                });
                if !same || answer.receipts.len() != known.len() || answer.time != known[0].time {
                    return Err(Broken::WrongAnswer { expected: "the first answer again" });
                }
                if !self.model.hand_out(&answer.checkpoint) {
                    return Err(Broken::Forked { size: answer.checkpoint.unverified().size });
                }
                self.model.mended(&batch);
                let flow = self.flow();
                self.check_published(flow)
            }
            Ok(_) => Err(Broken::WrongAnswer { expected: "a refusal: the content is another" }),
            // Whoever repeats a batch needs no space for it.
            Err(error @ AppendError::DiskFull { .. }) => Err(Broken::WrongError(error)),
            Err(_) if self.disk.faulted() => Ok(self.flow()),
            Err(error) => Err(Broken::WrongError(error)),
        }
    }
}

/// Most bytes that the frame of a batch takes.
fn frame_bytes_max(append: &Append) -> u64 {
    let receipt = |draft: &Draft| draft.payload_bytes as u64 + RECEIPT_OVERHEAD + draft.links * LINK_BYTES;
    let receipts: u64 = append.receipts.iter().map(receipt).sum();
    (FRAME_OVERHEAD + receipts).next_multiple_of(FRAME_ALIGN)
}
