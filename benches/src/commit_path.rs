//! The engine's commit path against its floor: `pwrite` and `fdatasync` of the same payload bytes.
//!
//! One batch is in flight at a time in both, so that a batch is a commit. The floor writes into a file of zeros that was
//! synced before, each write beginning at a multiple of 4 096, as the engine's frames do.

use crate::measure::{median, time};
use anyhow::Context as _;
use bytes::Bytes;
use core::time::Duration;
use counterfoil_engine::{Batch, Environment, Ledger, Limits, NewLedger, NewReceipt, create};
use counterfoil_proof::{ClassId, CommitmentAlgorithm, Kind, Media, Origin, Principal, StreamName};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

const PAYLOAD: usize = 512;
const PAIRS: usize = 7;
const BATCHES: [(usize, usize); 4] = [(1, 400), (100, 300), (1000, 100), (8000, 25)];

pub(crate) fn run(directory: &Path) -> anyhow::Result<()> {
    println!("commit path, payloads of {PAYLOAD} bytes, one batch in flight, {PAIRS} pairs, medians");
    println!("{:>6} {:>14} {:>14} {:>16} {:>8}", "batch", "floor us", "ledger us", "receipts/s", "ratio");
    for (size, rounds) in BATCHES {
        let (mut floors, mut ledgers, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            let floor = floor(directory, size * PAYLOAD, rounds)?;
            let ledger = ledger(directory, size, rounds)?;
            floors.push(floor);
            ledgers.push(ledger);
            ratios.push(ledger / floor);
        }
        let (floor, ledger) = (median(&mut floors), median(&mut ledgers));
        let rate = 1e6 / ledger * f64::from(u32::try_from(size)?);
        println!("{size:>6} {floor:>14.0} {ledger:>14.0} {rate:>16.0} {:>8.2}", median(&mut ratios));
    }
    Ok(())
}

fn payload(seed: usize) -> Bytes {
    // Incompressible enough that no layer can cheat, cheap enough not to count.
    let mut state = seed as u64 + 1;
    let bytes = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[0]
    });
    bytes.take(PAYLOAD).collect::<Vec<u8>>().into()
}

/// Median microseconds of one write and sync.
fn floor(directory: &Path, bytes: usize, rounds: usize) -> anyhow::Result<f64> {
    let step = bytes.next_multiple_of(4096);
    let file: File = tempfile::tempfile_in(directory)?;
    let zeros = vec![0; 1 << 20];
    for at in (0..step * rounds).step_by(zeros.len()) {
        file.write_all_at(&zeros, at as u64)?;
    }
    file.sync_all()?;
    let block: Vec<u8> = (0..bytes.div_ceil(PAYLOAD)).flat_map(payload).take(bytes).collect();
    let mut times = Vec::with_capacity(rounds);
    for round in 0..rounds {
        let (done, elapsed) = time(|| file.write_all_at(&block, (round * step) as u64).and_then(|()| file.sync_data()));
        done?;
        times.push(elapsed.as_secs_f64() * 1e6);
    }
    Ok(median(&mut times))
}

/// Median microseconds of one appended batch.
fn ledger(directory: &Path, size: usize, rounds: usize) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir_in(directory)?;
    let environment = Environment::real(directory.path());
    let new = NewLedger {
        origin: Origin::new("bench.example").context("a constant")?,
        commitment: CommitmentAlgorithm::Blake3,
        roots: Vec::new(),
        root_threshold: None,
        release_delay: Duration::from_secs(86_400),
    };
    create(&environment, &new)?;
    let ledger = Ledger::open(environment, Limits::default())?;
    let payloads: Vec<Bytes> = (0..size).map(payload).collect();
    let names: Vec<StreamName> =
        (0..64).map(|n| StreamName::new(&format!("incident/INC-{n:06}"))).collect::<Result<_, _>>()?;
    let (kind, writer) = (Kind::new("evidence.captured/1")?, Principal::new("local")?);
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let receipts = payloads.iter().enumerate().map(|(at, payload)| NewReceipt {
            stream: names[at % names.len()].clone(),
            kind: kind.clone(),
            class: ClassId::FOREVER,
            media: Media::Bytes,
            payload: payload.clone(),
            subject: None,
            links: Vec::new(),
            closes_stream: false,
            expected_stream_seq: None,
        });
        let batch = Batch { writer: writer.clone(), id: None, receipts: receipts.collect(), with_proofs: false };
        let (appended, elapsed) = time(|| ledger.append(batch));
        appended?;
        times.push(elapsed.as_secs_f64() * 1e6);
    }
    ledger.close()?;
    Ok(median(&mut times))
}
