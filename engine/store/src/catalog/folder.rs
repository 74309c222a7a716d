//! The folder of the catalog, and the mark of a clean stop in it.
//!
//! sled's own flush does not outlive a power cut, and after one flipped bit it may silently hold fewer records. So the
//! mark is a list of all files with length and BLAKE3, written after they were synced and removed before they are opened
//! again: a folder that is not exactly as its mark says is never opened.

use super::error::CatalogError;
use core::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

const MARK: &str = "CLEAN";
const MARK_TEMPORARY: &str = "CLEAN.tmp";
const MARK_BEGIN: &str = "counterfoil-catalog/1\n";
const READ_STEP: usize = 1 << 20;

/// The folder of a catalog, whether it exists or not.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// True when the folder is exactly as a clean stop left it. The mark is gone afterwards, also after a power cut.
    pub(super) fn take_mark(&self) -> io::Result<bool> {
        let mark = match open(&self.0.join(MARK)) {
            Ok(mut file) => {
                let mut text = Vec::new();
                file.read_to_end(&mut text)?;
                text
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        fs::remove_file(self.0.join(MARK))?;
        sync(&self.0)?;
        Ok(self.describe(|_| Ok(()))?.as_bytes() == mark)
    }

    /// Syncs all files and then writes the mark, unless `given_up` says that nobody waits for it any more.
    pub(super) fn mark(&self, given_up: impl Fn() -> bool) -> io::Result<()> {
        let text = self.describe(File::sync_all)?;
        if given_up() {
            return Ok(());
        }
        let temporary = self.0.join(MARK_TEMPORARY);
        let mut file = create(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        rename(&temporary, &self.0.join(MARK))?;
        sync(&self.0)
    }

    /// Makes the folder new and empty.
    pub(super) fn empty(&self) -> Result<(), CatalogError> {
        self.remove().and_then(|()| DirBuilder::new().mode(0o700).create(&self.0)).map_err(CatalogError::Folder)
    }

    /// Removes the folder and all that is in it.
    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A line for every file, in the order of their paths: its digest, its length, its path.
    fn describe(&self, each: impl Fn(&File) -> io::Result<()>) -> io::Result<String> {
        let mut text = MARK_BEGIN.to_owned();
        let mut files = Vec::new();
        let mut folders = vec![self.0.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                match entry.file_type()? {
                    kind if kind.is_dir() => folders.push(entry.path()),
                    kind if kind.is_file() => files.push(entry.path()),
                    _ => return Err(io::ErrorKind::InvalidData.into()),
                }
            }
            each(&open(&folder)?)?;
        }
        files.sort();
        for path in files.iter().filter(|path| !path.ends_with(MARK) && !path.ends_with(MARK_TEMPORARY)) {
            let file = open(path)?;
            each(&file)?;
            let (digest, len) = digest(file)?;
            let name = path.strip_prefix(&self.0).expect("found in this folder");
            let _ = writeln!(text, "{digest} {len} {}", name.display());
        }
        Ok(text)
    }
}

fn digest(mut file: File) -> io::Result<(blake3::Hash, u64)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ_STEP];
    let mut len = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finalize(), len)),
            read => {
                hasher.update(&buffer[..read]);
                len += read as u64;
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "sled's files are not behind the Disk seam, nor is the mark beside them")]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

#[expect(clippy::disallowed_methods, reason = "sled's files are not behind the Disk seam, nor is the mark beside them")]
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[expect(clippy::disallowed_methods, reason = "sled's files are not behind the Disk seam, nor is the mark beside them")]
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

fn sync(folder: &Path) -> io::Result<()> {
    open(folder)?.sync_all()
}
