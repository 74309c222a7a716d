//! MANIFEST: which segments and stream indexes there are, read again before a reader complains about one.

use super::chain::TREE_SIZE_MAX;
use super::files::{SEGMENTS, list, read_small};
use crate::error::AuditError;
use crate::report::{Code, Finding};
use crate::source::Source;
use counterfoil_format::{
    Generation, Manifest, ManifestEntry, SegmentId, SegmentState, StreamIndexEntry, parse_segment_file_name,
};
use counterfoil_proof::{LeafHash, TreeSize};
use std::collections::BTreeMap;

pub(super) const MANIFEST: &str = "MANIFEST";
const MANIFEST_LEN_MAX: u64 = 256 * 1024 * 1024;

/// What MANIFEST names, or the names of the files where it cannot be read.
pub(super) struct Listed {
    /// The segments, oldest first.
    pub(super) segments: Vec<ManifestEntry>,
    pub(super) stream_indexes: Vec<StreamIndexEntry>,
    pub(super) ledger_id: Option<LeafHash>,
    pub(super) problem: Option<Finding>,
}

impl Listed {
    /// Reads MANIFEST as it is now.
    pub(super) fn read(source: &dyn Source) -> Result<Self, AuditError> {
        let problem = match read_small(source, MANIFEST, MANIFEST_LEN_MAX)? {
            None => "MANIFEST is missing".to_owned(),
            Some(bytes) => match Manifest::decode(&bytes) {
                Ok(manifest) if manifest.segments.iter().all(is_plausible) => {
                    return Ok(Self {
                        segments: manifest.segments,
                        stream_indexes: manifest.stream_indexes,
                        ledger_id: Some(manifest.ledger_id),
                        problem: None,
                    });
                }
                Ok(_) => "MANIFEST states impossible sizes".to_owned(),
                Err(error) => format!("MANIFEST is damaged: {error}"),
            },
        };
        let message = format!("{problem}; the segments were taken from the names in {SEGMENTS}/ and are not pinned");
        Ok(Self {
            segments: newest_generations(&list(source, SEGMENTS)?),
            stream_indexes: Vec::new(),
            ledger_id: None,
            problem: Some(Finding::new(Code::Manifest, message)),
        })
    }

    /// True when MANIFEST itself named them.
    pub(super) fn is_pinned(&self) -> bool {
        self.problem.is_none()
    }

    /// The segment of this id.
    pub(super) fn segment(&self, id: SegmentId) -> Option<&ManifestEntry> {
        self.segments.binary_search_by_key(&id, |entry| entry.id).ok().map(|at| &self.segments[at])
    }

    /// The mark as far as the segments imply it: a segment is begun, and sealed, only when all before it is durable.
    pub(super) fn mark(&self) -> TreeSize {
        let sizes = self.segments.iter().map(|entry| match entry.state {
            SegmentState::Sealed { end, .. } => end,
            SegmentState::Open => TreeSize(entry.id.0.0),
        });
        sizes.max().unwrap_or(TreeSize(0))
    }
}

fn is_plausible(entry: &ManifestEntry) -> bool {
    let end = match entry.state {
        SegmentState::Open => 0,
        SegmentState::Sealed { end, .. } => end.0,
    };
    entry.id.0.0.max(end) <= TREE_SIZE_MAX
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
