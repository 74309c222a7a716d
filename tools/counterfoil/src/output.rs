//! The only place that writes to stdout, and the words for a person on stderr.

use crate::failure::{Exit, Failure, Report};
use core::fmt::Write as _;
use serde::Serialize;
use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};

/// What a command has to say.
pub(crate) trait Outcome: Serialize {
    /// Tells it to a person. The JSON document is the serialized value.
    fn tell(&self, page: &mut Page);
}

/// Where results and messages go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

#[derive(Serialize)]
struct FailureDocument<'a> {
    error: &'a Report,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Writes the result of a command.
    pub(crate) fn show(&self, outcome: &impl Outcome) -> Result<(), Failure> {
        let text = if self.json { document(outcome) } else { Page::of(outcome, io::stdout().is_terminal()) };
        self.write(text.as_bytes())
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            // Whoever read this has read enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => Err(Failure::new(
                Exit::Incomplete,
                "IO",
                format!("writing to stdout failed: {error}"),
                "see where stdout goes; what the command did is done",
            )),
        }
    }

    /// Tells why a command failed: on stderr, or on stdout as JSON.
    pub(crate) fn fail(&self, failure: &Failure) -> Exit {
        let Report { message, next, .. } = &failure.report;
        if self.json {
            // When stdout is gone the exit code is all that is left to say.
            let _ = self.write(document(&FailureDocument { error: &failure.report }).as_bytes());
        } else {
            let paint = Paint::of(&io::stderr());
            let mut text = format!("{} {}\n", paint.red("error:"), clean_lines(message));
            if !next.is_empty() {
                let _ = writeln!(text, "{} {}", paint.bold("next:"), clean_lines(next));
            }
            note(&text);
        }
        failure.exit
    }

    /// Tells a person something that is no result.
    pub(crate) fn remark(&self, text: &str) {
        note(&format!("{}\n", clean_lines(text)));
    }

    /// Tells a person how far a long command is: on stdout, or on stderr when stdout is to carry JSON.
    pub(crate) fn say(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            self.remark(text);
            return Ok(());
        }
        self.write(format!("{}\n", clean_lines(text)).as_bytes())
    }

    /// True when stdout is to carry JSON.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }
}

fn note(text: &str) {
    // Nobody listens on stderr: there is nobody left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

fn document(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).expect("outcomes have string keys and finite numbers");
    text.push('\n');
    text
}

/// Text for a person: fields with aligned values, and lines.
#[derive(Debug, Default)]
pub(crate) struct Page {
    rows: Vec<Row>,
}

#[derive(Debug)]
enum Row {
    Field { label: &'static str, value: String },
    Line(String),
}

impl Page {
    /// What an outcome tells a person, without colours.
    pub(crate) fn plain(outcome: &impl Outcome) -> String {
        Self::of(outcome, false)
    }

    fn of(outcome: &impl Outcome, is_terminal: bool) -> String {
        let mut page = Self::default();
        outcome.tell(&mut page);
        page.render(Paint { on: is_terminal && colours_wanted() })
    }

    /// A field, its value aligned with those of the other fields. Control characters are escaped.
    pub(crate) fn field(&mut self, label: &'static str, value: impl ToString) {
        self.rows.push(Row::Field { label, value: clean(&value.to_string()).into_owned() });
    }

    /// A line. Control characters are escaped.
    pub(crate) fn line(&mut self, text: impl AsRef<str>) {
        self.rows.push(Row::Line(clean(text.as_ref()).into_owned()));
    }

    /// Several lines as they are, such as a signed note. Control characters are escaped.
    pub(crate) fn lines(&mut self, text: &str) {
        text.lines().for_each(|line| self.line(line));
    }

    fn render(&self, paint: Paint) -> String {
        let labels = self.rows.iter().map(|row| match row {
            Row::Field { label, .. } => label.len(),
            Row::Line(_) => 0,
        });
        let width = labels.max().unwrap_or(0);
        let mut text = String::new();
        for row in &self.rows {
            let _ = match row {
                Row::Field { label, value } => {
                    let gap = " ".repeat(width - label.len() + 2);
                    writeln!(text, "{}{gap}{value}", paint.bold(label))
                }
                Row::Line(line) => writeln!(text, "{line}"),
            };
        }
        text
    }
}

/// Colours, where they are wanted.
#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn of(stream: &impl io::IsTerminal) -> Self {
        Self { on: stream.is_terminal() && colours_wanted() }
    }

    fn bold<'a>(self, text: &'a str) -> Cow<'a, str> {
        if self.on { format!("\x1b[1m{text}\x1b[0m").into() } else { text.into() }
    }

    fn red<'a>(self, text: &'a str) -> Cow<'a, str> {
        if self.on { format!("\x1b[1;31m{text}\x1b[0m").into() } else { text.into() }
    }
}

fn colours_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Text in which no character steers a terminal or turns the reading direction.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return text.into();
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    cleaned.into()
}

fn clean_lines(text: &str) -> String {
    let lines: Vec<_> = text.split('\n').map(clean).collect();
    lines.join("\n").trim_end().to_owned()
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Two;

    impl Serialize for Two {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_unit()
        }
    }

    impl Outcome for Two {
        fn tell(&self, page: &mut Page) {
            page.field("index", 7);
            page.field("leaf_hash", "a\x1b[2Jb\u{202e}");
            page.line("end");
        }
    }

    #[test]
    fn values_are_aligned_and_cannot_steer_the_terminal() {
        assert_eq!(Page::of(&Two, false), "index      7\nleaf_hash  a\\u{1b}[2Jb\\u{202e}\nend\n");
    }

    #[test]
    fn ordinary_text_is_left_alone() {
        assert!(matches!(clean("häufig ✓ 日本"), Cow::Borrowed(_)));
        assert_eq!(clean_lines("a\tb\nc\r\n"), "a\\tb\nc\\r");
    }
}
