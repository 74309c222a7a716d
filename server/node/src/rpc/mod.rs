//! The services: requests in, answers out, nothing decided here.

mod admin;
mod append;
mod export;
mod ledger;
mod observe;
mod page;
mod wire;

pub(crate) use admin::AdminService;
pub(crate) use ledger::LedgerService;
