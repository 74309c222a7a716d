//! Whole-ledger tests on real directories.

use crate::*;
use bytes::Bytes;
use core::time::Duration;
use counterfoil_proof::*;
use std::path::Path;
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

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn open(&self) -> Ledger {
        self.try_open().unwrap()
    }

    fn try_open(&self) -> Result<Ledger, OpenError> {
        Ledger::open(Environment::real(self.path()), self.limits)
    }
}

fn receipt(stream: &str, payload: &str) -> NewReceipt {
    NewReceipt {
        stream: StreamName::new(stream).unwrap(),
        kind: Kind::new("test.made/1").unwrap(),
        class: ClassId::FOREVER,
        media: Media::Text,
        payload: Bytes::from(payload.to_owned()),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    }
}

fn batch(receipts: Vec<NewReceipt>) -> Batch {
    Batch { writer: Principal::new("ann").unwrap(), id: None, receipts, with_proofs: true }
}

fn policy(ledger: &Ledger) -> TrustPolicy {
    TrustPolicy::single(ledger.identity().checkpoint_key.clone()).unwrap()
}

/// Every receipt reads back, proves, and is chained to the one before.
fn check_all(ledger: &Ledger) {
    let size = ledger.checkpoint().unverified().size;
    let mut prev = Hash::ZERO;
    for index in (0..size.0).map(LeafIndex) {
        let receipt = ledger.get(index).unwrap();
        assert_eq!(receipt.envelope.prev, prev);
        prev = receipt.leaf;
        let proof = ledger.prove_inclusion(index).unwrap();
        proof.verify(&receipt.leaf, &policy(ledger)).unwrap();
    }
    for old in (0..=size.0).map(TreeSize) {
        ledger.prove_consistency(old).unwrap().verify(&policy(ledger)).unwrap();
    }
}

mod derived;

#[test]
fn a_receipt_comes_back_with_a_proof_that_verifies() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    let appended = ledger.append(batch(vec![receipt("a", "one"), receipt("a", "two"), receipt("b", "three")])).unwrap();
    let indices: Vec<_> = appended.receipts.iter().map(|r| (r.index.0, r.stream_seq.0)).collect();
    assert_eq!(indices, [(1, 0), (2, 1), (3, 0)]);
    for (receipt, proof) in appended.receipts.iter().zip(&appended.proofs) {
        let file = InclusionFile { proof: proof.clone(), checkpoint: appended.checkpoint.clone() };
        file.verify(&receipt.leaf, &policy(&ledger)).unwrap();
    }
    assert_eq!(ledger.get(LeafIndex(2)).unwrap().content.unwrap().payload, "two");
    check_all(&ledger);
}

#[test]
fn a_closed_and_reopened_ledger_goes_on() {
    let scratch = Scratch::new();
    for round in 0..4u64 {
        let ledger = scratch.open();
        assert_eq!(ledger.checkpoint().unverified().size, TreeSize(1 + round * 2));
        assert_eq!(ledger.status().durable_mark, TreeSize(1 + round * 2));
        let appended = ledger.append(batch(vec![receipt("a", "x"), receipt("b", "y")])).unwrap();
        assert_eq!(appended.receipts[0].stream_seq, StreamSeq(round));
        check_all(&ledger);
        ledger.close().unwrap();
        assert!(matches!(ledger.append(batch(vec![receipt("a", "late")])), Err(AppendError::Closing)));
    }
}

#[test]
fn segments_are_sealed_at_their_size_and_everything_stays_readable() {
    let scratch = Scratch::with_limits(Limits { segment_bytes_max: 64 * 1024, ..Limits::default() });
    for round in 0..3 {
        let ledger = scratch.open();
        for n in 0..60 {
            let text = format!("{round}-{n}").repeat(20);
            ledger.append(batch(vec![receipt("a", &text), receipt(&format!("s{}", n % 7), &text)])).unwrap();
        }
        ledger.seal().unwrap();
        check_all(&ledger);
        ledger.close().unwrap();
    }
    let status = scratch.open().status();
    assert!(status.segments.len() > 10, "{status:?}");
    assert!(status.segments.iter().rev().skip(1).all(|segment| segment.sealed), "{status:?}");
}

#[test]
fn streams_are_read_in_order_across_segments_and_pages() {
    let scratch = Scratch::with_limits(Limits { segment_bytes_max: 32 * 1024, ..Limits::default() });
    let ledger = scratch.open();
    for n in 0..80u64 {
        ledger.append(batch(vec![receipt("a", &n.to_string()), receipt("b", "other")])).unwrap();
    }
    let selection = Selection::Stream { stream: StreamName::new("a").unwrap(), from: StreamSeq(5) };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = ledger.read(&selection, after, 7, usize::MAX).unwrap();
        assert!(page.receipts.len() <= 7);
        found.extend(page.receipts.iter().map(|r| r.envelope.stream_seq.0));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, (5..80).collect::<Vec<_>>());
    let none = Selection::Stream { stream: StreamName::new("none").unwrap(), from: StreamSeq(0) };
    assert!(matches!(ledger.read(&none, None, 7, 100), Err(ReadError::UnknownStream { .. })));
    let page = ledger.read(&Selection::Ledger { from: LeafIndex(150) }, None, 100, usize::MAX).unwrap();
    assert_eq!(page.receipts.len(), 11);
}

#[test]
fn a_lost_race_answers_with_the_actual_head() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    let expect = |n| NewReceipt { expected_stream_seq: Some(StreamSeq(n)), ..receipt("a", "x") };
    let first = ledger.append(batch(vec![expect(0)])).unwrap();
    match ledger.append(batch(vec![receipt("b", "unharmed"), expect(0)])) {
        Err(AppendError::LostRace { actual, head, .. }) => {
            assert_eq!((actual, head), (StreamSeq(1), Some(first.receipts[0].leaf)));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(ledger.checkpoint().unverified().size, TreeSize(2), "a batch is atomic");
    ledger.append(batch(vec![expect(1), expect(1)])).unwrap();
}

#[test]
fn nothing_follows_a_closing_receipt() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    let close = NewReceipt { closes_stream: true, ..receipt("a", "end") };
    let refused = |result| match result {
        Err(AppendError::StreamClosed { closed_at, .. }) => closed_at,
        other => panic!("{other:?}"),
    };
    let in_batch = ledger.append(batch(vec![receipt("a", "x"), close.clone(), receipt("a", "late")]));
    assert_eq!(refused(in_batch), StreamSeq(1));
    ledger.append(batch(vec![receipt("a", "x"), close])).unwrap();
    assert_eq!(refused(ledger.append(batch(vec![receipt("a", "late")]))), StreamSeq(1));
    ledger.close().unwrap();
    assert_eq!(refused(scratch.open().append(batch(vec![receipt("a", "late")]))), StreamSeq(1));
}

#[test]
fn a_batch_sent_twice_is_appended_once_also_after_a_restart() {
    let scratch = Scratch::new();
    let named = |text: &str| Batch { id: Some(BatchId::Request([7; 16])), ..batch(vec![receipt("a", text)]) };
    let ledger = scratch.open();
    let first = ledger.append(named("x")).unwrap();
    let again = ledger.append(named("x")).unwrap();
    assert_eq!((again.receipts, again.checkpoint), (first.receipts.clone(), first.checkpoint.clone()));
    assert!(matches!(ledger.append(named("y")), Err(AppendError::IdReused)));
    ledger.append(batch(vec![receipt("b", "between")])).unwrap();
    ledger.close().unwrap();
    let ledger = scratch.open();
    let again = ledger.append(named("x")).unwrap();
    assert_eq!((again.receipts, again.checkpoint), (first.receipts, first.checkpoint));
    assert!(matches!(ledger.append(named("y")), Err(AppendError::IdReused)));
    assert_eq!(ledger.checkpoint().unverified().size, TreeSize(3));
}

#[test]
fn behind_a_refused_batch_a_session_waits_for_it() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    let numbered = |number, receipt| {
        let id = Some(BatchId::Session { session: [3; 16], number });
        ledger.append(Batch { id, ..batch(vec![receipt]) })
    };
    let early = NewReceipt { expected_stream_seq: Some(StreamSeq(7)), ..receipt("a", "x") };
    numbered(0, receipt("a", "0")).unwrap();
    assert!(matches!(numbered(1, early), Err(AppendError::LostRace { .. })));
    for number in [2, 3] {
        let refused = numbered(number, receipt("a", "late"));
        assert!(matches!(refused, Err(AppendError::EarlierBatchRefused { number: 1 })), "{refused:?}");
    }
    numbered(0, receipt("a", "0")).unwrap();
    numbered(1, receipt("a", "1")).unwrap();
    numbered(2, receipt("a", "2")).unwrap();
    assert_eq!(ledger.checkpoint().unverified().size, TreeSize(4));
}

#[test]
fn links_name_receipts_of_earlier_batches() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    let cause = ledger.append(batch(vec![receipt("a", "cause")])).unwrap().receipts[0];
    let linked = |index, leaf| batch(vec![NewReceipt { links: vec![Link { index, leaf }], ..receipt("a", "x") }]);
    ledger.append(linked(cause.index, cause.leaf)).unwrap();
    for (index, leaf) in [(cause.index, Hash([1; 32])), (LeafIndex(3), cause.leaf), (LeafIndex(0), cause.leaf)] {
        let refused = ledger.append(linked(index, leaf));
        assert!(
            matches!(refused, Err(AppendError::Receipt { problem: ReceiptProblem::UnknownLink(_), .. })),
            "{refused:?}"
        );
    }
    check_all(&ledger);
}

#[test]
fn what_admission_refuses_leaves_no_trace() {
    let scratch = Scratch::with_limits(Limits { payload_bytes_max: 10, batch_receipts_max: 3, ..Limits::default() });
    let ledger = scratch.open();
    let cases = [
        NewReceipt { stream: StreamName::control(), ..receipt("a", "x") },
        NewReceipt { kind: Kind::new("ledger.magic/1").unwrap(), ..receipt("a", "x") },
        NewReceipt { class: ClassId(1), ..receipt("a", "x") },
        NewReceipt { media: Media::Json, ..receipt("a", "{") },
        NewReceipt { payload: Bytes::from_static(b"\xff"), ..receipt("a", "x") },
        receipt("a", "12345678901"),
    ];
    for bad in cases {
        assert!(matches!(ledger.append(batch(vec![bad])), Err(AppendError::Receipt { at: 0, .. })));
    }
    assert!(matches!(ledger.append(batch(vec![])), Err(AppendError::Empty)));
    let many = ledger.append(batch(vec![receipt("a", "x"); 4]));
    assert!(matches!(many, Err(AppendError::TooManyReceipts { .. })));
    assert_eq!(ledger.checkpoint().unverified().size, TreeSize(1));
}

#[test]
fn one_process_holds_the_directory() {
    let scratch = Scratch::new();
    let ledger = scratch.open();
    assert!(matches!(scratch.try_open(), Err(OpenError::Locked)));
    ledger.close().unwrap();
    scratch.open();
}

#[test]
fn many_writers_share_commits_and_lose_nothing() {
    let scratch = Scratch::with_limits(Limits { segment_bytes_max: 256 * 1024, ..Limits::default() });
    let ledger = scratch.open();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || {
                for n in 0..50u64 {
                    let appended = ledger.append(batch(vec![receipt(&format!("w{writer}"), "x")])).unwrap();
                    assert_eq!(appended.receipts[0].stream_seq, StreamSeq(n));
                }
            });
        }
    });
    ledger.close().unwrap();
    let ledger = scratch.open();
    assert_eq!(ledger.checkpoint().unverified().size, TreeSize(401));
    check_all(&ledger);
}

mod recovery {
    use super::*;
    use std::fs;
    use std::os::unix::fs::FileExt;

    const SEGMENT: &str = "segments/00000000000000000000.0.seg";

    fn file(scratch: &Scratch, name: &str) -> fs::File {
        #[expect(clippy::disallowed_methods, reason = "a test damages files behind the engine's back")]
        fs::OpenOptions::new().read(true).write(true).open(scratch.path().join(name)).unwrap()
    }

    fn overwrite(scratch: &Scratch, name: &str, offset: u64, bytes: &[u8]) {
        file(scratch, name).write_all_at(bytes, offset).unwrap();
    }

    fn copy(scratch: &Scratch, name: &str) -> Vec<u8> {
        fs::read(scratch.path().join(name)).unwrap()
    }

    fn refusal(scratch: &Scratch) -> Box<Refusal> {
        match scratch.try_open() {
            Err(OpenError::Refused(refusal)) => refusal,
            other => panic!("{:?}", other.err()),
        }
    }

    /// Three frames of one receipt, at offsets 8 192, 12 288 and 16 384; HEAD as it was after the second.
    fn three_frames(scratch: &Scratch) {
        let ledger = scratch.open();
        ledger.append(batch(vec![receipt("a", "one")])).unwrap();
        ledger.append(batch(vec![receipt("a", "two")])).unwrap();
        ledger.close().unwrap();
        let head = copy(scratch, "HEAD");
        let ledger = scratch.open();
        ledger.append(batch(vec![receipt("a", "three")])).unwrap();
        ledger.close().unwrap();
        overwrite(scratch, "HEAD", 0, &head);
    }

    #[test]
    fn a_torn_tail_is_cut_kept_aside_and_recorded() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        overwrite(&scratch, SEGMENT, 16_384 + 100, &[0; 60]);
        let ledger = scratch.open();
        assert_eq!(ledger.checkpoint().unverified().size, TreeSize(4), "genesis, two receipts, the record");
        assert_eq!(ledger.rules().recovered().len(), 1);
        let cut = fs::read_dir(scratch.path().join("cut")).unwrap().count();
        assert_eq!(cut, 1);
        ledger.append(batch(vec![receipt("a", "again")])).unwrap();
        check_all(&ledger);
        ledger.close().unwrap();
        assert_eq!(scratch.open().checkpoint().unverified().size, TreeSize(5), "it is recorded once");
    }

    struct DaysLater(u64);

    impl Clock for DaysLater {
        fn wall(&self) -> Timestamp {
            Timestamp(OsClock.wall().0 + self.0 * 24 * 3600 * 1_000_000_000)
        }

        fn since_boot(&self) -> Duration {
            OsClock.since_boot()
        }
    }

    #[test]
    fn a_recorded_cut_is_kept_for_seven_days() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        overwrite(&scratch, SEGMENT, 16_384 + 100, &[0; 60]);
        scratch.open().close().unwrap();
        for (days, kept) in [(6, 1), (8, 0)] {
            let clock = std::sync::Arc::new(DaysLater(days));
            let environment = Environment { clock, ..Environment::real(scratch.path()) };
            Ledger::open(environment, scratch.limits).unwrap().close().unwrap();
            assert_eq!(fs::read_dir(scratch.path().join("cut")).unwrap().count(), kept, "after {days} days");
        }
    }

    #[test]
    fn a_whole_frame_above_the_mark_is_kept() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        let ledger = scratch.open();
        assert_eq!(ledger.checkpoint().unverified().size, TreeSize(4));
        assert_eq!(ledger.status().durable_mark, TreeSize(4));
        assert_eq!(fs::read_dir(scratch.path().join("redo")).unwrap().count(), 0);
        check_all(&ledger);
    }

    /// A crash between HEAD and the removal leaves a copy whose frames are durable already.
    #[test]
    fn a_copy_left_by_an_interrupted_rewrite_is_removed() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        scratch.open().close().unwrap();
        let name = "redo/16384-00000000000000000000.0.seg";
        let frame = copy(&scratch, SEGMENT)[16_384..20_480].to_vec();
        #[expect(clippy::disallowed_methods, reason = "a test leaves what a crash would leave")]
        fs::write(scratch.path().join(name), frame).unwrap();
        scratch.open().close().unwrap();
        assert!(!scratch.path().join(name).exists());
    }

    #[test]
    fn recovering_twice_changes_no_byte() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        scratch.open().close().unwrap();
        let files = || [SEGMENT, "HEAD", "MANIFEST"].map(|name| copy(&scratch, name));
        let once = files();
        scratch.open().close().unwrap();
        assert!(once == files());
    }

    #[test]
    fn damage_below_the_mark_refuses_appends_and_serves_what_verifies() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        overwrite(&scratch, SEGMENT, 12_288 + 100, &[0; 60]);
        let refusal = refusal(&scratch);
        assert_eq!((refusal.path.as_str(), refusal.offset.0), (SEGMENT, 12_288));
        assert!(matches!(refusal.damage, Damage::BelowMark { mark: TreeSize(3), kept: TreeSize(2) }));
        let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
        assert_eq!(ledger.checkpoint().unverified().size, TreeSize(2));
        assert!(matches!(ledger.append(batch(vec![receipt("a", "x")])), Err(AppendError::ReadOnly)));
        check_all(&ledger);
    }

    /// The third frame says that the second was durable, whatever HEAD says.
    #[test]
    fn a_survivor_behind_damage_moves_the_mark() {
        let scratch = Scratch::new();
        let head = copy(&scratch, "HEAD");
        three_frames(&scratch);
        overwrite(&scratch, "HEAD", 0, &head);
        overwrite(&scratch, SEGMENT, 12_288 + 100, &[0; 60]);
        assert!(matches!(refusal(&scratch).damage, Damage::BelowMark { .. }));
    }

    #[test]
    fn without_head_appends_are_refused() {
        let scratch = Scratch::new();
        three_frames(&scratch);
        fs::remove_file(scratch.path().join("HEAD")).unwrap();
        assert!(matches!(refusal(&scratch).damage, Damage::Missing));
        let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
        assert_eq!(ledger.checkpoint().unverified().size, TreeSize(3), "the third frame's own mark");
    }

    #[test]
    fn damaged_or_missing_leaf_files_are_rebuilt() {
        let scratch = Scratch::with_limits(Limits { segment_bytes_max: 16 * 1024, ..Limits::default() });
        let ledger = scratch.open();
        for n in 0..20 {
            ledger.append(batch(vec![receipt("a", &n.to_string())])).unwrap();
        }
        ledger.seal().unwrap();
        ledger.close().unwrap();
        let names = || -> Vec<String> {
            let mut names: Vec<String> = fs::read_dir(scratch.path().join("segments"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter(|name| name.ends_with(".leaves"))
                .collect();
            names.sort();
            names
        };
        let leaves = names();
        assert!(leaves.len() > 3);
        fs::remove_file(scratch.path().join("segments").join(&leaves[0])).unwrap();
        overwrite(&scratch, &format!("segments/{}", leaves[1]), 70, &[9]);
        let ledger = scratch.open();
        check_all(&ledger);
        assert_eq!(names(), leaves);
    }

    #[test]
    fn behind_a_damaged_head_nothing_is_appended_and_the_rest_goes_on() {
        let scratch = Scratch::new();
        let ledger = scratch.open();
        ledger.append(batch(vec![receipt("alpha", "1")])).unwrap();
        ledger.append(batch(vec![receipt("bravo", "2")])).unwrap();
        ledger.seal().unwrap();
        ledger.close().unwrap();
        let at = copy(&scratch, SEGMENT).windows(5).position(|window| window == b"alpha").unwrap();
        overwrite(&scratch, SEGMENT, at as u64, b"X");
        let ledger = scratch.open();
        let refused = ledger.append(batch(vec![receipt("alpha", "3")])).unwrap_err();
        assert!(matches!(refused, AppendError::Unreadable { .. }), "{refused}");
        assert_eq!(ledger.append(batch(vec![receipt("bravo", "4")])).unwrap().receipts[0].stream_seq, StreamSeq(1));
        assert!(matches!(ledger.get(LeafIndex(1)), Err(ReadError::Corrupt { .. })));
        assert!(ledger.get(LeafIndex(2)).is_ok());
        ledger.close().unwrap();
        let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
        let stream = |name| Selection::Stream { stream: StreamName::new(name).unwrap(), from: StreamSeq(0) };
        assert_eq!(ledger.read(&stream("bravo"), None, 9, 999).unwrap().receipts.len(), 2);
        assert!(matches!(ledger.read(&stream("alpha"), None, 9, 999), Err(ReadError::Corrupt { .. })));
    }

    #[test]
    fn damage_in_a_sealed_payload_keeps_no_ledger_from_opening() {
        let scratch = Scratch::new();
        let ledger = scratch.open();
        ledger.append(batch(vec![receipt("a", "alpha-alpha"), receipt("a", "bravo-bravo")])).unwrap();
        ledger.seal().unwrap();
        ledger.close().unwrap();
        let before = scratch.open().checkpoint();
        let at = copy(&scratch, SEGMENT).windows(11).position(|window| window == b"bravo-bravo").unwrap();
        overwrite(&scratch, SEGMENT, at as u64, b"X");
        let ledger = scratch.open();
        assert_eq!(ledger.checkpoint(), before);
        assert!(ledger.get(LeafIndex(1)).is_ok());
        assert!(matches!(ledger.get(LeafIndex(2)), Err(ReadError::Corrupt { .. })));
        ledger.close().unwrap();
        let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
        assert_eq!(ledger.checkpoint(), before);
    }

    #[test]
    fn a_flipped_payload_is_reported_and_its_neighbours_are_served() {
        let scratch = Scratch::new();
        let ledger = scratch.open();
        let texts = ["alpha-alpha", "bravo-bravo", "charlie-charlie"];
        ledger.append(batch(texts.map(|text| receipt("a", text)).to_vec())).unwrap();
        let bytes = copy(&scratch, SEGMENT);
        let at = bytes.windows(11).position(|window| window == b"bravo-bravo").unwrap();
        overwrite(&scratch, SEGMENT, at as u64, b"X");
        match ledger.get(LeafIndex(2)) {
            Err(ReadError::Corrupt { index: LeafIndex(2), offset, .. }) => assert_eq!(offset, at as u64),
            other => panic!("{other:?}"),
        }
        assert!(ledger.get(LeafIndex(1)).is_ok() && ledger.get(LeafIndex(3)).is_ok());
    }

    /// Whether a payload is there stands in its frame only, outside of leaf and commitment.
    #[test]
    fn no_flipped_bit_of_a_sealed_frame_turns_a_payload_into_a_hole() {
        let scratch = Scratch::new();
        let ledger = scratch.open();
        ledger.append(batch(vec![receipt("a", "alpha"), receipt("b", "bravo")])).unwrap();
        ledger.seal().unwrap();
        ledger.append(batch(vec![receipt("a", "later")])).unwrap();
        ledger.close().unwrap();
        let before = copy(&scratch, SEGMENT);
        for at in 8192..8192 + 1024 {
            let byte = before[usize::try_from(at).unwrap()];
            overwrite(&scratch, SEGMENT, at, &[byte ^ 1]);
            let ledger = Ledger::open_read_only(Environment::real(scratch.path()), scratch.limits).unwrap();
            for (index, payload) in [(1, "alpha"), (2, "bravo")] {
                match ledger.get(LeafIndex(index)) {
                    Ok(found) => assert_eq!(found.content.unwrap().payload, payload, "receipt {index}, byte {at}"),
                    Err(ReadError::Corrupt { .. }) => {}
                    Err(error) => panic!("receipt {index}, byte {at}: {error}"),
                }
            }
            overwrite(&scratch, SEGMENT, at, &[byte]);
        }
    }
}
