//! Bundles that an operator wrote who holds the key and lies, and bytes that nobody wrote.

use super::*;
use crate::testing::{Draft, ORIGIN, draft, signer, trust};
use crate::{Verdicts, fuzzing};
use counterfoil_format::{FORMAT_DOCUMENT, ProofRecord, ReceiptRecord, TAR_END_LEN, TarHeader};
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Envelope, Frontier, Hash, InclusionFile, InclusionPlan, InclusionProof, Kind,
    LeafHash, Media, NodeCoordinate, NodeHash, Origin, Principal, Salt, StreamName, StreamSeq, Timestamp,
};
use counterfoil_rules::{
    EXPORTED_KIND, ExportScope, Exported, GENESIS_KIND, Genesis, RELEASE_DELAY_DEFAULT, ledger_writer,
};
use proptest::prelude::*;
use std::collections::HashMap;

const SEED: u8 = 7;
const SALT: Salt = Salt([4; 32]);

/// Receipts of a ledger and the tree over them. Whoever holds the key can write any.
struct Forge {
    receipts: Vec<(Envelope, Option<Vec<u8>>)>,
    tree: Frontier,
    nodes: HashMap<NodeCoordinate, NodeHash>,
    /// Next position and last leaf of each stream, the control stream among them.
    streams: HashMap<String, (u64, LeafHash)>,
}

impl Forge {
    /// A ledger with its genesis.
    fn new() -> Self {
        let mut forge =
            Self { receipts: Vec::new(), tree: Frontier::empty(), nodes: HashMap::new(), streams: HashMap::new() };
        let genesis = Genesis {
            origin: Origin::new(ORIGIN).unwrap(),
            commitment: CommitmentAlgorithm::Blake3,
            checkpoint_key: signer(SEED).verifier().clone(),
            roots: Vec::new(),
            root_threshold: 0,
            release_delay: RELEASE_DELAY_DEFAULT,
            created: Timestamp(1_000),
            random: [9; 32],
        };
        forge.push(&control(GENESIS_KIND, genesis.to_payload().unwrap()));
        forge
    }

    /// A ledger with three receipts of stream `a`: 1, 3 and 4.
    fn of_three() -> Self {
        let mut forge = Self::new();
        for (stream, payload) in [("a", "1"), ("b", "2"), ("a", "3"), ("a", "4")] {
            forge.push(&draft(stream, payload));
        }
        forge
    }

    fn size(&self) -> u64 {
        self.receipts.len() as u64
    }

    fn head(&self, stream: &str) -> (u64, LeafHash) {
        self.streams.get(stream).copied().unwrap_or((0, Hash::ZERO))
    }

    fn push(&mut self, draft: &Draft) -> &mut Self {
        let (control_seq, control_head) = self.head("ledger");
        let (seq, prev) = self.head(draft.stream);
        let writer = if draft.stream == "ledger" { ledger_writer() } else { Principal::new("local").unwrap() };
        let mut envelope = Envelope {
            index: LeafIndex(self.size()),
            time: Timestamp(1_000 + self.size()),
            prev: self.receipts.last().map_or(Hash::ZERO, |(envelope, _)| envelope.leaf_hash()),
            control_seq: StreamSeq(control_seq),
            control_head,
            stream: StreamName::new(draft.stream).unwrap(),
            stream_seq: StreamSeq(seq),
            stream_prev: prev,
            kind: Kind::new(draft.kind).unwrap(),
            class: ClassId::FOREVER,
            writer,
            writer_signature: None,
            closes_stream: draft.closes,
            media: Media::Json,
            links: draft.links.clone(),
            subject: None,
            commitment: CommitmentAlgorithm::Blake3.commit(&SALT, &draft.payload),
        };
        (draft.change)(&mut envelope);
        let leaf = envelope.leaf_hash();
        self.streams.insert(draft.stream.to_owned(), (envelope.stream_seq.0 + 1, leaf));
        self.tree.push(leaf, |at, node| assert!(self.nodes.insert(at, node).is_none()));
        self.receipts.push((envelope, (!draft.erased).then(|| draft.payload.clone())));
        self
    }

    /// Appends the statement of an export of stream `a`, changed by `lie`.
    fn state(&mut self, lie: impl FnOnce(&mut Exported)) -> &mut Self {
        let (count, head) = self.head("a");
        let mut exported = Exported { scope: stream_a(), size: TreeSize(self.size()), count, head };
        lie(&mut exported);
        self.push(&control(EXPORTED_KIND, exported.to_payload().unwrap()))
    }

    fn proof(&self, index: LeafIndex) -> InclusionProof {
        let plan = InclusionPlan::new(index, self.tree.size()).unwrap();
        plan.finish(&plan.nodes().map(|at| self.nodes[&at]).collect::<Vec<_>>())
    }

    fn put_receipt(&self, index: u64, out: &mut Vec<u8>) {
        let (envelope, payload) = &self.receipts[usize::try_from(index).unwrap()];
        let content = payload.as_ref().map(|payload| (SALT, payload.as_slice()));
        ReceiptRecord { envelope: envelope.clone(), content }.encode_into(out);
    }

    /// Indices of the receipts that meet a condition.
    fn indices(&self, of: impl Fn(&Envelope) -> bool) -> Vec<u64> {
        let all = self.receipts.iter().filter(|(envelope, _)| of(envelope));
        all.map(|(envelope, _)| envelope.index.0).collect()
    }

    /// A bundle of stream `a` with all control receipts.
    fn bundle(&self) -> Vec<u8> {
        let statement = self.receipts.last().filter(|(last, _)| last.kind.as_str() == EXPORTED_KIND);
        let statement = statement.map(|(last, _)| last.index);
        let receipts = self.indices(|envelope| envelope.stream.as_str() == "a");
        let head = BundleHead {
            ledger_id: self.receipts[0].0.leaf_hash(),
            origin: Origin::new(ORIGIN).unwrap(),
            scope: stream_a(),
            size: statement.map_or(self.tree.size(), |index| TreeSize(index.0)),
            count: receipts.len() as u64,
            statement,
            document: Hash(*blake3::hash(FORMAT_DOCUMENT.as_bytes()).as_bytes()),
        };
        self.bundle_of(&head, &self.indices(Envelope::is_control), &receipts)
    }

    fn bundle_of(&self, head: &BundleHead, controls: &[u64], receipts: &[u64]) -> Vec<u8> {
        let checkpoint = signer(SEED).sign(self.tree.size(), self.tree.root());
        let mut control = Vec::new();
        controls.iter().for_each(|index| self.put_receipt(*index, &mut control));
        let last = LeafIndex(*controls.last().unwrap());
        let proof = InclusionFile { proof: self.proof(last), checkpoint: checkpoint.clone() };
        let mut chunk = Vec::new();
        for index in receipts {
            self.put_receipt(*index, &mut chunk);
            ProofRecord { hashes: self.proof(LeafIndex(*index)).hashes }.encode_into(&mut chunk);
        }
        pack(&[
            (BundleEntry::Document, FORMAT_DOCUMENT.as_bytes().to_vec()),
            (BundleEntry::Head, head.to_json().unwrap()),
            (BundleEntry::Checkpoint, checkpoint.to_string().into_bytes()),
            (BundleEntry::Control, control),
            (BundleEntry::ControlProof, proof.to_string().into_bytes()),
            (BundleEntry::Receipts(LeafIndex(receipts[0])), chunk),
        ])
    }
}

fn pack(entries: &[(BundleEntry, Vec<u8>)]) -> Vec<u8> {
    let mut bundle = Vec::new();
    for (entry, content) in entries {
        let header = TarHeader::new(&entry.name(), content.len() as u64);
        bundle.extend(header.encode());
        bundle.extend(content);
        bundle.resize(bundle.len() + header.padding(), 0);
    }
    bundle.resize(bundle.len() + TAR_END_LEN, 0);
    bundle
}

fn control(kind: &'static str, payload: Vec<u8>) -> Draft {
    Draft { kind, payload, ..draft("ledger", "") }
}

fn stream_a() -> ExportScope {
    ExportScope::Stream(StreamName::new("a").unwrap())
}

fn verify(bundle: &[u8]) -> BundleReport {
    verify_bundle(bundle, &trust(), &Options::default()).unwrap()
}

fn failures(bundle: &[u8]) -> Vec<Code> {
    verify(bundle).failures().map(|finding| finding.code).collect()
}

#[test]
fn an_honest_bundle_is_verified() {
    let report = verify(&Forge::of_three().state(|_| ()).bundle());
    assert_eq!(report.findings, []);
    assert_eq!(report.complete, Some(Completeness::Stated));
    assert_eq!(verify(&Forge::of_three().bundle()).complete, Some(Completeness::NotStated));
}

#[test]
fn a_false_statement_is_found() {
    let lies: [fn(&mut Exported); 4] = [
        |exported| exported.count = 2,
        |exported| exported.head = Hash([1; 32]),
        |exported| exported.size = TreeSize(4),
        |exported| exported.scope = ExportScope::Stream(StreamName::new("b").unwrap()),
    ];
    for lie in lies {
        let bundle = Forge::of_three().state(lie).bundle();
        assert_eq!(failures(&bundle), [Code::StatementFalse]);
    }
    let behind_itself = Forge::of_three().state(|exported| exported.size = TreeSize(6)).bundle();
    assert_eq!(failures(&behind_itself)[0], Code::ControlViolation);
}

#[test]
fn a_control_receipt_cannot_be_left_out() {
    let mut forge = Forge::of_three();
    forge.state(|_| ());
    let first = forge.size();
    forge.state(|_| ());
    let head = BundleHead::from_json(&head_of(&forge.bundle())).unwrap();
    let bundle = forge.bundle_of(&head, &[0, first], &[1, 3, 4]);
    assert_eq!(failures(&bundle), [Code::ControlChainBroken]);
    let bundle = forge.bundle_of(&head, &[0], &[1, 3, 4]);
    assert_eq!(failures(&bundle), [Code::StatementMissing]);
    let bundle = forge.bundle_of(&head, &[first - 1, first], &[1, 3, 4]);
    assert!(failures(&bundle).contains(&Code::ControlChainBroken));
}

/// The second entry of a bundle.
fn head_of(bundle: &[u8]) -> Vec<u8> {
    let mut tape = Tape::new(bundle);
    tape.whole(BundleEntry::Document, FORMAT_DOCUMENT_LEN_MAX).unwrap();
    tape.whole(BundleEntry::Head, BUNDLE_HEAD_LEN_MAX).unwrap()
}

#[test]
fn rules_that_this_version_cannot_judge_fail_a_bundle() {
    let bundle = Forge::of_three().push(&control("ledger.magic/1", b"{}".to_vec())).state(|_| ()).bundle();
    assert_eq!(failures(&bundle), [Code::ControlViolation]);
}

#[test]
fn a_receipt_that_contradicts_the_others_is_found() {
    type Change = fn(&mut Envelope);
    let cases: [(Change, Code); 6] = [
        (|envelope| envelope.control_head = Hash([1; 32]), Code::ControlChainBroken),
        (|envelope| envelope.time = Timestamp(1), Code::TimeBackwards),
        (|envelope| envelope.class = ClassId(5), Code::UnknownClass),
        (|envelope| envelope.stream_prev = Hash([1; 32]), Code::StreamForked),
        (|envelope| envelope.stream_seq = StreamSeq(4), Code::StreamGap),
        (|envelope| envelope.commitment.algorithm = CommitmentAlgorithm::HmacSha256, Code::ReceiptCorrupt),
    ];
    for (change, code) in cases {
        let bundle = Forge::of_three().push(&Draft { change, ..draft("a", "5") }).bundle();
        assert_eq!(failures(&bundle)[0], code);
    }
}

#[test]
fn nothing_follows_the_receipt_that_closes_a_stream() {
    let mut forge = Forge::of_three();
    forge.push(&Draft { closes: true, ..draft("a", "5") });
    assert_eq!(failures(&forge.bundle()), []);
    assert_eq!(failures(&forge.push(&draft("a", "6")).bundle()), [Code::StreamClosed]);
}

#[test]
fn a_payload_that_is_gone_is_missing() {
    let bundle = Forge::of_three().push(&Draft { erased: true, ..draft("a", "5") }).bundle();
    let report = verify(&bundle);
    assert_eq!(report.verdicts, Verdicts { present: 3, missing: 1, ..Verdicts::default() });
    assert_eq!(failures(&bundle), [Code::PayloadMissing]);
}

#[test]
fn two_receipts_at_one_position_do_not_fit_one_bundle() {
    let forked = Draft {
        change: |envelope| (envelope.stream_seq, envelope.stream_prev) = (StreamSeq(0), Hash::ZERO),
        ..draft("a", "5")
    };
    let mut forge = Forge::of_three();
    assert_eq!(failures(&forge.push(&forked).bundle()), [Code::StreamForked]);
    // Each half alone fits: that there is no other half is shown by a whole ledger only, and every report says so.
    let head = BundleHead { count: 1, ..BundleHead::from_json(&head_of(&forge.bundle())).unwrap() };
    let report = verify(&forge.bundle_of(&head, &[0], &[5]));
    assert!(report.verified());
    assert!(report.remarks.iter().any(|remark| remark.contains("second history")), "{:?}", report.remarks);
}

#[test]
fn a_proof_of_another_receipt_does_not_count() {
    let forge = Forge::of_three();
    let mut other = Forge::of_three();
    other.receipts[3].1 = Some(b"9".to_vec());
    other.receipts[3].0.commitment = CommitmentAlgorithm::Blake3.commit(&SALT, b"9");
    let report = verify(&other.bundle());
    assert_eq!(report.verdicts, Verdicts { present: 2, corrupt: 1, ..Verdicts::default() });
    assert!(failures(&other.bundle()).contains(&Code::InclusionProof));
    assert!(verify(&forge.bundle()).verified());
}

#[test]
fn lengths_that_are_claimed_take_no_memory() {
    let header = TarHeader::new("format.md", 1 << 20).encode();
    assert_eq!(failures(&header), [Code::BundleDamaged]);
    let header = TarHeader::new("format.md", counterfoil_format::TAR_ENTRY_LEN_MAX).encode();
    assert_eq!(failures(&header), [Code::BundleDamaged]);
    assert_eq!(failures(b""), [Code::BundleDamaged]);
}

#[test]
fn witnesses_cannot_be_asked_for_without_a_cosigned_note() {
    let log = signer(SEED).verifier().to_string();
    let key = ed25519_dalek::SigningKey::from_bytes(&[8; 32]).verifying_key();
    let witness = counterfoil_proof::VerifierKey::new(
        Origin::new("example.com/witness").unwrap(),
        counterfoil_proof::SignatureType::CosignatureV1,
        key,
    );
    let policy = TrustPolicy::parse(format!("log {log}\nwitness w {witness}\nquorum w\n").as_bytes()).unwrap();
    let refused =
        verify_bundle(Forge::of_three().bundle().as_slice(), &Trust::new(Anchor::Policy(policy)), &Options::default());
    assert!(matches!(refused, Err(AuditError::NotPossible { .. })), "{refused:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_give_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..2048)) {
        fuzzing::bundle(&bytes);
        fuzzing::bundle_after_document(&bytes);
    }

    #[test]
    fn bytes_written_anywhere_give_a_verdict(
        edits in prop::collection::vec((any::<prop::sample::Index>(), prop::collection::vec(any::<u8>(), 1..80)), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let whole = Forge::of_three().state(|_| ()).bundle();
        let skip = whole.len() - 12_000;
        let mut bundle = whole.clone();
        for (at, bytes) in edits {
            let at = skip + at.index(12_000 - bytes.len());
            bundle[at..at + bytes.len()].copy_from_slice(&bytes);
        }
        bundle.truncate(skip + cut.index(12_001));
        fuzzing::bundle(&bundle);
        prop_assert_eq!(verify(&bundle).verified(), bundle == whole);
    }
}
