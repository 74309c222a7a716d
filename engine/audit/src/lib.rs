//! The verifier as a library: verdicts over ledgers and proofs, from bytes and public keys alone.
mod receipt;
mod time;

pub use receipt::{RECEIPT_JSON_LEN_MAX, ReceiptDocument, ReceiptError, ReceiptView};
pub use time::{parse_time, time_text};
