//! Reading a ledger once, front to back, and judging every receipt on the way.
//!
//! *Invariants*: no byte of the ledger is trusted before a check from outside reaches it; every length is bounded by the
//! file it stands in before memory is taken; damage in one place never keeps a later place from being read.

mod account;
mod chain;
mod damage;
mod files;
mod finish;
mod judge;
mod keys;
mod leaf_aid;
mod seal;
mod segment;

use crate::error::AuditError;
use crate::report::{Finding, Report, Verdict};
use crate::source::Source;
use crate::trust::{Anchor, Options, Trust};
use account::Account;
use chain::Chain;
use counterfoil_format::{ManifestEntry, SegmentState};
use counterfoil_proof::{Envelope, LeafHash, LeafIndex, Origin, Salt, TreeSize};
use files::Head;
use keys::Keys;

/// Verifies a whole ledger directory.
///
/// # Errors
/// [`AuditError`] when the verification could not be completed. Whatever is wrong with the ledger is in the report.
pub fn verify_ledger(source: &dyn Source, trust: &Trust, options: &Options) -> Result<Report, AuditError> {
    Ok(Scan::new(source, trust, options, None)?.run()?.0)
}

/// One receipt of a ledger that was verified as a whole.
#[derive(Clone, Debug)]
pub struct ShownReceipt {
    /// The envelope.
    pub envelope: Envelope,
    /// Its leaf hash, as the tree holds it.
    pub leaf: LeafHash,
    /// Name of its retention class.
    pub class: String,
    /// Salt and payload, if they are there and open the commitment.
    pub content: Option<(Salt, Vec<u8>)>,
    /// The verdict over it.
    pub verdict: Verdict,
}

/// Verifies a whole ledger and returns one receipt of it; `None` when its envelope could not be read.
///
/// # Errors
/// [`AuditError::UnknownIndex`] when the ledger does not hold it, and as [`verify_ledger`].
pub fn show_receipt(
    source: &dyn Source,
    trust: &Trust,
    options: &Options,
    index: LeafIndex,
) -> Result<(Option<ShownReceipt>, Report), AuditError> {
    let (report, shown) = Scan::new(source, trust, options, Some(index))?.run()?;
    let size = report.tail.size.unwrap_or(report.size).max(report.size);
    if !size.contains(index) {
        return Err(AuditError::UnknownIndex { index, size });
    }
    Ok((shown, report))
}

/// A verification in progress.
struct Scan<'a> {
    source: &'a dyn Source,
    trust: &'a Trust,
    options: &'a Options,
    wanted: Option<LeafIndex>,
    shown: Option<ShownReceipt>,
    account: Account,
    chain: Chain,
    keys: Keys,
    head: Head,
    entries: Vec<ManifestEntry>,
    manifest_id: Option<LeafHash>,
    /// End of the last frame read, for HEAD: tree size, segment and offset.
    last_frame: Option<(TreeSize, segment::Place)>,
    progress_at: u64,
    /// What the first segment's header says of the ledger, until genesis can be asked.
    first_header: Option<(segment::Place, LeafHash, Origin)>,
}

impl<'a> Scan<'a> {
    fn new(
        source: &'a dyn Source,
        trust: &'a Trust,
        options: &'a Options,
        wanted: Option<LeafIndex>,
    ) -> Result<Self, AuditError> {
        if let Anchor::Policy(policy) = &trust.anchor
            && policy.asks_for_witnesses()
            && trust.seen.is_empty()
        {
            return Err(AuditError::NotPossible {
                check: "the policy's quorum of witnesses",
                reason: "a ledger directory holds no cosignatures",
                next: "give a cosigned checkpoint of this ledger with --seen",
            });
        }
        files::check_is_ledger(source)?;
        // HEAD before MANIFEST before segments: each is then at least as new as what was read before it.
        let head = files::read_head(source)?;
        let segments = files::read_segments(source)?;
        let watched = head.slots.iter().map(|slot| slot.size);
        let watched = watched.chain(trust.seen.iter().map(|note| note.unverified().size));
        let mut account = Account::new();
        head.findings.iter().chain(&segments.findings).for_each(|finding| account.report(finding.clone()));
        for slot in &head.slots {
            account.raise_mark(slot.size);
        }
        for entry in &segments.entries {
            // A segment is begun, and another sealed, only when all before it is durable.
            account.raise_mark(TreeSize(entry.id.0.0));
            if let SegmentState::Sealed { end, .. } = entry.state {
                account.raise_mark(end);
            }
        }
        Ok(Self {
            source,
            trust,
            options,
            wanted,
            shown: None,
            chain: Chain::new(watched),
            account,
            keys: Keys::new(trust, options.all_signatures),
            head,
            entries: segments.entries,
            manifest_id: segments.ledger_id,
            last_frame: None,
            progress_at: 0,
            first_header: None,
        })
    }

    fn run(mut self) -> Result<(Report, Option<ShownReceipt>), AuditError> {
        let entries = core::mem::take(&mut self.entries);
        for (at, entry) in entries.iter().enumerate() {
            let next = entries.get(at + 1).map(|next| TreeSize(next.id.0.0));
            self.segment(entry, next)?;
            self.check_first_header();
        }
        for finding in files::check_other_files(self.source, &entries)? {
            self.report(finding);
        }
        self.entries = entries;
        self.finish()
    }

    fn report(&mut self, finding: Finding) {
        self.account.report(finding);
    }
}
