//! Exports, and what the verifier must say of their bundles.

use crate::broken::Broken;
use crate::crash_disk::CrashDisk;
use crate::model::Known;
use crate::run::{Flow, Process};
use counterfoil_audit::{Anchor, Completeness, Options, Trust, verify_bundle};
use counterfoil_engine::{ExportScope, ExportSummary};
use counterfoil_proof::{LeafIndex, TreeSize, TrustPolicy};

impl Process<'_> {
    /// Exports a stream or all receipts with faults in play, and has the bundle judged. Whatever comes of it, the ledger
    /// may hold one statement more.
    pub(crate) fn export(&mut self) -> Result<Flow, Broken> {
        let scope = self.scope();
        let expected = match &scope {
            ExportScope::Stream(stream) => self.model.stream(stream).0,
            ExportScope::Range { to, .. } => to.0,
        };
        let begun = self.ledger().export(scope, &[]);
        // The bundle is read when nothing else uses the disk.
        self.idle()?;
        let exported = begun.and_then(|export| {
            let summary = export.summary().clone();
            let pieces = export.collect::<Result<Vec<_>, _>>()?;
            Ok((summary, pieces.concat()))
        });
        let flow = self.flow();
        let known = self.model.receipts.len() as u64;
        match exported {
            Ok((summary, bundle)) => {
                self.take_in_statement(&summary, known)?;
                if !self.model.hand_out(&summary.checkpoint) {
                    return Err(Broken::Forked { size: summary.checkpoint.unverified().size });
                }
                CrashDisk::observe(|| self.judge(&summary, &bundle, expected))?;
                self.check_published(flow)
            }
            Err(_) if self.disk.faulted() => {
                let size = CrashDisk::observe(|| self.ledger().checkpoint().unverified().size);
                if flow == Flow::On && size.0 == known + 1 {
                    self.take_in(LeafIndex(known))?;
                }
                Ok(flow)
            }
            Err(error) => Err(Broken::NotExported(error)),
        }
    }

    fn scope(&mut self) -> ExportScope {
        let known = self.model.receipts.len() as u64;
        if self.rng.chance(1, 4) {
            return ExportScope::Range { from: LeafIndex(0), to: TreeSize(known) };
        }
        let nth = self.rng.below(self.model.streams.len() as u64);
        let stream = self.model.streams.keys().nth(usize::try_from(nth).expect("a few streams"));
        ExportScope::Stream(stream.expect("below their number").clone())
    }

    /// The statement is acknowledged: from here on it must be there.
    fn take_in_statement(&mut self, summary: &ExportSummary, known: u64) -> Result<(), Broken> {
        match summary.statement {
            Some(LeafIndex(index)) if index == known => self.take_in(LeafIndex(known)),
            Some(_) => Err(Broken::WrongAnswer { expected: "the statement at the next leaf index" }),
            // On a full disk nothing is stated.
            None if self.disk.faulted() => Ok(()),
            None => Err(Broken::WrongAnswer { expected: "a statement of what is exported" }),
        }
    }

    fn take_in(&mut self, index: LeafIndex) -> Result<(), Broken> {
        let receipt = CrashDisk::observe(|| self.ledger().get(index));
        let receipt = receipt.map_err(|source| Broken::Unreadable { index, source })?;
        let known = Known::found(&receipt).filter(|_| receipt.envelope.is_control());
        self.model.push(known.ok_or(Broken::Stray { index })?);
        Ok(())
    }

    fn judge(&self, summary: &ExportSummary, bundle: &[u8], expected: u64) -> Result<(), Broken> {
        let identity = self.model.identity.as_ref().expect("the ledger was opened");
        let mut trust = Trust::new(Anchor::Policy(TrustPolicy::single(identity.checkpoint_key.clone())?));
        trust.genesis = Some(identity.ledger_id);
        let report = verify_bundle(bundle, &trust, &Options::default())?;
        let complete = match (&summary.scope, summary.statement) {
            (ExportScope::Range { .. }, _) => Completeness::Proven,
            (ExportScope::Stream(_), Some(_)) => Completeness::Stated,
            (ExportScope::Stream(_), None) => Completeness::NotStated,
        };
        let right = report.verified() && report.complete == Some(complete) && report.verdicts.present == expected;
        if right { Ok(()) } else { Err(Broken::NotVerified { findings: format!("{:?}", report.findings) }) }
    }
}
