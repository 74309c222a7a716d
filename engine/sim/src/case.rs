//! What is run: boots, steps and faults, drawn from a seed or laid out by a test.

use crate::machine::{Effect, Fault, FaultKind, FaultPoint, Lie};
use crate::rng::Rng;

/// Segments of a simulated ledger are sealed at this size: three frames or so. So small a segment is allocated at once,
/// and the keeper writes no zeros ahead, which nobody could wait for.
pub const SEGMENT_BYTES_MAX: u64 = 16 * 1024;
/// Receipts in one batch.
pub const RECEIPTS_MAX: u64 = 4;
const STREAMS: u64 = 4;
/// Changes that a boot of a drawn case makes, roughly: faults are drawn from this range.
const CHANGES_DRAWN_MAX: u64 = 120;

/// One machine, one ledger, several processes one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// Decides names, sizes and what a power cut keeps.
    pub seed: u64,
    /// What is wrong with the disk.
    pub lie: Lie,
    /// Nothing unsynced survives a power cut, instead of what the seed decides.
    pub harsh: bool,
    /// Processes, in order. The first creates the ledger.
    pub boots: Vec<Boot>,
}

/// One process.
#[derive(Clone, Debug)]
pub struct Boot {
    /// What it does once the ledger is open and checked.
    pub steps: Vec<Step>,
    /// What strikes it.
    pub fault: Option<Fault>,
    /// How it ends unless a crash struck.
    pub end: End,
}

/// How a process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The ledger is closed.
    Close,
    /// The ledger is closed, and the power is cut.
    CloseThenPowerCut,
    /// The process is killed; the page cache stays.
    Kill,
    /// The power is cut.
    PowerCut,
}

/// One step of a process.
#[derive(Clone, Debug)]
pub enum Step {
    /// Appends one batch.
    Append(Append),
    /// Seals the segment that is written to.
    Seal,
    /// Closes the ledger and opens it again.
    Reopen,
    /// Closes the ledger, opens and closes it once more, compares bytes and lets the verifier judge them. The last step of a process without a fault.
    OpenTwice,
    /// Reads and proves one receipt.
    Read,
}

/// One batch.
#[derive(Clone, Debug)]
pub struct Append {
    /// Stream and payload length of each receipt.
    pub receipts: Vec<(u64, usize)>,
    /// Carries an id, so that it can be sent twice.
    pub has_id: bool,
    /// Expects the length that the first receipt's stream has.
    pub conditional: bool,
    /// Expects a length that no stream has.
    pub loses_race: bool,
    /// The last receipt closes its stream.
    pub closes: bool,
    /// Asks for inclusion proofs.
    pub with_proofs: bool,
}

impl Case {
    /// A case drawn from a seed: one to three boots that end badly, each with a fault or none.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::fork(seed, 2);
        let count = 1 + rng.below(3);
        let boots = (0..count).map(|number| Boot {
            steps: steps(&mut rng, if number == 0 { 12 } else { 6 }),
            fault: rng.chance(4, 5).then(|| drawn_fault(&mut rng, number == 0)),
            end: rng.pick(&[End::Close, End::CloseThenPowerCut, End::Kill, End::PowerCut]),
        });
        let mut boots: Vec<Boot> = boots.collect();
        // Life goes on after the last recovery, and ends badly once more.
        boots.push(Boot { steps: steps(&mut rng, 4), fault: None, end: rng.pick(&[End::Kill, End::PowerCut]) });
        Self { seed, lie: Lie::None, harsh: false, boots }
    }

    /// The boot that every enumeration strikes: a ledger is created, filled, sealed and reopened.
    #[must_use]
    pub fn first_boot(seed: u64, fault: Option<Fault>, end: End) -> Boot {
        let mut rng = Rng::fork(seed, 3);
        let mut all = steps(&mut rng, 3);
        all.push(Step::Append(append(&mut rng)));
        all.push(Step::Seal);
        all.extend(steps(&mut rng, 2));
        all.push(Step::Reopen);
        all.push(Step::Append(append(&mut rng)));
        all.push(Step::Append(append(&mut rng)));
        Boot { steps: all, fault, end }
    }

    /// A boot that recovers, goes on for a few steps and ends as told.
    #[must_use]
    pub fn later_boot(seed: u64, fault: Option<Fault>, end: End) -> Boot {
        let mut rng = Rng::fork(seed, 4);
        let mut all = vec![Step::Append(append(&mut rng))];
        all.extend(steps(&mut rng, 3));
        Boot { steps: all, fault, end }
    }
}

fn drawn_fault(rng: &mut Rng, first: bool) -> Fault {
    let kind = rng.pick(&[FaultKind::Crash, FaultKind::Crash, FaultKind::Eio, FaultKind::Enospc]);
    let number = 1 + rng.below(if first { CHANGES_DRAWN_MAX } else { CHANGES_DRAWN_MAX / 3 });
    let at = if kind == FaultKind::Crash || rng.chance(1, 2) {
        FaultPoint::Change(number)
    } else {
        FaultPoint::Call(number * 4)
    };
    Fault { at, kind, effect: rng.pick(&[Effect::None, Effect::Part, Effect::Whole]) }
}

fn steps(rng: &mut Rng, count_max: u64) -> Vec<Step> {
    let count = rng.below(count_max + 1);
    (0..count)
        .map(|_| match rng.below(10) {
            0 => Step::Seal,
            1 => Step::Reopen,
            2 => Step::Read,
            _ => Step::Append(append(rng)),
        })
        .collect()
}

fn append(rng: &mut Rng) -> Append {
    let count = 1 + rng.below(RECEIPTS_MAX);
    let len_max = rng.pick(&[20, 300, 5000]);
    let receipts = (0..count).map(|_| {
        let len = usize::try_from(rng.below(len_max)).expect("at most 5000");
        (rng.below(STREAMS), len)
    });
    Append {
        receipts: receipts.collect(),
        has_id: rng.chance(1, 2),
        conditional: rng.chance(1, 2),
        loses_race: rng.chance(1, 12),
        closes: rng.chance(1, 16),
        with_proofs: rng.chance(1, 2),
    }
}
