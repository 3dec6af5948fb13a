//! bf16, the upper half of a f32, and the 32-bit words that hold two: by definition, as slow twin of the instructions.

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

/// What the factors of a forward pass's products are rounded to. Sums are f32, and so is everything in memory but weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Precision {
    /// 24 bits: not rounded.
    F32,
    /// 8 bits, where that pays and is exact enough: about twice as fast with [`Isa::has_bf16`](crate::Isa::has_bf16), slower
    /// than f32 without.
    Bf16,
}

impl Precision {
    /// Values in a 32-bit word.
    #[inline(always)]
    pub(crate) fn values(self) -> usize {
        match self {
            Precision::F32 => 1,
            Precision::Bf16 => 2,
        }
    }

    /// 32-bit words for so many values.
    #[inline(always)]
    pub(crate) fn words(self, values: usize) -> usize {
        values.div_ceil(self.values())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_to_nearest_even_and_keeps_nan() {
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
        // A NaN whose payload would be cut off or would carry into the sign.
        for bits in [0x7f80_0001, 0x7fff_ffff, 0xffff_ffff] {
            assert!(lower(pair(f32::from_bits(bits), 0.0)).is_nan(), "{bits:x}");
        }
    }
}
