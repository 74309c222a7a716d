//! Bugs that the crash simulation plants, one at a time, to see that its checks find each of them.
//!
//! The feature `planted-bugs` is for tests of the simulation only. Without it [`planted`] is a constant, and nothing of
//! this is left in the engine.

use crate::disk::Disk;

/// A bug that can be planted. [`Disk::planted`] says which one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "planted-bugs"), expect(unreachable_pub, reason = "exported with the feature only"))]
pub enum PlantedBug {
    /// A frame is published and acknowledged without a sync.
    AcknowledgeBeforeSync,
    /// A sync that failed is tried again, and believed.
    RetrySync,
    /// HEAD is moved before the frames it covers are durable.
    MarkAheadOfData,
    /// A file is put in place without syncing its folder.
    SkipDirectorySync,
    /// Recovery accepts a frame whose checksum is wrong.
    IgnoreFrameChecksum,
    /// Recovery takes what lies behind the last frame for zeros.
    IgnoreDamagedTail,
    /// Of the two slots of HEAD the older one is believed.
    BelieveStaleHead,
    /// Heads of streams are not moved by receipts of segments that are not sealed.
    BelieveStaleStreamHead,
    /// Frames above the mark are published before they are rewritten and HEAD says that they are durable.
    PublishBeforeMark,
    /// Frames above the mark are rewritten in place without a copy in redo/.
    RewriteWithoutCopy,
    /// A damaged tail is zeroed without a copy in cut/.
    CutWithoutCopy,
    /// Ids of batches are forgotten when the ledger is opened.
    ForgetBatchIds,
    /// A condition on a stream's length is not checked.
    IgnoreCondition,
    /// A batch is refused for receipts that are not durable yet.
    RefuseBeforeSync,
    /// Merged stream indexes are removed before the manifest names what replaces them.
    RemoveMergedFirst,
    /// A merged stream index is named without being synced.
    SkipIndexSync,
}

/// True when this bug is planted.
#[cfg(feature = "planted-bugs")]
pub(crate) fn planted(disk: &dyn Disk, bug: PlantedBug) -> bool {
    disk.planted() == Some(bug)
}

/// True when this bug is planted.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn planted(_: &dyn Disk, _: PlantedBug) -> bool {
    false
}
