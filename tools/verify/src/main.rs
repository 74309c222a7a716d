//! `counterfoil-verify`: the auditor's offline binary.
//!
//! It needs bytes and public keys, nothing else: no server, no network, no clock.
//!
//! Exit codes: 0 verified; 1 verification failed; 2 usage; 3 the verification could not be completed.

mod bundle;
mod cli;
mod consistency;
mod ledger;
mod output;
mod proof;
mod show;
mod trust;

use clap::Parser as _;
use clap::error::ErrorKind;
use cli::{Cli, Command};
use output::{Outcome, Problem};
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    let json = cli.command.json();
    let result = match cli.command {
        Command::Ledger(args) => ledger::run(&args),
        Command::Bundle(args) => bundle::run(&args),
        Command::Proof(args) => proof::run(&args),
        Command::Consistency(args) => consistency::run(&args),
        Command::Show(args) => show::run(&args),
    };
    match result {
        Ok(Outcome { text, verified }) => {
            if output::print(&text).is_err() {
                return ExitCode::from(output::EXIT_INCOMPLETE);
            }
            ExitCode::from(if verified { output::EXIT_VERIFIED } else { output::EXIT_FAILED })
        }
        Err(problem) => problem.print(json),
    }
}

/// Help and version go to standard output; anything else is a mistake in the command line.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let printed = error.print();
        return ExitCode::from(if printed.is_ok() { output::EXIT_VERIFIED } else { output::EXIT_INCOMPLETE });
    }
    // The command line could not be read, so whether it asks for JSON is looked up by hand.
    if std::env::args_os().any(|argument| argument == "--json") {
        let message = match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "a command is missing".to_owned(),
            _ => error.to_string().lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        };
        return Problem::usage(message, "counterfoil-verify --help shows every command with an example").print(true);
    }
    // A closed standard error leaves nobody to tell.
    let _ = error.print();
    ExitCode::from(output::EXIT_USAGE)
}
