//! Ingest through gRPC: a server process with fsync on, this process as the client, both on the same machine.
//!
//! Every receipt is acknowledged durable before the clock stops. The floor is `pwrite` and `fdatasync` of the same
//! payload bytes, a batch at a time, by this process alone.

use crate::measure::{median, time};
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use counterfoil_client::{Client, ConnectOptions, NewReceipt, StreamOptions};
use counterfoil_proof::{Kind, Media, StreamName};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PAYLOAD: usize = 512;
const BATCH: usize = 1000;
const RECEIPTS: usize = 1_000_000;
const RUNS: usize = 5;

pub(crate) fn run(server: &Path, directory: &Path) -> anyhow::Result<()> {
    println!("gRPC ingest, {RECEIPTS} receipts of {PAYLOAD} bytes in batches of {BATCH}, {RUNS} runs");
    let mut rates = Vec::new();
    for run in 1..=RUNS {
        let rate = ingest(server, directory)?;
        println!("run {run}: {rate:.0} receipts/s acknowledged durable");
        rates.push(rate);
    }
    println!("median: {:.0} receipts/s", median(&mut rates));
    Ok(())
}

/// A server process, stopped when this goes.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; there is nobody to tell.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ingest(server: &Path, directory: &Path) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir_in(directory)?;
    let path = directory.path();
    let created = Command::new(server)
        .arg("init")
        .arg(path)
        .args(["--origin", "bench.example"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(created.success(), "init failed");
    let mut child =
        Command::new(server).arg("serve").arg(path).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
    let _server = Server(child);
    let address = line.trim().strip_prefix("listening on ").context("the server did not start")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, elapsed) = time(|| runtime.block_on(stream(format!("http://{address}"))));
    done?;
    Ok(f64::from(u32::try_from(RECEIPTS)?) / elapsed.as_secs_f64())
}

async fn stream(server: String) -> anyhow::Result<()> {
    let client = Client::connect(ConnectOptions { server, ..ConnectOptions::default() }).await?;
    let mut stream = client.append_stream(StreamOptions::default()).await?;
    let payload = Bytes::from(vec![0x5a; PAYLOAD]);
    let kind = Kind::new("evidence.captured/1")?;
    let names: Vec<StreamName> =
        (0..64).map(|n| StreamName::new(&format!("incident/INC-{n:06}"))).collect::<Result<_, _>>()?;
    let mut acknowledged = 0;
    for batch in 0..RECEIPTS / BATCH {
        let receipts = (0..BATCH).map(|at| {
            NewReceipt::new(names[(batch + at) % names.len()].clone(), kind.clone(), Media::Bytes, payload.clone())
        });
        stream.send(receipts.collect()).await?;
        while let Some(ack) = stream.ready_ack() {
            acknowledged += ack.appended.receipts.len();
        }
    }
    for ack in stream.finish().await? {
        acknowledged += ack.appended.receipts.len();
    }
    ensure!(acknowledged == RECEIPTS, "{acknowledged} receipts were acknowledged");
    Ok(())
}
