//! `counterfoil`, the command line of operators and writers.
//!
//! A command takes parsed arguments ([`args`]), does its work and gives an outcome that can show itself to a person and
//! as JSON ([`output`]), or a [`failure::Failure`] with its exit code. **What it is not**: it judges no ledger offline;
//! `counterfoil-verify` does that, and only the demo calls the same library.
//!
//! *Invariants*: stdout carries results only and is written in [`output`] alone; what the server says reaches a terminal
//! with control characters escaped; the checkpoint last seen is kept ([`state`]), and no command that talks to a server
//! goes on when the ledger does not extend it.

mod args;
mod commands;
mod failure;
mod files;
mod invocation;
mod keys;
mod output;
mod progress;
mod session;
mod state;
mod story;

use output::Output;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match args::parse() {
        Ok(cli) => cli,
        Err(ending) => return ending.report().into(),
    };
    let output = Output::new(cli.json);
    match commands::run(cli.command, &output) {
        Ok(()) => failure::Exit::Done.into(),
        Err(failure) => output.fail(&failure).into(),
    }
}
