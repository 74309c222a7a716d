//! The gRPC contract of Counterfoil: the .proto files, the code generated from them, and checked conversions to the
//! types of `counterfoil-proof`.
//!
//! **What it is not**: it holds no server and no client, and none of its generated types travels further than the edge
//! of either; both parse them at once into types that cannot be wrong. The comments in `proto/counterfoil/v1` are the
//! manual of the API.
//!
//! *Invariants*: a conversion that fails names the field ([`ConversionError`]); every reason an error can carry on the
//! wire is listed in [`reason`].
//!
//! ```
//! use counterfoil_api::{parse, v1};
//! use counterfoil_proof::Link;
//!
//! let link = v1::Link { index: 7, leaf_hash: vec![1; 31].into() };
//! assert_eq!(Link::try_from(link).unwrap_err().to_string(), "leaf_hash has 31 bytes, expected 32");
//! assert!(parse::kind("kind", "decision.refused/1").is_ok());
//! ```

mod convert;
mod error;
pub mod parse;
pub mod reason;
#[expect(
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::too_many_lines,
    reason = "generated code is not written in our style"
)]
pub mod v1 {
    //! Messages, clients and servers of package `counterfoil.v1`, generated from the .proto files.
    tonic::include_proto!("counterfoil.v1");
}

pub use error::{ConversionError, FieldPath, Problem};

/// The compiled .proto files, as served by gRPC reflection (`google.protobuf.FileDescriptorSet`).
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/counterfoil.bin"));

/// Name of the service that appends, reads and proves, as in health checks.
pub const LEDGER_SERVICE: &str = "counterfoil.v1.Ledger";

/// The ledger that an empty name means.
pub const DEFAULT_LEDGER: &str = "main";

/// Name of the retention class that an empty name means.
pub const DEFAULT_CLASS: &str = "forever";

/// Most bytes of one message to the server: a batch of 16 MiB and what surrounds it.
pub const REQUEST_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Most receipts in one batch that asks for proofs.
pub const PROOFS_MAX: usize = 1_000;

/// Most receipts in one page.
pub const PAGE_RECEIPTS_MAX: u32 = 1_000;

/// Receipts in a page whose size is not stated.
pub const PAGE_RECEIPTS_DEFAULT: u32 = 100;

/// Initial HTTP/2 window of a stream and of a connection, on both sides. The default of 64 KiB costs two thirds of the
/// throughput on loopback.
pub const HTTP2_WINDOW_BYTES: u32 = 4 * 1024 * 1024;

/// Largest HTTP/2 frame, on both sides.
pub const HTTP2_FRAME_BYTES_MAX: u32 = 1024 * 1024;
