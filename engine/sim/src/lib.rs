//! Crash simulation of the storage engine.
