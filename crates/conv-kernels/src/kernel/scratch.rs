//! Recycled scratch memory.
//!
//! A convolution needs megabytes of intermediate values for a few milliseconds. Fresh from the system they would cost a
//! page fault for every 4 KiB, a third of the run time of a network; so buffers go back to a process-wide pool, by size
//! class, and large ones ask for huge pages. Contents are whatever the last user left: initialised, never meaningful.

use std::alloc::{Layout, handle_alloc_error};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

/// A buffer larger than this is aligned to it and advised to use huge pages.
const HUGE_PAGE: usize = 2 << 20;

/// Alignment of small buffers in bytes: a cache line, and the widest vector.
const LINE: usize = 64;

/// Bytes the pool may hold while no one uses them; beyond that, returned buffers are freed.
const POOL_LIMIT: usize = 1 << 30;

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
    free: Vec<Block>,
    bytes: usize,
}

static POOL: Mutex<Pool> = Mutex::new(Pool { free: Vec::new(), bytes: 0 });

/// Rounds up to a size class: at most 25 % more than asked for.
fn size_class(bytes: usize) -> usize {
    let bytes = bytes.max(4096);
    let quarter = (bytes.next_power_of_two() / 8).max(1024);
    bytes.next_multiple_of(quarter)
}

/// Scratch values, given back to the pool when dropped. Their initial contents are unspecified.
pub(crate) struct Scratch {
    block: Option<Block>,
    len: usize,
}

impl Scratch {
    /// Takes `len` values from the pool, aligned to a cache line.
    pub(crate) fn take(len: usize) -> Scratch {
        let bytes = size_class(len * size_of::<f32>());
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        let found = pool.free.iter().rposition(|block| block.layout.size() == bytes);
        let block = found.map(|at| {
            pool.bytes -= bytes;
            pool.free.swap_remove(at)
        });
        drop(pool);
        Scratch { block: Some(block.unwrap_or_else(|| Block::allocate(bytes))), len }
    }

    /// Takes `len` zeros from the pool.
    pub(crate) fn zeros(len: usize) -> Scratch {
        let mut scratch = Scratch::take(len);
        scratch.fill(0.0);
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let Some(block) = self.block.take() else { return };
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.bytes + block.layout.size() <= POOL_LIMIT {
            pool.bytes += block.layout.size();
            pool.free.push(block);
        }
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
    let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
    pool.free.clear();
    pool.bytes = 0;
}

/// Bytes of scratch memory that are held but not in use.
pub fn scratch_bytes() -> usize {
    POOL.lock().unwrap_or_else(PoisonError::into_inner).bytes
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
