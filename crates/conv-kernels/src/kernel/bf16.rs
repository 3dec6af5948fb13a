//! bf16, the upper half of a f32, and the 32-bit words that hold two: by definition, as slow twin of the instructions.

use super::simd::{Kernel, Simd};

/// The bits of the upper value of a word.
pub(super) const UPPER: f32 = f32::from_bits(0xffff_0000);

/// The bits of the bf16 value next to `x`, the even one of two that are equally near.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    if x.is_nan() { bits >> 16 | 0x40 } else { (bits + 0x7fff + (bits >> 16 & 1)) >> 16 }
}

/// A word of two rounded values.
#[inline(always)]
pub(super) fn pair(even: f32, odd: f32) -> f32 {
    f32::from_bits(round(odd) << 16 | round(even))
}

/// The lower value of a word.
#[inline(always)]
pub(super) fn lower(word: f32) -> f32 {
    f32::from_bits(word.to_bits() << 16)
}

/// Joins neighbouring rows of values to rows of words; the last of an odd number stands beside zeros.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_even_and_keeps_what_is_not_a_number() {
        for (x, want) in [
            (1.0, 1.0),
            (-3.0, -3.0),
            (1.0 + 1.0 / 256.0, 1.0),
            (1.0 + 3.0 / 256.0, 1.0 + 4.0 / 256.0),
            (1.0 + 1.1 / 256.0, 1.0 + 2.0 / 256.0),
            (f32::MAX, f32::INFINITY),
            (f32::NEG_INFINITY, f32::NEG_INFINITY),
            (0.0, 0.0),
        ] {
            assert_eq!(lower(pair(x, 7.0)), want, "{x}");
            assert_eq!(f32::from_bits(pair(7.0, x).to_bits() & UPPER.to_bits()), want, "{x}");
        }
        // A quiet one whose payload would be cut off or would carry into the sign.
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            assert!(lower(pair(f32::from_bits(bits), 0.0)).is_nan(), "{bits:x}");
        }
    }
}
