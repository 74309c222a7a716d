//! A clock without real time and randomness that repeats.

use crate::rng::Rng;
use core::time::Duration;
use counterfoil_engine::{Clock, Randomness};
use counterfoil_proof::Timestamp;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A clock that goes on by a millisecond whenever it is asked.
#[derive(Debug)]
pub struct SimClock {
    wall: Timestamp,
    asked: AtomicU64,
}

impl SimClock {
    /// A clock that starts at a time.
    #[must_use]
    pub fn at(wall: Timestamp) -> Self {
        Self { wall, asked: AtomicU64::new(0) }
    }
}

impl Clock for SimClock {
    fn wall(&self) -> Timestamp {
        self.wall
    }

    fn since_boot(&self) -> Duration {
        Duration::from_millis(self.asked.fetch_add(1, Ordering::Relaxed))
    }

    fn mark_after_idle(&self) -> Duration {
        Duration::ZERO
    }
}

/// Random bytes that a seed repeats. Not fit for keys.
#[derive(Debug)]
pub struct SeededRandomness(Mutex<Rng>);

impl SeededRandomness {
    /// The bytes of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::new(seed)))
    }
}

impl Randomness for SeededRandomness {
    fn fill(&self, buffer: &mut [u8]) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).fill(buffer);
        Ok(())
    }
}
