//! A ledger of very many small receipts in a million streams: how fast it opens, what it keeps in memory, how long a lookup
//! takes. It is opened by processes of its own, after a clean close and after a kill.

use crate::measure::{median, time};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use core::time::Duration;
use counterfoil_engine::{Batch, Environment, Ledger, Limits, NewLedger, NewReceipt, Selection, create};
use counterfoil_proof::{
    ClassId, CommitmentAlgorithm, Kind, LeafIndex, Media, Origin, Principal, StreamName, StreamSeq,
};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;

/// Name of the part that fills a ledger.
pub(crate) const FILLER: &str = "large-ledger-fill";
/// Name of the part that opens a ledger and measures.
pub(crate) const OPENER: &str = "large-ledger-open";
/// Name of the part that appends until it is killed.
pub(crate) const WRITER: &str = "large-ledger-write";

const STREAMS: u64 = 1_000_000;
const PAYLOAD: usize = 16;
const BATCH: u64 = 8_000;
const IN_FLIGHT: usize = 4;
const OPENINGS: usize = 3;
const LOOKUPS: u64 = 1_000;

pub(crate) fn run(receipts: u64, directory: &Path) -> anyhow::Result<()> {
    let directory = tempfile::tempdir_in(directory)?;
    let path = directory.path();
    println!("{receipts} receipts with payloads of {PAYLOAD} bytes in {STREAMS} streams, batches of {BATCH}");
    part(FILLER, path, &[&receipts.to_string()], "filled")?;
    for _ in 0..OPENINGS {
        part(OPENER, path, &[], "after close")?;
    }
    for _ in 0..OPENINGS {
        kill_a_writer(path)?;
        part(OPENER, path, &[], "after kill")?;
    }
    Ok(())
}

/// Runs one part in a process of its own, and shows what it printed.
fn part(name: &str, path: &Path, rest: &[&str], what: &str) -> anyhow::Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(name).arg(path).args(rest).stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "{name} failed");
    print!("{what:<11} {}", String::from_utf8(output.stdout)?);
    Ok(())
}

/// Starts a process that appends, waits until it has acknowledged some batches, and kills it.
fn kill_a_writer(path: &Path) -> anyhow::Result<()> {
    let mut child = Command::new(std::env::current_exe()?).arg(WRITER).arg(path).stdout(Stdio::piped()).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("piped")?).lines();
    let acknowledged = lines.take(30).filter(Result::is_ok).count();
    child.kill()?;
    child.wait()?;
    ensure!(acknowledged == 30, "the writer failed");
    Ok(())
}

/// Fills a ledger and prints one line of figures.
pub(crate) fn fill(path: &Path, receipts: u64) -> anyhow::Result<()> {
    let (bytes, elapsed) = time(|| write_all(path, receipts));
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rate, each) = (receipts as f64 / elapsed.as_secs_f64(), bytes? as f64 / receipts as f64);
    println!("{rate:.0} receipts/s, {each:.1} bytes on disk each, peak memory {} MiB", peak_mib()?);
    Ok(())
}

fn write_all(path: &Path, receipts: u64) -> anyhow::Result<u64> {
    let environment = Environment::real(path);
    let new = NewLedger {
        origin: Origin::new("bench.example").context("a constant")?,
        commitment: CommitmentAlgorithm::Blake3,
        roots: Vec::new(),
        root_threshold: None,
        release_delay: Duration::from_secs(86_400),
    };
    create(&environment, &new)?;
    let ledger = Ledger::open(environment, Limits::default())?;
    let (sender, answers) = mpsc::channel();
    let mut in_flight = 0;
    for first in (0..receipts).step_by(usize::try_from(BATCH)?) {
        if in_flight == IN_FLIGHT {
            answers.recv()??;
            in_flight -= 1;
        }
        let sender = sender.clone();
        let batch = ledger.admit(batch(first, (receipts - first).min(BATCH)))?;
        ledger.submit(batch, move |answer| drop(sender.send(answer.map(|_| ()))));
        in_flight += 1;
    }
    for _ in 0..in_flight {
        answers.recv()??;
    }
    ledger.close()?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(path.join("segments"))? {
        bytes += entry?.metadata()?.len();
    }
    Ok(bytes)
}

/// Streams come in no order that an index could like.
fn stream(n: u64) -> StreamName {
    let scattered = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
    StreamName::new(&format!("customer/{:07}", scattered % STREAMS)).expect("a name that keeps its rules")
}

fn batch(first: u64, count: u64) -> Batch {
    let receipts = (first..first + count).map(|n| NewReceipt {
        stream: stream(n),
        kind: Kind::new("decision.made/1").expect("a constant"),
        class: ClassId::FOREVER,
        media: Media::Bytes,
        payload: Bytes::copy_from_slice(&[n.to_le_bytes(), n.to_be_bytes()].concat()),
        subject: None,
        links: Vec::new(),
        closes_stream: false,
        expected_stream_seq: None,
    });
    let writer = Principal::new("local").expect("a constant");
    Batch { writer, id: None, receipts: receipts.collect(), with_proofs: false }
}

/// Appends one batch after the other and prints a line for each.
pub(crate) fn write(path: &Path) -> anyhow::Result<()> {
    let ledger = Ledger::open(Environment::real(path), Limits::default())?;
    for n in 0.. {
        let appended = ledger.append(batch(n * BATCH, BATCH))?;
        println!("{}", appended.checkpoint.unverified().size);
    }
    Ok(())
}

/// Opens a ledger, looks things up, and prints one line of figures.
pub(crate) fn open(path: &Path) -> anyhow::Result<()> {
    let (ledger, opening) = time(|| Ledger::open(Environment::real(path), Limits::default()));
    let ledger = ledger?;
    let opened = resident_mib()?;
    let size = ledger.checkpoint().unverified().size.0;
    let each = |work: &dyn Fn(u64) -> anyhow::Result<()>| -> anyhow::Result<f64> {
        let mut times = Vec::new();
        for n in 0..LOOKUPS {
            let (done, elapsed) = time(|| work(n));
            done?;
            times.push(elapsed.as_secs_f64() * 1e6);
        }
        Ok(median(&mut times))
    };
    let scattered = |n: u64| LeafIndex(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size);
    let get = each(&|n| ledger.get(scattered(n)).map(drop).map_err(Into::into))?;
    let prove = each(&|n| ledger.prove_inclusion(scattered(n + LOOKUPS)).map(drop).map_err(Into::into))?;
    let read = each(&|n| {
        let selection = Selection::Stream { stream: stream(n * 7 + 1), from: StreamSeq(0) };
        ledger.read(&selection, None, 10, usize::MAX).map(drop).map_err(Into::into)
    })?;
    let known = each(&|n| ledger.admit(batch(n * 13 + 5, 1)).map(drop).map_err(Into::into))?;
    let new = each(&|n| {
        let mut batch = batch(n, 1);
        batch.receipts[0].stream = StreamName::new(&format!("new/{n:07}"))?;
        ledger.admit(batch).map(drop).map_err(Into::into)
    })?;
    println!(
        "opened in {:>5.0} ms, {opened:>4} MiB; get {get:.0} us, prove {prove:.0} us, first ten of a stream {read:.0} us, \
         head of a stream {known:.0} us, new stream {new:.0} us; peak {} MiB",
        opening.as_secs_f64() * 1e3,
        peak_mib()?
    );
    ledger.close()?;
    Ok(())
}

fn resident_mib() -> anyhow::Result<u64> {
    status_mib("VmRSS:")
}

fn peak_mib() -> anyhow::Result<u64> {
    status_mib("VmHWM:")
}

/// A figure of this process, as the kernel counts.
fn status_mib(field: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field)).context("no such figure")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024)
}
