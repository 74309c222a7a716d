//! What must hold after every opening.

use crate::broken::Broken;
use crate::machine::{Contents, Machine};
use crate::model::{Known, Model};
use crate::rng::Rng;
use crate::run::NO_STREAM;
use counterfoil_audit::{Anchor, Code, Options, Report, Trust, verify_ledger};
use counterfoil_engine::{Disk, Ledger, Page, ReadError, Receipt, Selection};
use counterfoil_proof::{Hash, LeafIndex, RootHash, StreamName, StreamSeq, Timestamp, TrustPolicy};
use std::collections::BTreeMap;

/// Payload bytes of a page, at most.
const PAGE_BYTES_MAX: usize = 4000;
/// Sectors behind the header of a segment begin here.
const FRAMES_AT: u64 = 4096;

/// Compares an open ledger with the model and takes in what it publishes beyond it. Afterwards nothing is unanswered.
pub(crate) fn absorb(ledger: &Ledger, disk: &dyn Disk, model: &mut Model, rng: &mut Rng) -> Result<(), Broken> {
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
    check_pages(ledger, model, rng)?;
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
    let mut time = Timestamp(0);
    let mut heads: BTreeMap<StreamName, (u64, Hash)> = BTreeMap::new();
    for index in (0..size).map(LeafIndex) {
        let receipt = ledger.get(index).map_err(|source| Broken::Unreadable { index, source })?;
        let envelope = &receipt.envelope;
        let head = heads.entry(envelope.stream.clone()).or_insert((0, Hash::ZERO));
        let chained = envelope.index == index
            && envelope.prev == prev
            && envelope.time >= time
            && envelope.stream_prev == head.1
            && envelope.stream_seq == StreamSeq(head.0);
        if !chained || envelope.leaf_hash() != receipt.leaf {
            return Err(Broken::Unchained { index });
        }
        *head = (head.0 + 1, receipt.leaf);
        (prev, time) = (receipt.leaf, envelope.time);
        receipts.push(receipt);
    }
    for (index, (known, receipt)) in (0..).map(LeafIndex).zip(model.receipts.iter().zip(&receipts)) {
        if !Known::found(receipt).is_some_and(|found| found.is(known)) {
            return Err(Broken::Changed { index });
        }
    }
    Ok(receipts)
}

/// What lies beyond the model: receipts of the ledger itself, and unanswered batches, each whole and in order.
fn take_in(model: &mut Model, receipts: &[Receipt]) -> Result<(), Broken> {
    let mut unanswered = core::mem::take(&mut model.unanswered).into_iter().peekable();
    model.retries.clear();
    let mut rest = receipts[model.receipts.len()..].iter().peekable();
    while let Some(receipt) = rest.peek() {
        let stray = Broken::Stray { index: receipt.envelope.index };
        let Some(known) = Known::found(receipt) else { return Err(stray) };
        if receipt.envelope.is_control() {
            model.push(known);
            rest.next();
            continue;
        }
        // Batches were given their places in the order in which they were sent: none is passed over.
        let Some(sent) = unanswered.next() else { return Err(stray) };
        let first = model.receipts.len();
        for new in &sent.batch.receipts {
            let found = rest.next().and_then(Known::found);
            match found.filter(|found| found.says(&sent.batch.writer, new)) {
                Some(found) => model.push(found),
                None => return Err(stray),
            }
        }
        model.answered(&sent.batch, first);
        if sent.batch.id.is_some() {
            model.retries.push((sent.batch, Some(first)));
        }
    }
    for lost in unanswered {
        if lost.durable {
            return Err(Broken::DurableBatchLost);
        }
        if lost.batch.id.is_some() {
            model.retries.push((lost.batch, None));
        }
    }
    Ok(())
}

/// Everything once more in pages: the ledger from some index on, every stream from some position on, one that is not
/// there.
fn check_pages(ledger: &Ledger, model: &Model, rng: &mut Rng) -> Result<(), Broken> {
    let all: Vec<usize> = (0..model.receipts.len()).collect();
    let from = rng.below(all.len() as u64);
    check_page(ledger, model, &Selection::Ledger { from: LeafIndex(from) }, &all[place(from)..], rng)?;
    for (stream, places) in &model.streams {
        let from = rng.below(places.len() as u64 + 1);
        let selection = Selection::Stream { stream: stream.clone(), from: StreamSeq(from) };
        check_page(ledger, model, &selection, &places[place(from)..], rng)?;
    }
    let stream = StreamName::new(NO_STREAM).expect("a name that keeps its rules");
    let nothing = Selection::Stream { stream: stream.clone(), from: StreamSeq(0) };
    match ledger.read(&nothing, None, 1, 1) {
        Err(ReadError::UnknownStream { .. }) => Ok(()),
        Err(source) => Err(Broken::UnreadableStream { stream, source }),
        Ok(_) => Err(Broken::WrongPage { what: stream.to_string() }),
    }
}

fn check_page(
    ledger: &Ledger,
    model: &Model,
    selection: &Selection,
    expected: &[usize],
    rng: &mut Rng,
) -> Result<(), Broken> {
    let wrong = || Broken::WrongPage { what: format!("{selection:?}") };
    let receipts_max = place(1 + rng.below(6));
    let mut expected = expected.iter();
    let mut after = None;
    loop {
        let page: Page =
            ledger.read(selection, after, receipts_max, PAGE_BYTES_MAX).map_err(|source| match selection {
                Selection::Ledger { from } => Broken::Unreadable { index: *from, source },
                Selection::Stream { stream, .. } => Broken::UnreadableStream { stream: stream.clone(), source },
            })?;
        if page.receipts.len() > receipts_max || (page.receipts.is_empty() && page.next.is_some()) {
            return Err(wrong());
        }
        for receipt in &page.receipts {
            let known = expected.next().map(|at| &model.receipts[*at]);
            if !Known::found(receipt).zip(known).is_some_and(|(found, known)| found.is(known)) {
                return Err(wrong());
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None if expected.next().is_none() => return Ok(()),
            None => return Err(wrong()),
        }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number).expect("a small ledger")
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
    let report = report(machine, model, true)?;
    if !report.verified() {
        return Err(Broken::NotVerified { findings: format!("{:?}", report.findings) });
    }
    if let Some(findings) = lost_files(&report, &[Code::LeafFile, Code::StreamIndex, Code::ControlFile]) {
        return Err(Broken::NotVerified { findings });
    }
    if report.size.0 != model.receipts.len() as u64 {
        return Err(Broken::Lost { expected: model.receipts.len() as u64, found: report.size.0 });
    }
    Ok(())
}

/// What a stranger says, after a crash, of files that the manifest names and that follow from others. The copy of control
/// receipts may be ahead.
pub(crate) fn check_named(machine: &Machine, model: &Model) -> Result<(), Broken> {
    match lost_files(&report(machine, model, false)?, &[Code::LeafFile, Code::StreamIndex]) {
        Some(findings) => Err(Broken::DerivedLost { findings }),
        None => Ok(()),
    }
}

/// Findings about files that follow from others, as text.
fn lost_files(report: &Report, codes: &[Code]) -> Option<String> {
    let findings: Vec<_> = report.findings.iter().filter(|finding| codes.contains(&finding.code)).collect();
    (!findings.is_empty()).then(|| format!("{findings:?}"))
}

fn report(machine: &Machine, model: &Model, all_signatures: bool) -> Result<Report, Broken> {
    let identity = model.identity.as_ref().expect("the ledger was opened");
    let policy = TrustPolicy::single(identity.checkpoint_key.clone())?;
    let mut trust = Trust::new(Anchor::Policy(policy));
    trust.genesis = Some(identity.ledger_id);
    trust.seen = model.checkpoints.values().cloned().collect();
    let options = Options { all_signatures, ..Options::default() };
    Ok(verify_ledger(machine, &trust, &options)?)
}

/// A ledger in which something went bad while nobody wrote, as far as it was opened: what it serves is right, and it
/// says of the rest that it is damaged.
pub(crate) fn check_decayed(ledger: &Ledger, model: &mut Model) -> Result<(), Broken> {
    let checkpoint = ledger.checkpoint();
    let size = checkpoint.unverified().size;
    let verified = counterfoil_proof::SignedCheckpoint::clone(&checkpoint).verify(&policy(ledger)?)?;
    let known = model.checkpoints.get(&size);
    if known.is_some_and(|known| known.unverified() != checkpoint.unverified()) {
        return Err(Broken::Forked { size });
    }
    for (index, known) in (0..size.0).map(LeafIndex).zip(&model.receipts) {
        let told = |source| match source {
            ReadError::Corrupt { .. } => Ok(()),
            source => Err(Broken::Unreadable { index, source }),
        };
        match ledger.get(index) {
            Ok(receipt) if !Known::found(&receipt).is_some_and(|found| found.is(known)) => {
                return Err(Broken::Changed { index });
            }
            Ok(_) => {}
            Err(source) => told(source)?,
        }
        match ledger.prove_inclusion(index) {
            Ok(file) => {
                let root = verified.checkpoint().root;
                file.proof.verify(&known.leaf, &root).map_err(|source| Broken::Unproved { index, source })?;
            }
            Err(source) => told(source)?,
        }
    }
    Ok(())
}

/// The verifier does not call a ledger whole that lost something.
pub(crate) fn audit_decayed(machine: &Machine, model: &Model) -> Result<(), Broken> {
    let report = report(machine, model, true)?;
    let expected = model.receipts.len() as u64;
    // A slot of HEAD that went bad lowers the mark: then the rest is reported as what lies above it.
    let found = report.tail.size.map_or(report.size.0, |size| size.0.max(report.size.0));
    if report.verified() && found < expected {
        return Err(Broken::Lost { expected, found });
    }
    Ok(())
}

/// What a recovery overwrote in the segment that is written to lies in cut/, or came from redo/.
pub(crate) fn check_set_aside(before: &Contents, after: &Contents) -> Result<(), Broken> {
    let is_segment = |path: &str| path.starts_with("segments/") && path.ends_with(".seg");
    let still_there = |path: &str| after.files().any(|(other, _)| other == path);
    let Some(path) = before.files().map(|(path, _)| path).rev().find(|path| is_segment(path) && still_there(path))
    else {
        return Ok(());
    };
    let segment = path.trim_start_matches("segments/").trim_end_matches(".seg");
    let digits = segment.split('.').next().unwrap_or(segment);
    let kept: Vec<_> = before.files().chain(after.files()).filter_map(|file| kept_range(file, digits)).collect();
    for offset in before.overwritten(after, path).into_iter().filter(|offset| *offset >= FRAMES_AT) {
        if !kept.iter().any(|(start, end)| (*start..*end).contains(&offset)) {
            return Err(Broken::NotSetAside { path: path.to_owned(), offset });
        }
    }
    Ok(())
}

/// Behind the last frame of the segment that is written to there are zeros to the end of the file.
pub(crate) fn check_empty_behind(contents: &Contents, first: u64, end: u64) -> Result<(), Broken> {
    let path = format!("segments/{first:020}.0.seg");
    match contents.last_content(&path).filter(|last| *last > end) {
        Some(offset) => Err(Broken::NotEmpty { path, offset }),
        None => Ok(()),
    }
}

/// The bytes of a segment that a file in cut/ or redo/ holds.
fn kept_range((path, len): (&str, u64), digits: &str) -> Option<(u64, u64)> {
    let offset = match path.split_once('/')? {
        ("cut", name) => name.strip_prefix(digits)?.strip_prefix('-')?.split('-').next()?,
        ("redo", name) => name.split_once('-').filter(|(_, segment)| segment.starts_with(digits))?.0,
        _ => return None,
    };
    let start: u64 = offset.parse().ok()?;
    Some((start, start + len))
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
