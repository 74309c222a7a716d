//! From lines to batches of receipts, on a thread of its own.

use super::lines::{Line, Lines};
use super::pointer::{Found, Pointer};
use bytes::Bytes;
use core::fmt;
use counterfoil_client::NewReceipt;
use counterfoil_proof::{Kind, Media, NameError, StreamName};
use serde::de::IgnoredAny;
use std::io::{self, BufRead, BufReader, Read};
use std::thread;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Batches read ahead of the network.
const BATCHES_AHEAD: usize = 4;
const READ_BYTES: usize = 1024 * 1024;
/// Bad lines that are told when they are skipped.
const SKIPPED_SHOWN_MAX: usize = 10;

/// How lines become receipts, and receipts batches.
pub(super) struct Recipe {
    pub(super) target: Target,
    pub(super) kind: Kind,
    pub(super) class: Option<String>,
    pub(super) line_len_max: usize,
    pub(super) batch_receipts_max: usize,
    pub(super) batch_bytes_max: usize,
    pub(super) skip_bad: bool,
}

/// Where receipts go.
pub(super) enum Target {
    /// All to one stream.
    Stream(StreamName),
    /// Each to the stream that its line names.
    Pointer(Pointer),
}

/// Receipts to append together, and the lines they came from.
pub(super) struct Batch {
    pub(super) receipts: Vec<NewReceipt>,
    pub(super) first_line: u64,
    pub(super) last_line: u64,
}

/// How the input ended.
pub(super) enum Ended {
    /// At its end.
    AtEnd(Skipped),
    /// At the first bad line.
    BadLine(BadLine),
    /// With an error of the system.
    Unreadable(io::Error),
}

/// Lines that were left out.
#[derive(Default)]
pub(super) struct Skipped {
    pub(super) count: u64,
    pub(super) first: Vec<BadLine>,
}

/// A line that is no receipt.
pub(super) struct BadLine {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) problem: Problem,
}

/// What is wrong with a line.
pub(super) enum Problem {
    Empty,
    TooLong { found: u64, max: usize },
    NotJson(serde_json::Error),
    NoStream { pointer: Pointer },
    StreamNoString { pointer: Pointer },
    StreamName(NameError),
    Reserved,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("it is empty"),
            Self::TooLong { found, max } => write!(f, "it has {found} bytes, a payload may have {max}"),
            // The parser's own position would count lines within this line.
            Self::NotJson(error) => write!(f, "it is not JSON, at column {}", error.column()),
            Self::NoStream { pointer } => write!(f, "it has nothing at {pointer} to name its stream"),
            Self::StreamNoString { pointer } => write!(f, "what it has at {pointer} is no string"),
            Self::StreamName(error) => write!(f, "the name of its stream {error}"),
            Self::Reserved => f.write_str("the stream `ledger` is reserved for the ledger itself"),
        }
    }
}

/// Reads batches ahead. The last message says how the input ended.
///
/// The thread is not waited for: when sending fails, it may be waiting for a line that never comes.
pub(super) fn spawn(input: Box<dyn Read + Send>, recipe: Recipe) -> Receiver<Result<Batch, Ended>> {
    let (sender, receiver) = channel(BATCHES_AHEAD);
    thread::spawn(move || {
        let lines = Lines::new(BufReader::with_capacity(READ_BYTES, input), recipe.line_len_max);
        let ended = Cutter { recipe, sender: &sender, batch: Batch::starting_at(1), bytes: 0 }.run(lines);
        // Nobody waits for the end once sending failed.
        let _ = sender.blocking_send(Err(ended));
    });
    receiver
}

impl Batch {
    fn starting_at(line: u64) -> Self {
        Self { receipts: Vec::new(), first_line: line, last_line: line }
    }
}

/// Cuts receipts into batches.
struct Cutter<'a> {
    recipe: Recipe,
    sender: &'a Sender<Result<Batch, Ended>>,
    batch: Batch,
    bytes: usize,
}

impl Cutter<'_> {
    fn run(mut self, mut lines: Lines<impl BufRead>) -> Ended {
        let mut skipped = Skipped::default();
        for number in 1.. {
            let receipt = match lines.next() {
                Err(error) => return self.end(Ended::Unreadable(error)),
                Ok(None) => break,
                Ok(Some(line)) => self.recipe.receipt(&line),
            };
            match receipt {
                Ok(receipt) => self.push(receipt, number),
                Err(problem) if self.recipe.skip_bad => skipped.add(BadLine { number, problem }),
                Err(problem) => return self.end(Ended::BadLine(BadLine { number, problem })),
            }
            if self.sender.is_closed() {
                break;
            }
            // Lines that come slowly do not wait for a full batch; lines that come fast fill one meanwhile.
            if lines.is_drained() && self.sender.capacity() == BATCHES_AHEAD {
                self.send(number + 1);
            }
        }
        self.end(Ended::AtEnd(skipped))
    }

    fn push(&mut self, receipt: NewReceipt, line: u64) {
        let bytes = receipt.stored_bytes_max();
        let full = self.batch.receipts.len() >= self.recipe.batch_receipts_max
            || self.bytes + bytes > self.recipe.batch_bytes_max;
        if full {
            self.send(line);
        }
        if self.batch.receipts.is_empty() {
            self.batch.first_line = line;
        }
        self.bytes += bytes;
        self.batch.last_line = line;
        self.batch.receipts.push(receipt);
    }

    fn send(&mut self, next_line: u64) {
        self.bytes = 0;
        let batch = core::mem::replace(&mut self.batch, Batch::starting_at(next_line));
        if !batch.receipts.is_empty() {
            // A closed channel is noticed by the loop.
            let _ = self.sender.blocking_send(Ok(batch));
        }
    }

    /// What was read before the end is sent.
    fn end(mut self, ended: Ended) -> Ended {
        self.send(0);
        ended
    }
}

impl Skipped {
    fn add(&mut self, line: BadLine) {
        self.count += 1;
        if self.first.len() < SKIPPED_SHOWN_MAX {
            self.first.push(line);
        }
    }
}

impl Recipe {
    fn receipt(&self, line: &Line<'_>) -> Result<NewReceipt, Problem> {
        let line = match *line {
            Line::TooLong { found } => return Err(Problem::TooLong { found, max: self.line_len_max }),
            Line::Whole([]) => return Err(Problem::Empty),
            Line::Whole(line) => line,
        };
        let stream = self.target.stream(line)?;
        let payload = Bytes::copy_from_slice(line);
        Ok(NewReceipt { class: self.class.clone(), ..NewReceipt::new(stream, self.kind.clone(), Media::Json, payload) })
    }
}

impl Target {
    /// The stream of a line, all of which must be JSON.
    fn stream(&self, line: &[u8]) -> Result<StreamName, Problem> {
        let pointer = match self {
            Self::Stream(stream) => {
                serde_json::from_slice::<IgnoredAny>(line).map_err(Problem::NotJson)?;
                return Ok(stream.clone());
            }
            Self::Pointer(pointer) => pointer,
        };
        let stream = match pointer.find(line).map_err(Problem::NotJson)? {
            Found::Text(name) => StreamName::new(&name).map_err(Problem::StreamName)?,
            Found::NoString => return Err(Problem::StreamNoString { pointer: pointer.clone() }),
            Found::Nothing => return Err(Problem::NoStream { pointer: pointer.clone() }),
        };
        if stream.is_control() { Err(Problem::Reserved) } else { Ok(stream) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(skip_bad: bool) -> Recipe {
        Recipe {
            target: Target::Pointer(Pointer::parse("/s").unwrap()),
            kind: Kind::new("test/1").unwrap(),
            class: None,
            line_len_max: 64,
            batch_receipts_max: 2,
            batch_bytes_max: 1 << 20,
            skip_bad,
        }
    }

    fn cut(text: &'static str, recipe: Recipe) -> (Vec<(usize, u64, u64)>, Ended) {
        let mut receiver = spawn(Box::new(text.as_bytes()), recipe);
        let mut batches = Vec::new();
        loop {
            match receiver.blocking_recv().expect("the end is told") {
                Ok(batch) => batches.push((batch.receipts.len(), batch.first_line, batch.last_line)),
                Err(ended) => return (batches, ended),
            }
        }
    }

    const TEXT: &str =
        "{\"s\":\"a\"}\n{\"s\":\"b\"}\n{\"s\":\"a\"}\n{\"s\":1}\n{\"s\":\"c\"}\n\n{\"t\":\"c\"}\n{\"s\":\"ledger\"}\nx";

    #[test]
    fn what_stands_before_the_first_bad_line_is_sent() {
        let (batches, ended) = cut(TEXT, recipe(false));
        assert_eq!(batches, [(2, 1, 2), (1, 3, 3)]);
        assert!(matches!(ended, Ended::BadLine(BadLine { number: 4, problem: Problem::StreamNoString { .. } })));
    }

    #[test]
    fn skipped_lines_are_counted_and_the_first_are_kept() {
        let (batches, ended) = cut(TEXT, recipe(true));
        assert_eq!(batches, [(2, 1, 2), (2, 3, 5)]);
        let Ended::AtEnd(skipped) = ended else { panic!("the end is reached") };
        let told: Vec<_> = skipped.first.iter().map(|bad| format!("{}: {}", bad.number, bad.problem)).collect();
        assert_eq!(skipped.count, 5);
        assert_eq!(
            told,
            [
                "4: what it has at /s is no string",
                "6: it is empty",
                "7: it has nothing at /s to name its stream",
                "8: the stream `ledger` is reserved for the ledger itself",
                "9: it is not JSON, at column 1"
            ]
        );
    }

    /// Gives one line, and the next only when it is told to.
    struct Slow(std::sync::mpsc::Receiver<&'static str>);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Ok(text) = self.0.recv() else { return Ok(0) };
            buffer[..text.len()].copy_from_slice(text.as_bytes());
            Ok(text.len())
        }
    }

    #[test]
    fn a_line_does_not_wait_for_the_next_one() {
        let (lines, input) = std::sync::mpsc::channel();
        let mut receiver = spawn(Box::new(Slow(input)), recipe(false));
        for number in 1..=3 {
            lines.send("{\"s\":\"a\"}\n").unwrap();
            let Ok(batch) = receiver.blocking_recv().unwrap() else { panic!("a batch comes") };
            assert_eq!((batch.receipts.len(), batch.first_line), (1, number));
        }
    }

    #[test]
    fn batches_are_bounded_by_bytes_too() {
        let one = NewReceipt::json("a", "test/1", "{\"s\":\"a\"}").unwrap().stored_bytes_max();
        let small = Recipe { batch_receipts_max: 100, batch_bytes_max: 2 * one, ..recipe(false) };
        let (batches, _) = cut("{\"s\":\"a\"}\n{\"s\":\"b\"}\n{\"s\":\"a\"}\n", small);
        assert_eq!(batches, [(2, 1, 2), (1, 3, 3)]);
    }
}
