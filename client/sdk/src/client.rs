//! A connection to one ledger of one server.

use crate::check;
use crate::error::{BAD_SERVER, Error, Report, TwoCheckpoints, VerificationError};
use crate::types::{ConnectOptions, Identity, NextPage, Page, Receipt, Segment, Selection, Status};
use core::time::Duration;
use counterfoil_api::v1::admin_client::AdminClient;
use counterfoil_api::v1::ledger_client::LedgerClient;
use counterfoil_api::{HTTP2_FRAME_BYTES_MAX, HTTP2_WINDOW_BYTES, PAGE_RECEIPTS_MAX, v1};
use counterfoil_proof::{
    ConsistencyFile, InclusionFile, LeafHash, LeafIndex, SignedCheckpoint, TreeSize, TrustPolicy, VerifiedCheckpoint,
};
use std::sync::Arc;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response};

/// Largest answer read: a page of one payload of 15 MiB, or a batch of 10 000 answers with proofs.
const ANSWER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// A connection to one ledger. Clones share it.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) rpc: LedgerClient<Channel>,
    admin: AdminClient<Channel>,
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) ledger: String,
    pub(crate) timeout: Duration,
    pub(crate) trust: TrustPolicy,
    trust_is_self_asserted: bool,
    pub(crate) identity: Identity,
}

impl Client {
    /// Connects, and asks the server which ledger this is.
    ///
    /// # Errors
    /// [`Error::Unreachable`] at once when the connection is refused; [`Error::NotFound`] when the server has no such
    /// ledger; [`Error::Verification`] when its key is not one that `trust` names.
    pub async fn connect(options: ConnectOptions) -> Result<Self, Error> {
        let ConnectOptions { server, ledger, timeout: after, trust } = options;
        let connecting = endpoint(&server, after)?;
        let channel = timeout(after, connecting.connect())
            .await
            .map_err(|_| Error::Timeout { after })?
            .map_err(|error| Error::unreachable(&server, &error))?;
        let mut rpc = LedgerClient::new(channel.clone()).max_decoding_message_size(ANSWER_BYTES_MAX);
        let admin = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);

        let request = with_timeout(v1::GetLedgerRequest { ledger: ledger.clone() }, after);
        let identity = check::identity(answer(after, rpc.get_ledger(request)).await?, trust.as_ref())?;
        let trust_is_self_asserted = trust.is_none();
        let trust = match trust {
            Some(trust) => trust,
            None => TrustPolicy::single(identity.key.clone()).map_err(VerificationError::Untrusted)?,
        };
        let shared = Shared { ledger, timeout: after, trust, trust_is_self_asserted, identity };
        Ok(Self { rpc, admin, shared: Arc::new(shared) })
    }

    /// What never changes about the ledger, as the server stated it when this client connected.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// True when checkpoints are believed because of a key the server itself stated.
    #[must_use]
    pub fn trust_is_self_asserted(&self) -> bool {
        self.shared.trust_is_self_asserted
    }

    /// Reads one receipt and checks it against its leaf hash. That the leaf is in the ledger is shown by
    /// [`Client::prove_inclusion`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when the index is not published; [`Error::Verification`] when the answer does not hold.
    pub async fn get(&self, index: LeafIndex) -> Result<Receipt, Error> {
        let request = self.request(v1::GetRequest { ledger: self.ledger(), index: index.0 });
        let answer = self.answer(self.rpc.clone().get(request)).await?;
        let receipt = check::receipt(answer.receipt)?;
        if receipt.envelope.index != index {
            return Err(VerificationError::OutOfOrder { asked: index.0, found: receipt.envelope.index.0 }.into());
        }
        Ok(receipt)
    }

    /// Reads a page of at most `page_size` receipts (at most 1 000; the server ends a page at about 4 MiB), the first
    /// one or the one that `after` begins. Each receipt is checked as by [`Client::get`], and that it follows the one
    /// before without a gap.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such stream; [`Error::Verification`] when the answer does not hold.
    pub async fn read(&self, selection: &Selection, page_size: u32, after: Option<&NextPage>) -> Result<Page, Error> {
        use v1::read_request::Selection as Wire;
        let page_size = page_size.clamp(1, PAGE_RECEIPTS_MAX);
        let wire = match selection {
            Selection::Ledger { from } => Wire::FromIndex(from.0),
            Selection::Stream { stream, from } => {
                Wire::Stream(v1::StreamSelection { stream: stream.to_string(), from_seq: from.0 })
            }
        };
        let request = self.request(v1::ReadRequest {
            ledger: self.ledger(),
            selection: Some(wire),
            page_size,
            page_token: after.map(|after| after.token.clone()).unwrap_or_default(),
        });
        let answer = self.answer(self.rpc.clone().read(request)).await?;
        check::page(answer, selection, after, page_size as usize)
    }

    /// The latest published checkpoint, its signatures checked.
    ///
    /// # Errors
    /// [`Error::Verification`] when it is not signed by whom we trust.
    pub async fn checkpoint(&self) -> Result<VerifiedCheckpoint, Error> {
        let request = self.request(v1::GetCheckpointRequest { ledger: self.ledger() });
        let answer = self.answer(self.rpc.clone().get_checkpoint(request)).await?;
        check::checkpoint(&answer.checkpoint, &self.shared.trust)
    }

    /// Proves that the receipt with this leaf hash is at this index, under the latest checkpoint.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the index is not published; [`Error::Verification`] when the proof does not hold.
    pub async fn prove_inclusion(&self, index: LeafIndex, leaf: &LeafHash) -> Result<InclusionFile, Error> {
        let request = self.request(v1::ProveInclusionRequest { ledger: self.ledger(), index: index.0 });
        let answer = self.answer(self.rpc.clone().prove_inclusion(request)).await?;
        check::inclusion(&answer.proof, index, leaf, &self.shared.trust)
    }

    /// Proves that the tree of `old` receipts is a prefix of the latest checkpoint. The root of the older tree in the
    /// proof is what the server states: compare it, or call [`Client::check_extends`].
    ///
    /// # Errors
    /// [`Error::NotFound`] when no tree of this size is published; [`Error::Verification`] when the proof does not hold.
    pub async fn prove_consistency(&self, old: TreeSize) -> Result<ConsistencyFile, Error> {
        let request = self.request(v1::ProveConsistencyRequest { ledger: self.ledger(), old_size: old.0 });
        let answer = self.answer(self.rpc.clone().prove_consistency(request)).await?;
        check::consistency(&answer.proof, old, &self.shared.trust)
    }

    /// Checks that the ledger still begins with everything that a checkpoint kept earlier covers, and gives the latest
    /// checkpoint, to be kept in its place.
    ///
    /// # Errors
    /// [`Error::Verification`] with [`VerificationError::Shrank`] or [`VerificationError::Forked`], which show both
    /// checkpoints, when it does not.
    pub async fn check_extends(&self, seen: &SignedCheckpoint) -> Result<VerifiedCheckpoint, Error> {
        let latest = self.checkpoint().await?;
        let (old, new) = (seen.unverified(), latest.checkpoint());
        let both = || Box::new(TwoCheckpoints { seen: seen.clone(), found: latest.signed().clone() });
        if old.origin != new.origin {
            return Err(VerificationError::Forked(both()).into());
        }
        if old.size > new.size {
            return Err(VerificationError::Shrank(both()).into());
        }
        let proof = self.prove_consistency(old.size).await?;
        if proof.old_root != old.root {
            return Err(VerificationError::Forked(both()).into());
        }
        Ok(proof.checkpoint.verify(&self.shared.trust).map_err(VerificationError::Untrusted)?)
    }

    /// Seals the active segment; `None` when it held no receipts.
    ///
    /// # Errors
    /// [`Error`], as every call.
    pub async fn seal(&self) -> Result<Option<Segment>, Error> {
        let request = self.request(v1::SealRequest { ledger: self.ledger() });
        Ok(self.answer(self.admin.clone().seal(request)).await?.segment.map(check::segment))
    }

    /// What the ledger says about itself.
    ///
    /// # Errors
    /// [`Error::Verification`] when its checkpoint is not signed by whom we trust.
    pub async fn status(&self) -> Result<Status, Error> {
        let request = self.request(v1::GetStatusRequest { ledger: self.ledger() });
        check::status(self.answer(self.admin.clone().get_status(request)).await?, &self.shared.trust)
    }

    pub(crate) fn ledger(&self) -> String {
        self.shared.ledger.clone()
    }

    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        with_timeout(message, self.shared.timeout)
    }

    pub(crate) async fn answer<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        answer(self.shared.timeout, call).await
    }
}

/// A request whose deadline the server knows too, so that it stops working for nobody.
pub(crate) fn with_timeout<T>(message: T, after: Duration) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(after);
    request
}

/// Waits for an answer, but not for ever.
pub(crate) async fn answer<T>(
    after: Duration,
    call: impl Future<Output = Result<Response<T>, tonic::Status>>,
) -> Result<T, Error> {
    match timeout(after, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Error::from_status(&status, after)),
        Err(_) => Err(Error::Timeout { after }),
    }
}

fn endpoint(server: &str, connect_timeout: Duration) -> Result<Endpoint, Error> {
    let bad = |problem: &str| {
        let next = "give --server as http://HOST:PORT, for example http://127.0.0.1:7807";
        Error::Invalid(Report::new(BAD_SERVER, format!("{server} is not the URL of a server: {problem}"), next))
    };
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|_| bad("it is no URL"))?;
    if endpoint.uri().scheme_str() != Some("http") {
        return Err(bad("it does not begin with http://"));
    }
    if endpoint.uri().host().is_none_or(str::is_empty) {
        return Err(bad("it names no host"));
    }
    Ok(endpoint
        .connect_timeout(connect_timeout)
        .tcp_nodelay(true)
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX))
}
