//! Counting verdicts and findings on the right side of the durable mark.

use crate::report::{Code, FINDINGS_MAX, Finding, Severity, Tail, Verdict, Verdicts};
use counterfoil_proof::{SignedCheckpoint, TreeSize};

/// What was found out about neighbouring receipts that became durable together or not at all.
pub(super) struct Unit {
    /// Tree size before the first of them.
    pub(super) first: TreeSize,
    /// Tree size after the last of them.
    pub(super) end: TreeSize,
    pub(super) verdicts: Verdicts,
    pub(super) findings: Vec<Finding>,
    /// The checkpoint behind them, its signature checked.
    pub(super) checkpoint: Option<SignedCheckpoint>,
    /// Bytes that are neither frames nor zeros.
    pub(super) damaged_bytes: u64,
    /// False when recovery would not take these bytes for a frame.
    pub(super) accepted: bool,
}

impl Unit {
    pub(super) fn new(first: TreeSize, end: TreeSize) -> Self {
        Self {
            first,
            end,
            verdicts: Verdicts::default(),
            findings: Vec::new(),
            checkpoint: None,
            damaged_bytes: 0,
            accepted: true,
        }
    }

    /// Receipts of which nothing can be read.
    pub(super) fn lost(first: TreeSize, end: TreeSize, verdict: Verdict) -> Self {
        let mut unit = Self { accepted: false, ..Self::new(first, end) };
        unit.verdicts.add(verdict, end.0.saturating_sub(first.0));
        unit
    }

    pub(super) fn with(mut self, finding: Finding) -> Self {
        self.findings.push(finding);
        self
    }
}

/// All that was found, in the order of the ledger. The mark may rise while the ledger is read, so what lies above it is
/// kept apart until it is known on which side it ends.
pub(super) struct Account {
    mark: TreeSize,
    verdicts: Verdicts,
    findings: Vec<Finding>,
    left_out: u64,
    failures: u64,
    checkpoint: Option<SignedCheckpoint>,
    pending: Vec<Unit>,
}

/// What is left when the whole ledger was read.
pub(super) struct Settled {
    pub(super) verdicts: Verdicts,
    pub(super) findings: Vec<Finding>,
    pub(super) checkpoint: Option<SignedCheckpoint>,
    pub(super) tail: Tail,
}

impl Account {
    /// Nothing was read yet of a ledger with this mark.
    pub(super) fn new(mark: TreeSize) -> Self {
        Self {
            mark,
            verdicts: Verdicts::default(),
            findings: Vec::new(),
            left_out: 0,
            failures: 0,
            checkpoint: None,
            pending: Vec::new(),
        }
    }

    /// Tree size known durable so far.
    pub(super) fn mark(&self) -> TreeSize {
        self.mark
    }

    /// The last checkpoint at or below the mark whose signature was checked.
    pub(super) fn checkpoint(&self) -> Option<&SignedCheckpoint> {
        self.checkpoint.as_ref()
    }

    /// Failures reported so far, above the mark or below.
    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    pub(super) fn raise_mark(&mut self, mark: TreeSize) {
        if mark > self.mark {
            self.mark = mark;
            self.absorb();
        }
    }

    pub(super) fn settle(&mut self, unit: Unit) {
        self.failures += unit.findings.iter().filter(|finding| finding.severity == Severity::Failure).count() as u64;
        self.pending.push(unit);
        self.absorb();
    }

    /// Receipts whose payloads are the ones committed to, on either side of the mark.
    pub(super) fn present(&self) -> u64 {
        self.pending.iter().map(|unit| unit.verdicts.present).sum::<u64>() + self.verdicts.present
    }

    /// Adds what was found out about the part of the ledger that follows.
    pub(super) fn append(&mut self, part: Self) {
        self.raise_mark(part.mark);
        self.verdicts.add_all(&part.verdicts);
        part.findings.into_iter().for_each(|finding| self.list(finding));
        self.left_out += part.left_out;
        self.failures += part.failures;
        if part.checkpoint.is_some() {
            self.checkpoint = part.checkpoint;
        }
        self.pending.extend(part.pending);
        self.absorb();
    }

    /// A finding about the ledger as a whole, or about its files.
    pub(super) fn report(&mut self, finding: Finding) {
        self.failures += u64::from(finding.severity == Severity::Failure);
        self.list(finding);
    }

    fn absorb(&mut self) {
        let (below, above) = self.pending.drain(..).partition(|unit| unit.first < self.mark);
        self.pending = above;
        let below: Vec<Unit> = below;
        for unit in below {
            self.verdicts.add_all(&unit.verdicts);
            if unit.checkpoint.is_some() {
                self.checkpoint = unit.checkpoint;
            }
            for finding in unit.findings {
                self.list(finding);
            }
        }
    }

    fn list(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else {
            self.left_out += 1;
        }
    }

    pub(super) fn finish(mut self) -> Settled {
        let mut tail = Tail::default();
        for unit in self.pending {
            tail.damaged_bytes += unit.damaged_bytes;
            if unit.accepted {
                tail.receipts += unit.verdicts.total();
                tail.size = tail.size.max(Some(unit.end));
            }
            let room = FINDINGS_MAX.saturating_sub(tail.findings.len());
            tail.findings
                .extend(unit.findings.into_iter().take(room).map(|one| Finding { severity: Severity::Note, ..one }));
        }
        if self.left_out > 0 {
            let message = format!("{} more findings are not listed", self.left_out);
            self.findings.push(Finding::new(Code::MoreFindings, message));
        }
        self.findings.sort_by_key(|finding| finding.severity);
        Settled { verdicts: self.verdicts, findings: self.findings, checkpoint: self.checkpoint, tail }
    }
}
