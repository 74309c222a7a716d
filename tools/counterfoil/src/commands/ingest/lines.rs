//! Lines of bounded length from anything that can be read.

use std::io::{self, BufRead};

/// One line without its line feed. A carriage return before it stays.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// More bytes than allowed; they were read past.
    TooLong { found: u64 },
}

/// Reads lines, never holding more than one.
pub(super) struct Lines<R> {
    input: R,
    len_max: usize,
    line: Vec<u8>,
    drained: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R, len_max: usize) -> Self {
        Self { input, len_max, line: Vec::new(), drained: false }
    }

    /// True when nothing of what was read is left: the next line may be long in coming.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    /// The next line; `None` at the end. A last line without a line feed counts.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut found: u64 = 0;
        let mut begun = false;
        loop {
            let available = match self.input.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                available => available?,
            };
            if available.is_empty() {
                break;
            }
            begun = true;
            let end = memchr(available);
            let part = &available[..end.unwrap_or(available.len())];
            found += part.len() as u64;
            if self.line.len() + part.len() <= self.len_max {
                self.line.extend_from_slice(part);
            }
            let consumed = part.len() + usize::from(end.is_some());
            self.drained = consumed == available.len();
            self.input.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        Ok(match begun {
            false => None,
            true if found > self.len_max as u64 => Some(Line::TooLong { found }),
            true => Some(Line::Whole(&self.line)),
        })
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::BufReader;

    fn lines(text: &[u8], len_max: usize) -> Vec<Result<Vec<u8>, u64>> {
        let mut lines = Lines::new(BufReader::with_capacity(3, text), len_max);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            all.push(match line {
                Line::Whole(line) => Ok(line.to_vec()),
                Line::TooLong { found } => Err(found),
            });
        }
        all
    }

    #[test]
    fn a_line_is_its_bytes_without_the_line_feed() {
        assert_eq!(lines(b"a\r\n\nlonger", 100), [Ok(b"a\r".to_vec()), Ok(vec![]), Ok(b"longer".to_vec())]);
        assert_eq!(lines(b"a\n", 100), [Ok(b"a".to_vec())]);
        assert_eq!(lines(b"", 100), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_read_past_and_measured() {
        assert_eq!(lines(b"12345678\nab\n", 4), [Err(8), Ok(b"ab".to_vec())]);
        assert_eq!(lines(b"1234\n12345", 4), [Ok(b"1234".to_vec()), Err(5)]);
        assert_eq!(lines(b"123456\n", 4), [Err(6)]);
    }
}
