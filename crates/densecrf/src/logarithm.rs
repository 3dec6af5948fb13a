//! numpy's natural logarithm of 32-bit floats, bit for bit, for arguments from 0 to 1: what pydensecrf's
//! `unary_from_softmax` makes energies of probabilities with.
//!
//! Source: `simd_log_FLOAT` in numpy's `numpy/_core/src/umath/loops_exponent_log.dispatch.c.src` and the coefficients
//! `NPY_COEFF_*_LOGf` in `npy_simd_data.h` beside it; numpy takes it on x86-64 processors with AVX2 and FMA (verified with
//! numpy 2.4.6 for every float from 0 to 1, with AVX-512 and without). On other processors numpy calls the C library's
//! `logf`, which differs from it in the last bits of about one value in four. Here the result is the same on every
//! processor.
//!
//! x = 2^k m with m in (sqrt(1/2), sqrt(2)], ln x = k ln 2 + P(m - 1) / Q(m - 1), all steps but the quotient fused. Its
//! largest error is 3.8 units in the last place.

use crate::simd::{Level, Row, Task, dispatch_lanes};

/// Numerator and denominator, highest power first, with the digits of numpy's source.
#[allow(clippy::excessive_precision)]
const P: [f32; 6] = [
    2.589979117907922693523e-02,
    3.808837741388407920751e-01,
    1.480000633576506585156e+00,
    2.112677543073053063722e+00,
    9.999999999999998702752e-01,
    0.0,
];
/// See [`P`].
#[allow(clippy::excessive_precision)]
const Q: [f32; 6] = [
    5.875095403124574342950e-03,
    1.546476374983906719538e-01,
    9.864942958519418960339e-01,
    2.453006071784736363091e+00,
    2.612677543073109236779e+00,
    1.0,
];

/// Replaces values from 0 to 1 by their logarithms; minus infinity for 0. NaN stays NaN.
pub(crate) fn ln_in_place(level: Level, values: &mut [f32]) {
    match level {
        Level::Portable => dispatch_lanes(level, Logarithm::<false>(values)),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => dispatch_lanes(level, Logarithm::<true>(values)),
    }
}

/// [`ln`] of each value. `FMA` where the instructions of the level fuse multiplication and addition.
struct Logarithm<'a, const FMA: bool>(&'a mut [f32]);

impl<const FMA: bool> Task for Logarithm<'_, FMA> {
    #[inline(always)]
    fn run<R: Row>(self) {
        self.0.iter_mut().for_each(|x| *x = ln::<FMA>(*x));
    }
}

/// Written without branches so that it is vectorised.
#[inline(always)]
fn ln<const FMA: bool>(x: f32) -> f32 {
    // Subnormal numbers are scaled up by 2^24 first.
    let subnormal = x < f32::MIN_POSITIVE;
    let scaled = if subnormal { x * 16_777_216.0 } else { x };
    let bits = scaled.to_bits();
    let exponent = (bits >> 23) as i32 - 126 - if subnormal { 24 } else { 0 };
    let mantissa = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000); // [0.5, 1)
    let low = mantissa <= std::f32::consts::FRAC_1_SQRT_2;
    let k = (if low { exponent - 1 } else { exponent }) as f32;
    let m = (if low { mantissa + mantissa } else { mantissa }) - 1.0;
    let (mut p, mut q) = (P[0], Q[0]);
    for (&a, &b) in P[1..].iter().zip(&Q[1..]) {
        p = fused::<FMA>(p, m, a);
        q = fused::<FMA>(q, m, b);
    }
    let y = fused::<FMA>(k, std::f32::consts::LN_2, p / q);
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

/// a b + c, rounded once.
#[inline(always)]
fn fused<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { fused_without_fma(a, b, c) }
}

/// a b + c, rounded once, in operations that every processor has: the product of two 24-bit significands is exact in 53
/// bits, and a sum that is rounded to odd there may be rounded again to 24 bits (Boldo & Melquiond, "Emulation of FMA and
/// correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions on Computers 57 (2008), section 5).
#[inline(always)]
fn fused_without_fma(a: f32, b: f32, c: f32) -> f32 {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    // Knuth's two-sum: what rounding took from the sum.
    let of_c = sum - product;
    let rest = (product - (sum - of_c)) + (c - of_c);
    let even = sum.to_bits() & 1 == 0;
    let away = (rest > 0.0) == (sum > 0.0);
    let odd = f64::from_bits(if away { sum.to_bits().wrapping_add(1) } else { sum.to_bits().wrapping_sub(1) });
    (if rest != 0.0 && even { odd } else { sum }) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_gives_the_same_bits_within_four_units_in_the_last_place() {
        let mut worst = 0.0_f64;
        let x: Vec<f32> = (1..=1.0_f32.to_bits()).step_by(1009).map(f32::from_bits).collect();
        let mut plain = x.clone();
        ln_in_place(Level::Portable, &mut plain);
        for (&x, &y) in x.iter().zip(&plain) {
            let truth = f64::from(x).ln();
            let size = (truth.abs() as f32).to_bits();
            let ulp = f64::from(f32::from_bits(size + 1)) - f64::from(f32::from_bits(size));
            worst = worst.max((f64::from(y) - truth).abs() / ulp);
        }
        assert!(worst < 4.0, "{worst} units in the last place");
        let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
        for level in Level::available() {
            let mut y = x.clone();
            ln_in_place(level, &mut y);
            assert!(bits(&y) == bits(&plain), "{level:?}");
            let mut special = [0.0, 1.0, f32::NAN];
            ln_in_place(level, &mut special);
            assert_eq!((special[0], special[1], special[2].is_nan()), (f32::NEG_INFINITY, 0.0, true), "{level:?}");
        }
    }

    /// Where rounding to 53 and then to 24 bits differs from rounding once: a tie of the second that the first made.
    #[test]
    fn a_fused_operation_without_fma_is_rounded_once() {
        let (a, b) = (1.0 + f32::EPSILON, 1.0 - f32::EPSILON / 2.0);
        let cases = [
            (a, b, 2.0_f32.powi(-60)),
            (a, a, 2.0_f32.powi(-80)),
            (a, a, -(2.0_f32.powi(-80))),
            (-a, a, 2.0_f32.powi(-80)),
            (3.0, 1.0 / 3.0, -1.0),
            (1.0, 1.0 + f32::EPSILON, 2.0_f32.powi(-24)),
            (0.0, 5.0, -0.0),
        ];
        let drawn = |i: u32| f32::from_bits(0x3e80_0000 + i.wrapping_mul(0x9e37_79b9) % 0x0180_0000);
        let many =
            (0..300_000).map(|i| (drawn(3 * i), drawn(3 * i + 1), drawn(3 * i + 2) * 2.0_f32.powi(-(i as i32 % 50))));
        for (a, b, c) in cases.into_iter().chain(many) {
            assert_eq!(fused_without_fma(a, b, c).to_bits(), a.mul_add(b, c).to_bits(), "{a} {b} {c}");
            assert_eq!(fused_without_fma(a, -b, c).to_bits(), a.mul_add(-b, c).to_bits(), "{a} -{b} {c}");
        }
    }
}
