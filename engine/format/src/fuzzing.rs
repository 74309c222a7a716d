//! Bodies of the fuzz targets; they also run as unit tests. Each decodes arbitrary bytes and, where they are accepted,
//! asserts that encoding gives the same bytes back.

use crate::frame::{Frame, FrameBuilder};
use crate::streams::decode_records;
use crate::{
    ByteOffset, HEAD_SLOT_LEN, HeadSlot, LeafFileHead, Manifest, ProofRecord, ReceiptRecord, SegmentFooter,
    SegmentHeader, ShortPreamble, StreamDirectory, StreamIndexBuilder, TarHeader,
};
use counterfoil_proof::{Hash, LeafIndex, TreeSize};

/// A frame: rebuilt from what was decoded, it is the same.
pub fn frame(bytes: &[u8]) {
    if let Ok(frame) = Frame::decode(bytes) {
        assert_eq!(rebuild(&frame), &bytes[..frame.header().frame_len]);
    }
}

/// A segment header.
pub fn segment_header(bytes: &[u8]) {
    if let Ok(header) = SegmentHeader::decode(bytes) {
        assert_eq!(header.encode(), bytes[..4096]);
    }
}

/// A segment footer with its trailer.
pub fn segment_footer(bytes: &[u8]) {
    let Some(at) = bytes.last_chunk().and_then(SegmentFooter::locate) else { return };
    if let Ok(footer) = SegmentFooter::decode(bytes, at) {
        assert_eq!(footer.encode(at), bytes);
    }
}

/// A slot of HEAD.
pub fn head_slot(bytes: &[u8]) {
    for position in [0, HEAD_SLOT_LEN as u64] {
        if let Ok(slot) = HeadSlot::decode(bytes, ByteOffset(position)) {
            assert!(bytes.len() > HEAD_SLOT_LEN || slot.encode().starts_with(bytes));
        }
    }
}

/// A manifest.
pub fn manifest(bytes: &[u8]) {
    if let Ok(manifest) = Manifest::decode(bytes) {
        assert_eq!(manifest.encode(), bytes);
    }
}

/// The head of a leaf file.
pub fn leaf_file(bytes: &[u8]) {
    let Ok(ShortPreamble(len)) = ShortPreamble::decode(bytes) else { return };
    if let Some(head) = bytes.get(..len).and_then(|bytes| LeafFileHead::decode(bytes).ok()) {
        assert_eq!(head.encode(), &bytes[..len]);
    }
}

/// A receipt record.
pub fn receipt_record(bytes: &[u8]) {
    if let Ok((record, len)) = ReceiptRecord::decode(bytes) {
        let mut again = Vec::new();
        record.encode_into(&mut again);
        assert_eq!(again, &bytes[..len]);
    }
}

/// The directory of a stream index with its trailer.
pub fn stream_directory(bytes: &[u8]) {
    let Some(at) = bytes.last_chunk().and_then(StreamDirectory::locate) else { return };
    if let Ok(directory) = StreamDirectory::decode(bytes, at) {
        assert_eq!(directory.encode(), bytes);
    }
}

/// A block of a stream index: built again from its records, it is the same.
pub fn stream_block(bytes: &[u8]) {
    let (first, end) = (LeafIndex(1000), TreeSize(u64::MAX));
    let Ok(records) = decode_records(bytes, first, end) else { return };
    if records.is_empty() {
        return;
    }
    let mut builder = StreamIndexBuilder::new(Hash::ZERO, first, end);
    for record in &records {
        builder.push(&record.stream, record.first_seq, &record.positions);
    }
    assert!(builder.finish().rest.starts_with(bytes));
}

/// A header of a tar entry.
pub fn tar_header(bytes: &[u8]) {
    if let Some(block) = bytes.first_chunk()
        && let Ok(Some(header)) = TarHeader::decode(block)
    {
        assert_eq!(header.encode(), *block);
    }
}

/// The inclusion proof of a receipt in a bundle.
pub fn proof_record(bytes: &[u8]) {
    if let Ok(record) = ProofRecord::decode(bytes) {
        let mut again = Vec::new();
        record.encode_into(&mut again);
        assert_eq!(again, bytes);
    }
}

/// Writes a decoded frame again.
pub(crate) fn rebuild(frame: &Frame<'_>) -> Vec<u8> {
    let mut builder = FrameBuilder::new(frame.header().start);
    let mut entries = frame.entries().iter();
    for batch in frame.batches() {
        for (at, entry) in entries.by_ref().take(batch.receipts).enumerate() {
            if at == 0 {
                builder.begin_batch(&entry.envelope.writer, batch.label);
            }
            builder.push(&entry.envelope, entry.stored);
        }
    }
    builder.finish(frame.commit())
}
