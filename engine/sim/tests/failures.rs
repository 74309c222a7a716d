//! Each call to the disk failed once, with its effect and without it.

use counterfoil_sim::{Boot, Case, Effect, End, Fault, FaultKind, FaultPoint, Lie, enumerate};

fn fail_everywhere(seeds: core::ops::Range<u64>, kind: FaultKind, effect: Effect, end: End) {
    for seed in seeds {
        let ran = enumerate(0, |number| {
            // Every read counts for an I/O error; only changes run out of space.
            let at = if kind == FaultKind::Eio { FaultPoint::Call(number) } else { FaultPoint::Change(number) };
            let mixed = seed + number * 1_000_003;
            let first = Case::first_boot(seed, Some(Fault { at, kind, effect }), end);
            Case { seed: mixed, lie: Lie::None, boots: vec![first, Case::later_boot(mixed, None, End::PowerCut)] }
        });
        assert!(ran.unwrap() > 60, "the first process calls the disk often");
    }
}

#[test]
fn a_call_that_fails_without_effect_loses_nothing_acknowledged() {
    fail_everywhere(30..31, FaultKind::Eio, Effect::None, End::Kill);
    fail_everywhere(31..32, FaultKind::Eio, Effect::None, End::PowerCut);
}

#[test]
fn a_call_that_fails_with_its_effect_loses_nothing_acknowledged() {
    fail_everywhere(32..33, FaultKind::Eio, Effect::Whole, End::Close);
    fail_everywhere(33..34, FaultKind::Eio, Effect::Part, End::PowerCut);
}

#[test]
fn a_full_disk_without_effect_loses_nothing_acknowledged() {
    fail_everywhere(34..36, FaultKind::Enospc, Effect::None, End::Close);
    fail_everywhere(36..38, FaultKind::Enospc, Effect::Part, End::PowerCut);
}

#[test]
fn a_full_disk_with_effect_loses_nothing_acknowledged() {
    fail_everywhere(38..41, FaultKind::Enospc, Effect::Whole, End::Kill);
}

/// A sync that fails once and then succeeds with the data gone, in the process that recovers.
#[test]
fn a_call_that_fails_while_recovering_loses_nothing_acknowledged() {
    for (seed, first) in [(50, 30), (51, 45), (52, 52), (53, 60), (54, 66), (55, 75)] {
        let ran = enumerate(1, |number| {
            let mixed = seed + number * 1_000_003;
            let crash = Fault { at: FaultPoint::Change(first), kind: FaultKind::Crash, effect: Effect::Part };
            let fault = Fault { at: FaultPoint::Call(number), kind: FaultKind::Eio, effect: Effect::None };
            let boots = vec![
                Case::first_boot(seed, Some(crash), End::PowerCut),
                Boot { steps: Vec::new(), fault: Some(fault), end: End::Kill },
                Case::later_boot(mixed, None, End::PowerCut),
            ];
            Case { seed: mixed, lie: Lie::None, boots }
        });
        ran.unwrap();
    }
}
