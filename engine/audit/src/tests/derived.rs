//! Derived files: whatever is wrong with them is told and located, and fails nothing.

use super::*;
use crate::Finding;
use crate::testing::{Positions, five_segments, stream_index};
use counterfoil_format::{Generation, LeafFile, LeafFileHead, SegmentHeader, SegmentId, ShortPreamble};
use counterfoil_proof::{Hash, LeafHash, StreamSeq, TreeSize};

/// The one note about a ledger that is verified.
fn note(ledger: &Ledger) -> Finding {
    let report = ledger.verify();
    assert!(report.verified(), "{:?}", report.findings);
    assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
    assert_eq!(report.findings[0].severity, Severity::Note);
    report.findings.into_iter().next().unwrap()
}

/// What the stream index of the sealed segment of [`sixteen`] holds.
fn positions() -> Positions {
    let at = |indices: &[u64]| (StreamSeq(0), indices.iter().map(|index| LeafIndex(*index)).collect());
    let streams = [("a", at(&[1, 3, 5, 6])), ("b", at(&[2, 4, 7])), ("ledger", at(&[0]))];
    streams.into_iter().map(|(stream, positions)| (stream.to_owned(), positions)).collect()
}

/// The note about a stream index that says something else, under valid digests.
fn lying(change: impl FnOnce(&mut Positions)) -> Finding {
    let mut ledger = sixteen();
    let mut positions = positions();
    change(&mut positions);
    let (first, end) = (LeafIndex(0), TreeSize(8));
    let index = stream_index(ledger.ledger_id, first, end, &positions);
    ledger.put_stream_index(0, index);
    let note = note(&ledger);
    assert_eq!(note.code, Code::StreamIndex);
    note
}

#[test]
fn the_positions_of_these_tests_are_those_of_the_ledger() {
    let mut ledger = sixteen();
    let index = stream_index(ledger.ledger_id, LeafIndex(0), TreeSize(8), &positions());
    assert_eq!(index.1, ledger.manifest().stream_indexes[0]);
    ledger.put_stream_index(0, index);
    assert_eq!(ledger.verify().findings, []);
}

#[test]
fn a_stream_index_that_leaves_out_a_receipt_is_noticed() {
    let note = lying(|positions| {
        positions.get_mut("b").unwrap().1.remove(1);
    });
    assert_eq!(note.index, Some(LeafIndex(4)));
}

#[test]
fn a_stream_index_that_leaves_out_a_stream_is_noticed() {
    let note = lying(|positions| positions.retain(|stream, _| stream != "ledger"));
    assert_eq!(note.index, Some(LeafIndex(0)));
}

#[test]
fn a_stream_index_that_gives_a_receipt_to_another_stream_is_noticed() {
    let note = lying(|positions| {
        positions.get_mut("b").unwrap().1.remove(1);
        positions.get_mut("a").unwrap().1.insert(2, LeafIndex(4));
    });
    assert_eq!(note.index, Some(LeafIndex(4)));
    assert!(note.message.contains("names receipt 4 as one of stream a, which it is not"), "{}", note.message);
}

#[test]
fn a_stream_index_with_a_stream_that_is_not_there_is_noticed() {
    let note = lying(|positions| {
        positions.insert("z".into(), (StreamSeq(0), vec![LeafIndex(4)]));
    });
    assert_eq!(note.index, Some(LeafIndex(4)));
}

#[test]
fn a_stream_index_that_numbers_a_stream_wrongly_is_noticed() {
    let note = lying(|positions| positions.get_mut("b").unwrap().0 = StreamSeq(1));
    assert!(note.message.contains("numbers the last receipt of stream b 3, it is 2"), "{}", note.message);
}

#[test]
fn a_stream_index_of_another_ledger_is_noticed() {
    let mut ledger = sixteen();
    let index = stream_index(Hash([1; 32]), LeafIndex(0), TreeSize(8), &positions());
    ledger.put_stream_index(0, index);
    assert!(note(&ledger).message.contains("another directory"));
}

#[test]
fn a_stream_index_that_is_not_the_one_manifest_names_is_noticed() {
    let mut ledger = sixteen();
    let mut manifest = ledger.manifest();
    manifest.stream_indexes[0].directory_digest.0[0] ^= 1;
    *ledger.file("MANIFEST") = manifest.encode();
    assert!(note(&ledger).message.contains("another directory than MANIFEST says"));
    manifest.stream_indexes[0] = sixteen().manifest().stream_indexes[0];
    manifest.stream_indexes[0].streams_begun += 1;
    *ledger.file("MANIFEST") = manifest.encode();
    assert!(note(&ledger).message.contains("another directory than MANIFEST says"));
}

#[test]
fn a_lie_behind_the_first_reading_of_a_merged_stream_index_is_noticed() {
    let mut scratch = crate::testing::scratch_of_five_segments();
    scratch.merged = true;
    let mut ledger = scratch.finish();
    let mut all = Positions::new();
    let streams = (1..49u64).map(|index| (["c", "a", "b", "b"][usize::try_from(index % 4).unwrap()], index));
    for (stream, index) in [("ledger", 0)].into_iter().chain(streams) {
        all.entry(stream.to_owned()).or_insert((StreamSeq(0), Vec::new())).1.push(LeafIndex(index));
    }
    let whole = stream_index(ledger.ledger_id, LeafIndex(0), TreeSize(49), &all);
    assert_eq!(whole.1, ledger.manifest().stream_indexes[0]);
    for left_out in [2, 14, 25, 33, 48] {
        let mut lie = all.clone();
        lie.values_mut().for_each(|(_, positions)| positions.retain(|index| index.0 != left_out));
        ledger.put_stream_index(0, stream_index(ledger.ledger_id, LeafIndex(0), TreeSize(49), &lie));
        assert_eq!(note(&ledger).index, Some(LeafIndex(left_out)));
    }
}

#[test]
fn a_missing_stream_index_is_noticed() {
    let mut ledger = sixteen();
    ledger.memory.0.remove(SEALED_STREAMS);
    let note = note(&ledger);
    assert_eq!((note.code, note.message), (Code::StreamIndex, format!("{SEALED_STREAMS} is missing")));
}

#[test]
fn stream_indexes_of_two_segments_that_were_swapped_are_noticed() {
    let mut ledger = five_segments();
    let paths: Vec<_> = ledger.memory.0.keys().filter(|path| path.ends_with(".streams")).cloned().collect();
    let (first, second) = (ledger.memory.0[&paths[1]].clone(), ledger.memory.0[&paths[2]].clone());
    *ledger.file(&paths[1]) = second;
    *ledger.file(&paths[2]) = first;
    let report = ledger.verify();
    let found: Vec<_> = report.findings.iter().map(|note| (note.code, note.index.unwrap().0)).collect();
    assert_eq!(found, [(Code::StreamIndex, 13), (Code::StreamIndex, 25)]);
}

#[test]
fn a_control_file_that_is_missing_short_long_or_different_is_noticed() {
    let good = sixteen();
    let len = good.memory.0["control"].len();
    let mut missing = good.clone();
    missing.memory.0.remove("control");
    assert!(note(&missing).message.starts_with("control is missing"));
    let change = |change: fn(&mut Vec<u8>)| {
        let mut ledger = good.clone();
        change(ledger.file("control"));
        let note = note(&ledger);
        assert_eq!(note.code, Code::ControlFile);
        note.offset.unwrap().0
    };
    assert_eq!(change(|file| file.truncate(100)), 100);
    assert_eq!(change(|file| file[40] ^= 1), 40);
    assert_eq!(change(|file| file.push(0)), len as u64);
    assert_eq!(change(Vec::clear), 0);
}

/// The leaf file of the sealed segment of [`sixteen`], written from other hashes, frames or trees.
fn leaf_file(change: impl FnOnce(&mut LeafHash, &mut Vec<LeafHash>, &mut LeafFileHead)) -> Ledger {
    let mut ledger = sixteen();
    let bytes = &ledger.memory.0[SEALED_LEAVES];
    let ShortPreamble(len) = ShortPreamble::decode(bytes).unwrap();
    let mut head = LeafFileHead::decode(&bytes[..len]).unwrap();
    let (mut id, mut leaves) = (ledger.ledger_id, ledger.leaves[..8].to_vec());
    change(&mut id, &mut leaves, &mut head);
    let before = SegmentHeader::decode(&ledger.memory.0[SEALED]).unwrap().frontier;
    let segment = SegmentId(LeafIndex(0));
    *ledger.file(SEALED_LEAVES) = LeafFile::encode(id, segment, Generation(0), &before, &head.frames, &leaves);
    ledger
}

#[test]
fn a_leaf_file_that_says_something_else_is_noticed() {
    assert_eq!(leaf_file(|_, _, _| ()).verify().findings, []);
    let other_leaf = note(&leaf_file(|_, leaves, _| leaves[5] = Hash([1; 32])));
    assert_eq!((other_leaf.code, other_leaf.index), (Code::LeafFile, Some(LeafIndex(5))));
    let fewer = note(&leaf_file(|_, leaves, _| leaves.truncate(7)));
    assert!(fewer.message.contains("another number of receipts"));
    let frames = note(&leaf_file(|_, _, head| head.frames.truncate(3)));
    assert!(frames.message.contains("finds frames elsewhere"));
    let id = note(&leaf_file(|id, _, _| *id = Hash([1; 32])));
    assert!(id.message.contains("another ledger"));
}

#[test]
fn a_leaf_file_with_another_node_of_the_tree_is_noticed() {
    let drafts = vec![draft("a", "1"); 300];
    let ledger = Scratch::new().frame(&drafts).seal().frame(&drafts).seal().frame(&drafts).finish();
    assert_eq!(ledger.verify().findings, []);
    let path = "segments/00000000000000000301.0.leaves";
    let mut bad = ledger.clone();
    let before = counterfoil_proof::Frontier::from_peaks(TreeSize(301), vec![Hash([1; 32]); 5]).unwrap();
    let bytes = &ledger.memory.0[path];
    let ShortPreamble(len) = ShortPreamble::decode(bytes).unwrap();
    let head = LeafFileHead::decode(&bytes[..len]).unwrap();
    let leaves = &ledger.leaves[301..601];
    *bad.file(path) = LeafFile::encode(ledger.ledger_id, head.id, Generation(0), &before, &head.frames, leaves);
    assert!(note(&bad).message.contains("another node of the tree"));
}
