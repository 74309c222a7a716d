//! The directory of the demo, and the server in it.

use crate::args::{DemoArgs, InitArgs};
use crate::commands::{init, serve};
use crate::failure::{Exit, Failure, chain};
use crate::output::Output;
use crate::{files, keys};
use counterfoil_proof::{CommitmentAlgorithm, Origin, VerifierKey};
use counterfoil_rules::RELEASE_DELAY_DEFAULT;
use counterfoil_server::{Ledgers, ServeError, Server, ServerConfig};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const ORIGIN: &str = "demo.example/support";

/// Where everything is.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    pub(super) ledger: PathBuf,
    pub(super) damaged: PathBuf,
    pub(super) receipt: PathBuf,
    pub(super) proof: PathBuf,
    pub(super) ledger_id: String,
    pub(super) vkey: VerifierKey,
}

impl Stage {
    /// Makes the directory, a root key and a ledger.
    pub(super) fn build(args: &DemoArgs, output: &Output) -> Result<Self, Failure> {
        let dir = directory(args)?;
        output.say(&format!("everything goes to {}", dir.display()))?;
        let root = keys::create(&dir.join("root.pem"), &keys::parse_name("root").expect("a constant name"))?;
        let ledger = dir.join("ledger");
        let init = InitArgs {
            dir: ledger.clone(),
            origin: Origin::new(ORIGIN).expect("a constant name that keeps its rules"),
            commitment: CommitmentAlgorithm::Blake3,
            root_keys: Vec::new(),
            root_threshold: None,
            release_delay: RELEASE_DELAY_DEFAULT,
        };
        let created = init::create(&init, &[root])?;
        let vkey = VerifierKey::parse(&created.vkey).expect("a ledger's key reads back");
        Ok(Self {
            damaged: dir.join("damaged"),
            receipt: dir.join("receipt.json"),
            proof: dir.join("receipt.proof"),
            ledger_id: created.ledger_id,
            ledger,
            vkey,
            dir,
        })
    }
}

fn directory(args: &DemoArgs) -> Result<PathBuf, Failure> {
    let Some(dir) = &args.dir else {
        let made = tempfile::Builder::new().prefix("counterfoil-demo-").tempdir();
        let failed = |error| Failure::file("creating a folder in", &std::env::temp_dir(), &error);
        return Ok(made.map_err(failed)?.keep());
    };
    if let Some(found) = files::first_name(dir)? {
        let message = format!("{} is not empty (it holds {found})", dir.display());
        return Err(Failure::new(Exit::Incomplete, "NOT_EMPTY", message, "name a new or empty directory"));
    }
    files::create_folder(dir)?;
    files::absolute(dir)
}

/// A server in this process, on a free port of the loopback interface.
pub(super) struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), ServeError>>,
}

impl Served {
    pub(super) async fn start(ledger: &std::path::Path) -> Result<Self, Failure> {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = ServerConfig { listen, ..ServerConfig::default() };
        let ledger = serve::open(ledger, config.limits, false)?;
        let server = Server::bind(config, Ledgers::single(ledger)).await.map_err(|error| failed(&error))?;
        let address = server.local_addr();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(server.serve(async {
            // A dropped sender means that the demo ended early: the server ends too.
            let _ = stopped.await;
        }));
        Ok(Self { address, stop, serving })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Stops it and waits until the ledger is closed.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        // When nobody listens it has stopped, and the next line says why.
        let _ = self.stop.send(());
        let served = self.serving.await.expect("the server does not panic");
        served.map_err(|error| failed(&error))
    }
}

fn failed(error: &ServeError) -> Failure {
    Failure::new(Exit::Incomplete, "SERVE", chain(error), "see whether this machine lets programs listen on 127.0.0.1")
}
