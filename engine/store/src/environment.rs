//! What the engine takes from outside: disk, clock and randomness.

use crate::catalog::CATALOG_FOLDER;
use crate::disk::{Disk, OsDisk};
use core::time::Duration;
use counterfoil_proof::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Until HEAD is written, the next frame carries the mark.
const MARK_AFTER_IDLE: Duration = Duration::from_millis(5);

/// Tells the time.
pub trait Clock: Send + Sync {
    /// Wall time, which can jump.
    fn wall(&self) -> Timestamp;
    /// Time since boot, suspended time included; it never jumps while the process runs.
    fn since_boot(&self) -> Duration;

    /// How long nothing must come before the durable mark is moved.
    fn mark_after_idle(&self) -> Duration {
        MARK_AFTER_IDLE
    }
}

/// Gives random bytes fit for keys.
pub trait Randomness: Send + Sync {
    /// Fills a buffer.
    ///
    /// # Errors
    /// When the system has none to give.
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()>;
}

/// Disk, clock and randomness of one ledger.
#[derive(Clone)]
pub struct Environment {
    /// Its directory.
    pub disk: Arc<dyn Disk>,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its randomness.
    pub randomness: Arc<dyn Randomness>,
    /// Folder of its catalog in the operating system's file system; without one its streams cannot be listed.
    pub catalog: Option<PathBuf>,
}

impl Environment {
    /// The operating system's, over a ledger directory, without a catalog.
    #[must_use]
    pub fn real(directory: &Path) -> Self {
        Self {
            disk: Arc::new(OsDisk::new(directory)),
            clock: Arc::new(OsClock),
            randomness: Arc::new(OsRandomness),
            catalog: None,
        }
    }

    /// The operating system's, over a ledger directory with its catalog.
    #[must_use]
    pub fn with_catalog(directory: &Path) -> Self {
        Self { catalog: Some(directory.join(CATALOG_FOLDER)), ..Self::real(directory) }
    }

    pub(crate) fn random<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.randomness.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct OsClock;

impl Clock for OsClock {
    fn wall(&self) -> Timestamp {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        Timestamp(nanoseconds(time.tv_sec, time.tv_nsec))
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::from_nanos(nanoseconds(time.tv_sec, time.tv_nsec))
    }
}

/// A clock before 1970 reads as 0: time in the ledger never goes back, so it is harmless.
fn nanoseconds(seconds: i64, nanoseconds: i64) -> u64 {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(u64::try_from(nanoseconds).unwrap_or(0))
}

/// The operating system's random bytes.
#[derive(Clone, Copy, Debug)]
pub struct OsRandomness;

#[expect(clippy::disallowed_methods, reason = "this is the randomness that others are handed")]
impl Randomness for OsRandomness {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        getrandom::fill(buffer).map_err(|error| io::Error::other(error.to_string()))
    }
}
