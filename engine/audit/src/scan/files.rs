//! The small files of a ledger directory: HEAD, ledger.vkey, and what else lies there.

use super::manifest::{Listed, MANIFEST};
use crate::error::AuditError;
use crate::report::{Code, Finding};
use crate::source::{Source, SourceFile};
use counterfoil_format::{
    ByteOffset, HEAD_FILE_LEN, HEAD_SLOT_LEN, HeadSlot, SEGMENT_HEADER_LEN, leaves_file_name, parse_segment_file_name,
    parse_stream_index_file_name, segment_file_name, stream_index_file_name,
};
use std::collections::BTreeSet;
use std::io::ErrorKind;

const HEAD: &str = "HEAD";
const VKEY: &str = "ledger.vkey";
pub(super) const SEGMENTS: &str = "segments";
const REDO: &str = "redo";
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
pub(super) fn read_small(source: &dyn Source, path: &str, len_max: u64) -> Result<Option<Vec<u8>>, AuditError> {
    let Some(file) = open(source, path)? else { return Ok(None) };
    let len = file.len().map_err(io(path))?.min(len_max);
    let mut bytes = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    let read = file.read_at(&mut bytes, 0).map_err(io(path))?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

static ZEROS: [u8; CHUNK] = [0; CHUNK];

/// Offset of the first byte in a part of a file that is not zero.
pub(super) fn first_used(file: &dyn SourceFile, path: &str, from: u64, to: u64) -> Result<Option<u64>, AuditError> {
    let mut found = None;
    each_used(file, path, from, to, |first, _| {
        found = Some(first);
        false
    })?;
    Ok(found)
}

/// Offset of the last byte in a part of a file that is not zero.
pub(super) fn last_used(file: &dyn SourceFile, path: &str, from: u64, to: u64) -> Result<Option<u64>, AuditError> {
    let mut found = None;
    each_used(file, path, from, to, |_, last| {
        found = Some(last);
        true
    })?;
    Ok(found)
}

/// Tells, piece by piece, where the first and the last byte that is not zero stand, until that is enough.
fn each_used(
    file: &dyn SourceFile,
    path: &str,
    from: u64,
    to: u64,
    mut more: impl FnMut(u64, u64) -> bool,
) -> Result<(), AuditError> {
    let chunk = usize::try_from(to.saturating_sub(from)).unwrap_or(CHUNK).min(CHUNK);
    let mut buffer = vec![0; chunk];
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
            if !more(at + first as u64, at + last as u64) {
                break;
            }
        }
        at += read as u64;
    }
    Ok(())
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

pub(super) fn list(source: &dyn Source, folder: &str) -> Result<Vec<String>, AuditError> {
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

/// What lies in the directory beside the files that MANIFEST names.
pub(super) fn check_other_files(source: &dyn Source, listed: &Listed) -> Result<Vec<Finding>, AuditError> {
    let mut findings = Vec::new();
    if !list(source, REDO)?.is_empty() {
        findings
            .push(Finding::new(Code::RecoveryUnfinished, "redo/ is not empty: a recovery was begun and not finished"));
    }
    let known = names(listed);
    let strangers: Vec<String> =
        list(source, SEGMENTS)?.into_iter().filter(|name| !known.contains(name) && !name.ends_with(".tmp")).collect();
    if strangers.is_empty() {
        return Ok(findings);
    }
    // Beside a live server files come and go after MANIFEST was read.
    let now = Listed::read(source)?;
    let known = names(&now);
    for name in strangers.into_iter().filter(|name| !known.contains(name)) {
        findings.extend(match parse_segment_file_name(&name) {
            Some(_) => check_unlisted(source, &name)?,
            None => leftover(source, &name, now.is_pinned())?,
        });
    }
    Ok(findings)
}

/// Names of the files in the folder of segments that belong to the ledger.
fn names(listed: &Listed) -> BTreeSet<String> {
    let segments = listed.segments.iter();
    let segments =
        segments.flat_map(|one| [segment_file_name(one.id, one.generation), leaves_file_name(one.id, one.generation)]);
    let indexes = listed.stream_indexes.iter().map(|one| stream_index_file_name(one.first, one.end));
    segments.chain(indexes).collect()
}

fn leftover(source: &dyn Source, name: &str, pinned: bool) -> Result<Option<Finding>, AuditError> {
    // Without MANIFEST nobody knows which stream indexes there are.
    let unknown = !pinned && parse_stream_index_file_name(name).is_some();
    if unknown || open(source, &segment_path(name))?.is_none() {
        return Ok(None);
    }
    let message = format!("{SEGMENTS}/{} is no file of this ledger", name.escape_debug());
    Ok(Some(Finding::new(Code::LeftoverFile, message)))
}

fn check_unlisted(source: &dyn Source, name: &str) -> Result<Option<Finding>, AuditError> {
    let path = segment_path(name);
    let Some(file) = open(source, &path)? else { return Ok(None) };
    let len = file.len().map_err(io(&path))?;
    if first_used(file.as_ref(), &path, SEGMENT_HEADER_LEN as u64, len)?.is_none() {
        let message = format!("{path} holds no frame and MANIFEST does not name it: a roll was begun and not finished");
        return Ok(Some(Finding::new(Code::LeftoverFile, message)));
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
