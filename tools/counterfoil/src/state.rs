//! What a client remembers of a ledger between commands: its key and the last checkpoint seen.
//!
//! `checkpoint` was shown to extend everything seen before it. `acknowledged` came with an acknowledgement, and the server
//! went away before that could be shown; the next command asks for both.
//!
//! The key is trusted at first use. From then on a server that states another key, shrank or forked is found out, as long
//! as this folder stays.

use crate::failure::{Exit, Failure};
use crate::files;
use counterfoil_proof::{LeafHash, NOTE_LEN_MAX, SignedCheckpoint, TrustPolicy, VerifierKey};
use std::env;
use std::path::{Path, PathBuf};

const CHECKPOINT_FILE: &str = "checkpoint";
const ACKNOWLEDGED_FILE: &str = "acknowledged";
const VKEY_FILE: &str = "ledger.vkey";

/// The folder that remembers one ledger.
#[derive(Debug)]
pub(crate) struct State {
    folder: PathBuf,
}

impl State {
    /// The folder that was named, or the one of this ledger below `$XDG_STATE_HOME`.
    pub(crate) fn open(named: Option<&Path>, ledger_id: &LeafHash) -> Result<Self, Failure> {
        let folder = match named {
            Some(folder) => folder.to_owned(),
            None => state_home()?.join("counterfoil").join(ledger_id.to_string()),
        };
        let next = "name a folder you can write to with --state DIR; it remembers the last checkpoint seen";
        files::create_folder(&folder).map_err(|failure| failure.with_next(next))?;
        Ok(Self { folder })
    }

    /// Remembers the key of the ledger, or compares it with the one remembered.
    pub(crate) fn pin(&self, stated: &VerifierKey) -> Result<(), Failure> {
        let path = self.folder.join(VKEY_FILE);
        let Some(pinned) = files::read_text_if_there(&path, NOTE_LEN_MAX)? else {
            return files::replace(&path, format!("{stated}\n").as_bytes());
        };
        let pinned = pinned.trim_end();
        if pinned == stated.to_string() {
            return Ok(());
        }
        let message = format!("the server states another key than before.\nBefore: {pinned}\nNow: {stated}");
        let next = format!(
            "make sure this is the server and the ledger you mean; {} remembers the key, and --state DIR names another folder",
            path.display()
        );
        Err(Failure::new(Exit::NotVerified, "OTHER_KEY", message, next))
    }

    /// The checkpoints remembered, their signatures checked again.
    pub(crate) fn seen(&self, key: &VerifierKey) -> Result<Vec<SignedCheckpoint>, Failure> {
        let files = [self.checkpoint_file(), self.folder.join(ACKNOWLEDGED_FILE)];
        files.iter().filter_map(|path| read_note(path, key).transpose()).collect()
    }

    /// Remembers a checkpoint that extends everything seen before, unless another command has remembered a later one
    /// meanwhile.
    pub(crate) fn remember(&self, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
        replace_older(&self.checkpoint_file(), checkpoint)
    }

    /// Remembers the checkpoint of an acknowledgement, of which the ledger is still to be shown to extend it.
    pub(crate) fn acknowledge(&self, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
        replace_older(&self.folder.join(ACKNOWLEDGED_FILE), checkpoint)
    }

    /// Forgets an acknowledgement that `checkpoint` was shown to extend.
    pub(crate) fn settle(&self, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
        let path = self.folder.join(ACKNOWLEDGED_FILE);
        match kept(&path)? {
            Some(kept) if kept.unverified().size <= checkpoint.unverified().size => files::remove(&path),
            _ => Ok(()),
        }
    }

    /// Where the checkpoint is kept.
    pub(crate) fn checkpoint_file(&self) -> PathBuf {
        self.folder.join(CHECKPOINT_FILE)
    }
}

fn read_note(path: &Path, key: &VerifierKey) -> Result<Option<SignedCheckpoint>, Failure> {
    let Some(text) = files::read_text_if_there(path, NOTE_LEN_MAX)? else { return Ok(None) };
    let damaged = |problem: String| {
        let message = format!("the checkpoint remembered in {} is damaged: {problem}", path.display());
        let next = "put a copy of it back; without it, removing the file begins again with what the server says now";
        Failure::new(Exit::Incomplete, "BAD_STATE", message, next)
    };
    let seen = SignedCheckpoint::parse(text.as_bytes()).map_err(|error| damaged(error.to_string()))?;
    let policy = TrustPolicy::single(key.clone()).map_err(|error| damaged(error.to_string()))?;
    let verified = seen.verify(&policy).map_err(|error| damaged(error.to_string()))?;
    Ok(Some(verified.signed().clone()))
}

fn replace_older(path: &Path, checkpoint: &SignedCheckpoint) -> Result<(), Failure> {
    match kept(path)? {
        Some(kept) if kept.unverified().size >= checkpoint.unverified().size => Ok(()),
        _ => files::replace(path, checkpoint.to_string().as_bytes()),
    }
}

/// What a file remembers, if it can be read as a note.
fn kept(path: &Path) -> Result<Option<SignedCheckpoint>, Failure> {
    let text = files::read_text_if_there(path, NOTE_LEN_MAX)?;
    Ok(text.and_then(|text| SignedCheckpoint::parse(text.as_bytes()).ok()))
}

/// `$XDG_STATE_HOME`, which counts only if it is absolute, or `~/.local/state`.
fn state_home() -> Result<PathBuf, Failure> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state"))).ok_or_else(|| {
        let message = "there is no place to remember the last checkpoint: neither XDG_STATE_HOME nor HOME is set";
        Failure::usage(message, "name a folder with --state DIR")
    })
}
