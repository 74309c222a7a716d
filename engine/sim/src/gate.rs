//! Holding back the engine's threads at their calls to the disk, so that what is in flight together is decided by the
//! case and not by the scheduler.

/// A thread of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worker {
    Sequencer,
    Committer,
    Keeper,
}

impl Worker {
    /// The worker that runs this code, by the name that the engine gives its threads.
    pub(crate) fn current() -> Option<Self> {
        match std::thread::current().name()? {
            "sequencer" => Some(Self::Sequencer),
            "committer" => Some(Self::Committer),
            "keeper" => Some(Self::Keeper),
            _ => None,
        }
    }
}

/// Whether a worker may call the disk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gate {
    held: bool,
    /// Calls it may make all the same.
    passes: u64,
    /// It may go on until it has written once.
    until_write: bool,
    /// It stands at a call.
    parked: bool,
}

impl Gate {
    pub(crate) fn hold(&mut self) {
        *self = Self { held: true, parked: self.parked, ..Self::default() };
    }

    pub(crate) fn release(&mut self) {
        self.held = false;
    }

    /// Lets a worker that is held make some more calls.
    pub(crate) fn let_pass(&mut self, calls: u64) {
        self.passes += calls;
    }

    /// Lets a worker that is held go on until it has written once.
    pub(crate) fn let_write(&mut self) {
        self.until_write = true;
    }

    /// True when the worker stands at a call that it may not make.
    pub(crate) fn is_parked(&self) -> bool {
        self.parked && self.stops()
    }

    pub(crate) fn stops(&self) -> bool {
        self.held && self.passes == 0 && !self.until_write
    }

    pub(crate) fn park(&mut self) {
        self.parked = true;
    }

    /// A call is made.
    pub(crate) fn pass(&mut self, operation: &str) {
        self.parked = false;
        self.until_write &= operation != "write";
        self.passes = self.passes.saturating_sub(1);
    }
}

/// One gate for each worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gates([Gate; 3]);

impl Gates {
    pub(crate) fn of(&mut self, worker: Worker) -> &mut Gate {
        &mut self.0[worker as usize]
    }
}
