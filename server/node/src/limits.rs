//! What this server keeps in memory at most, beside the limits of each ledger ([`counterfoil_engine::Limits`]) and of
//! the contract (the constants of `counterfoil_api`).

use core::time::Duration;

/// Calls at once on one connection.
pub const CONNECTION_CALLS_MAX: u32 = 256;

/// Calls at once that read from the disk; more of them wait.
pub const READS_MAX: usize = 64;

/// Batches of one `AppendStream` whose answers are not yet sent; more of them wait.
pub const STREAM_BATCHES_MAX: usize = 32;

/// All `AppendStream` calls together fill at most this part of a ledger's queue, so that unary calls find room. A
/// stream waits where a unary call is refused.
pub const STREAM_QUEUE_SHARE: usize = 2;

/// A page ends early at about this many bytes of payloads.
pub const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Bytes of a bundle in one message.
pub const EXPORT_PIECE_BYTES_MAX: usize = 1024 * 1024;

/// A batch with more payload bytes than this is admitted on a thread of its own, so that other calls go on meanwhile.
pub const INLINE_ADMIT_BYTES_MAX: usize = 1024 * 1024;

/// A client that is silent for this long is asked whether it is still there,
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);

/// and has this long to answer.
pub const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long calls may go on after the request to shut down, unless configured.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(10);
