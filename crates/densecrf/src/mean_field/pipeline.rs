//! Work that is done in any order and put down in order.
//!
//! Sums of f32 depend on the order of their terms, so that splatting must follow the order of the pixels; everything
//! before it need not. Runs of pixels are therefore produced by all threads at once, and each run is committed after
//! the one before it, by whichever thread finds it ready. No thread waits for another unless all slots are full.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, TryLockError};

/// What a run produced, and which run that was, plus one.
struct Slot<'a, S> {
    content: RwLock<&'a mut S>,
    holds: AtomicUsize,
}

/// Something that runs are committed to, and the next run that it needs.
struct Lane<'a, T> {
    target: Mutex<&'a mut T>,
    next: AtomicUsize,
}

struct Pipeline<'a, S, T, P, C> {
    slots: Vec<Slot<'a, S>>,
    lanes: Vec<Lane<'a, T>>,
    count: usize,
    taken: AtomicUsize,
    failed: AtomicBool,
    produce: P,
    commit: C,
}

/// Calls `produce(run, slot)` once for each run in 0..count, on `threads` threads of the rayon pool and in any order,
/// and `commit(lane, run, slot, target)` for each run and target, for each target in ascending order of runs.
pub(crate) fn in_order<S: Send + Sync, T: Send>(
    threads: usize,
    count: usize,
    slots: &mut [S],
    targets: &mut [T],
    produce: impl Fn(usize, &mut S) + Sync,
    commit: impl Fn(usize, usize, &S, &mut T) + Sync,
) {
    let slot = |content| Slot { content: RwLock::new(content), holds: AtomicUsize::new(0) };
    let lane = |target| Lane { target: Mutex::new(target), next: AtomicUsize::new(0) };
    let pipeline = Pipeline {
        slots: slots.iter_mut().map(slot).collect(),
        lanes: targets.iter_mut().map(lane).collect(),
        count,
        taken: AtomicUsize::new(0),
        failed: AtomicBool::new(false),
        produce,
        commit,
    };
    rayon::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| pipeline.work());
        }
        pipeline.work();
    });
    // Nobody works any more: what was ready while its lane was busy is committed here.
    pipeline.drain();
}

/// Lets the other threads end after a panic of this one; they would otherwise wait for a run that never comes.
struct Alarm<'a>(&'a AtomicBool);

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

impl<S, T, P: Fn(usize, &mut S), C: Fn(usize, usize, &S, &mut T)> Pipeline<'_, S, T, P, C> {
    fn work(&self) {
        let _alarm = Alarm(&self.failed);
        loop {
            let run = self.taken.fetch_add(1, Ordering::SeqCst);
            if run >= self.count {
                return;
            }
            while self.lanes.iter().any(|lane| lane.next.load(Ordering::SeqCst) + self.slots.len() <= run) {
                if self.failed.load(Ordering::SeqCst) {
                    return;
                }
                self.drain();
                std::thread::yield_now();
            }
            let slot = &self.slots[run % self.slots.len()];
            (self.produce)(run, &mut slot.content.write().unwrap_or_else(PoisonError::into_inner));
            slot.holds.store(run + 1, Ordering::SeqCst);
            self.drain();
        }
    }

    /// Commits what is ready, to every lane that no other thread is at.
    fn drain(&self) {
        for (number, lane) in self.lanes.iter().enumerate() {
            let mut target = match lane.target.try_lock() {
                Ok(target) => target,
                Err(TryLockError::Poisoned(target)) => target.into_inner(),
                Err(TryLockError::WouldBlock) => continue,
            };
            loop {
                let run = lane.next.load(Ordering::SeqCst);
                let slot = &self.slots[run % self.slots.len()];
                if slot.holds.load(Ordering::SeqCst) != run + 1 {
                    break;
                }
                (self.commit)(number, run, &slot.content.read().unwrap_or_else(PoisonError::into_inner), &mut target);
                lane.next.store(run + 1, Ordering::SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lane_gets_every_run_in_order() {
        for (threads, count, slots) in [(1, 0, 1), (1, 9, 1), (2, 100, 1), (4, 1000, 3), (3, 5, 16)] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let mut targets = vec![Vec::new(); 3];
            pool.install(|| {
                in_order(
                    threads,
                    count,
                    &mut vec![0; slots],
                    &mut targets,
                    |run, slot| *slot = 7 * run,
                    |lane, run, slot, target: &mut Vec<usize>| target.push(lane + run + slot),
                );
            });
            for (lane, target) in targets.iter().enumerate() {
                assert_eq!(*target, (0..count).map(|run| lane + 8 * run).collect::<Vec<_>>(), "{threads} threads");
            }
        }
    }

    #[test]
    fn a_panic_reaches_the_caller() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().expect("a pool");
        let run = || {
            let produce = |run, _: &mut ()| assert!(run != 5, "on purpose");
            in_order(2, 100, &mut [(), ()], &mut [()], produce, |_, _, _, _| {});
        };
        assert!(pool.install(|| std::panic::catch_unwind(run)).is_err());
    }
}
