//! A ledger directory as a map from paths to bytes.

use crate::store::write;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Bytes by path, `/` between folder and name.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// All files below a folder.
pub(crate) fn read_folder(folder: &Path) -> Files {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            let inner = read_folder(&path).into_iter();
            files.extend(inner.map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            files.insert(name, fs::read(path).unwrap());
        }
    }
    files
}

/// Writes them below another folder. Folders that a ledger has are there even when nothing is in them.
pub(crate) fn write_folder(folder: &Path, files: &Files) {
    for name in ["segments", "keys", "cut", "redo"] {
        create_folder(&folder.join(name));
    }
    for (name, bytes) in files {
        write(&folder.join(name), bytes);
    }
}

fn create_folder(path: &Path) {
    fs::create_dir_all(path).unwrap();
}
