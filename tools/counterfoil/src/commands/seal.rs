//! `counterfoil seal`: makes the segment that is written to immutable.

use super::status::SegmentStated;
use crate::args::SealArgs;
use crate::failure::Failure;
use crate::output::{Outcome, Page};
use crate::session::Session;
use serde::Serialize;

/// The segment that was sealed, if it held a receipt.
#[derive(Serialize)]
pub(crate) struct Sealed {
    sealed: Option<SegmentStated>,
}

pub(crate) async fn run(args: &SealArgs) -> Result<Sealed, Failure> {
    let session = Session::open(&args.server).await?;
    let sealed = session.client().seal().await?.map(SegmentStated::from);
    Ok(Sealed { sealed })
}

impl Outcome for Sealed {
    fn tell(&self, page: &mut Page) {
        match &self.sealed {
            Some(segment) => page.field("segment", segment.words()),
            None => page.line("nothing to seal: the segment that is written to holds no receipt"),
        }
    }
}
