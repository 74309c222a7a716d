//! Canonical JSON, written straight into a reused buffer: no white space, integers and plain text only. The caller gives
//! the keys in order and text that needs no escape; the tests of the story check both.

use std::fmt::Write as _;

#[derive(Default)]
pub(super) struct Json(String);

impl Json {
    /// Starts over with an empty object.
    pub(super) fn restart(&mut self) -> &mut Self {
        self.0.clear();
        self.0.push('{');
        self
    }

    /// Ends the object and copies it out.
    pub(super) fn finish(&mut self) -> String {
        self.0.push('}');
        self.0.clone()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key).quoted(value)
    }

    pub(super) fn number(&mut self, key: &str, value: u64) -> &mut Self {
        self.key(key).digits(value)
    }

    /// A SHA-256 digest made of four random words.
    pub(super) fn digest(&mut self, key: &str, words: [u64; 4]) -> &mut Self {
        self.key(key).0.push('"');
        for word in words {
            self.hex(word);
        }
        self.0.push('"');
        self
    }

    pub(super) fn list<'a>(&mut self, key: &str, values: impl IntoIterator<Item = &'a str>) -> &mut Self {
        self.open_list(key);
        for value in values {
            self.item(value);
        }
        self.close_list()
    }

    pub(super) fn open_list(&mut self, key: &str) -> &mut Self {
        self.key(key).0.push('[');
        self
    }

    pub(super) fn close_list(&mut self) -> &mut Self {
        self.0.push(']');
        self
    }

    pub(super) fn item(&mut self, value: &str) -> &mut Self {
        self.comma();
        self.quoted(value)
    }

    pub(super) fn number_item(&mut self, value: u64) -> &mut Self {
        self.comma();
        self.digits(value)
    }

    /// A log line as an item: time, host, unit, message and one number.
    pub(super) fn log_item(&mut self, at_ms: u64, [host, unit, message]: [&str; 3], took_us: u64) -> &mut Self {
        self.comma();
        self.0.push('"');
        self.digits(at_ms);
        for part in [host, unit, message] {
            self.0.push(' ');
            self.0.push_str(part);
        }
        self.0.push_str(" took_us=");
        self.digits(took_us);
        self.0.push('"');
        self
    }

    fn key(&mut self, key: &str) -> &mut Self {
        self.comma();
        self.quoted(key);
        self.0.push(':');
        self
    }

    fn comma(&mut self) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
    }

    fn quoted(&mut self, text: &str) -> &mut Self {
        self.0.push('"');
        self.0.push_str(text);
        self.0.push('"');
        self
    }

    fn digits(&mut self, value: u64) -> &mut Self {
        write!(self.0, "{value}").expect("a String takes any text");
        self
    }

    fn hex(&mut self, word: u64) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        for byte in word.to_be_bytes() {
            self.0.push(DIGITS[usize::from(byte >> 4)] as char);
            self.0.push(DIGITS[usize::from(byte & 15)] as char);
        }
    }
}
