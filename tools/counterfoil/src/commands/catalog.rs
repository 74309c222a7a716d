//! `counterfoil catalog`: looks after the catalog of a ledger that is not served.

use super::serve::not_opened;
use crate::args::RebuildArgs;
use crate::failure::{Exit, Failure, chain};
use crate::output::{Outcome, Page};
use crate::progress::Progress;
use counterfoil_engine::{CatalogError, Environment, ReadError, RebuildError, rebuild_catalog};
use serde::Serialize;
use std::path::Path;

/// A catalog that was made anew.
#[derive(Serialize)]
pub(crate) struct Rebuilt {
    streams: u64,
    receipts: u64,
}

pub(crate) fn rebuild(args: &RebuildArgs) -> Result<Rebuilt, Failure> {
    let mut progress = None;
    let rebuilt = rebuild_catalog(Environment::with_catalog(&args.dir), |taken_in, size| {
        progress.get_or_insert_with(|| Progress::of_receipts(size.0)).at(taken_in.0, taken_in.0);
    });
    drop(progress);
    let rebuilt = rebuilt.map_err(|error| not_rebuilt(&args.dir, &error))?;
    Ok(Rebuilt { streams: rebuilt.streams, receipts: rebuilt.receipts })
}

fn not_rebuilt(directory: &Path, error: &RebuildError) -> Failure {
    let (exit, code, next) = match error {
        RebuildError::Open(error) => return not_opened(directory, error),
        RebuildError::Catalog(CatalogError::Ledger(ReadError::Corrupt { .. })) => (
            Exit::NotVerified,
            "CORRUPT",
            "run `counterfoil-verify ledger` on the directory; the ledger works without a catalog",
        ),
        _ => (
            Exit::Incomplete,
            "IO",
            "see whether the disk has room and who may write there; the ledger works without it",
        ),
    };
    Failure::new(exit, code, format!("{}: {}", directory.display(), chain(error)), next)
}

impl Outcome for Rebuilt {
    fn tell(&self, page: &mut Page) {
        page.field("streams", self.streams);
        page.field("receipts", self.receipts);
    }
}
