//! C += A B^T, where vectors run along the common dimension.

use super::blocks::Split;
use crate::simd::{Kernel, Simd};

/// Rows of A in a block of [`DotMul`].
const DOT_ROWS: usize = 16;

/// C += A B^T, where the rows of A and B are `depth` long.
pub(crate) struct DotMul<'a> {
    /// Rows of A and C.
    pub rows: usize,
    /// Rows of B, columns of C.
    pub columns: usize,
    /// Length of the rows of A and B: a multiple of the vector's length.
    pub depth: usize,
    /// A.
    pub a: &'a [f32],
    /// Distance of two rows of A.
    pub a_stride: usize,
    /// B.
    pub b: &'a [f32],
    /// Where the rows of B begin. They may overlap.
    pub b_rows: &'a [usize],
    /// C.
    pub c: &'a mut [f32],
    /// Distance of two rows of C.
    pub c_stride: usize,
}

impl Kernel for DotMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.rows == 0 || self.columns == 0 || self.depth == 0 {
            return;
        }
        assert_eq!(self.depth % S::LANES, 0, "depth in whole vectors");
        assert!(self.a.len() >= (self.rows - 1) * self.a_stride + self.depth, "length of A");
        assert_eq!(self.b_rows.len(), self.columns, "rows of B");
        assert!(self.b_rows.iter().all(|row| row + self.depth <= self.b.len()), "length of B");
        assert!(self.c.len() >= (self.rows - 1) * self.c_stride + self.columns, "length of C");

        let (a, b, c) = (self.a.as_ptr(), self.b.as_ptr(), self.c.as_mut_ptr());
        let mut i0 = 0;
        while i0 < self.rows {
            let block = DOT_ROWS.min(self.rows - i0);
            let mut columns = Split::new(self.columns, 3);
            while let Some((j, wide)) = columns.next() {
                let mut rows = Split::new(block, 4);
                while let Some((i, high)) = rows.next() {
                    // SAFETY: rows below `rows`, columns below `columns`, `depth` values each: checked above.
                    unsafe {
                        let tile = DotTile {
                            depth: self.depth,
                            a: a.add((i0 + i) * self.a_stride),
                            a_stride: self.a_stride,
                            b,
                            b_rows: self.b_rows.as_ptr().add(j),
                            c: c.add((i0 + i) * self.c_stride + j),
                            c_stride: self.c_stride,
                        };
                        match (high, wide) {
                            (4, 3) => dot::<S, 4, 3>(s, tile),
                            (4, 2) => dot::<S, 4, 2>(s, tile),
                            (4, _) => dot::<S, 4, 1>(s, tile),
                            (3, 3) => dot::<S, 3, 3>(s, tile),
                            (3, 2) => dot::<S, 3, 2>(s, tile),
                            (3, _) => dot::<S, 3, 1>(s, tile),
                            (2, 3) => dot::<S, 2, 3>(s, tile),
                            (2, 2) => dot::<S, 2, 2>(s, tile),
                            (2, _) => dot::<S, 2, 1>(s, tile),
                            (_, 3) => dot::<S, 1, 3>(s, tile),
                            (_, 2) => dot::<S, 1, 2>(s, tile),
                            (_, _) => dot::<S, 1, 1>(s, tile),
                        }
                    }
                }
            }
            i0 += block;
        }
    }
}

#[derive(Clone, Copy)]
struct DotTile {
    depth: usize,
    a: *const f32,
    a_stride: usize,
    b: *const f32,
    b_rows: *const usize,
    c: *mut f32,
    c_stride: usize,
}

/// Adds `M x N` dot products to C.
///
/// # Safety
/// `a` has M rows of `depth` values, `b` as many at each of the N places `b_rows`, `c` M rows of N values.
#[inline(always)]
unsafe fn dot<S: Simd, const M: usize, const N: usize>(s: S, t: DotTile) {
    let mut sums = [[s.splat(0.0); N]; M];
    let mut b = [t.b; N];
    for (j, b) in b.iter_mut().enumerate() {
        // SAFETY: N rows of `b`, as the caller vouches.
        unsafe { *b = b.add(*t.b_rows.add(j)) };
    }
    let mut d = 0;
    while d < t.depth {
        // SAFETY: `depth` is a multiple of LANES, so a whole vector begins at d in each row.
        unsafe {
            let mut right = [s.splat(0.0); N];
            for (right, b) in right.iter_mut().zip(b) {
                *right = s.load(b.add(d));
            }
            for (i, sums) in sums.iter_mut().enumerate() {
                let left = s.load(t.a.add(i * t.a_stride + d));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = s.mul_add(left, right, *sum);
                }
            }
        }
        d += S::LANES;
    }
    for (i, sums) in sums.iter().enumerate() {
        for (j, sum) in sums.iter().enumerate() {
            // SAFETY: M rows of N values of `c`, as the caller vouches.
            unsafe { *t.c.add(i * t.c_stride + j) += s.sum(*sum) };
        }
    }
}
