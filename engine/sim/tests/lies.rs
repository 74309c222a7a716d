//! The checks can fail: a disk that lies is found out.

use counterfoil_sim::{Broken, Case, End, Lie, run};

/// What the checks say about a disk that lies, over some seeds without any fault but the lie.
fn found(lie: Lie, end: End) -> Vec<Broken> {
    (0..20)
        .filter_map(|seed| {
            let boots = vec![Case::first_boot(seed, None, end), Case::later_boot(seed, None, end)];
            run(&Case { lie, ..Case::new(seed, boots) }).err().map(|violation| violation.broken)
        })
        .collect()
}

#[test]
fn a_disk_that_does_not_sync_contents_is_found_out() {
    let found = found(Lie::SyncDoesNothing, End::PowerCut);
    assert!(found.len() >= 10, "{found:?}");
    let lost = |broken: &Broken| {
        let missing = matches!(broken, Broken::Lost { .. } | Broken::NotOpened(_) | Broken::Gone);
        missing || matches!(broken, Broken::DerivedLost { .. } | Broken::Unreadable { .. })
    };
    assert!(found.iter().all(lost), "{found:?}");
}

#[test]
fn a_disk_that_does_not_sync_names_is_found_out() {
    let found = found(Lie::SyncDirDoesNothing, End::PowerCut);
    assert!(found.len() >= 10, "{found:?}");
    let gone = |broken: &Broken| matches!(broken, Broken::Gone | Broken::NotAudited(_) | Broken::NotOpened(_));
    assert!(found.iter().any(gone), "{found:?}");
}

#[test]
fn a_disk_that_flips_bits_is_found_out() {
    let found = found(Lie::ReadFlipsBit, End::Close);
    assert!(found.len() >= 10, "{found:?}");
    let noticed =
        |broken: &Broken| matches!(broken, Broken::NotOpened(_) | Broken::Unreadable { .. } | Broken::WrongError(_));
    assert!(found.iter().all(noticed), "{found:?}");
}

#[test]
fn an_honest_disk_is_not_accused() {
    assert!(found(Lie::None, End::PowerCut).is_empty());
    assert!(found(Lie::None, End::Kill).is_empty());
}
