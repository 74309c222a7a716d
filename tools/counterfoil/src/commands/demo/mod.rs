//! `counterfoil demo`: the whole story on one machine, which ends by verifying itself.

mod damage;
mod stage;
mod upload;

use super::append::Appended;
use super::get;
use crate::args::DemoArgs;
use crate::failure::{Exit, Failure, chain};
use crate::files;
use crate::invocation::{self, quote_path};
use crate::output::{Outcome, Output, Page};
use crate::progress::per_second;
use counterfoil_audit::{Anchor, Code, Directory, Finding, Options, Report, Trust, verify_inclusion, verify_ledger};
use counterfoil_client::{AppendOptions, Client, ConnectOptions, NewReceipt};
use counterfoil_proof::{LeafIndex, Link, TrustPolicy, VerifierKey};
use serde::Serialize;
use stage::{Served, Stage};
use std::path::Path;
use upload::{Uploaded, Victim};

/// How the story went. It is only told when all of it held.
#[derive(Serialize)]
pub(crate) struct Story {
    dir: String,
    ledger: String,
    ledger_id: String,
    vkey: String,
    receipts: u64,
    seconds: f64,
    receipts_per_second: u64,
    appended: Appended,
    /// Size of the ledger that was verified offline.
    verified_size: u64,
    damaged: Damaged,
    /// What to type next, with what it shows.
    next: Vec<NextCommand>,
}

/// The damage that was done, and found.
#[derive(Serialize)]
struct Damaged {
    dir: String,
    index: u64,
    stream: String,
    kind: String,
    found: String,
}

#[derive(Serialize)]
struct NextCommand {
    shows: &'static str,
    command: String,
}

pub(crate) async fn run(args: &DemoArgs, output: &Output) -> Result<Story, Failure> {
    let stage = Stage::build(args, output)?;
    let policy = policy(&stage.vkey)?;
    output.say(&format!("1. created the ledger {} in {}", stage.vkey.name(), stage.ledger.display()))?;

    let served = Served::start(&stage.ledger).await?;
    output.say(&format!("2. serving it over gRPC on {}", served.address()))?;
    let client = Client::connect(ConnectOptions {
        server: format!("http://{}", served.address()),
        trust: Some(policy.clone()),
        ..ConnectOptions::default()
    })
    .await?;

    let uploaded = upload::stream(&client, args.receipts).await?;
    let rate = per_second(uploaded.receipts, uploaded.elapsed);
    let seconds = uploaded.elapsed.as_secs_f64();
    output.say(&format!(
        "3. streamed {} receipts, each durable and chained, in {seconds:.1} s: {rate} a second",
        uploaded.receipts
    ))?;

    let (appended, shown) = append_one(&client, &uploaded, &stage).await?;
    output.say(&format!("4. appended one more:\n\n{shown}\n   and got this proof:\n\n{}", appended.proof))?;
    drop(client);
    check_proof(&stage, &policy)?;
    output.say("5. checked the proof from its files and the ledger's key alone: it holds")?;

    served.stop().await?;
    let size = verify_intact(&stage.ledger, &policy, appended.index)?;
    output.say(&format!(
        "6. stopped the server and verified the ledger offline: {size} receipts present, nothing wrong"
    ))?;

    let damaged = damage_and_find(&stage, &policy, &uploaded.victim)?;
    output.say(&format!("7. flipped one bit in a copy, verified it and found: {}", damaged.found))?;
    Ok(Story {
        next: next_commands(&stage),
        dir: stage.dir.display().to_string(),
        ledger: stage.ledger.display().to_string(),
        ledger_id: stage.ledger_id.clone(),
        vkey: stage.vkey.to_string(),
        receipts: uploaded.receipts,
        seconds: (seconds * 1000.0).round() / 1000.0,
        receipts_per_second: rate,
        appended,
        verified_size: size,
        damaged,
    })
}

/// Appends one receipt that is linked to the one before, writes it and its proof as files, and gives it as text too.
async fn append_one(client: &Client, uploaded: &Uploaded, stage: &Stage) -> Result<(Appended, String), Failure> {
    let payload = r#"{"note":"one more receipt, appended to look at its proof","by":"counterfoil demo"}"#;
    let mut note =
        NewReceipt::json("demo/visitor", "note.written/1", payload).expect("constant names that keep their rules");
    note.links = vec![Link { index: uploaded.last.index, leaf: uploaded.last.leaf }];
    let options = AppendOptions { with_proofs: true, request_id: None };
    let appended = Appended::of_one(&client.append(vec![note], options).await?);
    let proved = get::fetch(client, LeafIndex(appended.index)).await?;
    files::replace(&stage.receipt, format!("{}\n", get::view(&proved.receipt).to_json()).as_bytes())?;
    files::replace(&stage.proof, appended.proof.as_bytes())?;
    Ok((appended, Page::plain(&proved)))
}

fn policy(vkey: &VerifierKey) -> Result<TrustPolicy, Failure> {
    TrustPolicy::single(vkey.clone()).map_err(|error| broke("TRUST", error.to_string()))
}

fn trust(policy: &TrustPolicy) -> Trust {
    Trust::new(Anchor::Policy(policy.clone()))
}

/// The auditor's code, without client and server.
fn check_proof(stage: &Stage, policy: &TrustPolicy) -> Result<(), Failure> {
    let [proof, receipt] = [&stage.proof, &stage.receipt].map(|path| files::read(path, 1024 * 1024));
    verify_inclusion(&proof?, &receipt?, &trust(policy))
        .map(|_| ())
        .map_err(|error| broke("PROOF", format!("the proof does not hold: {}", chain(&error))))
}

fn verify(ledger: &Path, policy: &TrustPolicy) -> Result<Report, Failure> {
    verify_ledger(&Directory::new(ledger), &trust(policy), &Options::default()).map_err(|error| {
        let message = format!("{}: {}", ledger.display(), chain(&error));
        Failure::new(Exit::Incomplete, "NO_VERDICT", message, error.next())
    })
}

/// Verifies the ledger up to and with this last receipt, and gives its size.
fn verify_intact(ledger: &Path, policy: &TrustPolicy, last: u64) -> Result<u64, Failure> {
    let report = verify(ledger, policy)?;
    if let Some(finding) = report.failures().next() {
        return Err(broke("NOT_VERIFIED", format!("the ledger does not verify: {}", finding.message)));
    }
    let size = report.size.0;
    if size != last + 1 || report.verdicts.present != size {
        let message =
            format!("{size} receipts verified, {} of them present, {} expected", report.verdicts.present, last + 1);
        return Err(broke("NOT_VERIFIED", message));
    }
    Ok(size)
}

fn damage_and_find(stage: &Stage, policy: &TrustPolicy, victim: &Victim) -> Result<Damaged, Failure> {
    damage::copy(&stage.ledger, &stage.damaged)?;
    damage::flip_bit(&stage.damaged, victim.payload.as_bytes())?;
    let report = verify(&stage.damaged, policy)?;
    let names_it = |finding: &&Finding| finding.code == Code::ReceiptCorrupt && finding.index == Some(victim.index);
    let Some(finding) = report.failures().find(names_it) else {
        let message = format!("a bit of receipt {} was flipped, and verifying did not name it", victim.index);
        return Err(broke("NOT_FOUND", message));
    };
    Ok(Damaged {
        dir: stage.damaged.display().to_string(),
        index: victim.index.0,
        stream: victim.stream.clone(),
        kind: victim.kind.to_owned(),
        found: finding.message.clone(),
    })
}

fn broke(code: &str, message: String) -> Failure {
    Failure::new(Exit::NotVerified, code, message, "keep the directory and report this: the demo must always hold")
}

fn next_commands(stage: &Stage) -> Vec<NextCommand> {
    let (program, verifier) = (invocation::program(), invocation::verifier());
    let [ledger, damaged, receipt, proof] =
        [&stage.ledger, &stage.damaged, &stage.receipt, &stage.proof].map(|path| quote_path(path));
    let key = &stage.vkey;
    vec![
        NextCommand { shows: "verify the ledger again", command: format!("{verifier} ledger {ledger} --key {key}") },
        NextCommand {
            shows: "check the one receipt, without any ledger",
            command: format!("{verifier} proof {proof} --receipt {receipt} --key {key}"),
        },
        NextCommand {
            shows: "see the flipped bit found (exit code 1)",
            command: format!("{verifier} ledger {damaged} --key {key}"),
        },
        NextCommand { shows: "serve the ledger", command: format!("{program} serve {ledger}") },
        NextCommand {
            shows: "read from it, in another terminal",
            command: format!("{program} read --from 1 --limit 5"),
        },
    ]
}

impl Outcome for Story {
    fn tell(&self, page: &mut Page) {
        page.line("");
        page.line(format!("Everything held. The files stay in {}", self.dir));
        page.line("");
        page.line("Try next:");
        for NextCommand { shows, command } in &self.next {
            page.line(format!("  # {shows}"));
            page.line(format!("  {command}"));
        }
    }
}
