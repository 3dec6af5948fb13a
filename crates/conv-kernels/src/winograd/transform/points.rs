//! The one-dimensional transforms of Winograd's minimal filtering F(t, r): t outputs of an r-tap filter from
//! n = t + r - 1 products instead of t r (Winograd 1980; Lavin and Gray 2016 for convolution).
//!
//! A signal of n values is read as a polynomial of degree n - 1, the filter as one of degree r - 1; both are evaluated at
//! n points, multiplied there, and interpolated. The points are values in pairs of opposite sign, infinity, and, if n is
//! even, 0.
//! With d the input, g the filter and y the output the algorithm is y = A^T ((G g) . (B^T d)), where
//!
//! * row p of A is 1, p, p^2, ... (infinity: the last unit vector);
//! * row p of G is that of A with r columns, divided by the product of p - q over all other finite points q;
//! * row p of B^T has the coefficients of the product of x - q over all other finite points q (infinity: over all).
//!
//! Because points come in pairs, rows +p and -p share their even and odd parts, which halves the work. Without 0 the factors
//! of a pair's rows in G have opposite signs; here they have one, and row -p of B^T has the other instead.
//!
//! The points decide the rounding error. For n = 6 they are those of Intel's former kernels, with half to a quarter of
//! the error of 0, 1, -1, 2, -2; for n = 5 and n = 10 they were found by a search (on points: Barabasz et al. 2020). The
//! search for n = 5 preferred two pairs to any set with 0, whose last point would have no partner.

use crate::simd::Simd;

/// The positive finite points for `n` points.
const fn positive(n: usize) -> &'static [f64] {
    match n {
        5 => &[0.375, 1.25],
        6 => &[0.625, 1.5],
        8 => &[0.5, 1.0, 2.0],
        10 => &[0.4166, 0.8, 1.25, 2.4],
        _ => panic!("no points for this size"),
    }
}

/// 1 if 0 is one of `n` points, else 0.
const fn zeros(n: usize) -> usize {
    1 - n % 2
}

/// Everything that depends on the points alone.
pub(crate) struct Table {
    /// Powers 0.. of each positive point.
    power: [[f32; 8]; 4],
    /// Coefficients (ascending) of the product of x - q^2 over all positive q.
    all: [f32; 5],
    /// The same without point i.
    but: [[f32; 4]; 4],
    /// The factor of G's row for the point 0.
    zero: f32,
    /// The factor of G's rows for a pair of points.
    pair: [f32; 4],
}

/// The table for `N` points.
pub(crate) struct Points<const N: usize>;

impl<const N: usize> Points<N> {
    /// Built at compile time.
    pub(crate) const TABLE: Table = table(positive(N), zeros(N));

    /// Pairs of points.
    const PAIRS: usize = positive(N).len();
}

const fn table(p: &[f64], zeros: usize) -> Table {
    let mut t = Table { power: [[0.0; 8]; 4], all: [0.0; 5], but: [[0.0; 4]; 4], zero: 0.0, pair: [0.0; 4] };
    let all = product(p, usize::MAX);
    t.zero = (1.0 / all[0]) as f32;
    let mut i = 0;
    while i < 5 {
        t.all[i] = all[i] as f32;
        i += 1;
    }
    i = 0;
    while i < p.len() {
        let but = product(p, i);
        let (mut r, mut power, mut at_point, mut square) = (0, 1.0, 0.0, 1.0);
        while r < 8 {
            t.power[i][r] = power as f32;
            power *= p[i];
            if r < 4 {
                t.but[i][r] = but[r] as f32;
                at_point += but[r] * square;
                square *= p[i] * p[i];
            }
            r += 1;
        }
        // The product of p - q over 0 if it is a point, -p and all other pairs.
        let at_zero = if zeros == 1 { p[i] } else { 1.0 };
        t.pair[i] = (1.0 / (2.0 * p[i] * at_zero * at_point)) as f32;
        i += 1;
    }
    t
}

/// Coefficients (ascending) of the product of x - q^2 over the points, leaving one out.
const fn product(p: &[f64], leave_out: usize) -> [f64; 5] {
    let mut c = [1.0, 0.0, 0.0, 0.0, 0.0];
    let mut i = 0;
    while i < p.len() {
        if i != leave_out {
            let mut k = 4;
            while k > 0 {
                c[k] = c[k - 1] - p[i] * p[i] * c[k];
                k -= 1;
            }
            c[0] *= -p[i] * p[i];
        }
        i += 1;
    }
    c
}

/// B^T d: the input at the points.
#[inline(always)]
pub(crate) fn input<S: Simd, const N: usize>(s: S, d: [S::V; N]) -> [S::V; N] {
    let (pairs, t, z) = (Points::<N>::PAIRS, const { &Points::<N>::TABLE }, zeros(N));
    let mut out = [d[0]; N];
    // The leading coefficients are 1.
    let mut infinity = d[N - 1];
    for k in 0..pairs {
        infinity = s.mul_add(s.splat(t.all[k]), d[2 * k + z], infinity);
    }
    out[N - 1] = infinity;
    if z == 1 {
        let mut zero = d[N - 2];
        for k in 0..pairs {
            zero = s.mul_add(s.splat(t.all[k]), d[2 * k], zero);
        }
        out[0] = zero;
    }
    for i in 0..pairs {
        // The parts that points of opposite sign share, and that they have with opposite sign.
        let (mut same, mut opposite) = (d[N - 2], d[N - 3]);
        for k in 0..pairs - 1 {
            same = s.mul_add(s.splat(t.but[i][k]), d[2 * k + 1 + z], same);
            opposite = s.mul_add(s.splat(t.but[i][k]), d[2 * k + z], opposite);
        }
        let p = s.splat(t.power[i][1]);
        let minus = s.neg_mul_add(p, opposite, same);
        out[2 * i + z] = s.mul_add(p, opposite, same);
        out[2 * i + z + 1] = if z == 1 { minus } else { s.sub(s.splat(0.0), minus) };
    }
    out
}

/// A^T m: `T` outputs from the products at the points.
#[inline(always)]
pub(crate) fn output<S: Simd, const N: usize, const T: usize>(s: S, m: [S::V; N]) -> [S::V; T] {
    let (pairs, t) = (Points::<N>::PAIRS, const { &Points::<N>::TABLE });
    interpolate(s, m, |i, r| if i < pairs { t.power[i][r] } else { 1.0 })
}

/// Column sums of rows 1, p, p^2, ... times `m`, where `weight(i, r)` is the factor of point pair i in output r, and of
/// the points 0 and infinity for i = the number of pairs.
#[inline(always)]
fn interpolate<S: Simd, const N: usize, const T: usize>(
    s: S,
    m: [S::V; N],
    weight: impl Fn(usize, usize) -> f32,
) -> [S::V; T] {
    let (pairs, z) = (Points::<N>::PAIRS, zeros(N));
    let mut sum = [m[0]; 4];
    let mut difference = [m[0]; 4];
    for i in 0..pairs {
        sum[i] = s.add(m[2 * i + z], m[2 * i + z + 1]);
        difference[i] = s.sub(m[2 * i + z], m[2 * i + z + 1]);
    }
    let mut y = [m[0]; T];
    for (r, y) in y.iter_mut().enumerate() {
        let part = if r % 2 == 0 { &sum } else { &difference };
        let mut value = s.mul(s.splat(weight(0, r)), part[0]);
        for (i, part) in part.iter().enumerate().take(pairs).skip(1) {
            value = s.mul_add(s.splat(weight(i, r)), *part, value);
        }
        if r == 0 && z == 1 {
            value = s.mul_add(s.splat(weight(pairs, r)), m[0], value);
        }
        if r == T - 1 {
            value = s.add(value, m[N - 1]);
        }
        *y = value;
    }
    y
}

/// A y: `T` gradients of the output at the points.
#[inline(always)]
pub(crate) fn spread<S: Simd, const N: usize, const T: usize>(s: S, y: [S::V; T]) -> [S::V; N] {
    evaluate(s, y, 1.0, [1.0; 4])
}

/// G g: `R` taps at the points.
#[inline(always)]
pub(crate) fn kernel<S: Simd, const N: usize, const R: usize>(s: S, g: [S::V; R]) -> [S::V; N] {
    let t = const { &Points::<N>::TABLE };
    evaluate(s, g, t.zero, t.pair)
}

/// The polynomial with coefficients `y` at the points, with a factor for 0 and for each pair.
#[inline(always)]
fn evaluate<S: Simd, const N: usize, const T: usize>(s: S, y: [S::V; T], zero: f32, pair: [f32; 4]) -> [S::V; N] {
    let (pairs, t, z) = (Points::<N>::PAIRS, const { &Points::<N>::TABLE }, zeros(N));
    let mut out = [y[0]; N];
    if z == 1 {
        out[0] = s.mul(s.splat(zero), y[0]);
    }
    out[N - 1] = y[T - 1];
    for i in 0..pairs {
        let mut even = s.mul(s.splat(pair[i]), y[0]);
        let mut odd = s.splat(0.0);
        for (r, y) in y.iter().enumerate().skip(1) {
            let factor = s.splat(t.power[i][r] * pair[i]);
            if r % 2 == 0 {
                even = s.mul_add(factor, *y, even);
            } else {
                odd = if r == 1 { s.mul(factor, *y) } else { s.mul_add(factor, *y, odd) };
            }
        }
        out[2 * i + z] = s.add(even, odd);
        out[2 * i + z + 1] = s.sub(even, odd);
    }
    out
}

/// G^T u: the gradients of `R` taps from those at the points.
#[inline(always)]
pub(crate) fn kernel_gradient<S: Simd, const N: usize, const R: usize>(s: S, u: [S::V; N]) -> [S::V; R] {
    let (pairs, t) = (Points::<N>::PAIRS, const { &Points::<N>::TABLE });
    interpolate(s, u, |i, r| if i < pairs { t.power[i][r] * t.pair[i] } else { t.zero })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::noise;
    use crate::simd::Portable;

    /// Correlation by the transforms in one dimension, against its definition.
    fn filter<const N: usize, const T: usize, const R: usize>() -> f64 {
        let s = Portable;
        let (d, g) = (noise(1, N), noise(2, R));
        let lift = |x: f32| s.splat(x);
        let at = input::<_, N>(s, std::array::from_fn(|i| lift(d[i])));
        let taps = kernel::<_, N, R>(s, std::array::from_fn(|i| lift(g[i])));
        let y = output::<_, N, T>(s, std::array::from_fn(|i| s.mul(at[i], taps[i])));
        let mut worst = 0.0f64;
        for t in 0..T {
            let want: f64 = (0..R).map(|r| f64::from(d[t + r]) * f64::from(g[r])).sum();
            worst = worst.max((f64::from(y[t][0]) - want).abs());
        }
        // The gradient of the taps: sum over t of dy[t] d[t + r].
        let dy = noise(3, T);
        let spread = spread::<_, N, T>(s, std::array::from_fn(|i| lift(dy[i])));
        let dg = kernel_gradient::<_, N, R>(s, std::array::from_fn(|i| s.mul(at[i], spread[i])));
        for r in 0..R {
            let want: f64 = (0..T).map(|t| f64::from(d[t + r]) * f64::from(dy[t])).sum();
            worst = worst.max((f64::from(dg[r][0]) - want).abs());
        }
        worst
    }

    #[test]
    fn the_transforms_filter_in_one_dimension() {
        for (what, error) in [
            ("F(3, 3)", filter::<5, 3, 3>()),
            ("F(4, 3)", filter::<6, 4, 3>()),
            ("F(6, 3)", filter::<8, 6, 3>()),
            ("F(2, 7)", filter::<8, 2, 7>()),
            ("F(4, 7)", filter::<10, 4, 7>()),
        ] {
            assert!(error < 2e-4, "{what}: error {error:.1e}");
        }
    }
}
