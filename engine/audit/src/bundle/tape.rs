//! A bundle's bytes, read once from front to back.

use counterfoil_format::{BundleEntry, FormatError, TAR_BLOCK, TarHeader};
use std::io::{self, Read};

/// Why reading cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The system said no.
    Io(io::Error),
    /// The bytes are not laid out as a bundle's must be.
    Layout(String),
}

impl From<FormatError> for Broken {
    fn from(error: FormatError) -> Self {
        Self::Layout(error.to_string())
    }
}

/// A tar file whose entries are those of a bundle, in their order. Memory is taken for bytes that were read, never for
/// lengths that were claimed.
pub(super) struct Tape<R> {
    reader: R,
    offset: u64,
    /// The entry that was begun last.
    entry: Option<BundleEntry>,
    /// Bytes of its content that are still to be read.
    remaining: u64,
    padding: usize,
    /// An entry whose header was read and that was not asked for yet.
    ahead: Option<(BundleEntry, u64)>,
    /// The first block of zeros was read.
    ended: bool,
}

impl<R: Read> Tape<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader, offset: 0, entry: None, remaining: 0, padding: 0, ahead: None, ended: false }
    }

    /// Bytes read so far.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// The entry that was begun last.
    pub(super) fn entry(&self) -> Option<BundleEntry> {
        self.entry
    }

    /// Bytes of its content still to be read.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The entry that comes next; `None` at the end. The content of the one before must have been read.
    pub(super) fn peek(&mut self) -> Result<Option<BundleEntry>, Broken> {
        if self.ahead.is_none() && !self.ended {
            self.ahead = self.header()?;
        }
        Ok(self.ahead.map(|(entry, _)| entry))
    }

    /// Begins the next entry, which must be this one and have at most `len_max` bytes.
    pub(super) fn begin(&mut self, wanted: BundleEntry, len_max: u64) -> Result<(), Broken> {
        let found = self.peek()?;
        if found != Some(wanted) {
            let found = found.map_or_else(|| "the end".to_owned(), BundleEntry::name);
            return Err(Broken::Layout(format!("expected the entry {}, found {found}", wanted.name())));
        }
        let (entry, len) = self.ahead.take().expect("just looked at");
        if len > len_max {
            return Err(Broken::Layout(format!("{} has {len} bytes, at most {len_max} are allowed", entry.name())));
        }
        (self.entry, self.remaining) = (Some(entry), len);
        Ok(())
    }

    /// A whole small entry.
    pub(super) fn whole(&mut self, wanted: BundleEntry, len_max: u64) -> Result<Vec<u8>, Broken> {
        self.begin(wanted, len_max)?;
        let mut content = Vec::new();
        self.take(usize::try_from(self.remaining).map_err(|_| ends_early())?, &mut content)?;
        Ok(content)
    }

    /// Appends the next bytes of the entry's content.
    pub(super) fn take(&mut self, len: usize, into: &mut Vec<u8>) -> Result<(), Broken> {
        let len = len as u64;
        self.remaining = self.remaining.checked_sub(len).ok_or_else(ends_early)?;
        self.read(len, into)
    }

    /// The tape holds nothing but what was read: two blocks of zeros, and its end.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        if let Some(entry) = self.peek()? {
            return Err(Broken::Layout(format!("expected the end, found the entry {}", entry.name())));
        }
        let mut rest = Vec::new();
        self.read(TAR_BLOCK as u64, &mut rest)?;
        let more = (&mut self.reader).take(1).read_to_end(&mut rest).map_err(Broken::Io)?;
        if more > 0 || rest.iter().any(|byte| *byte != 0) {
            return Err(Broken::Layout("two blocks of zeros end a bundle, and nothing follows them".to_owned()));
        }
        Ok(())
    }

    fn header(&mut self) -> Result<Option<(BundleEntry, u64)>, Broken> {
        assert_eq!(self.remaining, 0, "an entry is read to its end");
        let mut block = Vec::with_capacity(TAR_BLOCK);
        self.read(self.padding as u64, &mut block)?;
        if block.iter().any(|byte| *byte != 0) {
            return Err(Broken::Layout("the padding behind an entry is zeros".to_owned()));
        }
        block.clear();
        self.read(TAR_BLOCK as u64, &mut block)?;
        self.padding = 0;
        let block = block.first_chunk().expect("as many bytes as asked for");
        let Some(header) = TarHeader::decode(block)? else {
            self.ended = true;
            return Ok(None);
        };
        let entry = BundleEntry::parse(header.name())
            .ok_or_else(|| Broken::Layout(format!("a bundle has no entry {}", header.name())))?;
        if self.entry.is_some_and(|before| before >= entry) {
            return Err(Broken::Layout(format!("the entry {} stands in the wrong place, or twice", entry.name())));
        }
        self.padding = header.padding();
        Ok(Some((entry, header.len())))
    }

    fn read(&mut self, len: u64, into: &mut Vec<u8>) -> Result<(), Broken> {
        let read = (&mut self.reader).take(len).read_to_end(into).map_err(Broken::Io)? as u64;
        self.offset += read;
        if read == len { Ok(()) } else { Err(ends_early()) }
    }
}

fn ends_early() -> Broken {
    Broken::Layout("the bytes end before the value does".to_owned())
}
