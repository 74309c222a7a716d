//! Each call to the disk failed once, with its effect and without it.

use counterfoil_sim::{Boot, Case, Effect, End, Fault, FaultKind, FaultPoint, Lie, Violation, enumerate};

type Verdict = Result<(), Violation>;

fn fail_everywhere(seeds: core::ops::Range<u64>, kind: FaultKind, effect: Effect, end: End) -> Verdict {
    for seed in seeds {
        let ran = enumerate(0, |number| {
            // A failed read has no effect, and only changes run out of space.
            let reads_count = (kind, effect) == (FaultKind::Eio, Effect::None);
            let at = if reads_count { FaultPoint::Call(number) } else { FaultPoint::Change(number) };
            let mixed = seed + number * 1_000_003;
            let first = Case::first_boot(seed, Some(Fault { at, kind, effect }), end);
            Case { seed: mixed, lie: Lie::None, boots: vec![first, Case::later_boot(mixed, None, End::PowerCut)] }
        })?;
        assert!(ran > 60, "seed {seed}: the first process calls the disk often");
    }
    Ok(())
}

#[test]
fn a_call_that_fails_without_effect_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(30..31, FaultKind::Eio, Effect::None, End::Kill)
}

#[test]
fn a_call_that_fails_with_part_of_its_effect_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(33..34, FaultKind::Eio, Effect::Part, End::PowerCut)
}

#[test]
fn a_call_that_fails_with_its_effect_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(32..33, FaultKind::Eio, Effect::Whole, End::Close)
}

#[test]
fn a_full_disk_without_effect_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(34..35, FaultKind::Enospc, Effect::None, End::Close)
}

#[test]
fn a_full_disk_with_part_of_its_effect_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(36..37, FaultKind::Enospc, Effect::Part, End::PowerCut)
}

#[test]
fn a_full_disk_with_effect_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(38..39, FaultKind::Enospc, Effect::Whole, End::Kill)
}

/// A sync that fails once and then succeeds with the data gone, in the process that recovers.
#[test]
fn a_call_that_fails_while_recovering_loses_nothing_acknowledged() -> Verdict {
    for (seed, first) in [(50, 45), (52, 60), (53, 75)] {
        enumerate(1, |number| {
            let mixed = seed + number * 1_000_003;
            let crash = Fault { at: FaultPoint::Change(first), kind: FaultKind::Crash, effect: Effect::Part };
            let fault = Fault { at: FaultPoint::Call(number), kind: FaultKind::Eio, effect: Effect::None };
            let boots = vec![
                Case::first_boot(seed, Some(crash), End::PowerCut),
                Boot { steps: Vec::new(), fault: Some(fault), end: End::Kill },
                Case::later_boot(mixed, None, End::PowerCut),
            ];
            Case { seed: mixed, lie: Lie::None, boots }
        })?;
    }
    Ok(())
}

/// A sync that lost data looks as if it had not, until the power is cut: what is built on it must not be lost with it.
#[test]
fn a_call_that_failed_is_made_good_before_the_next_power_cut() -> Verdict {
    for seed in 60..61 {
        for again in [5, 9, 13] {
            enumerate(0, |number| {
                let mixed = seed + number * 1_000_003;
                let fault = Fault { at: FaultPoint::Change(number), kind: FaultKind::Eio, effect: Effect::None };
                let crash = Fault { at: FaultPoint::Change(again), kind: FaultKind::Crash, effect: Effect::Part };
                let boots = vec![
                    Case::first_boot(seed, Some(fault), End::Kill),
                    Case::later_boot(mixed, Some(crash), End::PowerCut),
                    Case::later_boot(mixed, None, End::PowerCut),
                ];
                Case { seed: mixed, lie: Lie::None, boots }
            })?;
        }
    }
    Ok(())
}
