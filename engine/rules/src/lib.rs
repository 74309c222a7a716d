//! Control receipts and the fold that judges them.
