//! The two exponentials that the published results rest on, bit for bit, for arguments of at most zero.
//!
//! pydensecrf normalises the labels of a pixel with Eigen: whole packets of four labels go through Eigen's
//! single-precision polynomial (after Cephes' `expf`), the one to three labels left over through the C library's
//! `expf`. Both are restated here in plain arithmetic, so that results depend neither on the platform's C library nor
//! on which instructions the processor has.

use crate::simd::{Row, TO_WHOLE};

/// Lower clamp of Eigen 3.3's `pexp<Packet4f>`; what lies below becomes 0.
pub(crate) const EXP_LOW: f32 = -88.376_26;
/// log2(e) as f32.
pub(crate) const LOG2_E: f32 = std::f32::consts::LOG2_E;
/// ln 2 in two parts (Cephes): the first has few enough bits for exact products.
pub(crate) const LN2_HIGH: f32 = 0.693_359_4;
/// See [`LN2_HIGH`].
pub(crate) const LN2_LOW: f32 = -2.121_944_4e-4;
/// Cephes' polynomial for (exp(x) - 1 - x) / x^2 on [-ln 2 / 2, ln 2 / 2], highest power first.
pub(crate) const POLYNOMIAL: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];

/// exp(x) as Eigen 3.3.9 computes a packet of four with SSE2: no fused operations. For x <= 0.
#[cfg(test)]
pub(crate) fn exp_packet(x: f32) -> f32 {
    let input = x;
    let x = x.max(EXP_LOW);
    let n = (x * LOG2_E + 0.5).floor();
    let x = x - n * LN2_HIGH;
    let x = x - n * LN2_LOW;
    let square = x * x;
    let mut y = POLYNOMIAL[0];
    for c in &POLYNOMIAL[1..] {
        y = y * x + c;
    }
    let y = y * square + x + 1.0;
    let power = f32::from_bits(((n as i32 + 127) as u32) << 23);
    (y * power).max(input)
}

/// Bits of 2^(i/32), i = 0..31, less i << 47, so that adding (32 n + i) << 47 gives 2^(n + i/32).
/// The table, the polynomial below and their order are those of the "optimized routines" `expf` in glibc >= 2.27.
const TWO_TO: [u64; 32] = [
    0x3ff0000000000000,
    0x3fefd9b0d3158574,
    0x3fefb5586cf9890f,
    0x3fef9301d0125b51,
    0x3fef72b83c7d517b,
    0x3fef54873168b9aa,
    0x3fef387a6e756238,
    0x3fef1e9df51fdee1,
    0x3fef06fe0a31b715,
    0x3feef1a7373aa9cb,
    0x3feedea64c123422,
    0x3feece086061892d,
    0x3feebfdad5362a27,
    0x3feeb42b569d4f82,
    0x3feeab07dd485429,
    0x3feea47eb03a5585,
    0x3feea09e667f3bcd,
    0x3fee9f75e8ec5f74,
    0x3feea11473eb0187,
    0x3feea589994cce13,
    0x3feeace5422aa0db,
    0x3feeb737b0cdc5e5,
    0x3feec49182a3f090,
    0x3feed503b23e255d,
    0x3feee89f995ad3ad,
    0x3feeff76f2fb5e47,
    0x3fef199bdd85529c,
    0x3fef3720dcef9069,
    0x3fef5818dcfba487,
    0x3fef7c97337b9b5f,
    0x3fefa4afa2a490da,
    0x3fefd0765b6e4540,
];
/// 32 / ln 2.
const STEPS_PER_E: f64 = f64::from_bits(0x3ff7_1547_652b_82fe) * 32.0;
/// 1.5 * 2^52: adding it rounds to an integer, in the low bits.
const ROUND: f64 = 6_755_399_441_055_744.0;
/// Cubic for 2^(r/32), |r| <= 1/2; the constant term is 1.
const CUBIC: [f64; 3] = [
    f64::from_bits(0x3fac_6af8_4b91_2394) / 32768.0,
    f64::from_bits(0x3fce_bfce_50fa_c4f3) / 1024.0,
    f64::from_bits(0x3fe6_2e42_ff0c_52d6) / 32.0,
];
/// The only x <= 0 for which the result depends on whether the processor fuses multiply and add, and what it then is
/// with fusing.
const FUSED_ONLY: (u32, u32) = (0xc27c_65d9, 0x11fa_2993);

/// Arguments that [`exp_scalars`] takes at a time.
pub(crate) const LANES: usize = 8;

/// exp(x) as glibc's `expf` returns it on an x86-64 processor with fused multiply-add, in place. For x <= 0; the length
/// must be a multiple of [`LANES`].
#[inline(always)]
pub(crate) fn exp_scalars(x: &mut [f32]) {
    for x in x.chunks_exact_mut(LANES) {
        let (mut n, mut r, mut scale) = ([0_u64; LANES], [0.0_f64; LANES], [0.0_f64; LANES]);
        for l in 0..LANES {
            let steps = STEPS_PER_E * f64::from(x[l]);
            let shifted = steps + ROUND;
            n[l] = shifted.to_bits();
            r[l] = steps - (shifted - ROUND);
        }
        for l in 0..LANES {
            scale[l] = f64::from_bits(TWO_TO[(n[l] & 31) as usize].wrapping_add(n[l] << 47));
        }
        for l in 0..LANES {
            let high = CUBIC[0] * r[l] + CUBIC[1];
            let low = CUBIC[2] * r[l] + 1.0;
            let y = ((high * (r[l] * r[l]) + low) * scale[l]) as f32;
            let y = if x[l] < -103.972_08 { 0.0 } else { y };
            x[l] = if x[l].to_bits() == FUSED_ONLY.0 { f32::from_bits(FUSED_ONLY.1) } else { y };
        }
    }
}

/// [`exp_scalars`] of one argument.
#[cfg(test)]
pub(crate) fn exp_scalar(x: f32) -> f32 {
    let mut lanes = [x; LANES];
    exp_scalars(&mut lanes);
    lanes[0]
}

/// exp of each lane, for lanes <= 0: [`exp_packet`] to the bit, or, if `FAST`, within 1e-6 of it down to exp(-10) and
/// 1e-5 below, in proportion, and in two thirds of the operations.
#[inline(always)]
pub(crate) fn exp_row<R: Row, const FAST: bool>(x: R) -> R {
    if FAST { exp_fast(x) } else { exp_exact(x) }
}

#[inline(always)]
fn exp_exact<R: Row>(input: R) -> R {
    // Lanes above zero do not occur, so that only the lower clamp is needed.
    let x = input.max(R::splat(EXP_LOW));
    let n = x.mul(R::splat(LOG2_E)).add(R::splat(0.5)).floor();
    let x = x.sub(n.mul(R::splat(LN2_HIGH))).sub(n.mul(R::splat(LN2_LOW)));
    let mut y = R::splat(POLYNOMIAL[0]);
    for &c in &POLYNOMIAL[1..] {
        y = y.mul(x).add(R::splat(c));
    }
    y.mul(x.mul(x)).add(x).add(R::splat(1.0)).mul(n.power_of_two()).max(input)
}

/// exp(x) on [-ln 2 / 2, ln 2 / 2], highest power first: 1 + x + x^2 (..), the rest of least largest relative error, 1e-7.
const FAST_POLYNOMIAL: [f32; 6] = [8.312_502e-3, 4.189_033e-2, 1.666_711_6e-1, 4.999_923e-1, 1.0, 1.0];

#[inline(always)]
fn exp_fast<R: Row>(x: R) -> R {
    // From -87.7 down n is -127, which gives 0.
    let x = x.max(R::splat(-88.0));
    let n = x.fused(R::splat(LOG2_E), R::splat(TO_WHOLE)).sub(R::splat(TO_WHOLE));
    let x = n.fused(R::splat(-std::f32::consts::LN_2), x);
    let mut y = R::splat(FAST_POLYNOMIAL[0]);
    for &c in &FAST_POLYNOMIAL[1..] {
        y = y.fused(x, R::splat(c));
    }
    y.mul(n.power_of_two())
}

/// a * b + c, rounded once if `FAST` and the processor can, else twice.
#[inline(always)]
pub(crate) fn multiply_add<R: Row, const FAST: bool>(a: R, b: R, c: R) -> R {
    if FAST { a.fused(b, c) } else { a.mul(b).add(c) }
}

/// Turns scores into probabilities in place with Eigen's order of operations: packets, then a scalar tail.
#[cfg(test)]
pub(crate) fn softmax(t: &mut [f32]) {
    let max = t.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let packed = t.len() / 4 * 4;
    for (i, v) in t.iter_mut().enumerate() {
        *v = if i < packed { exp_packet(*v - max) } else { exp_scalar(*v - max) };
    }
    let sum = packet_sum(t);
    t.iter_mut().for_each(|v| *v /= sum);
}

/// Sums in the order of Eigen's vectorised reduction: two packet accumulators, lanes (0 + 2) + (1 + 3), tail.
#[cfg(test)]
fn packet_sum(t: &[f32]) -> f32 {
    if t.len() < 4 {
        return t[1..].iter().fold(t[0], |a, b| a + b);
    }
    let add = |a: [f32; 4], b: &[f32]| [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]];
    let (packets, tail) = t.split_at(t.len() / 4 * 4);
    let mut packets = packets.chunks_exact(4);
    let mut even = [0.0; 4];
    even.copy_from_slice(packets.next().unwrap_or(&[0.0; 4]));
    if let Some(first) = packets.next() {
        let mut odd = [first[0], first[1], first[2], first[3]];
        let mut left = None;
        while let Some(a) = packets.next() {
            match packets.next() {
                Some(b) => (even, odd) = (add(even, a), add(odd, b)),
                None => left = Some(a),
            }
        }
        even = add(even, &odd);
        if let Some(a) = left {
            even = add(even, a);
        }
    }
    let sum = (even[0] + even[2]) + (even[1] + even[3]);
    tail.iter().fold(sum, |a, b| a + b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{Level, Task, dispatch_lanes};

    struct Fast<'a>(&'a mut [f32]);

    impl Task for Fast<'_> {
        #[inline(always)]
        fn run<R: Row>(self) {
            for at in (0..self.0.len()).step_by(R::LANES) {
                exp_row::<R, true>(R::load(self.0, at)).store(self.0, at);
            }
        }
    }

    /// glibc's answer at the one argument where fused and separate rounding differ.
    #[test]
    fn the_one_fused_argument_is_special() {
        let x = f32::from_bits(FUSED_ONLY.0);
        assert_eq!(x, -63.099_46);
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu", target_arch = "x86_64"))]
    fn scalar_exponential_is_glibcs() {
        if !std::arch::is_x86_feature_detected!("fma") {
            println!("skipped: this processor has no fused multiply-add");
            return;
        }
        // Every 61st argument; run with CRF_EXHAUSTIVE=1 for all 1.1e9 of them (15 s).
        let step = if std::env::var_os("CRF_EXHAUSTIVE").is_some() { 1 } else { 61 };
        let special = FUSED_ONLY.0 & 0x7fff_ffff;
        let wrong = (0..104.5_f32.to_bits())
            .step_by(step)
            .chain([special])
            .map(std::hint::black_box)
            .filter(|&b| exp_scalar(-f32::from_bits(b)).to_bits() != (-f32::from_bits(b)).exp().to_bits())
            .count();
        assert_eq!(wrong, 0);
    }

    #[test]
    fn all_exponentials_are_accurate_and_end_at_zero() {
        for i in 0..2000 {
            let x = -0.043 * i as f32;
            let truth = f64::from(x).exp();
            for (name, y) in [("packet", exp_packet(x)), ("scalar", exp_scalar(x))] {
                assert!((f64::from(y) / truth - 1.0).abs() < 2e-7, "{name} exp({x}) = {y}, not {truth}");
            }
        }
        for x in [-90.0, -1e10, f32::NEG_INFINITY] {
            assert_eq!(exp_packet(x), 0.0, "{x}");
        }
        for level in Level::available() {
            let mut row: [f32; 2016] = std::array::from_fn(|i| -0.0434 * i as f32);
            row[2015] = f32::NEG_INFINITY;
            let x = row;
            dispatch_lanes(level, Fast(&mut row));
            for (x, y) in x.into_iter().zip(row) {
                let (truth, limit) = (f64::from(x).exp(), if x > -10.0 { 1e-6 } else { 1e-5 });
                let near = (f64::from(y) / truth - 1.0).abs() < limit || x < -87.6 && y == 0.0;
                assert!(near, "{level:?}: exp({x}) = {y}, not {truth}");
            }
            assert_eq!((row[0], row[2015]), (1.0, 0.0));
        }
        assert_eq!((exp_scalar(-104.0), exp_scalar(f32::NEG_INFINITY)), (0.0, 0.0));
        assert_eq!((exp_packet(0.0), exp_scalar(0.0)), (1.0, 1.0));
    }
}
