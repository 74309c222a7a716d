//! A story for the demo: receipts of a support desk at work, many incidents at once, the same for the same seed.
//!
//! *Invariants*: no clock, no outside randomness, no personal data (customers and subjects are pseudonyms); each stream is
//! one incident, in the order the support process allows, and ends with its closing receipt; the story itself never ends.

mod json;
mod payload;
mod random;
mod world;

use json::Json;
use random::Random;
use world::{GATES, PROBLEMS, Problem, ROLES, SEVERITIES, SITES, SKUS, SOURCES};

/// Incidents open at the same time, at most. The story keeps close to it.
const OPEN_MAX: u32 = 70;
/// Data subjects the incidents are about.
const SUBJECTS: u32 = 5000;
/// 2026-01-05 08:00:00 UTC: the first alert of every story.
const START_MS: u64 = 1_767_600_000_000;

/// One receipt to append, with a JSON payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoryReceipt {
    pub(crate) stream: String,
    pub(crate) kind: &'static str,
    pub(crate) payload: String,
    pub(crate) subject: Option<[u8; 16]>,
    pub(crate) closes_stream: bool,
}

/// An endless iterator of receipts.
pub(crate) struct Story {
    random: Random,
    subjects: u64,
    now_ms: u64,
    incidents: u32,
    open: Vec<Incident>,
    json: Json,
}

impl Story {
    /// The story of this seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let subjects = random.word();
        Self { random, subjects, now_ms: START_MS, incidents: 0, open: Vec::new(), json: Json::default() }
    }

    /// Opens an incident with odds that rise with the room there is, else turns to one that is open.
    fn turn(&mut self) -> usize {
        let at = self.random.below(OPEN_MAX) as usize;
        if at < self.open.len() {
            return at;
        }
        self.incidents += 1;
        let subject = self.random.below(SUBJECTS);
        let subject = Random::new(self.subjects.wrapping_add(subject.into())).subject();
        self.open.push(Incident::new(self.incidents, subject, self.now_ms, &mut self.random));
        self.open.len() - 1
    }
}

impl Iterator for Story {
    type Item = StoryReceipt;

    fn next(&mut self) -> Option<StoryReceipt> {
        self.now_ms += self.random.between(1, 400);
        let at = self.turn();
        let incident = &mut self.open[at];
        incident.write_payload(self.now_ms, &mut self.random, self.json.restart());
        let receipt = StoryReceipt {
            stream: incident.stream.clone(),
            kind: incident.moment.kind(),
            payload: self.json.finish(),
            subject: incident.subject,
            closes_stream: incident.moment == Moment::Closed,
        };
        match incident.moment.next(incident, &mut self.random) {
            Some(moment) => incident.turn_to(moment, &mut self.random),
            None => drop(self.open.swap_remove(at)),
        }
        Some(receipt)
    }
}

impl Random {
    fn subject(mut self) -> [u8; 16] {
        let (high, low) = (self.word(), self.word());
        (u128::from(high) << 64 | u128::from(low)).to_be_bytes()
    }
}

/// An open incident and the receipt it writes next.
struct Incident {
    stream: String,
    customer: String,
    host: String,
    sku: &'static str,
    problem: &'static Problem,
    severity: &'static str,
    response_s: u64,
    subject: Option<[u8; 16]>,
    /// The configuration that was found, and the one that the recipe wants.
    config: [[u64; 4]; 2],
    fingerprint: [u64; 4],
    opened_ms: u64,
    /// How often a worker took the incident up: the epoch of its lease.
    round: u64,
    verdict: Verdict,
    moment: Moment,
}

/// What the gates of this round will say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Pass,
    /// These gates fail, one or two of them.
    Fail([u8; 2]),
    /// The gates passed and a step failed, so that the steps before it were undone.
    Undone {
        step: u8,
    },
}

impl Verdict {
    fn passes(self, gate: u8) -> bool {
        !matches!(self, Self::Fail(gates) if gates.contains(&gate))
    }
}

/// The receipts of an incident, in the order the support process allows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Moment {
    Alert,
    Opened,
    Enqueued,
    Leased,
    Investigating,
    Evidence { left: u8 },
    Gate { number: u8 },
    Refused,
    Approved,
    Planned,
    Intent { step: u8, undo: bool },
    Outcome { step: u8, undo: bool, failed: bool },
    Completed,
    Verifying,
    Verified,
    Closed,
}

impl Moment {
    fn kind(self) -> &'static str {
        match self {
            Self::Alert => "alert.received/1",
            Self::Opened => "incident.opened/1",
            Self::Enqueued => "queue.enqueued/1",
            Self::Leased => "lease.granted/1",
            Self::Investigating => "investigation.started/1",
            Self::Evidence { .. } => "evidence.captured/1",
            Self::Gate { .. } => "gate.evaluated/1",
            Self::Refused => "decision.refused/1",
            Self::Approved => "decision.approved/1",
            Self::Planned => "plan.issued/1",
            Self::Intent { .. } => "step.intent/1",
            Self::Outcome { .. } => "step.result/1",
            Self::Completed => "remediation.completed/1",
            Self::Verifying => "verification.started/1",
            Self::Verified => "verification.result/1",
            Self::Closed => "incident.closed/1",
        }
    }

    /// What follows; nothing follows the close.
    fn next(self, incident: &Incident, random: &mut Random) -> Option<Self> {
        Some(match self {
            Self::Alert => Self::Opened,
            Self::Opened => Self::Enqueued,
            Self::Enqueued => Self::Leased,
            Self::Leased => Self::Investigating,
            // Each source once; now and then the journal a second time.
            Self::Investigating => Self::Evidence { left: if random.one_in(3) { 4 } else { 3 } },
            Self::Evidence { left: 0 } => Self::Gate { number: 0 },
            Self::Evidence { left } => Self::Evidence { left: left - 1 },
            Self::Gate { number } if usize::from(number) + 1 < GATES.len() => Self::Gate { number: number + 1 },
            Self::Gate { .. } if incident.verdict == Verdict::Pass => Self::Approved,
            Self::Gate { .. } => Self::Refused,
            Self::Refused if incident.round < 3 && random.one_in(2) => Self::Enqueued,
            Self::Refused => Self::Closed,
            Self::Approved => Self::Planned,
            Self::Planned => Self::Intent { step: 0, undo: false },
            Self::Intent { step, undo } => Self::Outcome { step, undo, failed: !undo && random.one_in(40) },
            // A failed step changed nothing; those before it are undone, the last one first.
            Self::Outcome { step, undo, failed } if undo || failed => match step.checked_sub(1) {
                Some(step) => Self::Intent { step, undo: true },
                None => Self::Refused,
            },
            Self::Outcome { step, .. } if usize::from(step) + 1 < incident.problem.steps.len() => {
                Self::Intent { step: step + 1, undo: false }
            }
            Self::Outcome { .. } => Self::Completed,
            Self::Completed => Self::Verifying,
            Self::Verifying => Self::Verified,
            Self::Verified => Self::Closed,
            Self::Closed => return None,
        })
    }
}

impl Incident {
    fn new(number: u32, subject: [u8; 16], now_ms: u64, random: &mut Random) -> Self {
        let (severity, response_s) = random.pick(SEVERITIES);
        let config = [random.words(), random.words()];
        Self {
            stream: format!("incident/INC-{number:06}"),
            customer: format!("cust-{:04}", random.below(900)),
            host: format!("{}-{}-{:02}", random.pick(ROLES), random.pick(SITES), random.below(64)),
            sku: random.pick(SKUS),
            problem: &PROBLEMS[random.place(PROBLEMS)],
            severity,
            response_s,
            // Some incidents concern machines alone.
            subject: (!random.one_in(4)).then_some(subject),
            config,
            fingerprint: random.words(),
            opened_ms: now_ms,
            round: 0,
            verdict: Verdict::Pass,
            moment: Moment::Alert,
        }
    }

    fn name(&self) -> &str {
        &self.stream["incident/".len()..]
    }

    fn turn_to(&mut self, moment: Moment, random: &mut Random) {
        self.moment = moment;
        match moment {
            Moment::Leased => {
                self.round += 1;
                self.verdict = Verdict::Pass;
                if random.one_in(5) {
                    self.verdict = Verdict::Fail([0, 1].map(|_| u8_place(random)));
                }
            }
            Moment::Outcome { step, failed: true, .. } => self.verdict = Verdict::Undone { step },
            _ => {}
        }
    }
}

fn u8_place(random: &mut Random) -> u8 {
    u8::try_from(random.place(GATES)).expect("there are few gates")
}

#[cfg(test)]
mod tests;
