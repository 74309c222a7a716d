//! `counterfoil prove`: a proof as a file.

use crate::args::ProveArgs;
use crate::failure::{Exit, Failure};
use crate::files;
use crate::output::{Outcome, Output, Page};
use crate::session::Session;
use counterfoil_proof::{LeafIndex, TreeSize};
use serde::Serialize;
use std::path::Path;

/// A proof that was made.
#[derive(Serialize)]
struct Made {
    /// The file, unless the proof went to stdout.
    file: Option<String>,
    /// What it proves.
    #[serde(flatten)]
    about: About,
    /// The text of the file.
    proof: String,
    checkpoint: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum About {
    Inclusion { index: u64, leaf_hash: String, size: u64 },
    Consistency { old: u64, new: u64 },
}

/// A proof still to be written, and shown.
pub(crate) async fn run(args: &ProveArgs, output: &Output) -> Result<(), Failure> {
    let session = Session::open(&args.server).await?;
    let mut made = match (args.index, args.consistency.as_deref()) {
        (Some(index), _) => inclusion(&session, index).await?,
        (None, Some(&[old, new])) => consistency(&session, old, new).await?,
        (None, _) => return Err(Failure::usage("nothing to prove was named", "see `counterfoil prove --help`")),
    };
    let to_stdout = args.out == Path::new(files::STANDARD);
    if to_stdout && !output.is_json() {
        return output.write(made.proof.as_bytes());
    }
    if !to_stdout {
        files::replace(&args.out, made.proof.as_bytes())?;
        made.file = Some(args.out.display().to_string());
    }
    output.show(&made)
}

async fn inclusion(session: &Session, index: LeafIndex) -> Result<Made, Failure> {
    let leaf = session.client().get(index).await?.leaf;
    let file = session.client().prove_inclusion(index, &leaf).await?;
    Ok(Made {
        file: None,
        about: About::Inclusion { index: index.0, leaf_hash: leaf.to_string(), size: file.proof.size.0 },
        proof: file.to_string(),
        checkpoint: file.checkpoint.to_string(),
    })
}

async fn consistency(session: &Session, old: TreeSize, new: TreeSize) -> Result<Made, Failure> {
    if old > new {
        return Err(Failure::usage(format!("OLD ({old}) is larger than NEW ({new})"), "give the smaller size first"));
    }
    let latest = session.latest().checkpoint().size;
    if new < latest {
        return Err(other_size(old, latest, format!("the ledger grew past {new}: it holds {latest} receipts")));
    }
    let file = session.client().prove_consistency(old).await?;
    let proved = file.proof.new;
    if proved != new {
        return Err(other_size(
            old,
            proved,
            format!("no checkpoint of size {new} is the latest: the ledger holds {proved}"),
        ));
    }
    Ok(Made {
        file: None,
        about: About::Consistency { old: old.0, new: new.0 },
        proof: file.to_string(),
        checkpoint: file.checkpoint.to_string(),
    })
}

fn other_size(old: TreeSize, possible: TreeSize, message: String) -> Failure {
    let next = format!("the server proves against its latest checkpoint: ask for --consistency {old} {possible}");
    Failure::new(Exit::Incomplete, "UNKNOWN_SIZE", message, next)
}

impl Outcome for Made {
    fn tell(&self, page: &mut Page) {
        match &self.about {
            About::Inclusion { index, leaf_hash, size } => {
                page.field("index", index);
                page.field("leaf_hash", leaf_hash);
                page.field("size", size);
            }
            About::Consistency { old, new } => {
                page.field("old", old);
                page.field("new", new);
            }
        }
        if let Some(file) = &self.file {
            page.field("file", file);
        }
    }
}
