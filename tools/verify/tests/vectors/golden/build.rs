//! Builds the golden ledger through the engine, with a clock and randomness that repeat.

use super::folder::{Files, read_folder};
use crate::sample::{counting, payload};
use base64::Engine as _;
use bytes::Bytes;
use core::time::Duration;
use counterfoil_engine::{
    Batch, BatchId, Clock, Environment, Ledger, Limits, NewLedger, NewReceipt, Randomness, RootPrincipal, create,
};
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Kind, LeafIndex, Link, Media, Origin, Principal, SignatureType, StreamName, Subject,
    Timestamp,
};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{io, thread};

const ORIGIN: &str = "example.com/golden";
const CREATED: u64 = 1_767_225_600_000_000_000;
const STEP: Duration = Duration::from_millis(1_500);
const INCIDENT: &str = "incident/INC-42";
const OPEN_STREAM: &str = "customer/\u{c4} 7";

/// Advances when the test says so.
#[derive(Default)]
struct Steps(AtomicU64);

impl Clock for Steps {
    fn wall(&self) -> Timestamp {
        Timestamp(CREATED + self.0.load(Ordering::SeqCst))
    }

    fn since_boot(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }
}

/// The n-th request for so many bytes always gets the same ones. Threads of the engine ask for different lengths, so the
/// order in which they come does not matter.
#[derive(Default)]
struct Repeating {
    counts: Mutex<BTreeMap<usize, u64>>,
    /// Number of the first request.
    from: u64,
}

impl Randomness for Repeating {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        let mut counts = self.counts.lock().unwrap();
        let count = counts.entry(buffer.len()).or_insert(self.from);
        for (at, chunk) in (0u64..).zip(buffer.chunks_mut(32)) {
            chunk.copy_from_slice(&block(chunk.len(), *count, at)[..chunk.len()]);
        }
        *count += 1;
        Ok(())
    }
}

fn block(len: usize, count: u64, at: u64) -> [u8; 32] {
    Sha256::digest(format!("counterfoil golden ledger {len} {count} {at}")).into()
}

/// The checkpoint key as PKCS#8 PEM: what a ledger keeps under keys/.
pub(super) fn key_pem() -> String {
    // The first 32 bytes that creating a ledger asks for are the seed of its key.
    const PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let der = [PREFIX.as_slice(), &block(32, 0, 0)].concat();
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

fn receipt(stream: &str, kind: &str, media: Media, payload: impl Into<Vec<u8>>) -> NewReceipt {
    NewReceipt {
        stream: StreamName::new(stream).unwrap(),
        kind: Kind::new(kind).unwrap(),
        class: ClassId::FOREVER,
        media,
        payload: Bytes::from(payload.into()),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    }
}

fn batch(writer: &str, id: Option<BatchId>, receipts: Vec<NewReceipt>) -> Batch {
    Batch { writer: Principal::new(writer).unwrap(), id, receipts, with_proofs: false }
}

/// A batch that continues the golden ledger.
pub(super) fn one_more() -> Batch {
    batch("agent-9", None, vec![receipt(OPEN_STREAM, "note.taken/1", Media::Text, "one more")])
}

/// Receipts of its stream that are there already.
pub(super) fn one_more_follows() -> u64 {
    6
}

/// Clock and randomness that repeat, over a ledger that is there already.
pub(super) fn environment_of(folder: &Path) -> Environment {
    let clock = Steps(AtomicU64::new(60_000_000_000));
    // Far behind what building took: the first request then was for the key.
    let randomness = Repeating { from: 1000, ..Repeating::default() };
    Environment { clock: Arc::new(clock), randomness: Arc::new(randomness), ..Environment::real(folder) }
}

/// The ledger while it is built.
struct Building {
    folder: tempfile::TempDir,
    clock: Arc<Steps>,
    environment: Environment,
}

impl Building {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(Steps::default());
        let randomness = Arc::new(Repeating::default());
        let environment = Environment { clock: clock.clone(), randomness, ..Environment::real(folder.path()) };
        let root = crate::sample::key("ann", SignatureType::Ed25519, 1);
        let new = NewLedger {
            origin: Origin::new(ORIGIN).unwrap(),
            commitment: CommitmentAlgorithm::Blake3,
            roots: vec![RootPrincipal { key: root }],
            root_threshold: None,
            release_delay: Duration::from_secs(86_400),
        };
        create(&environment, &new).unwrap();
        Self { folder, clock, environment }
    }

    fn open(&self) -> Ledger {
        Ledger::open(self.environment.clone(), Limits::default()).unwrap()
    }

    /// Appends one batch, which becomes one frame, a step later than the last.
    fn append(&self, ledger: &Ledger, batch: Batch) {
        self.clock.0.fetch_add(u64::try_from(STEP.as_nanos()).unwrap(), Ordering::SeqCst);
        ledger.append(batch).unwrap();
        settle(ledger);
    }

    fn link(ledger: &Ledger, index: u64) -> Link {
        let index = LeafIndex(index);
        Link { index, leaf: ledger.get(index).unwrap().leaf }
    }
}

/// Waits until nothing goes on in the background, so that what is written next does not depend on it.
fn settle(ledger: &Ledger) {
    while {
        let status = ledger.status();
        status.background_jobs > 0 || status.durable_mark != status.checkpoint.unverified().size
    } {
        thread::yield_now();
    }
}

/// Indices 1 to 7: an incident with its decision.
fn first_segment(building: &Building, ledger: &Ledger) {
    let alert = |text: &str| receipt(INCIDENT, "alert.received/1", Media::Json, text);
    building.append(ledger, batch("monitor", None, vec![alert(r#"{"step":1}"#), alert(r#"{"step":2}"#)]));
    let subject = Some(Subject(counting(0x70)));
    let customer = NewReceipt { subject, ..receipt(OPEN_STREAM, "note.taken/1", Media::Text, "Gr\u{fc}\u{df}e") };
    building.append(ledger, batch("agent-7", Some(BatchId::Request(counting(0x90))), vec![customer]));
    let links = vec![Building::link(ledger, 1), Building::link(ledger, 3)];
    let decision = NewReceipt {
        links,
        subject,
        ..receipt(INCIDENT, "decision.approved/1", Media::Json, r#"{"refund":"approved"}"#)
    };
    let others =
        ["b", "a"].map(|name| receipt(&format!("scratch/{name}"), "blob.stored/1", Media::Bytes, payload(700)));
    let [b, a] = others;
    let session = |number| Some(BatchId::Session { session: counting(0xa0), number });
    building.append(ledger, batch("agent-7", session(0), vec![decision, b]));
    building.append(
        ledger,
        batch("agent-7", session(1), vec![a, receipt(OPEN_STREAM, "note.taken/1", Media::Cbor, [0xf6])]),
    );
}

/// Indices 8 to 13: closing receipts.
fn second_segment(building: &Building, ledger: &Ledger) {
    let links = vec![Building::link(ledger, 4)];
    let close = NewReceipt { closes_stream: true, links, ..receipt(INCIDENT, "incident.closed/1", Media::Json, "{}") };
    let empty = receipt(OPEN_STREAM, "note.taken/1", Media::Protobuf, []);
    building.append(ledger, batch("agent-7", None, vec![close, empty]));
    let short = NewReceipt { closes_stream: true, ..receipt("short", "blob.stored/2", Media::Bytes, [0, 1, 2]) };
    building.append(ledger, batch("agent-8", Some(BatchId::Request(counting(0xb0))), vec![short]));
    let notes = ["one", "two", "three"].map(|text| receipt(OPEN_STREAM, "note.taken/1", Media::Text, text));
    building.append(ledger, batch("agent-7", None, notes.to_vec()));
}

/// A frame that was never acknowledged and reached the disk in part, as a crash leaves it.
fn tear_the_tail(folder: &Path) {
    let files = read_folder(folder);
    let (name, segment) = files.iter().rfind(|(name, _)| name.ends_with(".seg")).unwrap();
    let end = used(segment);
    // The start of the last frame again, in the place of the next one.
    let last = (0..end).step_by(4096).rfind(|at| segment[*at..].starts_with(b"CFFRAME1")).unwrap();
    let mut torn = segment.clone();
    torn.resize(torn.len().max(end + 4096), 0);
    torn.copy_within(last..last + 300, end);
    crate::store::write(&folder.join(name), &torn);
}

/// Bytes of a segment up to the end of the block of 4 096 that holds the last byte that is not zero.
fn used(segment: &[u8]) -> usize {
    segment.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(4096))
}

/// The golden ledger, closed: three sealed segments with their derived files, an open one, and a cut file.
pub(super) fn build() -> Files {
    let building = Building::new();
    let folder = building.folder.path();
    let ledger = building.open();
    first_segment(&building, &ledger);
    ledger.seal().unwrap();
    settle(&ledger);
    second_segment(&building, &ledger);
    ledger.close().unwrap();
    drop(ledger);
    tear_the_tail(folder);
    let ledger = building.open();
    settle(&ledger);
    ledger.seal().unwrap();
    settle(&ledger);
    building.append(&ledger, batch("monitor", None, vec![receipt("last", "alert.received/1", Media::Json, "[1]")]));
    ledger.seal().unwrap();
    settle(&ledger);
    let links = vec![Building::link(&ledger, 0), Building::link(&ledger, 14)];
    let linked = NewReceipt { links, ..receipt("last", "alert.received/1", Media::Json, "[2]") };
    building.append(&ledger, batch("monitor", None, vec![linked]));
    ledger.close().unwrap();
    drop(ledger);
    as_stored(read_folder(folder))
}

/// The private key stays out, and so do zeros that an open segment was written ahead with.
fn as_stored(mut files: Files) -> Files {
    files.retain(|name, _| !name.starts_with("keys/"));
    for (_, segment) in files.iter_mut().filter(|(name, _)| name.ends_with(".seg")) {
        if !segment[..segment.len() - 8].ends_with(b"CFSEALD1") {
            segment.truncate(used(segment));
        }
    }
    files
}
