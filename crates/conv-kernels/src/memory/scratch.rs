//! Recycled scratch memory.
//!
//! A convolution needs megabytes of intermediate values for a few milliseconds. Fresh from the system they would cost a
//! page fault for every 4 KiB, a third of the run time of a network; so buffers go back to a process-wide pool, by size
//! class, and large ones ask for huge pages. `densecrf` has an allocator of huge pages too: its buffers live as long as their
//! owner and are never recycled, while these live for one call, and neither crate should depend on the other for thirty lines.
//! Contents are whatever the last user left: initialised, never meaningful.

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A buffer larger than this is aligned to it and advised to use huge pages.
const HUGE_PAGE: usize = 2 << 20;

/// Alignment of small buffers in bytes: a cache line, and the widest vector.
const LINE: usize = 64;

/// The pool may hold so much that blocks in use and idle ones together are this share (1 / SLACK) more than what was once
/// in use at the same time: a step that repeats finds everything, and a program that is done with large images keeps little
/// more than they needed.
const SLACK: usize = 8;

struct Block {
    start: NonNull<f32>,
    layout: Layout,
}

// SAFETY: a block owns its memory and has no thread affinity.
unsafe impl Send for Block {}
// SAFETY: a shared block only gives shared access to its values.
unsafe impl Sync for Block {}

impl Block {
    fn allocate(bytes: usize) -> Block {
        let align = if bytes >= HUGE_PAGE { HUGE_PAGE } else { LINE };
        let Ok(layout) = Layout::from_size_align(bytes, align) else {
            handle_alloc_error(Layout::new::<f32>());
        };
        // SAFETY: the size classes below start at 4 KiB, so the size is not zero.
        let raw = unsafe { std::alloc::alloc(layout) };
        let Some(start) = NonNull::new(raw.cast::<f32>()) else {
            handle_alloc_error(layout);
        };
        #[cfg(target_os = "linux")]
        if bytes >= HUGE_PAGE {
            // SAFETY: the range was allocated just now and is aligned to a page. Failure only means small pages.
            unsafe { libc::madvise(raw.cast(), bytes, libc::MADV_HUGEPAGE) };
        }
        // SAFETY: `bytes` were allocated. All bits zero is 0.0, so from here on the memory is initialised.
        unsafe { raw.write_bytes(0, bytes) };
        Block { start, layout }
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: allocated in `allocate` with this layout, freed once.
        unsafe { std::alloc::dealloc(self.start.as_ptr().cast(), self.layout) };
    }
}

struct Pool {
    /// The most recently used last.
    free: Vec<Block>,
    /// Bytes in `free`.
    idle: usize,
    /// Bytes out of the pool.
    used: usize,
    /// The largest that `used` has been.
    peak: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), idle: 0, used: 0, peak: 0 });

impl Pool {
    /// Takes a block of at least `bytes` out of the pool. Without one, takes out what is to be freed to make way for a fresh
    /// one.
    fn take(&mut self, bytes: usize) -> Result<Block, Vec<Block>> {
        let sizes = || self.free.iter().map(|block| block.layout.size());
        // Rather a block that is far too large than to free it for a fresh one: page faults cost more.
        let full = self.used + self.idle + bytes > self.allowed();
        let found = best_fit(sizes(), bytes, 4).or_else(|| if full { best_fit(sizes(), bytes, 16) } else { None });
        let size = found.map_or(bytes, |at| self.free[at].layout.size());
        self.used += size;
        self.peak = self.peak.max(self.used);
        match found {
            Some(at) => {
                self.idle -= size;
                Ok(self.free.remove(at))
            }
            None => Err(self.surplus()),
        }
    }

    /// Takes a block back; returns what is to be freed.
    fn give(&mut self, block: Block) -> Vec<Block> {
        self.used -= block.layout.size();
        self.idle += block.layout.size();
        self.free.push(block);
        self.surplus()
    }

    /// What the pool may hold, in use and idle.
    fn allowed(&self) -> usize {
        self.peak + self.peak / SLACK
    }

    /// Takes out what is to be freed: the smallest idle block that is enough, or the largest as long as none is.
    fn surplus(&mut self) -> Vec<Block> {
        let mut surplus = Vec::new();
        while self.used + self.idle > self.allowed() {
            let excess = self.used + self.idle - self.allowed();
            let sizes = || self.free.iter().map(|block| block.layout.size()).enumerate();
            let enough = sizes().filter(|(_, size)| *size >= excess).min_by_key(|(_, size)| *size);
            let Some((at, size)) = enough.or_else(|| sizes().max_by_key(|(_, size)| *size)) else { break };
            self.idle -= size;
            surplus.push(self.free.remove(at));
        }
        surplus
    }
}

/// The pool, whatever happened to a thread that held it: every change to it is complete before anything can panic.
fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Rounds up to a size class: at most 25 % more than asked for, and at most a huge page.
fn size_class(bytes: usize) -> usize {
    let bytes = bytes.max(4096);
    let quarter = (bytes.next_power_of_two() / 8).max(1024);
    bytes.next_multiple_of(quarter.min(HUGE_PAGE))
}

/// The smallest block that holds `bytes` and is at most `most` times as large; of equal ones the last, which is the most
/// recently used. A network's maps shrink from stage to stage: those of the later stages fit in the blocks of the first.
fn best_fit(blocks: impl Iterator<Item = usize>, bytes: usize, most: usize) -> Option<usize> {
    let fitting = blocks.enumerate().filter(|(_, size)| (bytes..=most * bytes).contains(size));
    fitting.min_by_key(|(at, size)| (*size, std::cmp::Reverse(*at))).map(|(at, _)| at)
}

/// Values in recycled memory, given back to the pool when dropped. Their initial contents are unspecified.
pub struct Scratch {
    block: Option<Block>,
    len: usize,
}

impl Scratch {
    /// Takes `len` values from the pool, aligned to a cache line.
    pub fn take(len: usize) -> Scratch {
        let bytes = size_class(len * size_of::<f32>());
        let found = pool().take(bytes);
        // What is freed here is freed without holding the pool, and before its successor is allocated.
        let block = found.unwrap_or_else(|surplus| {
            drop(surplus);
            Block::allocate(bytes)
        });
        Scratch { block: Some(block), len }
    }

    /// Takes `len` zeros from the pool.
    pub fn zeros(len: usize) -> Scratch {
        let mut scratch = Scratch::take(len);
        scratch.fill(0.0);
        scratch
    }
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scratch({} values)", self.len)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        let surplus = pool().give(block);
        drop(surplus);
    }
}

impl Deref for Scratch {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.block {
            // SAFETY: the block has at least `len` initialised values and is not in the pool while `self` lives.
            Some(block) => unsafe { std::slice::from_raw_parts(block.start.as_ptr(), self.len) },
            None => &[],
        }
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        match &mut self.block {
            // SAFETY: as in `deref`; the block belongs to `self` alone.
            Some(block) => unsafe { std::slice::from_raw_parts_mut(block.start.as_ptr(), self.len) },
            None => &mut [],
        }
    }
}

/// Frees the scratch memory that is not in use.
pub fn release_scratch() {
    let free = {
        let mut pool = pool();
        pool.idle = 0;
        pool.peak = pool.used;
        std::mem::take(&mut pool.free)
    };
    drop(free);
}

/// Bytes of scratch memory that are held but not in use.
pub fn scratch_bytes() -> usize {
    pool().idle
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_classes_hold_what_was_asked_and_waste_little() {
        for bytes in [1, 4096, 4097, 5000, 100_000, 3 << 20, (3 << 20) + 4] {
            let class = size_class(bytes);
            assert!(class >= bytes && class <= bytes.max(4096) * 5 / 4 + 1024, "{bytes} -> {class}");
        }
    }

    #[test]
    fn the_smallest_block_that_fits_is_taken_unless_it_is_far_too_large() {
        let blocks = || [8, 2, 4, 2, 16].into_iter();
        let cases = [(1, Some(3)), (2, Some(3)), (3, Some(2)), (5, Some(0)), (8, Some(0)), (9, Some(4)), (17, None)];
        for (bytes, expected) in cases {
            assert_eq!(best_fit(blocks(), bytes, 4), expected, "{bytes}");
        }
        assert_eq!(best_fit([9].into_iter(), 2, 4), None);
        assert_eq!(best_fit([9].into_iter(), 2, 16), Some(0));
    }

    #[test]
    fn a_pool_keeps_what_was_in_use_at_once_and_little_more() {
        let mut pool = Pool { free: Vec::new(), idle: 0, used: 0, peak: 0 };
        let take = |pool: &mut Pool, bytes: usize| pool.take(bytes).unwrap_or_else(|_| Block::allocate(bytes));
        // A step that repeats: nothing is freed, and the second time nothing is fresh.
        for step in 0..2 {
            let blocks: Vec<Block> = [1, 2, 4]
                .map(|n| {
                    let found = pool.take(n << 20);
                    assert!(step == 0 || found.is_ok(), "block {n} is fresh in step {step}");
                    found.unwrap_or_else(|_| Block::allocate(n << 20))
                })
                .into();
            for block in blocks {
                assert!(pool.give(block).is_empty());
            }
        }
        assert_eq!((pool.idle, pool.used, pool.peak), (7 << 20, 0, 7 << 20));
        // A size that no block fits: others are freed for it.
        let large = take(&mut pool, 6 << 20);
        assert!(pool.used + pool.idle <= pool.peak + pool.peak / SLACK, "{} {}", pool.used, pool.idle);
        assert!(pool.give(large).is_empty());
        assert!(pool.free.iter().any(|block| block.layout.size() == 6 << 20));
    }

    #[test]
    fn a_full_pool_gives_what_is_far_too_large_rather_than_a_fresh_block() {
        let mut pool = Pool { free: Vec::new(), idle: 0, used: 0, peak: 0 };
        assert!(pool.take(16 << 20).is_err());
        assert!(pool.give(Block::allocate(16 << 20)).is_empty());
        assert!(pool.take(1 << 20).is_err(), "the pool is not full");
        assert!(pool.give(Block::allocate(1 << 20)).is_empty());
        let size = pool.take(3 << 20).ok().map(|block| block.layout.size());
        assert_eq!(size, Some(16 << 20));
    }

    #[test]
    fn scratch_has_its_length_and_alignment_and_is_recycled() {
        for len in [1, 1000, 1 << 20] {
            let mut one = Scratch::take(len);
            assert_eq!(one.len(), len);
            assert_eq!(one.as_ptr() as usize % LINE, 0);
            one.fill(7.0);
            let other = Scratch::zeros(len);
            assert!(other.iter().all(|x| *x == 0.0), "two live buffers never share memory");
            assert!(one.iter().all(|x| *x == 7.0));
        }
    }
}
