//! What recovery writes: bytes set aside before they are zeroed, and frames made durable again.
//!
//! Doing it twice changes no byte: a cut tail is zero afterwards, and a rewritten frame is what it was.

use crate::create::{CUT_FOLDER, REDO_FOLDER};
use crate::disk::{self, Disk, DiskFile, replace_file};
use crate::open::{OpenError, at};
use crate::planted::{PlantedBug, planted};
use crate::recovery::{Scan, Tail};
use crate::segment;
use counterfoil_format::{ByteOffset, Generation, SegmentId, parse_segment_file_name, segment_file_name};
use counterfoil_proof::{SignatureType, VerifierKey};
use std::io;

const SIGNATURE_LEN: u16 = 64;

/// Copies the damaged tail of a segment to cut/ and zeroes it.
pub(crate) fn cut(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    id: SegmentId,
    scan: &Scan,
    key: &VerifierKey,
) -> Result<(), OpenError> {
    let Tail::Damaged { end } = scan.tail else { unreachable!("only a damaged tail is cut") };
    let len = usize::try_from(end.0 - scan.end.0).expect("a segment fits memory");
    let mut bytes = disk::read_exact(file, scan.end.0, len).map_err(at(segment::FOLDER))?;
    blank_signatures(&mut bytes, key);
    let digest = blake3::hash(&bytes).to_hex();
    let name = format!("{id}-{}-{}.cut", scan.end, &digest[..16]);
    if !planted(disk, PlantedBug::CutWithoutCopy) {
        replace_file(disk, CUT_FOLDER, &name, &bytes).map_err(at(CUT_FOLDER))?;
    }
    // A crash here finds the tail again, writes the same cut file over itself and goes on.
    disk::write_zeros(file, scan.end.0, end.0).map_err(at(segment::FOLDER))?;
    file.sync_data().map_err(at(segment::FOLDER))
}

/// Zeroes every checkpoint signature, so that nobody can present a checkpoint that was never acknowledged.
fn blank_signatures(bytes: &mut [u8], key: &VerifierKey) {
    let mut lead = key.id().0.to_vec();
    lead.push(SignatureType::Ed25519.byte());
    lead.extend(SIGNATURE_LEN.to_le_bytes());
    let mut from = 0;
    while let Some(found) = bytes[from..].windows(lead.len()).position(|window| window == lead) {
        let start = from + found + lead.len();
        let end = (start + usize::from(SIGNATURE_LEN)).min(bytes.len());
        bytes[start..end].fill(0);
        from = end;
    }
}

/// Rewrites the bytes from `first` to `end` in place, so that they are durable whatever became of them before.
pub(crate) fn rewrite(
    disk: &dyn Disk,
    id: SegmentId,
    generation: Generation,
    file: &dyn DiskFile,
    first: ByteOffset,
    end: ByteOffset,
) -> Result<(), OpenError> {
    let len = usize::try_from(end.0 - first.0).expect("a segment fits memory");
    let bytes = disk::read_exact(file, first.0, len).map_err(at(segment::FOLDER))?;
    let name = format!("{first}-{}", segment_file_name(id, generation));
    // From the rename on, a crash finds the copy and rewrites from it; before, the frames are still where they were.
    if !planted(disk, PlantedBug::RewriteWithoutCopy) {
        replace_file(disk, REDO_FOLDER, &name, &bytes).map_err(at(REDO_FOLDER))?;
    }
    file.write_all_at(&bytes, first.0).map_err(at(segment::FOLDER))?;
    file.sync_data().map_err(at(segment::FOLDER))
}

/// Removes the copies of rewrites, whose frames HEAD covers by now.
pub(crate) fn forget_rewrites(disk: &dyn Disk) -> io::Result<()> {
    let names = disk.list(REDO_FOLDER)?;
    if names.is_empty() {
        return Ok(());
    }
    for name in names {
        disk.remove(&disk::join(REDO_FOLDER, &name))?;
    }
    disk.sync_dir(REDO_FOLDER)
}

/// Finishes a rewrite that a crash interrupted.
pub(crate) fn finish_interrupted(disk: &dyn Disk) -> Result<(), OpenError> {
    let names = disk.list(REDO_FOLDER).map_err(at(REDO_FOLDER))?;
    if !names.is_empty() {
        // A kill may have come between a copy's rename and its sync. Writing over acknowledged frames needs a copy that a
        // power cut does not take away.
        disk.sync_dir(REDO_FOLDER).map_err(at(REDO_FOLDER))?;
    }
    for name in names {
        let path = disk::join(REDO_FOLDER, &name);
        if let Some((first, id, generation)) = parse_redo_name(&name) {
            let bytes = disk::read_file(disk, &path, u64::MAX).map_err(at(&path))?;
            let segment_path = segment::segment_path(id, generation);
            let file = disk.open(&segment_path, true).map_err(at(&segment_path))?;
            file.write_all_at(&bytes, first).map_err(at(&segment_path))?;
            file.sync_data().map_err(at(&segment_path))?;
        } else {
            disk.remove(&path).map_err(at(&path))?;
        }
    }
    Ok(())
}

fn parse_redo_name(name: &str) -> Option<(u64, SegmentId, Generation)> {
    let (first, segment) = name.split_once('-')?;
    let (id, generation) = parse_segment_file_name(segment)?;
    Some((first.parse().ok()?, id, generation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_proof::{LeafIndex, Origin};
    use ed25519_dalek::SigningKey;

    #[test]
    fn signatures_of_the_ledgers_key_are_blanked_and_nothing_else() {
        let key = SigningKey::from_bytes(&[3; 32]).verifying_key();
        let key = VerifierKey::new(Origin::new("a").unwrap(), SignatureType::Ed25519, key);
        let mut bytes = vec![7; 40];
        bytes.extend(key.id().0);
        bytes.extend([1, 64, 0]);
        bytes.extend([9; 64]);
        bytes.extend([7; 5]);
        blank_signatures(&mut bytes, &key);
        assert_eq!(bytes[47..111], [0; 64]);
        assert_eq!((&bytes[..40], &bytes[111..]), (&[7; 40][..], &[7; 5][..]));
    }

    #[test]
    fn a_redo_file_names_its_place() {
        let name = format!("8192-{}", segment_file_name(SegmentId(LeafIndex(5)), Generation(0)));
        assert_eq!(parse_redo_name(&name), Some((8192, SegmentId(LeafIndex(5)), Generation(0))));
        assert_eq!(parse_redo_name("8192-x.tmp"), None);
    }
}
