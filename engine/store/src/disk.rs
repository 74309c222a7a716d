//! The storage seam: every byte the engine reads or writes, and all of its sync discipline, goes through [`Disk`].
//!
//! Paths are relative to the ledger directory and use `/`. Nothing is durable before a sync: contents after
//! [`DiskFile::sync_data`] or [`DiskFile::sync_all`], names (created, renamed, removed) after [`Disk::sync_dir`].

use crate::planted::{PlantedBug, planted};
use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One ledger directory.
pub trait Disk: Send + Sync {
    /// Creates a file that does not exist, readable and writable.
    ///
    /// # Errors
    /// `AlreadyExists`, or what the system says.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens an existing file for reading and, when `writable`, writing. Each call is a file description of its own.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open(&self, path: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>>;

    /// Bytes in a file.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn file_len(&self, path: &str) -> io::Result<u64> {
        self.open(path, false)?.len()
    }

    /// Renames a file over whatever has the new name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Names in a folder, sorted; `""` is the ledger directory itself.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Creates a folder if it does not exist; a private one is readable by its owner only.
    ///
    /// # Errors
    /// What the system says.
    fn create_dir(&self, folder: &str, private: bool) -> io::Result<()>;

    /// Makes the names in a folder durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, folder: &str) -> io::Result<()>;

    /// Takes the directory's lock until the returned value is dropped.
    ///
    /// # Errors
    /// `WouldBlock` when another process holds it.
    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>>;

    /// The bug to plant in the engine that uses this disk.
    #[cfg(feature = "planted-bugs")]
    fn planted(&self) -> Option<PlantedBug> {
        None
    }
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Reads at a position: at least one byte before the end of the file, perhaps fewer than asked for, and none behind it.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes at a position.
    ///
    /// # Errors
    /// What the system says; some of the bytes may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file at least `to` bytes long, with disk space behind the new bytes, which read as zeros. `from` is where
    /// the file ends now.
    ///
    /// # Errors
    /// `StorageFull` when there is no space, or what the system says.
    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        write_zeros(self, from, to)
    }

    /// Makes contents durable, and the length if it grew.
    ///
    /// # Errors
    /// What the system says. The contents are then unknown: never call it again to find out.
    fn sync_data(&self) -> io::Result<()>;

    /// Makes contents and metadata durable.
    ///
    /// # Errors
    /// As [`DiskFile::sync_data`].
    fn sync_all(&self) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// What the system says.
    fn len(&self) -> io::Result<u64>;

    /// True for a file without bytes.
    ///
    /// # Errors
    /// What the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// Writes zeros, so that later writes there change no metadata.
pub(crate) fn write_zeros(file: &(impl DiskFile + ?Sized), from: u64, to: u64) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let zeros = vec![0; STEP];
    let mut at = from;
    while at < to {
        let len = usize::try_from((to - at).min(STEP as u64)).expect("at most a step");
        file.write_all_at(&zeros[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

/// Reads exactly `len` bytes.
pub(crate) fn read_exact(file: &dyn DiskFile, offset: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    read_into(file, offset, len, &mut bytes)?;
    Ok(bytes)
}

/// Reads exactly `len` bytes into a buffer, which then holds nothing else.
pub(crate) fn read_into(file: &dyn DiskFile, offset: u64, len: usize, buffer: &mut Vec<u8>) -> io::Result<()> {
    buffer.resize(len, 0);
    let mut at = 0;
    while at < len {
        match file.read_at(&mut buffer[at..], offset + at as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => at += read,
        }
    }
    Ok(())
}

/// Reads a whole file of at most `len_max` bytes.
pub(crate) fn read_file(disk: &dyn Disk, path: &str, len_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let len = file.len()?;
    if len > len_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{path} has {len} bytes, more than {len_max}"),
        ));
    }
    read_exact(&*file, 0, usize::try_from(len).expect("bounded by len_max"))
}

/// Creates a file in place of what an attempt that failed may have left under its name.
pub(crate) fn create_anew(disk: &dyn Disk, path: &str) -> io::Result<Arc<dyn DiskFile>> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => disk.create(path),
    }
}

/// Writes a file so that after a crash there is either the whole new one or whatever was there before.
pub(crate) fn replace_file(disk: &dyn Disk, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_replacement(disk, folder, name, bytes)?;
    // A crash here leaves the temporary file, which opening removes.
    put_in_place(disk, folder, name)
}

/// The first half of [`replace_file`]: when it fails, what was there before is still there.
pub(crate) fn write_replacement(disk: &dyn Disk, folder: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{}.tmp", join(folder, name));
    let file = create_anew(disk, &temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()
}

/// The second half of [`replace_file`]: when it fails, nobody knows which of the two is there.
pub(crate) fn put_in_place(disk: &dyn Disk, folder: &str, name: &str) -> io::Result<()> {
    let path = join(folder, name);
    disk.rename(&format!("{path}.tmp"), &path)?;
    if planted(disk, PlantedBug::SkipDirectorySync) {
        return Ok(());
    }
    disk.sync_dir(folder)
}

pub(crate) fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

pub(crate) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

/// A directory of the operating system.
#[derive(Debug)]
pub struct OsDisk {
    root: PathBuf,
}

impl OsDisk {
    /// The disk over an existing directory.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() { self.root.clone() } else { self.root.join(path) }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place of the engine that touches the file system")]
impl Disk for OsDisk {
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(self.path(path))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn open(&self, path: &str, writable: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(writable).open(self.path(path))?;
        Ok(Arc::new(OsFile(file)))
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        Ok(fs::metadata(self.path(path))?.len())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path(folder))? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, folder: &str, private: bool) -> io::Result<()> {
        let mode = if private { 0o700 } else { 0o755 };
        match fs::DirBuilder::new().mode(mode).create(self.path(folder)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn sync_dir(&self, folder: &str) -> io::Result<()> {
        File::open(self.path(folder))?.sync_all()
    }

    fn lock(&self) -> io::Result<Box<dyn Any + Send + Sync>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.path("LOCK"))?;
        file.try_lock().map_err(io::Error::from)?;
        Ok(Box::new(file))
    }
}

struct OsFile(File);

impl DiskFile for OsFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn allocate(&self, from: u64, to: u64) -> io::Result<()> {
        let len = to.saturating_sub(from);
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), from, len) {
            // Not every file system can; writing zeros does the same, more slowly.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => write_zeros(self, from, to),
            other => Ok(other?),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
