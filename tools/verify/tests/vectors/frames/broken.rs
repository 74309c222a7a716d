//! Frames with one rule broken each, their checksum right unless it is the rule.

use super::build::{Draft, Parts, labelled, rich, single};
use crate::store::{resealed, spliced, with_byte, with_bytes};

type Broken = Vec<(&'static str, Vec<u8>)>;

/// One change, and a checksum that fits.
fn with(frame: &[u8], at: usize, value: u8) -> Vec<u8> {
    let changed = with_byte(frame, at, value);
    let len = changed.len();
    resealed(changed, len)
}

/// A part replaced; its length in the header (at `field`) and that of the frame follow.
fn with_part(frame: &[u8], field: usize, part: core::ops::Range<usize>, bytes: &[u8]) -> Vec<u8> {
    let mut changed = spliced(frame, part, bytes);
    changed[field..field + 4].copy_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
    let len = changed.len();
    resealed(changed, len)
}

fn header() -> Broken {
    let good = labelled().bytes;
    let len = good.len();
    let longer = [good.as_slice(), &[0]].concat();
    vec![
        ("no bytes", Vec::new()),
        ("ends within the header", good[..159].to_vec()),
        ("ends one byte early", good[..len - 1].to_vec()),
        ("another version", with(&good, 7, b'2')),
        ("a wrong checksum", with_byte(&good, 8, good[8] ^ 1)),
        ("a changed payload", with_byte(&good, Parts::of(&good).payloads.start, 0xff)),
        ("length 0", with_bytes(&good, 12, &[0; 4])),
        ("a length below the parts", resealed(good.clone(), len - 1)),
        ("a length above the parts", resealed(longer, len + 1)),
        ("a length above the limit", with_bytes(&good, 12, &[1, 0, 0, 4])),
        ("no receipts", with(&good, 128, 0)),
        ("more receipts than batches say", with(&good, 128, 3)),
        ("no batches", with(&good, 148, 0)),
        ("one name more than there are", with(&good, 150, good[150] + 1)),
        ("one name less than there are", with(&good, 150, good[150] - 1)),
        ("commitment algorithm 0", with(&good, 152, 0)),
        ("commitment algorithm 3", with(&good, 152, 3)),
        ("a reserved byte", with(&good, 159, 1)),
        ("bytes of names", with(&good, 132, good[132] + 1)),
        ("bytes of heads", with(&good, 136, good[136] - 1)),
        ("bytes of the payload table", with(&good, 140, good[140] + 1)),
        ("bytes of payloads", with(&good, 144, good[144] - 1)),
    ]
}

fn batches() -> Broken {
    let good = labelled().bytes;
    let at = Parts::of(&good).batches.start;
    let plain = single(Draft::default()).bytes;
    vec![
        ("label 3", with(&good, at, 3)),
        ("label 0 with an id", with(&good, at, 0)),
        ("label 0 with a number", with(&plain, at + 24, 1)),
        ("label 1 with a number", with(&good, at + 24, 1)),
        ("a reserved byte of a batch", with(&good, at + 1, 1)),
        ("a batch without receipts", with(&plain, at + 4, 0)),
        ("the writer is a name behind the next", with(&good, at + 2, 1)),
        ("the writer is no name", with(&good, at + 35, 0xff)),
    ]
}

fn names() -> Broken {
    let good = single(Draft::default()).bytes;
    let names = Parts::of(&good).names;
    let list = |names: &[&[u8]]| {
        names.iter().flat_map(|name| [&[u8::try_from(name.len()).unwrap()], *name].concat()).collect::<Vec<u8>>()
    };
    let replaced = |names_of: &[&[u8]]| with_part(&good, 132, names.clone(), &list(names_of));
    assert_eq!(list(&[b"agent-7", b"incident/INC-42", b"alert.received/1"]), good[names.clone()]);
    vec![
        ("an empty name", replaced(&[b"", b"incident/INC-42", b"alert.received/1"])),
        ("two equal names", replaced(&[b"a/1", b"incident/INC-42", b"a/1"])),
        ("a writer with white space", replaced(&[b"agent 7", b"incident/INC-42", b"alert.received/1"])),
        ("a stream with a control character", replaced(&[b"agent-7", b"incident\n", b"alert.received/1"])),
        ("a kind without a version", replaced(&[b"agent-7", b"incident/INC-42", b"alert.received"])),
        ("names out of the order of their use", replaced(&[b"agent-7", b"alert.received/1", b"incident/INC-42"])),
        ("a name that nobody uses", {
            let bytes = list(&[b"agent-7", b"incident/INC-42", b"alert.received/1", b"x"]);
            with(&with_part(&good, 132, names.clone(), &bytes), 150, 4)
        }),
        ("bytes behind the last name", with_part(&good, 132, names.clone(), &[&good[names.clone()], &[0]].concat())),
    ]
}

fn heads() -> Broken {
    let good = single(Draft::default()).bytes;
    let heads = Parts::of(&good).heads;
    let at = heads.start;
    let head = &good[heads.clone()];
    let replaced = |head: Vec<u8>| with_part(&good, 136, heads.clone(), &head);
    let linked = single(Draft { links: 1, ..Draft::default() }).bytes;
    let linked_heads = Parts::of(&linked).heads;
    vec![
        ("flag 64", with(&good, at, 64)),
        ("flag 128", with(&good, at, 128)),
        ("control flag on another kind", with(&good, at, 8)),
        ("media type 0", with(&good, at + 1, 0)),
        ("media type 6", with(&good, at + 1, 6)),
        ("stream is a name behind the next", with(&good, at + 2, 2)),
        ("kind is the stream's name", with(&good, at + 3, 1)),
        ("a class in a longer varint than needed", replaced([&head[..4], &[0x80, 0], &head[5..]].concat())),
        ("a class above 32 bits", replaced([&head[..4], &[0x80, 0x80, 0x80, 0x80, 0x10], &head[5..]].concat())),
        ("a name reference above 16 bits", replaced([&head[..2], &[0x81, 0x80, 0x04], &head[3..]].concat())),
        ("stream_prev zero above stream_seq 0", replaced([&head[..6], &[0; 32], &head[38..]].concat())),
        (
            "flag 16 on a stream's first receipt in the frame",
            replaced([&[16], &head[1..6], &[1], &head[38..]].concat()),
        ),
        ("link flag and no link", {
            let head = &linked[linked_heads.clone()];
            let none = [&head[..head.len() - 41], &[0]].concat();
            with_part(&linked, 136, linked_heads.clone(), &none)
        }),
        ("17 links", {
            let head = &linked[linked_heads.clone()];
            let link = &head[head.len() - 40..];
            let many = [&head[..head.len() - 41], &[17], &link.repeat(17)].concat();
            with_part(&linked, 136, linked_heads.clone(), &many)
        }),
        ("a head cut short", replaced(head[..head.len() - 1].to_vec())),
        ("a byte behind the last head", replaced([head, &[0]].concat())),
    ]
}

/// Receipts of one stream within a frame.
fn streams() -> Broken {
    let good = rich().bytes;
    let parts = Parts::of(&good);
    // The third receipt: stream 1, two back, erased. Its head follows those of the first two.
    let first = 6 + 32 + 32 + 16 + 1 + 2 * 40;
    let second = 7 + 32;
    let third = parts.heads.start + first + second;
    assert_eq!(good[third..third + 7], [16, 5, 1, 2, 0, 4, 2]);
    vec![
        ("flag 16 points too far back", with(&good, third + 6, 3)),
        ("flag 16 points at another stream", with(&good, third + 6, 1)),
        ("flag 16 points at itself", with(&good, third + 6, 0)),
        ("stream_seq does not follow within the frame", with(&good, third + 5, 5)),
        ("another receipt of the stream without flag 16", {
            let head = [&[0, 5, 1, 2, 0, 4], [7; 32].as_slice()].concat();
            let heads = spliced(&good, third..third + 7, &head);
            let end = parts.heads.end + head.len() - 7;
            with_part(&good, 136, parts.heads.clone(), &heads[parts.heads.start..end])
        }),
        ("a receipt behind the one that closes its stream", with(&good, third, 17)),
        ("a control receipt not flagged", {
            let at = good[parts.heads.clone()]
                .windows(4)
                .position(|head| head == [8, 1, 5, 6])
                .map(|at| parts.heads.start + at);
            with(&good, at.expect("the first control receipt"), 0)
        }),
    ]
}

fn table_and_commit() -> Broken {
    let good = single(Draft::default()).bytes;
    let parts = Parts::of(&good);
    let (table, commit) = (parts.table.start, parts.commit.start);
    let signature = good[commit + 41..].to_vec();
    let with_signatures = |count: u8| {
        let commit = [&good[commit..commit + 40], &[count], &signature.repeat(count.into())].concat();
        let changed = spliced(&good, parts.commit.clone(), &commit);
        let len = changed.len();
        resealed(changed, len)
    };
    vec![
        ("payload state 2", with(&good, table, 2)),
        ("payload encoding 1", with(&good, table + 1, 1)),
        ("erased, with salt and length", with(&good, table, 0)),
        ("a payload length below the payloads", with(&good, table + 34, 20)),
        ("a payload length above the payloads", with(&good, table + 34, 22)),
        ("a payload length in a longer varint than needed", {
            with_part(&good, 140, parts.table.clone(), &[&good[table..table + 34], &[0x95, 0]].concat())
        }),
        ("a byte behind the last record", {
            with_part(&good, 140, parts.table.clone(), &[&good[parts.table.clone()], &[0]].concat())
        }),
        ("another tree size", with(&good, commit, good[commit] ^ 1)),
        ("no signature", with_signatures(0)),
        ("five signatures", with_signatures(5)),
        ("a signature of type 4", with(&good, commit + 45, 4)),
        ("a signature longer than the commit", with(&good, commit + 46, 65)),
        ("a signature shorter than the commit", with(&good, commit + 46, 63)),
    ]
}

pub(super) fn frames() -> Broken {
    [header(), batches(), names(), heads(), streams(), table_and_commit()].concat()
}
