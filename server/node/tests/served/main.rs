//! A real engine behind a real server on a loopback port, spoken to by the SDK and, where the SDK would refuse to send
//! something, by the generated client.

mod appending;
mod contract;
mod reading;
mod stopping;
mod support;
