//! Whose signatures count, and which were checked.

use super::account::Unit;
use super::segment_file::Place;
use crate::report::{Code, Finding};
use crate::trust::{Anchor, Trust};
use counterfoil_format::frame::FrameCommit;
use counterfoil_proof::{Checkpoint, Origin, RootHash, SignedCheckpoint, TreeSize, TrustPolicy, VerifierKey};
use counterfoil_rules::Genesis;

/// The keys that sign this ledger's frames.
pub(super) struct Keys {
    policy: Option<TrustPolicy>,
    /// Keys from outside, before genesis was compared with them.
    given: bool,
    origin: Option<Origin>,
}

/// A frame whose signature is to be checked if it turns out to be the last of its segment.
pub(super) struct Unchecked {
    pub(super) place: Place,
    pub(super) first: TreeSize,
    pub(super) commit: FrameCommit,
}

/// Why a frame counts as unsigned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsigned {
    #[error("there is no key to check it with")]
    NoKey,
    #[error("{0}")]
    Untrusted(String),
}

impl Keys {
    pub(super) fn new(trust: &Trust) -> Self {
        let policy = match &trust.anchor {
            Anchor::Policy(policy) => Some(policy.without_witnesses()),
            Anchor::SelfAsserted => None,
        };
        let origin = policy.as_ref().and_then(|policy| policy.logs().first()).map(|key| key.name().clone());
        Self { given: policy.is_some(), policy, origin }
    }

    /// The keys whose signatures count.
    pub(super) fn trusted(&self) -> Vec<VerifierKey> {
        self.policy.as_ref().map_or_else(Vec::new, |policy| policy.logs().to_vec())
    }

    pub(super) fn policy(&self) -> Option<&TrustPolicy> {
        self.policy.as_ref()
    }

    pub(super) fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The first segment's header names the origin; genesis, once read, has the last word.
    pub(super) fn learn_origin(&mut self, origin: &Origin) {
        self.origin = Some(origin.clone());
    }

    /// Genesis names the checkpoint key. When it is not one of the trusted ones the ledger has failed; the rest is then
    /// checked against genesis's own key, so that the report still tells damage from forgery.
    pub(super) fn learn_genesis(&mut self, genesis: &Genesis) -> Option<Finding> {
        self.origin = Some(genesis.origin.clone());
        let key = &genesis.checkpoint_key;
        let trusted = self.policy.as_ref().is_some_and(|policy| policy.logs().contains(key));
        if trusted {
            return None;
        }
        let expected = self.trusted().iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        self.policy = TrustPolicy::single(key.clone()).ok();
        self.given.then(|| {
            let message = "genesis names a checkpoint key that is not trusted; signatures below were checked against \
                           that key, which shows nothing about whose ledger this is";
            Finding::new(Code::KeyMismatch, message).because(expected, key)
        })
    }

    /// Checks the signatures of a frame over this root.
    pub(super) fn check(&self, commit: &FrameCommit, root: RootHash) -> Result<SignedCheckpoint, Unsigned> {
        let (Some(policy), Some(origin)) = (&self.policy, &self.origin) else { return Err(Unsigned::NoKey) };
        let checkpoint = Checkpoint { origin: origin.clone(), size: commit.size, root };
        let signatures = commit.signatures.iter().map(|signature| signature.to_note(origin)).collect();
        let signed = SignedCheckpoint::new(checkpoint, signatures).map_err(|e| Unsigned::Untrusted(e.to_string()))?;
        signed.clone().verify(policy).map_err(|error| Unsigned::Untrusted(error.to_string()))?;
        Ok(signed)
    }

    /// Checks a frame's signature for the report: the checkpoint, or what is wrong with it.
    pub(super) fn judge(&self, unit: &mut Unit, commit: &FrameCommit, root: RootHash, place: &Place) -> bool {
        match self.check(commit, root) {
            Ok(checkpoint) => {
                unit.checkpoint = Some(checkpoint);
                true
            }
            // Said once, when the ledger's end is reached.
            Err(Unsigned::NoKey) => false,
            Err(error) => {
                let message = format!("the checkpoint of size {} is not signed by a trusted key: {error}", commit.size);
                unit.findings.push(place.finding(Code::Signature, message));
                false
            }
        }
    }
}
