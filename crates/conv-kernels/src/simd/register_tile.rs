//! The register tile of a matrix product: a few rows of A times a few vectors of B, whose sums never leave the registers.
//!
//! `ROWS` rows by up to three vectors use all registers but a few: 8 x 3 of 32, or 4 x 3 of 16. Each column of A is spread over
//! a vector value by value and multiplied with the vectors of a row of B (Goto and van de Geijn, 2008).

use super::vector::Simd;

/// The operands of one register tile: C = A B or C += A B.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Columns of A and rows of B.
    pub depth: usize,
    /// A panel of A.
    pub a: *const f32,
    /// The panel of A that will be read next.
    pub a_next: *const f32,
    /// Distance of two columns of A.
    pub a_step: usize,
    /// B, from the first of its vectors.
    pub b: *const f32,
    /// Distance of two rows of B.
    pub b_stride: usize,
    /// C, from the first of its vectors.
    pub c: *mut f32,
    /// Distance of two rows of C.
    pub c_stride: usize,
    /// Rows of C that there are.
    pub rows: usize,
    /// Add to C instead of overwriting it.
    pub accumulate: bool,
}

/// Vectors with register tiles of `ROWS` rows.
pub(crate) trait RegisterTile: Simd {
    /// The products of `depth` columns of a panel of `R` rows at `a` with rows of `V` vectors at `b`, `stride` values
    /// apart. `a[0]` is the panel, its columns `a_step` apart; the one at `a[1]` will be needed next and may be anywhere.
    ///
    /// # Safety
    /// Panel and rows can be read that far.
    #[inline(always)]
    unsafe fn products<const R: usize, const V: usize>(
        self,
        depth: usize,
        a: [*const f32; 2],
        a_step: usize,
        b: *const f32,
        stride: usize,
    ) -> [[Self::V; V]; R] {
        // SAFETY: the caller vouches for the operands.
        unsafe { products::<Self, R, V, false>(self, depth, a, a_step, b, stride) }
    }

    /// Computes a register tile of `ROWS` rows and `vectors` (1 to 3) vectors, of f32 values or of pairs of bf16 values.
    ///
    /// # Safety
    /// `a` has `ROWS` values in each of `depth` columns, `b` and `c` have as many vectors in each of `depth` and `rows` rows.
    unsafe fn multiply<const PAIRS: bool>(self, vectors: usize, tile: Tile);
}

/// Computes a register tile of `ROWS` rows and `V` vectors, of f32 values or of pairs of bf16 values.
///
/// # Safety
/// `a` has `ROWS` values in each of `depth` columns, `b` and `c` have `V` vectors in each of `depth` and `rows` rows.
#[inline(always)]
pub(super) unsafe fn multiply<S: RegisterTile, const ROWS: usize, const V: usize, const PAIRS: bool>(s: S, t: Tile) {
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

/// See [`RegisterTile::products`]; also of pairs of bf16 values.
///
/// # Safety
/// `a` has R values in each of `depth` columns, `b` has V vectors in each of `depth` rows.
#[inline(always)]
pub(super) unsafe fn products<S: Simd, const R: usize, const V: usize, const PAIRS: bool>(
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
pub(crate) unsafe fn add_products<S: Simd, const R: usize, const V: usize, const PAIRS: bool>(
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

/// [`RegisterTile::multiply`] for an implementation with this many rows.
macro_rules! multiply_rows {
    ($rows:literal) => {
        #[inline(always)]
        unsafe fn multiply<const PAIRS: bool>(self, vectors: usize, tile: $crate::simd::register_tile::Tile) {
            use $crate::simd::register_tile::multiply;
            const { assert!(<Self as $crate::simd::vector::Simd>::ROWS == $rows) }
            // SAFETY: the caller vouches for the tile.
            unsafe {
                match vectors {
                    3 => multiply::<Self, $rows, 3, PAIRS>(self, tile),
                    2 => multiply::<Self, $rows, 2, PAIRS>(self, tile),
                    _ => multiply::<Self, $rows, 1, PAIRS>(self, tile),
                }
            }
        }
    };
}

pub(super) use multiply_rows;
