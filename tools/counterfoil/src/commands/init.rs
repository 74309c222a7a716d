//! `counterfoil init`: a new ledger.

use crate::args::InitArgs;
use crate::failure::{Exit, Failure, chain};
use crate::output::{Outcome, Output, Page};
use crate::{files, invocation, keys};
use counterfoil_engine::{CreateError, Environment, NewLedger, RootPrincipal};
use counterfoil_proof::VerifierKey;
use counterfoil_rules::Genesis;
use serde::Serialize;
use std::path::Path;

/// A ledger that was created.
#[derive(Serialize)]
pub(crate) struct Created {
    origin: String,
    pub(crate) ledger_id: String,
    pub(crate) vkey: String,
    roots: Vec<String>,
    threshold: usize,
    next: [String; 2],
}

pub(crate) fn run(args: &InitArgs, output: &Output) -> Result<Created, Failure> {
    check_directory(args)?;
    let roots = args.root_keys.iter().map(|path| root(path, output)).collect::<Result<Vec<_>, _>>()?;
    if roots.is_empty() {
        output.remark(
            "warning: no root key was named. This ledger never has an authority: nobody can ever grant a role, place a hold \
             or erase anything in it. Name one with --root-key FILE if that is not what you want.",
        );
    }
    let created = create(args, &roots)?;
    let program = invocation::program();
    let next = [
        format!("{program} serve {}", invocation::quote_path(&args.dir)),
        format!("echo '{{\"hello\":\"ledger\"}}' | {program} append - --stream notes/first --kind note.written/1"),
    ];
    Ok(Created { next, ..created })
}

fn root(path: &Path, output: &Output) -> Result<VerifierKey, Failure> {
    let found = keys::read_or_create(path)?;
    if let keys::Found::Created(vkey) = &found {
        let (path, name) = (path.display(), vkey.name());
        output.remark(&format!(
            "created {path}, the private key of {name}: keep it away from the machine that serves the ledger"
        ));
    }
    Ok(found.into_vkey())
}

/// Creates the ledger, and its directory if needed.
pub(crate) fn create(args: &InitArgs, roots: &[VerifierKey]) -> Result<Created, Failure> {
    files::create_folder(&args.dir)?;
    let new = NewLedger {
        origin: args.origin.clone(),
        commitment: args.commitment,
        roots: roots.iter().map(|key| RootPrincipal { key: key.clone() }).collect(),
        root_threshold: args.root_threshold,
        release_delay: args.release_delay,
    };
    let identity = counterfoil_engine::create(&Environment::real(&args.dir), &new)
        .map_err(|error| not_created(&args.dir, &error))?;
    Ok(Created {
        origin: args.origin.to_string(),
        ledger_id: identity.ledger_id.to_string(),
        vkey: identity.checkpoint_key.to_string(),
        roots: roots.iter().map(ToString::to_string).collect(),
        threshold: args.root_threshold.unwrap_or_else(|| Genesis::default_threshold(roots.len())),
        next: Default::default(),
    })
}

/// What would fail after key files were created fails before.
fn check_directory(args: &InitArgs) -> Result<(), Failure> {
    if let Some(found) = files::first_name(&args.dir)? {
        return Err(not_created(&args.dir, &CreateError::NotEmpty { found }));
    }
    let roots = args.root_keys.len();
    if let Some(threshold) = args.root_threshold.filter(|threshold| !(1..=roots).contains(threshold)) {
        let message = format!("a threshold of {threshold} does not fit {roots} root keys");
        return Err(Failure::usage(message, format!("choose 1 to {roots}, or leave --root-threshold out")));
    }
    let directory = files::absolute(&args.dir)?;
    for key in &args.root_keys {
        if files::absolute(key)?.starts_with(&directory) {
            let message = format!("the root key {} would lie in the ledger's directory", key.display());
            return Err(Failure::usage(
                message,
                "keep root keys elsewhere, away from the machine that serves the ledger",
            ));
        }
    }
    Ok(())
}

fn not_created(directory: &Path, error: &CreateError) -> Failure {
    let (exit, code, next) = match error {
        CreateError::NotEmpty { .. } => (Exit::Incomplete, "NOT_EMPTY", "name a new or empty directory"),
        CreateError::Genesis(_) => (Exit::Usage, "USAGE", "name every root once, each with a key of their own"),
        CreateError::Io(_) => (Exit::Incomplete, "IO", "see whether the disk has room and who may write there"),
    };
    Failure::new(exit, code, format!("{}: {}", directory.display(), chain(error)), next)
}

impl Outcome for Created {
    fn tell(&self, page: &mut Page) {
        page.field("origin", &self.origin);
        page.field("ledger_id", &self.ledger_id);
        page.field("vkey", &self.vkey);
        for root in &self.roots {
            page.field("root", root);
        }
        if !self.roots.is_empty() {
            page.field("threshold", format!("{} of {}", self.threshold, self.roots.len()));
        }
        page.line("");
        page.line("Next:");
        for command in &self.next {
            page.line(format!("  {command}"));
        }
    }
}
