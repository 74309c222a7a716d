//! Workloads by name, each with its floor in the same run. Figures are medians of several runs, in pairs.
//!
//! ```text
//! cargo run --release -p counterfoil-benches -- commit-path [DIR]
//! cargo run --release -p counterfoil-benches -- grpc-ingest SERVER-BINARY [DIR]
//! cargo run --release -p counterfoil-benches -- large-ledger RECEIPTS [DIR]
//! ```
//!
//! DIR is where the ledgers and files are written (default: the system's temporary directory); it should be on the disk
//! that is to be measured. Nothing is left behind.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod commit_path;
mod grpc_ingest;
mod large_ledger;
mod measure;

use anyhow::{Context as _, bail};
use std::path::PathBuf;

const USAGE: &str =
    "usage: counterfoil-benches commit-path [DIR] | grpc-ingest SERVER-BINARY [DIR] | large-ledger RECEIPTS [DIR]";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let directory = |at: usize| arguments.get(at).map_or_else(std::env::temp_dir, PathBuf::from);
    match arguments.first().map(String::as_str) {
        Some("commit-path") => commit_path::run(&directory(1)),
        Some("grpc-ingest") => {
            let server = arguments.get(1).context(USAGE)?;
            grpc_ingest::run(server.as_ref(), &directory(2))
        }
        Some("large-ledger") => {
            let receipts = arguments.get(1).context(USAGE)?;
            large_ledger::run(receipts.parse().context(USAGE)?, &directory(2))
        }
        Some(large_ledger::FILLER) => {
            let receipts = arguments.get(2).context(USAGE)?;
            large_ledger::fill(arguments.get(1).context(USAGE)?.as_ref(), receipts.parse().context(USAGE)?)
        }
        Some(large_ledger::OPENER) => large_ledger::open(arguments.get(1).context(USAGE)?.as_ref()),
        Some(large_ledger::WRITER) => large_ledger::write(arguments.get(1).context(USAGE)?.as_ref()),
        _ => bail!(USAGE),
    }
}
