//! Opening a ledger: from files to the state its threads begin with.

mod live;
mod refusal;
mod sealed;

pub(crate) use refusal::at;
pub use refusal::{Damage, OpenError, Refusal};
use refusal::{in_segment, refuse};

use crate::chain::{Chain, Tally};
use crate::create::{CUT_FOLDER, REDO_FOLDER, read_key};
use crate::disk::{self, Disk};
use crate::environment::Environment;
use crate::heads::StreamHeads;
use crate::keeper::SealJob;
use crate::planted::{PlantedBug, planted};
use crate::recovery;
use crate::repair;
use crate::segment::{self, FOLDER, Segment, State};
use crate::shared::Published;
use crate::tree::Tree;
use crate::types::Identity;
use crate::window::Window;
use counterfoil_format::frame::{Frame, Stored};
use counterfoil_format::{
    ByteOffset, FormatError, HEAD_FILE_LEN, HEAD_SLOT_LEN, HeadSlot, Manifest, newest_slot, parse_segment_file_name,
};
use counterfoil_proof::{CheckpointSigner, SignedCheckpoint, TreeSize, VerifierKey};
use counterfoil_rules::{ControlReceipt, Recovered, Rules};
use std::any::Any;
use std::io;
use std::sync::Arc;

const MANIFEST_LEN_MAX: u64 = 256 * 1024 * 1024;

/// A ledger, opened.
pub(crate) struct Loaded {
    pub(crate) identity: Identity,
    pub(crate) published: Published,
    pub(crate) heads: StreamHeads,
    pub(crate) window: Window,
    pub(crate) manifest: Manifest,
    pub(crate) chain: Chain,
    pub(crate) active: ActiveTail,
    /// Full segments whose footer is owed.
    pub(crate) unsealed: Vec<SealJob>,
    pub(crate) head_counter: u64,
    /// Cut files that no receipt records yet.
    pub(crate) owed: Vec<Recovered>,
    pub(crate) signer: Option<CheckpointSigner>,
    pub(crate) lock: Box<dyn Any + Send + Sync>,
}

/// Where the last segment is written on.
pub(crate) struct ActiveTail {
    pub(crate) nonce: [u8; 16],
    pub(crate) end: ByteOffset,
    pub(crate) tally: Tally,
}

/// Whether appends will follow.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    ReadOnly,
}

/// Opens a ledger; in [`Mode::Write`] repairs what a crash may leave.
pub(crate) fn load(environment: &Environment, mode: Mode, fingerprint_key: &[u8; 32]) -> Result<Loaded, OpenError> {
    let disk = &*environment.disk;
    let lock = disk.lock().map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => OpenError::Locked,
        io::ErrorKind::NotFound => OpenError::NotALedger,
        _ => OpenError::Io { path: "LOCK".into(), source },
    })?;
    let manifest = read_manifest(disk)?;
    let head = read_head(disk, mode)?;
    if mode == Mode::Write {
        repair::finish_interrupted(disk)?;
        remove_leftovers(disk, &manifest)?;
        make_durable(disk, head.as_ref())?;
    }
    let mut loader = Loader::new(environment, mode, fingerprint_key, manifest, head)?;
    loader.load_sealed()?;
    loader.load_open()?;
    loader.finish(lock)
}

fn read_manifest(disk: &dyn Disk) -> Result<Manifest, OpenError> {
    let bytes = disk::read_file(disk, "MANIFEST", MANIFEST_LEN_MAX).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => OpenError::NotALedger,
        _ => OpenError::Io { path: "MANIFEST".into(), source },
    })?;
    Manifest::decode(&bytes).map_err(|error| refuse("MANIFEST", ByteOffset(0), error))
}

/// Without HEAD nothing says what was durable: appending is refused, reading goes by the frames' own marks.
fn read_head(disk: &dyn Disk, mode: Mode) -> Result<Option<HeadSlot>, OpenError> {
    let head = match disk::read_file(disk, "HEAD", HEAD_FILE_LEN as u64) {
        Ok(bytes) if planted(disk, PlantedBug::BelieveStaleHead) => stale_slot(bytes).map_err(Damage::Format),
        Ok(bytes) => newest_slot(&bytes).map_err(Damage::Format),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Damage::Missing),
        Err(source) => return Err(OpenError::Io { path: "HEAD".into(), source }),
    };
    match (head, mode) {
        (Ok(head), _) => Ok(Some(head)),
        (Err(_), Mode::ReadOnly) => Ok(None),
        (Err(damage), Mode::Write) => Err(refuse("HEAD", ByteOffset(0), damage)),
    }
}

/// What a reader finds who passes over the newest slot: the other one, if there is one.
fn stale_slot(mut bytes: Vec<u8>) -> Result<HeadSlot, FormatError> {
    let newest = newest_slot(&bytes)?;
    let place = usize::try_from(newest.position().0).expect("in the file");
    bytes[place..place + HEAD_SLOT_LEN].fill(0);
    Ok(newest_slot(&bytes).unwrap_or(newest))
}

/// Removes temporary files, and segments created by a roll that did not get as far as the manifest: those hold no frame.
fn remove_leftovers(disk: &dyn Disk, manifest: &Manifest) -> Result<(), OpenError> {
    for folder in ["", FOLDER] {
        for name in disk.list(folder).map_err(at(folder))? {
            let path = disk::join(folder, &name);
            let unnamed = parse_segment_file_name(&name).filter(|(id, generation)| {
                !manifest.segments.iter().any(|entry| entry.id == *id && entry.generation == *generation)
            });
            if unnamed.is_some() && folder == FOLDER {
                let file = disk.open(&path, false).map_err(at(&path))?;
                let frames = ByteOffset(counterfoil_format::SEGMENT_HEADER_LEN as u64);
                if let Some((found, _)) = segment::nonzero_span(&*file, frames).map_err(at(&path))? {
                    return Err(refuse(path, found, Damage::Unnamed));
                }
            } else if !name.ends_with(".tmp") {
                continue;
            }
            disk.remove(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

/// What a killed process or a failed sync left may be in the page cache only: names whose folder was not synced, and the
/// newest slot of HEAD. Nothing is built on them before they are durable.
fn make_durable(disk: &dyn Disk, head: Option<&HeadSlot>) -> Result<(), OpenError> {
    for folder in [FOLDER, ""] {
        disk.sync_dir(folder).map_err(at(folder))?;
    }
    let bytes = disk::read_file(disk, "HEAD", HEAD_FILE_LEN as u64).map_err(at("HEAD"))?;
    let is_valid = |place: usize| {
        let slot = bytes.get(place..place + HEAD_SLOT_LEN);
        slot.is_some_and(|slot| HeadSlot::decode(slot, ByteOffset(place as u64)).is_ok())
    };
    // Every write of HEAD finds the slot it does not touch durable. So if one slot is bad, the good one is; if both are
    // good, a crash here damages the newest only, and the other one counts.
    match head {
        Some(newest) if is_valid(0) && is_valid(HEAD_SLOT_LEN) => write_head(disk, newest),
        _ => Ok(()),
    }
}

fn write_head(disk: &dyn Disk, slot: &HeadSlot) -> Result<(), OpenError> {
    let file = disk.open("HEAD", true).map_err(at("HEAD"))?;
    file.write_all_at(&slot.encode(), slot.position().0).map_err(at("HEAD"))?;
    file.sync_data().map_err(at("HEAD"))
}

struct Loader<'a> {
    environment: &'a Environment,
    mode: Mode,
    fingerprint_key: &'a [u8; 32],
    manifest: Manifest,
    head: Option<HeadSlot>,
    segments: Vec<Arc<Segment>>,
    /// The end of the last sealed segment, or the beginning of the ledger.
    chain: Option<Chain>,
    tree: Tree,
    heads: StreamHeads,
    window: Window,
    rules: Option<Rules>,
    checkpoint: Option<Arc<SignedCheckpoint>>,
    mark: TreeSize,
    active: Option<ActiveTail>,
    unsealed: Vec<SealJob>,
}

impl<'a> Loader<'a> {
    fn new(
        environment: &'a Environment,
        mode: Mode,
        fingerprint_key: &'a [u8; 32],
        manifest: Manifest,
        head: Option<HeadSlot>,
    ) -> Result<Self, OpenError> {
        let mut loader = Self {
            environment,
            mode,
            fingerprint_key,
            manifest,
            mark: head.map_or(TreeSize(0), |head| head.size),
            head,
            segments: Vec::new(),
            chain: None,
            tree: Tree::default(),
            heads: StreamHeads::default(),
            window: Window::default(),
            rules: None,
            checkpoint: None,
            active: None,
            unsealed: Vec::new(),
        };
        loader.load_genesis()?;
        Ok(loader)
    }

    fn disk(&self) -> &'a dyn Disk {
        &*self.environment.disk
    }

    fn rules(&self) -> &Rules {
        self.rules.as_ref().expect("genesis is loaded first")
    }

    /// Genesis is the first receipt of the first segment's first frame, which holds nothing else.
    fn load_genesis(&mut self) -> Result<(), OpenError> {
        let entry = self.manifest.segments[0];
        let path = segment::segment_path(entry.id, entry.generation);
        let file = self.disk().open(&path, false).map_err(|error| in_segment(&path)(error.into()))?;
        let offset = ByteOffset(counterfoil_format::SEGMENT_HEADER_LEN as u64);
        let damaged = |error| refuse(&path, offset, error);
        let header = disk::read_exact(&*file, offset.0, counterfoil_format::frame::FRAME_HEADER_LEN)
            .map_err(|error| in_segment(&path)(error.into()))?;
        let header = counterfoil_format::frame::FrameHeader::decode(&header).map_err(damaged)?;
        let bytes =
            disk::read_exact(&*file, offset.0, header.frame_len).map_err(|error| in_segment(&path)(error.into()))?;
        let frame = Frame::decode(&bytes).map_err(damaged)?;
        let genesis = &frame.entries()[0];
        if genesis.leaf != self.manifest.ledger_id {
            let rule = "the leaf hash of index 0 is the ledger id of the manifest";
            return Err(damaged(FormatError::NotCanonical { rule }));
        }
        let Stored::Present { payload, .. } = genesis.stored else {
            return Err(damaged(FormatError::NotCanonical { rule: "genesis is never erased" }));
        };
        self.rules = Some(Rules::begin(ControlReceipt { envelope: &genesis.envelope, payload })?);
        Ok(())
    }

    fn finish(mut self, lock: Box<dyn Any + Send + Sync>) -> Result<Loaded, OpenError> {
        let (chain, active) = match (self.chain.take(), self.active.take()) {
            (Some(chain), Some(active)) => (chain, active),
            _ => {
                let rule = "the last segment of the manifest is open";
                return Err(refuse("MANIFEST", ByteOffset(0), FormatError::NotCanonical { rule }));
            }
        };
        let signer = match self.mode {
            Mode::Write => Some(self.signer(&self.rules().genesis().checkpoint_key)?),
            Mode::ReadOnly => None,
        };
        let checkpoint = match (self.checkpoint.take(), &signer) {
            (Some(checkpoint), _) => checkpoint,
            // The last segment holds no frame yet. Ed25519 is deterministic: this is the checkpoint that ended the one
            // before it, byte for byte, whatever became of that frame since.
            (None, Some(signer)) => Arc::new(signer.sign(chain.frontier.size(), chain.frontier.root())),
            (None, None) => Arc::new(self.last_sealed_checkpoint()?),
        };
        let size = checkpoint.unverified().size;
        if self.mode == Mode::Write && size < self.mark {
            return Err(refuse("HEAD", ByteOffset(0), Damage::BelowMark { mark: self.mark, kept: size }));
        }
        let rules = self.rules.take().expect("genesis is loaded first");
        let genesis = rules.genesis().clone();
        let head = read_head(self.disk(), self.mode)?;
        let identity = Identity {
            ledger_id: self.manifest.ledger_id,
            checkpoint_key: genesis.checkpoint_key.clone(),
            commitment: genesis.commitment,
        };
        let owed = match self.mode {
            Mode::ReadOnly => Vec::new(),
            Mode::Write => {
                // HEAD covers every frame by now.
                repair::forget_rewrites(self.disk()).map_err(at(REDO_FOLDER))?;
                self.owed(&rules, &checkpoint)?
            }
        };
        let published = Published {
            last_time: chain.last_time,
            durable_mark: self.mark.min(size),
            control_receipts: chain.control_seq.0,
            checkpoint,
            tree: self.tree,
            segments: Arc::new(self.segments),
            active_end: active.end.0,
            rules: Arc::new(rules),
        };
        Ok(Loaded {
            identity,
            published,
            heads: self.heads,
            window: self.window,
            manifest: self.manifest,
            chain,
            active,
            unsealed: self.unsealed,
            head_counter: head.map_or(0, |head| head.counter),
            owed,
            signer,
            lock,
        })
    }

    /// The last signed checkpoint of the last sealed segment, for a reader without the ledger's key.
    fn last_sealed_checkpoint(&self) -> Result<SignedCheckpoint, OpenError> {
        for segment in self.segments.iter().rev() {
            let State::Sealed { leaves, .. } = &segment.state else { continue };
            for (_, offset) in leaves.frames.iter().rev() {
                let found = segment.frame_checkpoint(*offset, &self.rules().genesis().origin);
                if let Some(found) = found.filter(|found| recovery::is_signed(found, self.signing_key())) {
                    return Ok(found);
                }
            }
        }
        Err(refuse(FOLDER, ByteOffset(0), Damage::Missing))
    }

    fn signer(&self, expected: &VerifierKey) -> Result<CheckpointSigner, OpenError> {
        let wrong = || refuse("keys/checkpoint.pem", ByteOffset(0), Damage::Key { expected: expected.clone() });
        let key = read_key(self.disk()).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge => wrong(),
            _ => OpenError::Io { path: "keys/checkpoint.pem".into(), source },
        })?;
        let signer = CheckpointSigner::new(expected.name().clone(), key);
        if signer.verifier() == expected { Ok(signer) } else { Err(wrong()) }
    }

    /// Cut files that no receipt records yet.
    fn owed(&self, rules: &Rules, checkpoint: &SignedCheckpoint) -> Result<Vec<Recovered>, OpenError> {
        let mut owed = Vec::new();
        for name in self.disk().list(CUT_FOLDER).map_err(at(CUT_FOLDER))? {
            let path = disk::join(CUT_FOLDER, &name);
            if name.ends_with(".tmp") {
                self.disk().remove(&path).map_err(at(&path))?;
                continue;
            }
            let bytes = disk::read_file(self.disk(), &path, u64::MAX).map_err(at(&path))?;
            let digest = blake3::hash(&bytes).to_string();
            if rules.recovered().iter().any(|recovered| recovered.cut_digest == digest) {
                continue;
            }
            owed.push(Recovered {
                cut_file: name,
                cut_digest: digest,
                cut_bytes: bytes.len() as u64,
                kept_size: checkpoint.unverified().size.to_string(),
                kept_root: checkpoint.unverified().root.to_string(),
            });
        }
        Ok(owed)
    }
}
