//! What is run: boots, steps and faults, drawn from a seed or laid out by a test.

use crate::machine::{Effect, Fault, FaultKind, FaultPoint, Lie};
use crate::rng::Rng;
use counterfoil_proof::Media;

/// One frame, so that whatever comes with the number of segments comes soon.
pub const SEGMENT_BYTES_TINY: u64 = 8 * 1024;
/// Segments of a simulated ledger are sealed at this size: three frames or so. So small a segment is allocated at once,
/// and the keeper writes no zeros ahead.
pub const SEGMENT_BYTES_SMALL: u64 = 16 * 1024;
/// Room for a dozen frames.
pub const SEGMENT_BYTES_MEDIUM: u64 = 64 * 1024;
/// Large enough for the keeper to write zeros ahead.
pub const SEGMENT_BYTES_LARGE: u64 = 6 * 1024 * 1024;
/// Receipts in one batch.
pub const RECEIPTS_MAX: u64 = 4;
/// Batches that are in flight together. The engine's own queue between its threads holds more.
pub const TOGETHER_MAX: usize = 5;
const STREAMS: u64 = 4;
/// Changes that a boot of a drawn case makes, roughly: faults are drawn from this range.
const CHANGES_DRAWN_MAX: u64 = 140;

/// One machine, one ledger, several processes one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// Decides names, sizes and what a power cut keeps.
    pub seed: u64,
    /// What is wrong with the disk.
    pub lie: Lie,
    /// Nothing unsynced survives a power cut, instead of what the seed decides.
    pub harsh: bool,
    /// Bytes at which a segment is full.
    pub segment_bytes_max: u64,
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
    /// Calls that the keeper may make after each step; `None`: until it has nothing left to do.
    pub keeper_calls: Option<u64>,
    /// The ledger is opened for reading first, as it was left.
    pub reads_first: bool,
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
    /// The ledger is closed, and a sector of one of its files goes bad. The next process is the last: it refuses, or
    /// loses nothing and serves nothing wrong.
    Decay,
    /// The ledger is closed, and all files of a kind that follows from others are lost or damaged. The next process makes
    /// them again, byte for byte.
    Lose(Derived, Loss),
}

/// Files that follow from the segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Derived {
    /// Leaf files.
    Leaves,
    /// Stream indexes.
    Streams,
    /// The copy of all control receipts.
    Control,
}

impl Derived {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Leaves, Self::Streams, Self::Control];

    /// True for the path of such a file.
    #[must_use]
    pub fn holds(self, path: &str) -> bool {
        match self {
            Self::Leaves => path.ends_with(".leaves"),
            Self::Streams => path.ends_with(".streams"),
            Self::Control => path == "control",
        }
    }
}

/// How a file is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It is gone.
    Removed,
    /// It ends too early.
    Cut,
    /// One of its sectors goes bad.
    Decayed,
}

impl Loss {
    /// All ways.
    pub const ALL: [Self; 3] = [Self::Removed, Self::Cut, Self::Decayed];
}

/// One step of a process.
#[derive(Clone, Debug)]
pub enum Step {
    /// Appends one batch.
    Append(Append),
    /// Appends batches that are in flight together, at most [`TOGETHER_MAX`].
    Together(Vec<Append>, Gather),
    /// Sends a batch once more that was appended before.
    Repeat {
        /// With other content under the same id.
        changed: bool,
    },
    /// Seals the segment that is written to.
    Seal,
    /// Closes the ledger and opens it again.
    Reopen,
    /// Closes the ledger, opens and closes it once more, compares bytes and lets the verifier judge them. The last step
    /// of a process without a fault.
    OpenTwice,
    /// Reads and proves one receipt, and reads a page.
    Read,
    /// Exports a stream or all receipts, and has the bundle verified.
    Export,
}

/// How batches that are in flight together reach the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// Each in a frame of its own, all of them written before the first is synced.
    Frames,
    /// The first in one frame, the rest in another, both written before the first is synced.
    TwoFrames,
}

/// One batch.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// Its receipts.
    pub receipts: Vec<Draft>,
    /// How it is named.
    pub name: Name,
    /// What it expects of the first receipt's stream.
    pub condition: Condition,
    /// What is wrong with it.
    pub flaw: Option<Flaw>,
    /// Asks for inclusion proofs.
    pub with_proofs: bool,
}

/// One receipt of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Draft {
    /// Its stream.
    pub stream: u64,
    /// Bytes of its payload, or a few more.
    pub payload_bytes: usize,
    /// What the payload is.
    pub media: Media,
    /// Has a data subject.
    pub has_subject: bool,
    /// Links to receipts appended before, as far as there are any.
    pub links: u64,
    /// Closes its stream.
    pub closes: bool,
}

/// How a batch is named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Name {
    /// Not at all: it cannot be sent twice.
    #[default]
    None,
    /// By an id of its own.
    Request,
    /// As the next batch of the case's session, or as the one that was refused last.
    Session,
}

/// What a batch expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    None,
    /// The length that the stream has.
    Holds,
    /// A length that no stream has.
    Fails,
}

/// A rule that the last receipt of a batch breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It links to a receipt that exists, by another leaf hash.
    WrongLink,
    /// It links to an index that does not exist yet.
    EarlyLink,
    /// No such class.
    UnknownClass,
    /// The payload is not what the media type says.
    WrongMedia,
    /// The stream is reserved.
    Reserved,
}

impl Case {
    /// An honest case with small segments.
    #[must_use]
    pub fn new(seed: u64, boots: Vec<Boot>) -> Self {
        Self { seed, lie: Lie::None, harsh: false, segment_bytes_max: SEGMENT_BYTES_SMALL, boots }
    }

    /// A case drawn from a seed: one to three boots that end badly, each with a fault or none.
    #[must_use]
    pub fn drawn(seed: u64) -> Self {
        let mut rng = Rng::fork(seed, 2);
        let segment_bytes_max = match rng.below(12) {
            0..3 => SEGMENT_BYTES_TINY,
            3..7 => SEGMENT_BYTES_SMALL,
            7..11 => SEGMENT_BYTES_MEDIUM,
            _ => SEGMENT_BYTES_LARGE,
        };
        let count = 1 + rng.below(3);
        let boots = (0..count).map(|number| Boot {
            steps: steps(&mut rng, if number == 0 { 12 } else { 6 }),
            fault: rng.chance(4, 5).then(|| drawn_fault(&mut rng, number == 0)),
            end: drawn_end(&mut rng),
            // While the keeper writes zeros ahead, the sequencer may have to wait for it.
            keeper_calls: (segment_bytes_max < SEGMENT_BYTES_LARGE && rng.chance(1, 3)).then(|| rng.below(6)),
            reads_first: rng.chance(1, 4),
        });
        let mut boots: Vec<Boot> = boots.collect();
        // Life goes on after the last recovery, and ends badly once more.
        let end = rng.pick(&[End::Kill, End::PowerCut, End::PowerCut, End::Decay]);
        boots.push(Boot { reads_first: rng.chance(1, 4), ..Boot::new(steps(&mut rng, 4), end) });
        Self { segment_bytes_max, ..Self::new(seed, boots) }
    }

    /// The boot that every enumeration strikes: a ledger is created, filled in every way there is, sealed and reopened.
    #[must_use]
    pub fn first_boot(seed: u64, fault: Option<Fault>, end: End) -> Boot {
        let mut rng = Rng::fork(seed, 3);
        let mut all = steps(&mut rng, 2);
        all.push(Step::Append(Append { condition: Condition::Holds, ..append(&mut rng) }));
        all.push(Step::Seal);
        all.extend(steps(&mut rng, 2));
        all.push(Step::Reopen);
        all.push(together(&mut rng));
        all.push(Step::Export);
        all.push(Step::Append(append(&mut rng)));
        Boot { fault, keeper_calls: (seed % 2 == 1).then_some(4), ..Boot::new(all, end) }
    }

    /// A process that leaves seven segments sealed: when one more is, their stream indexes are merged.
    #[must_use]
    pub fn boot_before_merge(end: End) -> Boot {
        let append = |number| Append { name: Name::Request, ..Append::plain(&[(number % 3, 40), (3, 9), (number, 1)]) };
        Boot::new((0..7).map(|number| Step::Append(append(number))).collect(), end)
    }

    /// A process in which the eighth segment is sealed, and more.
    #[must_use]
    pub fn merging_boot(fault: Option<Fault>, end: End) -> Boot {
        let conditional = |stream| Append {
            condition: Condition::Holds,
            with_proofs: true,
            ..Append::plain(&[(stream, 30), (7, 30)])
        };
        let append = |stream| Step::Append(conditional(stream));
        let steps = vec![append(1), Step::Repeat { changed: false }, append(0)];
        Boot { fault, ..Boot::new(steps, end) }
    }

    /// A boot that recovers, goes on for a few steps and ends as told.
    #[must_use]
    pub fn later_boot(seed: u64, fault: Option<Fault>, end: End) -> Boot {
        let mut rng = Rng::fork(seed, 4);
        let mut all = vec![Step::Append(append(&mut rng))];
        all.extend(steps(&mut rng, 3));
        Boot { fault, reads_first: rng.chance(1, 2), ..Boot::new(all, end) }
    }
}

impl Boot {
    /// A boot that nothing strikes.
    #[must_use]
    pub fn new(steps: Vec<Step>, end: End) -> Self {
        Self { steps, fault: None, end, keeper_calls: None, reads_first: false }
    }
}

impl Append {
    /// A batch of plain receipts: stream and payload length of each.
    #[must_use]
    pub fn plain(receipts: &[(u64, usize)]) -> Self {
        let draft = |&(stream, payload_bytes): &(u64, usize)| Draft { stream, payload_bytes, ..Draft::default() };
        Self { receipts: receipts.iter().map(draft).collect(), ..Self::default() }
    }
}

impl Default for Draft {
    fn default() -> Self {
        Self { stream: 0, payload_bytes: 0, media: Media::Text, has_subject: false, links: 0, closes: false }
    }
}

fn drawn_end(rng: &mut Rng) -> End {
    let end = rng.pick(&[End::Close, End::CloseThenPowerCut, End::Kill, End::PowerCut]);
    if rng.chance(1, 5) { End::Lose(rng.pick(&Derived::ALL), rng.pick(&Loss::ALL)) } else { end }
}

fn drawn_fault(rng: &mut Rng, first: bool) -> Fault {
    let crash = FaultKind::Crash;
    let kind = rng.pick(&[crash, crash, crash, FaultKind::Eio, FaultKind::Eio, FaultKind::Enospc, FaultKind::Full]);
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
        .map(|_| match rng.below(15) {
            0 => Step::Seal,
            1 => Step::Reopen,
            2 => Step::Read,
            3 => Step::Repeat { changed: rng.chance(1, 3) },
            4 => Step::Export,
            5..8 => together(rng),
            _ => Step::Append(append(rng)),
        })
        .collect()
}

fn together(rng: &mut Rng) -> Step {
    let count = 2 + rng.below(TOGETHER_MAX as u64 - 1);
    let gather = rng.pick(&[Gather::Frames, Gather::TwoFrames]);
    let appends = (0..count).map(|_| Append { flaw: None, ..append(rng) });
    Step::Together(appends.collect(), gather)
}

fn append(rng: &mut Rng) -> Append {
    let count = 1 + rng.below(RECEIPTS_MAX);
    let payload_bytes_max = rng.pick(&[20, 300, 5000]);
    let receipts = (0..count).map(|_| Draft {
        stream: rng.below(STREAMS),
        payload_bytes: usize::try_from(rng.below(payload_bytes_max)).expect("at most 5000"),
        media: rng.pick(&[Media::Text, Media::Json, Media::Bytes]),
        has_subject: rng.chance(1, 4),
        links: if rng.chance(1, 4) { 1 + rng.below(3) } else { 0 },
        closes: rng.chance(1, 40),
    });
    let flaws = [Flaw::WrongLink, Flaw::EarlyLink, Flaw::UnknownClass, Flaw::WrongMedia, Flaw::Reserved];
    Append {
        receipts: receipts.collect(),
        name: rng.pick(&[Name::None, Name::Request, Name::Session]),
        condition: rng.pick(&[Condition::None, Condition::Holds, Condition::None, Condition::Holds, Condition::None]),
        flaw: rng.chance(1, 20).then(|| rng.pick(&flaws)),
        with_proofs: rng.chance(1, 2),
    }
    .losing_races(rng)
}

impl Append {
    fn losing_races(mut self, rng: &mut Rng) -> Self {
        if rng.chance(1, 12) {
            self.condition = Condition::Fails;
        }
        self
    }
}
