//! The example ledger after its first segment was sealed: footer, derived files and MANIFEST.

use super::{CREATED, Example, PAYLOAD, SALT};
use counterfoil_format::{
    ByteOffset, FRAME_ALIGN, Generation, LeafFile, LeafFileHead, Manifest, ManifestEntry, ReceiptRecord, SegmentFooter,
    SegmentId, SegmentState, ShortPreamble, StreamDirectory, StreamIndexBuilder, StreamIndexEntry,
};
use counterfoil_proof::{Frontier, Hash, LeafIndex, StreamSeq, TreeSize};

const END: TreeSize = TreeSize(2);

impl Example {
    /// The segment before its footer, and where its frames begin.
    fn full_segment(&self) -> (Vec<u8>, Vec<(LeafIndex, ByteOffset)>) {
        let mut file = self.segment_header().encode();
        let mut frames = Vec::new();
        for (index, frame) in (0..).map(LeafIndex).zip(self.frames()) {
            frames.push((index, ByteOffset(file.len() as u64)));
            file.extend(frame);
            file.resize(file.len().next_multiple_of(usize::try_from(FRAME_ALIGN).unwrap()), 0);
        }
        (file, frames)
    }

    fn footer(&self, segment: &[u8]) -> SegmentFooter {
        SegmentFooter {
            first: LeafIndex(0),
            first_time: CREATED,
            last_time: self.second.time,
            frames: 2,
            payload_bytes: (self.genesis_payload.len() + PAYLOAD.len()) as u64,
            control_seq: StreamSeq(1),
            last_leaf: self.second.leaf_hash(),
            control_head: self.genesis.leaf_hash(),
            file_digest: digest(segment),
            frontier: self.trees[1].0.clone(),
            control_indices: vec![LeafIndex(0)],
        }
    }

    /// Footer and trailer.
    pub(super) fn segment_end(&self) -> Vec<u8> {
        let (segment, _) = self.full_segment();
        let at = ByteOffset(segment.len() as u64);
        let bytes = self.footer(&segment).encode(at);
        assert_eq!(SegmentFooter::decode(&bytes, at), Ok(self.footer(&segment)));
        bytes
    }

    pub(super) fn leaf_file(&self) -> Vec<u8> {
        let (_, frames) = self.full_segment();
        let leaves = [&self.genesis, &self.second].map(|envelope| envelope.leaf_hash());
        let id = SegmentId(LeafIndex(0));
        let file = LeafFile::encode(leaves[0], id, Generation(0), &Frontier::empty(), &frames, &leaves);
        let ShortPreamble(len) = ShortPreamble::decode(&file).unwrap();
        let head = LeafFileHead::decode(&file[..len]).unwrap();
        assert_eq!(head.decode_block(LeafIndex(0), &file[len..]).unwrap(), leaves);
        file
    }

    pub(super) fn stream_index(&self) -> (Vec<u8>, StreamIndexEntry) {
        let mut index = StreamIndexBuilder::new(self.genesis.leaf_hash(), LeafIndex(0), END);
        for envelope in [&self.second, &self.genesis] {
            index.push(&envelope.stream, envelope.stream_seq, &[envelope.index]);
        }
        let end = index.finish();
        let at = StreamDirectory::locate(end.rest.last_chunk().unwrap()).unwrap();
        let (block, directory) = end.rest.split_at(usize::try_from(at.0).unwrap());
        let directory = StreamDirectory::decode(directory, at).unwrap();
        assert_eq!(directory.find(&self.second.stream, StreamSeq(0)), Some(0));
        assert_eq!(directory.decode_block(0, block).unwrap().len(), 2);
        let entry = StreamIndexEntry {
            first: LeafIndex(0),
            end: END,
            file_len: end.rest.len() as u64,
            streams_begun: end.streams_begun,
            directory_digest: end.directory_digest,
        };
        (end.rest, entry)
    }

    /// Genesis as the control file holds it.
    pub(super) fn genesis_record(&self) -> Vec<u8> {
        let content = Some((SALT, self.genesis_payload.as_slice()));
        let record = ReceiptRecord { envelope: self.genesis.clone(), content };
        let mut bytes = Vec::new();
        record.encode_into(&mut bytes);
        assert_eq!(ReceiptRecord::decode(&bytes), Ok((record, bytes.len())));
        bytes
    }

    /// The sealed segment, and the open one behind it.
    pub(super) fn manifest(&self) -> Vec<u8> {
        let (segment, _) = self.full_segment();
        let sealed = SegmentState::Sealed {
            end: END,
            file_len: (segment.len() + self.segment_end().len()) as u64,
            file_digest: digest(&segment),
        };
        let entry = |first, state| ManifestEntry { id: SegmentId(LeafIndex(first)), generation: Generation(0), state };
        let manifest = Manifest {
            ledger_id: self.genesis.leaf_hash(),
            counter: 2,
            segments: vec![entry(0, sealed), entry(END.0, SegmentState::Open)],
            stream_indexes: vec![self.stream_index().1],
        };
        let bytes = manifest.encode();
        assert_eq!(Manifest::decode(&bytes), Ok(manifest));
        bytes
    }
}

fn digest(bytes: &[u8]) -> Hash {
    Hash(*blake3::hash(bytes).as_bytes())
}
