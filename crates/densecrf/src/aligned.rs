//! Large arrays: on huge pages where the system has them, and from a cache line on: a register-wide access that
//! straddles two lines costs twice.

use crate::simd::advise_huge_pages;

/// Values that start at a multiple of 64 bytes; if there are many, on huge pages.
pub(crate) struct Aligned<T> {
    values: Vec<T>,
    skip: usize,
    len: usize,
}

/// Bytes in a cache line.
const LINE: usize = 64;
/// Bytes in a huge page.
const HUGE_PAGE: usize = 2 << 20;

impl<T: Copy + Default> Aligned<T> {
    /// `len` zeros. Memory that the system gives afresh is first touched by whoever fills it.
    pub(crate) fn zeroed(len: usize) -> Self {
        let align = if len * size_of::<T>() < HUGE_PAGE { LINE } else { HUGE_PAGE };
        let slack = align / size_of::<T>();
        let mut values = vec![T::default(); len + slack];
        // The buffer is never resized, so that the offset stays right.
        let skip = values.as_ptr().align_offset(align).min(slack);
        if align == HUGE_PAGE {
            // Whole huge pages, and a last one that is mostly used.
            let huge = HUGE_PAGE / size_of::<T>();
            let end = (len + huge / 2) / huge * huge;
            advise_huge_pages(&mut values[skip..len + slack], end);
        }
        Self { values, skip, len }
    }

    /// Forgets what lies beyond the first `len` values.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

impl<T> std::ops::Deref for Aligned<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.values[self.skip..][..self.len]
    }
}

impl<T> std::ops::DerefMut for Aligned<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.skip..][..self.len]
    }
}

impl<T: Copy + Default> Clone for Aligned<T> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.copy_from_slice(self);
        copy
    }
}

impl<T: PartialEq> PartialEq for Aligned<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Aligned<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_aligned_and_as_long_as_asked() {
        for len in [0, 1, 24, 1000, 524_288, 900_000, 1_500_000] {
            let mut rows = Aligned::<f32>::zeroed(len);
            let align = if len < 524_288 { LINE } else { HUGE_PAGE };
            assert_eq!((rows.len(), rows.as_ptr() as usize % align), (len, 0));
            assert!(rows.iter().all(|v| *v == 0.0));
            rows.fill(1.0);
            assert!(rows.iter().all(|v| *v == 1.0));
            assert!(rows == rows.clone());
        }
    }
}
