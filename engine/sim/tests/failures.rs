//! Each call to the disk failed once, with its effect and without it.

use counterfoil_sim::{
    Append, Boot, Case, Effect, End, Fault, FaultKind, FaultPoint, Name, Step, Violation, enumerate, run,
};

type Verdict = Result<(), Violation>;

/// Each test passes over some calls: they are many, and each of them is struck by several tests.
const STRIDE: u64 = 3;

fn fail_everywhere(seeds: core::ops::Range<u64>, kind: FaultKind, effect: Effect, end: End) -> Verdict {
    for seed in seeds {
        let ran = enumerate(0, |number| {
            // A failed read has no effect, and only changes run out of space.
            let reads_count = (kind, effect) == (FaultKind::Eio, Effect::None);
            let at = if reads_count {
                FaultPoint::Call(number * STRIDE)
            } else {
                FaultPoint::Change(number * STRIDE - seed % STRIDE)
            };
            let mixed = seed + number * 1_000_003;
            let first = Case::first_boot(seed, Some(Fault { at, kind, effect }), end);
            Case::new(mixed, vec![first, Case::later_boot(mixed, None, End::PowerCut)])
        })?;
        assert!(ran > 20, "seed {seed}: the first process calls the disk often");
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

/// From every change on the disk is full until the process ends.
#[test]
fn a_disk_that_stays_full_loses_nothing_acknowledged() -> Verdict {
    fail_everywhere(40..41, FaultKind::Full, Effect::None, End::Close)?;
    fail_everywhere(41..42, FaultKind::Full, Effect::None, End::PowerCut)
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
                Boot { fault: Some(fault), ..Boot::new(Vec::new(), End::Kill) },
                Case::later_boot(mixed, None, End::PowerCut),
            ];
            Case::new(mixed, boots)
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
                let at = FaultPoint::Change(number * STRIDE - again % STRIDE);
                let fault = Fault { at, kind: FaultKind::Eio, effect: Effect::None };
                let crash = Fault { at: FaultPoint::Change(again), kind: FaultKind::Crash, effect: Effect::Part };
                let boots = vec![
                    Case::first_boot(seed, Some(fault), End::Kill),
                    Case::later_boot(mixed, Some(crash), End::PowerCut),
                    Case::later_boot(mixed, None, End::PowerCut),
                ];
                Case::new(mixed, boots)
            })?;
        }
    }
    Ok(())
}

fn named(operation: &'static str, path: &'static str, number: u64, kind: FaultKind, effect: Effect) -> Option<Fault> {
    Some(Fault { at: FaultPoint::Named(operation, path, number), kind, effect })
}

/// The newest slot of HEAD is in the page cache only, and a power cut comes while a slot is written.
#[test]
fn a_lost_slot_of_head_is_made_good_before_the_other_one_is_written() -> Verdict {
    for (lost, torn) in (1..5).flat_map(|lost| (1..4).map(move |torn| (lost, torn))) {
        let fault = named("sync_data", "HEAD", lost, FaultKind::Eio, Effect::None);
        let crash = named("write", "HEAD", torn, FaultKind::Crash, Effect::Whole);
        let boots = vec![
            Case::first_boot(70, fault, End::Kill),
            Case::later_boot(70, crash, End::PowerCut),
            Case::later_boot(70, None, End::PowerCut),
        ];
        let outcome = run(&Case { harsh: true, ..Case::new(70, boots) })?;
        assert!(outcome.struck[0], "HEAD is written often");
    }
    Ok(())
}

/// Acknowledged frames above the mark are rewritten from a copy; a kill left the copy's name in the page cache only.
#[test]
fn frames_are_not_rewritten_from_a_copy_that_a_power_cut_takes_away() -> Verdict {
    let mut rewritten = 0;
    for acknowledged in 2..8 {
        let idle = |fault, end| Boot { fault, ..Boot::new(Vec::new(), end) };
        let boots = vec![
            Case::first_boot(71, named("write", "HEAD", acknowledged, FaultKind::Crash, Effect::None), End::PowerCut),
            idle(named("sync_dir", "redo", 1, FaultKind::Crash, Effect::None), End::Kill),
            idle(named("sync_data", "segments/", 1, FaultKind::Crash, Effect::None), End::PowerCut),
            Case::later_boot(71, None, End::PowerCut),
        ];
        let outcome = run(&Case { harsh: true, ..Case::new(71, boots) })?;
        rewritten += u32::from(outcome.struck[1] && outcome.struck[2]);
    }
    assert!(rewritten >= 2, "receipts above the mark are rewritten");
    Ok(())
}

/// The manifest names a new segment although the system said that there was no space for it: what is appended to the old
/// one after that would be refused when the ledger is opened again.
#[test]
fn a_full_disk_that_renamed_all_the_same_takes_no_more_receipts() -> Verdict {
    let append = || Step::Append(Append { with_proofs: true, ..Append::plain(&[(0, 100), (1, 100)]) });
    for effect in [Effect::None, Effect::Whole] {
        // The first one is that of creation.
        for (operation, path, number) in [("rename", "MANIFEST", 2), ("sync_dir", "", 8), ("sync_dir", "", 9)] {
            let steps = vec![append(), Step::Seal, append(), Step::Reopen, append()];
            let fault = named(operation, path, number, FaultKind::Enospc, effect);
            let boots = vec![Boot { fault, ..Boot::new(steps, End::Close) }, Case::later_boot(72, None, End::PowerCut)];
            let outcome = run(&Case::new(72, boots))?;
            assert!(outcome.struck[0]);
        }
    }
    Ok(())
}

/// Whoever repeats a batch takes no space: the first answer is there, however full the disk.
#[test]
fn a_full_disk_answers_what_was_sent_before() -> Verdict {
    for number in 30..60 {
        let append = || Step::Append(Append { name: Name::Request, ..Append::plain(&[(0, 5000), (1, 100)]) });
        let steps =
            [append(), append(), append(), append(), Step::Repeat { changed: false }, Step::Repeat { changed: true }];
        let fault = Fault { at: FaultPoint::Change(number), kind: FaultKind::Full, effect: Effect::None };
        run(&Case::new(number, vec![Boot { fault: Some(fault), ..Boot::new(steps.to_vec(), End::Close) }]))?;
    }
    Ok(())
}
