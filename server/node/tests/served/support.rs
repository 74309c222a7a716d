//! A served ledger in a scratch directory.

use core::time::Duration;
use counterfoil_api::v1::ledger_client::LedgerClient;
use counterfoil_client::{AppendOptions, Appended, Client, ConnectOptions, Error, NewReceipt};
use counterfoil_engine::{Environment, Ledger, Limits, NewLedger, create};
use counterfoil_proof::{CommitmentAlgorithm, Origin};
use counterfoil_server::{Ledgers, ServeError, Server, ServerConfig};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

/// A server with one fresh ledger. It stops when dropped.
pub(crate) struct Served {
    pub(crate) directory: TempDir,
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), ServeError>>,
}

pub(crate) fn new_ledger() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let new = NewLedger {
        origin: Origin::new("example.com/test").unwrap(),
        commitment: CommitmentAlgorithm::Blake3,
        roots: Vec::new(),
        root_threshold: None,
        release_delay: Duration::from_secs(86_400),
    };
    create(&Environment::real(directory.path()), &new).unwrap();
    directory
}

impl Served {
    pub(crate) async fn fresh() -> Self {
        let directory = new_ledger();
        let ledger = Ledger::open(Environment::real(directory.path()), Limits::default()).unwrap();
        Self::with(directory, ledger).await
    }

    pub(crate) async fn with(directory: TempDir, ledger: Ledger) -> Self {
        let mut config = ServerConfig::default();
        config.listen.set_port(0);
        let server = Server::bind(config, Ledgers::single(ledger)).await.unwrap();
        let url = format!("http://{}", server.local_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        Self { directory, url, stop: Some(stop), running }
    }

    pub(crate) fn options(&self) -> ConnectOptions {
        ConnectOptions { server: self.url.clone(), ..ConnectOptions::default() }
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.options()).await.unwrap()
    }

    pub(crate) async fn channel(&self) -> Channel {
        Channel::from_shared(self.url.clone()).unwrap().connect().await.unwrap()
    }

    pub(crate) async fn raw(&self) -> LedgerClient<Channel> {
        LedgerClient::new(self.channel().await)
    }

    /// Asks the server to stop, without waiting for it.
    pub(crate) fn begin_to_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until the server has stopped, and gives the ledger's directory.
    pub(crate) async fn stopped(self) -> TempDir {
        self.running.await.unwrap().unwrap();
        self.directory
    }
}

/// A receipt of kind `test.event/1` with a small JSON payload.
pub(crate) fn receipt(stream: &str, number: usize) -> NewReceipt {
    NewReceipt::json(stream, "test.event/1", format!("{{\"number\":{number}}}")).unwrap()
}

pub(crate) fn batch(stream: &str, count: usize) -> Vec<NewReceipt> {
    (0..count).map(|number| receipt(stream, number)).collect()
}

pub(crate) async fn append(client: &Client, receipts: Vec<NewReceipt>) -> Result<Appended, Error> {
    client.append(receipts, AppendOptions::default()).await
}
