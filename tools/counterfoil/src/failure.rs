//! Why a command did not do what it was asked, and the exit code that says so.

use core::error::Error;
use counterfoil_client::{BAD_SERVER, Error as ClientError};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Exit codes, which scripts rely on (DESIGN.md, *Command line*).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// A check failed, the ledger forked, or what is stored is corrupt.
    NotVerified = 1,
    /// The command line is wrong.
    Usage = 2,
    /// It could not be completed: I/O, network, bad input, unknown index, timeout.
    Incomplete = 3,
    /// The ledger's rules say no.
    Refused = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// A command that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) report: Report,
}

/// What a script reads about a failure.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// For programs.
    pub(crate) code: String,
    /// What is wrong.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) next: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit, report: Report { code: code.to_owned(), message: message.into(), next: next.into() } }
    }

    pub(crate) fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "USAGE", message, next)
    }

    /// A file could not be read or written.
    pub(crate) fn file(doing: &str, path: &Path, error: &io::Error) -> Self {
        let next = match error.kind() {
            io::ErrorKind::NotFound => "check the path",
            io::ErrorKind::PermissionDenied => "check who may read and write it",
            io::ErrorKind::AlreadyExists => "name a path that does not exist; nothing is overwritten here",
            io::ErrorKind::StorageFull => "make room on the disk and try again",
            _ => "make it accessible and try again",
        };
        Self::new(Exit::Incomplete, "IO", format!("{doing} {} failed: {error}", path.display()), next)
    }

    pub(crate) fn with_more(mut self, more: &str) -> Self {
        self.report.message = format!("{}; {more}", self.report.message);
        self
    }

    pub(crate) fn with_next(mut self, next: impl Into<String>) -> Self {
        self.report.next = next.into();
        self
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let exit = match &error {
            ClientError::Verification(_) | ClientError::Corrupt(_) => Exit::NotVerified,
            ClientError::Refused(_) => Exit::Refused,
            ClientError::Invalid(report) if report.code == BAD_SERVER => Exit::Usage,
            ClientError::Invalid(_)
            | ClientError::Unreachable(_)
            | ClientError::Timeout { .. }
            | ClientError::Busy(_)
            | ClientError::NotFound(_)
            | ClientError::Failed(_)
            | ClientError::Randomness(_) => Exit::Incomplete,
        };
        let next = match &error {
            ClientError::Timeout { .. } => "see whether the server runs, or allow more --timeout",
            other => other.next(),
        };
        Self::new(exit, error.code(), error.to_string(), next)
    }
}

/// An error with its causes. A cause that the text before it already tells is left out.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = error.source();
    }
    text
}
