//! The command line as a script sees it: a real server on a free port, real processes, exit codes and JSON.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails here")]

mod exit_codes;
mod exporting;
mod history;
mod ingest;
mod round_trips;
mod serving;
mod streams;
mod support;
