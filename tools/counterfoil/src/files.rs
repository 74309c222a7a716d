//! Files of the person at the keyboard. Files of a ledger belong to the engine.

use crate::failure::{Exit, Failure};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use tempfile::{Builder, NamedTempFile};

/// The path that means stdin or stdout.
pub(crate) const STANDARD: &str = "-";

/// Opens a file for reading.
#[expect(clippy::disallowed_methods, reason = "files named on the command line are read here")]
pub(crate) fn open(path: &Path) -> Result<File, Failure> {
    let failed = |error: io::Error| Failure::file("reading", path, &error);
    let file = File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return Err(failed(io::ErrorKind::IsADirectory.into()));
    }
    Ok(file)
}

/// Reads a whole file, or stdin for `-`, of at most this many bytes.
pub(crate) fn read(path: &Path, len_max: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let limit = len_max as u64 + 1;
    let result = if path == Path::new(STANDARD) {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        open(path)?.take(limit).read_to_end(&mut bytes)
    };
    result.map_err(|error| Failure::file("reading", path, &error))?;
    if bytes.len() > len_max {
        let message = format!("{} has more than {len_max} bytes", path.display());
        return Err(Failure::new(Exit::Incomplete, "TOO_LONG", message, "check that this is the file you mean"));
    }
    Ok(bytes)
}

/// Reads a file of text, `None` when it does not exist.
pub(crate) fn read_text_if_there(path: &Path, len_max: usize) -> Result<Option<String>, Failure> {
    if !path.try_exists().map_err(|error| Failure::file("reading", path, &error))? {
        return Ok(None);
    }
    let text = String::from_utf8(read(path, len_max)?);
    text.map(Some).map_err(|_| Failure::file("reading", path, &io::Error::from(io::ErrorKind::InvalidData)))
}

/// Creates a file that does not exist, durably, with these permissions.
#[expect(clippy::disallowed_methods, reason = "new key files are written here")]
pub(crate) fn create_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = created.and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| Failure::file("creating", path, &error))
}

/// Puts a file in place of whatever has this name: readers see the old bytes or the new ones. What is not a regular
/// file, such as a pipe, is written to.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let written = match fs::metadata(path) {
        Ok(metadata) if !metadata.is_file() => write_to_special(path, bytes),
        _ => replace_regular(path, bytes),
    };
    written.map_err(|error| Failure::file("writing", path, &error))
}

/// A file that gets its name only when it is whole, and vanishes if it never is.
pub(crate) struct Unnamed {
    file: NamedTempFile,
    path: PathBuf,
}

impl Unnamed {
    /// Creates it in the folder that its name is to be in.
    pub(crate) fn beside(path: &Path) -> Result<Self, Failure> {
        let file = temporary(path).map_err(|error| Failure::file("writing", path, &error))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// Writes the next bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(|error| Failure::file("writing", &self.path, &error))
    }

    /// What was written, to be read from its beginning.
    pub(crate) fn reopen(&self) -> Result<File, Failure> {
        self.file.reopen().map_err(|error| Failure::file("reading", &self.path, &error))
    }

    /// Makes it durable and gives it its name; with `overwrite`, in place of a file that has it.
    pub(crate) fn name(self, overwrite: bool) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::file("creating", &self.path, &error);
        self.file.as_file().sync_all().map_err(failed)?;
        match overwrite {
            true => self.file.persist(&self.path),
            false => self.file.persist_noclobber(&self.path),
        }
        .map(drop)
        .map_err(|refused| failed(refused.error))
    }
}

fn temporary(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Builder::new().prefix(".counterfoil-").permissions(fs::Permissions::from_mode(0o666)).tempfile_in(folder)
}

fn replace_regular(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = temporary(path)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a pipe or device named as output is written here")]
fn write_to_special(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).open(path)?.write_all(bytes)
}

/// Removes a file.
pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
    fs::remove_file(path).map_err(|error| Failure::file("removing", path, &error))
}

/// Creates a folder and those above it.
pub(crate) fn create_folder(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| Failure::file("creating", path, &error))
}

/// First name in a folder that is not the lock of a ledger; `None` when there is none or no folder.
pub(crate) fn first_name(folder: &Path) -> Result<Option<String>, Failure> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::file("reading", folder, &error)),
    };
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    Ok(names.filter(|name| name != "LOCK").map(|name| name.to_string_lossy().into_owned()).min())
}

/// A path that works from any folder. The path need not exist.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::file("finding", path, &error))
}

/// The path with more at its end: `a.pem` and `.vkey` give `a.pem.vkey`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
