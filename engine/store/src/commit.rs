//! The committer: makes frames durable, publishes them, acknowledges them, and moves the durable mark.

use crate::disk::DiskFile;
use crate::error::AppendError;
use crate::planted::{PlantedBug, planted};
use crate::prove::inclusion;
use crate::queue::Done;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::types::{Appended, AppendedReceipt};
use crate::window::Answer;
use counterfoil_format::{ByteOffset, HeadSlot};
use counterfoil_proof::{LeafIndex, NodeCoordinate, NodeHash, SignedCheckpoint, Timestamp};
use counterfoil_rules::Rules;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// A frame that was written and who waits for it.
pub(crate) struct Commit {
    /// `None` when every batch was a repetition or refused: such answers only need what came before to be durable.
    pub(crate) frame: Option<CommittedFrame>,
    pub(crate) waiters: Vec<Waiter>,
}

/// What becomes visible once a frame is durable.
pub(crate) struct CommittedFrame {
    pub(crate) segment: Arc<Segment>,
    pub(crate) first: LeafIndex,
    pub(crate) at: ByteOffset,
    pub(crate) end: ByteOffset,
    pub(crate) nodes: Vec<(NodeCoordinate, NodeHash)>,
    pub(crate) checkpoint: Arc<SignedCheckpoint>,
    pub(crate) time: Timestamp,
    pub(crate) control_receipts: u64,
    pub(crate) rules: Option<Arc<Rules>>,
}

/// Someone who waits for an answer.
pub(crate) struct Waiter {
    pub(crate) outcome: Outcome,
    pub(crate) done: Done,
}

/// What became of a batch, once everything written by then is durable.
pub(crate) enum Outcome {
    /// It was appended, now or before.
    Appended { answer: Arc<Answer>, with_proofs: bool },
    /// It was refused for what the ledger holds. What a refusal rests on, a crash must not take away.
    Refused(AppendError),
}

pub(crate) struct Committer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) commits: Receiver<Commit>,
    pub(crate) head: Arc<dyn DiskFile>,
    pub(crate) head_counter: u64,
}

/// Where HEAD is moved to when nothing waits.
struct Mark {
    segment: Arc<Segment>,
    offset: ByteOffset,
    checkpoint: Arc<SignedCheckpoint>,
}

impl Mark {
    fn slot(&self, counter: u64) -> HeadSlot {
        let checkpoint = self.checkpoint.unverified();
        let (segment, offset) = (self.segment.id, self.offset);
        HeadSlot { counter, size: checkpoint.size, segment, offset, root: checkpoint.root }
    }
}

impl Committer {
    /// Works until the sequencer is gone.
    pub(crate) fn run(mut self) {
        let mut unmarked: Option<Mark> = None;
        loop {
            let first = match self.commits.try_recv() {
                Ok(commit) => commit,
                Err(_) => match self.wait(&mut unmarked) {
                    Some(commit) => commit,
                    None => return,
                },
            };
            let mut commits = vec![first];
            commits.extend(self.commits.try_iter());
            if let Some(mark) = self.commit(commits) {
                unmarked = Some(mark);
            }
        }
    }

    /// Waits for the next commit; moves the durable mark once nothing came for a while, and before giving up. Until
    /// then the next frame carries the mark, and a writer that waits for one answer before it sends the next batch does
    /// not wait for HEAD too.
    fn wait(&mut self, unmarked: &mut Option<Mark>) -> Option<Commit> {
        if unmarked.is_some() {
            match self.commits.recv_timeout(self.shared.environment.clock.mark_after_idle()) {
                Ok(commit) => return Some(commit),
                Err(_) => self.move_mark(&unmarked.take()?),
            }
        }
        self.commits.recv().ok()
    }

    /// One sync for everything that was written by now.
    fn commit(&self, commits: Vec<Commit>) -> Option<Mark> {
        let last = commits.iter().rev().find_map(|commit| commit.frame.as_ref());
        let mark = last.map(|frame| Mark {
            segment: frame.segment.clone(),
            offset: frame.end,
            checkpoint: frame.checkpoint.clone(),
        });
        if let Err(error) = self.make_durable(mark.as_ref()) {
            for commit in commits {
                commit.waiters.into_iter().for_each(|waiter| (waiter.done)(Err(error.clone())));
            }
            return None;
        }
        let mut waiters = Vec::new();
        {
            let mut published = self.shared.published_mut();
            for commit in commits {
                if let Some(frame) = commit.frame {
                    frame.publish(&mut published);
                }
                waiters.extend(commit.waiters);
            }
        }
        self.shared.notify_progress();
        for waiter in waiters {
            self.acknowledge(waiter);
        }
        mark
    }

    fn make_durable(&self, mark: Option<&Mark>) -> Result<(), AppendError> {
        if let Some(error) = self.shared.poisoned() {
            return Err(error);
        }
        let Some(mark) = mark else { return Ok(()) };
        if planted(&*self.shared.environment.disk, PlantedBug::AcknowledgeBeforeSync) {
            return Ok(());
        }
        if planted(&*self.shared.environment.disk, PlantedBug::MarkAheadOfData) {
            let _ = self.write_head(&mark.slot(self.head_counter + 1));
        }
        // The commit point. A crash before this line loses only unacknowledged receipts; a crash after it finds the
        // frames on disk and publishes their checkpoints again. A roll drains, so one file holds all of them; its
        // description was opened before any of them was written, and reports a lost write once.
        let synced = mark.segment.open_file().sync_data();
        if planted(&*self.shared.environment.disk, PlantedBug::RetrySync) && synced.is_err() {
            return mark.segment.open_file().sync_data().map_err(|error| self.shared.poison(error));
        }
        synced.map_err(|error| self.shared.poison(error))
    }

    fn acknowledge(&self, waiter: Waiter) {
        let (answer, with_proofs) = match waiter.outcome {
            Outcome::Appended { answer, with_proofs } => (answer, with_proofs),
            Outcome::Refused(error) => return (waiter.done)(Err(error)),
        };
        let proofs = match with_proofs {
            false => Ok(Vec::new()),
            true => {
                let checkpoint = answer.checkpoint.unverified();
                let tree = (checkpoint.size, checkpoint.root);
                let prove = |receipt: &AppendedReceipt| inclusion(&self.shared, receipt.index, &receipt.leaf, tree);
                answer.receipts.iter().map(prove).collect()
            }
        };
        let appended = proofs.map(|proofs| Appended {
            receipts: answer.receipts.clone(),
            time: answer.time,
            checkpoint: SignedCheckpoint::clone(&answer.checkpoint),
            proofs,
        });
        let unreadable = |error: crate::error::ReadError| AppendError::ProofUnavailable { cause: Arc::new(error) };
        (waiter.done)(appended.map_err(unreadable));
    }

    /// Writes HEAD while nothing waits. When this fails nothing acknowledged is lost, but no later mark could be
    /// believed either.
    fn move_mark(&mut self, mark: &Mark) {
        if self.shared.poisoned().is_some() {
            return;
        }
        let slot = mark.slot(self.head_counter + 1);
        match self.write_head(&slot) {
            Ok(()) => {
                self.head_counter = slot.counter;
                self.shared.published_mut().durable_mark = slot.size;
            }
            Err(error) => {
                self.shared.poison(error);
            }
        }
    }

    fn write_head(&self, slot: &HeadSlot) -> io::Result<()> {
        self.head.write_all_at(&slot.encode(), slot.position().0)?;
        self.head.sync_data()
    }
}

impl Waiter {
    pub(crate) fn appended(answer: Arc<Answer>, with_proofs: bool, done: Done) -> Self {
        Self { outcome: Outcome::Appended { answer, with_proofs }, done }
    }
}

impl CommittedFrame {
    fn publish(self, published: &mut crate::shared::Published) {
        for (at, node) in self.nodes {
            published.tree.push(at, node);
        }
        self.segment.add_frame(self.first, self.at);
        published.active_end = self.end.0;
        published.checkpoint = self.checkpoint;
        published.last_time = self.time;
        published.control_receipts = self.control_receipts;
        if let Some(rules) = self.rules {
            published.rules = rules;
        }
    }
}
