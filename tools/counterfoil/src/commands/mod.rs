//! One file per command: from its arguments to its outcome.

mod append;
mod catalog;
mod checkpoint;
mod demo;
mod export;
mod get;
mod ingest;
mod init;
mod keygen;
mod prove;
mod read;
mod seal;
mod serve;
mod status;
mod streams;

pub(crate) use ingest::Pointer;

use crate::args::{CatalogArgs, CatalogCommand, Command};
use crate::failure::{Exit, Failure};
use crate::output::Output;

/// Runs a command and shows its outcome.
pub(crate) fn run(command: Command, output: &Output) -> Result<(), Failure> {
    runtime()?.block_on(run_on_runtime(command, output))
}

async fn run_on_runtime(command: Command, output: &Output) -> Result<(), Failure> {
    match command {
        Command::Init(args) => output.show(&init::run(&args, output)?),
        Command::Keygen(args) => output.show(&keygen::run(&args)?),
        Command::Demo(args) => output.show(&demo::run(&args, output).await?),
        Command::Serve(args) => serve::run(args, output).await,
        Command::Append(args) => output.show(&append::run(args).await?),
        Command::Ingest(args) => output.show(&ingest::run(args, output).await?),
        Command::Get(args) if args.raw => output.write(&get::payload(&args).await?),
        Command::Get(args) => output.show(&get::run(&args).await?),
        Command::Read(args) => output.show(&read::run(args).await?),
        Command::Streams(args) => output.show(&streams::run(args, output).await?),
        Command::Checkpoint(args) => output.show(&checkpoint::run(&args).await?),
        Command::Status(args) => output.show(&status::run(&args).await?),
        Command::Prove(args) => prove::run(&args, output).await,
        Command::Export(args) => output.show(&export::run(&args, output).await?),
        Command::Seal(args) => output.show(&seal::run(&args).await?),
        Command::Catalog(CatalogArgs { command: CatalogCommand::Rebuild(args) }) => {
            output.show(&catalog::rebuild(&args)?)
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        let message = format!("no threads could be started: {error}");
        Failure::new(Exit::Incomplete, "IO", message, "see what limits processes on this machine")
    })
}
