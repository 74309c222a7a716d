//! What can be done to the files of a ledger.

use crate::golden::Files;
use counterfoil_proof::hex;
use serde_json::{Value, json};

/// One change to a copy of the ledger.
pub(super) enum Change {
    /// One byte is combined with a mask by exclusive or.
    Flip { file: String, at: usize, mask: u8 },
    /// Bytes are replaced; the file grows where they reach behind its end.
    Write { file: String, at: usize, bytes: Vec<u8> },
    /// A run of bytes becomes zero.
    Zero { file: String, at: usize, len: usize },
    /// The file ends here.
    Truncate { file: String, len: usize },
    /// The file is gone.
    Delete { file: String },
    /// A file is there under another name too.
    Copy { from: String, to: String },
    /// A run of bytes is there again at another place.
    CopyBytes { from: String, at: usize, len: usize, to: String, to_at: usize },
    /// The checksum of the structure that begins here is made right again.
    Checksum { file: String, at: usize },
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    file.resize(file.len().max(at + bytes.len()), 0);
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

impl Change {
    pub(super) fn apply(&self, files: &mut Files) {
        let get = |files: &Files, name: &str| files.get(name).cloned().unwrap_or_else(|| panic!("no file {name}"));
        match self {
            Self::Flip { file, at, mask } => files.get_mut(file).unwrap()[*at] ^= mask,
            Self::Write { file, at, bytes } => put(files.entry(file.clone()).or_default(), *at, bytes),
            Self::Zero { file, at, len } => files.get_mut(file).unwrap()[*at..at + len].fill(0),
            Self::Truncate { file, len } => files.get_mut(file).unwrap().truncate(*len),
            Self::Delete { file } => drop(files.remove(file).unwrap()),
            Self::Copy { from, to } => drop(files.insert(to.clone(), get(files, from))),
            Self::CopyBytes { from, at, len, to, to_at } => {
                let bytes = get(files, from)[*at..at + len].to_vec();
                put(files.get_mut(to).unwrap(), *to_at, &bytes);
            }
            Self::Checksum { file, at } => {
                let file = files.get_mut(file).unwrap();
                let len = u32::from_le_bytes(file[at + 12..at + 16].try_into().unwrap()) as usize;
                let sealed = crate::store::resealed(file[*at..at + len].to_vec(), len);
                file[*at..at + len].copy_from_slice(&sealed);
            }
        }
    }

    pub(super) fn shown(&self) -> Value {
        match self {
            Self::Flip { file, at, mask } => json!({ "do": "flip", "file": file, "at": at, "mask": mask }),
            Self::Write { file, at, bytes } => json!({ "do": "write", "file": file, "at": at, "bytes": hex(bytes) }),
            Self::Zero { file, at, len } => json!({ "do": "zero", "file": file, "at": at, "length": len }),
            Self::Truncate { file, len } => json!({ "do": "truncate", "file": file, "length": len }),
            Self::Delete { file } => json!({ "do": "delete", "file": file }),
            Self::Copy { from, to } => json!({ "do": "copy", "from": from, "to": to }),
            Self::CopyBytes { from, at, len, to, to_at } => {
                json!({ "do": "copy bytes", "from": from, "at": at, "length": len, "to": to, "to_at": to_at })
            }
            Self::Checksum { file, at } => json!({ "do": "checksum", "file": file, "at": at }),
        }
    }
}
