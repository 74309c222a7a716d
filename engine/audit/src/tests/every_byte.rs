//! One flipped bit, anywhere.

use super::*;
use counterfoil_format::{HEAD_SLOT_LEN, SEGMENT_HEADER_LEN};

/// What a flip at a place must lead to.
#[derive(Debug, PartialEq)]
enum Told {
    Failure,
    Note,
    Tail,
}

fn told(report: &Report) -> Option<Told> {
    match (report.verified(), report.findings.is_empty(), report.tail.damaged_bytes > 0) {
        (false, _, _) => Some(Told::Failure),
        (true, false, _) => Some(Told::Note),
        (true, true, true) => Some(Told::Tail),
        (true, true, false) => None,
    }
}

/// Every byte that means something, and of each run of zeros both ends and every 61st: padding is checked by the same few
/// lines everywhere.
fn places(bytes: &[u8]) -> impl Iterator<Item = u64> {
    let quiet = |at: usize| (at.saturating_sub(16)..(at + 17).min(bytes.len())).all(|near| bytes[near] == 0);
    (0..bytes.len()).filter(move |at| at % 61 == 0 || !quiet(*at)).map(|at| at as u64)
}

#[test]
fn every_flipped_byte_of_every_file_is_told() {
    let ledger =
        Scratch::new().frame(&[draft("a", "{\"x\":1}"), draft("b", "{}")]).seal().frame(&[draft("a", "2")]).finish();
    let size = ledger.size();
    let end = frame_of(&ledger, 3).1 as u64;
    for (path, bytes) in &ledger.memory.0 {
        let mut bad = ledger.clone();
        for at in places(bytes) {
            bad.flip(path, at);
            let report = bad.verify();
            bad.flip(path, at);
            let expected = match path.as_str() {
                "ledger.vkey" | "control" => Told::Note,
                // One slot may be torn by a crash: the other counts.
                "HEAD" => Told::Note,
                path if path.ends_with(".leaves") || path.ends_with(".streams") => Told::Note,
                path if path.starts_with("segments/0000000000000000000") && at >= end && path != SEALED => Told::Tail,
                _ => Told::Failure,
            };
            assert_eq!(told(&report), Some(expected), "{path} byte {at}");
            assert_eq!(report.verdicts.total() + report.tail.receipts, size, "{path} byte {at}");
        }
    }
    assert_eq!(ledger.memory.0["HEAD"].len(), 2 * HEAD_SLOT_LEN);
    assert!(ledger.memory.0[SEALED].len() > SEGMENT_HEADER_LEN);
}

#[test]
fn a_file_cut_anywhere_gives_a_verdict_over_every_receipt() {
    let ledger = sixteen();
    for path in ledger.memory.0.keys() {
        let len = ledger.memory.0[path].len();
        for keep in (0..len).step_by(97) {
            let mut bad = ledger.clone();
            bad.file(path).truncate(keep);
            let report = bad.verify();
            assert_eq!(report.verdicts.total() + report.tail.receipts, 16, "{path} cut to {keep}");
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    /// Whatever is written over whatever places, there is a verdict over every receipt that was durable. With HEAD torn
    /// as well, the last frames may look like ones that were never acknowledged.
    #[test]
    fn bytes_written_over_any_files_give_a_verdict(
        edits in proptest::collection::vec(
            (proptest::prelude::any::<proptest::sample::Index>(), proptest::prelude::any::<proptest::sample::Index>(),
             proptest::collection::vec(proptest::prelude::any::<u8>(), 1..200)),
            1..6,
        )
    ) {
        let mut ledger = sixteen();
        let paths: Vec<String> = ledger.memory.0.keys().cloned().collect();
        for (path, at, bytes) in edits {
            let file = ledger.file(&paths[path.index(paths.len())]);
            let at = at.index(file.len());
            let end = (at + bytes.len()).min(file.len());
            file[at..end].copy_from_slice(&bytes[..end - at]);
        }
        let report = ledger.verify();
        let judged = report.verdicts.total() + report.tail.receipts;
        let torn_head = report.findings.iter().any(|finding| matches!(finding.code, Code::Head | Code::HeadSlot));
        proptest::prop_assert!(judged == 16 || (torn_head && (8..16).contains(&judged)), "{judged}: {report:?}");
    }
}
