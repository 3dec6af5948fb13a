//! The product of [`super::matmul::MatMul`] with vectors along the rows of A and C, for a few columns that would leave lanes
//! empty.

use super::blocks::{DEPTH, Split};
use crate::simd::{Isa, Kernel, Simd};

/// C^T = (A B)^T or C^T += (A B)^T, to the same bits as [`super::matmul::MatMul`].
///
/// Rows are computed in pairs of vectors: A and C are readable and writable up to the last group's end, and what is beyond
/// `rows` in C is overwritten with nonsense.
pub(crate) struct TransposedMatMul<'a> {
    /// Rows of A, columns of C^T.
    pub rows: usize,
    /// Columns of B, rows of C^T.
    pub columns: usize,
    /// Columns of A and rows of B that are multiplied.
    pub depth: usize,
    /// A: groups of rows, each stored by columns.
    pub a: &'a [f32],
    /// Rows of a group, in whole pairs of vectors: also the distance of two columns of A.
    pub group: usize,
    /// Distance of two groups.
    pub distance: usize,
    /// B: `depth` rows.
    pub b: &'a [f32],
    /// Distance of two rows of B.
    pub b_stride: usize,
    /// C^T: `columns` rows.
    pub c: &'a mut [f32],
    /// Distance of two rows of C^T.
    pub c_stride: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

impl TransposedMatMul<'_> {
    /// Whether it is the faster way to so many columns: where vectors along them would leave more than a twentieth of their
    /// lanes empty.
    pub(crate) fn suits(isa: Isa, columns: usize) -> bool {
        columns.next_multiple_of(isa.lanes()) * 20 > columns * 21
    }
}

impl Kernel for TransposedMatMul<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.rows == 0 || self.columns == 0 || self.depth == 0 {
            return;
        }
        let (pair, group) = (2 * S::LANES, self.group);
        let height = self.rows.next_multiple_of(pair);
        let last = (self.rows - 1) / group * self.distance + self.depth * group;
        assert!(group.is_multiple_of(pair) && self.a.len() >= last, "length of A");
        assert!(self.b.len() >= (self.depth - 1) * self.b_stride + self.columns, "length of B");
        assert!(self.c_stride >= height && self.c.len() >= (self.columns - 1) * self.c_stride + height, "length of C");
        // Two vectors of sums for each column, and registers left for those of A.
        let most = if S::LANES == 16 { 12 } else { 6 };
        let mut d0 = 0;
        while d0 < self.depth {
            let depth = DEPTH.min(self.depth - d0);
            for i in (0..height).step_by(pair) {
                let mut columns = Split::new(self.columns, most);
                while let Some((j, count)) = columns.next() {
                    // SAFETY: the lengths were checked above for all pairs of vectors below `height`, columns below `columns`
                    // and depths below `depth`.
                    unsafe {
                        let tile = Tile {
                            depth,
                            a: self.a.as_ptr().add(i / group * self.distance + i % group + d0 * group),
                            a_step: group,
                            b: self.b.as_ptr().add(d0 * self.b_stride + j),
                            b_stride: self.b_stride,
                            c: self.c.as_mut_ptr().add(j * self.c_stride + i),
                            c_stride: self.c_stride,
                            accumulate: self.accumulate || d0 > 0,
                        };
                        match count {
                            12 => tile.multiply::<S, 12>(s),
                            11 => tile.multiply::<S, 11>(s),
                            10 => tile.multiply::<S, 10>(s),
                            9 => tile.multiply::<S, 9>(s),
                            8 => tile.multiply::<S, 8>(s),
                            7 => tile.multiply::<S, 7>(s),
                            6 => tile.multiply::<S, 6>(s),
                            5 => tile.multiply::<S, 5>(s),
                            4 => tile.multiply::<S, 4>(s),
                            3 => tile.multiply::<S, 3>(s),
                            2 => tile.multiply::<S, 2>(s),
                            _ => tile.multiply::<S, 1>(s),
                        }
                    }
                }
            }
            d0 += depth;
        }
    }
}

/// Some columns of two vectors of rows.
struct Tile {
    depth: usize,
    a: *const f32,
    a_step: usize,
    b: *const f32,
    b_stride: usize,
    c: *mut f32,
    c_stride: usize,
    accumulate: bool,
}

impl Tile {
    /// Computes `P` columns.
    ///
    /// # Safety
    /// `a` has two vectors in each of `depth` columns, `b` P values in each of `depth` rows, `c` two vectors in each of P rows.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const P: usize>(self, s: S) {
        let mut sums = [[s.splat(0.0); 2]; P];
        let (mut a, mut b) = (self.a, self.b);
        for _ in 0..self.depth {
            // SAFETY: as the caller vouches.
            unsafe {
                let left = [s.load(a), s.load(a.add(S::LANES))];
                for (p, sums) in sums.iter_mut().enumerate() {
                    let right = s.splat(*b.add(p));
                    for (sum, left) in sums.iter_mut().zip(left) {
                        *sum = s.mul_add(left, right, *sum);
                    }
                }
            }
            a = a.wrapping_add(self.a_step);
            b = b.wrapping_add(self.b_stride);
        }
        for (p, sums) in sums.iter().enumerate() {
            for (i, sum) in sums.iter().enumerate() {
                // SAFETY: two vectors in row p < P of `c`, as the caller vouches.
                unsafe {
                    let c = self.c.add(p * self.c_stride + i * S::LANES);
                    s.store(c, if self.accumulate { s.add(s.load(c), *sum) } else { *sum });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::MatMul;
    use crate::reference::noise;

    #[test]
    fn transposed_products_have_the_bits_of_plain_ones() {
        const GROUP: usize = 32;
        for isa in Isa::available() {
            for (rows, columns, depth) in [(1usize, 1usize, 1), (32, 4, 9), (40, 25, 300), (96, 49, 128), (64, 13, 257)]
            {
                let groups = rows.div_ceil(GROUP);
                let a = noise(1, groups * depth * GROUP);
                let stride = columns.next_multiple_of(16);
                let b = noise(2, depth * stride);
                let (mut c, mut t) = (vec![0.5; rows * stride], vec![0.5; columns * groups * GROUP]);
                for accumulate in [false, true] {
                    isa.run(MatMul {
                        rows,
                        columns,
                        depth,
                        a: &a,
                        a_stride: isa.panel_rows(),
                        a_step: GROUP,
                        a_group: [GROUP, depth * GROUP],
                        b: &b,
                        b_stride: stride,
                        c: &mut c,
                        c_stride: stride,
                        accumulate,
                    });
                    isa.run(TransposedMatMul {
                        rows,
                        columns,
                        depth,
                        a: &a,
                        group: GROUP,
                        distance: depth * GROUP,
                        b: &b,
                        b_stride: stride,
                        c: &mut t,
                        c_stride: groups * GROUP,
                        accumulate,
                    });
                    let same = (0..rows * columns).all(|i| {
                        let (row, column) = (i / columns, i % columns);
                        c[row * stride + column].to_bits() == t[column * groups * GROUP + row].to_bits()
                    });
                    assert!(same, "{isa:?} {rows} x {columns} x {depth}, accumulate: {accumulate}");
                }
            }
        }
    }
}
