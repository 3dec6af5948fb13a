//! Two matrix products, single-threaded, on strided operands.
//!
//! * [`MatMul`]: C = A B, where A is packed in panels and vectors run along the columns of B and C;
//! * [`DotMul`]: C += A B^T, where vectors run along the common dimension, so that neither operand is ever transposed.
//!
//! The register tile of both is at most `ROWS x 3` vectors. Loops are blocked so that the panel of B stays in the first-level cache and the block of A in the second (Goto and van de Geijn, 2008).

use super::simd::{Kernel, PairKernel, Simd};
use super::winograd::WIDEST;

/// Values in a block of packed A: 128 KiB.
const BLOCK: usize = 32 * 1024;

/// Depth of a block: three vectors of B, at most 24 KiB, stay in the first-level cache, and short sums round less.
///
/// Who cuts a product along its depth into several, at multiples of this, gets the same bits as from one.
pub(crate) const DEPTH: usize = 128;

/// All rows of A are stored together.
pub(crate) const ONE_GROUP: [usize; 2] = [usize::MAX, 0];

/// Rows of A in a block of [`DotMul`].
const DOT_ROWS: usize = 16;

/// Lays out a matrix for [`MatMul`], slowly: panels of `rows` rows, each `[depth, rows]`, the last one filled with zeros.
///
/// `at(i, d)` gives the values.
#[cfg(test)]
fn pack(m: usize, depth: usize, rows: usize, packed: &mut [f32], at: impl Fn(usize, usize) -> f32) {
    assert_eq!(packed.len(), packed_len(m, depth, rows), "packed length of {m} x {depth}");
    for (p, panel) in packed.chunks_exact_mut((depth * rows).max(1)).enumerate() {
        for (d, column) in panel.chunks_exact_mut(rows).enumerate() {
            for (r, value) in column.iter_mut().enumerate() {
                *value = if p * rows + r < m { at(p * rows + r, d) } else { 0.0 };
            }
        }
    }
}

/// Values in a packed `m x depth` matrix.
#[cfg(test)]
fn packed_len(m: usize, depth: usize, rows: usize) -> usize {
    m.next_multiple_of(rows) * depth
}

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
    /// Distance of two panels of A: depth times `ROWS` if packed by [`pack`], `ROWS` if A is stored by columns.
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
    fn run<S: Simd>(self, s: S) {
        self.multiply::<S, false>(s);
    }
}

/// A and B hold pairs of bf16 values, two columns of A and two rows of B in one; depth counts pairs.
impl PairKernel for MatMul<'_> {
    #[inline(always)]
    fn run_pairs<S: Simd>(self, s: S) {
        self.multiply::<S, true>(s);
    }
}

impl MatMul<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const PAIRS: bool>(self, s: S) {
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

/// Cuts `total` into runs of at most `most` that differ by at most one, so that no run is needlessly thin.
pub(super) struct Split {
    at: usize,
    total: usize,
    runs: usize,
}

impl Split {
    #[inline(always)]
    pub(super) fn new(total: usize, most: usize) -> Split {
        Split { at: 0, total, runs: total.div_ceil(most) }
    }

    /// Start and length of the next run.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Option<(usize, usize)> {
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

/// Transposes: `to[t][c] = from[c][t]`. Whole vectors of c are written, those beyond `rows` repeat the last row.
pub(crate) struct Transpose<'a> {
    /// Rows of `from`, columns of `to`.
    pub rows: usize,
    /// Columns of `from`, rows of `to`.
    pub columns: usize,
    /// The values.
    pub from: &'a [f32],
    /// Distance of two rows of `from`.
    pub from_stride: usize,
    /// Where they go.
    pub to: &'a mut [f32],
    /// Distance of two rows of `to`: a multiple of the widest vector's length.
    pub to_stride: usize,
    /// How far ahead in each row to ask the memory for values; 0 for values that are in the cache.
    pub ahead: usize,
}

impl Kernel for Transpose<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.rows == 0 || self.columns == 0 {
            return;
        }
        let (width, height) = (self.rows.next_multiple_of(S::LANES), self.columns);
        assert!(self.from.len() >= (self.rows - 1) * self.from_stride + height, "length of the matrix");
        assert!(
            self.to_stride >= width && self.to.len() >= (height - 1) * self.to_stride + width,
            "length of the result"
        );
        let mut c = 0;
        while c < self.rows {
            let mut places = [0; WIDEST];
            for (t, place) in places.iter_mut().enumerate() {
                *place = (c + t).min(self.rows - 1) * self.from_stride;
            }
            let mut t = 0;
            while t < height && height >= 4 {
                // The last four may be done for a second time.
                let first = t.min(height - 4);
                if self.ahead > 0 && t.is_multiple_of(16) {
                    for place in places.iter().take(S::LANES) {
                        s.prefetch(self.from.as_ptr().wrapping_add(place + t + self.ahead));
                    }
                }
                // SAFETY: rows below `rows` have `height` values, and `to` as many rows of `width`.
                unsafe {
                    let four = s.load_columns(self.from.as_ptr().add(first), &places);
                    for (j, v) in four.iter().enumerate() {
                        s.store(self.to.as_mut_ptr().add((first + j) * self.to_stride + c), *v);
                    }
                }
                t += 4;
            }
            while t < height {
                for (lane, place) in places.iter().enumerate().take(S::LANES) {
                    self.to[t * self.to_stride + c + lane] = self.from[place + t];
                }
                t += 1;
            }
            c += S::LANES;
        }
    }
}

/// One register tile of [`MatMul`].
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    depth: usize,
    a: *const f32,
    /// The panel of A that will be read next.
    a_next: *const f32,
    a_step: usize,
    b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    rows: usize,
    accumulate: bool,
}

/// Computes a register tile of `ROWS` rows and `V` vectors, of f32 values or of pairs of bf16 values.
///
/// # Safety
/// `a` has `ROWS` values in each of `depth` columns, `b` and `c` have `V` vectors in each of `depth` and `rows` rows.
#[inline(always)]
pub(crate) unsafe fn multiply<S: Simd, const ROWS: usize, const V: usize, const PAIRS: bool>(s: S, t: Tile) {
    for i in 0..t.rows {
        for j in 0..V {
            s.prefetch_write(t.c.wrapping_add(i * t.c_stride + j * S::LANES));
        }
    }
    // SAFETY: depth columns of ROWS values of `a` and depth rows of V vectors of `b`, as the caller vouches.
    let sums: [[S::V; V]; ROWS] = unsafe {
        let a = [t.a, t.a_next];
        if PAIRS {
            products::<S, ROWS, V, true>(s, t.depth, a, t.a_step, t.b, t.b_stride)
        } else {
            s.products(t.depth, a, t.a_step, t.b, t.b_stride)
        }
    };
    for (i, sums) in sums.iter().enumerate() {
        if i < t.rows {
            for (j, sum) in sums.iter().enumerate() {
                // SAFETY: row i < rows and vector j < V of `c`, as the caller vouches.
                unsafe {
                    let c = t.c.add(i * t.c_stride + j * S::LANES);
                    let sum = if t.accumulate { s.add(s.load(c), *sum) } else { *sum };
                    s.store(c, sum);
                }
            }
        }
    }
}

/// See [`Simd::products`]; also of pairs of bf16 values.
///
/// # Safety
/// `a` has R values in each of `depth` columns, `b` has V vectors in each of `depth` rows.
#[inline(always)]
pub(crate) unsafe fn products<S: Simd, const R: usize, const V: usize, const PAIRS: bool>(
    s: S,
    depth: usize,
    [mut a, mut a_next]: [*const f32; 2],
    a_step: usize,
    mut b: *const f32,
    stride: usize,
) -> [[S::V; V]; R] {
    let mut sums = [[s.splat(0.0); V]; R];
    for _ in 0..depth {
        s.prefetch(a_next);
        a_next = a_next.wrapping_add(a_step);
        // SAFETY: as the caller vouches.
        unsafe { add_products::<S, R, V, PAIRS>(s, a, b, &mut sums) };
        a = a.wrapping_add(a_step);
        b = b.wrapping_add(stride);
    }
    sums
}

/// Adds the products of R values at `a` with V vectors at `b`.
///
/// # Safety
/// They can be read.
#[inline(always)]
pub(super) unsafe fn add_products<S: Simd, const R: usize, const V: usize, const PAIRS: bool>(
    s: S,
    a: *const f32,
    b: *const f32,
    sums: &mut [[S::V; V]; R],
) {
    // SAFETY: as the caller vouches.
    unsafe {
        let mut right = [s.splat(0.0); V];
        for (j, right) in right.iter_mut().enumerate() {
            *right = s.load(b.add(j * S::LANES));
        }
        for (i, sums) in sums.iter_mut().enumerate() {
            let left = s.splat(*a.add(i));
            for (sum, right) in sums.iter_mut().zip(right) {
                *sum = if PAIRS { s.dot_add(left, right, *sum) } else { s.mul_add(left, right, *sum) };
            }
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::simd::Isa;
    use crate::reference::{close, noise};

    #[test]
    fn products_agree_with_the_definition_on_every_instruction_set() {
        let mut wrong = Vec::new();
        for isa in Isa::available() {
            for (m, n, k) in
                [(1, 1, 1), (4, 24, 8), (5, 17, 3), (16, 56, 300), (33, 40, 64), (7, 100, 513), (300, 9, 300)]
            {
                let (a, b) = (noise(1, m * k), noise(2, n * k));
                let want: Vec<f64> = (0..m * n)
                    .map(|ij| (0..k).map(|d| a[ij / n * k + d] as f64 * b[ij % n * k + d] as f64).sum::<f64>() + 1.0)
                    .collect();

                let (rows, stride) = (isa.panel_rows(), n.next_multiple_of(16) + 16);
                let mut packed = vec![f32::NAN; packed_len(m, k, rows)];
                pack(m, k, rows, &mut packed, |i, d| a[i * k + d]);
                let mut bt = vec![0.0; k * stride];
                (0..k * n).for_each(|dj| bt[dj / n * stride + dj % n] = b[dj % n * k + dj / n]);
                let mut c = vec![1.0; m * stride];
                let (b, b_stride, c_stride) = (&bt[..], stride, stride);
                let half = k / 2;
                let product = |c: &mut [f32], from: usize, depth, b| {
                    isa.run(MatMul {
                        rows: m,
                        columns: n,
                        depth,
                        a: &packed[from * rows..],
                        a_stride: k * rows,
                        a_step: rows,
                        a_group: ONE_GROUP,
                        b,
                        b_stride,
                        c,
                        c_stride,
                        accumulate: true,
                    });
                };
                product(&mut c, 0, half, b);
                product(&mut c, half, k - half, &b[half * stride..]);
                let got: Vec<f32> = (0..m * n).map(|ij| c[ij / n * stride + ij % n]).collect();
                wrong.extend(close(&format!("{isa:?} MatMul {m} x {n} x {k}"), &got, &want, 1e-6));

                let depth = k.next_multiple_of(16);
                let padded = |x: &[f32], rows| {
                    let mut out = vec![0.0; rows * depth];
                    (0..rows * k).for_each(|i| out[i / k * depth + i % k] = x[i]);
                    out
                };
                let (a, b) = (padded(&a, m), padded(&noise(2, n * k), n));
                let mut c = vec![1.0; m * n];
                isa.run(DotMul {
                    rows: m,
                    columns: n,
                    depth,
                    a: &a,
                    a_stride: depth,
                    b: &b,
                    b_rows: &(0..n).map(|j| j * depth).collect::<Vec<_>>(),
                    c: &mut c,
                    c_stride: n,
                });
                wrong.extend(close(&format!("{isa:?} DotMul {m} x {n} x {k}"), &c, &want, 1e-6));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn matrices_of_every_size_are_transposed() {
        for isa in Isa::available() {
            for (rows, columns) in [(1, 1), (3, 2), (16, 4), (17, 7), (40, 30)] {
                let from = noise(1, rows * columns);
                let stride = rows.next_multiple_of(16);
                let mut to = vec![f32::NAN; columns * stride];
                isa.run(Transpose {
                    rows,
                    columns,
                    from: &from,
                    from_stride: columns,
                    to: &mut to,
                    to_stride: stride,
                    ahead: 0,
                });
                let right = (0..rows * columns).all(|i| to[i % columns * stride + i / columns] == from[i]);
                assert!(right, "{isa:?} {rows} x {columns}");
            }
        }
    }

    #[test]
    fn splits_are_even() {
        for (total, want) in
            [(0, vec![]), (1, vec![1]), (4, vec![2, 2]), (7, vec![3, 2, 2]), (16, vec![3, 3, 3, 3, 2, 2])]
        {
            let mut split = Split::new(total, 3);
            let runs: Vec<usize> = std::iter::from_fn(|| split.next()).map(|(_, count)| count).collect();
            assert_eq!(runs, want);
        }
    }
}
