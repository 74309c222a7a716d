//! A real engine behind a real server on a loopback port, spoken to by the SDK and, where the SDK would refuse to send
//! something, by the generated client.

#![expect(clippy::unwrap_used, reason = "a test fails where its preparation fails")]

mod appending;
mod contract;
mod exporting;
mod listing;
mod reading;
mod stopping;
mod support;
