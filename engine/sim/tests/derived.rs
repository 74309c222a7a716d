//! Files that follow from the segments: merged, lost, damaged and made again, with every call failing once.

use counterfoil_sim::{
    Boot, Case, Derived, Effect, End, Fault, FaultKind, FaultPoint, Lie, Loss, Machine, SEGMENT_BYTES_TINY, Violation,
    enumerate, run, run_on,
};

type Verdict = Result<(), Violation>;

fn case(seed: u64, boots: Vec<Boot>) -> Case {
    Case { segment_bytes_max: SEGMENT_BYTES_TINY, ..Case::new(seed, boots) }
}

fn idle(end: End) -> Boot {
    Boot::new(Vec::new(), end)
}

/// Calls that read count only for faults without effect.
fn point(number: u64, kind: FaultKind, effect: Effect) -> FaultPoint {
    let reads_count = (kind, effect) == (FaultKind::Eio, Effect::None);
    if reads_count { FaultPoint::Call(number) } else { FaultPoint::Change(number) }
}

/// Each test passes over some calls; together those of crashes strike every change.
const STRIDE: u64 = 3;
/// Of calls that fail, half as many are struck.
const STRIDE_FAILING: u64 = 6;

fn strike_merging(seed: u64, kind: FaultKind, effect: Effect, end: End) -> Verdict {
    let ran = enumerate(1, |number| {
        let stride = if kind == FaultKind::Crash { STRIDE } else { STRIDE_FAILING };
        let at = point(number * stride - seed % stride, kind, effect);
        let fault = Some(Fault { at, kind, effect });
        let boots = vec![Case::boot_before_merge(End::Close), Case::merging_boot(fault, end), idle(End::PowerCut)];
        case(seed + number * 1_000_003, boots)
    })?;
    assert!(ran > 8, "a merge calls the disk often");
    Ok(())
}

/// The merged index is the only one of its tier, and what it replaces is gone.
#[test]
fn eight_stream_indexes_are_merged_in_the_process_that_is_struck() {
    let machine = Machine::new(0, Lie::None);
    run_on(&case(0, vec![Case::boot_before_merge(End::Close)]), &machine).unwrap();
    let indexes =
        |machine: &Machine| machine.contents().files().filter(|(path, _)| Derived::Streams.holds(path)).count();
    assert_eq!(indexes(&machine), 7);
    let machine = Machine::new(0, Lie::None);
    let boots = vec![Case::boot_before_merge(End::Close), Case::merging_boot(None, End::Close)];
    run_on(&case(0, boots), &machine).unwrap();
    assert_eq!(indexes(&machine), 2, "one of eight segments and one of one");
}

#[test]
fn a_power_cut_at_any_change_of_a_merge_loses_nothing() -> Verdict {
    strike_merging(1, FaultKind::Crash, Effect::None, End::PowerCut)?;
    strike_merging(2, FaultKind::Crash, Effect::Part, End::PowerCut)
}

#[test]
fn a_kill_at_any_change_of_a_merge_loses_nothing() -> Verdict {
    strike_merging(3, FaultKind::Crash, Effect::Part, End::Kill)
}

#[test]
fn a_call_of_a_merge_that_fails_loses_nothing() -> Verdict {
    strike_merging(4, FaultKind::Eio, Effect::None, End::Kill)?;
    strike_merging(5, FaultKind::Eio, Effect::Whole, End::PowerCut)
}

#[test]
fn a_disk_that_is_full_during_a_merge_loses_nothing() -> Verdict {
    strike_merging(6, FaultKind::Enospc, Effect::None, End::PowerCut)?;
    strike_merging(7, FaultKind::Enospc, Effect::Whole, End::Close)?;
    strike_merging(8, FaultKind::Full, Effect::None, End::Close)
}

/// Merged and unmerged indexes, leaf files, and recoveries in the copy of control receipts.
fn long_before(end: End) -> Vec<Boot> {
    vec![Case::boot_before_merge(End::Kill), Case::merging_boot(None, end)]
}

#[test]
fn whatever_is_lost_or_damaged_is_made_again() -> Verdict {
    for (at, (kind, loss)) in all_losses().enumerate() {
        for seed in 0..2 {
            let mut boots = long_before(End::Lose(kind, loss));
            boots.push(Boot { reads_first: seed % 2 == 0, ..Case::later_boot(seed, None, End::PowerCut) });
            run(&case(100 * at as u64 + seed, boots))?;
        }
    }
    Ok(())
}

/// Leaf files and indexes are many, and made again alike.
const STRIDE_REBUILDING: u64 = 16;

fn strike_rebuilding(seed: u64, kind: FaultKind, effect: Effect, end: End) -> Verdict {
    for (at, (derived, loss)) in all_losses().enumerate() {
        enumerate(2, |number| {
            let offset = (seed + at as u64) % STRIDE_REBUILDING;
            let fault = Some(Fault { at: point(number * STRIDE_REBUILDING - offset, kind, effect), kind, effect });
            let mut boots = long_before(End::Lose(derived, loss));
            boots.extend([Boot { fault, ..idle(end) }, idle(End::PowerCut)]);
            case(seed + 100 * at as u64 + number * 1_000_003, boots)
        })?;
    }
    Ok(())
}

fn all_losses() -> impl Iterator<Item = (Derived, Loss)> {
    Derived::ALL.into_iter().flat_map(|kind| Loss::ALL.map(|loss| (kind, loss)))
}

#[test]
fn a_crash_while_lost_files_are_made_again_loses_nothing() -> Verdict {
    strike_rebuilding(20, FaultKind::Crash, Effect::Part, End::PowerCut)
}

#[test]
fn a_call_that_fails_while_lost_files_are_made_again_loses_nothing() -> Verdict {
    strike_rebuilding(21, FaultKind::Eio, Effect::None, End::Kill)
}

#[test]
fn a_full_disk_while_lost_files_are_made_again_loses_nothing() -> Verdict {
    strike_rebuilding(22, FaultKind::Full, Effect::None, End::Close)
}
