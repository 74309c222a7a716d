//! Bundles: receipts of a stream or range in one tar file that verifies offline.

use crate::check;
use crate::client::Client;
use crate::error::{Error, VerificationError};
use bytes::Bytes;
use core::time::Duration;
use counterfoil_api::v1::export_response::Part;
use counterfoil_api::{parse, v1};
use counterfoil_proof::{LeafIndex, StreamName, TreeSize, TrustPolicy, VerifiedCheckpoint};
use tokio::time::timeout;
use tonic::{Request, Streaming};

/// Which receipts to export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportScope {
    /// All receipts of a stream.
    Stream(StreamName),
    /// The receipts from an index up to a tree size.
    Range {
        /// Index of the first.
        from: LeafIndex,
        /// Tree size that the last one completes.
        to: TreeSize,
    },
}

/// What a bundle holds, as the server says. Only the checkpoint was checked: the rest stands in the bundle, where
/// `counterfoil-verify bundle` checks it.
#[derive(Clone, Debug)]
pub struct ExportSummary {
    /// How many receipts.
    pub receipts: u64,
    /// Tree size at which they were counted.
    pub size: TreeSize,
    /// The receipt that states this; `None` when the ledger could not append, so that completeness is not stated.
    pub statement: Option<LeafIndex>,
    /// The checkpoint that all proofs of the bundle lead to.
    pub checkpoint: VerifiedCheckpoint,
}

/// A bundle on its way. Its bytes are a bundle only once [`Export::next`] gave `None`.
#[derive(Debug)]
pub struct Export {
    summary: ExportSummary,
    parts: Streaming<v1::ExportResponse>,
    after: Duration,
}

impl Client {
    /// Exports the receipts of a scope as a bundle, with consistency proofs to older trees of these sizes. Where it can,
    /// the ledger first appends a receipt that states what the bundle holds. The time limit of this client holds for each
    /// part of the answer.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such stream, receipt or tree size; [`Error::Verification`] when the checkpoint
    /// is not signed by whom we trust.
    pub async fn export(&self, scope: &ExportScope, seen: &[TreeSize]) -> Result<Export, Error> {
        use v1::export_request::Scope as Wire;
        let scope = match scope {
            ExportScope::Stream(stream) => Wire::Stream(stream.to_string()),
            ExportScope::Range { from, to } => Wire::Range(v1::IndexRange { from: from.0, to: to.0 }),
        };
        let request = v1::ExportRequest {
            ledger: self.ledger(),
            scope: Some(scope),
            seen_sizes: seen.iter().map(|size| size.0).collect(),
        };
        let after = self.shared.timeout;
        // No deadline for the server: a large bundle takes its time, and every part of it has the time limit.
        let mut parts = crate::client::answer(after, self.rpc.clone().export(Request::new(request))).await?;
        match part(&mut parts, after).await? {
            Some(Part::Summary(stated)) => {
                let summary = summary(stated, &self.shared.trust)?;
                Ok(Export { summary, parts, after })
            }
            _ => Err(out_of_order()),
        }
    }
}

impl Export {
    /// What the bundle holds.
    #[must_use]
    pub fn summary(&self) -> &ExportSummary {
        &self.summary
    }

    /// The next bytes of the bundle; `None` at its end.
    ///
    /// # Errors
    /// [`Error`], as every call. What came before is then no bundle.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match part(&mut self.parts, self.after).await? {
            Some(Part::Chunk(bytes)) => Ok(Some(bytes)),
            None => Ok(None),
            Some(Part::Summary(_)) => Err(out_of_order()),
        }
    }
}

async fn part(parts: &mut Streaming<v1::ExportResponse>, after: Duration) -> Result<Option<Part>, Error> {
    match timeout(after, parts.message()).await {
        Ok(Ok(Some(answer))) => Ok(Some(parse::required("part", answer.part)?)),
        Ok(Ok(None)) => Ok(None),
        Ok(Err(status)) => Err(Error::from_status(&status, after)),
        Err(_) => Err(Error::Timeout { after }),
    }
}

fn summary(stated: v1::ExportSummary, trust: &TrustPolicy) -> Result<ExportSummary, Error> {
    let checkpoint = check::checkpoint(&stated.checkpoint, trust)?;
    let covered = checkpoint.checkpoint().size;
    let statement = stated.statement.map(LeafIndex);
    if let Some(index) = statement.filter(|index| !covered.contains(*index)) {
        return Err(VerificationError::NotCovered { index }.into());
    }
    Ok(ExportSummary { receipts: stated.receipts, size: TreeSize(stated.size), statement, checkpoint })
}

fn out_of_order() -> Error {
    VerificationError::Count { what: "summaries", asked: 1, found: 0 }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_proof::{CheckpointSigner, Hash, Origin};
    use ed25519_dalek::SigningKey;

    fn signer(seed: u8) -> CheckpointSigner {
        CheckpointSigner::new(Origin::new("example.com/a").unwrap(), SigningKey::from_bytes(&[seed; 32]))
    }

    fn stated(signer: &CheckpointSigner, statement: Option<u64>) -> Result<ExportSummary, Error> {
        let checkpoint = signer.sign(TreeSize(5), Hash([3; 32])).to_string();
        let trust = TrustPolicy::single(self::signer(1).verifier().clone()).unwrap();
        summary(v1::ExportSummary { receipts: 2, size: 4, statement, checkpoint }, &trust)
    }

    #[test]
    fn a_statement_is_covered_by_a_checkpoint_that_is_trusted() {
        assert_eq!(stated(&signer(1), Some(4)).unwrap().statement, Some(LeafIndex(4)));
        assert_eq!(stated(&signer(1), None).unwrap().statement, None);
        assert_eq!(stated(&signer(1), Some(5)).unwrap_err().code(), "NOT_COVERED");
        assert_eq!(stated(&signer(2), Some(4)).unwrap_err().code(), "UNTRUSTED_CHECKPOINT");
    }
}
