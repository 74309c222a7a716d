//! Streams that memory holds: those with receipts in segments that no stream index covers yet, those that a batch on its
//! way will append to, and as many others as there is room for.

use counterfoil_proof::{Envelope, Hash, LeafHash, LeafIndex, StreamName, StreamSeq, TreeSize};
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash as StdHash, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

const SHARDS: usize = 64;

/// The latest receipt of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StreamHead {
    pub(crate) latest: LeafIndex,
    pub(crate) seq: StreamSeq,
    pub(crate) leaf: LeafHash,
    /// The receipt closed the stream.
    pub(crate) closed: bool,
}

/// One stream. Whoever holds it keeps it in memory.
pub(crate) struct Slot {
    stream: StreamName,
    state: Mutex<State>,
}

struct State {
    /// `None` for a stream that does not exist yet.
    head: Option<StreamHead>,
    /// Its receipts that no index covers, ascending. The last one is the head.
    recent: Vec<LeafIndex>,
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with this lock")
    }

    pub(crate) fn stream(&self) -> &StreamName {
        &self.stream
    }

    pub(crate) fn head(&self) -> Option<StreamHead> {
        self.state().head
    }

    /// Position and previous leaf hash of the stream's next receipt.
    pub(crate) fn next(&self) -> (StreamSeq, LeafHash) {
        self.head().map_or((StreamSeq(0), Hash::ZERO), |head| (StreamSeq(head.seq.0 + 1), head.leaf))
    }

    /// Takes in the stream's next receipt; false, and nothing is changed, when it does not follow: a stream is gap-free
    /// and ends when it is closed.
    #[must_use]
    pub(crate) fn advance(&self, envelope: &Envelope, leaf: LeafHash) -> bool {
        let (latest, seq, closed) = (envelope.index, envelope.stream_seq, envelope.closes_stream);
        let mut state = self.state();
        let follows = match state.head {
            Some(head) => !head.closed && head.seq.0 + 1 == seq.0 && head.leaf == envelope.stream_prev,
            None => seq == StreamSeq(0),
        };
        if follows {
            state.head = Some(StreamHead { latest, seq, leaf, closed });
            state.recent.push(latest);
        }
        follows
    }

    /// Takes in a receipt whose predecessors are not known here. Their order was checked when it was signed.
    fn begin_at(&self, envelope: &Envelope, leaf: LeafHash) {
        let (latest, seq, closed) = (envelope.index, envelope.stream_seq, envelope.closes_stream);
        *self.state() = State { head: Some(StreamHead { latest, seq, leaf, closed }), recent: vec![latest] };
    }

    /// Position in the stream of the first receipt held here, and all that are.
    pub(crate) fn recent(&self) -> Option<(StreamSeq, Vec<LeafIndex>)> {
        let state = self.state();
        let head = state.head.filter(|_| !state.recent.is_empty())?;
        Some((StreamSeq(head.seq.0 + 1 - state.recent.len() as u64), state.recent.clone()))
    }

    /// Lets go of the receipts that an index covers by now.
    fn forget_below(&self, covered: TreeSize) {
        let mut state = self.state();
        let gone = state.recent.partition_point(|index| covered.contains(*index));
        if gone > 0 {
            state.recent.drain(..gone);
            state.recent.shrink_to_fit();
        }
    }
}

/// A slot that is found by its stream's name.
struct Named(Arc<Slot>);

impl Borrow<str> for Named {
    fn borrow(&self) -> &str {
        self.0.stream.as_str()
    }
}

impl StdHash for Named {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.stream.as_str().hash(state);
    }
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.0.stream == other.0.stream
    }
}

impl Eq for Named {}

/// The streams in memory, in shards with a lock each.
pub(crate) struct Slots {
    shards: Vec<Mutex<HashSet<Named>>>,
    hasher: RandomState,
    /// Streams to keep although indexes could find them.
    kept_max: usize,
    count: AtomicUsize,
    /// With more streams than this, room is made.
    count_max: AtomicUsize,
}

impl Slots {
    /// Room for this many streams that indexes could find.
    pub(crate) fn new(kept_max: usize) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            kept_max,
            count: AtomicUsize::new(0),
            count_max: AtomicUsize::new(kept_max),
        }
    }

    fn shard(&self, stream: &StreamName) -> MutexGuard<'_, HashSet<Named>> {
        let hash = self.hasher.hash_one(stream.as_str());
        let at = usize::try_from(hash % SHARDS as u64).expect("below the number of shards");
        self.shards[at].lock().expect("no thread panics with this lock")
    }

    pub(crate) fn get(&self, stream: &StreamName) -> Option<Arc<Slot>> {
        self.shard(stream).get(stream.as_str()).map(|named| named.0.clone())
    }

    /// The slot of a stream whose head was looked up, unless `still_holds` says, while nothing can be let go, that the
    /// lookup is out of date. A slot that is there already knows better.
    pub(crate) fn insert(
        &self,
        stream: &StreamName,
        head: Option<StreamHead>,
        still_holds: impl FnOnce() -> bool,
    ) -> Option<Arc<Slot>> {
        let mut shard = self.shard(stream);
        if let Some(named) = shard.get(stream.as_str()) {
            return Some(named.0.clone());
        }
        if !still_holds() {
            return None;
        }
        let slot = Arc::new(Slot { stream: stream.clone(), state: Mutex::new(State { head, recent: Vec::new() }) });
        shard.insert(Named(slot.clone()));
        drop(shard);
        if self.count.fetch_add(1, Ordering::Relaxed) > self.count_max.load(Ordering::Relaxed) {
            self.make_room();
        }
        Some(slot)
    }

    /// Takes in a receipt of a segment that is scanned; false when it does not follow the one before it in its stream.
    #[must_use]
    pub(crate) fn follow(&self, envelope: &Envelope, leaf: LeafHash) -> bool {
        if let Some(slot) = self.get(&envelope.stream) {
            return slot.advance(envelope, leaf);
        }
        let slot = self.insert(&envelope.stream, None, || true).expect("nothing is out of date");
        slot.begin_at(envelope, leaf);
        true
    }

    /// Takes in the last receipt of a stream in the segments that indexes cover.
    pub(crate) fn know(&self, envelope: &Envelope, leaf: LeafHash) {
        let (latest, seq, closed) = (envelope.index, envelope.stream_seq, envelope.closes_stream);
        self.insert(&envelope.stream, Some(StreamHead { latest, seq, leaf, closed }), || true);
    }

    /// Lets go of about half of the streams that indexes can find and that nobody holds.
    fn make_room(&self) {
        // Whoever comes meanwhile need not do the same.
        self.count_max.store(usize::MAX, Ordering::Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock().expect("no thread panics with this lock");
            let before = shard.len();
            let mut spared = before / 2;
            shard.retain(|named| {
                // A slot is handed out only under the shard's lock: one that nobody else holds now can go.
                let can_go = Arc::strong_count(&named.0) == 1 && named.0.state().recent.is_empty();
                if can_go && spared > 0 {
                    spared -= 1;
                    return true;
                }
                !can_go
            });
            self.count.fetch_sub(before - shard.len(), Ordering::Relaxed);
        }
        // Those that have to stay may be more than what there is room for.
        let count = self.count.load(Ordering::Relaxed);
        self.count_max.store(self.kept_max.max(count + count / 2), Ordering::Relaxed);
    }

    /// Lets go of the receipts of these streams that an index covers by now.
    pub(crate) fn forget_below(&self, covered: TreeSize, streams: &[StreamName]) {
        for slot in streams.iter().filter_map(|stream| self.get(stream)) {
            slot.forget_below(covered);
        }
    }
}
