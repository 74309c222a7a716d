//! DIR/control: a copy of the control receipts of sealed segments, so that the rules are known without opening those.
//!
//! It is derived. The chain of control receipts tells whether it is whole; when it is not, it is made again from the
//! segments.

use crate::disk::{self, Disk, DiskFile, replace_file};
use counterfoil_format::ReceiptRecord;
use counterfoil_proof::{Envelope, Hash, LeafHash, Salt, StreamSeq};
use std::io;
use std::sync::Arc;

pub(crate) const CONTROL_FILE: &str = "control";
/// A file this long is not ours: control receipts are few.
const CONTROL_LEN_MAX: u64 = 1 << 30;
/// Genesis is far shorter.
const FIRST_LEN_MAX: usize = 64 * 1024;

/// One control receipt.
#[derive(Clone, Debug)]
pub(crate) struct ControlCopy {
    pub(crate) envelope: Envelope,
    pub(crate) salt: Salt,
    pub(crate) payload: Vec<u8>,
}

impl ControlCopy {
    fn encode_into(&self, out: &mut Vec<u8>) {
        let content = Some((self.salt, self.payload.as_slice()));
        ReceiptRecord { envelope: self.envelope.clone(), content }.encode_into(out);
    }
}

/// What the file holds.
pub(crate) struct Copies {
    pub(crate) copies: Vec<ControlCopy>,
    /// More follows: copies for a segment that was not sealed after all, whole or not.
    pub(crate) more: bool,
}

/// Reads the copies of the first `count` control receipts, the last of which has the leaf hash `head`; `None` when the
/// file does not begin with those.
pub(crate) fn read(disk: &dyn Disk, count: StreamSeq, head: LeafHash) -> Option<Copies> {
    let bytes = disk::read_file(disk, CONTROL_FILE, CONTROL_LEN_MAX).ok()?;
    let mut rest = bytes.as_slice();
    let mut copies = Vec::new();
    let mut last = Hash::ZERO;
    while (copies.len() as u64) < count.0 {
        let (record, len) = ReceiptRecord::decode(rest).ok()?;
        let (salt, payload) = record.content?;
        let envelope = record.envelope;
        let follows = envelope.is_control()
            && envelope.control_seq == StreamSeq(copies.len() as u64)
            && envelope.control_head == last
            && envelope.commitment.opens_to(&salt, payload);
        if !follows {
            return None;
        }
        last = envelope.leaf_hash();
        copies.push(ControlCopy { envelope, salt, payload: payload.to_vec() });
        rest = &rest[len..];
    }
    (last == head).then_some(Copies { copies, more: !rest.is_empty() })
}

/// The copy of the first control receipt, which is genesis if its leaf hash is the ledger's id.
pub(crate) fn read_first(disk: &dyn Disk) -> Option<ControlCopy> {
    let file = disk.open(CONTROL_FILE, false).ok()?;
    let mut bytes = vec![0; FIRST_LEN_MAX];
    let len = file.read_at(&mut bytes, 0).ok()?;
    let (record, _) = ReceiptRecord::decode(&bytes[..len]).ok()?;
    let (salt, payload) = record.content?;
    let opens = record.envelope.commitment.opens_to(&salt, payload);
    opens.then(|| ControlCopy { envelope: record.envelope.clone(), salt, payload: payload.to_vec() })
}

/// Writes the whole file anew, or does not begin one that would be empty.
pub(crate) fn replace(disk: &dyn Disk, copies: &[ControlCopy]) -> io::Result<()> {
    if copies.is_empty() && disk.file_len(CONTROL_FILE).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(());
    }
    let mut bytes = Vec::new();
    copies.iter().for_each(|copy| copy.encode_into(&mut bytes));
    replace_file(disk, "", CONTROL_FILE, &bytes)
}

/// The file while the ledger is open for writing.
#[derive(Default)]
pub(crate) struct ControlFile {
    file: Option<Arc<dyn DiskFile>>,
    len: u64,
}

impl ControlFile {
    /// Writes copies behind the others, durable when this returns, and says how long the file is with them. They belong to
    /// it once [`ControlFile::keep`] is told so; until then the next call writes over them.
    pub(crate) fn write_behind(&mut self, disk: &dyn Disk, copies: &[ControlCopy]) -> io::Result<u64> {
        if copies.is_empty() {
            return Ok(self.len);
        }
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.open(disk)?,
        };
        let mut bytes = Vec::new();
        copies.iter().for_each(|copy| copy.encode_into(&mut bytes));
        file.write_all_at(&bytes, self.len)?;
        file.sync_all()?;
        Ok(self.len + bytes.len() as u64)
    }

    /// What was written behind the others belongs to the file.
    pub(crate) fn keep(&mut self, len: u64) {
        self.len = len;
    }

    fn open(&mut self, disk: &dyn Disk) -> io::Result<Arc<dyn DiskFile>> {
        let file = match disk.open(CONTROL_FILE, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = disk.create(CONTROL_FILE)?;
                disk.sync_dir("")?;
                file
            }
            other => other?,
        };
        self.len = file.len()?;
        self.file = Some(file.clone());
        Ok(file)
    }
}
