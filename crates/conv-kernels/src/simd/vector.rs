//! One vector interface over every instruction set.

use super::bf16;
use super::lanes::WIDEST;

/// Vectors of `LANES` f32 values.
///
/// A value of an implementing type is a proof that the processor has the instructions: it is only made by `Isa::run`.
/// `load*` and `store*` are unsafe because they take bare pointers; everything else is safe to call.
pub(crate) trait Simd: Copy {
    /// Values in a vector.
    const LANES: usize;
    /// Rows of the register tile of a matrix product, hence also the height of a packed panel of its left operand.
    const ROWS: usize;
    /// A vector.
    type V: Copy;

    /// Reads `LANES` values; no alignment is needed.
    unsafe fn load(self, from: *const f32) -> Self::V;
    /// Writes `LANES` values; no alignment is needed.
    unsafe fn store(self, to: *mut f32, v: Self::V);
    /// Reads `4 * LANES` values; lane t of vector j is value 4 t + j.
    unsafe fn load4(self, from: *const f32) -> [Self::V; 4];
    /// Writes `4 * LANES` values: the inverse of `load4`.
    unsafe fn store4(self, to: *mut f32, v: [Self::V; 4]);
    /// Reads 4 values from each of `LANES` places; lane t of vector j is `from[places[t] + j]`.
    unsafe fn load_columns(self, from: *const f32, places: &[usize; WIDEST]) -> [Self::V; 4];
    /// Writes 4 values to each of `LANES` places `step` apart: `to[step t + j]` is lane t of vector j.
    unsafe fn store_columns(self, to: *mut f32, step: usize, v: [Self::V; 4]);
    /// All lanes equal to `x`.
    fn splat(self, x: f32) -> Self::V;
    /// Lanewise a + b.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lanewise a - b.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lanewise a * b.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lanewise maximum; lanes of `b` where either is NaN.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lanewise maximum; NaN where either is NaN.
    fn larger(self, a: Self::V, b: Self::V) -> Self::V;
    /// The bits that are set in both.
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    /// Lanewise a * b + c, fused where the instruction set has it.
    fn mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lanewise c - a * b, fused where the instruction set has it.
    fn neg_mul_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// Lanes 1.. of `v`, then `next`.
    fn shift_in(self, v: Self::V, next: f32) -> Self::V;
    /// Lane t of the result is lane `lanes[t]` of `v`, for all lanes that there are; places are below LANES.
    fn permute(self, v: Self::V, lanes: &[u32; WIDEST]) -> Self::V;
    /// The sum of all lanes, always in the same order.
    fn sum(self, v: Self::V) -> f32;

    /// bf16 values next to those of `even` in the lower halves of the lanes, of `odd` in the upper halves.
    ///
    /// Like the next three, this is the slow twin of an instruction that few processors have.
    #[inline(always)]
    fn pair(self, even: Self::V, odd: Self::V) -> Self::V {
        let (mut words, mut upper) = ([0.0; WIDEST], [0.0; WIDEST]);
        // SAFETY: the arrays hold a vector.
        unsafe {
            self.store(words.as_mut_ptr(), even);
            self.store(upper.as_mut_ptr(), odd);
            for (word, odd) in words.iter_mut().zip(upper).take(Self::LANES) {
                *word = bf16::pair(*word, odd);
            }
            self.load(words.as_ptr())
        }
    }

    /// The lower bf16 value of each lane.
    #[inline(always)]
    fn lower(self, v: Self::V) -> Self::V {
        let mut words = [0.0; WIDEST];
        // SAFETY: the array holds a vector.
        unsafe {
            self.store(words.as_mut_ptr(), v);
            for word in words.iter_mut().take(Self::LANES) {
                *word = bf16::lower(*word);
            }
            self.load(words.as_ptr())
        }
    }

    /// The upper bf16 value of each lane.
    #[inline(always)]
    fn upper(self, v: Self::V) -> Self::V {
        self.and(v, self.splat(bf16::UPPER))
    }

    /// Lanewise c plus the products of the lower and of the upper bf16 values of a and b, in f32.
    #[inline(always)]
    fn dot_add(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        self.mul_add(self.lower(a), self.lower(b), self.mul_add(self.upper(a), self.upper(b), c))
    }

    /// Hints that the cache line at `at` will be read. Any address will do.
    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    /// Hints that the cache line at `at` will be read, but not soon. Any address will do.
    #[inline(always)]
    fn prefetch_far(self, _at: *const f32) {}

    /// Hints that the cache line at `at` will be written. Any address will do.
    #[inline(always)]
    fn prefetch_write(self, _at: *const f32) {}
}

/// Methods of an implementation of [`Simd`] whose arguments and result are all vectors.
macro_rules! lanewise {
    ($vector:ty; $($name:ident($($argument:ident),+) = $value:expr;)+) => {
        $(
            #[inline(always)]
            fn $name(self, $($argument: $vector),+) -> $vector {
                // SAFETY: `self` proves that the processor has the instructions.
                unsafe { $value }
            }
        )+
    };
}

pub(super) use lanewise;
