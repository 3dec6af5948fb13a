//! Rows that start on a cache line: a register-wide access that straddles two lines costs twice.

/// Floats that start at a multiple of 64 bytes.
pub(crate) struct AlignedRows {
    floats: Vec<f32>,
    skip: usize,
}

/// Floats in a cache line.
const LINE: usize = 16;

impl AlignedRows {
    /// `len` zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let floats = vec![0.0_f32; len + LINE];
        // The buffer is never resized, so that the offset stays right.
        let skip = floats.as_ptr().align_offset(4 * LINE).min(LINE);
        Self { floats, skip }
    }
}

impl std::ops::Deref for AlignedRows {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        let end = self.floats.len() - LINE + self.skip;
        &self.floats[self.skip..end]
    }
}

impl std::ops::DerefMut for AlignedRows {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        let end = self.floats.len() - LINE + self.skip;
        &mut self.floats[self.skip..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_aligned_and_as_long_as_asked() {
        for len in [0, 1, 24, 1000] {
            let mut rows = AlignedRows::zeroed(len);
            assert_eq!((rows.len(), rows.as_ptr() as usize % 64), (len, 0));
            rows.fill(1.0);
            assert!(rows.iter().all(|v| *v == 1.0));
        }
    }
}
