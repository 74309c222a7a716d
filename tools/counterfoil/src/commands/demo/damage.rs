//! A copy of a ledger with one bit flipped.

use crate::failure::Failure;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Not copied: private keys, and the lock of a process.
const LEFT_OUT: [&str; 2] = ["keys", "LOCK"];
const READ_BYTES: usize = 4 * 1024 * 1024;

/// Copies what a verifier reads.
pub(super) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    copy_folder(from, to).map_err(|error| Failure::file("copying", from, &error))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if LEFT_OUT.iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// Flips one bit in the middle of a payload, wherever in the segments it is.
pub(super) fn flip_bit(ledger: &Path, payload: &[u8]) -> Result<(), Failure> {
    let segments = ledger.join("segments");
    flip_in_folder(&segments, payload).map_err(|error| Failure::file("damaging a segment in", &segments, &error))
}

fn flip_in_folder(segments: &Path, payload: &[u8]) -> io::Result<()> {
    let entries = fs::read_dir(segments)?.collect::<io::Result<Vec<_>>>()?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    paths.sort();
    for path in paths {
        let file = open_to_damage(&path)?;
        if let Some(offset) = find(&file, payload)? {
            let middle = offset + payload.len() as u64 / 2;
            let mut byte = [0];
            file.read_exact_at(&mut byte, middle)?;
            byte[0] ^= 1;
            return file.write_all_at(&byte, middle);
        }
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "the payload is in no segment"))
}

#[expect(clippy::disallowed_methods, reason = "the copy is damaged here on purpose, behind the back of the engine")]
fn open_to_damage(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(path)
}

/// Offset of the first place where these bytes stand in a file.
fn find(file: &File, bytes: &[u8]) -> io::Result<Option<u64>> {
    let mut buffer = vec![0; READ_BYTES.max(2 * bytes.len())];
    let mut start = 0;
    loop {
        let filled = read_at(file, &mut buffer, start)?;
        if let Some(at) = position(&buffer[..filled], bytes) {
            return Ok(Some(start + at as u64));
        }
        if filled < buffer.len() {
            return Ok(None);
        }
        // What begins at the end of this part is found in the next.
        start += (filled - bytes.len()) as u64;
    }
}

fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64)? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

fn position(text: &[u8], bytes: &[u8]) -> Option<usize> {
    // The end of a payload says more than its beginning: most receipts begin alike.
    let (last, rest) = bytes.split_last()?;
    let places = text.iter().enumerate().skip(rest.len()).filter(|(_, byte)| *byte == last);
    places.map(|(end, _)| end - rest.len()).find(|&at| text[at..].starts_with(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files;

    #[test]
    fn the_payload_is_found_across_the_parts_that_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.seg");
        let mut bytes = vec![b'.'; READ_BYTES + 100];
        bytes[READ_BYTES - 3..READ_BYTES + 3].copy_from_slice(b"needle");
        files::replace(&path, &bytes).unwrap();
        flip_in_folder(folder.path(), b"needle").unwrap();
        let damaged = fs::read(&path).unwrap();
        let changed: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != damaged[at]).collect();
        assert_eq!(changed, [READ_BYTES]);
        assert!(flip_in_folder(folder.path(), b"needle").is_err());
    }
}
