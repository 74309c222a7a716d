//! Every byte the ledger stores or exports.
