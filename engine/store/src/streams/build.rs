//! Making stream indexes from segments.

use super::merge::{Merge, Output, STEP_RECORDS};
use super::runs::{LoadedRun, RunFiles, run_path};
use crate::disk::{self, DiskFile, put_in_place};
use crate::sealed::MemoryFile;
use crate::segment::{self, FOLDER, Segment, SegmentError};
use counterfoil_format::{ByteOffset, FormatError, StreamIndexBuilder, StreamIndexEntry, stream_index_file_name};
use counterfoil_proof::{LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::Arc;

/// One stream in one segment: position of its first receipt there, and the indices of all.
type Found = (StreamSeq, Vec<LeafIndex>);

/// The frames of a segment and the leaf hash of each of its receipts. What is read is compared with the hashes: an index
/// that left a receipt out would let its stream fork.
pub(crate) struct Known<'a> {
    pub(crate) frames: &'a [(LeafIndex, ByteOffset)],
    pub(crate) leaves: &'a [LeafHash],
    pub(crate) end: TreeSize,
}

/// Which receipts of a segment are in which stream.
fn streams_in(file: &dyn DiskFile, known: &Known<'_>) -> Result<Vec<(StreamName, Found)>, SegmentError> {
    let mut streams: HashMap<StreamName, Found> = HashMap::new();
    let mut left = known.leaves;
    let ends = known.frames.iter().skip(1).map(|(next, _)| *next).chain([known.end.next_index()]);
    for ((first, at), end) in known.frames.iter().zip(ends) {
        let damaged = |rule| SegmentError::Damaged { offset: *at, error: FormatError::NotCanonical { rule } };
        let frame = segment::frame_index(file, *at)?;
        let receipts = frame.header().receipts;
        let fits = frame.header().start.first == *first && frame.header().end() == TreeSize(end.0);
        let (leaves, rest) =
            left.split_at_checked(receipts).filter(|_| fits).ok_or(damaged("frames follow each other"))?;
        left = rest;
        for (place, leaf) in leaves.iter().enumerate() {
            let envelope = frame.envelope(place, |earlier| leaves[earlier]);
            let envelope = envelope.map_err(|error| SegmentError::Damaged { offset: *at, error })?;
            if envelope.leaf_hash() != *leaf {
                return Err(damaged("an envelope hashes to its leaf"));
            }
            let (index, seq) = (envelope.index, envelope.stream_seq);
            match streams.entry(envelope.stream) {
                Entry::Vacant(entry) => {
                    entry.insert((seq, vec![index]));
                }
                Entry::Occupied(mut entry) => {
                    let (begun, indices) = entry.get_mut();
                    if begun.0 + indices.len() as u64 != seq.0 {
                        return Err(damaged("a stream is gap-free"));
                    }
                    indices.push(index);
                }
            }
        }
    }
    let mut streams: Vec<_> = streams.into_iter().collect();
    streams.sort_unstable_by(|(a, _), (b, _)| a.as_str().cmp(b.as_str()));
    Ok(streams)
}

/// The stream index of one segment.
pub(crate) struct SegmentIndex {
    /// How the manifest pins it.
    pub(crate) entry: StreamIndexEntry,
    pub(crate) streams: Vec<StreamName>,
    bytes: Vec<u8>,
}

fn index_of_segment(file: &dyn DiskFile, ledger_id: LeafHash, known: &Known<'_>) -> Result<SegmentIndex, SegmentError> {
    let (first, end) = (known.frames.first().expect("a sealed segment holds a frame").0, known.end);
    let mut builder = StreamIndexBuilder::new(ledger_id, first, end);
    let mut streams = Vec::new();
    for (stream, (seq, indices)) in streams_in(file, known)? {
        builder.push(&stream, seq, &indices);
        streams.push(stream);
    }
    let mut bytes = builder.take_finished();
    let end_of_file = builder.finish();
    bytes.extend(end_of_file.rest);
    let entry = StreamIndexEntry {
        first,
        end,
        file_len: bytes.len() as u64,
        streams_begun: end_of_file.streams_begun,
        directory_digest: end_of_file.directory_digest,
    };
    Ok(SegmentIndex { entry, streams, bytes })
}

/// Writes the stream index of a segment that is about to be sealed.
pub(crate) fn write_segment_index(
    files: &RunFiles,
    file: &dyn DiskFile,
    known: &Known<'_>,
) -> Result<SegmentIndex, SegmentError> {
    let index = index_of_segment(file, files.ledger_id, known)?;
    let name = stream_index_file_name(index.entry.first, index.entry.end);
    disk::replace_file(&*files.disk, FOLDER, &name, &index.bytes)?;
    Ok(index)
}

/// Makes the index that the manifest pins again, from the segments it covers. Whoever may not write, or finds the disk
/// full, keeps it in memory.
pub(super) fn rebuild(
    files: &RunFiles,
    entry: &StreamIndexEntry,
    segments: &[Arc<Segment>],
) -> Result<LoadedRun, SegmentError> {
    match files.writable.then(|| rebuild_in(Place::Disk, files, entry, segments)) {
        Some(Err(SegmentError::Io(error))) if disk::is_disk_full(&error) => {}
        Some(rebuilt) => return rebuilt,
        None => {}
    }
    rebuild_in(Place::Memory, files, entry, segments)
}

/// Where an index is made again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Disk,
    Memory,
}

/// An index for each segment, then all merged.
fn rebuild_in(
    place: Place,
    files: &RunFiles,
    entry: &StreamIndexEntry,
    segments: &[Arc<Segment>],
) -> Result<LoadedRun, SegmentError> {
    let covered = segments.iter().filter(|segment| (entry.first..entry.end.next_index()).contains(&segment.id.0));
    let mut parts = Vec::new();
    for segment in covered {
        let sealed = segment.sealed();
        let open = sealed.parts()?;
        let leaves = sealed.leaves(segment.id.0, sealed.end.0 - segment.id.0.0)?;
        let known = Known { frames: &open.leaves.frames, leaves: &leaves, end: sealed.end };
        let part = index_of_segment(&*open.file, files.ledger_id, &known)?;
        parts.push((part.entry, part_file(place, files, &part.entry, part.bytes)?));
    }
    let result = put_together(place, files, entry, &parts);
    if place == Place::Disk && parts.len() > 1 {
        for (part, _) in &parts {
            // What stays is removed when the ledger is opened.
            let _ = files.disk.remove(&part_path(part));
        }
    }
    result
}

fn part_path(part: &StreamIndexEntry) -> String {
    format!("{}.part.tmp", run_path(part))
}

/// Where the index of one segment is kept until all are merged.
fn part_file(place: Place, files: &RunFiles, part: &StreamIndexEntry, bytes: Vec<u8>) -> io::Result<Arc<dyn DiskFile>> {
    if place == Place::Memory {
        return Ok(Arc::new(MemoryFile(bytes)));
    }
    let file = disk::create_anew(&*files.disk, &part_path(part))?;
    file.write_all_at(&bytes, 0)?;
    Ok(file)
}

fn put_together(
    place: Place,
    files: &RunFiles,
    entry: &StreamIndexEntry,
    parts: &[(StreamIndexEntry, Arc<dyn DiskFile>)],
) -> Result<LoadedRun, SegmentError> {
    let disk = &*files.disk;
    let sources = parts.iter().map(|(part, file)| LoadedRun::open(file.clone(), part, files.ledger_id).map(Arc::new));
    let sources = sources.collect::<Result<Vec<_>, _>>()?;
    let output = match place {
        Place::Disk => Output::File { file: disk::create_anew(disk, &format!("{}.tmp", run_path(entry)))?, len: 0 },
        Place::Memory => Output::Memory(Vec::new()),
    };
    let mut merge = Merge::begin(sources, files.ledger_id, output);
    while !merge.step(STEP_RECORDS)? {}
    let (found, output) = merge.finish()?;
    if found != *entry {
        let error = FormatError::NotCanonical { rule: "the segments lead to the stream index that the manifest pins" };
        return Err(SegmentError::Damaged { offset: ByteOffset(0), error });
    }
    let file: Arc<dyn DiskFile> = match output {
        Output::Memory(bytes) => Arc::new(MemoryFile(bytes)),
        Output::File { file, .. } => {
            file.sync_all()?;
            put_in_place(disk, FOLDER, &stream_index_file_name(entry.first, entry.end))?;
            file
        }
    };
    LoadedRun::open(file, entry, files.ledger_id)
}
