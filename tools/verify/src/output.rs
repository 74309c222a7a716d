//! Everything that leaves the process: text for people, JSON for scripts, exit codes.

use counterfoil_audit::AuditError;
use serde_json::json;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

pub(crate) const EXIT_VERIFIED: u8 = 0;
pub(crate) const EXIT_FAILED: u8 = 1;
pub(crate) const EXIT_USAGE: u8 = 2;
pub(crate) const EXIT_INCOMPLETE: u8 = 3;

/// An answer.
pub(crate) struct Outcome {
    /// What to print, with its last line break.
    pub(crate) text: String,
    pub(crate) verified: bool,
}

/// There is no answer, or it is no without a report.
#[derive(Debug)]
pub(crate) struct Problem {
    exit: u8,
    code: &'static str,
    message: String,
    next: String,
}

impl Problem {
    pub(crate) fn usage(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: EXIT_USAGE, code: "usage", message: message.into(), next: next.into() }
    }

    pub(crate) fn failed(message: impl Into<String>, next: impl Into<String>) -> Self {
        Self { exit: EXIT_FAILED, code: "verification-failed", message: message.into(), next: next.into() }
    }

    pub(crate) fn unreadable(path: &std::path::Path, error: &io::Error) -> Self {
        let message = format!("{}: {error}", path.display());
        Self { exit: EXIT_INCOMPLETE, code: "io", message, next: "check the path and the permissions".to_owned() }
    }

    /// Says it and gives the exit code.
    pub(crate) fn print(&self, json: bool) -> ExitCode {
        let written = if json {
            let error = json!({"error": {"code": self.code, "message": self.message, "next": self.next}});
            print(&format!("{error:#}\n"))
        } else {
            let word = if self.exit == EXIT_FAILED { "FAILED" } else { "error:" };
            let text = format!("{word} {}\n  {}\n", lines(&self.message, 2), lines(&self.next, 2));
            if self.exit == EXIT_FAILED { print(&text) } else { io::stderr().lock().write_all(text.as_bytes()) }
        };
        ExitCode::from(if written.is_ok() { self.exit } else { EXIT_INCOMPLETE })
    }
}

impl From<AuditError> for Problem {
    fn from(error: AuditError) -> Self {
        let next = error.next().to_owned();
        Self { exit: EXIT_INCOMPLETE, code: error.code(), message: error.to_string(), next }
    }
}

/// Writes to standard output. A reader that has gone away is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Text from a ledger, made safe for a terminal: characters that move the cursor, turn the direction of writing or
/// cannot be seen are spelled out.
pub(crate) fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}' => {
                out.extend(c.escape_unicode());
            }
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Several lines, each made safe, all but the first indented.
pub(crate) fn lines(text: &str, indent: usize) -> String {
    let lines: Vec<String> = text.trim_end().split('\n').map(safe).collect();
    lines.join(&format!("\n{:indent$}", ""))
}

const LABEL_WIDTH: usize = 12;

/// One aligned line of a reading: `  label       value`.
pub(crate) fn row(out: &mut String, label: &str, value: &str) {
    let value = lines(value, LABEL_WIDTH + 2);
    writeln!(out, "  {label:LABEL_WIDTH$}{value}").expect("a string takes all that is written to it");
}

/// One item of a list, and what belongs to it, below it.
pub(crate) fn item(out: &mut String, text: &str, details: &[(&str, &str)]) {
    writeln!(out, "  - {}", lines(text, 4)).expect("a string takes all that is written to it");
    for (label, value) in details {
        let value = lines(value, LABEL_WIDTH + 2);
        writeln!(out, "    {label:width$}{value}", width = LABEL_WIDTH - 2)
            .expect("a string takes all that is written to it");
    }
}

/// `1 receipt`, `2 receipts`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_the_cursor_is_spelled_out() {
        assert_eq!(safe("a\u{1b}[2Jb\r\u{9b}"), "a\\u{1b}[2Jb\\r\\u{9b}");
        assert_eq!(safe("abc\u{202e}def\u{200b}"), "abc\\u{202e}def\\u{200b}");
        assert_eq!(safe("Grüße 漢字"), "Grüße 漢字");
    }

    #[test]
    fn later_lines_are_indented() {
        assert_eq!(lines("a\nb\u{7}\n", 2), "a\n  b\\u{7}");
    }
}
