//! Every kind of file cut, zeroed, emptied, deleted, swapped with a sibling and replaced by an older copy.

use super::*;
use crate::Trust;
use crate::testing::signer;

/// Genesis and `frames` frames of three receipts; a segment is sealed after every second one.
fn grown(frames: usize) -> Ledger {
    let mut scratch = Scratch::new();
    for frame in 1..=frames {
        scratch.frame(&[draft("a", "{\"first\":1}"), draft("b", "22"), draft("a", "333")]);
        if frame % 2 == 0 {
            scratch.seal();
        }
    }
    scratch.finish()
}

/// Asserts that a change was told, and no receipt left out of the account.
fn told(ledger: &Ledger, size: u64, what: &str) {
    let report = ledger.verify();
    let tail = report.tail.receipts > 0 || report.tail.damaged_bytes > 0;
    assert!(!report.findings.is_empty() || tail, "{what} is not told");
    let judged = report.verdicts.total() + report.tail.receipts;
    // Without HEAD nothing but the frames themselves says how many there were, and the ledger fails for it.
    let unknowable = failures(&report).iter().any(|code| matches!(code, Code::Head));
    assert!(judged >= size || unknowable, "{what}: {judged} of {size}, {:?}", report.findings);
    for finding in &report.findings {
        let names = |path: &str| finding.message.contains(path);
        let located = finding.index.is_some() || finding.offset.is_some() || finding.segment.is_some();
        let small = ["HEAD", "MANIFEST", "ledger.vkey", "control", "segments/"].iter().any(|path| names(path));
        assert!(located || small, "{what} is not located: {finding:?}");
    }
}

#[test]
fn a_file_cut_zeroed_emptied_or_deleted_is_told() {
    let ledger = grown(5);
    for (path, bytes) in &ledger.memory.0 {
        let mut cut = ledger.clone();
        cut.file(path).truncate(bytes.len() - 1);
        // The open segment is written ahead with zeros: its length means nothing.
        let zeros_only = path.ends_with("13.0.seg");
        if zeros_only {
            let end = usize::try_from(ledger.spots[15].frame + ledger.spots[15].frame_len).unwrap();
            cut.file(path).truncate(end - 1);
        }
        told(&cut, ledger.size(), &format!("{path} cut"));
        let mut half = ledger.clone();
        half.file(path).truncate(bytes.len() / 3);
        told(&half, ledger.size(), &format!("{path} cut to a third"));
        let mut zeroed = ledger.clone();
        zeroed.file(path).fill(0);
        told(&zeroed, ledger.size(), &format!("{path} zeroed"));
        let mut emptied = ledger.clone();
        emptied.file(path).clear();
        told(&emptied, ledger.size(), &format!("{path} emptied"));
        let mut deleted = ledger.clone();
        deleted.memory.0.remove(path);
        told(&deleted, ledger.size(), &format!("{path} deleted"));
    }
}

#[test]
fn a_file_swapped_with_any_other_is_told() {
    let ledger = grown(5);
    let paths: Vec<_> = ledger.memory.0.keys().collect();
    for (at, one) in paths.iter().enumerate() {
        for other in &paths[..at] {
            let mut swapped = ledger.clone();
            *swapped.file(one) = ledger.memory.0[*other].clone();
            *swapped.file(other) = ledger.memory.0[*one].clone();
            told(&swapped, ledger.size(), &format!("{one} swapped with {other}"));
        }
    }
}

#[test]
fn a_file_replaced_by_its_older_copy_is_told() {
    let ledger = grown(5);
    for frames in 1..5 {
        let older = grown(frames);
        for (path, bytes) in older.memory.0.iter().filter(|(path, bytes)| ledger.memory.0.get(*path) != Some(bytes)) {
            let mut replaced = ledger.clone();
            *replaced.file(path) = bytes.clone();
            told(&replaced, ledger.size(), &format!("{path} of {frames} frames"));
        }
    }
}

#[test]
fn several_files_replaced_by_older_copies_are_told() {
    let (ledger, older) = (grown(5), grown(3));
    let segment = "segments/00000000000000000007.0.seg";
    for paths in [&["MANIFEST", "HEAD"][..], &["MANIFEST", segment], &["HEAD", segment], &["MANIFEST", "HEAD", segment]]
    {
        let mut replaced = ledger.clone();
        for path in paths {
            *replaced.file(path) = older.memory.0[*path].clone();
        }
        let report = replaced.verify();
        assert!(!report.verified(), "{paths:?}");
    }
}

#[test]
fn an_older_copy_of_the_whole_directory_is_shown_by_a_checkpoint_kept_and_by_nothing_else() {
    let (ledger, older) = (grown(5), grown(3));
    let report = older.verify();
    assert!(report.verified());
    let remark = "an older copy of the whole directory cannot be told from the current one";
    assert!(report.remarks.iter().any(|one| one.contains("rewritten everything") && one.contains(remark)));
    let kept = Trust { seen: vec![ledger.checkpoints[&16].clone()], ..trust() };
    let report = older.verify_with(&kept);
    assert_eq!(failures(&report), [Code::SeenLonger]);
    let finding = report.failures().next().unwrap();
    let both = (finding.expected.as_ref().unwrap(), finding.found.as_ref().unwrap());
    assert_eq!(both, (&ledger.checkpoints[&16].to_string(), &older.checkpoints[&10].to_string()));
    assert!(!report.remarks.iter().any(|one| one.contains(remark)));
}

#[test]
fn a_rewritten_directory_is_shown_by_a_checkpoint_kept_side_by_side_with_its_own() {
    let rewritten = grown(5);
    let kept = signer(7).sign(counterfoil_proof::TreeSize(10), counterfoil_proof::Hash([4; 32]));
    let report = rewritten.verify_with(&Trust { seen: vec![kept.clone()], ..trust() });
    assert_eq!(failures(&report), [Code::SeenForked]);
    let finding = report.failures().next().unwrap();
    assert_eq!(finding.expected, Some(kept.to_string()));
    assert!(finding.found.as_ref().unwrap().contains(&rewritten.checkpoints[&16].to_string()));
}
