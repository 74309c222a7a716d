//! The gRPC server of Counterfoil: open ledgers behind one address, with health checks and reflection.
//!
//! **What it is not**: it opens no ledger and decides nothing about receipts. The engine does; this crate parses
//! requests into its types, bounds what is in flight, and puts answers and errors on the wire. Errors become statuses in
//! one place, `status.rs`.
//!
//! *Invariants*: without authentication it listens on loopback only; the calls of a connection, the reads at once and the
//! batches of a stream are bounded ([`limits`]); a batch is acknowledged only when the engine says it is durable; neither
//! payloads nor names that callers chose reach the log of an ordinary call.
//!
//! ```no_run
//! use counterfoil_engine::{Environment, Ledger};
//! use counterfoil_server::{Ledgers, Server, ServerConfig};
//! use std::path::Path;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ServerConfig::from_toml("listen = \"127.0.0.1:0\"")?;
//! let ledger = Ledger::open(Environment::real(Path::new("ledger")), config.limits)?;
//! let server = Server::bind(config, Ledgers::single(ledger)).await?;
//! println!("listening on {}", server.local_addr());
//! server.serve(std::future::pending()).await?;
//! # Ok(())
//! # }
//! ```

mod config;
mod ledgers;
pub mod limits;
mod node;
mod rpc;
mod server;
mod status;

pub use config::{ConfigError, ServerConfig};
pub use ledgers::Ledgers;
pub use server::{ServeError, Server};
