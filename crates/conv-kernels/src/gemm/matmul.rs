//! C = A B, where vectors run along the columns of B and C.

use super::blocks::{DEPTH, Split};
use crate::simd::{Kernel, PairKernel, RegisterTile, Tile};

/// Values in a block of packed A: 128 KiB.
const BLOCK: usize = 32 * 1024;

/// All rows of A are stored together.
pub(crate) const ONE_GROUP: [usize; 2] = [usize::MAX, 0];

/// C = A B or C += A B.
///
/// Columns are computed in whole vectors: rows of B and C must be readable and writable up to `columns` rounded up to
/// the vector's length, and what is beyond `columns` in C is overwritten with nonsense.
pub(crate) struct MatMul<'a> {
    /// Rows of A and C.
    pub rows: usize,
    /// Columns of B and C.
    pub columns: usize,
    /// Columns of A and rows of B that are multiplied.
    pub depth: usize,
    /// A, in panels of `ROWS` rows, from its first column to be used.
    pub a: &'a [f32],
    /// Distance of two panels of A: depth times `ROWS` if packed panel by panel, `ROWS` if A is stored by columns.
    pub a_stride: usize,
    /// Distance of two columns of A: `ROWS` if packed, else any.
    pub a_step: usize,
    /// Rows of A that are stored together, in whole panels, and the distance of two such groups; or [`ONE_GROUP`].
    pub a_group: [usize; 2],
    /// B: `depth` rows.
    pub b: &'a [f32],
    /// Distance of two rows of B.
    pub b_stride: usize,
    /// C: `rows` rows.
    pub c: &'a mut [f32],
    /// Distance of two rows of C.
    pub c_stride: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

impl Kernel for MatMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: RegisterTile>(self, s: S) {
        self.multiply::<S, false>(s);
    }
}

/// A and B hold pairs of bf16 values, two columns of A and two rows of B in one; depth counts pairs.
impl PairKernel for MatMul<'_> {
    #[inline(always)]
    fn run_pairs<S: RegisterTile>(self, s: S) {
        self.multiply::<S, true>(s);
    }
}

impl MatMul<'_> {
    #[inline(always)]
    fn multiply<S: RegisterTile, const PAIRS: bool>(self, s: S) {
        if self.rows == 0 || self.columns == 0 || self.depth == 0 {
            return;
        }
        let width = self.columns.next_multiple_of(S::LANES);
        let [group, distance] = self.a_group;
        assert!(group == usize::MAX || group.is_multiple_of(S::ROWS), "groups of {group} rows in whole panels");
        let panels = self.rows.min(group).div_ceil(S::ROWS);
        let last = (self.rows - 1) / group * distance + (panels - 1) * self.a_stride + (self.depth - 1) * self.a_step;
        assert!(self.a.len() >= last + S::ROWS, "length of A");
        assert!(self.b_stride >= width && self.b.len() >= (self.depth - 1) * self.b_stride + width, "length of B");
        assert!(self.c_stride >= width && self.c.len() >= (self.rows - 1) * self.c_stride + width, "length of C");

        let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr());
        let mut d0 = 0;
        while d0 < self.depth {
            let depth = DEPTH.min(self.depth - d0);
            let accumulate = self.accumulate || d0 > 0;
            let block = (BLOCK / depth).next_multiple_of(S::ROWS);
            let mut i0 = 0;
            while i0 < self.rows {
                let i1 = (i0 + block).min(self.rows);
                let mut vectors = Split::new(width / S::LANES, 3);
                while let Some((j, count)) = vectors.next() {
                    // The next strip of B, from rows that are too far apart to be foreseen: asked for panel by panel, where
                    // there are enough of them to hide that.
                    let last_strip = j + count == width / S::LANES;
                    let strip = b.wrapping_add(d0 * self.b_stride + (j + count) * S::LANES);
                    let share = depth.div_ceil((i1 - i0).div_ceil(S::ROWS));
                    let ahead = if last_strip || i1 - i0 < 16 * S::ROWS { 0 } else { share };
                    let mut i = i0;
                    while i < i1 {
                        // SAFETY: the lengths were checked above for all rows below `rows`, whole vectors below
                        // `width` and the depths below `depth`; panels are whole.
                        unsafe {
                            // The panel after this one, or the first of the block: of the next one if this one is done.
                            let first = if last_strip && i1 < self.rows { i1 } else { i0 };
                            let next = if i + S::ROWS < i1 { i + S::ROWS } else { first };
                            let panel = |i: usize| {
                                let (group, row) = (i / group * distance, i % group);
                                a.add(group + row / S::ROWS * self.a_stride + d0 * self.a_step)
                            };
                            let tile = Tile {
                                depth,
                                a: panel(i),
                                a_next: panel(next),
                                a_step: self.a_step,
                                b: b.add(d0 * self.b_stride + j * S::LANES),
                                b_stride: self.b_stride,
                                c: c.add(i * self.c_stride + j * S::LANES),
                                c_stride: self.c_stride,
                                rows: (self.rows - i).min(S::ROWS),
                                accumulate,
                            };
                            let part = (i - i0) / S::ROWS * share;
                            for d in part..(part + ahead).min(depth) {
                                for v in 0..3 {
                                    s.prefetch_far(strip.wrapping_add(d * self.b_stride + v * S::LANES));
                                }
                            }
                            s.multiply::<PAIRS>(count, tile);
                        }
                        i += S::ROWS;
                    }
                }
                i0 = i1;
            }
            d0 += depth;
        }
    }
}
