//! Runs simulated cases: `counterfoil-sim --seed N [--trace]` replays one, `counterfoil-sim --scenarios N [--from SEED]
//! [--threads T]` runs many.

use anyhow::{Context as _, bail};
use counterfoil_sim::{Case, Lie, Machine, Outcome, Violation, run, run_on};
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

const USAGE: &str = "usage: counterfoil-sim --seed N [--trace] | --scenarios N [--from SEED] [--threads T]";
/// After so many cases that broke a promise no more are begun.
const FAILED_MAX: usize = 10;
/// Cases between two signs of life.
const REPORT_EVERY: u64 = 10_000;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--seed", seed] => replay(number(seed)?, false),
        ["--seed", seed, "--trace"] => replay(number(seed)?, true),
        ["--scenarios", count, ref rest @ ..] => {
            let (mut from, mut threads) = (0, thread::available_parallelism()?.get() as u64);
            for pair in rest.chunks(2) {
                match pair {
                    ["--from", seed] => from = number(seed)?,
                    ["--threads", count] => threads = number(count)?.max(1),
                    _ => bail!(USAGE),
                }
            }
            many(from, number(count)?, threads)
        }
        _ => bail!(USAGE),
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    text.parse().with_context(|| format!("{text} is no number; {USAGE}"))
}

/// Replays one case and says what it did.
fn replay(seed: u64, trace: bool) -> anyhow::Result<ExitCode> {
    let case = Case::drawn(seed);
    let machine = Machine::new(seed, Lie::None);
    machine.record_trace();
    let outcome = run_on(&case, &machine);
    let mut out = std::io::stdout().lock();
    if trace {
        for line in machine.trace_lines() {
            writeln!(out, "{line}")?;
        }
    }
    writeln!(out, "segments of {} bytes", case.segment_bytes_max)?;
    for (at, boot) in case.boots.iter().enumerate() {
        let (steps, fault, end, keeper) = (boot.steps.len(), boot.fault, boot.end, boot.keeper_calls);
        writeln!(out, "boot {at}: {steps} steps, fault {fault:?}, ends in {end:?}, keeper calls {keeper:?}")?;
    }
    let (calls, digest) = machine.trace_summary();
    writeln!(out, "calls {calls:?}, digest {digest:016x}")?;
    let outcome = outcome?;
    writeln!(out, "faults that struck {:?}, receipts {}: every check held", outcome.struck, outcome.receipts)?;
    Ok(ExitCode::SUCCESS)
}

/// What all cases did.
#[derive(Default)]
struct Tally {
    struck: u64,
    calls: u64,
    receipts: u64,
    failed: Vec<Violation>,
}

impl Tally {
    fn add(&mut self, outcome: Result<Outcome, Violation>) {
        match outcome {
            Ok(outcome) => {
                self.struck += outcome.struck.iter().filter(|struck| **struck).count() as u64;
                self.calls += outcome.calls.iter().sum::<u64>();
                self.receipts += outcome.receipts as u64;
            }
            Err(violation) => self.failed.push(violation),
        }
    }
}

/// Runs many cases on several threads; fails when one of them broke a promise.
fn many(first: u64, count: u64, threads: u64) -> anyhow::Result<ExitCode> {
    let next = AtomicU64::new(0);
    let tally = Mutex::new(Tally::default());
    let locked = || tally.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while locked().failed.len() < FAILED_MAX {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let seed = first.wrapping_add(number);
                    let outcome = run(&Case::drawn(seed));
                    if let Err(violation) = &outcome {
                        let _ = writeln!(std::io::stderr(), "{violation}\n  replay it with --seed {seed} --trace");
                    }
                    locked().add(outcome);
                    if (number + 1).is_multiple_of(REPORT_EVERY) {
                        let _ = writeln!(std::io::stderr(), "{} of {count} scenarios", number + 1);
                    }
                }
            });
        }
    });
    let Tally { struck, calls, receipts, mut failed } = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut out = std::io::stdout().lock();
    if failed.is_empty() {
        writeln!(
            out,
            "{count} scenarios, {struck} faults struck, {calls} disk calls, {receipts} receipts: every check held"
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    failed.sort_by_key(|violation| violation.seed);
    let seeds: Vec<String> = failed.iter().map(|violation| violation.seed.to_string()).collect();
    writeln!(out, "promises broken by seeds {}; replay one with --seed N --trace", seeds.join(" "))?;
    Ok(ExitCode::FAILURE)
}
