//! A command's connection to one ledger, checked against what was seen of it before.

use crate::args::ServerArgs;
use crate::failure::{Exit, Failure};
use crate::state::State;
use counterfoil_client::{Client, ConnectOptions, Error, VerificationError};
use counterfoil_proof::VerifiedCheckpoint;

/// A connection to a ledger that extends everything seen of it before.
pub(crate) struct Session {
    client: Client,
    state: State,
    latest: VerifiedCheckpoint,
}

impl Session {
    /// Connects, compares key and history with what is remembered, and remembers the checkpoint of now.
    pub(crate) async fn open(server: &ServerArgs) -> Result<Self, Failure> {
        let options = ConnectOptions {
            server: server.server.clone(),
            ledger: server.ledger.clone(),
            timeout: server.timeout,
            // The key is the server's word here; the next lines compare it with the one that was trusted at first use.
            trust: None,
        };
        let client = Client::connect(options).await?;
        let identity = client.identity();
        let state = State::open(server.state.as_deref(), &identity.ledger_id)?;
        state.pin(&identity.key)?;
        let mut latest = None;
        for seen in state.seen(&identity.key)? {
            latest = Some(client.check_extends(&seen).await.map_err(|error| unmasked(error, &state))?);
        }
        let latest = match latest {
            Some(latest) => latest,
            None => client.checkpoint().await?,
        };
        state.remember(latest.signed())?;
        state.settle(latest.signed())?;
        Ok(Self { client, state, latest })
    }

    /// The client.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The checkpoint at the time of connecting.
    pub(crate) fn latest(&self) -> &VerifiedCheckpoint {
        &self.latest
    }

    /// Remembers the checkpoint of an answer, once the ledger is shown to extend both it and what was seen before.
    ///
    /// Whatever the answer acknowledged is done, so only a broken promise fails here, not a server that went away: then
    /// the next command asks.
    pub(crate) async fn remember(&self, answered: &VerifiedCheckpoint) -> Result<(), Failure> {
        for seen in [&self.latest, answered] {
            match self.client.check_extends(seen.signed()).await {
                Ok(_) => {}
                Err(error @ Error::Verification(_)) => return Err(unmasked(error, &self.state)),
                Err(_) => return self.state.acknowledge(answered.signed()),
            }
        }
        self.state.remember(answered.signed())
    }
}

/// A history that changed, with what to do about it.
fn unmasked(error: Error, state: &State) -> Failure {
    let changed = matches!(
        &error,
        Error::Verification(error)
            if matches!(**error, VerificationError::Shrank { .. } | VerificationError::Forked { .. })
    );
    let failure = Failure::from(error);
    if !changed || failure.exit != Exit::NotVerified {
        return failure;
    }
    failure.with_next(format!(
        "keep both notes: together they show that the history was changed; the one seen earlier stays in {}",
        state.checkpoint_file().display()
    ))
}
