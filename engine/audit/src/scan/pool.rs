//! Work on many parts at once, answers in the order of the parts.

use core::num::NonZeroUsize;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What threads share: which part is next, and answers that wait for their turn.
struct Queue<T> {
    next: usize,
    taken: usize,
    answers: BTreeMap<usize, T>,
    stopped: bool,
}

/// Does `work` for the parts 0 to `parts - 1` on so many threads, and hands the answers to `take` in order, on the
/// calling thread. At most one answer more than there are threads waits for its turn. The first error ends it.
pub(super) fn in_order<T: Send, E>(
    parts: usize,
    threads: NonZeroUsize,
    work: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> Result<(), E>,
) -> Result<(), E> {
    let threads = threads.get().min(parts);
    if threads <= 1 {
        return (0..parts).try_for_each(|part| take(part, work(part)));
    }
    let shared = Shared::new(threads + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _stop = StopOnPanic(&shared);
                while let Some(part) = shared.begin(parts) {
                    shared.answer(part, work(part));
                }
            });
        }
        let _stop = StopOnPanic(&shared);
        let result = (0..parts).try_for_each(|part| match shared.wait_for(part) {
            Some(answer) => take(part, answer),
            // A thread panicked; the scope passes the panic on.
            None => Ok(()),
        });
        shared.stop();
        result
    })
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    changed: Condvar,
    ahead_max: usize,
}

/// A panic on one thread must not leave the others waiting for it.
struct StopOnPanic<'a, T>(&'a Shared<T>);

impl<T> Drop for StopOnPanic<'_, T> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl<T> Shared<T> {
    fn new(ahead_max: usize) -> Self {
        let queue = Queue { next: 0, taken: 0, answers: BTreeMap::new(), stopped: false };
        Self { queue: Mutex::new(queue), changed: Condvar::new(), ahead_max }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<T>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next part to work on, once it is not too far ahead; `None` when there is none.
    fn begin(&self, parts: usize) -> Option<usize> {
        let mut queue = self.queue();
        while !queue.stopped && queue.next < parts && queue.next >= queue.taken + self.ahead_max {
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        if queue.stopped || queue.next >= parts {
            return None;
        }
        queue.next += 1;
        Some(queue.next - 1)
    }

    fn answer(&self, part: usize, answer: T) {
        self.queue().answers.insert(part, answer);
        self.changed.notify_all();
    }

    fn wait_for(&self, part: usize) -> Option<T> {
        let mut queue = self.queue();
        loop {
            if let Some(answer) = queue.answers.remove(&part) {
                queue.taken += 1;
                self.changed.notify_all();
                return Some(answer);
            }
            if queue.stopped {
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn stop(&self) {
        self.queue().stopped = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn threads(count: usize) -> NonZeroUsize {
        NonZeroUsize::new(count).unwrap()
    }

    #[test]
    fn answers_come_in_order_for_any_number_of_threads() {
        for count in [1, 2, 7, 50] {
            let mut seen = Vec::new();
            let work = |part: usize| {
                // The first parts take longest.
                std::thread::sleep(std::time::Duration::from_micros(200 - 10 * part as u64));
                part * part
            };
            let done = in_order(20, threads(count), work, |part, answer| {
                seen.push((part, answer));
                Ok::<(), ()>(())
            });
            assert_eq!(done, Ok(()));
            assert_eq!(seen, (0..20).map(|part| (part, part * part)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_error_ends_it() {
        for count in [1, 3] {
            let mut taken = 0;
            let take = |part, _| {
                taken += 1;
                if part == 4 { Err("four") } else { Ok(()) }
            };
            assert_eq!(in_order(100, threads(count), |part| part, take), Err("four"));
            assert_eq!(taken, 5);
        }
    }

    #[test]
    fn threads_do_not_run_far_ahead() {
        let begun = std::sync::atomic::AtomicUsize::new(0);
        let work = |_| begun.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let take = |part, _| {
            std::thread::sleep(std::time::Duration::from_millis(1));
            assert!(begun.load(std::sync::atomic::Ordering::SeqCst) <= part + 1 + 3);
            Ok::<(), ()>(())
        };
        assert_eq!(in_order(30, threads(2), work, take), Ok(()));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_ends_it() {
        let _ = in_order(5, threads(2), |part| assert_ne!(part, 3), |_, ()| Ok::<(), ()>(()));
    }
}
