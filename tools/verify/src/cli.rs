//! The command line.

use clap::{Args, Parser, Subcommand};
use core::num::NonZeroUsize;
use std::path::PathBuf;

/// Checks ledgers, receipts and proofs of Counterfoil, offline, from bytes and public keys alone.
#[derive(Debug, Parser)]
#[command(name = "counterfoil-verify", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXIT_CODES: &str = "Exit codes: 0 verified, 1 verification failed, 2 usage, 3 could not be completed.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Verify a whole ledger directory, also beside a running server
    #[command(
        after_help = "Example:\n  counterfoil-verify ledger ./ledger --key ledger.vkey --seen last-year.checkpoint"
    )]
    Ledger(LedgerArgs),
    /// Verify a bundle: the receipts of a stream or range, as `counterfoil export` wrote them
    #[command(
        after_help = "Example:\n  counterfoil-verify bundle INC-42.tar --key ledger.vkey --seen last-year.checkpoint"
    )]
    Bundle(BundleArgs),
    /// Verify that a receipt is in a ledger, by its inclusion proof
    #[command(after_help = "Example:\n  counterfoil get 42 --json > 42.json\n  counterfoil prove 42 -o 42.proof\n  \
                      counterfoil-verify proof 42.proof --receipt 42.json --key ledger.vkey")]
    Proof(ProofArgs),
    /// Verify that an older ledger is a prefix of a newer one
    #[command(after_help = "Example:\n  counterfoil prove --consistency 1000 2000 -o grown.proof\n  \
                      counterfoil-verify consistency grown.proof --key ledger.vkey --seen kept-at-1000.checkpoint")]
    Consistency(ConsistencyArgs),
    /// Print one receipt of a ledger directory, verified from its own segment alone, or of a bundle
    #[command(after_help = "Examples:\n  counterfoil-verify show 42 ./ledger --self-asserted --json\n  \
                      counterfoil-verify show 42 INC-42.tar --key ledger.vkey")]
    Show(ShowArgs),
}

impl Command {
    pub(crate) fn json(&self) -> bool {
        match self {
            Self::Ledger(args) => args.common.json,
            Self::Bundle(args) => args.common.json,
            Self::Proof(args) => args.common.json,
            Self::Consistency(args) => args.common.json,
            Self::Show(args) => args.common.json,
        }
    }
}

#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    /// The ledger's directory
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
    /// Check the signature of every frame, not only at segment ends and the head
    #[arg(long)]
    pub(crate) all_signatures: bool,
    /// The moment holes are judged for [default: the time of the last receipt]
    #[arg(long, value_name = "RFC3339")]
    pub(crate) as_of: Option<String>,
    /// Segments judged at once; the answer is the same for any number [default: one per core]
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    /// The bundle
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
    /// The moment holes are judged for [default: the time of the last receipt]
    #[arg(long, value_name = "RFC3339")]
    pub(crate) as_of: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProofArgs {
    /// The proof, as `counterfoil prove` wrote it
    pub(crate) file: PathBuf,
    /// The receipt, as `counterfoil get --json` printed it
    #[arg(long, value_name = "FILE")]
    pub(crate) receipt: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ConsistencyArgs {
    /// The proof, as `counterfoil prove --consistency` wrote it
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Leaf index of the receipt, counted from 0
    pub(crate) index: u64,
    /// The ledger's directory, or a bundle
    #[arg(value_name = "DIR-OR-BUNDLE")]
    pub(crate) path: PathBuf,
    #[command(flatten)]
    pub(crate) common: Common,
    /// The moment holes are judged for [default: the time of the last receipt]
    #[arg(long, value_name = "RFC3339")]
    pub(crate) as_of: Option<String>,
}

/// Whom to trust, and how to answer.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Trust this checkpoint key: a verifier key (name+id+key), or a file that holds one
    #[arg(long, value_name = "VKEY", help_heading = "Trust (one of the first three is required)")]
    pub(crate) key: Option<String>,
    /// Trust the keys of this policy file (C2SP tlog-policy)
    #[arg(long, value_name = "FILE", help_heading = "Trust (one of the first three is required)")]
    pub(crate) policy: Option<PathBuf>,
    /// Take the key from the ledger itself: shows that it fits together, not whose it is
    #[arg(long, help_heading = "Trust (one of the first three is required)")]
    pub(crate) self_asserted: bool,
    /// The ledger's id: 64 lower-case hexadecimal digits
    #[arg(long, value_name = "HASH", help_heading = "Trust (one of the first three is required)")]
    pub(crate) genesis: Option<String>,
    /// A checkpoint of this ledger kept earlier, which it must still contain (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Trust (one of the first three is required)")]
    pub(crate) seen: Vec<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
}
