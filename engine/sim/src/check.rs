//! What must hold after every opening.

use crate::machine::Machine;
use crate::model::{Known, Model};
use counterfoil_audit::{Anchor, AuditError, Options, Trust, verify_ledger};
use counterfoil_engine::{AppendError, CreateError, Disk, Ledger, OpenError, ReadError, Receipt};
use counterfoil_proof::{
    Hash, LeafIndex, MerkleError, PolicyError, RootHash, StreamName, StreamSeq, TreeSize, TrustPolicy,
};
use std::collections::BTreeMap;
use std::io;

/// A promise of the engine that a case saw broken.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}, boot {boot}: {broken}")]
pub struct Violation {
    /// Seed of the case.
    pub seed: u64,
    /// 0-based process of the case.
    pub boot: usize,
    /// Which promise.
    #[source]
    pub broken: Broken,
}

/// A broken promise.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// Creating failed without a fault.
    #[error("creating failed although nothing was wrong")]
    NotCreated(#[source] CreateError),
    /// A ledger that was created, or acknowledged something, is not there any more.
    #[error("the ledger is gone")]
    Gone,
    /// Opening failed after nothing worse than a crash.
    #[error("opening failed although the disk only crashed or failed once: {0}")]
    NotOpened(#[source] OpenError),
    /// A failing call was taken for damage.
    #[error("one failed call was taken for damage: {0}")]
    FaultTakenForDamage(#[source] OpenError),
    /// The ledger has another identity.
    #[error("the ledger has another id or key than it was created with")]
    OtherIdentity,
    /// Fewer receipts than were acknowledged or published.
    #[error("{found} receipts are there, {expected} were acknowledged or published")]
    Lost {
        /// Receipts known.
        expected: u64,
        /// Receipts found.
        found: u64,
    },
    /// A receipt is not what was acknowledged.
    #[error("receipt {index} is not what was acknowledged or published")]
    Changed {
        /// The receipt.
        index: LeafIndex,
    },
    /// A receipt cannot be read.
    #[error("receipt {index} cannot be read")]
    Unreadable {
        /// The receipt.
        index: LeafIndex,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A receipt's links to its neighbours are wrong.
    #[error("receipt {index} is not chained to the one before it")]
    Unchained {
        /// The receipt.
        index: LeafIndex,
    },
    /// A receipt nobody sent, or part of a batch.
    #[error("receipt {index} belongs to no whole batch that was sent")]
    Stray {
        /// The receipt.
        index: LeafIndex,
    },
    /// A batch that was said to be durable is gone.
    #[error("a batch that was said to be durable is not there")]
    DurableBatchLost,
    /// A proof does not lead to the root.
    #[error("receipt {index} is not proved")]
    Unproved {
        /// The receipt.
        index: LeafIndex,
        /// Why.
        #[source]
        source: MerkleError,
    },
    /// The ledger's own checkpoint is not trusted.
    #[error("the checkpoint does not verify")]
    Unsigned(#[from] PolicyError),
    /// A consistency proof does not verify.
    #[error("the checkpoint of size {old} is not proved to be a prefix")]
    Inconsistent {
        /// The old size.
        old: TreeSize,
        /// Why.
        #[source]
        source: MerkleError,
    },
    /// The ledger has another root at the size of a checkpoint that was handed out.
    #[error("the ledger forked: at size {size} it had another root before")]
    Forked {
        /// The size.
        size: TreeSize,
    },
    /// An answer to a batch is wrong.
    #[error("the answer to a batch is wrong: expected {expected}")]
    WrongAnswer {
        /// What was expected.
        expected: &'static str,
    },
    /// A batch failed that should not have, or in another way.
    #[error("a batch or seal should have been answered otherwise: {0}")]
    WrongError(#[source] AppendError),
    /// A poisoned ledger took a batch.
    #[error("a poisoned ledger took another batch")]
    PoisonForgotten,
    /// A fault that the ledger had got over poisoned it after all.
    #[error("a fault that was answered, and got over, poisoned the ledger later")]
    PoisonedLate,
    /// Something is left of a recovery that is finished.
    #[error("{path} is left of a recovery that is finished")]
    Leftover {
        /// The file.
        path: String,
    },
    /// A cut file is not recorded.
    #[error("cut/{name} is recorded by no receipt")]
    Unrecorded {
        /// The file.
        name: String,
    },
    /// Opening a healthy ledger changed bytes.
    #[error("opening and closing a second time changed {files:?}")]
    SecondRecoveryChanged {
        /// The files.
        files: Vec<String>,
    },
    /// The engine neither works nor is done.
    #[error("the engine stands still with work to do")]
    Stuck,
    /// The verifier does not accept the directory.
    #[error("the verifier says: {findings}")]
    NotVerified {
        /// Its findings, as text.
        findings: String,
    },
    /// The verifier could not finish.
    #[error("the verifier could not finish")]
    NotAudited(#[from] AuditError),
    /// A thread of the engine panicked.
    #[error("the engine panicked")]
    Panicked,
    /// The simulated disk failed a check's own read.
    #[error("a check could not read the directory")]
    Unlistable(#[from] io::Error),
}

/// Compares an open ledger with the model and takes in what it publishes beyond it. Afterwards nothing is unanswered.
pub(crate) fn absorb(ledger: &Ledger, disk: &dyn Disk, model: &mut Model) -> Result<(), Broken> {
    match &model.identity {
        Some(identity) => {
            let found = ledger.identity();
            if identity.ledger_id != found.ledger_id || identity.checkpoint_key != found.checkpoint_key {
                return Err(Broken::OtherIdentity);
            }
        }
        None => model.identity = Some(ledger.identity().clone()),
    }
    let receipts = receipts(ledger, model)?;
    take_in(model, &receipts)?;
    check_proofs(ledger, model)?;
    check_checkpoints(ledger, model)?;
    check_folders(ledger, disk)
}

/// Every receipt of the ledger, those the model knows compared with it.
fn receipts(ledger: &Ledger, model: &Model) -> Result<Vec<Receipt>, Broken> {
    let size = ledger.checkpoint().unverified().size.0;
    if size < model.receipts.len() as u64 {
        return Err(Broken::Lost { expected: model.receipts.len() as u64, found: size });
    }
    let mut receipts = Vec::new();
    let mut prev = Hash::ZERO;
    let mut heads: BTreeMap<StreamName, (u64, Hash)> = BTreeMap::new();
    for index in (0..size).map(LeafIndex) {
        let receipt = ledger.get(index).map_err(|source| Broken::Unreadable { index, source })?;
        let envelope = &receipt.envelope;
        let head = heads.entry(envelope.stream.clone()).or_insert((0, Hash::ZERO));
        let chained = envelope.index == index
            && envelope.prev == prev
            && envelope.stream_prev == head.1
            && envelope.stream_seq == StreamSeq(head.0);
        if !chained || envelope.leaf_hash() != receipt.leaf {
            return Err(Broken::Unchained { index });
        }
        *head = (head.0 + 1, receipt.leaf);
        prev = receipt.leaf;
        receipts.push(receipt);
    }
    for (index, known) in (0..).map(LeafIndex).zip(&model.receipts) {
        let found = &receipts[usize::try_from(index.0).expect("a small ledger")];
        let payload = found.content.as_ref().map(|content| &content.payload);
        if found.leaf != known.leaf || payload != Some(&known.payload) {
            return Err(Broken::Changed { index });
        }
    }
    Ok(receipts)
}

/// What lies beyond the model: receipts of the ledger itself, and unanswered batches, each whole and in order.
fn take_in(model: &mut Model, receipts: &[Receipt]) -> Result<(), Broken> {
    model.retry = model.unanswered.iter().find(|sent| sent.batch.id.is_some()).map(|sent| (sent.batch.clone(), None));
    let mut unanswered = core::mem::take(&mut model.unanswered).into_iter();
    let mut rest = receipts[model.receipts.len()..].iter();
    while let Some(receipt) = rest.next() {
        let index = receipt.envelope.index;
        let stray = Broken::Stray { index };
        let Some(content) = &receipt.content else { return Err(stray) };
        if receipt.envelope.is_control() {
            model.receipts.push(known(receipt, content.payload.clone()));
            continue;
        }
        // A batch that did not get as far is passed over; it must not come back later.
        let found = unanswered
            .by_ref()
            .find(|sent| if sent.batch.receipts[0].payload == content.payload { true } else { sent.durable });
        let Some(found) = found else { return Err(stray) };
        if let Some((batch, first)) = &mut model.retry
            && batch.id == found.batch.id
        {
            *first = Some(model.receipts.len());
        }
        for (place, sent) in found.batch.receipts.iter().enumerate() {
            let receipt = if place == 0 { Some(receipt) } else { rest.next() };
            let same = receipt.filter(|receipt| {
                let content = receipt.content.as_ref();
                content.is_some_and(|content| content.payload == sent.payload)
                    && receipt.envelope.stream == sent.stream
                    && receipt.envelope.closes_stream == sent.closes_stream
            });
            let Some(receipt) = same else { return Err(stray) };
            model.receipts.push(known(receipt, sent.payload.clone()));
        }
    }
    if unanswered.any(|sent| sent.durable) {
        return Err(Broken::DurableBatchLost);
    }
    Ok(())
}

fn known(receipt: &Receipt, payload: bytes::Bytes) -> Known {
    Known {
        leaf: receipt.leaf,
        stream: receipt.envelope.stream.clone(),
        stream_seq: receipt.envelope.stream_seq,
        closes: receipt.envelope.closes_stream,
        payload,
    }
}

fn policy(ledger: &Ledger) -> Result<TrustPolicy, Broken> {
    Ok(TrustPolicy::single(ledger.identity().checkpoint_key.clone())?)
}

fn check_proofs(ledger: &Ledger, model: &Model) -> Result<(), Broken> {
    let checkpoint = ledger.checkpoint();
    let verified = counterfoil_proof::SignedCheckpoint::clone(&checkpoint).verify(&policy(ledger)?)?;
    let root: RootHash = verified.checkpoint().root;
    for (index, known) in (0..).map(LeafIndex).zip(&model.receipts) {
        let file = ledger.prove_inclusion(index).map_err(|source| Broken::Unreadable { index, source })?;
        if file.checkpoint != *checkpoint || file.proof.index != index {
            return Err(Broken::WrongAnswer { expected: "a proof of this receipt for the published checkpoint" });
        }
        file.proof.verify(&known.leaf, &root).map_err(|source| Broken::Unproved { index, source })?;
    }
    Ok(())
}

fn check_checkpoints(ledger: &Ledger, model: &mut Model) -> Result<(), Broken> {
    let now = ledger.checkpoint();
    if !model.hand_out(&now) {
        return Err(Broken::Forked { size: now.unverified().size });
    }
    for (size, old) in &model.checkpoints {
        let root = &old.unverified().root;
        let index = LeafIndex(size.0.saturating_sub(1));
        let file = ledger.prove_consistency(*size).map_err(|source| Broken::Unreadable { index, source })?;
        // Its signature was checked with the inclusion proofs.
        if file.old_root != *root || file.checkpoint != *now {
            return Err(Broken::Forked { size: *size });
        }
        let root_now = now.unverified().root;
        file.proof.verify(root, &root_now).map_err(|source| Broken::Inconsistent { old: *size, source })?;
    }
    Ok(())
}

/// What a stranger with the key, the ledger's id and every checkpoint handed out says of a closed ledger.
pub(crate) fn audit(machine: &Machine, model: &Model) -> Result<(), Broken> {
    let identity = model.identity.as_ref().expect("the ledger was opened");
    let policy = TrustPolicy::single(identity.checkpoint_key.clone())?;
    let mut trust = Trust::new(Anchor::Policy(policy));
    trust.genesis = Some(identity.ledger_id);
    trust.seen = model.checkpoints.values().cloned().collect();
    let options = Options { all_signatures: true, ..Options::default() };
    let report = verify_ledger(machine, &trust, &options)?;
    if !report.verified() {
        return Err(Broken::NotVerified { findings: format!("{:?}", report.findings) });
    }
    if report.size.0 != model.receipts.len() as u64 {
        return Err(Broken::Lost { expected: model.receipts.len() as u64, found: report.size.0 });
    }
    Ok(())
}

/// Nothing is left in redo/, and every cut file is recorded.
fn check_folders(ledger: &Ledger, disk: &dyn Disk) -> Result<(), Broken> {
    if let Some(name) = disk.list("redo")?.into_iter().next() {
        return Err(Broken::Leftover { path: format!("redo/{name}") });
    }
    let rules = ledger.rules();
    let unrecorded = |name: &String| !rules.recovered().iter().any(|recovered| recovered.cut_file == *name);
    match disk.list("cut")?.into_iter().find(unrecorded) {
        Some(name) => Err(Broken::Unrecorded { name }),
        None => Ok(()),
    }
}
