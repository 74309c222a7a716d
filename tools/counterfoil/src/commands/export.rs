//! `counterfoil export`: receipts of a stream or range in one file that verifies offline.

use crate::args::ExportArgs;
use crate::failure::{Exit, Failure};
use crate::files::{self, Unnamed};
use crate::output::{Outcome, Output, Page};
use crate::progress::Progress;
use crate::session::Session;
use counterfoil_audit::{Anchor, Completeness, Options, Trust, verify_bundle};
use counterfoil_client::ExportScope;
use counterfoil_proof::{NOTE_LEN_MAX, SignedCheckpoint, TreeSize, TrustPolicy};
use serde::Serialize;
use std::io::BufReader;
use std::path::Path;

/// A bundle that was written and verified.
#[derive(Serialize)]
pub(crate) struct Exported {
    file: String,
    receipts: u64,
    bytes: u64,
    /// The receipt that states what the bundle holds.
    statement: Option<u64>,
    checkpoint: String,
    /// False when nobody states that these are all receipts of the stream.
    complete: bool,
}

pub(crate) async fn run(args: &ExportArgs, output: &Output) -> Result<Exported, Failure> {
    let seen: Vec<SignedCheckpoint> = args.seen.iter().map(|path| note(path)).collect::<Result<_, _>>()?;
    let scope = match (&args.stream, args.range) {
        (Some(stream), _) => ExportScope::Stream(stream.clone()),
        (None, Some((from, to))) => ExportScope::Range { from, to },
        (None, None) => return Err(Failure::usage("nothing to export was named", "see `counterfoil export --help`")),
    };
    // Looked at before the ledger states anything; that nothing is overwritten is made sure of at the end.
    if !args.force && args.out.exists() {
        return Err(exists(&args.out));
    }
    let mut file = Unnamed::beside(&args.out)?;
    let session = Session::open(&args.server).await?;
    let identity = session.client().identity();
    let policy = TrustPolicy::single(identity.key.clone()).expect("the client trusts this key already");
    check_seen(&session, &policy, &seen).await?;
    let trust = Trust { genesis: Some(identity.ledger_id), seen, ..Trust::new(Anchor::Policy(policy)) };
    let sizes: Vec<TreeSize> = trust.seen.iter().map(|note| note.unverified().size).collect();
    let mut export = session.client().export(&scope, &sizes).await?;
    session.remember(&export.summary().checkpoint).await?;
    let progress = Progress::of_bytes(None);
    let mut bytes = 0;
    while let Some(piece) = export.next().await? {
        file.write(&piece)?;
        bytes += piece.len() as u64;
        progress.reached(bytes);
    }
    drop(progress);
    let complete = verified(&trust, &file)? != Completeness::NotStated;
    file.name(args.force)
        .map_err(|failure| if args.out.exists() && !args.force { exists(&args.out) } else { failure })?;
    let summary = export.summary();
    if !complete {
        output.remark("the ledger could not append, so nobody states that these are all receipts of the stream");
    }
    Ok(Exported {
        file: args.out.display().to_string(),
        receipts: summary.receipts,
        bytes,
        statement: summary.statement.map(|index| index.0),
        checkpoint: summary.checkpoint.signed().to_string(),
        complete,
    })
}

/// A checkpoint that the ledger does not extend is found before the ledger states anything.
async fn check_seen(session: &Session, policy: &TrustPolicy, seen: &[SignedCheckpoint]) -> Result<(), Failure> {
    for note in seen {
        note.clone().verify(policy).map_err(|error| {
            let message = format!("the checkpoint of size {} seen earlier: {error}", note.unverified().size);
            Failure::new(Exit::NotVerified, "UNTRUSTED_CHECKPOINT", message, "name checkpoints of this ledger only")
        })?;
        session.client().check_extends(note).await?;
    }
    Ok(())
}

/// Verifies the bundle as its reader will.
fn verified(trust: &Trust, file: &Unnamed) -> Result<Completeness, Failure> {
    let wrong = |message: String| {
        let message = format!("the bundle does not verify, and was not kept: {message}");
        let next = "run counterfoil-verify on the ledger's directory";
        Failure::new(Exit::NotVerified, "BUNDLE_NOT_VERIFIED", message, next)
    };
    let report = verify_bundle(BufReader::new(file.reopen()?), trust, &Options::default());
    let report = report.map_err(|error| wrong(error.to_string()))?;
    let first = report.failures().next().map(|finding| finding.message.clone());
    report.complete.ok_or_else(|| wrong(first.unwrap_or_default()))
}

fn note(path: &Path) -> Result<SignedCheckpoint, Failure> {
    let bytes = files::read(path, NOTE_LEN_MAX)?;
    SignedCheckpoint::parse(&bytes).map_err(|error| {
        let message = format!("--seen {}: {error}", path.display());
        Failure::usage(message, "give a file that `counterfoil checkpoint` printed")
    })
}

fn exists(path: &Path) -> Failure {
    let message = format!("{} exists already", path.display());
    Failure::new(Exit::Incomplete, "EXISTS", message, "name another file, or overwrite this one with --force")
}

impl Outcome for Exported {
    fn tell(&self, page: &mut Page) {
        page.field("file", &self.file);
        page.field("receipts", self.receipts);
        page.field("bytes", self.bytes);
        match self.statement {
            Some(index) => page.field("statement", index),
            None => page.field("statement", "none"),
        }
        page.field("complete", if self.complete { "yes" } else { "not stated" });
        page.lines(&self.checkpoint);
    }
}
