//! The command line, parsed into types that cannot be wrong.

use crate::failure::{Exit, Failure};
use crate::keys;
use crate::output::Output;
use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use clap::{ArgGroup, Args, Parser, Subcommand};
use core::time::Duration;
use counterfoil_proof::{
    CommitmentAlgorithm, Kind, LeafIndex, Media, Origin, StreamName, StreamSeq, Subject, TreeSize, unhex,
};
use std::env;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Keep, read and prove receipts of what automated systems decided and did.
///
/// Exit codes: 0 done; 1 a check failed, the ledger forked or is corrupt; 2 usage; 3 could not complete; 4 refused by the
/// ledger's rules.
#[derive(Debug, Parser)]
#[command(name = "counterfoil", version, propagate_version = true, max_term_width = 110)]
#[command(after_help = "Try it: counterfoil demo")]
pub(crate) struct Cli {
    /// Print one JSON document on stdout; failures too: {"error":{"code","message","next"}}
    #[arg(long, global = true, display_order = 900)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole story on this machine: 200 000 receipts in, proofs out, verified, one bit flipped and found
    ///
    /// Creates a ledger, runs a server on a free port of the loopback interface, streams receipts of a support desk through
    /// gRPC, proves one, stops the server, verifies the ledger offline, flips one bit in a copy and finds it. The files stay.
    #[command(after_help = "Example:\n  counterfoil demo")]
    Demo(DemoArgs),
    /// Create a ledger in a new directory
    ///
    /// Prints its origin, its id and the verifier key of its checkpoints, which verifiers need from you.
    #[command(
        after_help = "Example:\n  counterfoil init ledger --origin example.com/support --root-key alice.pem --root-key bob.pem"
    )]
    Init(InitArgs),
    /// Serve a ledger over gRPC until SIGTERM or SIGINT
    ///
    /// Prints `listening on ADDR` when it is ready. There is no authentication yet, so it listens on loopback only.
    /// Logs go to stderr; COUNTERFOIL_LOG sets what is logged, for example COUNTERFOIL_LOG=debug.
    #[command(after_help = "Example:\n  counterfoil serve ledger --http 127.0.0.1:9100")]
    Serve(ServeArgs),
    /// Make a key for a person or service
    ///
    /// Writes the private key as PKCS#8 PEM, readable by you alone, and the public verifier key beside it as FILE.vkey.
    /// Never overwrites.
    #[command(after_help = "Example:\n  counterfoil keygen alice -o alice.pem")]
    Keygen(KeygenArgs),
    /// Append one receipt, and get its proof
    #[command(
        after_help = "Example:\n  counterfoil append refusal.json --stream incident/INC-42 --kind decision.refused/1"
    )]
    Append(AppendArgs),
    /// Append one receipt per line of JSON
    ///
    /// The payload is the line without its line feed. The first bad line (empty, not JSON, too long, without the pointer's
    /// string) ends the work with its number, after everything before it is acknowledged; with --skip-bad it is left out.
    #[command(
        after_help = "Examples:\n  counterfoil ingest events.jsonl --stream-from /incident/id --kind event.received/1\n  zcat old.jsonl.gz | counterfoil ingest - --stream import/2025 --kind event.received/1"
    )]
    Ingest(IngestArgs),
    /// Read one receipt, checked against its leaf hash and proved to be in the ledger
    ///
    /// With --json it is the file that `counterfoil-verify proof --receipt` takes.
    #[command(after_help = "Examples:\n  counterfoil get 42\n  counterfoil get 42 --raw > payload")]
    Get(GetArgs),
    /// Read receipts in order, of the ledger or of one stream
    #[command(
        after_help = "Examples:\n  counterfoil read --from 1000 --limit 20\n  counterfoil read --stream incident/INC-42"
    )]
    Read(ReadArgs),
    /// List streams, by name or the beginning of it
    ///
    /// They come from a catalog that follows the ledger in the background: a stream may be late, and what is listed says
    /// where to look. `counterfoil read --stream` says what a stream holds.
    #[command(after_help = "Examples:\n  counterfoil streams\n  counterfoil streams incident/ --limit 20")]
    Streams(StreamsArgs),
    /// Print the latest checkpoint, a signed note to keep and compare later
    #[command(after_help = "Example:\n  counterfoil checkpoint > checkpoint-of-today")]
    Checkpoint(CheckpointArgs),
    /// Say how large and how well the ledger is
    #[command(after_help = "Example:\n  counterfoil status --json")]
    Status(StatusArgs),
    /// Write a proof to a file: of one receipt, or that the ledger only grew
    #[command(
        after_help = "Examples:\n  counterfoil prove 42 -o 42.proof\n  counterfoil prove --consistency 1000 2000 -o growth.proof"
    )]
    Prove(ProveArgs),
    /// Write the receipts of a stream or of a range to a bundle, one file that verifies offline
    ///
    /// A bundle is a tar file with receipts, proofs, the ledger's rules and the description of its own format. First the
    /// ledger appends a receipt that states what the bundle holds; a ledger that cannot append exports without that, and
    /// says so. The bundle is verified before it gets its name.
    #[command(
        after_help = "Examples:\n  counterfoil export --stream incident/INC-42 -o INC-42.tar\n  counterfoil export --range 1000..2000 --seen last-year.checkpoint -o year.tar"
    )]
    Export(ExportArgs),
    /// Seal the segment that is written to, so that its file never changes again
    #[command(after_help = "Example:\n  counterfoil seal")]
    Seal(SealArgs),
    /// Look after the catalog, from which streams are listed
    #[command(after_help = "Example:\n  counterfoil catalog rebuild ledger")]
    Catalog(CatalogArgs),
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Where to put everything: a new or empty directory [default: a new temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Receipts to stream
    #[arg(long, value_name = "N", default_value_t = 200_000, hide = true, value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) receipts: u64,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Directory of the ledger, new or empty
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Name of the ledger in its checkpoints, such as example.com/support: no white space, no `+`
    #[arg(long, value_name = "NAME", value_parser = Origin::new)]
    pub(crate) origin: Origin,
    /// How envelopes commit to payloads
    #[arg(long, value_name = "ALGORITHM", default_value = "blake3", value_parser = commitment())]
    pub(crate) commitment: CommitmentAlgorithm,
    /// Key file of a root principal, who may grant roles; created, named after the file, if it does not exist
    #[arg(long = "root-key", value_name = "FILE")]
    pub(crate) root_keys: Vec<PathBuf>,
    /// How many root principals must sign [default: two when two or more are named, else one]
    #[arg(long, value_name = "N", requires = "root_keys")]
    pub(crate) root_threshold: Option<usize>,
    /// How long after its second signature a hold's release counts for an erasure
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = whole_seconds)]
    pub(crate) release_delay: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Directory of the ledger
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Address to listen on; port 0 takes a free one [default: that of --config, else 127.0.0.1:7807]
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for /healthz, /readyz and /metrics over HTTP [default: none]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<SocketAddr>,
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Change nothing on disk and serve what verifies
    #[arg(long)]
    pub(crate) read_only: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Name of the person or service: no white space, no `+`
    #[arg(value_name = "NAME", value_parser = keys::parse_name)]
    pub(crate) name: Origin,
    /// File for the private key; must not exist
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: PathBuf,
}

/// Which ledger of which server, and what is remembered of it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerArgs {
    /// URL of the server
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7807")]
    pub(crate) server: String,
    /// Name of the ledger on that server
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub(crate) ledger: String,
    /// How long an answer may take, retries included; a refused connection fails at once
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = some_time)]
    pub(crate) timeout: Duration,
    /// Where the ledger's key and last checkpoint are remembered [default: $XDG_STATE_HOME/counterfoil/LEDGER_ID]
    ///
    /// The key is trusted at first use. From then on a server that states another key, shrank or forked is exit code 1,
    /// with both notes shown. With the default, another ledger id means another folder: name the folder to pin a ledger.
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct AppendArgs {
    /// File with the payload, `-` for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Stream to append to; its name stays for ever: no personal data
    #[arg(long, value_name = "NAME", value_parser = StreamName::new)]
    pub(crate) stream: StreamName,
    /// Kind of the receipt, as name/version
    #[arg(long, value_name = "KIND", value_parser = Kind::new)]
    pub(crate) kind: Kind,
    /// Retention class [default: forever]
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// What the payload is; json and text are checked
    #[arg(long, value_name = "MEDIA", default_value = "json", value_parser = media())]
    pub(crate) media: Media,
    /// Append only if the stream holds N receipts; 0 asks for a new stream
    #[arg(long, value_name = "N", value_parser = stream_seq)]
    pub(crate) expect_seq: Option<StreamSeq>,
    /// Receipt that caused this one, by index; may be repeated
    #[arg(long = "link", value_name = "INDEX", value_parser = leaf_index)]
    pub(crate) links: Vec<LeafIndex>,
    /// Pseudonym of the data subject: 32 hexadecimal digits
    #[arg(long, value_name = "HEX", value_parser = subject)]
    pub(crate) subject: Option<Subject>,
    /// End the stream with this receipt
    #[arg(long)]
    pub(crate) close: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("into").required(true).args(["stream", "stream_from"]))]
pub(crate) struct IngestArgs {
    /// File with one JSON value per line, `-` for stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Stream for all lines; its name stays for ever: no personal data
    #[arg(long, value_name = "NAME", value_parser = StreamName::new)]
    pub(crate) stream: Option<StreamName>,
    /// JSON pointer (RFC 6901) to the string in each line that names its stream
    #[arg(long, value_name = "POINTER", value_parser = crate::commands::Pointer::parse)]
    pub(crate) stream_from: Option<crate::commands::Pointer>,
    /// Kind of the receipts, as name/version
    #[arg(long, value_name = "KIND", value_parser = Kind::new)]
    pub(crate) kind: Kind,
    /// Retention class [default: forever]
    #[arg(long, value_name = "NAME")]
    pub(crate) class: Option<String>,
    /// Most receipts in one batch; a batch is appended as a whole or not at all
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: u32,
    /// Leave bad lines out and go on; the first ten are reported
    #[arg(long)]
    pub(crate) skip_bad: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Leaf index of the receipt
    #[arg(value_name = "INDEX", value_parser = leaf_index)]
    pub(crate) index: LeafIndex,
    /// Write the payload's bytes and nothing else
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ReadArgs {
    /// Read this stream only
    #[arg(long, value_name = "NAME", value_parser = StreamName::new)]
    pub(crate) stream: Option<StreamName>,
    /// First leaf index; with --stream, first position in the stream
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) from: u64,
    /// Most receipts to read
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: u64,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StreamsArgs {
    /// Only streams whose names begin with this
    #[arg(value_name = "PREFIX", default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Most streams to list [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    #[command(subcommand)]
    pub(crate) command: CatalogCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CatalogCommand {
    /// Delete the catalog of a ledger that is not served, and fill it again
    ///
    /// Nothing else of the ledger is changed. A server does the same by itself, in the background, whenever it finds that
    /// the catalog does not fit.
    #[command(after_help = "Example:\n  counterfoil catalog rebuild ledger")]
    Rebuild(RebuildArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RebuildArgs {
    /// Directory of the ledger
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["index", "consistency"]))]
pub(crate) struct ProveArgs {
    /// Leaf index of the receipt to prove
    #[arg(value_name = "INDEX", value_parser = leaf_index)]
    pub(crate) index: Option<LeafIndex>,
    /// Prove that the ledger of OLD receipts is the beginning of that of NEW, its size now
    #[arg(long, num_args = 2, value_names = ["OLD", "NEW"], value_parser = tree_size)]
    pub(crate) consistency: Option<Vec<TreeSize>>,
    /// File for the proof, `-` for stdout
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: PathBuf,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("scope").required(true).args(["stream", "range"]))]
pub(crate) struct ExportArgs {
    /// Export all receipts of this stream
    #[arg(long, value_name = "NAME", value_parser = StreamName::new)]
    pub(crate) stream: Option<StreamName>,
    /// Export the receipts from leaf index A on, up to but without B
    #[arg(long, value_name = "A..B", value_parser = range)]
    pub(crate) range: Option<(LeafIndex, TreeSize)>,
    /// File for the bundle
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// A checkpoint of this ledger kept earlier, which the bundle is to be shown to extend; may be repeated
    #[arg(long, value_name = "NOTE", num_args = 1..)]
    pub(crate) seen: Vec<PathBuf>,
    /// Overwrite the file if it exists
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    #[command(flatten)]
    pub(crate) server: ServerArgs,
}

/// The command line asks for no command: help, version, or a mistake.
pub(crate) enum Ending {
    /// Help or version, for stdout.
    Shown(String),
    /// A mistake, to be shown as a person or a script expects it.
    Mistake { error: clap::Error, json: bool },
}

/// Reads the command line of this process.
pub(crate) fn parse() -> Result<Cli, Ending> {
    Cli::try_parse().map_err(|error| {
        if error.use_stderr() {
            // The parser failed, so the flag is looked for as it stands.
            let json = env::args_os().take_while(|arg| arg != "--").any(|arg| arg == "--json");
            Ending::Mistake { error, json }
        } else {
            Ending::Shown(error.render().to_string())
        }
    })
}

impl Ending {
    pub(crate) fn report(self) -> Exit {
        match self {
            Self::Shown(text) => match Output::new(false).write(text.as_bytes()) {
                Ok(()) => Exit::Done,
                Err(failure) => failure.exit,
            },
            Self::Mistake { error, json: true } => {
                let text = error.render().to_string();
                let message = text.split("\n\n").next().unwrap_or_default().trim();
                let message = message.strip_prefix("error: ").unwrap_or(message);
                Output::new(true).fail(&Failure::usage(message, "see `counterfoil help`, or --help of the command"))
            }
            Self::Mistake { error, json: false } => {
                // A closed stderr leaves the exit code.
                let _ = error.print();
                Exit::Usage
            }
        }
    }
}

fn commitment() -> impl clap::builder::TypedValueParser<Value = CommitmentAlgorithm> {
    PossibleValuesParser::new(["blake3", "hmac-sha256"])
        .map(|name| CommitmentAlgorithm::from_name(&name).expect("every name listed is one"))
}

fn media() -> impl clap::builder::TypedValueParser<Value = Media> {
    PossibleValuesParser::new(["json", "cbor", "protobuf", "text", "bytes"])
        .map(|name| Media::from_name(&name).expect("every name listed is one"))
}

fn leaf_index(text: &str) -> Result<LeafIndex, core::num::ParseIntError> {
    text.parse().map(LeafIndex)
}

fn tree_size(text: &str) -> Result<TreeSize, core::num::ParseIntError> {
    text.parse().map(TreeSize)
}

fn range(text: &str) -> Result<(LeafIndex, TreeSize), &'static str> {
    let (from, to) = text.split_once("..").ok_or("a range reads like 1000..2000")?;
    let parse = |number: &str| number.parse().map_err(|_| "both ends of a range are leaf indices, such as 1000..2000");
    let (from, to) = (parse(from)?, parse(to)?);
    if from < to { Ok((LeafIndex(from), TreeSize(to))) } else { Err("a range ends behind its beginning") }
}

fn stream_seq(text: &str) -> Result<StreamSeq, core::num::ParseIntError> {
    text.parse().map(StreamSeq)
}

fn subject(text: &str) -> Result<Subject, &'static str> {
    let bytes = unhex(&text.to_ascii_lowercase()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Subject).ok_or("a subject is 32 hexadecimal digits")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    let parsed: Option<jiff::SignedDuration> = text.parse().ok();
    parsed.and_then(|parsed| parsed.try_into().ok()).ok_or("a duration reads like 500ms, 10s, 5m or 24h")
}

fn some_time(text: &str) -> Result<Duration, &'static str> {
    duration(text).and_then(|time| if time.is_zero() { Err("it must be longer than nothing") } else { Ok(time) })
}

fn whole_seconds(text: &str) -> Result<Duration, &'static str> {
    duration(text).and_then(|time| if time.subsec_nanos() == 0 { Ok(time) } else { Err("it must be whole seconds") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(some_time("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(some_time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(whole_seconds("24h"), Ok(Duration::from_secs(86_400)));
        assert_eq!(whole_seconds("0s"), Ok(Duration::ZERO));
        for bad in ["10", "0s", "-1s", "", "soon"] {
            assert!(some_time(bad).is_err(), "{bad}");
        }
        assert!(whole_seconds("1500ms").is_err());
    }

    #[test]
    fn a_range_has_a_beginning_and_an_end_behind_it() {
        assert_eq!(range("3..5"), Ok((LeafIndex(3), TreeSize(5))));
        for bad in ["3", "..5", "3..", "5..3", "3..3", "3...5", "a..b"] {
            assert!(range(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_command_shows_an_example() {
        for command in Cli::command().get_subcommands() {
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("counterfoil {}", command.get_name())), "{}", command.get_name());
        }
    }
}
