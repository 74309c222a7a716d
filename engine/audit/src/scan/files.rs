//! The small files of a ledger directory: MANIFEST, HEAD, ledger.vkey, and what else lies there.

use crate::error::AuditError;
use crate::report::{Code, Finding};
use crate::source::{Source, SourceFile};
use counterfoil_format::{
    ByteOffset, Generation, HEAD_FILE_LEN, HEAD_SLOT_LEN, HeadSlot, Manifest, ManifestEntry, SEGMENT_HEADER_LEN,
    SegmentId, SegmentState, leaves_file_name, parse_segment_file_name, segment_file_name,
};
use counterfoil_proof::LeafHash;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

const MANIFEST: &str = "MANIFEST";
const HEAD: &str = "HEAD";
const VKEY: &str = "ledger.vkey";
const SEGMENTS: &str = "segments";
const REDO: &str = "redo";
const MANIFEST_LEN_MAX: u64 = 256 * 1024 * 1024;
const VKEY_LEN_MAX: u64 = 4096;
const CHUNK: usize = 1024 * 1024;

/// Path of a file in the folder of segments.
pub(super) fn segment_path(name: &str) -> String {
    format!("{SEGMENTS}/{name}")
}

/// A file that could not be read is no verdict.
pub(super) fn io(path: &str) -> impl FnOnce(std::io::Error) -> AuditError {
    let path = path.to_owned();
    move |source| AuditError::Io { path, source }
}

/// Opens a file; `None` when there is none.
pub(super) fn open(source: &dyn Source, path: &str) -> Result<Option<Box<dyn SourceFile>>, AuditError> {
    match source.open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(path)(error)),
    }
}

/// Reads at most `len_max` bytes of a small file; `None` when there is no such file.
fn read_small(source: &dyn Source, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, AuditError> {
    let Some(file) = open(source, path)? else { return Ok(None) };
    let len = file.len().map_err(io(path))?.min(len_max);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0).map_err(io(path))?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Offset of the first byte in a part of a file that is not zero, and of the last.
pub(super) fn not_zero(
    file: &dyn SourceFile,
    path: &str,
    from: u64,
    to: u64,
) -> Result<Option<(u64, u64)>, AuditError> {
    let chunk = usize::try_from(to.saturating_sub(from)).unwrap_or(CHUNK).min(CHUNK);
    let mut buffer = vec![0; chunk];
    let mut found: Option<(u64, u64)> = None;
    let mut at = from;
    while at < to {
        let want = usize::try_from(to - at).unwrap_or(chunk).min(chunk);
        let read = file.read_at(&mut buffer[..want], at).map_err(io(path))?;
        if read == 0 {
            break;
        }
        let (bytes, is_set) = (&buffer[..read], |byte: &u8| *byte != 0);
        // Comparing whole runs is many times faster than looking at bytes, and nearly all of them are zero.
        if bytes != &ZEROS[..read]
            && let Some(first) = bytes.iter().position(is_set)
        {
            let last = bytes.iter().rposition(is_set).unwrap_or(first);
            found = Some((found.map_or(at + first as u64, |(first, _)| first), at + last as u64));
        }
        at += read as u64;
    }
    Ok(found)
}

/// The two slots of HEAD, newest first, and what is wrong with them.
pub(super) struct Head {
    pub(super) slots: Vec<HeadSlot>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn read_head(source: &dyn Source) -> Result<Head, AuditError> {
    let Some(mut bytes) = read_small(source, HEAD, HEAD_FILE_LEN as u64 + 1)? else {
        let finding = Finding::new(Code::Head, "HEAD is missing: which receipts were durable is not known");
        return Ok(Head { slots: Vec::new(), findings: vec![finding] });
    };
    let len = bytes.len();
    bytes.resize(len.max(HEAD_FILE_LEN), 0);
    let mut slots = Vec::new();
    let mut problems = Vec::new();
    for at in [0, HEAD_SLOT_LEN] {
        let slot = &bytes[at..at + HEAD_SLOT_LEN];
        match HeadSlot::decode(slot, ByteOffset(at as u64)) {
            Ok(slot) if slot.size.0 <= super::chain::TREE_SIZE_MAX => slots.push(slot),
            Ok(slot) => problems.push(format!("the slot at {at} states the impossible size {}", slot.size)),
            // A slot that was never written.
            Err(_) if slot.iter().all(|byte| *byte == 0) => {}
            Err(error) => problems.push(format!("the slot at {at}: {error}")),
        }
    }
    slots.sort_by_key(|slot| core::cmp::Reverse(slot.counter));
    if len != HEAD_FILE_LEN {
        problems.push(format!("the file has {len} bytes, two slots have {HEAD_FILE_LEN}"));
    }
    let findings = if slots.is_empty() {
        let why = problems.first().cloned().unwrap_or_else(|| "both slots are empty".to_owned());
        vec![Finding::new(Code::Head, format!("no slot of HEAD is readable ({why}): what was durable is not known"))]
    } else {
        let weaker = |why| format!("one slot of HEAD is damaged ({why}); the durable mark may be an older one");
        problems.into_iter().map(|why| Finding::new(Code::HeadSlot, weaker(why))).collect()
    };
    Ok(Head { slots, findings })
}

/// The segments to read, oldest first.
pub(super) struct Segments {
    pub(super) entries: Vec<ManifestEntry>,
    pub(super) ledger_id: Option<LeafHash>,
    pub(super) findings: Vec<Finding>,
}

pub(super) fn read_segments(source: &dyn Source) -> Result<Segments, AuditError> {
    let problem = match read_small(source, MANIFEST, MANIFEST_LEN_MAX)? {
        None => "MANIFEST is missing".to_owned(),
        Some(bytes) => match Manifest::decode(&bytes) {
            Ok(manifest) if manifest.segments.iter().all(is_plausible) => {
                let ledger_id = Some(manifest.ledger_id);
                return Ok(Segments { entries: manifest.segments, ledger_id, findings: Vec::new() });
            }
            Ok(_) => "MANIFEST states impossible sizes".to_owned(),
            Err(error) => format!("MANIFEST is damaged: {error}"),
        },
    };
    let message = format!("{problem}; the segments were taken from the names in {SEGMENTS}/ and are not pinned");
    let entries = newest_generations(&list(source, SEGMENTS)?);
    Ok(Segments { entries, ledger_id: None, findings: vec![Finding::new(Code::Manifest, message)] })
}

fn is_plausible(entry: &ManifestEntry) -> bool {
    let end = match entry.state {
        SegmentState::Open => 0,
        SegmentState::Sealed { end, .. } => end.0,
    };
    entry.id.0.0.max(end) <= super::chain::TREE_SIZE_MAX
}

/// Without a manifest: the highest generation of every segment there is.
fn newest_generations(names: &[String]) -> Vec<ManifestEntry> {
    let mut newest: BTreeMap<SegmentId, Generation> = BTreeMap::new();
    for (id, generation) in names.iter().filter_map(|name| parse_segment_file_name(name)) {
        let known = newest.entry(id).or_insert(generation);
        *known = generation.max(*known);
    }
    let entry = |(id, generation)| ManifestEntry { id, generation, state: SegmentState::Open };
    newest.into_iter().map(entry).filter(is_plausible).collect()
}

fn list(source: &dyn Source, folder: &str) -> Result<Vec<String>, AuditError> {
    match source.list(folder) {
        Ok(mut names) => {
            names.sort();
            Ok(names)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(io(folder)(error)),
    }
}

/// Refuses a directory that holds nothing of a ledger: a wrong path is a mistake, not a verdict.
pub(super) fn check_is_ledger(source: &dyn Source) -> Result<(), AuditError> {
    match source.list("") {
        Ok(names) if [MANIFEST, HEAD, SEGMENTS].iter().any(|part| names.iter().any(|name| name == part)) => Ok(()),
        Ok(_) => Err(AuditError::NotALedger),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(AuditError::NoDirectory)
        }
        Err(error) => Err(io("the ledger directory")(error)),
    }
}

/// What lies in the directory beside the segments of the manifest.
pub(super) fn check_other_files(source: &dyn Source, entries: &[ManifestEntry]) -> Result<Vec<Finding>, AuditError> {
    let mut findings = Vec::new();
    if !list(source, REDO)?.is_empty() {
        findings
            .push(Finding::new(Code::RecoveryUnfinished, "redo/ is not empty: a recovery was begun and not finished"));
    }
    let expected: BTreeSet<String> = entries
        .iter()
        .flat_map(|one| [segment_file_name(one.id, one.generation), leaves_file_name(one.id, one.generation)])
        .collect();
    for name in list(source, SEGMENTS)? {
        if expected.contains(&name) || name.ends_with(".tmp") || name.ends_with(".streams") {
            continue;
        }
        let Some((id, generation)) = parse_segment_file_name(&name) else {
            let message = format!("{SEGMENTS}/{} is no file of this ledger", name.escape_debug());
            findings.push(Finding::new(Code::LeftoverFile, message));
            continue;
        };
        findings.extend(check_unlisted(source, &name, id, generation)?);
    }
    Ok(findings)
}

fn check_unlisted(
    source: &dyn Source,
    name: &str,
    id: SegmentId,
    generation: Generation,
) -> Result<Option<Finding>, AuditError> {
    let path = segment_path(name);
    let Some(file) = open(source, &path)? else { return Ok(None) };
    let len = file.len().map_err(io(&path))?;
    if not_zero(file.as_ref(), &path, SEGMENT_HEADER_LEN as u64, len)?.is_none() {
        let message = format!("{path} holds no frame and MANIFEST does not name it: a roll was begun and not finished");
        return Ok(Some(Finding::new(Code::LeftoverFile, message)));
    }
    // Beside a live server it may have been made after MANIFEST was read.
    if read_segments(source)?.entries.iter().any(|entry| entry.id == id && entry.generation == generation) {
        return Ok(None);
    }
    let message = format!("{path} holds data and MANIFEST does not name it: MANIFEST may be an older copy");
    Ok(Some(Finding::new(Code::SegmentUnlisted, message)))
}

/// Compares ledger.vkey with genesis. It is a convenience for people: nothing here trusts it.
pub(super) fn check_vkey(source: &dyn Source, key: &str) -> Result<Option<Finding>, AuditError> {
    let expected = format!("{key}\n");
    Ok(match read_small(source, VKEY, VKEY_LEN_MAX)? {
        Some(bytes) if bytes == expected.as_bytes() => None,
        Some(bytes) => {
            let found = String::from_utf8_lossy(&bytes).trim_end().escape_debug().to_string();
            Some(
                Finding::new(Code::VkeyFile, "ledger.vkey differs from the key that genesis names").because(key, found),
            )
        }
        None => Some(Finding::new(Code::VkeyFile, "ledger.vkey is missing").because(key, "no file")),
    })
}
