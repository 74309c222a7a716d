//! A crash at every change a ledger makes to its disk, and what must be there afterwards.

use counterfoil_sim::{
    Append, Boot, Case, Effect, End, Fault, FaultKind, FaultPoint, Lie, Machine, Name, Step, Violation, enumerate, run,
    run_on,
};

type Verdict = Result<(), Violation>;

fn crash(number: u64, effect: Effect) -> Option<Fault> {
    Some(Fault { at: FaultPoint::Change(number), kind: FaultKind::Crash, effect })
}

/// A crash at every change of the first process, of two seeds in turn, ending as told; a later process goes on and ends in
/// a power cut.
fn crash_everywhere(seeds: core::ops::Range<u64>, effect: Effect, end: End) -> Verdict {
    for seed in seeds {
        let ran = enumerate(0, |number| {
            let first = Case::first_boot(seed, crash(number * 2 - seed % 2, effect), end);
            // Each crash has a seed of its own for what the power cut keeps.
            let mixed = seed + number * 1_000_003;
            Case::new(mixed, vec![first, Case::later_boot(mixed, None, End::PowerCut)])
        })?;
        assert!(ran > 30, "seed {seed}: the first process changes much");
    }
    Ok(())
}

#[test]
fn a_power_cut_at_any_change_loses_nothing_acknowledged() -> Verdict {
    crash_everywhere(0..2, Effect::None, End::PowerCut)
}

#[test]
fn a_power_cut_in_the_middle_of_any_change_loses_nothing_acknowledged() -> Verdict {
    crash_everywhere(4..6, Effect::Part, End::PowerCut)
}

#[test]
fn a_kill_at_any_change_followed_by_a_power_cut_loses_nothing_acknowledged() -> Verdict {
    crash_everywhere(7..8, Effect::Whole, End::Kill)
}

#[test]
fn a_kill_in_the_middle_of_any_change_loses_nothing_acknowledged() -> Verdict {
    crash_everywhere(10..11, Effect::Part, End::Kill)
}

/// A first crash at every k-th change, then one at every change of the recovery from it.
fn crash_in_recovery(seeds: core::ops::Range<u64>, step: usize, ends: [End; 2]) -> Verdict {
    for seed in seeds {
        for first in (41..90).step_by(step) {
            enumerate(1, |number| {
                let mixed = seed + first * 7919 + number * 1_000_003;
                let boots = vec![
                    Case::first_boot(seed, crash(first, Effect::Part), ends[0]),
                    Boot { fault: crash(number * 2 - first % 2, Effect::Part), ..Boot::new(Vec::new(), ends[1]) },
                    Case::later_boot(mixed, None, End::PowerCut),
                ];
                Case::new(mixed, boots)
            })?;
        }
    }
    Ok(())
}

#[test]
fn a_power_cut_while_recovering_from_a_power_cut_loses_nothing_acknowledged() -> Verdict {
    crash_in_recovery(20..21, 11, [End::PowerCut, End::PowerCut])
}

#[test]
fn a_kill_while_recovering_from_a_power_cut_loses_nothing_acknowledged() -> Verdict {
    crash_in_recovery(21..22, 15, [End::PowerCut, End::Kill])
}

#[test]
fn a_power_cut_while_recovering_from_a_kill_loses_nothing_acknowledged() -> Verdict {
    crash_in_recovery(22..23, 15, [End::Kill, End::PowerCut])
}

/// A frame can survive whole while a sector of the zeros behind it does not: it must not be kept as it is, or every audit
/// from then on finds bytes that belong to nothing.
#[test]
fn a_frame_whose_padding_is_damaged_is_cut() -> Verdict {
    for seed in 1000..1040 {
        let at = FaultPoint::Named("sync_data", "segments/", 1);
        let fault = Some(Fault { at, kind: FaultKind::Crash, effect: Effect::None });
        let steps = vec![Step::Append(Append { name: Name::Request, ..Append::plain(&[(0, 10)]) })];
        run(&Case::new(seed, vec![Boot { fault, ..Boot::new(steps, End::PowerCut) }]))?;
    }
    Ok(())
}

#[test]
fn drawn_cases_hold() {
    for seed in 0..300 {
        run(&Case::drawn(seed)).unwrap();
    }
}

#[test]
fn the_same_seed_makes_the_same_trace() {
    let trace = |case: &Case| {
        let machine = Machine::new(case.seed, Lie::None);
        machine.record_trace();
        run_on(case, &machine).unwrap();
        machine.trace_lines()
    };
    for seed in 0..40 {
        let case = Case::drawn(seed);
        let (first, second) = (trace(&case), trace(&case));
        let differs = first.iter().zip(&second).position(|(one, other)| one != other);
        let differs = differs.map(|at| (&first[at.saturating_sub(3)..=at], &second[at]));
        assert!(first.len() == second.len() && differs.is_none(), "seed {seed}: {differs:?}");
    }
}
