//! The verifier as a library.
