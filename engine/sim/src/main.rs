//! Runs simulated cases: `counterfoil-sim --seed N [--trace]` replays one, `counterfoil-sim --scenarios N [--from SEED]`
//! runs many.

use anyhow::{Context as _, bail};
use counterfoil_sim::{Case, Lie, Machine, run, run_on};
use std::io::Write as _;

const USAGE: &str = "usage: counterfoil-sim --seed N [--trace] | --scenarios N [--from SEED]";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--seed", seed] => replay(number(seed)?, false),
        ["--seed", seed, "--trace"] => replay(number(seed)?, true),
        ["--scenarios", count] => many(0, number(count)?),
        ["--scenarios", count, "--from", first] => many(number(first)?, number(count)?),
        _ => bail!(USAGE),
    }
}

fn number(text: &str) -> anyhow::Result<u64> {
    text.parse().with_context(|| format!("{text} is no number; {USAGE}"))
}

/// Replays one case and says what it did.
fn replay(seed: u64, trace: bool) -> anyhow::Result<()> {
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
    for (at, boot) in case.boots.iter().enumerate() {
        writeln!(out, "boot {at}: {} steps, fault {:?}, ends in {:?}", boot.steps.len(), boot.fault, boot.end)?;
    }
    let (calls, digest) = machine.trace_summary();
    writeln!(out, "calls {calls:?}, digest {digest:016x}")?;
    let outcome = outcome?;
    writeln!(out, "faults that struck {:?}, receipts {}: every check held", outcome.struck, outcome.receipts)?;
    Ok(())
}

/// Runs many cases and stops at the first that breaks a promise.
fn many(first: u64, count: u64) -> anyhow::Result<()> {
    let (mut struck, mut calls) = (0, 0);
    for seed in first..first.saturating_add(count) {
        let outcome = run(&Case::drawn(seed)).with_context(|| format!("replay it with --seed {seed}"))?;
        struck += outcome.struck.iter().filter(|struck| **struck).count();
        calls += outcome.calls.iter().sum::<u64>();
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "{count} scenarios, {struck} faults struck, {calls} disk calls: every check held")?;
    Ok(())
}
