//! A clock that stands still and randomness that repeats.

use crate::rng::Rng;
use core::time::Duration;
use counterfoil_engine::{Clock, Randomness};
use counterfoil_proof::Timestamp;
use std::io;
use std::sync::{Mutex, PoisonError};

/// A clock that stands still.
#[derive(Clone, Copy, Debug)]
pub struct FixedClock(pub Timestamp);

impl Clock for FixedClock {
    fn wall(&self) -> Timestamp {
        self.0
    }

    fn since_boot(&self) -> Duration {
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
