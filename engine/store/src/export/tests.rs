//! Bundles of real ledgers, whole and tampered with, before the eyes of the verifier.

use crate::*;
use bytes::Bytes;
use core::time::Duration;
use counterfoil_audit::{Anchor, AuditError, BundleReport, Code, Completeness, Options, Trust, Verdict};
use counterfoil_format::{BundleEntry, TAR_BLOCK, TAR_END_LEN, TarHeader};
use counterfoil_proof::*;
use counterfoil_rules::ExportScope;
use tempfile::TempDir;

struct Scratch {
    directory: TempDir,
    limits: Limits,
}

impl Scratch {
    fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    fn with_limits(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let new = NewLedger {
            origin: Origin::new("example.com/test").unwrap(),
            commitment: CommitmentAlgorithm::Blake3,
            roots: Vec::new(),
            root_threshold: None,
            release_delay: Duration::from_secs(86_400),
        };
        create(&Environment::real(directory.path()), &new).unwrap();
        Self { directory, limits }
    }

    fn open(&self) -> Ledger {
        Ledger::open(Environment::real(self.directory.path()), self.limits).unwrap()
    }

    fn open_read_only(&self) -> Ledger {
        Ledger::open_read_only(Environment::real(self.directory.path()), self.limits).unwrap()
    }
}

fn append(ledger: &Ledger, receipts: &[(&str, &str)]) {
    let receipts = receipts.iter().map(|(stream, payload)| NewReceipt {
        stream: StreamName::new(stream).unwrap(),
        kind: Kind::new("test.made/1").unwrap(),
        class: ClassId::FOREVER,
        media: Media::Text,
        payload: Bytes::from((*payload).to_owned()),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    });
    let writer = Principal::new("ann").unwrap();
    ledger.append(Batch { writer, id: None, receipts: receipts.collect(), with_proofs: false }).unwrap();
}

fn stream(name: &str) -> ExportScope {
    ExportScope::Stream(StreamName::new(name).unwrap())
}

fn range(from: u64, to: u64) -> ExportScope {
    ExportScope::Range { from: LeafIndex(from), to: TreeSize(to) }
}

fn export(ledger: &Ledger, scope: ExportScope) -> Vec<u8> {
    collect(ledger.export(scope, &[]).unwrap())
}

fn collect(export: Export) -> Vec<u8> {
    export.map(|piece| piece.unwrap()).collect::<Vec<_>>().concat()
}

fn trust(ledger: &Ledger) -> Trust {
    Trust::new(Anchor::Policy(TrustPolicy::single(ledger.identity().checkpoint_key.clone()).unwrap()))
}

fn verify(bundle: &[u8], trust: &Trust) -> BundleReport {
    counterfoil_audit::verify_bundle(bundle, trust, &Options::default()).unwrap()
}

fn failures(report: &BundleReport) -> Vec<Code> {
    report.failures().map(|finding| finding.code).collect()
}

/// A ledger with three receipts of stream `a` (1, 3, 4) and others between and behind, and a bundle of that stream.
fn three_of_seven() -> (Scratch, Ledger, Vec<u8>) {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append(&ledger, &[("a", "one"), ("b", "x")]);
    append(&ledger, &[("a", "two"), ("a", "three"), ("c", "y")]);
    let bundle = export(&ledger, stream("a"));
    (scratch, ledger, bundle)
}

type Entries = Vec<(String, Vec<u8>)>;

fn unpack(bundle: &[u8]) -> Entries {
    let mut entries = Vec::new();
    let mut at = 0;
    while let Some(header) = TarHeader::decode(bundle[at..].first_chunk().unwrap()).unwrap() {
        let content = at + TAR_BLOCK;
        let end = content + usize::try_from(header.len()).unwrap();
        entries.push((header.name().to_owned(), bundle[content..end].to_vec()));
        at = end + header.padding();
    }
    assert_eq!(bundle.len() - at, TAR_END_LEN);
    entries
}

fn pack(entries: &Entries) -> Vec<u8> {
    let mut bundle = Vec::new();
    for (name, content) in entries {
        let header = TarHeader::new(name, content.len() as u64);
        bundle.extend(header.encode());
        bundle.extend(content);
        bundle.resize(bundle.len() + header.padding(), 0);
    }
    bundle.resize(bundle.len() + TAR_END_LEN, 0);
    bundle
}

/// The records of an entry: each states its length at offset 12.
fn records(content: &[u8]) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut rest = content;
    while !rest.is_empty() {
        let len = u32::from_le_bytes(rest[12..16].try_into().unwrap()) as usize;
        let (record, behind) = rest.split_at(len);
        records.push(record.to_vec());
        rest = behind;
    }
    records
}

/// The bundle with its only chunk changed: pairs of receipt and proof.
fn with_receipts(bundle: &[u8], change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut entries = unpack(bundle);
    let (name, content) = entries.last_mut().unwrap();
    let mut receipts: Vec<Vec<u8>> = records(content).chunks(2).map(<[Vec<u8>]>::concat).collect();
    change(&mut receipts);
    let first = counterfoil_format::ReceiptRecord::decode(&receipts[0]).unwrap().0.envelope.index;
    *name = BundleEntry::Receipts(first).name();
    *content = receipts.concat();
    pack(&entries)
}

/// The bundle with words of bundle.json replaced.
fn with_head(bundle: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut entries = unpack(bundle);
    let head = String::from_utf8(entries[1].1.clone()).unwrap();
    assert!(head.contains(from), "{head}");
    entries[1].1 = head.replace(from, to).into_bytes();
    pack(&entries)
}

#[test]
fn a_stream_is_complete_as_stated() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let names: Vec<String> = unpack(&bundle).into_iter().map(|(name, _)| name).collect();
    let expected =
        ["format.md", "bundle.json", "checkpoint", "control", "control.proof", "receipts/00000000000000000001"];
    assert_eq!(names, expected);
    let report = verify(&bundle, &trust(&ledger));
    assert_eq!(report.findings, []);
    assert_eq!((report.complete, report.statement), (Some(Completeness::Stated), Some(LeafIndex(6))));
    assert_eq!((report.verdicts.present, report.verdicts.total(), report.control_receipts), (3, 3, 2));
    assert_eq!((report.size, report.scope), (Some(TreeSize(6)), Some(stream("a"))));
    assert_eq!(report.checkpoint.unwrap().unverified().size, TreeSize(7));
}

#[test]
fn every_index_of_a_range_is_proven() {
    let (_scratch, ledger, _) = three_of_seven();
    for (from, to) in [(0, 7), (2, 6), (6, 7)] {
        let report = verify(&export(&ledger, range(from, to)), &trust(&ledger));
        assert_eq!(report.findings, [], "{from}..{to}");
        assert_eq!((report.complete, report.verdicts.present), (Some(Completeness::Proven), to - from));
    }
}

#[test]
fn the_control_stream_is_exported_like_any_other() {
    let (_scratch, ledger, _) = three_of_seven();
    let report = verify(&export(&ledger, stream("ledger")), &trust(&ledger));
    assert_eq!(report.findings, []);
    assert_eq!((report.verdicts.present, report.control_receipts), (2, 3));
}

#[test]
fn an_export_leaves_a_ledger_that_verifies() {
    let (scratch, ledger, _) = three_of_seven();
    ledger.close().unwrap();
    let directory = counterfoil_audit::Directory::new(scratch.directory.path());
    let report = counterfoil_audit::verify_ledger(&directory, &trust(&ledger), &Options::default()).unwrap();
    assert_eq!(report.findings, []);
    let again = scratch.open();
    assert_eq!(again.status().control_receipts, 2);
}

#[test]
fn a_ledger_that_cannot_append_exports_the_same_bytes_again_and_states_nothing() {
    let (scratch, ledger, _) = three_of_seven();
    ledger.close().unwrap();
    let ledger = scratch.open_read_only();
    let bundle = export(&ledger, stream("a"));
    assert_eq!(bundle, export(&ledger, stream("a")));
    let report = verify(&bundle, &trust(&ledger));
    assert_eq!(report.findings, []);
    assert_eq!((report.complete, report.statement), (Some(Completeness::NotStated), None));
    assert!(report.remarks.iter().any(|remark| remark.contains("not stated")), "{:?}", report.remarks);
    assert_eq!(verify(&export(&ledger, range(1, 5)), &trust(&ledger)).complete, Some(Completeness::Proven));
}

#[test]
fn chunks_are_closed_by_the_receipt_that_fills_them() {
    let scratch = Scratch::with_limits(Limits { segment_bytes_max: 2 << 20, ..Limits::default() });
    let ledger = scratch.open();
    let payload = "p".repeat(700_000);
    for n in 0..16 {
        append(&ledger, &[("a", &payload), (if n % 2 == 0 { "b" } else { "c" }, "small")]);
    }
    let bundle = export(&ledger, stream("a"));
    let chunks: Vec<(String, usize)> =
        unpack(&bundle).into_iter().skip(5).map(|(name, content)| (name, content.len() / 700_000)).collect();
    let expected = [1, 13, 25].map(|first| BundleEntry::Receipts(LeafIndex(first)).name());
    assert_eq!(chunks, expected.into_iter().zip([6, 6, 4]).collect::<Vec<_>>());
    let report = verify(&bundle, &trust(&ledger));
    assert_eq!((report.findings, report.verdicts.present), (Vec::new(), 16));

    let mut entries = unpack(&bundle);
    let (_, second) = entries.remove(6);
    entries[5].1.extend(second);
    assert_eq!(failures(&verify(&pack(&entries), &trust(&ledger))), [Code::BundleDamaged]);
}

#[test]
fn checkpoints_seen_earlier_are_extended_by_what_is_exported() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    let genesis = ledger.checkpoint();
    append(&ledger, &[("a", "one"), ("a", "two")]);
    let three = ledger.checkpoint();
    append(&ledger, &[("a", "three")]);
    let bundle = collect(ledger.export(stream("a"), &[TreeSize(3), TreeSize(1), TreeSize(3)]).unwrap());
    let seen = vec![SignedCheckpoint::clone(&genesis), SignedCheckpoint::clone(&three)];
    let report = verify(&bundle, &Trust { seen, ..trust(&ledger) });
    assert_eq!(report.findings, []);
    assert_eq!(report.trust.seen, [TreeSize(1), TreeSize(3)]);

    let unstated = ledger.export(stream("a"), &[]).unwrap();
    let seen = Trust { seen: vec![SignedCheckpoint::clone(&three)], ..trust(&ledger) };
    let bundle = collect(unstated);
    let refused = counterfoil_audit::verify_bundle(bundle.as_slice(), &seen, &Options::default());
    assert!(matches!(refused, Err(AuditError::NotPossible { check: "--seen", .. })), "{refused:?}");
}

#[test]
fn a_forked_ledger_is_found_by_the_checkpoint_seen_earlier() {
    let (_scratch, ledger, _) = three_of_seven();
    let bundle = collect(ledger.export(stream("a"), &[TreeSize(4)]).unwrap());
    let forged = ledger.checkpoint().unverified().clone();
    let other = Scratch::new().open().checkpoint();
    let note = SignedCheckpoint::new(
        Checkpoint { size: TreeSize(4), root: Hash([3; 32]), ..forged },
        other.note().signatures().to_vec(),
    );
    // Not signed by the ledger's key: whoever shows it has to sign it first.
    let report = verify(&bundle, &Trust { seen: vec![note.unwrap()], ..trust(&ledger) });
    assert_eq!(failures(&report), [Code::SeenUntrusted]);
}

#[test]
fn what_is_not_there_is_not_exported() {
    let (_scratch, ledger, _) = three_of_seven();
    let before = ledger.checkpoint();
    let code = |scope, seen: &[TreeSize]| ledger.export(scope, seen).err().unwrap();
    assert!(matches!(code(stream("none"), &[]), ExportError::Read(ReadError::UnknownStream { .. })));
    assert!(matches!(code(range(3, 3), &[]), ExportError::EmptyRange { .. }));
    assert!(matches!(code(range(5, 2), &[]), ExportError::EmptyRange { .. }));
    assert!(matches!(code(range(5, 99), &[]), ExportError::Read(ReadError::UnknownIndex { .. })));
    assert!(matches!(code(stream("a"), &[TreeSize(99)]), ExportError::Read(ReadError::UnknownSize { .. })));
    let many: Vec<TreeSize> = (0..65).map(TreeSize).collect();
    assert!(matches!(code(stream("a"), &many), ExportError::TooManySeen { found: 65 }));
    assert_eq!(ledger.checkpoint(), before, "a refused export states nothing");
}

#[test]
fn one_receipt_of_a_bundle_is_shown() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let show = |bundle: &[u8], index| {
        counterfoil_audit::show_in_bundle(bundle, &trust(&ledger), &Options::default(), LeafIndex(index))
    };
    let (shown, report) = show(&bundle, 3).unwrap();
    let shown = shown.unwrap();
    assert!(report.verified());
    assert_eq!((shown.verdict, shown.content.unwrap().1), (Verdict::Present, b"two".to_vec()));
    assert!(matches!(show(&bundle, 2), Err(AuditError::NotInBundle { index: LeafIndex(2) })));
}

#[test]
fn every_flipped_byte_is_told() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append(&ledger, &[("a", "one"), ("b", "x"), ("a", "two")]);
    let bundle = collect(ledger.export(stream("a"), &[TreeSize(1)]).unwrap());
    let trust = trust(&ledger);
    let document = TAR_BLOCK..TAR_BLOCK + counterfoil_format::FORMAT_DOCUMENT.len();
    let digest = b"\"document\":\"";
    // The document shows an example of bundle.json: the real one comes last.
    let digest = bundle.windows(digest.len()).rposition(|window| window == digest).unwrap() + digest.len();
    let digest = digest..digest + 64;
    let mut bad = bundle.clone();
    // The document is hashed as a whole: some of its bytes stand for all.
    for at in (0..bundle.len()).filter(|at| !document.contains(at) || at % 5_003 == 0) {
        bad[at] ^= 1;
        let report = verify(&bad, &trust);
        bad[at] ^= 1;
        let codes: Vec<Code> = report.findings.iter().map(|finding| finding.code).collect();
        if document.contains(&at) || (digest.contains(&at) && report.verified()) {
            assert_eq!((codes, report.verified()), (vec![Code::BundleDocument], true), "byte {at}");
        } else {
            assert!(!report.verified(), "byte {at}");
            assert_eq!(report.complete, None);
        }
    }
}

#[test]
fn a_bundle_cut_anywhere_fails() {
    let (_scratch, ledger, bundle) = three_of_seven();
    for keep in (0..bundle.len()).rev().step_by(509) {
        let report = verify(&bundle[..keep], &trust(&ledger));
        assert_eq!(failures(&report), [Code::BundleDamaged], "cut to {keep}");
    }
    let longer = [bundle, vec![0]].concat();
    assert_eq!(failures(&verify(&longer, &trust(&ledger))), [Code::BundleDamaged]);
}

#[test]
fn entries_removed_reordered_or_repeated_fail() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append(&ledger, &[("a", "one"), ("a", "two")]);
    let bundle = collect(ledger.export(stream("a"), &[TreeSize(1), TreeSize(2)]).unwrap());
    let entries = unpack(&bundle);
    let trust = trust(&ledger);
    let consistency = |at: usize| entries[at].0.starts_with("consistency/");
    for at in 0..entries.len() {
        let mut removed = entries.clone();
        removed.remove(at);
        // A consistency proof nobody asks for may be left out.
        assert_eq!(verify(&pack(&removed), &trust).verified(), consistency(at), "{} removed", entries[at].0);
        let mut repeated = entries.clone();
        repeated.insert(at, entries[at].clone());
        assert!(!verify(&pack(&repeated), &trust).verified(), "{} repeated", entries[at].0);
        if at > 0 {
            let mut swapped = entries.clone();
            swapped.swap(at - 1, at);
            assert!(!verify(&pack(&swapped), &trust).verified(), "{} moved", entries[at].0);
        }
    }
    let mut more = entries.clone();
    more.insert(2, ("README".to_owned(), b"hello".to_vec()));
    assert_eq!(failures(&verify(&pack(&more), &trust)), [Code::BundleDamaged]);
}

#[test]
fn a_withheld_receipt_is_found() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let trust = trust(&ledger);
    let middle = with_receipts(&bundle, |receipts| drop(receipts.remove(1)));
    assert!(failures(&verify(&middle, &trust)).starts_with(&[Code::StreamGap]));
    let last = with_receipts(&bundle, |receipts| drop(receipts.pop()));
    assert_eq!(failures(&verify(&last, &trust)), [Code::ReceiptsMissing, Code::StatementFalse]);
    let first = with_receipts(&bundle, |receipts| drop(receipts.remove(0)));
    assert!(failures(&verify(&first, &trust)).starts_with(&[Code::StreamGap]));
}

#[test]
fn a_bundle_that_is_made_to_fit_fewer_receipts_contradicts_the_statement() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let fewer = with_receipts(&bundle, |receipts| drop(receipts.pop()));
    let fewer = with_head(&fewer, r#""count":"3""#, r#""count":"2""#);
    assert_eq!(failures(&verify(&fewer, &trust(&ledger))), [Code::StatementFalse]);
}

#[test]
fn without_its_statement_a_bundle_says_nothing_of_completeness() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let trust = trust(&ledger);
    let silent = with_head(&bundle, r#""statement":"6""#, r#""statement":null"#);
    assert_eq!(verify(&silent, &trust).complete, Some(Completeness::NotStated));
    let mut entries = unpack(&bundle);
    let control = &mut entries[3].1;
    *control = records(control)[0].clone();
    let codes = failures(&verify(&pack(&entries), &trust));
    assert_eq!(codes, [Code::InclusionProof, Code::StatementMissing]);
}

#[test]
fn receipts_in_another_order_or_twice_fail() {
    let (_scratch, ledger, bundle) = three_of_seven();
    for change in [
        (|receipts| receipts.swap(0, 1)) as fn(&mut Vec<Vec<u8>>),
        |receipts| receipts.swap(1, 2),
        |receipts| {
            receipts.insert(1, receipts[0].clone());
        },
    ] {
        assert!(!verify(&with_receipts(&bundle, change), &trust(&ledger)).verified());
    }
}

#[test]
fn receipts_of_another_ledger_are_found() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let (_other_scratch, other, foreign) = three_of_seven();
    let trust = trust(&ledger);
    let theirs = unpack(&foreign);
    let ours = unpack(&bundle);
    for at in 1..ours.len() {
        let mut mixed = ours.clone();
        mixed[at] = theirs[at].clone();
        assert!(!verify(&pack(&mixed), &trust).verified(), "{} of another ledger", ours[at].0);
    }
    let report = verify(&foreign, &trust);
    assert_eq!(failures(&report), [Code::KeyMismatch, Code::Signature]);
    let pinned = Trust { genesis: Some(ledger.identity().ledger_id), ..Trust::new(Anchor::SelfAsserted) };
    assert_eq!(failures(&verify(&foreign, &pinned)), [Code::GenesisMismatch]);
    assert_eq!(verify(&foreign, &Trust::new(Anchor::SelfAsserted)).ledger_id, Some(other.identity().ledger_id));
}

#[test]
fn receipts_of_other_streams_do_not_belong() {
    let (_scratch, ledger, bundle) = three_of_seven();
    let whole = export(&ledger, range(1, 5));
    let second = records(&unpack(&whole).pop().unwrap().1)[2..4].concat();
    let more = with_receipts(&bundle, |receipts| receipts.insert(1, second));
    let codes = failures(&verify(&more, &trust(&ledger)));
    assert!(codes.contains(&Code::ReceiptForeign), "{codes:?}");
}

#[test]
fn exports_race_with_appends() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    append(&ledger, &[("a", "0")]);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..200).for_each(|n| append(&ledger, &[("a", &n.to_string()), ("b", "x")])));
        }
        for _ in 0..10 {
            let report = verify(&export(&ledger, stream("a")), &trust(&ledger));
            assert_eq!((report.findings, report.complete), (Vec::new(), Some(Completeness::Stated)));
        }
    });
}
