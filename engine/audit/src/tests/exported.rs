//! What exports stated, held against the ledger they stated it of.

use super::*;
use crate::testing::Draft;
use counterfoil_format::{ByteOffset, Generation, LeafFile, SegmentId};
use counterfoil_proof::{Frontier, Hash, LeafHash, StreamName, TreeSize};
use counterfoil_rules::{EXPORTED_KIND, ExportScope, Exported};

/// Index of the statement in [`stating`].
const STATEMENT: u64 = 8;

fn statement(exported: &Exported) -> Draft {
    Draft { kind: EXPORTED_KIND, payload: exported.to_payload().unwrap(), ..draft("ledger", "") }
}

/// A statement of a stream, with the leaf hash of receipt `head` as the last of `count`.
fn of_stream(scratch: &Scratch, stream: &str, size: u64, count: u64, head: usize) -> Exported {
    let scope = ExportScope::Stream(StreamName::new(stream).unwrap());
    Exported { scope, size: TreeSize(size), count, head: scratch.leaf(head) }
}

fn of_range(from: u64, to: u64, head: LeafHash) -> Exported {
    let scope = ExportScope::Range { from: LeafIndex(from), to: TreeSize(to) };
    Exported { scope, size: TreeSize(STATEMENT), count: to - from, head }
}

/// Genesis, then a1 b2 a3 in a first segment; a4, then b5 b6 c7, the statement, a9 d10 in a second one, or from the
/// statement on in a third; and a, b in the last one. Letters are streams, digits are indices.
fn stating(seal_before: bool, state: impl FnOnce(&Scratch) -> Exported) -> Scratch {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1"), draft("b", "2"), draft("a", "3")]).seal();
    scratch.frame(&[draft("a", "4")]).frame(&[draft("b", "5"), draft("b", "6"), draft("c", "7")]);
    let stated = statement(&state(&scratch));
    if seal_before {
        scratch.seal();
    }
    scratch.frame(&[stated]).frame(&[draft("a", "9"), draft("d", "10")]).seal();
    scratch.frame(&[draft("a", "11")]).frame(&[draft("b", "12")]);
    scratch
}

/// Stream, tree size, receipts of the stream below it, and the last of them.
const TRUE: [(&str, u64, u64, usize); 12] = [
    // Goes on in the same segment, behind the statement and before it.
    ("a", 8, 3, 4),
    ("a", 7, 3, 4),
    ("a", 4, 2, 3),
    // Goes on in the frame in which the size falls.
    ("a", 2, 1, 1),
    ("a", 3, 1, 1),
    ("b", 6, 2, 5),
    // Goes on in the segment behind, and in the last one.
    ("b", 4, 1, 2),
    ("b", 8, 3, 6),
    // Ended.
    ("c", 8, 1, 7),
    // The control stream, whose next receipt is the statement.
    ("ledger", 1, 1, 0),
    ("ledger", 3, 1, 0),
    ("ledger", 8, 1, 0),
];

#[test]
fn a_true_statement_of_a_stream_stands() {
    for (stream, size, count, head) in TRUE {
        for seal_before in [false, true] {
            let ledger = stating(seal_before, |scratch| of_stream(scratch, stream, size, count, head)).finish();
            let report = same_on_any(&ledger);
            assert_eq!(report.findings, [], "{stream} at {size}");
            assert!(!report.remarks.iter().any(|remark| remark.contains("exports")), "{stream} at {size}");
        }
    }
}

#[test]
fn a_true_statement_of_a_range_stands() {
    for (from, to) in [(0, 1), (0, 8), (1, 4), (2, 3), (4, 8)] {
        let last = usize::try_from(to - 1).unwrap();
        let ledger = stating(to == 8, |scratch| of_range(from, to, scratch.leaf(last))).finish();
        assert_eq!(same_on_any(&ledger).findings, [], "{from} to {to}");
    }
}

#[test]
fn a_statement_counts_the_statements_before_it() {
    let second = |count, head| {
        let mut scratch = stating(false, |scratch| of_stream(scratch, "a", 8, 3, 4));
        let stated = of_stream(&scratch, "ledger", 13, count, head);
        same_on_any(&scratch.frame(&[statement(&stated)]).finish())
    };
    assert_eq!(second(2, 8).findings, []);
    assert_eq!(named(&second(1, 0)), [(Code::StatementFalse, 13)]);
}

#[test]
fn a_false_statement_of_a_stream_is_found() {
    for (stream, size, count, head) in TRUE {
        let lies: [fn(&mut Exported); 3] =
            [|exported| exported.count -= 1, |exported| exported.count += 1, |exported| exported.head = Hash([1; 32])];
        for (number, lie) in lies.into_iter().enumerate() {
            let mut impossible = false;
            let lying = |scratch: &Scratch| {
                let truth = of_stream(scratch, stream, size, count, head);
                let mut lied = truth.clone();
                lie(&mut lied);
                impossible = lied.to_payload().is_err();
                if impossible { truth } else { lied }
            };
            let ledger = stating(number % 2 == 0, lying).finish();
            if !impossible {
                let found = named(&same_on_any(&ledger));
                assert_eq!(found, [(Code::StatementFalse, STATEMENT)], "{stream} at {size}, lie {number}");
            }
        }
    }
}

#[test]
fn receipts_are_counted_at_the_size_stated_and_not_at_another() {
    let moments = [
        // Too early for the last one counted.
        ("a", 4, 3, 4),
        ("a", 3, 2, 3),
        ("b", 6, 3, 6),
        ("c", 7, 1, 7),
        // Too late: there was one more.
        ("a", 5, 2, 3),
        ("a", 8, 2, 3),
        ("b", 7, 2, 5),
    ];
    for (stream, size, count, head) in moments {
        let ledger = stating(false, |scratch| of_stream(scratch, stream, size, count, head)).finish();
        assert_eq!(named(&same_on_any(&ledger)), [(Code::StatementFalse, STATEMENT)], "{stream} at {size}");
    }
}

#[test]
fn a_stream_that_did_not_exist_is_found() {
    for stream in ["d", "never"] {
        let ledger = stating(true, |scratch| of_stream(scratch, stream, 8, 1, 7)).finish();
        let report = same_on_any(&ledger);
        assert_eq!(named(&report), [(Code::StatementFalse, STATEMENT)], "{stream}");
        assert_eq!(report.failures().next().unwrap().expected.as_deref(), Some("no receipt"));
    }
}

#[test]
fn a_range_with_another_head_is_found() {
    for (from, to) in [(0, 1), (1, 4), (4, 8)] {
        let ledger = stating(false, |scratch| of_range(from, to, scratch.leaf(2))).finish();
        assert_eq!(named(&same_on_any(&ledger)), [(Code::StatementFalse, STATEMENT)], "{from} to {to}");
    }
}

#[test]
fn a_false_statement_is_named_with_what_is_there() {
    let ledger = stating(false, |scratch| of_stream(scratch, "a", 8, 2, 3)).finish();
    let report = same_on_any(&ledger);
    let finding = report.failures().next().unwrap();
    let message =
        "receipt 8 (ledger, ledger.exported/1): the ledger contradicts what it states of stream a at tree size 8";
    assert_eq!(finding.message, message);
    assert_eq!(finding.expected, Some(format!("3 receipts, the last {}", ledger.leaves[4])));
    assert_eq!(finding.found, Some(format!("2 receipts, the last {}", ledger.leaves[3])));
    assert_eq!(finding.kind.as_ref().unwrap().as_str(), EXPORTED_KIND);
}

#[test]
fn a_false_statement_above_the_mark_fails_nothing() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1")]);
    let stated = statement(&of_stream(&scratch, "a", 2, 2, 1));
    let report = scratch.frame(&[stated]).finish_with_mark(TreeSize(2)).verify();
    assert!(report.verified());
    assert_eq!(report.tail.findings.iter().map(|finding| finding.code).collect::<Vec<_>>(), [Code::StatementFalse]);
}

/// Makes the frame that holds a receipt unreadable, with no leaf file to help.
fn lose(ledger: &mut Ledger, index: usize) {
    let (start, _) = frame_of(ledger, index);
    let path = ledger.spots[index].path.clone();
    ledger.file(&path)[start..start + 100].fill(0xff);
    ledger.memory.0.retain(|path, _| !path.ends_with(".leaves"));
}

fn unjudged(report: &Report) -> bool {
    report.remarks.iter().any(|remark| remark.ends_with("were not judged: 1, from receipt 8 on"))
}

#[test]
fn a_statement_is_not_judged_where_the_next_receipt_was_lost() {
    for (count, head) in [(3, 4), (2, 3)] {
        let mut ledger = stating(false, |scratch| of_stream(scratch, "a", 8, count, head)).finish();
        lose(&mut ledger, 9);
        let report = same_on_any(&ledger);
        assert_eq!(failures(&report), [Code::RangeCorrupt], "{count}");
        assert!(unjudged(&report), "{:?}", report.remarks);
    }
}

#[test]
fn a_statement_of_more_than_there_ever_was_is_found_in_spite_of_damage() {
    let mut ledger = stating(false, |scratch| of_stream(scratch, "a", 8, 5, 4)).finish();
    lose(&mut ledger, 9);
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::RangeCorrupt, Code::StatementFalse]);
    let expected = report.failures().nth(1).unwrap().expected.clone().unwrap();
    assert!(expected.starts_with("at most 4 receipts, number 4 "), "{expected}");
}

#[test]
fn a_statement_is_not_judged_where_the_last_receipt_was_lost() {
    for (count, head) in [(1, 7), (2, 6)] {
        let mut ledger = stating(false, |scratch| of_stream(scratch, "c", 8, count, head)).finish();
        lose(&mut ledger, 7);
        let report = same_on_any(&ledger);
        assert_eq!(failures(&report), [Code::RangeCorrupt], "{count}");
        assert!(unjudged(&report), "{:?}", report.remarks);
    }
}

#[test]
fn a_statement_of_less_than_what_is_left_is_found_in_spite_of_damage() {
    let mut scratch = Scratch::new();
    scratch.frame(&[draft("a", "1"), draft("a", "2")]).frame(&[draft("b", "3")]);
    let stated = statement(&of_stream(&scratch, "a", 4, 1, 1));
    let mut ledger = scratch.frame(&[stated]).finish();
    lose(&mut ledger, 3);
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::RangeCorrupt, Code::StatementFalse]);
    let expected = report.failures().nth(1).unwrap().expected.clone().unwrap();
    assert!(expected.starts_with("at least 2 receipts, number 2 "), "{expected}");
}

#[test]
fn a_range_whose_last_receipt_was_lost_is_not_judged() {
    let mut ledger = stating(false, |scratch| of_range(1, 4, scratch.leaf(2))).finish();
    lose(&mut ledger, 3);
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::RangeCorrupt]);
    assert!(unjudged(&report), "{:?}", report.remarks);
}

#[test]
fn a_leaf_file_does_not_make_a_statement_of_a_range_a_lie() {
    let mut ledger = stating(false, |scratch| of_range(1, 3, scratch.leaf(2))).finish();
    let mut leaves = ledger.leaves[..4].to_vec();
    leaves[2] = Hash([1; 32]);
    let frames = [(LeafIndex(0), ByteOffset(4096)), (LeafIndex(1), ByteOffset(8192))];
    let (id, empty) = (SegmentId(LeafIndex(0)), Frontier::empty());
    *ledger.file(SEALED_LEAVES) = LeafFile::encode(ledger.ledger_id, id, Generation(0), &empty, &frames, &leaves);
    ledger.file(SEALED)[8192..8292].fill(0xff);
    let report = same_on_any(&ledger);
    assert_eq!(failures(&report), [Code::RangeCorrupt]);
    assert!(unjudged(&report), "{:?}", report.remarks);
}

#[test]
fn damage_that_hides_nothing_of_a_statement_does_not_keep_it_from_being_judged() {
    // Receipt 4 stands before the size, receipt 12 behind the stream's next receipt.
    for lost in [4, 12] {
        let judged = |count, head| {
            let mut ledger = stating(false, |scratch| of_stream(scratch, "b", 5, count, head)).finish();
            lose(&mut ledger, lost);
            let report = same_on_any(&ledger);
            assert!(!unjudged(&report), "{:?}", report.remarks);
            failures(&report)
        };
        assert_eq!(judged(1, 2), [Code::RangeCorrupt], "{lost}");
        assert_eq!(judged(2, 5), [Code::RangeCorrupt, Code::StatementFalse], "{lost}");
    }
}

#[test]
fn no_damage_makes_a_true_statement_a_lie() {
    let accused = |ledger: &Ledger| {
        let report = ledger.verify();
        let all = report.findings.iter().chain(&report.tail.findings);
        all.into_iter().any(|finding| finding.code == Code::StatementFalse)
    };
    for (at, (stream, size, count, head)) in TRUE.into_iter().enumerate() {
        let ledger = stating(at % 2 == 0, |scratch| of_stream(scratch, stream, size, count, head)).finish();
        for path in ledger.memory.0.keys() {
            let mut gone = ledger.clone();
            gone.memory.0.remove(path);
            assert!(!accused(&gone), "{stream} at {size}, without {path}");
        }
        for spot in &ledger.spots {
            for byte in (5 * at as u64..spot.frame_len).step_by(61) {
                let mut bad = ledger.clone();
                bad.flip(&spot.path, spot.frame + byte);
                assert!(
                    !accused(&bad),
                    "{stream} at {size}, byte {byte} of the frame at {} of {}",
                    spot.frame,
                    spot.path
                );
            }
        }
    }
}
