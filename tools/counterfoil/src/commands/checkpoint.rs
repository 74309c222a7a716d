//! `counterfoil checkpoint`: the latest signed note.

use crate::args::CheckpointArgs;
use crate::failure::Failure;
use crate::output::{Outcome, Page};
use crate::session::Session;
use serde::Serialize;

/// The latest checkpoint.
#[derive(Serialize)]
pub(crate) struct Latest {
    checkpoint: String,
    origin: String,
    size: u64,
    root: String,
}

pub(crate) async fn run(args: &CheckpointArgs) -> Result<Latest, Failure> {
    let session = Session::open(&args.server).await?;
    let (signed, stated) = (session.latest().signed(), session.latest().checkpoint());
    Ok(Latest {
        checkpoint: signed.to_string(),
        origin: stated.origin.to_string(),
        size: stated.size.0,
        root: stated.root.to_string(),
    })
}

impl Outcome for Latest {
    fn tell(&self, page: &mut Page) {
        page.lines(&self.checkpoint);
    }
}
