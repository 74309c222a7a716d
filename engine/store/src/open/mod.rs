//! Opening a ledger: from files to the state its threads begin with.

mod live;
mod refusal;
mod sealed;

pub(crate) use refusal::at;
pub use refusal::{Damage, OpenError, Refusal};
use refusal::{in_segment, refuse};

use crate::chain::{Chain, Tally};
use crate::control;
use crate::create::{CUT_FOLDER, REDO_FOLDER, read_key};
use crate::disk::{self, Disk};
use crate::environment::Environment;
use crate::keeper::SealJob;
use crate::planted::{PlantedBug, planted};
use crate::recovery;
use crate::repair;
use crate::sealed::SealedFiles;
use crate::segment::{self, FOLDER, Segment, State};
use crate::shared::Published;
use crate::streams::{RunFiles, Runs, Slots, Streams};
use crate::tree::Tree;
use crate::types::{Identity, Limits};
use crate::window::Window;
use counterfoil_format::frame::{FRAME_HEADER_LEN, Frame, FrameHeader, Stored};
use counterfoil_format::{
    ByteOffset, FormatError, HEAD_FILE_LEN, HEAD_SLOT_LEN, HeadSlot, Manifest, newest_slot, parse_segment_file_name,
    parse_stream_index_file_name,
};
use counterfoil_proof::{CheckpointSigner, SignedCheckpoint, TreeSize, VerifierKey};
use counterfoil_rules::{ControlReceipt, Recovered, Rules};
use std::any::Any;
use std::io;
use std::sync::Arc;

/// Cut files that a receipt records are kept for a person to look at, this long.
const CUT_KEPT_NANOS: u64 = 7 * 24 * 3600 * 1_000_000_000;
const MANIFEST_LEN_MAX: u64 = 256 * 1024 * 1024;

/// A ledger, opened.
pub(crate) struct Loaded {
    pub(crate) identity: Identity,
    pub(crate) published: Published,
    pub(crate) streams: Streams,
    pub(crate) run_files: Arc<RunFiles>,
    pub(crate) sealed_files: Arc<SealedFiles>,
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
pub(crate) fn load(environment: &Environment, mode: Mode, limits: &Limits) -> Result<Loaded, OpenError> {
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
    let genesis = genesis(disk, &manifest)?;
    let mut loader = Loader::new(environment, mode, manifest, head, genesis, limits.stream_heads_max);
    loader.load_sealed()?;
    loader.load_rules()?;
    loader.fill_window()?;
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

/// Removes temporary files, segments created by a roll that did not get as far as the manifest (those hold no frame), and
/// derived files that the manifest does not name.
fn remove_leftovers(disk: &dyn Disk, manifest: &Manifest) -> Result<(), OpenError> {
    for folder in ["", FOLDER] {
        for name in disk.list(folder).map_err(at(folder))? {
            let path = disk::join(folder, &name);
            if folder == FOLDER && is_unnamed_segment(&name, manifest) {
                let file = disk.open(&path, false).map_err(at(&path))?;
                let frames = ByteOffset(counterfoil_format::SEGMENT_HEADER_LEN as u64);
                if let Some((found, _)) = segment::nonzero_span(&*file, frames).map_err(at(&path))? {
                    return Err(refuse(path, found, Damage::Unnamed));
                }
            } else if !(name.ends_with(".tmp") || folder == FOLDER && is_unnamed_derived(&name, manifest)) {
                continue;
            }
            disk.remove(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

fn is_unnamed_segment(name: &str, manifest: &Manifest) -> bool {
    parse_segment_file_name(name).is_some_and(|(id, generation)| {
        !manifest.segments.iter().any(|entry| entry.id == id && entry.generation == generation)
    })
}

fn is_unnamed_derived(name: &str, manifest: &Manifest) -> bool {
    let is_index = |(first, end)| !manifest.stream_indexes.iter().any(|entry| entry.first == first && entry.end == end);
    let of_segment = |name: &str| is_unnamed_segment(&format!("{name}.seg"), manifest);
    parse_stream_index_file_name(name).is_some_and(is_index) || name.strip_suffix(".leaves").is_some_and(of_segment)
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

/// The rules at index 0: from the copies of control receipts, or else from the first segment. The leaf hash of index 0 is
/// the ledger's id, so both are checked by it.
fn genesis(disk: &dyn Disk, manifest: &Manifest) -> Result<Rules, OpenError> {
    let copy = control::read_first(disk).filter(|copy| copy.envelope.leaf_hash() == manifest.ledger_id);
    if let Some(copy) = copy {
        return Ok(Rules::begin(ControlReceipt { envelope: &copy.envelope, payload: &copy.payload })?);
    }
    let entry = manifest.segments[0];
    let path = segment::segment_path(entry.id, entry.generation);
    let unreadable = |error: io::Error| in_segment(&path)(error.into());
    let file = disk.open(&path, false).map_err(unreadable)?;
    let offset = ByteOffset(counterfoil_format::SEGMENT_HEADER_LEN as u64);
    let damaged = |error| refuse(&path, offset, error);
    let header = disk::read_exact(&*file, offset.0, FRAME_HEADER_LEN).map_err(unreadable)?;
    let header = FrameHeader::decode(&header).map_err(damaged)?;
    let bytes = disk::read_exact(&*file, offset.0, header.frame_len).map_err(unreadable)?;
    // The first frame holds genesis and nothing else.
    let frame = Frame::decode(&bytes).map_err(damaged)?;
    let genesis = &frame.entries()[0];
    if genesis.leaf != manifest.ledger_id {
        let rule = "the leaf hash of index 0 is the ledger id of the manifest";
        return Err(damaged(FormatError::NotCanonical { rule }));
    }
    let Stored::Present { payload, .. } = genesis.stored else {
        return Err(damaged(FormatError::NotCanonical { rule: "genesis is never erased" }));
    };
    Ok(Rules::begin(ControlReceipt { envelope: &genesis.envelope, payload })?)
}

struct Loader<'a> {
    environment: &'a Environment,
    mode: Mode,
    manifest: Manifest,
    head: Option<HeadSlot>,
    run_files: Arc<RunFiles>,
    sealed_files: Arc<SealedFiles>,
    segments: Vec<Arc<Segment>>,
    /// The end of the last sealed segment, or the beginning of the ledger.
    chain: Option<Chain>,
    tree: Tree,
    slots: Slots,
    /// Streams that have a receipt.
    streams: u64,
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
        manifest: Manifest,
        head: Option<HeadSlot>,
        genesis: Rules,
        stream_heads_max: usize,
    ) -> Self {
        let writable = mode == Mode::Write;
        let (disk, key) = (environment.disk.clone(), genesis.genesis().checkpoint_key.clone());
        Self {
            environment,
            mode,
            mark: head.map_or(TreeSize(0), |head| head.size),
            head,
            run_files: Arc::new(RunFiles::new(disk.clone(), manifest.ledger_id, writable)),
            sealed_files: Arc::new(SealedFiles::new(disk, manifest.ledger_id, key, writable)),
            segments: Vec::new(),
            chain: None,
            tree: Tree::default(),
            slots: Slots::new(stream_heads_max),
            streams: manifest.stream_indexes.iter().fold(0, |sum, index| index.streams_begun.saturating_add(sum)),
            manifest,
            window: Window::default(),
            rules: Some(genesis),
            checkpoint: None,
            active: None,
            unsealed: Vec::new(),
        }
    }

    fn disk(&self) -> &'a dyn Disk {
        &*self.environment.disk
    }

    fn rules(&self) -> &Rules {
        self.rules.as_ref().expect("genesis is loaded first")
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
        let runs = Runs::of_manifest(&self.manifest, &self.run_files);
        Ok(Loaded {
            identity,
            published,
            streams: Streams::new(self.slots, runs, self.streams),
            run_files: self.run_files,
            sealed_files: self.sealed_files,
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
            let State::Sealed(sealed) = &segment.state else { continue };
            let Ok(parts) = sealed.parts() else { continue };
            for (_, offset) in parts.leaves.frames.iter().rev() {
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

    /// Cut files that no receipt records yet. Old ones that a receipt records are removed.
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
            if let Some(recorded) = rules.recovered_at(&digest) {
                if self.environment.clock.wall().0.saturating_sub(recorded.0) > CUT_KEPT_NANOS {
                    self.disk().remove(&path).map_err(at(&path))?;
                }
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
