//! `counterfoil serve`: one ledger behind one address, until a signal.

mod http;

use crate::args::ServeArgs;
use crate::failure::{Exit, Failure, chain};
use crate::files;
use crate::output::{Outcome, Output, Page};
use counterfoil_engine::{Environment, Ledger, Limits, OpenError};
use counterfoil_server::{Ledgers, ServeError, Server, ServerConfig};
use serde::Serialize;
use std::env;
use std::io::{self, IsTerminal as _};
use std::net::SocketAddr;
use std::path::Path;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

const LOG_VARIABLE: &str = "COUNTERFOIL_LOG";
const CONFIG_LEN_MAX: usize = 1024 * 1024;

/// A server that answers.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    http: Option<SocketAddr>,
}

pub(crate) async fn run(args: ServeArgs, output: &Output) -> Result<(), Failure> {
    start_logging()?;
    let config = config(&args)?;
    let ledger = open(&args.dir, config.limits, args.read_only)?;
    let signals = Signals::catch().map_err(|error| cannot("catch signals", &error))?;
    let http = match args.http {
        Some(address) => Some(http::Side::bind(address, ledger.clone(), args.read_only).await?),
        None => None,
    };
    let server = Server::bind(config, Ledgers::single(ledger)).await.map_err(|error| failed(&error))?;
    let http_address = http.as_ref().map(http::Side::address);
    let http = http.map(http::Side::serve);
    output.show(&Listening { listening: server.local_addr(), http: http_address })?;
    let served = server.serve(signals.any()).await;
    if let Some(http) = http {
        http.abort();
    }
    served.map_err(|error| failed(&error))
}

fn start_logging() -> Result<(), Failure> {
    let directives = env::var(LOG_VARIABLE).unwrap_or_default();
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).parse(directives);
    let filter = filter.map_err(|error| {
        let next = format!("set {LOG_VARIABLE} to error, warn, info, debug or trace, or leave it out");
        Failure::usage(format!("{LOG_VARIABLE}: {}", chain(&error)), next)
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .init();
    Ok(())
}

fn config(args: &ServeArgs) -> Result<ServerConfig, Failure> {
    let mut config = match &args.config {
        None => ServerConfig::default(),
        Some(path) => {
            let bad = |problem: String| {
                let next = "mend the file; `counterfoil serve` works without one";
                Failure::new(Exit::Usage, "BAD_CONFIG", format!("{}: {problem}", path.display()), next)
            };
            let text = String::from_utf8(files::read(path, CONFIG_LEN_MAX)?);
            let text = text.map_err(|_| bad("it is not UTF-8 text".into()))?;
            ServerConfig::from_toml(&text).map_err(|error| bad(error.to_string()))?
        }
    };
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    Ok(config)
}

/// Opens the ledger of a directory.
pub(crate) fn open(directory: &Path, limits: Limits, read_only: bool) -> Result<Ledger, Failure> {
    let environment = Environment::with_catalog(directory);
    let opened =
        if read_only { Ledger::open_read_only(environment, limits) } else { Ledger::open(environment, limits) };
    opened.map_err(|error| not_opened(directory, &error))
}

/// Why the ledger of a directory was not opened.
pub(crate) fn not_opened(directory: &Path, error: &OpenError) -> Failure {
    let (exit, code, next) = match error {
        OpenError::NotALedger => (Exit::Incomplete, "NOT_A_LEDGER", "name the directory that `counterfoil init` made"),
        OpenError::Locked => (Exit::Incomplete, "LOCKED", "stop the other process, or name another directory"),
        OpenError::Refused(_) => (
            Exit::NotVerified,
            "DAMAGED",
            "keep the directory as it is; see what is intact with `counterfoil-verify ledger`, then restore the file",
        ),
        OpenError::Rules(_) => (Exit::NotVerified, "RULES", "serve it with the version that wrote it, or a newer one"),
        _ => (Exit::Incomplete, "IO", "see whether the disk has room and who may write there"),
    };
    Failure::new(exit, code, format!("{}: {}", directory.display(), chain(error)), next)
}

fn failed(error: &ServeError) -> Failure {
    let (exit, code, next) = match error {
        ServeError::PublicWithoutAuthentication { .. } => (Exit::Usage, "USAGE", "listen on 127.0.0.1 or [::1]"),
        ServeError::Listen { .. } => {
            (Exit::Incomplete, "LISTEN", "name another port with --listen; port 0 takes a free one")
        }
        _ => (Exit::Incomplete, "SERVE", "see the log; the ledger is checked when it is opened again"),
    };
    Failure::new(exit, code, chain(error), next)
}

fn cannot(what: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Incomplete, "IO", format!("cannot {what}: {error}"), "see what limits processes on this machine")
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From here on they no longer end the process by themselves.
    fn catch() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn any(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl Outcome for Listening {
    fn tell(&self, page: &mut Page) {
        page.line(format!("listening on {}", self.listening));
        if let Some(http) = self.http {
            page.line(format!("health and metrics on http://{http}"));
        }
    }
}
