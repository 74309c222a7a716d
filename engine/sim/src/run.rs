//! Runs a case: drives the engine boot by boot and checks after every opening.

use crate::broken::{Broken, Violation};
use crate::case::{Boot, Case, Derived, End, Step};
use crate::check::{absorb, audit, audit_decayed, check_decayed, check_empty_behind, check_named, check_set_aside};
use crate::crash_disk::CrashDisk;
use crate::environment::{SeededRandomness, SimClock};
use crate::gate::{Gate, Worker};
use crate::machine::{Contents, Machine};
use crate::model::{Known, Model};
use crate::rng::Rng;
use core::time::Duration;
use counterfoil_engine::{AppendError, CreateError, Environment, Health, Ledger, Limits, NewLedger, OpenError, create};
use counterfoil_proof::{CommitmentAlgorithm, LeafIndex, Origin, SignedCheckpoint, Timestamp, TrustPolicy};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

const POLL: Duration = Duration::from_micros(20);
/// Polls that only give way to the engine's threads.
const EAGER_POLLS: u32 = 200;
/// Nobody waits this long for a disk in memory, on however busy a machine.
const STUCK_POLLS: u32 = 200_000;
/// 2026-01-01, then a second for each boot, unless the clock was set.
const FIRST_WALL: u64 = 1_767_225_600_000_000_000;
/// A stream that no receipt is appended to.
pub(crate) const NO_STREAM: &str = "case/never";
const SECOND: u64 = 1_000_000_000;

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
    let finish = Boot::new(vec![Step::OpenTwice], End::Close);
    let mut ended = Ended::default();
    let mut intact = true;
    for (number, boot) in case.boots.iter().chain([&finish]).enumerate() {
        let mut process = Process::start(case, number, boot, machine, &mut model);
        intact &= ended.lost.is_none() && !ended.decayed;
        process.intact = intact;
        process.lost = ended.lost.take();
        let act = || if ended.decayed { process.run_decayed() } else { process.run(boot) };
        let result = catch_unwind(AssertUnwindSafe(act)).unwrap_or(Err(Broken::Panicked));
        let decayed = ended.decayed;
        ended = result.map_err(|broken| Violation { seed: case.seed, boot: number, broken })?;
        outcome.struck.push(ended.struck);
        outcome.calls.push(ended.calls);
        if ended.no_ledger || decayed {
            break;
        }
    }
    outcome.receipts = model.receipts.len();
    outcome.digest = machine.trace_summary().1;
    Ok(outcome)
}

/// How a process ended.
#[derive(Default)]
struct Ended {
    struck: bool,
    calls: u64,
    /// Creating the ledger came to nothing: there is nothing to go on with.
    no_ledger: bool,
    /// Something went bad after it.
    decayed: bool,
    /// What was lost after it, as it was before.
    lost: Option<Lost>,
}

/// Files that follow from others, as they were before they were lost. After a fault the keeper may have given up some of
/// its work, and the next process does it instead.
struct Lost(Derived, Option<Contents>);

/// Whether a process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    On,
    /// A crash struck, or a fault left the process nothing to do.
    Stop,
    NoLedger,
}

pub(crate) struct Process<'a> {
    number: usize,
    seed: u64,
    reads_first: bool,
    keeper_calls: Option<u64>,
    /// No file was lost or went bad so far.
    intact: bool,
    /// What has to be made again.
    lost: Option<Lost>,
    pub(crate) limits: Limits,
    machine: &'a Machine,
    pub(crate) disk: Arc<CrashDisk>,
    environment: Environment,
    pub(crate) model: &'a mut Model,
    ledger: Option<Ledger>,
    pub(crate) rng: Rng,
}

impl<'a> Process<'a> {
    fn start(case: &Case, number: usize, boot: &Boot, machine: &'a Machine, model: &'a mut Model) -> Self {
        let disk = machine.boot(boot.fault);
        let seed = Rng::fork(case.seed, 100 + number as u64).next_u64();
        let mut rng = Rng::new(seed ^ 1);
        // Now and then the clock was set back, or far ahead.
        let set = rng.pick(&[0, 0, 0, 40 * SECOND, 90_000 * SECOND]);
        let wall = FIRST_WALL + 50 * SECOND + number as u64 * SECOND;
        let wall = if rng.chance(1, 2) { wall.saturating_sub(set) } else { wall + set };
        let environment = Environment {
            disk: disk.clone(),
            clock: Arc::new(SimClock::at(Timestamp(wall))),
            randomness: Arc::new(SeededRandomness::new(seed)),
            catalog: None,
        };
        Self {
            number,
            seed: case.seed,
            reads_first: boot.reads_first,
            keeper_calls: boot.keeper_calls,
            intact: true,
            lost: None,
            limits: Limits { segment_bytes_max: case.segment_bytes_max, ..Limits::default() },
            machine,
            disk,
            environment,
            model,
            ledger: None,
            rng,
        }
    }

    fn run(mut self, boot: &Boot) -> Result<Ended, Broken> {
        if self.intact && self.number > 0 && self.model.identity.is_some() {
            CrashDisk::observe(|| check_named(self.machine, self.model))?;
        }
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
        let ended = self.end(boot.end)?;
        let struck = self.disk.faulted();
        Ok(Ended { struck, calls: self.disk.calls().0, no_ledger: flow == Flow::NoLedger, ..ended })
    }

    /// A process after something went bad, which is no crash: it refuses to append and may still read, or it loses
    /// nothing.
    fn run_decayed(mut self) -> Result<Ended, Broken> {
        CrashDisk::observe(|| audit_decayed(self.machine, self.model))?;
        let readable = Ledger::open_read_only(self.environment.clone(), self.limits);
        if let Ok(ledger) = &readable {
            CrashDisk::observe(|| check_decayed(ledger, self.model))?;
        }
        drop(readable);
        match Ledger::open(self.environment.clone(), self.limits) {
            Err(OpenError::Io { source, path }) => return Err(Broken::NotOpened(OpenError::Io { source, path })),
            Err(_) => {}
            Ok(ledger) => {
                let ledger = self.ledger.insert(ledger);
                let (found, expected) = (ledger.checkpoint().unverified().size.0, self.model.receipts.len() as u64);
                if found < expected {
                    return Err(Broken::Lost { expected, found });
                }
                self.let_keeper_finish()?;
                CrashDisk::observe(|| check_decayed(self.ledger.as_ref().expect("it is open"), self.model))?;
                self.close()?;
            }
        }
        self.end(End::Close)?;
        Ok(Ended { calls: self.disk.calls().0, ..Ended::default() })
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
    pub(crate) fn open(&mut self) -> Result<Flow, Broken> {
        let served = if self.reads_first { self.read_first()? } else { Vec::new() };
        let before = self.machine.contents();
        let ledger = match Ledger::open(self.environment.clone(), self.limits) {
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
        self.model.opened();
        self.idle()?;
        if self.flow() == Flow::Stop {
            return Ok(Flow::Stop);
        }
        let ledger = self.ledger.as_ref().expect("it was opened above");
        CrashDisk::observe(|| absorb(ledger, &*self.disk, self.model, &mut self.rng))?;
        for (index, served) in (0..).map(LeafIndex).zip(&served) {
            let known = self.model.receipts.get(usize::try_from(index.0).expect("a small ledger"));
            if !known.is_some_and(|known| known.is(served)) {
                return Err(Broken::Changed { index });
            }
        }
        check_set_aside(&before, &self.machine.contents())?;
        let status = CrashDisk::observe(|| self.ledger().status());
        let (active, end) = status.segments.last().map_or((0, 0), |active| (active.first.0, active.bytes));
        check_empty_behind(&self.machine.contents(), active, end)?;
        self.check_made_again()?;
        Ok(Flow::On)
    }

    /// What was lost is there again, once the keeper has looked at everything and everything was read.
    fn check_made_again(&mut self) -> Result<(), Broken> {
        match self.lost.take() {
            Some(Lost(kind, Some(before))) if self.keeper_calls.is_none() && !self.disk.faulted() => {
                match before.differences(&self.machine.contents().of_kind(kind)) {
                    files if files.is_empty() => Ok(()),
                    files => Err(Broken::NotMadeAgain { files }),
                }
            }
            _ => Ok(()),
        }
    }

    /// Opens the ledger for reading as it was left. What is served must still be there after recovery.
    fn read_first(&mut self) -> Result<Vec<Known>, Broken> {
        let before = self.machine.contents();
        let served = CrashDisk::observe(|| {
            let ledger = match Ledger::open_read_only(self.environment.clone(), self.limits) {
                Ok(ledger) => ledger,
                Err(OpenError::NotALedger) if self.model.identity.is_none() => return Ok(Vec::new()),
                Err(error) => return Err(Broken::NotOpened(error)),
            };
            let checkpoint = SignedCheckpoint::clone(&ledger.checkpoint());
            let size = checkpoint.unverified().size;
            checkpoint.clone().verify(&TrustPolicy::single(ledger.identity().checkpoint_key.clone())?)?;
            if !self.model.hand_out(&checkpoint) {
                return Err(Broken::Forked { size });
            }
            let read = |index| {
                let receipt = ledger.get(index).map_err(|source| Broken::Unreadable { index, source })?;
                Known::found(&receipt).ok_or(Broken::Changed { index })
            };
            (0..size.0).map(LeafIndex).map(read).collect()
        })?;
        match before.differences(&self.machine.contents()) {
            files if files.is_empty() => Ok(served),
            files => Err(Broken::ReaderChanged { files }),
        }
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        self.ledger.as_ref().expect("steps run on an open ledger")
    }

    /// Whether there is still something to step on: a fault can poison the ledger after its batch was acknowledged.
    pub(crate) fn flow(&self) -> Flow {
        if self.disk.stopped() || self.is_poisoned() { Flow::Stop } else { Flow::On }
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        CrashDisk::observe(|| self.ledger().status().health == Health::Poisoned)
    }

    /// A ledger that is opened and closed without a fault is what it was, whatever recovery did before.
    pub(crate) fn open_twice(&mut self) -> Result<Flow, Broken> {
        self.close()?;
        let before = self.machine.contents();
        self.open()?;
        self.close()?;
        match before.differences(&self.machine.contents()) {
            files if files.is_empty() => audit(self.machine, self.model).map(|()| Flow::Stop),
            files => Err(Broken::SecondRecoveryChanged { files }),
        }
    }

    pub(crate) fn close(&mut self) -> Result<Flow, Broken> {
        self.let_keeper_finish()?;
        self.disk.gate(Worker::Keeper, Gate::release);
        let closed = self.ledger().close();
        self.ledger = None;
        self.disk.gate(Worker::Keeper, Gate::hold);
        match closed {
            Ok(()) if self.disk.stopped() => Ok(Flow::Stop),
            Ok(()) => Ok(Flow::On),
            Err(AppendError::Poisoned { .. }) if self.disk.faulted() => Ok(Flow::Stop),
            Err(error) => Err(Broken::WrongError(error)),
        }
    }

    /// Ends the process, and lets happen what happens after it.
    fn end(&mut self, end: End) -> Result<Ended, Broken> {
        let closes = !matches!(end, End::Kill | End::PowerCut);
        let mut closed = false;
        if closes && self.ledger.is_some() && !self.disk.stopped() {
            closed = self.close()? == Flow::On;
        }
        self.disk.stop();
        self.ledger = None;
        if matches!(end, End::PowerCut | End::CloseThenPowerCut) {
            self.machine.power_cut();
        }
        let mut ended = Ended::default();
        match end {
            End::Decay if closed => ended.decayed = self.machine.decay().is_some(),
            End::Lose(kind, loss) if closed => {
                let whole = !self.disk.faulted();
                ended.lost = Some(Lost(kind, whole.then(|| self.machine.contents().of_kind(kind))));
                self.machine.lose(kind, loss);
            }
            _ => {}
        }
        Ok(ended)
    }

    /// Waits until nothing is in flight and the keeper has made the calls it may make.
    pub(crate) fn idle(&self) -> Result<(), Broken> {
        self.wait(|process| {
            let status = process.ledger().status();
            status.health == Health::Poisoned || status.durable_mark >= status.checkpoint.unverified().size
        })?;
        // Files are made again under a lock that readers take too: the keeper is not held back when it may have to.
        match self.keeper_calls.filter(|_| self.intact && !self.disk.faulted()) {
            None => self.let_keeper_finish(),
            Some(calls) => {
                self.disk.gate(Worker::Keeper, |gate| {
                    gate.hold();
                    gate.let_pass(calls);
                });
                let done = self.wait(|process| process.keeper_is_done() || process.disk.is_parked(Worker::Keeper));
                // What it did not use is not kept for later.
                self.disk.gate(Worker::Keeper, Gate::hold);
                done?;
                if self.disk.faulted() { self.let_keeper_finish() } else { Ok(()) }
            }
        }
    }

    /// Lets the keeper work until it has nothing left to do.
    pub(crate) fn let_keeper_finish(&self) -> Result<(), Broken> {
        self.disk.gate(Worker::Keeper, Gate::release);
        let done = self.wait(Self::keeper_is_done);
        self.disk.gate(Worker::Keeper, Gate::hold);
        done
    }

    fn keeper_is_done(&self) -> bool {
        self.ledger().status().background_jobs == 0
    }

    /// Waits until something holds, or the process was stopped.
    pub(crate) fn wait(&self, done: impl Fn(&Self) -> bool) -> Result<(), Broken> {
        let mut polls = 0;
        while !self.disk.stopped() && !CrashDisk::observe(|| done(self)) {
            pause(&mut polls)?;
        }
        Ok(())
    }
}

/// Gives way to the engine's threads; an error when nothing came of that for too long.
pub(crate) fn pause(polls: &mut u32) -> Result<(), Broken> {
    *polls += 1;
    match *polls {
        ..EAGER_POLLS => thread::yield_now(),
        EAGER_POLLS..STUCK_POLLS => thread::sleep(POLL),
        _ => return Err(Broken::Stuck),
    }
    Ok(())
}

impl Drop for Process<'_> {
    /// Also after a broken promise the engine's threads come to an end: none is held back any more.
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
