//! What lays operands out for products.

use crate::simd::{Kernel, Simd, WIDEST};

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

/// Joins neighbouring rows of values to rows of words; the last of an odd number is paired with zeros.
pub(crate) struct PairRows<'a> {
    /// Rows of `from`.
    pub rows: usize,
    /// The values, `stride` apart.
    pub from: &'a [f32],
    /// The words, `stride` apart.
    pub to: &'a mut [f32],
    /// Distance of two rows: a multiple of the widest vector's length, all of it joined.
    pub stride: usize,
}

impl Kernel for PairRows<'_> {
    type Output = ();
    const PAIRS: bool = true;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let stride = self.stride;
        assert_eq!(stride % S::LANES, 0, "rows in whole vectors");
        assert!(self.from.len() >= self.rows * stride, "length of the values");
        assert!(self.to.len() >= self.rows.div_ceil(2) * stride, "length of the words");
        for row in 0..self.rows.div_ceil(2) {
            for at in (0..stride).step_by(S::LANES) {
                // SAFETY: whole vectors of rows below `rows`, as checked above.
                unsafe {
                    let from = self.from.as_ptr().add(2 * row * stride + at);
                    let odd = if 2 * row + 1 < self.rows { s.load(from.add(stride)) } else { s.splat(0.0) };
                    s.store(self.to.as_mut_ptr().add(row * stride + at), s.pair(s.load(from), odd));
                }
            }
        }
    }
}
