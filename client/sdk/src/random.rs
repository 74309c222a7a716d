//! Random ids.

use crate::error::Error;
use crate::types::BatchId;

impl BatchId {
    /// A fresh id.
    ///
    /// # Errors
    /// [`Error::Randomness`] when the system gives no random bytes.
    #[expect(clippy::disallowed_methods, reason = "ids of requests are random by definition; nothing replays them")]
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(Error::Randomness)?;
        Ok(Self(bytes))
    }
}
