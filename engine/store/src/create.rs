//! Creating a ledger: keys, genesis, first segment, HEAD, manifest.

use crate::disk::{self, Disk, replace_file};
use crate::environment::Environment;
use crate::segment::{self, FOLDER};
use crate::types::{Identity, NewLedger};
use counterfoil_format::frame::{BatchLabel, CommitSignature, FrameBuilder, FrameCommit, FrameStart, Stored};
use counterfoil_format::{
    ByteOffset, Generation, HEAD_FILE_LEN, HeadSlot, Manifest, ManifestEntry, SEGMENT_HEADER_LEN, SegmentHeader,
    SegmentId, SegmentState,
};
use counterfoil_proof::{
    CheckpointSigner, ClassId, Envelope, Frontier, Hash, Kind, LeafHash, LeafIndex, Media, Salt, SignedCheckpoint,
    StreamName, StreamSeq, Timestamp, TreeSize,
};
use counterfoil_rules::{GENESIS_KIND, Genesis, GenesisError, ledger_writer};
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _};
use std::io;
use zeroize::Zeroizing;

pub(crate) const KEY_FILE: &str = "checkpoint.pem";
pub(crate) const KEYS_FOLDER: &str = "keys";
pub(crate) const CUT_FOLDER: &str = "cut";
pub(crate) const REDO_FOLDER: &str = "redo";
/// Zeros written ahead in the first segment; later ones are prepared whole.
const FIRST_SEGMENT_ZEROS: u64 = 4 * 1024 * 1024;

/// Why a ledger was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// Caller: the directory holds something.
    #[error("the directory is not empty (it holds {found}); name a new or empty directory")]
    NotEmpty {
        /// First name found.
        found: String,
    },
    /// Caller: roots or threshold break their rules.
    #[error(transparent)]
    Genesis(#[from] GenesisError),
    /// Operator: the disk failed.
    #[error("creating the ledger failed; remove the directory and try again")]
    Io(#[from] io::Error),
}

/// Creates a ledger in an empty directory, durable when this returns. It is not opened.
///
/// # Errors
/// [`CreateError`]; after [`CreateError::Io`] the directory may hold part of a ledger.
pub fn create(environment: &Environment, new: &NewLedger) -> Result<Identity, CreateError> {
    let disk = &*environment.disk;
    let _lock = disk.lock()?;
    if let Some(found) = disk.list("")?.into_iter().find(|name| name != "LOCK") {
        return Err(CreateError::NotEmpty { found });
    }
    let seed = Zeroizing::new(environment.random::<32>()?);
    let signer = CheckpointSigner::new(new.origin.clone(), SigningKey::from_bytes(&seed));
    let genesis = Genesis {
        origin: new.origin.clone(),
        commitment: new.commitment,
        checkpoint_key: signer.verifier().clone(),
        roots: new.roots.iter().map(|root| root.key.clone()).collect(),
        root_threshold: new.root_threshold.unwrap_or_else(|| Genesis::default_threshold(new.roots.len())),
        release_delay: new.release_delay,
        created: environment.clock.wall(),
        random: environment.random()?,
    };
    let payload = genesis.to_payload()?;
    for (folder, private) in [(FOLDER, false), (KEYS_FOLDER, true), (CUT_FOLDER, true), (REDO_FOLDER, true)] {
        disk.create_dir(folder, private)?;
    }
    write_key(disk, &SigningKey::from_bytes(&seed))?;
    let ledger_id = write_first_segment(environment, &signer, &genesis, &payload)?;
    let manifest = Manifest {
        ledger_id,
        counter: 1,
        segments: vec![ManifestEntry {
            id: SegmentId(LeafIndex(0)),
            generation: Generation(0),
            state: SegmentState::Open,
        }],
        stream_indexes: Vec::new(),
    };
    replace_file(disk, "", "ledger.vkey", format!("{}\n", signer.verifier()).as_bytes())?;
    // The commit point: a directory without a manifest is no ledger, and creating one there is refused.
    replace_file(disk, "", "MANIFEST", &manifest.encode())?;
    Ok(Identity { ledger_id, checkpoint_key: signer.verifier().clone(), commitment: new.commitment })
}

fn write_key(disk: &dyn Disk, key: &SigningKey) -> io::Result<()> {
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|error| io::Error::other(error.to_string()))?;
    replace_file(disk, KEYS_FOLDER, KEY_FILE, pem.as_bytes())
}

/// Reads the checkpoint key of a ledger directory.
pub(crate) fn read_key(disk: &dyn Disk) -> io::Result<SigningKey> {
    let pem = Zeroizing::new(disk::read_file(disk, &disk::join(KEYS_FOLDER, KEY_FILE), 4096)?);
    let text = core::str::from_utf8(&pem).map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
    SigningKey::from_pkcs8_pem(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Writes the segment of index 0 with genesis, and HEAD.
fn write_first_segment(
    environment: &Environment,
    signer: &CheckpointSigner,
    genesis: &Genesis,
    payload: &[u8],
) -> io::Result<LeafHash> {
    let disk = &*environment.disk;
    let salt = Salt(environment.random()?);
    let envelope = genesis_envelope(genesis, &salt, payload);
    let ledger_id = envelope.leaf_hash();
    let nonce = environment.random()?;
    let start = FrameStart {
        nonce,
        first: LeafIndex(0),
        synced_through: TreeSize(0),
        time: envelope.time,
        control_seq: StreamSeq(0),
        prev: Hash::ZERO,
        control_head: Hash::ZERO,
        commitment: genesis.commitment,
    };
    let mut frame = FrameBuilder::new(start);
    frame.begin_batch(&envelope.writer, BatchLabel::None);
    frame.push(&envelope, Stored::Present { salt, payload });
    let mut tree = Frontier::empty();
    tree.push(ledger_id, |_, _| ());
    let frame = segment::pad(frame.finish(&commit(&signer.sign(tree.size(), tree.root()))));
    let header = SegmentHeader {
        nonce,
        ledger_id,
        last_time: Timestamp(0),
        control_seq: StreamSeq(0),
        prev: Hash::ZERO,
        control_head: Hash::ZERO,
        generation: Generation(0),
        frontier: Frontier::empty(),
        origin: genesis.origin.clone(),
    };
    let file = disk.create(&segment::segment_path(SegmentId(LeafIndex(0)), Generation(0)))?;
    disk::write_zeros(&*file, 0, FIRST_SEGMENT_ZEROS)?;
    file.write_all_at(&header.encode(), 0)?;
    file.write_all_at(&frame, SEGMENT_HEADER_LEN as u64)?;
    file.sync_all()?;
    disk.sync_dir(FOLDER)?;
    let head = HeadSlot {
        counter: 0,
        size: tree.size(),
        segment: SegmentId(LeafIndex(0)),
        offset: ByteOffset((SEGMENT_HEADER_LEN + frame.len()) as u64),
        root: tree.root(),
    };
    let mut slots = head.encode();
    slots.resize(HEAD_FILE_LEN, 0);
    replace_file(disk, "", "HEAD", &slots)?;
    Ok(ledger_id)
}

fn genesis_envelope(genesis: &Genesis, salt: &Salt, payload: &[u8]) -> Envelope {
    Envelope {
        index: LeafIndex(0),
        time: genesis.created,
        prev: Hash::ZERO,
        control_seq: StreamSeq(0),
        control_head: Hash::ZERO,
        stream: StreamName::control(),
        stream_seq: StreamSeq(0),
        stream_prev: Hash::ZERO,
        kind: Kind::new(GENESIS_KIND).expect("a constant name that keeps its rules"),
        class: ClassId::FOREVER,
        writer: ledger_writer(),
        writer_signature: None,
        closes_stream: false,
        media: Media::Json,
        links: Vec::new(),
        subject: None,
        commitment: genesis.commitment.commit(salt, payload),
    }
}

/// A signed checkpoint as the end of a frame.
pub(crate) fn commit(signed: &SignedCheckpoint) -> FrameCommit {
    let checkpoint = signed.unverified();
    let signatures = signed.note().signatures().iter().map(|line| CommitSignature {
        key_id: line.key_id,
        kind: counterfoil_proof::SignatureType::Ed25519,
        bytes: line.bytes.clone(),
    });
    FrameCommit { size: checkpoint.size, root: checkpoint.root, signatures: signatures.collect() }
}
