//! Listening, serving and stopping.

use crate::config::ServerConfig;
use crate::ledgers::Ledgers;
use crate::limits::{CONNECTION_CALLS_MAX, KEEPALIVE_INTERVAL, KEEPALIVE_TIMEOUT};
use crate::node::Node;
use crate::rpc::{AdminService, LedgerService};
use core::pin::pin;
use core::time::Duration;
use counterfoil_api::v1::admin_server::AdminServer;
use counterfoil_api::v1::ledger_server::LedgerServer;
use counterfoil_api::{
    FILE_DESCRIPTOR_SET, HTTP2_FRAME_BYTES_MAX, HTTP2_WINDOW_BYTES, LEDGER_SERVICE, REQUEST_BYTES_MAX,
};
use counterfoil_engine::AppendError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tonic::transport::server::{Router, TcpIncoming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

/// Why a server does not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Operator: anyone who reaches this address could write, because no authentication is configured.
    #[error(
        "{listen} is not a loopback address and no authentication is configured; \
         listen on 127.0.0.1 or [::1], and put what authenticates callers in front of it"
    )]
    PublicWithoutAuthentication {
        /// The address.
        listen: SocketAddr,
    },
    /// Operator: the address cannot be listened on.
    #[error("cannot listen on {listen}: {source}; is another server running there?")]
    Listen {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Operator: the network failed while serving.
    #[error("serving failed")]
    Transport(#[from] tonic::transport::Error),
    /// Our own bug: the compiled contract cannot be served by reflection.
    #[error("the compiled contract cannot be served")]
    Reflection(#[from] tonic_reflection::server::Error),
    /// Operator: a ledger did not close cleanly.
    #[error("ledger {ledger} did not close cleanly: {source}")]
    Close {
        /// Its name.
        ledger: String,
        /// Why.
        source: AppendError,
    },
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    local_addr: SocketAddr,
    ledgers: Ledgers,
    shutdown_deadline: Duration,
}

impl Server {
    /// Binds the address. Connections wait until [`Server::serve`].
    ///
    /// # Errors
    /// [`ServeError::PublicWithoutAuthentication`] for an address that is not loopback; [`ServeError::Listen`] when it
    /// is taken.
    pub async fn bind(config: ServerConfig, ledgers: Ledgers) -> Result<Self, ServeError> {
        let listen = config.listen;
        if !listen.ip().is_loopback() {
            return Err(ServeError::PublicWithoutAuthentication { listen });
        }
        let failed = |source| ServeError::Listen { listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let local_addr = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, local_addr, ledgers, shutdown_deadline: config.shutdown_deadline })
    }

    /// The address it listens on, with the port the system chose when the configured one is 0.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is ready. Then it accepts nothing more, lets the calls that run finish within the
    /// deadline, and closes the ledgers.
    ///
    /// # Errors
    /// [`ServeError`] when the network failed or a ledger did not close cleanly; the ledgers are closed in any case.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, local_addr, ledgers, shutdown_deadline } = self;
        let (stop, stopping) = watch::channel(false);
        let health = HealthReporter::new();
        health.set_service_status(LEDGER_SERVICE, ServingStatus::Serving).await;
        let router = router(Arc::new(Node::new(ledgers.clone(), stopping.clone())), health.clone())?;

        let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
        let mut serving = pin!(router.serve_with_incoming_shutdown(incoming, stopped(stopping)));
        info!(%local_addr, "listening");
        let served = tokio::select! {
            served = &mut serving => served,
            () = shutdown => {
                info!("stopping");
                // Watchers of health would hold their connection open for ever.
                end_health(health).await;
                // Calls hold the other end; when there are none, nobody needs to know.
                let _ = stop.send(true);
                timeout(shutdown_deadline, &mut serving).await.unwrap_or_else(|_| {
                    warn!("calls were still running at the deadline; they end with their connection");
                    Ok(())
                })
            }
        };
        close(ledgers).await?;
        Ok(served?)
    }
}

fn router(node: Arc<Node>, health: HealthReporter) -> Result<Router, ServeError> {
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let health = tonic_health::pb::health_server::HealthServer::new(
        tonic_health::server::HealthService::from_health_reporter(health),
    );
    Ok(tonic::transport::Server::builder()
        .initial_stream_window_size(HTTP2_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX)
        .max_concurrent_streams(CONNECTION_CALLS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .add_service(LedgerServer::new(LedgerService::new(node.clone())).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(AdminServer::new(AdminService::new(node)).max_decoding_message_size(REQUEST_BYTES_MAX))
        .add_service(health)
        .add_service(reflection))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

async fn end_health(mut health: HealthReporter) {
    for service in ["", LEDGER_SERVICE] {
        health.set_service_status(service, ServingStatus::NotServing).await;
        health.clear_service_status(service).await;
    }
}

/// Closes every ledger, also when one of them fails to.
async fn close(ledgers: Ledgers) -> Result<(), ServeError> {
    let mut outcome = Ok(());
    for (name, ledger) in ledgers.into_ledgers() {
        let closed = tokio::task::spawn_blocking(move || ledger.close()).await;
        let closed = closed.expect("closing a ledger does not panic");
        outcome = outcome.and(closed.map_err(|source| ServeError::Close { ledger: name, source }));
    }
    outcome
}
