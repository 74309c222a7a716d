//! Opening a ledger: from files to the state its threads begin with.

use crate::admit::{Fields, Fingerprinter};
use crate::chain::{Chain, Tally};
use crate::create::{CUT_FOLDER, read_key};
use crate::disk::{self, Disk, DiskFile};
use crate::environment::Environment;
use crate::heads::StreamHeads;
use crate::keeper::{self, SealJob};
use crate::recovery::{self, Decision, Evidence, Scan, Tail};
use crate::repair;
use crate::segment::{self, FOLDER, Segment, SegmentError, State};
use crate::shared::{Published, segment_of};
use crate::tree::{Place, Tree};
use crate::types::{AppendedReceipt, BatchId, Identity};
use crate::window::{Answer, Remembered, Window};
use counterfoil_format::frame::{BatchLabel, Frame, Stored};
use counterfoil_format::{
    ByteOffset, FormatError, HEAD_FILE_LEN, HeadSlot, LEAF_BLOCK, Manifest, ManifestEntry, SegmentFooter, SegmentId,
    SegmentState, newest_slot, parse_segment_file_name,
};
use counterfoil_proof::{
    CheckpointSigner, Frontier, Hash, LeafHash, LeafIndex, NodeCoordinate, SignedCheckpoint, StreamName, TreeSize,
    VerifierKey,
};
use counterfoil_rules::{ControlReceipt, Recovered, Rules, Violation};
use std::any::Any;
use std::io;
use std::sync::Arc;

const MANIFEST_LEN_MAX: u64 = 256 * 1024 * 1024;

/// Why a ledger was not opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Caller: no ledger in the directory.
    #[error("there is no ledger here (no MANIFEST); create one with `counterfoil init`")]
    NotALedger,
    /// Operator: another process has it open.
    #[error(
        "another process has this ledger open; one process writes a ledger, stop the other or name another directory"
    )]
    Locked,
    /// Operator: what is on disk is not what was acknowledged.
    #[error("refused to open for appending: {0}")]
    Refused(#[from] Box<Refusal>),
    /// Operator: the ledger has rules that this version cannot follow.
    #[error("the rules in the ledger are broken or newer than this version")]
    Rules(#[from] Violation),
    /// Operator: what recovery did could not be recorded in the ledger.
    #[error("the recovery could not be recorded")]
    Recording(#[source] Box<crate::error::AppendError>),
    /// Operator: the disk failed.
    #[error("{path}: reading or writing failed")]
    Io {
        /// Path in the ledger directory.
        path: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// Damage that recovery may not repair.
#[derive(Debug, thiserror::Error)]
#[error("{path}, offset {offset}: {damage}; {next}", next = NEXT_STEP)]
pub struct Refusal {
    /// File in the ledger directory.
    pub path: String,
    /// Where in it.
    pub offset: ByteOffset,
    /// What is wrong there.
    pub damage: Damage,
}

const NEXT_STEP: &str = "run `counterfoil-verify ledger` on the directory to see what is intact, restore the file from a \
                         backup, or serve what verifies with `serve --read-only`";

/// What is wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// The bytes are not what they should be.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// A file that the manifest names does not exist.
    #[error("expected a file, found none")]
    Missing,
    /// A file has another length than the manifest states.
    #[error("expected {expected} bytes, found {found}")]
    Length {
        /// Bytes the manifest states.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A segment does not continue where the one before it ends.
    #[error(
        "expected a segment that continues at receipt {expected}, found one that begins at {found} or with another history"
    )]
    Discontinuous {
        /// Receipts before it.
        expected: TreeSize,
        /// Receipts it says are before it.
        found: TreeSize,
    },
    /// Acknowledged receipts are gone.
    #[error("expected {mark} receipts known durable, found {kept} intact")]
    BelowMark {
        /// The durable mark.
        mark: TreeSize,
        /// Receipts found.
        kept: TreeSize,
    },
    /// The last segment of the manifest is sealed in truth: the manifest is older than the segments.
    #[error("expected the segment that is written to, found a sealed one; MANIFEST is older than the segments")]
    SealedLast,
    /// The frames of a sealed segment end before its footer.
    #[error("expected a frame or the footer, found other bytes")]
    BeforeFooter,
    /// A file the manifest does not name holds receipts.
    #[error("expected no such segment, found one with receipts that the manifest does not name")]
    Unnamed,
    /// The private key is not that of genesis.
    #[error("expected the key {expected}, found another or none")]
    Key {
        /// Key in genesis.
        expected: VerifierKey,
    },
}

fn refuse(path: impl Into<String>, offset: ByteOffset, damage: impl Into<Damage>) -> OpenError {
    OpenError::Refused(Box::new(Refusal { path: path.into(), offset, damage: damage.into() }))
}

pub(crate) fn at(path: &str) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::Io { path: path.clone(), source }
}

fn in_segment(path: &str) -> impl Fn(SegmentError) -> OpenError {
    let path = path.to_owned();
    move |error| match error {
        SegmentError::Io(source) if source.kind() == io::ErrorKind::NotFound => {
            refuse(path.clone(), ByteOffset(0), Damage::Missing)
        }
        SegmentError::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
            refuse(path.clone(), ByteOffset(0), FormatError::Truncated)
        }
        SegmentError::Io(source) => OpenError::Io { path: path.clone(), source },
        SegmentError::Damaged { offset, error } => refuse(path.clone(), offset, error),
    }
}

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

    fn load_sealed(&mut self) -> Result<(), OpenError> {
        let sealed: Vec<ManifestEntry> =
            self.manifest.segments.iter().copied().filter(|entry| entry.state != SegmentState::Open).collect();
        for entry in sealed {
            let footer = self.load_sealed_segment(entry)?;
            self.chain = Some(Chain::at_footer(&footer));
        }
        self.build_tree()
    }

    fn load_sealed_segment(&mut self, entry: ManifestEntry) -> Result<SegmentFooter, OpenError> {
        let SegmentState::Sealed { end, file_len, file_digest } = entry.state else {
            unreachable!("only sealed entries are handed in")
        };
        let path = segment::segment_path(entry.id, entry.generation);
        let file = self.disk().open(&path, false).map_err(|error| in_segment(&path)(error.into()))?;
        let found = file.len().map_err(at(&path))?;
        if found != file_len {
            return Err(refuse(path, ByteOffset(found.min(file_len)), Damage::Length { expected: file_len, found }));
        }
        let (footer, footer_at) = segment::read_footer(&*file).map_err(in_segment(&path))?;
        let agrees = footer.first == entry.id.0 && footer.frontier.size() == end && footer.file_digest == file_digest;
        if !agrees {
            let rule = "the footer is the one the manifest pins";
            return Err(refuse(path, footer_at, FormatError::NotCanonical { rule }));
        }
        let (leaves, leaf_file) = self.leaf_file(entry, &*file, &path)?;
        let state = State::Sealed { leaves, leaf_file, file_len };
        let segment = Arc::new(Segment { id: entry.id, generation: entry.generation, file, state });
        self.segments.push(segment.clone());
        self.load_heads(&segment).map_err(in_segment(&path))?;
        self.load_controls(&segment, &footer)?;
        Ok(footer)
    }

    /// The leaf file of a segment; rebuilt from the segment when it is missing or damaged.
    fn leaf_file(
        &self,
        entry: ManifestEntry,
        file: &dyn DiskFile,
        path: &str,
    ) -> Result<(counterfoil_format::LeafFileHead, Arc<dyn DiskFile>), OpenError> {
        if let Ok(found) = segment::open_leaf_file(self.disk(), entry.id, entry.generation)
            && found.0.ledger_id == self.manifest.ledger_id
        {
            return Ok(found);
        }
        let mut leaves = Vec::new();
        let key = &self.rules().genesis().checkpoint_key;
        let scan = recovery::scan(file, key, None, |frame, _| {
            leaves.extend(frame.entries().iter().map(|entry| entry.leaf));
        })
        .map_err(in_segment(path))?;
        if scan.tail != Tail::Footer {
            return Err(refuse(path, scan.end, Damage::BeforeFooter));
        }
        let frames: Vec<_> = scan.frames.iter().map(|frame| (frame.first, frame.at)).collect();
        let bytes =
            counterfoil_format::LeafFile::encode(self.manifest.ledger_id, entry.id, entry.generation, &frames, &leaves);
        let leaves_path = segment::leaves_path(entry.id, entry.generation);
        if self.mode == Mode::ReadOnly {
            return keeper::leaf_file_in_memory(bytes).map_err(in_segment(&leaves_path));
        }
        keeper::write_leaf_file(self.disk(), entry.id, entry.generation, &bytes).map_err(at(&leaves_path))?;
        segment::open_leaf_file(self.disk(), entry.id, entry.generation).map_err(in_segment(&leaves_path))
    }

    /// Takes in the streams of a sealed segment.
    fn load_heads(&mut self, segment: &Segment) -> Result<(), SegmentError> {
        let State::Sealed { leaves, .. } = &segment.state else { unreachable!("only sealed segments are handed in") };
        for (first, offset) in leaves.frames.clone() {
            let frame = segment.frame_index(offset)?;
            let hashes = segment.leaves(first, frame.header().receipts as u64)?;
            for (place, leaf) in hashes.iter().enumerate() {
                let damaged = |error| SegmentError::Damaged { offset, error };
                let (stream, seq, closes) = frame.stream_of(place).map_err(damaged)?;
                let index = LeafIndex(first.0 + place as u64);
                if !stream.is_control() {
                    self.heads.advance(stream, index, seq, *leaf, closes);
                }
            }
        }
        Ok(())
    }

    /// Folds the control receipts of a sealed segment.
    fn load_controls(&mut self, segment: &Arc<Segment>, footer: &SegmentFooter) -> Result<(), OpenError> {
        let path = segment::segment_path(segment.id, segment.generation);
        for index in footer.control_indices.iter().filter(|index| index.0 > 0) {
            let leaf_of = |at: LeafIndex| segment_of(&self.segments, at).leaves(at, 1).map(|leaves| leaves[0]);
            let receipt = crate::read::receipt_in(segment, *index, leaf_of).map_err(|fault| match fault {
                crate::read::Fault::Io(error) => at(&path)(error),
                crate::read::Fault::Damaged { offset, what } => {
                    refuse(&path, offset, FormatError::NotCanonical { rule: what })
                }
            })?;
            let Some(content) = receipt.content else {
                let rule = "control receipts are never erased";
                return Err(refuse(path, ByteOffset(0), FormatError::NotCanonical { rule }));
            };
            self.fold(ControlReceipt { envelope: &receipt.envelope, payload: &content.payload })?;
        }
        Ok(())
    }

    fn fold(&mut self, receipt: ControlReceipt<'_>) -> Result<(), OpenError> {
        if receipt.envelope.index.0 > 0 {
            let rules = self.rules.take().expect("genesis is loaded first");
            self.rules = Some(rules.apply(receipt)?);
        }
        Ok(())
    }

    /// The tree over all sealed segments, from the nodes in their leaf files.
    fn build_tree(&mut self) -> Result<(), OpenError> {
        let end = self.chain.as_ref().map_or(0, |chain| chain.frontier.size().0);
        let mut nodes = Vec::new();
        let mut known: Vec<(u64, Hash)> = Vec::new();
        for segment in &self.segments {
            if let State::Sealed { leaves, .. } = &segment.state {
                let first = leaves.first_node().index;
                known.extend(leaves.nodes.iter().enumerate().map(|(at, node)| (first + at as u64, *node)));
            }
        }
        let mut known = known.into_iter().peekable();
        for block in 0..end / LEAF_BLOCK {
            let node = match known.next_if(|(at, _)| *at == block) {
                Some((_, node)) => node,
                None => {
                    let leaves = self.sealed_leaves(block * LEAF_BLOCK, LEAF_BLOCK)?;
                    crate::tree::node_of_block(&leaves, NodeCoordinate { level: 8, index: block })
                }
            };
            nodes.push(node);
        }
        self.tree = Tree::over_leaf_files(nodes);
        let mut frontier = self.frontier_of_tree();
        let first = frontier.size().0;
        for leaf in self.sealed_leaves(first, end - first)? {
            frontier.push(leaf, |at, node| self.tree.push(at, node));
        }
        if let Some(chain) = &self.chain
            && chain.frontier != frontier
        {
            let last = self.segments.last().expect("there is a sealed segment");
            let path = segment::leaves_path(last.id, last.generation);
            let rule = "leaf files lead to the tree of the footer; delete the .leaves files, they are rebuilt";
            return Err(refuse(path, ByteOffset(0), FormatError::NotCanonical { rule }));
        }
        Ok(())
    }

    fn frontier_of_tree(&self) -> Frontier {
        let size = self.tree.size();
        let mut start = 0u64;
        let mut peaks = Vec::new();
        for level in (0..64u8).rev().filter(|level| size.0 >> level & 1 == 1) {
            match self.tree.locate(NodeCoordinate { level, index: start >> level }) {
                Place::Known(node) => peaks.push(node),
                Place::Block(_) => unreachable!("a tree over whole blocks has its peaks in memory"),
            }
            start += 1 << level;
        }
        Frontier::from_peaks(size, peaks).expect("one peak was taken for each set bit")
    }

    /// Leaf hashes of sealed segments.
    fn sealed_leaves(&self, first: u64, count: u64) -> Result<Vec<LeafHash>, OpenError> {
        let mut out = Vec::new();
        let mut next = first;
        while next < first + count {
            let segment = segment_of(&self.segments, LeafIndex(next));
            let State::Sealed { leaves, .. } = &segment.state else { unreachable!("only sealed segments are loaded") };
            let end = leaves.indices().end.min(first + count);
            let path = segment::leaves_path(segment.id, segment.generation);
            out.extend(segment.leaves(LeafIndex(next), end - next).map_err(in_segment(&path))?);
            next = end;
        }
        Ok(out)
    }

    fn load_open(&mut self) -> Result<(), OpenError> {
        let open: Vec<ManifestEntry> =
            self.manifest.segments.iter().copied().filter(|entry| entry.state == SegmentState::Open).collect();
        for entry in open {
            let next = self.manifest.segments.iter().find(|next| next.id > entry.id).map(|next| next.id);
            self.load_open_segment(entry, next)?;
        }
        Ok(())
    }

    fn load_open_segment(&mut self, entry: ManifestEntry, next: Option<SegmentId>) -> Result<(), OpenError> {
        let path = segment::segment_path(entry.id, entry.generation);
        let writable = self.mode == Mode::Write;
        let file = self.disk().open(&path, writable).map_err(|error| in_segment(&path)(error.into()))?;
        let mut scan = self.scan_open(entry, &*file, &path)?;
        let kept = scan.chain.frontier.size();
        self.mark = self.mark.max(scan.mark);
        let short = next.is_some_and(|next| next.0 != kept.next_index());
        let below_mark = kept < self.mark.min(next.map_or(self.mark, |next| TreeSize(next.0.0))) || short;
        let evidence = Evidence { tail: scan.tail, below_mark, last_segment: next.is_none() };
        let decision = evidence.decide();
        match (decision, self.mode) {
            (Decision::Accept, _) | (_, Mode::ReadOnly) => {}
            (Decision::Cut, Mode::Write) => repair::cut(self.disk(), &*file, entry.id, &scan, self.signing_key())?,
            (Decision::RefuseBelowMark, Mode::Write) => {
                let mark = self.mark.max(next.map_or(TreeSize(0), |next| TreeSize(next.0.0)));
                return Err(refuse(path, scan.end, Damage::BelowMark { mark, kept }));
            }
            (Decision::RefuseSealedLast, Mode::Write) => {
                return Err(refuse(path, scan.end, Damage::SealedLast));
            }
        }
        if self.mode == Mode::ReadOnly {
            self.forget_above_mark(&mut scan);
        } else if next.is_none() && self.head.is_some_and(|head| kept > head.size) {
            self.rewrite_above_mark(entry, &path, &*file, &scan)?;
        }
        let segment = Segment::open(entry.id, entry.generation, file);
        for frame in &scan.frames {
            segment.add_frame(frame.first, frame.at);
            self.checkpoint = Some(Arc::new(frame.checkpoint.clone()));
        }
        let segment = Arc::new(segment);
        self.segments.push(segment.clone());
        self.chain = Some(scan.chain.clone());
        let (end, chain, tally) = (scan.end, scan.chain, scan.tally);
        match next {
            Some(_) => self.unsealed.push(SealJob { segment, end, chain, tally, done: None }),
            None => self.active = Some(ActiveTail { nonce: scan.header.nonce, end, tally }),
        }
        Ok(())
    }

    fn signing_key(&self) -> &VerifierKey {
        &self.rules().genesis().checkpoint_key
    }

    /// Scans an open segment and takes in its receipts.
    fn scan_open(&mut self, entry: ManifestEntry, file: &dyn DiskFile, path: &str) -> Result<Scan, OpenError> {
        let header = segment::read_header(file).map_err(in_segment(path))?;
        let expected = self.chain.clone().unwrap_or_else(|| Chain::at_header(&header));
        let belongs = header.id() == entry.id
            && header.generation == entry.generation
            && (header.ledger_id == self.manifest.ledger_id)
            && Chain::at_header(&header) == expected;
        if !belongs {
            let damage = Damage::Discontinuous { expected: expected.frontier.size(), found: header.frontier.size() };
            return Err(refuse(path, ByteOffset(0), damage));
        }
        let mut frontier = header.frontier.clone();
        let (key, head) = (self.signing_key().clone(), self.head);
        let mut fault = None;
        let scan = recovery::scan(file, &key, head.as_ref(), |frame, checkpoint| {
            if fault.is_none() {
                fault = self.take_frame(frame, checkpoint, &mut frontier).err();
            }
        })
        .map_err(in_segment(path))?;
        match fault {
            Some(error) => Err(error),
            None => Ok(scan),
        }
    }

    fn take_frame(
        &mut self,
        frame: &Frame<'_>,
        checkpoint: &SignedCheckpoint,
        frontier: &mut Frontier,
    ) -> Result<(), OpenError> {
        for entry in frame.entries() {
            let envelope = &entry.envelope;
            frontier.push(entry.leaf, |at, node| self.tree.push(at, node));
            match entry.stored {
                Stored::Present { payload, .. } if envelope.is_control() => {
                    self.fold(ControlReceipt { envelope, payload })?;
                }
                _ if envelope.is_control() => {}
                _ => self.heads.advance(
                    &envelope.stream,
                    envelope.index,
                    envelope.stream_seq,
                    entry.leaf,
                    envelope.closes_stream,
                ),
            }
        }
        self.remember_batches(frame, checkpoint);
        Ok(())
    }

    fn remember_batches(&mut self, frame: &Frame<'_>, checkpoint: &SignedCheckpoint) {
        let checkpoint = Arc::new(checkpoint.clone());
        let mut entries = frame.entries();
        for batch in frame.batches() {
            let (mine, rest) = entries.split_at(batch.receipts);
            entries = rest;
            let id = match batch.label {
                BatchLabel::None => continue,
                BatchLabel::Request(id) => BatchId::Request(id),
                BatchLabel::Session { session, number } => BatchId::Session { session, number },
            };
            let key = (mine[0].envelope.writer.clone(), id);
            if self.window.get(&key).is_some() {
                continue;
            }
            let mut fingerprint = Some(Fingerprinter::new(self.fingerprint_key));
            for entry in mine {
                match (&entry.stored, &mut fingerprint) {
                    (Stored::Present { payload, .. }, Some(print)) => print.add(&fields(&entry.envelope, payload)),
                    _ => fingerprint = None,
                }
            }
            let receipts = mine.iter().map(|entry| AppendedReceipt {
                index: entry.envelope.index,
                stream_seq: entry.envelope.stream_seq,
                leaf: entry.leaf,
            });
            let answer = Answer {
                receipts: receipts.collect(),
                time: frame.header().start.time,
                checkpoint: checkpoint.clone(),
            };
            let fingerprint = fingerprint.map(Fingerprinter::finish);
            self.window.insert(key, Remembered { fingerprint, answer: Arc::new(answer) });
        }
    }

    /// A reader that cannot make frames durable serves none above the mark.
    fn forget_above_mark(&mut self, scan: &mut Scan) {
        while scan.frames.last().is_some_and(|last| last.end > self.mark) {
            scan.frames.pop();
        }
    }

    /// Frames above the mark may be in the page cache only: a sync may have failed under them. They are made durable
    /// again, and HEAD says so, before anything is published.
    fn rewrite_above_mark(
        &mut self,
        entry: ManifestEntry,
        path: &str,
        file: &dyn DiskFile,
        scan: &Scan,
    ) -> Result<(), OpenError> {
        let head = self.head.expect("only called with HEAD");
        if let Some(first) = scan.frames.iter().find(|frame| frame.end > self.mark) {
            repair::rewrite(self.disk(), entry.id, entry.generation, file, first.at, scan.end)?;
        }
        let slot = HeadSlot {
            counter: head.counter + 1,
            size: scan.chain.frontier.size(),
            segment: entry.id,
            offset: scan.end,
            root: scan.chain.frontier.root(),
        };
        let head_file = self.disk().open("HEAD", true).map_err(at("HEAD"))?;
        head_file.write_all_at(&slot.encode(), slot.position().0).map_err(at("HEAD"))?;
        head_file.sync_data().map_err(at("HEAD"))?;
        self.mark = slot.size;
        repair::forget_rewrite(self.disk()).map_err(at(path))
    }

    fn finish(mut self, lock: Box<dyn Any + Send + Sync>) -> Result<Loaded, OpenError> {
        let (chain, active) = match (self.chain.take(), self.active.take()) {
            (Some(chain), Some(active)) => (chain, active),
            _ => {
                let rule = "the last segment of the manifest is open";
                return Err(refuse("MANIFEST", ByteOffset(0), FormatError::NotCanonical { rule }));
            }
        };
        let checkpoint = match self.checkpoint.take() {
            Some(checkpoint) => checkpoint,
            None => Arc::new(self.last_sealed_checkpoint()?),
        };
        let size = checkpoint.unverified().size;
        if self.mode == Mode::Write && size < self.mark {
            return Err(refuse("HEAD", ByteOffset(0), Damage::BelowMark { mark: self.mark, kept: size }));
        }
        let rules = self.rules.take().expect("genesis is loaded first");
        let genesis = rules.genesis().clone();
        let signer = if self.mode == Mode::Write { Some(self.signer(&genesis.checkpoint_key)?) } else { None };
        let head = read_head(self.disk(), self.mode)?;
        let identity = Identity {
            ledger_id: self.manifest.ledger_id,
            checkpoint_key: genesis.checkpoint_key.clone(),
            commitment: genesis.commitment,
        };
        let owed = if self.mode == Mode::Write { self.owed(&rules, &checkpoint)? } else { Vec::new() };
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

    /// When the last segment holds no frame yet, the latest checkpoint ends the segment before it.
    fn last_sealed_checkpoint(&self) -> Result<SignedCheckpoint, OpenError> {
        let sealed = self.segments.iter().rev().find(|segment| matches!(segment.state, State::Sealed { .. }));
        let segment = sealed.ok_or_else(|| refuse(FOLDER, ByteOffset(0), Damage::Missing))?;
        let path = segment::segment_path(segment.id, segment.generation);
        let mut last = None;
        let key = self.signing_key();
        recovery::scan(&*segment.file, key, None, |_, checkpoint| last = Some(checkpoint.clone()))
            .map_err(in_segment(&path))?;
        last.ok_or_else(|| refuse(path, ByteOffset(0), FormatError::Truncated))
    }

    fn signer(&self, expected: &VerifierKey) -> Result<CheckpointSigner, OpenError> {
        let wrong = || refuse("keys/checkpoint.pem", ByteOffset(0), Damage::Key { expected: expected.clone() });
        let key = read_key(self.disk()).map_err(|_| wrong())?;
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

fn fields<'e>(envelope: &'e counterfoil_proof::Envelope, payload: &'e [u8]) -> Fields<'e> {
    Fields {
        stream: StreamName::as_str(&envelope.stream),
        kind: envelope.kind.as_str(),
        class: envelope.class.0,
        media: envelope.media.byte(),
        closes_stream: envelope.closes_stream,
        subject: envelope.subject.map(|subject| subject.0),
        links: &envelope.links,
        payload,
    }
}
