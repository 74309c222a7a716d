//! Runs a case: drives the engine boot by boot, one thing in flight at a time, and checks after every opening.

use crate::case::{Boot, Case, End, SEGMENT_BYTES_MAX, Step};
use crate::check::{Broken, Violation, absorb, audit};
use crate::crash_disk::CrashDisk;
use crate::environment::{FixedClock, SeededRandomness};
use crate::machine::Machine;
use crate::model::{Model, Prediction, Unanswered};
use crate::rng::Rng;
use core::time::Duration;
use counterfoil_engine::{
    AppendError, Appended, Batch, CreateError, Environment, Health, Ledger, Limits, NewLedger, OpenError, ReadError,
    create,
};
use counterfoil_proof::{CommitmentAlgorithm, LeafIndex, Origin, Timestamp, TrustPolicy};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

const POLL: Duration = Duration::from_micros(50);
/// After a fault nobody can know what the keeper still wants to do: it is idle when it was quiet for so many polls.
const QUIET_POLLS: u32 = EAGER_POLLS + 20;
/// Polls that only give way to the engine's threads.
const EAGER_POLLS: u32 = 40;
/// Nobody waits this long for a disk in memory, on however busy a machine.
const STUCK_POLLS: u32 = 200_000;
/// 2026-01-01, then a second for each boot.
const FIRST_WALL: u64 = 1_767_225_600_000_000_000;

/// What a case did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Of each boot: whether its fault struck.
    pub struck: Vec<bool>,
    /// Of each boot: calls to the disk.
    pub calls: Vec<u64>,
    /// Receipts at the end.
    pub receipts: usize,
    /// Digest of all calls in their order.
    pub digest: u64,
}

/// Runs a case on a machine of its own.
///
/// # Errors
/// The first promise that was seen broken.
pub fn run(case: &Case) -> Result<Outcome, Violation> {
    run_on(case, &Machine::new(case.seed, case.lie))
}

/// Runs the same case with its fault moved on by one, until the fault does not strike any more. Answers how many ran.
///
/// # Errors
/// The first promise that was seen broken.
pub fn enumerate(boot: usize, case_at: impl Fn(u64) -> Case) -> Result<u64, Violation> {
    let mut number = 0;
    loop {
        number += 1;
        let outcome = run(&case_at(number))?;
        if !outcome.struck.get(boot).copied().unwrap_or(false) {
            return Ok(number);
        }
    }
}

/// Runs a case on a given machine.
///
/// # Errors
/// The first promise that was seen broken.
pub fn run_on(case: &Case, machine: &Machine) -> Result<Outcome, Violation> {
    if case.harsh {
        machine.be_harsh();
    }
    let mut model = Model::default();
    let mut outcome = Outcome::default();
    let mut finish = Boot { steps: Vec::new(), fault: None, end: End::Close };
    finish.steps.push(Step::OpenTwice);
    for (number, boot) in case.boots.iter().chain([&finish]).enumerate() {
        let process = Process::start(case, number, boot, machine, &mut model);
        let result = catch_unwind(AssertUnwindSafe(|| process.run(boot))).unwrap_or(Err(Broken::Panicked));
        let ended = result.map_err(|broken| Violation { seed: case.seed, boot: number, broken })?;
        outcome.struck.push(ended.struck);
        outcome.calls.push(ended.calls);
        if ended.no_ledger {
            break;
        }
    }
    outcome.receipts = model.receipts.len();
    outcome.digest = machine.trace_summary().1;
    Ok(outcome)
}

/// How a process ended.
struct Ended {
    struck: bool,
    calls: u64,
    /// Creating the ledger came to nothing: there is nothing to go on with.
    no_ledger: bool,
}

/// Whether a process goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    /// A crash struck, or a fault left the process nothing to do.
    Stop,
    NoLedger,
}

struct Process<'a> {
    number: usize,
    seed: u64,
    machine: &'a Machine,
    disk: Arc<CrashDisk>,
    environment: Environment,
    model: &'a mut Model,
    ledger: Option<Ledger>,
    rng: Rng,
}

impl<'a> Process<'a> {
    fn start(case: &Case, number: usize, boot: &Boot, machine: &'a Machine, model: &'a mut Model) -> Self {
        let disk = machine.boot(boot.fault);
        let seed = Rng::fork(case.seed, 100 + number as u64).next_u64();
        let environment = Environment {
            disk: disk.clone(),
            clock: Arc::new(FixedClock(Timestamp(FIRST_WALL + number as u64 * 1_000_000_000))),
            randomness: Arc::new(SeededRandomness::new(seed)),
            catalog: None,
        };
        let rng = Rng::new(seed ^ 1);
        Self { number, seed: case.seed, machine, disk, environment, model, ledger: None, rng }
    }

    fn run(mut self, boot: &Boot) -> Result<Ended, Broken> {
        let mut flow = if self.number == 0 { self.create()? } else { Flow::On };
        if flow == Flow::On {
            flow = self.open()?;
        }
        if flow == Flow::On && self.number > 0 {
            flow = self.send_again()?;
        }
        for step in &boot.steps {
            if flow != Flow::On {
                break;
            }
            flow = self.step(step)?;
        }
        self.end(boot.end)?;
        let struck = self.disk.faulted();
        Ok(Ended { struck, calls: self.disk.calls().0, no_ledger: flow == Flow::NoLedger })
    }

    fn create(&mut self) -> Result<Flow, Broken> {
        match create(&self.environment, &new_ledger(self.seed)) {
            Ok(identity) => {
                self.model.identity = Some(identity);
                Ok(Flow::On)
            }
            Err(_) if self.disk.faulted() => Ok(Flow::Stop),
            Err(error) => Err(Broken::NotCreated(error)),
        }
    }

    /// A directory without a ledger, after creating failed: creating there works or says what is in the way.
    fn create_again(&mut self) -> Result<Flow, Broken> {
        match create(&self.environment, &new_ledger(self.seed)) {
            Ok(_) | Err(CreateError::NotEmpty { .. }) => Ok(Flow::NoLedger),
            Err(_) if self.disk.faulted() => Ok(Flow::NoLedger),
            Err(error) => Err(Broken::NotCreated(error)),
        }
    }

    /// Opens the ledger, waits until it is idle and checks all of it.
    fn open(&mut self) -> Result<Flow, Broken> {
        let limits = Limits { segment_bytes_max: SEGMENT_BYTES_MAX, ..Limits::default() };
        let ledger = match Ledger::open(self.environment.clone(), limits) {
            Ok(ledger) => ledger,
            Err(OpenError::NotALedger) if self.model.identity.is_none() => return self.create_again(),
            Err(OpenError::NotALedger) => return Err(Broken::Gone),
            Err(error @ OpenError::Refused(_)) if self.disk.faulted() => {
                return Err(Broken::FaultTakenForDamage(error));
            }
            Err(_) if self.disk.faulted() => return Ok(Flow::Stop),
            Err(error) => return Err(Broken::NotOpened(error)),
        };
        self.ledger = Some(ledger);
        self.settle()?;
        self.wait_for_keeper()?;
        if self.flow() == Flow::Stop {
            return Ok(Flow::Stop);
        }
        let ledger = self.ledger.as_ref().expect("it was opened above");
        CrashDisk::observe(|| absorb(ledger, &*self.disk, self.model))?;
        Ok(Flow::On)
    }

    fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("steps run on an open ledger")
    }

    fn step(&mut self, step: &Step) -> Result<Flow, Broken> {
        match step {
            Step::Append(append) => {
                let batch = self.model.batch(append);
                self.append(batch)
            }
            Step::Seal => self.seal(),
            Step::Read => self.read(),
            Step::Reopen => {
                let flow = self.close()?;
                if flow == Flow::On { self.open() } else { Ok(flow) }
            }
            Step::OpenTwice => self.open_twice(),
        }
    }

    fn append(&mut self, batch: Batch) -> Result<Flow, Broken> {
        let prediction = self.model.predict(&batch);
        let got_over = self.disk.faulted();
        let answer = self.ledger().append(batch.clone());
        self.settle()?;
        self.wait_for_keeper()?;
        let faulted = self.disk.faulted();
        match (answer, prediction) {
            (Ok(answer), Prediction::Appended) => {
                let known = self.model.receipts.len();
                let wrong = |expected| Broken::WrongAnswer { expected };
                self.model.acknowledge(&batch, &answer).map_err(wrong)?;
                self.check_answer(&batch, &answer, known)?;
            }
            (Err(AppendError::StreamClosed { .. }), Prediction::StreamClosed)
            | (Err(AppendError::LostRace { .. }), Prediction::LostRace)
            | (Err(AppendError::DiskFull { .. }), _)
                if faulted || prediction != Prediction::Appended => {}
            (Err(AppendError::ProofUnavailable { .. }), Prediction::Appended) if faulted => {
                self.model.unanswered.push(Unanswered { batch, durable: true });
                return Ok(Flow::Stop);
            }
            (Err(AppendError::Poisoned { .. }), _) if got_over => return Err(Broken::PoisonedLate),
            (Err(AppendError::Poisoned { .. }), _) if faulted => {
                self.model.unanswered.push(Unanswered { batch, durable: false });
                return self.stay_poisoned();
            }
            (Ok(_), _) => return Err(Broken::WrongAnswer { expected: "a refusal" }),
            (Err(error), _) => return Err(Broken::WrongError(error)),
        }
        Ok(self.flow())
    }

    fn check_answer(&mut self, batch: &Batch, answer: &Appended, first: usize) -> Result<(), Broken> {
        let size = answer.checkpoint.unverified().size;
        if size.0 != self.model.receipts.len() as u64 || !self.model.hand_out(&answer.checkpoint) {
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
        let step = crate::case::Append {
            receipts: vec![(0, 1)],
            has_id: false,
            conditional: false,
            loses_race: false,
            closes: false,
            with_proofs: false,
        };
        let batch = self.model.batch(&step);
        match self.ledger().append(batch) {
            Err(AppendError::Poisoned { .. }) => Ok(Flow::Stop),
            Err(error) => Err(Broken::WrongError(error)),
            Ok(_) => Err(Broken::PoisonForgotten),
        }
    }

    fn seal(&mut self) -> Result<Flow, Broken> {
        let got_over = self.disk.faulted();
        self.disk.let_keeper_work(true);
        let answer = self.ledger().seal();
        self.disk.let_keeper_work(false);
        let faulted = self.disk.faulted();
        match answer {
            Ok(_) => {}
            Err(AppendError::NotSealed { .. } | AppendError::DiskFull { .. }) if faulted => {}
            Err(AppendError::Poisoned { .. }) if got_over => return Err(Broken::PoisonedLate),
            Err(AppendError::Poisoned { .. }) if faulted => return Ok(Flow::Stop),
            Err(error) => return Err(Broken::WrongError(error)),
        }
        self.settle()?;
        self.wait_for_keeper()?;
        Ok(self.flow())
    }

    /// Whether there is still something to step on: a fault can poison the ledger after its batch was acknowledged.
    fn flow(&self) -> Flow {
        let poisoned = || CrashDisk::observe(|| self.ledger().status().health) == Health::Poisoned;
        if self.disk.stopped() || poisoned() { Flow::Stop } else { Flow::On }
    }

    /// Reads one receipt with faults in play. A failed read says that it is one, and the next one works.
    fn read(&mut self) -> Result<Flow, Broken> {
        let index = LeafIndex(self.rng.below(self.model.receipts.len() as u64));
        let read = |ledger: &Ledger| ledger.get(index).and_then(|_| ledger.prove_inclusion(index));
        match read(self.ledger()) {
            Ok(_) => Ok(Flow::On),
            Err(_) if self.disk.stopped() => Ok(Flow::Stop),
            Err(ReadError::Io { .. }) if self.disk.faulted() => {
                let again = read(self.ledger());
                again.map(|_| Flow::On).map_err(|source| Broken::Unreadable { index, source })
            }
            Err(source) => Err(Broken::Unreadable { index, source }),
        }
    }

    /// A ledger that is opened and closed without a fault is what it was, whatever recovery did before.
    fn open_twice(&mut self) -> Result<Flow, Broken> {
        self.close()?;
        let before = self.machine.contents();
        self.open()?;
        self.close()?;
        match before.differences(&self.machine.contents()) {
            files if files.is_empty() => audit(self.machine, self.model).map(|()| Flow::Stop),
            files => Err(Broken::SecondRecoveryChanged { files }),
        }
    }

    /// Sends the batch that had no answer once more: its first answer, or a first one now, and never twice.
    fn send_again(&mut self) -> Result<Flow, Broken> {
        let Some((batch, kept)) = self.model.retry.take() else { return Ok(Flow::On) };
        let Some(first) = kept else { return self.append(batch) };
        let status = CrashDisk::observe(|| self.ledger().status());
        // Answers are remembered from the segment that is written to, and no further back.
        if status.segments.last().is_none_or(|active| active.first.0 > first as u64) {
            return Ok(Flow::On);
        }
        let answer = self.ledger().append(batch.clone());
        self.settle()?;
        self.wait_for_keeper()?;
        match answer {
            Ok(answer) => {
                let known = &self.model.receipts[first..first + batch.receipts.len()];
                let same = answer.receipts.iter().zip(known).enumerate().all(|(place, (receipt, known))| {
                    receipt.index.0 == (first + place) as u64
                        && (receipt.leaf, receipt.stream_seq) == (known.leaf, known.stream_seq)
                });
                if !same || answer.receipts.len() != known.len() {
                    return Err(Broken::WrongAnswer { expected: "the first answer again" });
                }
                if !self.model.hand_out(&answer.checkpoint) {
                    return Err(Broken::Forked { size: answer.checkpoint.unverified().size });
                }
                Ok(self.flow())
            }
            Err(_) if self.disk.faulted() => Ok(Flow::Stop),
            Err(error) => Err(Broken::WrongError(error)),
        }
    }

    fn close(&mut self) -> Result<Flow, Broken> {
        self.disk.let_keeper_work(true);
        let closed = self.ledger().close();
        self.ledger = None;
        self.disk.let_keeper_work(false);
        match closed {
            Ok(()) if self.disk.stopped() => Ok(Flow::Stop),
            Ok(()) => Ok(Flow::On),
            Err(AppendError::Poisoned { .. }) if self.disk.faulted() => Ok(Flow::Stop),
            Err(error) => Err(Broken::WrongError(error)),
        }
    }

    fn end(&mut self, end: End) -> Result<(), Broken> {
        if matches!(end, End::Close | End::CloseThenPowerCut) && self.ledger.is_some() && !self.disk.stopped() {
            self.close()?;
        }
        self.disk.stop();
        self.ledger = None;
        if matches!(end, End::PowerCut | End::CloseThenPowerCut) {
            self.machine.power_cut();
        }
        Ok(())
    }

    /// Waits until the durable mark has moved: then sequencer and committer are idle.
    fn settle(&self) -> Result<(), Broken> {
        self.poll(|ledger| {
            let status = ledger.status();
            status.health == Health::Poisoned || status.durable_mark >= status.checkpoint.unverified().size
        })
    }

    /// Lets the keeper work until full segments are sealed.
    fn wait_for_keeper(&self) -> Result<(), Broken> {
        self.disk.let_keeper_work(true);
        let done = self.poll(|ledger| ledger.status().segments.iter().rev().skip(1).all(|segment| segment.sealed));
        self.disk.let_keeper_work(false);
        done
    }

    fn poll(&self, done: impl Fn(&Ledger) -> bool) -> Result<(), Broken> {
        let (mut quiet, mut calls) = (0, self.disk.calls());
        while !self.disk.stopped() && !CrashDisk::observe(|| done(self.ledger())) {
            let now = self.disk.calls();
            quiet = if now == calls { quiet + 1 } else { 0 };
            calls = now;
            if self.disk.faulted() && quiet >= QUIET_POLLS {
                return Ok(());
            }
            if quiet >= STUCK_POLLS {
                return Err(Broken::Stuck);
            }
            if quiet < EAGER_POLLS { thread::yield_now() } else { thread::sleep(POLL) }
        }
        Ok(())
    }
}

impl Drop for Process<'_> {
    /// Also after a broken promise the engine's threads come to an end: the keeper is not held back any more.
    fn drop(&mut self) {
        self.disk.stop();
    }
}

fn new_ledger(seed: u64) -> NewLedger {
    NewLedger {
        origin: Origin::new("example.com/sim").expect("a name that keeps its rules"),
        commitment: if seed.is_multiple_of(2) { CommitmentAlgorithm::Blake3 } else { CommitmentAlgorithm::HmacSha256 },
        roots: Vec::new(),
        root_threshold: None,
        release_delay: Duration::from_secs(86_400),
    }
}
