//! Checking a proof file without any ledger.

use crate::error::AuditError;
use crate::receipt::{ReceiptDocument, ReceiptError};
use crate::trust::{Anchor, Trust};
use counterfoil_proof::{
    Checkpoint, ConsistencyFile, InclusionFile, LeafHash, LeafIndex, ProofFileError, RootHash, TreeSize, TrustPolicy,
    VerifiedCheckpoint,
};

/// What an inclusion proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProofReport {
    /// Position of the receipt.
    pub index: LeafIndex,
    /// Its leaf hash.
    pub leaf: LeafHash,
    /// The trusted checkpoint whose tree holds it.
    pub checkpoint: VerifiedCheckpoint,
    /// True when the payload opens the commitment; false when the receipt came without its payload.
    pub payload_checked: bool,
}

/// What a consistency proof shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsistencyReport {
    /// Size of the older tree.
    pub old: TreeSize,
    /// Its root.
    pub old_root: RootHash,
    /// The trusted checkpoint it is a prefix of.
    pub checkpoint: VerifiedCheckpoint,
}

/// Why a proof shows nothing.
#[derive(Debug, thiserror::Error)]
pub enum ProofFailure {
    /// The receipt is malformed or contradicts itself.
    #[error("the receipt: {0}")]
    Receipt(#[from] ReceiptError),
    /// The proof is malformed, not trusted or leads elsewhere.
    #[error("the proof: {0}")]
    Proof(#[from] ProofFileError),
    /// The proof is about another receipt.
    #[error("the proof is about receipt {proof}, the receipt says it is {receipt}; ask for the proof of this receipt")]
    OtherReceipt {
        /// Index in the proof.
        proof: LeafIndex,
        /// Index in the envelope.
        receipt: LeafIndex,
    },
    /// The payload is not the one committed to.
    #[error("the payload of receipt {index} is not the one its envelope commits to")]
    Commitment {
        /// The receipt.
        index: LeafIndex,
    },
    /// The receipt is index 0 of another ledger than the one asked for.
    #[error("this is genesis {found}, the ledger asked for has genesis {expected}")]
    OtherLedger {
        /// Ledger id asked for.
        expected: LeafHash,
        /// Leaf hash of the receipt.
        found: LeafHash,
    },
    /// A checkpoint seen earlier states another root for the same size.
    #[error("the ledger forked: the checkpoint seen earlier and this proof state different roots for size {size}")]
    Forked {
        /// The size.
        size: TreeSize,
    },
    /// A checkpoint seen earlier is not trusted.
    #[error("the checkpoint seen earlier: {0}")]
    SeenUntrusted(counterfoil_proof::PolicyError),
    /// The check could not be made.
    #[error(transparent)]
    Incomplete(#[from] AuditError),
}

/// Checks that a receipt is in a ledger that `trust` accepts: the shown fields fit the envelope, the envelope is in the
/// tree of a trusted checkpoint, the payload opens its commitment.
///
/// # Errors
/// [`ProofFailure`] names the first step that does not hold.
pub fn verify_inclusion(proof: &[u8], receipt_json: &[u8], trust: &Trust) -> Result<ProofReport, ProofFailure> {
    let policy = outside(trust)?;
    let receipt = ReceiptDocument::parse(receipt_json)?;
    let file = InclusionFile::parse(proof)?;
    let index = file.proof.index;
    if index != receipt.envelope.index {
        return Err(ProofFailure::OtherReceipt { proof: index, receipt: receipt.envelope.index });
    }
    let checkpoint = file.verify(&receipt.leaf, policy)?;
    if let Some((salt, payload)) = &receipt.content
        && !receipt.envelope.commitment.opens_to(salt, payload)
    {
        return Err(ProofFailure::Commitment { index });
    }
    if let Some(expected) = trust.genesis {
        check_genesis(expected, index, receipt.leaf)?;
    }
    let stated = checkpoint.checkpoint();
    check_seen(trust, policy, &[(stated.size, stated.root)], stated)?;
    Ok(ProofReport { index, leaf: receipt.leaf, checkpoint, payload_checked: receipt.content.is_some() })
}

/// Checks that an older tree is a prefix of a checkpoint that `trust` accepts. Checkpoints seen earlier must be of one of
/// the two sizes and state the same root.
///
/// # Errors
/// [`ProofFailure`] names the first step that does not hold.
pub fn verify_consistency(proof: &[u8], trust: &Trust) -> Result<ConsistencyReport, ProofFailure> {
    let policy = outside(trust)?;
    if trust.genesis.is_some() {
        return Err(AuditError::NotPossible {
            check: "--genesis",
            reason: "a consistency proof does not hold genesis",
            next: "verify the proof of receipt 0, or the ledger directory, with --genesis",
        }
        .into());
    }
    let file = ConsistencyFile::parse(proof)?;
    let (old, old_root) = (file.proof.old, file.old_root);
    let checkpoint = file.verify(policy)?;
    let stated = checkpoint.checkpoint();
    check_seen(trust, policy, &[(old, old_root), (stated.size, stated.root)], stated)?;
    Ok(ConsistencyReport { old, old_root, checkpoint })
}

fn outside(trust: &Trust) -> Result<&TrustPolicy, AuditError> {
    match &trust.anchor {
        Anchor::Policy(policy) => Ok(policy),
        Anchor::SelfAsserted => Err(AuditError::NotPossible {
            check: "--self-asserted",
            reason: "a proof file does not hold genesis, which names the ledger's own key",
            next: "give the ledger's key with --key or a policy with --policy",
        }),
    }
}

fn check_genesis(expected: LeafHash, index: LeafIndex, leaf: LeafHash) -> Result<(), ProofFailure> {
    if index != LeafIndex(0) {
        let reason = "a proof ties only receipt 0 to the ledger's id";
        let next = "verify the proof of receipt 0 with --genesis; the key must be the same in both";
        return Err(AuditError::NotPossible { check: "--genesis", reason, next }.into());
    }
    if leaf == expected { Ok(()) } else { Err(ProofFailure::OtherLedger { expected, found: leaf }) }
}

fn check_seen(
    trust: &Trust,
    policy: &TrustPolicy,
    known: &[(TreeSize, RootHash)],
    stated: &Checkpoint,
) -> Result<(), ProofFailure> {
    for note in &trust.seen {
        let verified = note.clone().verify(policy).map_err(ProofFailure::SeenUntrusted)?;
        let seen = verified.checkpoint();
        let same_size = known.iter().find(|(size, _)| *size == seen.size && seen.origin == stated.origin);
        match same_size {
            Some((_, root)) if *root == seen.root => {}
            Some((size, _)) => return Err(ProofFailure::Forked { size: *size }),
            None => {
                let reason = "the checkpoint seen earlier has another size or origin than those in the proof";
                let next =
                    "ask for `counterfoil prove --consistency OLD NEW` with the size of the note, and verify that";
                return Err(AuditError::NotPossible { check: "--seen", reason, next }.into());
            }
        }
    }
    Ok(())
}
