use super::*;
use proptest::prelude::*;

fn frontier(leaves: u8) -> Frontier {
    let mut frontier = Frontier::empty();
    for n in 0..leaves {
        frontier.push(Hash::of_envelope(&[n]), |_, _| ());
    }
    frontier
}

fn header(leaves: u8) -> SegmentHeader {
    SegmentHeader {
        nonce: [1; 16],
        ledger_id: Hash([2; 32]),
        last_time: Timestamp(3),
        control_seq: StreamSeq(4),
        prev: Hash([5; 32]),
        control_head: Hash([6; 32]),
        generation: Generation(7),
        frontier: frontier(leaves),
        origin: Origin::new("example.com/ledger").unwrap(),
    }
}

fn footer(leaves: u8, controls: u64) -> SegmentFooter {
    SegmentFooter {
        first: LeafIndex(0),
        first_time: Timestamp(1),
        last_time: Timestamp(2),
        frames: 3,
        payload_bytes: 4,
        control_seq: StreamSeq(5),
        last_leaf: Hash([6; 32]),
        control_head: Hash([7; 32]),
        file_digest: Hash([8; 32]),
        frontier: frontier(leaves),
        control_indices: (0..controls).map(|n| LeafIndex(n * 3)).collect(),
    }
}

proptest! {
    #[test]
    fn a_header_reads_back(leaves: u8) {
        let bytes = header(leaves).encode();
        prop_assert_eq!(bytes.len(), SEGMENT_HEADER_LEN);
        prop_assert_eq!(SegmentHeader::decode(&bytes), Ok(header(leaves)));
    }

    #[test]
    fn a_footer_reads_back(leaves: u8, controls in 0u64..50, pages in 0u64..1000) {
        let at = ByteOffset(pages * FRAME_ALIGN);
        let bytes = footer(leaves, controls).encode(at);
        prop_assert_eq!(SegmentFooter::locate(bytes.last_chunk().unwrap()), Some(at));
        prop_assert_eq!(SegmentFooter::decode(&bytes, at), Ok(footer(leaves, controls)));
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed(at in 0usize..SEGMENT_HEADER_LEN, bit in 0u8..8) {
        let mut bytes = header(5).encode();
        bytes[at] ^= 1 << bit;
        prop_assert!(SegmentHeader::decode(&bytes).is_err());
    }

    #[test]
    fn every_flipped_bit_of_a_footer_is_noticed(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut bytes = footer(5, 9).encode(ByteOffset(8192));
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(SegmentFooter::decode(&bytes, ByteOffset(8192)).is_err());
    }
}

#[test]
fn only_canonical_file_names_are_segments() {
    let name = segment_file_name(SegmentId(LeafIndex(42)), Generation(1));
    assert_eq!(name, "00000000000000000042.1.seg");
    assert_eq!(parse_segment_file_name(&name), Some((SegmentId(LeafIndex(42)), Generation(1))));
    for bad in ["42.1.seg", "00000000000000000042.01.seg", "00000000000000000042.1.leaves", "spare.tmp"] {
        assert_eq!(parse_segment_file_name(bad), None, "{bad}");
    }
}
