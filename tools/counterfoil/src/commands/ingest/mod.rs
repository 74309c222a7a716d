//! `counterfoil ingest`: one receipt per line, streamed with bounded memory.
//!
//! A thread reads and checks lines and cuts them into batches; this task sends them and takes the acknowledgements.

mod batches;
mod lines;
mod pointer;

pub(crate) use pointer::Pointer;

use crate::args::IngestArgs;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::{Outcome, Output, Page};
use crate::progress::{Progress, per_second};
use crate::session::Session;
use batches::{BadLine, Batch, Ended, Recipe, Target, spawn};
use core::time::Duration;
use counterfoil_client::{Ack, AppendStream, BatchLimits, Error, StreamOptions};
use counterfoil_proof::VerifiedCheckpoint;
use serde::Serialize;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::Path;
use tokio::sync::mpsc::Receiver;

/// A batch holds no more bytes than this, one long line excepted, so that what is in flight stays small.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Receipts that are durable.
#[derive(Serialize)]
pub(crate) struct Ingested {
    receipts: u64,
    bytes: u64,
    seconds: f64,
    checkpoint: String,
    skipped: u64,
}

pub(crate) async fn run(args: IngestArgs, output: &Output) -> Result<Ingested, Failure> {
    let (input, length) = input(&args.file)?;
    let session = Session::open(&args.server).await?;
    let progress = Progress::of_bytes(length);
    let mut batches = spawn(input, recipe(&args, &session.client().identity().limits)?);
    let stream = session.client().append_stream(StreamOptions::default()).await?;
    let mut upload = Upload { stream, in_flight: VecDeque::new(), done: Done::default() };
    let ended = upload.send_all(&mut batches, &progress).await;
    let done = upload.done;
    let seconds = progress.elapsed();
    drop(progress);
    // Also when the stream broke: what was acknowledged must be there when the server comes back.
    if let Some(checkpoint) = &done.checkpoint {
        session.remember(checkpoint).await?;
    }
    let skipped = judge(ended?, &args.file, &done, output)?;
    tell_rate(&done, seconds, output);
    Ok(Ingested {
        receipts: done.receipts,
        bytes: done.bytes,
        seconds: milliseconds(seconds),
        checkpoint: done.checkpoint.as_ref().unwrap_or(session.latest()).signed().to_string(),
        skipped,
    })
}

/// What to read, and how long it is if that is known.
fn input(path: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if path == Path::new(files::STANDARD) {
        return Ok((Box::new(io::stdin()), None));
    }
    let file = files::open(path)?;
    let length = file.metadata().ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len());
    Ok((Box::new(file), length))
}

fn recipe(args: &IngestArgs, limits: &BatchLimits) -> Result<Recipe, Failure> {
    let target = match (&args.stream, &args.stream_from) {
        (Some(stream), _) => Target::Stream(stream.clone()),
        (None, Some(pointer)) => Target::Pointer(pointer.clone()),
        (None, None) => return Err(Failure::usage("no stream was named", "give --stream or --stream-from")),
    };
    Ok(Recipe {
        target,
        kind: args.kind.clone(),
        class: args.class.clone(),
        line_len_max: limits.payload_bytes_max,
        batch_receipts_max: limits.batch_receipts_max.min(args.batch as usize),
        batch_bytes_max: limits.batch_bytes_max.min(BATCH_BYTES_MAX),
        skip_bad: args.skip_bad,
    })
}

/// What is acknowledged.
#[derive(Default)]
struct Done {
    receipts: u64,
    /// Bytes of payloads.
    bytes: u64,
    /// The last line acknowledged.
    line: u64,
    checkpoint: Option<VerifiedCheckpoint>,
}

/// Batches on their way.
struct Upload {
    stream: AppendStream,
    in_flight: VecDeque<Sent>,
    done: Done,
}

/// A batch that was sent.
struct Sent {
    first_line: u64,
    last_line: u64,
    bytes: u64,
}

impl Upload {
    /// Sends batches until the input ends, and waits until all are acknowledged.
    async fn send_all(
        &mut self,
        batches: &mut Receiver<Result<Batch, Ended>>,
        progress: &Progress,
    ) -> Result<Ended, Failure> {
        loop {
            match batches.recv().await.expect("the thread that reads tells how the input ended") {
                Ok(batch) => self.send(batch).await?,
                Err(ended) => {
                    self.finish().await?;
                    return Ok(ended);
                }
            }
            progress.at(self.done.bytes, self.done.receipts);
        }
    }

    async fn send(&mut self, batch: Batch) -> Result<(), Failure> {
        let Batch { receipts, first_line, last_line } = batch;
        let bytes = receipts.iter().map(|receipt| receipt.payload.len() as u64).sum();
        self.in_flight.push_back(Sent { first_line, last_line, bytes });
        let sent = self.stream.send(receipts).await;
        while let Some(ack) = self.stream.ready_ack() {
            self.take(&ack);
        }
        sent.map(|_| ()).map_err(|error| self.broken(error))
    }

    async fn finish(&mut self) -> Result<(), Failure> {
        loop {
            match self.stream.next_ack().await {
                Ok(Some(ack)) => self.take(&ack),
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// Answers come in the order of the batches.
    fn take(&mut self, ack: &Ack) {
        let Some(sent) = self.in_flight.pop_front() else { return };
        self.done.receipts += ack.appended.receipts.len() as u64;
        self.done.bytes += sent.bytes;
        self.done.line = sent.last_line;
        self.done.checkpoint = Some(ack.appended.checkpoint.clone());
    }

    /// The stream ended early: says what is safe, what was refused and what is not known.
    fn broken(&self, error: Error) -> Failure {
        let unknown = matches!(error, Error::Unreachable(_) | Error::Timeout { .. } | Error::Verification(_));
        let Done { receipts, line, .. } = &self.done;
        let mut failure =
            Failure::from(error).with_more(&format!("{receipts} receipts, up to line {line}, are acknowledged"));
        let mut in_flight = self.in_flight.iter();
        let Some(Sent { first_line, last_line, .. }) = in_flight.next() else { return failure };
        if !unknown {
            // The first batch without an answer is the one that was refused, as a whole; the server takes none behind it.
            failure = failure.with_more(&format!(
                "the batch of lines {first_line} to {last_line} was refused, and nothing behind it was appended"
            ));
            let next = format!("{}; then go on from line {first_line}", failure.report.next);
            return failure.with_next(next);
        }
        let to = in_flight.next_back().map_or(*last_line, |last| last.last_line);
        let next = "see whether the server runs; find out by `counterfoil read` which of these lines are in the ledger";
        failure.with_more(&format!("lines {first_line} to {to} may be in the ledger or not")).with_next(next.to_owned())
    }
}

/// How the input ended: skipped lines are told, a bad line or a failed read is a failure.
fn judge(ended: Ended, path: &Path, done: &Done, output: &Output) -> Result<u64, Failure> {
    let skipped = match ended {
        Ended::AtEnd(skipped) => skipped,
        Ended::BadLine(BadLine { number, problem }) => {
            let message =
                format!("line {number}: {problem}; the {} receipts before it are acknowledged", done.receipts);
            let next = format!("mend the line and go on from line {number}, or leave bad lines out with --skip-bad");
            return Err(Failure::new(Exit::Incomplete, "BAD_LINE", message, next));
        }
        Ended::Unreadable(error) => {
            let failure = Failure::file("reading", path, &error);
            let next = format!("{}; everything up to line {} is acknowledged", failure.report.next, done.line);
            return Err(failure.with_next(next));
        }
    };
    for BadLine { number, problem } in &skipped.first {
        output.remark(&format!("skipped line {number}: {problem}"));
    }
    let more = skipped.count - skipped.first.len() as u64;
    if more > 0 {
        output.remark(&format!("skipped {more} more bad lines"));
    }
    Ok(skipped.count)
}

fn tell_rate(done: &Done, elapsed: Duration, output: &Output) {
    if done.receipts > 0 {
        let rate = per_second(done.receipts, elapsed);
        output.remark(&format!("{} receipts in {:.1} s, {rate} a second", done.receipts, elapsed.as_secs_f64()));
    }
}

/// Seconds with three decimals.
#[expect(clippy::cast_precision_loss, reason = "2^53 ms are longer than any run")]
fn milliseconds(elapsed: Duration) -> f64 {
    elapsed.as_millis() as f64 / 1000.0
}

impl Outcome for Ingested {
    fn tell(&self, page: &mut Page) {
        page.field("receipts", self.receipts);
        page.field("bytes", self.bytes);
        page.field("seconds", self.seconds);
        if self.skipped > 0 {
            page.field("skipped", self.skipped);
        }
        page.line("");
        page.lines(&self.checkpoint);
    }
}
