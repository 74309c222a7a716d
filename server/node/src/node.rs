//! What all calls share.

use crate::ledgers::{Hosted, Ledgers};
use crate::limits::READS_MAX;
use crate::status::Failure;
use counterfoil_engine::Ledger;
use counterfoil_proof::Principal;
use tokio::sync::{Semaphore, watch};

/// The principal of every caller of a server without authentication. It has every role.
const LOCAL: &str = "local";

/// The ledgers, the callers, and the request to stop.
pub(crate) struct Node {
    ledgers: Ledgers,
    principal: Principal,
    reads: Semaphore,
    stopping: watch::Receiver<bool>,
}

impl Node {
    pub(crate) fn new(ledgers: Ledgers, stopping: watch::Receiver<bool>) -> Self {
        Self {
            ledgers,
            principal: Principal::new(LOCAL).expect("a constant name that keeps its rules"),
            reads: Semaphore::new(READS_MAX),
            stopping,
        }
    }

    /// Who calls. The server listens on loopback only, so it is always the local principal.
    pub(crate) fn caller(&self) -> Principal {
        self.principal.clone()
    }

    /// The ledger that a request means, with its name.
    pub(crate) fn ledger<'a>(&'a self, name: &'a str) -> Result<(&'a str, &'a Hosted), Failure> {
        self.ledgers.find(name).ok_or_else(|| Failure::UnknownLedger { name: name.to_owned() })
    }

    /// Runs a call of the engine that may wait for the disk, on a thread of its own.
    pub(crate) async fn blocking<T, E>(
        &self,
        ledger: &str,
        call: impl FnOnce(&Ledger) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let ledger = self.ledger(ledger)?.1.ledger.clone();
        let _read = self.reads.acquire().await.expect("this semaphore is never closed");
        let done = tokio::task::spawn_blocking(move || call(&ledger)).await;
        done.map_err(|_| Failure::Interrupted)?.map_err(Into::into)
    }

    /// Returns once the server is asked to stop.
    pub(crate) async fn stopping(&self) {
        // An error means that the server is gone, which is the same to a call.
        let _ = self.stopping.clone().wait_for(|stopping| *stopping).await;
    }
}
