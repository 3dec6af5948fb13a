//! The vector type that algorithms see, and its portable form.

/// 1.5 * 2^23: adding it to |x| < 2^22 rounds half to even, and leaves the whole number in the low bits.
pub(crate) const TO_WHOLE: f32 = 12_582_912.0;

/// Consecutive f32 lanes in registers. Loads and stores check the slice once for the whole row.
pub(crate) trait Row: Copy {
    /// Number of lanes.
    const LANES: usize;
    /// Four lanes of the same instruction set.
    type Quad: Quad;

    /// Lanes `slice[at..at + LANES]`.
    fn load(slice: &[f32], at: usize) -> Self;
    /// Writes `slice[at..at + LANES]`.
    fn store(self, slice: &mut [f32], at: usize);
    /// `value` in all lanes.
    fn splat(value: f32) -> Self;
    /// Lane-wise sum.
    fn add(self, other: Self) -> Self;
    /// Lane-wise difference.
    fn sub(self, other: Self) -> Self;
    /// Lane-wise product.
    fn mul(self, other: Self) -> Self;
    /// Lane-wise quotient.
    fn div(self, other: Self) -> Self;
    /// Lane-wise maximum.
    fn max(self, other: Self) -> Self;
    /// self * a + b, rounded once where the processor can.
    fn fused(self, a: Self, b: Self) -> Self;
    /// Largest integer not above each lane; lanes must fit an i32.
    fn floor(self) -> Self;
    /// 2^lane for integer lanes from -127 (which gives 0) to 127.
    fn power_of_two(self) -> Self;
    /// `yes` in lanes where self < other, else `no`; to the bit, whatever the bits mean.
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self;
    /// `yes` in lanes where self = other, else `no`; to the bit, whatever the bits mean.
    fn if_equal(self, other: Self, yes: Self, no: Self) -> Self;
    /// Lane-wise maximum over groups of four lanes.
    fn quad_max(self) -> Self::Quad;
    /// Sum over groups of four lanes, in no promised order.
    fn quad_sum(self) -> Self::Quad;
}

/// A row of four lanes.
pub(crate) trait Quad: Row {
    /// The lanes.
    fn lanes(self) -> [f32; 4];
}

/// Lanes in an array, for processors without a special path; the compiler vectorises what it can.
#[derive(Clone, Copy)]
pub(crate) struct Plain<const L: usize>([f32; L]);

impl<const L: usize> Plain<L> {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|l| f(self.0[l], other.0[l])))
    }

    #[inline(always)]
    fn quad(self, f: impl Fn(f32, f32) -> f32) -> Plain<4> {
        Plain(std::array::from_fn(|l| (l + 4..L).step_by(4).fold(self.0[l], |a, i| f(a, self.0[i]))))
    }
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

impl<const L: usize> Row for Plain<L> {
    const LANES: usize = L;
    type Quad = Plain<4>;

    #[inline(always)]
    fn load(slice: &[f32], at: usize) -> Self {
        let mut lanes = [0.0; L];
        lanes.copy_from_slice(&slice[at..at + L]);
        Self(lanes)
    }
    #[inline(always)]
    fn store(self, slice: &mut [f32], at: usize) {
        slice[at..at + L].copy_from_slice(&self.0);
    }
    #[inline(always)]
    fn splat(value: f32) -> Self {
        Self([value; L])
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, larger)
    }
    #[inline(always)]
    fn fused(self, a: Self, b: Self) -> Self {
        self.mul(a).add(b)
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self(self.0.map(|x| {
            let whole = x as i32 as f32;
            if whole > x { whole - 1.0 } else { whole }
        }))
    }
    #[inline(always)]
    fn power_of_two(self) -> Self {
        Self(self.0.map(|n| f32::from_bits(((n as i32 + 127) as u32) << 23)))
    }
    #[inline(always)]
    fn if_less(self, other: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] < other.0[l] { yes.0[l] } else { no.0[l] }))
    }
    #[inline(always)]
    fn if_equal(self, other: Self, yes: Self, no: Self) -> Self {
        Self(std::array::from_fn(|l| if self.0[l] == other.0[l] { yes.0[l] } else { no.0[l] }))
    }
    #[inline(always)]
    fn quad_max(self) -> Plain<4> {
        self.quad(larger)
    }
    #[inline(always)]
    fn quad_sum(self) -> Plain<4> {
        self.quad(|a, b| a + b)
    }
}

impl Quad for Plain<4> {
    #[inline(always)]
    fn lanes(self) -> [f32; 4] {
        self.0
    }
}
