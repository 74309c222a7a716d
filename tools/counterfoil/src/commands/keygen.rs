//! `counterfoil keygen`: a key for a person or service.

use crate::args::KeygenArgs;
use crate::failure::Failure;
use crate::keys;
use crate::output::{Outcome, Page};
use serde::Serialize;

/// A key that was made.
#[derive(Serialize)]
pub(crate) struct Made {
    name: String,
    vkey: String,
}

pub(crate) fn run(args: &KeygenArgs) -> Result<Made, Failure> {
    let vkey = keys::create(&args.out, &args.name)?;
    Ok(Made { name: args.name.to_string(), vkey: vkey.to_string() })
}

impl Outcome for Made {
    fn tell(&self, page: &mut Page) {
        page.line(&self.vkey);
    }
}
