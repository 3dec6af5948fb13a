//! How loops over the operands of a product are cut.

/// Depth of a block: three vectors of B, at most 24 KiB, stay in the first-level cache, and short sums round less.
///
/// Who cuts a product along its depth into several, at multiples of this, gets the same bits as from one.
pub(crate) const DEPTH: usize = 128;

/// Cuts `total` into runs of at most `most` that differ by at most one, so that no run is needlessly thin.
pub(crate) struct Split {
    at: usize,
    total: usize,
    runs: usize,
}

impl Split {
    #[inline(always)]
    pub(crate) fn new(total: usize, most: usize) -> Split {
        Split { at: 0, total, runs: total.div_ceil(most) }
    }

    /// Start and length of the next run.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Option<(usize, usize)> {
        if self.runs == 0 {
            return None;
        }
        let count = (self.total - self.at).div_ceil(self.runs);
        let start = self.at;
        self.at += count;
        self.runs -= 1;
        Some((start, count))
    }
}
