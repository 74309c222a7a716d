//! Bugs planted in the engine: the checks find each of them in a bounded number of cases, and accuse nobody in the same
//! cases without it.

use counterfoil_engine::PlantedBug;
use counterfoil_sim::{
    Append, Boot, Broken, Case, Condition, Effect, End, Fault, FaultKind, FaultPoint, Gather, Machine, Name,
    SEGMENT_BYTES_MEDIUM, SEGMENT_BYTES_TINY, Step, run, run_on,
};

/// Cases after which a bug must have been found.
const CASES_MAX: u64 = 60;

/// What the checks say about a bug, in the first case that finds it. Every case passes without it.
fn found(bug: PlantedBug, case_at: impl Fn(u64) -> Case) -> Broken {
    for number in 0..CASES_MAX {
        let case = case_at(number);
        run(&case).expect("nothing is wrong with the engine");
        let machine = Machine::new(case.seed, case.lie);
        machine.plant(bug);
        if let Err(violation) = run_on(&case, &machine) {
            return violation.broken;
        }
    }
    panic!("{bug:?} was not found in {CASES_MAX} cases");
}

fn crash(number: u64, effect: Effect) -> Option<Fault> {
    Some(Fault { at: FaultPoint::Change(number), kind: FaultKind::Crash, effect })
}

fn named(operation: &'static str, path: &'static str, number: u64, kind: FaultKind) -> Option<Fault> {
    Some(Fault { at: FaultPoint::Named(operation, path, number), kind, effect: Effect::None })
}

fn append(streams: &[u64]) -> Step {
    let receipts: Vec<_> = streams.iter().map(|stream| (*stream, 100)).collect();
    Step::Append(Append { name: Name::Request, ..Append::plain(&receipts) })
}

fn appends(count: usize) -> Vec<Step> {
    vec![append(&[0, 1]); count]
}

/// A ledger that is written to until the power is cut, and recovered.
fn cut_while_writing(seed: u64) -> Case {
    let first = Boot { fault: crash(30 + seed * 2, Effect::Part), ..Boot::new(appends(12), End::PowerCut) };
    Case::new(seed, vec![first, Case::later_boot(seed, None, End::PowerCut)])
}

#[test]
fn an_acknowledgement_before_the_sync_is_found() {
    let broken = found(PlantedBug::AcknowledgeBeforeSync, cut_while_writing);
    assert!(matches!(broken, Broken::Lost { .. } | Broken::NotOpened(_)), "{broken}");
}

#[test]
fn a_mark_ahead_of_the_data_is_found() {
    let broken = found(PlantedBug::MarkAheadOfData, cut_while_writing);
    assert!(matches!(broken, Broken::NotOpened(_)), "{broken}");
}

#[test]
fn a_name_that_is_not_synced_is_found() {
    let broken = found(PlantedBug::SkipDirectorySync, |seed| {
        let mut steps = appends(2);
        steps.push(Step::Seal);
        steps.extend(appends(3));
        Case::new(seed, vec![Boot::new(steps, End::PowerCut)])
    });
    assert!(matches!(broken, Broken::Gone | Broken::NotOpened(_)), "{broken}");
}

#[test]
fn a_frame_that_is_accepted_with_a_wrong_checksum_is_found() {
    let broken = found(PlantedBug::IgnoreFrameChecksum, |seed| {
        let fault = named("sync_data", "segments/", 3, FaultKind::Crash);
        let large = Step::Append(Append::plain(&[(0, 3000), (1, 3000), (2, 3000)]));
        Case::new(seed, vec![Boot { fault, ..Boot::new(vec![large; 6], End::PowerCut) }])
    });
    assert!(matches!(broken, Broken::Unreadable { .. }), "{broken}");
}

#[test]
fn a_damaged_tail_that_is_left_is_found() {
    let broken = found(PlantedBug::IgnoreDamagedTail, cut_while_writing);
    assert!(matches!(broken, Broken::NotEmpty { .. }), "{broken}");
}

#[test]
fn a_tail_that_is_cut_without_a_copy_is_found() {
    let broken = found(PlantedBug::CutWithoutCopy, cut_while_writing);
    assert!(matches!(broken, Broken::NotSetAside { .. }), "{broken}");
}

/// The last frame is durable below the newest slot of HEAD and above the older one. When it goes bad, the older slot makes
/// a crash of it.
#[test]
fn a_stale_head_is_found() {
    let broken = found(PlantedBug::BelieveStaleHead, |seed| Case::new(seed, vec![Boot::new(appends(1), End::Decay)]));
    assert!(matches!(broken, Broken::Lost { .. }), "{broken}");
}

#[test]
fn a_stale_head_of_a_stream_is_found() {
    let broken = found(PlantedBug::BelieveStaleStreamHead, |seed| {
        Case::new(seed, vec![Boot::new(vec![append(&[0, 0]), Step::Reopen, append(&[0])], End::Close)])
    });
    assert!(matches!(broken, Broken::WrongAnswer { .. } | Broken::UnreadableStream { .. }), "{broken}");
}

/// A sync that failed left a frame in the page cache only; it is read, published and gone with the power.
#[test]
fn publishing_before_the_mark_is_found() {
    let broken = found(PlantedBug::PublishBeforeMark, |seed| {
        let fault = named("sync_data", "segments/", 2 + seed % 4, FaultKind::Eio);
        let first = Boot { fault, ..Boot::new(appends(6), End::Kill) };
        Case { harsh: true, ..Case::new(seed, vec![first, Boot::new(Vec::new(), End::PowerCut)]) }
    });
    assert!(matches!(broken, Broken::Lost { .. } | Broken::NotOpened(_) | Broken::Unreadable { .. }), "{broken}");
}

/// Acknowledged frames above the mark are torn while they are written over themselves.
#[test]
fn frames_that_are_rewritten_without_a_copy_are_found() {
    let broken = found(PlantedBug::RewriteWithoutCopy, |seed| {
        let idle = |fault, end| Boot { fault, ..Boot::new(Vec::new(), end) };
        let acknowledged = named("write", "HEAD", 2 + seed % 4, FaultKind::Crash);
        let first = Boot { fault: acknowledged, ..Boot::new(appends(6), End::PowerCut) };
        let torn = idle(named("sync_data", "segments/", 1, FaultKind::Crash), End::PowerCut);
        Case { harsh: true, ..Case::new(seed, vec![first, torn]) }
    });
    assert!(matches!(broken, Broken::Lost { .. } | Broken::NotSetAside { .. }), "{broken}");
}

#[test]
fn a_sync_that_is_tried_again_is_found() {
    let broken = found(PlantedBug::RetrySync, |seed| {
        let fault = named("sync_data", "segments/", 2 + seed % 4, FaultKind::Eio);
        let first = Boot { fault, ..Boot::new(appends(6), End::PowerCut) };
        Case { harsh: true, ..Case::new(seed, vec![first]) }
    });
    assert!(matches!(broken, Broken::NotOpened(_) | Broken::Lost { .. } | Broken::Unreadable { .. }), "{broken}");
}

#[test]
fn ids_that_are_forgotten_are_found() {
    let broken = found(PlantedBug::ForgetBatchIds, |seed| {
        let steps = vec![append(&[0]), Step::Reopen, Step::Repeat { changed: false }];
        Case::new(seed, vec![Boot::new(steps, End::Close)])
    });
    assert!(matches!(broken, Broken::WrongAnswer { .. }), "{broken}");
}

#[test]
fn a_condition_that_is_not_checked_is_found() {
    let broken = found(PlantedBug::IgnoreCondition, |seed| {
        let late = Append { condition: Condition::Fails, ..Append::plain(&[(0, 10)]) };
        Case::new(seed, vec![Boot::new(vec![append(&[0]), Step::Append(late)], End::Close)])
    });
    assert!(matches!(broken, Broken::WrongAnswer { .. }), "{broken}");
}

/// Two batches are in flight; the second is refused with the head that the first one made, and a crash takes the first away.
#[test]
fn a_refusal_for_receipts_that_are_not_durable_is_found() {
    let broken = found(PlantedBug::RefuseBeforeSync, |seed| {
        let late = Append { condition: Condition::Fails, ..Append::plain(&[(0, 10)]) };
        let together = Step::Together(vec![Append::plain(&[(0, 10)]), late], Gather::Frames);
        let fault = named("sync_data", "segments/", 2 + seed % 2, FaultKind::Crash);
        let boots = vec![Boot { fault, ..Boot::new(vec![append(&[0]), together], End::PowerCut) }];
        Case { segment_bytes_max: SEGMENT_BYTES_MEDIUM, ..Case::new(seed, boots) }
    });
    assert!(matches!(broken, Broken::WrongError(_)), "{broken}");
}

/// A crash between the removal of stream indexes and the manifest that names the merged one.
#[test]
fn indexes_that_are_removed_before_the_manifest_names_another_are_found() {
    let broken = found(PlantedBug::RemoveMergedFirst, |seed| {
        let merging = Case::merging_boot(crash(20 + seed, Effect::None), End::Kill);
        let boots = vec![Case::boot_before_merge(End::Close), merging];
        Case { segment_bytes_max: SEGMENT_BYTES_TINY, ..Case::new(seed, boots) }
    });
    assert!(matches!(broken, Broken::DerivedLost { .. }), "{broken}");
}

/// A power cut takes away a merged index that the manifest names.
#[test]
fn an_index_that_is_named_before_it_is_durable_is_found() {
    let broken = found(PlantedBug::SkipIndexSync, |seed| {
        let merging = Case::merging_boot(None, End::PowerCut);
        let boots = vec![Case::boot_before_merge(End::Close), merging];
        Case { segment_bytes_max: SEGMENT_BYTES_TINY, harsh: true, ..Case::new(seed, boots) }
    });
    assert!(matches!(broken, Broken::DerivedLost { .. }), "{broken}");
}
