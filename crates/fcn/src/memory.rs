//! Keeps freed memory in the process.
//!
//! Training allocates and frees the same large tensors step after step. By default the GNU allocator returns each of
//! them to the system and gets it back one zeroed page at a time, which costs a quarter of the time of a training step.
//! Maps and gradients are in the kernels' recycled memory already; this is for what the engine allocates besides.

/// Serves all but the largest blocks from the heap and keeps what is freed. Only the GNU allocator needs it.
pub fn keep_what_is_freed() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const HEAP_GROWTH_BYTES: libc::c_int = 64 << 20;
        /// The largest that the allocator accepts. Larger blocks are weights, which stay until they are really done with.
        const LARGEST_HEAP_BLOCK_BYTES: libc::c_int = 32 << 20;
        const NEVER: libc::c_int = -1; // read as the largest size
        for (parameter, value) in [
            (libc::M_MMAP_THRESHOLD, LARGEST_HEAP_BLOCK_BYTES),
            (libc::M_TRIM_THRESHOLD, NEVER),
            (libc::M_TOP_PAD, HEAP_GROWTH_BYTES),
        ] {
            // SAFETY: mallopt only sets parameters of the allocator; it runs before any other thread is started. A
            // refused parameter keeps its default, which is slower and nothing else.
            unsafe { libc::mallopt(parameter, value) };
        }
    }
}
