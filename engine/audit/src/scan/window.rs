//! Reading a file once, front to back, in large pieces.

use super::files::io;
use crate::error::AuditError;
use crate::source::SourceFile;
use counterfoil_format::ByteOffset;
use counterfoil_proof::Hash;

/// Bytes asked for at a time.
const PIECE: usize = 1024 * 1024;

/// A part of a file in memory, which moves forward, and the digest of all that was read up to a limit.
pub(super) struct Window<'f> {
    file: &'f dyn SourceFile,
    path: &'f str,
    len: u64,
    bytes: Vec<u8>,
    /// Where in the file `bytes` begin.
    start: u64,
    digest: Option<blake3::Hasher>,
    digest_end: u64,
}

impl<'f> Window<'f> {
    /// Nothing is read yet. The digest covers the bytes before `digest_end`.
    pub(super) fn new(file: &'f dyn SourceFile, path: &'f str, len: u64, digest_end: u64) -> Self {
        let digest = Some(blake3::Hasher::new());
        Self { file, path, len, bytes: Vec::new(), start: 0, digest, digest_end }
    }

    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Up to `want` bytes at a place, fewer only at the end of the file. Memory is bounded by the file, not by what it
    /// claims.
    pub(super) fn bytes(&mut self, at: ByteOffset, want: usize) -> Result<&[u8], AuditError> {
        let left = usize::try_from(self.len.saturating_sub(at.0)).unwrap_or(usize::MAX);
        let want = want.min(left);
        if at.0 < self.start || at.0 + want as u64 > self.end() {
            self.move_to(at.0, want)?;
        }
        let skip = usize::try_from(at.0 - self.start).unwrap_or(usize::MAX).min(self.bytes.len());
        let rest = &self.bytes[skip..];
        Ok(&rest[..want.min(rest.len())])
    }

    fn move_to(&mut self, at: u64, want: usize) -> Result<(), AuditError> {
        if at < self.start || at > self.end() {
            // A jump: the digest of the whole is no longer a by-product.
            self.digest = None;
            self.bytes.clear();
        } else {
            let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
            self.bytes.drain(..skip);
        }
        self.start = at;
        let left = usize::try_from(self.len.saturating_sub(self.end())).unwrap_or(usize::MAX);
        let missing = want.saturating_sub(self.bytes.len()).max(PIECE).min(left);
        let kept = self.bytes.len();
        self.bytes.resize(kept + missing, 0);
        let read = self.file.read_at(&mut self.bytes[kept..], self.start + kept as u64).map_err(io(self.path))?;
        self.bytes.truncate(kept + read);
        if let Some(digest) = &mut self.digest {
            let before_end = self.digest_end.saturating_sub(self.start + kept as u64);
            let counted = usize::try_from(before_end).unwrap_or(usize::MAX).min(read);
            digest.update(&self.bytes[kept..kept + counted]);
        }
        Ok(())
    }

    /// BLAKE3 of the bytes before the limit; reads what was not read yet, and all again after a jump.
    pub(super) fn digest(mut self) -> Result<Hash, AuditError> {
        if self.digest.is_none() {
            self = Self::new(self.file, self.path, self.len, self.digest_end);
        }
        while self.end() < self.digest_end.min(self.len) {
            let at = self.end();
            if self.bytes(ByteOffset(at), PIECE)?.is_empty() {
                break;
            }
        }
        Ok(Hash(*self.digest.take().unwrap_or_default().finalize().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);

    impl SourceFile for Bytes {
        fn len(&self) -> std::io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
            let rest = self.0.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
            let read = rest.len().min(buffer.len());
            buffer[..read].copy_from_slice(&rest[..read]);
            Ok(read)
        }
    }

    fn file() -> Bytes {
        Bytes((0..3 * PIECE + 1000).map(|n| u8::try_from(n % 251).unwrap()).collect())
    }

    #[test]
    fn every_part_of_the_file_is_found_where_it_is() {
        let file = file();
        let mut window = Window::new(&file, "f", file.0.len() as u64, 5000);
        for (at, want) in [(0, 16), (10, 3000), (3010, 2 * PIECE), (2 * PIECE + 9, 1), (7, 100), (3 * PIECE, 5000)] {
            let end = (at + want).min(file.0.len());
            assert_eq!(window.bytes(ByteOffset(at as u64), want).unwrap(), &file.0[at..end]);
        }
    }

    #[test]
    fn the_digest_is_that_of_the_bytes_before_the_limit_whatever_was_read() {
        let file = file();
        for limit in [0, 100, PIECE, 2 * PIECE + 5, 3 * PIECE + 1000] {
            let expected = Hash(*blake3::hash(&file.0[..limit]).as_bytes());
            for reads in [&[][..], &[(0, 40)], &[(0, 4096), (4096, 2 * PIECE)], &[(900, 4), (2 * PIECE, 4), (0, 1)]] {
                let mut window = Window::new(&file, "f", file.0.len() as u64, limit as u64);
                for (at, want) in reads {
                    window.bytes(ByteOffset(*at as u64), *want).unwrap();
                }
                assert_eq!(window.digest().unwrap(), expected, "{limit} {reads:?}");
            }
        }
    }
}
