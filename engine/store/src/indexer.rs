//! Stream indexes while the ledger is open: new ones become known, neighbours are merged, damaged ones are noticed.

use crate::disk::{create_anew, put_in_place, replace_file};
use crate::planted::{PlantedBug, planted};
use crate::segment::{FOLDER, SegmentError};
use crate::shared::Shared;
use crate::streams::{self, Merge, Output, Run, Runs, STEP_RECORDS};
use core::ops::Range;
use counterfoil_format::{StreamIndexEntry, stream_index_file_name};
use counterfoil_proof::{LeafIndex, StreamName, TreeSize};
use std::io;
use std::sync::Arc;

/// What is done about stream indexes in the background, on the keeper's thread.
pub(crate) struct Indexer {
    /// How many of the indexes that were there at opening were looked at.
    seen: usize,
    merging: Option<Merging>,
    /// A merge failed. Lookups work without it; it is tried again when the next segment is sealed, with indexes that were
    /// made again.
    gave_up: bool,
}

struct Merging {
    /// Which indexes of the list are merged. Only newer ones are added meanwhile.
    range: Range<usize>,
    merge: Box<Merge>,
    first: LeafIndex,
    end: TreeSize,
}

impl Indexer {
    pub(crate) fn new() -> Self {
        Self { seen: 0, merging: None, gave_up: false }
    }

    /// Makes the index of a segment known that was just sealed, with the streams it holds.
    pub(crate) fn add(&mut self, shared: &Shared, entry: StreamIndexEntry, streams: &[StreamName]) {
        if self.seen == shared.streams.runs().list.len() {
            self.seen += 1;
        }
        shared.streams.add_run(Run::new(entry, &shared.run_files), streams);
        self.gave_up = false;
    }

    /// Takes one small step; false when there is nothing to do.
    pub(crate) fn step(&mut self, shared: &Shared) -> bool {
        if self.gave_up {
            return false;
        }
        let step = self.try_step(shared);
        step.unwrap_or_else(|_| {
            self.gave_up = true;
            self.give_up(shared);
            false
        })
    }

    /// Drops a merge that is not finished.
    pub(crate) fn give_up(&mut self, shared: &Shared) {
        if let Some(merging) = self.merging.take() {
            // What stays is removed when the ledger is opened.
            let _ = shared.environment.disk.remove(&merging.temporary());
        }
    }

    fn try_step(&mut self, shared: &Shared) -> Result<bool, SegmentError> {
        let runs = shared.streams.runs();
        if let Some(run) = runs.list.get(self.seen) {
            // A missing or damaged one is made again on the way.
            let segments = shared.published().segments.clone();
            self.seen += 1;
            // What cannot be made again now is tried again by whoever needs it.
            let _ = run.loaded(&segments);
            return Ok(true);
        }
        match self.merging.take() {
            Some(mut merging) => {
                match merging.merge.step(STEP_RECORDS) {
                    Ok(true) => merging.finish(shared, &mut self.seen)?,
                    Ok(false) => self.merging = Some(merging),
                    Err(error) => {
                        merging.heal(shared, &runs);
                        self.merging = Some(merging);
                        return Err(error);
                    }
                }
                Ok(true)
            }
            None => {
                let due = streams::due(&shared.lock(&shared.manifest));
                let Some(range) = due else { return Ok(false) };
                self.merging = Some(Merging::begin(shared, &runs, range)?);
                Ok(true)
            }
        }
    }
}

impl Merging {
    fn begin(shared: &Shared, runs: &Runs, range: Range<usize>) -> Result<Self, SegmentError> {
        let segments = shared.published().segments.clone();
        let merged = &runs.list[range.clone()];
        let sources = merged.iter().map(|run| run.loaded(&segments)).collect::<Result<Vec<_>, _>>()?;
        let (first, end) = (merged[0].entry.first, merged[merged.len() - 1].entry.end);
        let disk = &*shared.environment.disk;
        let file = create_anew(disk, &temporary(first, end))?;
        let merge = Merge::begin(sources, shared.identity.ledger_id, Output::File { file, len: 0 });
        Ok(Self { range, merge: Box::new(merge), first, end })
    }

    /// Makes indexes again that cannot be read to their end.
    fn heal(&self, shared: &Shared, runs: &Runs) {
        let segments = shared.published().segments.clone();
        for run in &runs.list[self.range.clone()] {
            if let Ok(loaded) = run.loaded(&segments)
                && (0..loaded.directory.blocks()).any(|number| loaded.block(number).is_err())
            {
                // If it fails, the next merge fails again.
                let _ = run.rebuild(&segments, Some(&loaded));
            }
        }
    }

    fn temporary(&self) -> String {
        temporary(self.first, self.end)
    }

    /// Makes the merged index durable, then known, and removes what it replaces. A crash in between leaves files that the
    /// manifest does not name; opening removes them.
    fn finish(self, shared: &Shared, seen: &mut usize) -> Result<(), SegmentError> {
        let disk = &*shared.environment.disk;
        let (entry, output) = self.merge.finish()?;
        let Output::File { file, .. } = output else { unreachable!("merges in the background write files") };
        if !planted(disk, PlantedBug::SkipIndexSync) {
            file.sync_all()?;
        }
        put_in_place(disk, FOLDER, &stream_index_file_name(self.first, self.end))?;
        if planted(disk, PlantedBug::RemoveMergedFirst) {
            shared.streams.runs().list[self.range.clone()].iter().try_for_each(|run| disk.remove(&run.path()))?;
        }
        replace_in_manifest(shared, &self.range, entry)?;
        let mut list = shared.streams.runs().list.clone();
        let merged = Arc::new(Run::new(entry, &shared.run_files));
        let replaced: Vec<_> = list.splice(self.range.clone(), [merged]).collect();
        *seen -= replaced.len() - 1;
        shared.streams.replace_runs(Runs { list });
        for run in replaced.iter().filter(|_| !planted(disk, PlantedBug::RemoveMergedFirst)) {
            disk.remove(&run.path())?;
        }
        Ok(())
    }
}

fn temporary(first: LeafIndex, end: TreeSize) -> String {
    format!("{FOLDER}/{}.tmp", stream_index_file_name(first, end))
}

fn replace_in_manifest(shared: &Shared, range: &Range<usize>, entry: StreamIndexEntry) -> io::Result<()> {
    let mut manifest = shared.lock(&shared.manifest);
    let mut next = manifest.clone();
    next.counter += 1;
    next.stream_indexes.splice(range.clone(), [entry]);
    replace_file(&*shared.environment.disk, "", "MANIFEST", &next.encode())?;
    *manifest = next;
    Ok(())
}
