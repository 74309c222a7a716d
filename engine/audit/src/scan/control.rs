//! Control receipts, folded into the rules in their order, and the files that derive from them.

use super::context::Context;
use super::files::{io, open};
use super::segment::Judged;
use super::statements::Statement;
use crate::error::AuditError;
use crate::report::{Code, Finding, Verdict};
use crate::source::SourceFile;
use counterfoil_format::frame::{FrameEntry, Stored};
use counterfoil_format::{ByteOffset, ReceiptRecord};
use counterfoil_proof::{Envelope, LeafIndex, RootHash, Salt, TreeSize};
use counterfoil_rules::{ControlReceipt, EXPORTED_KIND, Exported, Rules};

/// Copy of the control receipts of sealed segments.
pub(super) const CONTROL: &str = "control";

/// A control receipt as its segment holds it.
pub(super) struct Control {
    envelope: Envelope,
    content: Option<(Salt, Vec<u8>)>,
    verdict: Verdict,
    /// Tree size and root before its frame.
    before: (TreeSize, Option<RootHash>),
}

impl Control {
    pub(super) fn of(entry: &FrameEntry<'_>, verdict: Verdict, before: (TreeSize, Option<RootHash>)) -> Self {
        let content = match entry.stored {
            Stored::Present { salt, payload } => Some((salt, payload.to_vec())),
            Stored::Erased => None,
        };
        Self { envelope: entry.envelope.clone(), content, verdict, before }
    }
}

/// What a recovery says it kept, to be compared with the tree of that size.
pub(super) struct Kept {
    pub(super) index: LeafIndex,
    pub(super) size: TreeSize,
    pub(super) root: RootHash,
}

/// The rules so far, and what is left to compare.
#[derive(Default)]
pub(super) struct ControlFold {
    pub(super) rules: Option<Rules>,
    pub(super) kept: Vec<Kept>,
    pub(super) statements: Vec<Statement>,
}

impl ControlFold {
    /// Folds a segment's control receipts, and says which of them break a rule.
    pub(super) fn fold(&mut self, context: &Context<'_>, controls: &[Control]) -> Vec<(LeafIndex, Finding)> {
        let intact = controls.iter().filter(|control| control.verdict == Verdict::Present);
        intact.filter_map(|control| Some((control.envelope.index, self.apply(context, control)?))).collect()
    }

    fn apply(&mut self, context: &Context<'_>, control: &Control) -> Option<Finding> {
        let index = control.envelope.index;
        let violated = |violation: &dyn core::fmt::Display| {
            let envelope = &control.envelope;
            let what =
                format!("receipt {index} ({}, {}): it breaks a rule: {violation}", envelope.stream, envelope.kind);
            Finding::new(Code::ControlViolation, what)
        };
        if index == LeafIndex(0) {
            // Genesis was read before all else.
            self.rules.clone_from(&context.rules);
            return context.bad_genesis.as_ref().map(|violation| violated(violation));
        }
        let (_, payload) = control.content.as_ref()?;
        // When genesis is damaged what follows cannot be judged, and that is said there.
        let rules = self.rules.clone()?;
        let recoveries = rules.recovered().len();
        match rules.apply(ControlReceipt { envelope: &control.envelope, payload }) {
            Err(violation) => Some(violated(&violation)),
            Ok(rules) => {
                let kept = rules.recovered().get(recoveries).and_then(counterfoil_rules::Recovered::kept);
                self.rules = Some(rules);
                if control.envelope.kind.as_str() == EXPORTED_KIND {
                    let exported = Exported::from_payload(payload).ok();
                    self.statements.extend(exported.map(|exported| Statement { index, exported }));
                }
                let (size, root) = kept?;
                match control.before {
                    (before, Some(actual)) if before == size => misstated(size, root, actual),
                    _ => {
                        self.kept.push(Kept { index, size, root });
                        None
                    }
                }
            }
        }
    }
}

/// A recovery that names a tree which never was.
pub(super) fn misstated(size: TreeSize, stated: RootHash, actual: RootHash) -> Option<Finding> {
    let message = format!("a recovery says it kept a tree of size {size} that the ledger never had");
    (stated != actual).then(|| Finding::new(Code::ControlViolation, message).because(actual, stated))
}

/// Compares DIR/control with the control receipts of the sealed segments, piece by piece.
pub(super) struct ControlFile {
    file: Option<Box<dyn SourceFile>>,
    at: u64,
    /// False once it is known that the file differs, or not known any more what it must hold.
    comparable: bool,
    any_sealed: bool,
}

impl ControlFile {
    pub(super) fn open(context: &Context<'_>) -> Result<Self, AuditError> {
        let file = open(context.source, CONTROL)?;
        Ok(Self { file, at: 0, comparable: context.listed.is_pinned(), any_sealed: false })
    }

    /// Goes on with the next segment, in order.
    pub(super) fn compare(&mut self, judged: &Judged) -> Result<Option<Finding>, AuditError> {
        self.any_sealed |= judged.plan.is_sealed();
        let Some(file) = self.file.as_ref().filter(|_| self.comparable) else { return Ok(None) };
        let known = !judged.damaged && judged.controls.iter().all(|control| control.verdict == Verdict::Present);
        // Segments that MANIFEST calls open may be in the file already: it is written before them.
        let ended = !judged.plan.is_sealed() && file.len().map_err(io(CONTROL))? <= self.at;
        self.comparable = known && !ended;
        if !self.comparable {
            return Ok(None);
        }
        let mut expected = Vec::new();
        for control in &judged.controls {
            let content = control.content.as_ref().map(|(salt, payload)| (*salt, payload.as_slice()));
            ReceiptRecord { envelope: control.envelope.clone(), content }.encode_into(&mut expected);
        }
        let mut found = vec![0; expected.len()];
        let read = file.read_at(&mut found, self.at).map_err(io(CONTROL))?;
        let same = expected.iter().zip(&found[..read]).take_while(|(a, b)| a == b).count();
        self.at += same as u64;
        self.comparable = same == expected.len();
        let behind = same == read;
        Ok((!self.comparable).then(|| if behind { self.behind() } else { self.differs() }))
    }

    /// The file ends with the last sealed segment's receipts. It may be ahead of MANIFEST beside a live server.
    pub(super) fn finish(&self, is_current: bool) -> Result<Option<Finding>, AuditError> {
        let Some(file) = &self.file else {
            let message = "control is missing: the copy of all control receipts of sealed segments";
            return Ok(self.any_sealed.then(|| Finding::new(Code::ControlFile, message)));
        };
        let longer = self.comparable && file.len().map_err(io(CONTROL))? > self.at;
        Ok((longer && is_current).then(|| self.differs()))
    }

    fn differs(&self) -> Finding {
        self.note(format!("{CONTROL} does not hold the ledger's control receipts from byte {} on", self.at))
    }

    /// What is there is right. While the ledger is open, MANIFEST may be ahead of the file.
    fn behind(&self) -> Finding {
        self.note(format!("{CONTROL} ends at byte {}, before the last control receipts of sealed segments", self.at))
    }

    fn note(&self, message: String) -> Finding {
        Finding { offset: Some(ByteOffset(self.at)), ..Finding::new(Code::ControlFile, message) }
    }
}
