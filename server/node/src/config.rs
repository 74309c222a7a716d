//! Configuration, as a value and as a TOML file.

use crate::limits::SHUTDOWN_DEADLINE;
use core::time::Duration;
use counterfoil_engine::{Limits, PAYLOAD_BYTES_CEILING};
use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};

const PORT: u16 = 7807;
const MIB: u64 = 1024 * 1024;

/// How a server listens, and the limits of the ledgers it serves.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Address to listen on. Without authentication it must be a loopback address.
    pub listen: SocketAddr,
    /// Limits to open the ledgers with.
    pub limits: Limits,
    /// How long calls may go on after the request to shut down.
    pub shutdown_deadline: Duration,
}

impl Default for ServerConfig {
    /// `127.0.0.1:7807`, the default limits, 10 seconds.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            limits: Limits::default(),
            shutdown_deadline: SHUTDOWN_DEADLINE,
        }
    }
}

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is no TOML, or a key is unknown or has a value of another type.
    #[error("{0}")]
    Toml(#[from] toml::de::Error),
    /// A number is out of its range.
    #[error("{key} is {found}, it must lie between {min} and {max}")]
    Range {
        /// The key.
        key: &'static str,
        /// Smallest value allowed.
        min: u64,
        /// Largest value allowed.
        max: u64,
        /// Value found.
        found: u64,
    },
}

/// The file, key by key. A key that is missing keeps its default.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Option<SocketAddr>,
    payload_bytes_max: Option<u64>,
    batch_receipts_max: Option<u64>,
    segment_bytes_max: Option<u64>,
    segment_receipts_max: Option<u64>,
    stream_heads_max: Option<u64>,
    queue_batches_max: Option<u64>,
    queue_bytes_max: Option<u64>,
}

impl ServerConfig {
    /// Reads a TOML file. All keys are optional; a key that is not listed here is an error.
    ///
    /// | key | unit | default | range |
    /// |---|---|---|---|
    /// | `listen` | `"ADDRESS:PORT"` | `"127.0.0.1:7807"` | loopback, as long as there is no authentication |
    /// | `payload_bytes_max` | bytes of one payload | 1 MiB | 1 to 15 MiB |
    /// | `batch_receipts_max` | receipts in one batch | 10 000 | 1 to 10 000 |
    /// | `segment_bytes_max` | bytes after which a segment is sealed | 128 MiB | 1 MiB to 16 GiB |
    /// | `segment_receipts_max` | receipts after which a segment is sealed | 131 072 | 1 024 to 16 777 216 |
    /// | `stream_heads_max` | streams whose heads stay in memory, about 200 bytes each | 1 048 576 | 1 024 to 1 073 741 824 |
    /// | `queue_batches_max` | batches waiting to be written | 1 024 | 2 to 65 536 |
    /// | `queue_bytes_max` | bytes waiting to be written | 64 MiB | 32 MiB to 4 GiB |
    ///
    /// # Errors
    /// [`ConfigError`] names the line or the key.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let file: File = toml::from_str(text)?;
        let mut config = Self::default();
        if let Some(listen) = file.listen {
            config.listen = listen;
        }
        let limits = &mut config.limits;
        let payload_max = PAYLOAD_BYTES_CEILING as u64;
        size("payload_bytes_max", file.payload_bytes_max, 1, payload_max, &mut limits.payload_bytes_max)?;
        size("batch_receipts_max", file.batch_receipts_max, 1, 10_000, &mut limits.batch_receipts_max)?;
        size("queue_batches_max", file.queue_batches_max, 2, 65_536, &mut limits.queue_batches_max)?;
        size("queue_bytes_max", file.queue_bytes_max, 32 * MIB, 4096 * MIB, &mut limits.queue_bytes_max)?;
        size("stream_heads_max", file.stream_heads_max, 1024, 1 << 30, &mut limits.stream_heads_max)?;
        if let Some(found) = file.segment_receipts_max {
            limits.segment_receipts_max = in_range("segment_receipts_max", found, 1024, 1 << 24)?;
        }
        if let Some(found) = file.segment_bytes_max {
            limits.segment_bytes_max = in_range("segment_bytes_max", found, MIB, 16 * 1024 * MIB)?;
        }
        Ok(config)
    }
}

fn size(key: &'static str, found: Option<u64>, min: u64, max: u64, into: &mut usize) -> Result<(), ConfigError> {
    if let Some(found) = found {
        let too_large = |_| ConfigError::Range { key, min, max, found };
        *into = usize::try_from(in_range(key, found, min, max)?).map_err(too_large)?;
    }
    Ok(())
}

fn in_range(key: &'static str, found: u64, min: u64, max: u64) -> Result<u64, ConfigError> {
    if (min..=max).contains(&found) { Ok(found) } else { Err(ConfigError::Range { key, min, max, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        ServerConfig::from_toml(text).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_file_is_the_default() {
        let config = ServerConfig::from_toml("").unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:7807");
        assert_eq!(config.limits.payload_bytes_max, 1024 * 1024);
    }

    #[test]
    fn every_key_is_read() {
        let config = ServerConfig::from_toml(
            "listen = \"[::1]:80\"\npayload_bytes_max = 1\nbatch_receipts_max = 2\nsegment_bytes_max = 1048576\n\
             queue_batches_max = 3\nqueue_bytes_max = 33554432\n",
        )
        .unwrap();
        assert_eq!(config.listen.to_string(), "[::1]:80");
        let limits = config.limits;
        assert_eq!((limits.payload_bytes_max, limits.batch_receipts_max, limits.queue_batches_max), (1, 2, 3));
        assert_eq!((limits.segment_bytes_max, limits.queue_bytes_max), (1 << 20, 1 << 25));
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        assert!(error("payload_max = 1").contains("payload_max"));
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_the_range() {
        assert_eq!(
            error("payload_bytes_max = 15728641"),
            "payload_bytes_max is 15728641, it must lie between 1 and 15728640"
        );
        assert!(error("batch_receipts_max = 0").contains("between 1 and 10000"));
        assert!(error("payload_bytes_max = -1").contains("payload_bytes_max"));
    }
}
