//! Filling a catalog takes memory in proportion to a chunk and the database's cache, not to the ledger. A process of its
//! own, because it looks at the memory of all of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

use core::time::Duration;
use counterfoil_engine::{Batch, Environment, Ledger, Limits, NewLedger, NewReceipt, Rebuilt, create, rebuild_catalog};
use counterfoil_proof::{ClassId, CommitmentAlgorithm, Kind, Media, Origin, Principal, StreamName};
use std::path::Path;

const STREAMS: u64 = 100_000;
const BATCH: u64 = 10_000;
/// What filling may add to the memory of the process, beside the ledger itself.
const GROWTH_KIB_MAX: u64 = 192 * 1024;

/// Kibibytes of memory this process uses now.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Names that are spread over each other, unlike the receipts.
fn name(n: u64) -> StreamName {
    StreamName::new(&format!("incident/{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).unwrap()
}

fn ledger_of_many_streams(directory: &Path) -> Ledger {
    let new = NewLedger {
        origin: Origin::new("example.com/test").unwrap(),
        commitment: CommitmentAlgorithm::Blake3,
        roots: Vec::new(),
        root_threshold: None,
        release_delay: Duration::from_secs(86_400),
    };
    create(&Environment::real(directory), &new).unwrap();
    let ledger = Ledger::open(Environment::real(directory), Limits::default()).unwrap();
    for first in (0..STREAMS).step_by(usize::try_from(BATCH).unwrap()) {
        let receipts = (first..first + BATCH).map(|n| NewReceipt {
            stream: name(n),
            kind: Kind::new("incident.opened/1").unwrap(),
            class: ClassId::FOREVER,
            media: Media::Bytes,
            payload: bytes::Bytes::new(),
            subject: None,
            links: Vec::new(),
            closes_stream: false,
            expected_stream_seq: None,
        });
        let writer = Principal::new("ann").unwrap();
        ledger.append(Batch { writer, id: None, receipts: receipts.collect(), with_proofs: false }).unwrap();
    }
    ledger
}

#[test]
fn a_hundred_thousand_streams_are_taken_in_and_listed_in_bounded_memory() {
    let directory = tempfile::tempdir().unwrap();
    ledger_of_many_streams(directory.path()).close().unwrap();
    let environment = Environment::with_catalog(directory.path());
    let (mut least, mut most) = (u64::MAX, 0);
    let rebuilt = rebuild_catalog(environment.clone(), |_, _| {
        let now = resident_kib();
        (least, most) = (least.min(now), most.max(now));
    });
    assert_eq!(rebuilt.unwrap(), Rebuilt { streams: STREAMS + 1, receipts: STREAMS + 1 });
    assert!(most - least < GROWTH_KIB_MAX, "from {least} to {most} KiB");

    let ledger = Ledger::open(environment, Limits::default()).unwrap();
    let (mut listed, mut after) = (0, None);
    loop {
        let page = ledger.streams("incident/7f", after.as_ref(), 100).unwrap();
        listed += page.streams.len();
        after = page.next;
        // Until the catalog is open there is nothing to list.
        if after.is_none() && page.taken_in == page.size {
            break;
        }
    }
    let expected = (0..STREAMS).filter(|n| name(*n).as_str().starts_with("incident/7f")).count();
    assert_eq!(listed, expected);
    ledger.close().unwrap();
}
