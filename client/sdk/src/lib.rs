//! The Rust client of Counterfoil: appends, reads and proves, and checks what it is told.
//!
//! Everything the server answers is checked before the caller sees it: checkpoints against a trust policy, proofs
//! against leaf and checkpoint, receipts against their leaf hash and commitment, pages against gaps, answers against
//! what was sent. Only a listing of streams is the server's word: it says where to look. **What it is not**: it is no
//! offline verifier and judges no erasure; `counterfoil-verify` does that from bytes and keys alone. It keeps no state: a
//! caller that keeps checkpoints calls [`Client::check_extends`].
//!
//! *Invariants*: a [`VerifiedCheckpoint`](counterfoil_proof::VerifiedCheckpoint) in an answer satisfied the policy the
//! caller gave, or, when there was none, the key the server stated ([`Client::trust_is_self_asserted`]); a batch is sent
//! again only under the same id, so that it is never appended twice.
//!
//! ```no_run
//! use counterfoil_client::{AppendOptions, Client, ConnectOptions, Error, NewReceipt};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::connect(ConnectOptions::default()).await?;
//!
//! let refund = NewReceipt::json("incident/INC-42", "refund.refused/1", r#"{"why":"no evidence"}"#)?;
//! let appended = client.append(vec![refund], AppendOptions { with_proofs: true, ..Default::default() }).await?;
//! println!("receipt {} is durable, and this proves it:\n{}", appended.receipts[0].index, appended.proofs[0]);
//!
//! let receipt = client.get(appended.receipts[0].index).await?;
//! assert_eq!(receipt.leaf, appended.receipts[0].leaf);
//! # Ok(())
//! # }
//! ```

mod append;
mod check;
mod client;
mod error;
mod export;
mod listing;
mod random;
mod stream;
mod types;

pub use client::Client;
pub use error::{BAD_SERVER, Error, Report, TwoCheckpoints, UNREACHABLE, VerificationError};
pub use export::{Export, ExportScope, ExportSummary};
pub use listing::{ListedStream, NextStreams, StreamsPage};
pub use stream::{Ack, AppendStream, StreamOptions};
pub use types::{
    AppendOptions, Appended, AppendedReceipt, BatchId, BatchLimits, CatalogStatus, ConnectOptions, Content, Health,
    Identity, NewReceipt, NextPage, Page, Receipt, Segment, Selection, Status,
};
