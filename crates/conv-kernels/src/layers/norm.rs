//! Batch normalisation over images and pixels, fused with a rectifier, forward and backward (Ioffe and Szegedy 2015).
//!
//! `x` is `[N, C, P]` (P pixels a plane). With mean m and variance v of a channel over its M = N P values and
//! s = 1 / sqrt(v + eps), the output is y = gamma (x - m) s + beta. The backward pass recomputes what it needs from `x`:
//! neither the normalised values nor y are kept for it.

use rayon::prelude::*;

use crate::epilogue::Activation;
use crate::shape::{ShapeError, check_len};
use crate::simd::{Isa, Kernel, Simd};

/// Values summed in f32 before they are added to a sum in f64.
const RUN: usize = 512;

/// Partial sums, one a lane, so that the compiler can keep them in vectors.
const LANES: usize = 16;

/// Sizes and constants of a batch normalisation.
#[derive(Clone, Copy, Debug)]
pub struct BatchNorm {
    /// N, C and P, the number of pixels of a plane.
    pub shape: [usize; 3],
    /// Added to the variance.
    pub epsilon: f32,
    /// What follows.
    pub activation: Activation,
}

/// What the forward pass found out about each channel.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchStatistics {
    /// The mean.
    pub mean: Vec<f32>,
    /// The variance, divided by M (not M - 1).
    pub variance: Vec<f32>,
}

/// Sums of `f(i)` for i in 0..len, in f64 over runs of f32.
#[inline(always)]
fn sums<const K: usize>(len: usize, f: impl Fn(usize) -> [f32; K]) -> [f64; K] {
    let mut total = [0.0; K];
    let mut start = 0;
    while start < len {
        let end = (start + RUN).min(len);
        let mut lanes = [[0.0f32; LANES]; K];
        let mut i = start;
        while i + LANES <= end {
            for lane in 0..LANES {
                for (sum, value) in lanes.iter_mut().zip(f(i + lane)) {
                    sum[lane] += value;
                }
            }
            i += LANES;
        }
        for (lane, i) in (i..end).enumerate() {
            for (sum, value) in lanes.iter_mut().zip(f(i)) {
                sum[lane] += value;
            }
        }
        for (total, lanes) in total.iter_mut().zip(lanes) {
            *total += lanes.iter().map(|v| f64::from(*v)).sum::<f64>();
        }
        start = end;
    }
    total
}

/// Sum of (x - shift) over a plane, or of its square.
struct Moment<'a> {
    x: &'a [f32],
    shift: f32,
    square: bool,
}

impl Kernel for Moment<'_> {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> f64 {
        let (x, shift) = (self.x, self.shift);
        let [sum] = if self.square {
            sums(x.len(), |i| [(x[i] - shift) * (x[i] - shift)])
        } else {
            sums(x.len(), |i| [x[i] - shift])
        };
        sum
    }
}

/// y = (x - mean) scale + shift, then the activation.
struct Apply<'a> {
    x: &'a [f32],
    channel: Channel,
    y: &'a mut [f32],
}

impl Kernel for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        for (y, x) in self.y.iter_mut().zip(self.x) {
            *y = floor(self.channel.at(*x), self.channel.floor);
        }
    }
}

/// The larger; NaN where `x` is NaN.
#[inline(always)]
fn floor(x: f32, floor: f32) -> f32 {
    if x < floor { floor } else { x }
}

/// Sums over a plane of g and g (x - mean), where g is `dy` where the activation let the value through.
struct GradientSums<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    channel: Channel,
}

impl Kernel for GradientSums<'_> {
    type Output = [f64; 2];

    #[inline(always)]
    fn run<S: Simd>(self, _: S) -> [f64; 2] {
        let (x, c) = (self.x, self.channel);
        let dy = &self.dy[..x.len()];
        sums(x.len(), |i| {
            let g = c.gradient(x[i], dy[i]);
            [g, g * (x[i] - c.mean)]
        })
    }
}

/// dx = a g + b x + c over a plane.
struct GradientApply<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    channel: Channel,
    factors: [f32; 3],
    dx: &'a mut [f32],
}

impl Kernel for GradientApply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let [a, b, c] = self.factors;
        for ((dx, x), dy) in self.dx.iter_mut().zip(self.x).zip(self.dy) {
            *dx = a * self.channel.gradient(*x, *dy) + b * (x - self.channel.mean) + c;
        }
    }
}

/// The constants of a channel.
#[derive(Clone, Copy)]
struct Channel {
    mean: f32,
    scale: f32,
    shift: f32,
    floor: f32,
}

impl Channel {
    /// The mean is taken away first: where it is far larger than the deviation, `x scale` and a shift that undoes it would
    /// lose digits against each other.
    #[inline(always)]
    fn at(&self, x: f32) -> f32 {
        (x - self.mean) * self.scale + self.shift
    }

    /// `dy` where x reached the output, by the forward pass's own arithmetic.
    #[inline(always)]
    fn gradient(&self, x: f32, dy: f32) -> f32 {
        if self.at(x) > self.floor { dy } else { 0.0 }
    }
}

impl BatchNorm {
    /// Normalises with the statistics of the batch, which it returns.
    ///
    /// # Shapes
    /// `x` and `y` `[N, C, P]`, `gamma` and `beta` `[C]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn forward(
        &self,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        y: &mut [f32],
    ) -> Result<BatchStatistics, ShapeError> {
        self.check(&[("the input", x.len()), ("the output", y.len())], &[gamma.len(), beta.len()])?;
        let statistics = self.statistics(x);
        self.apply(x, gamma, beta, &statistics, y);
        Ok(statistics)
    }

    /// Normalises with given statistics: running averages, at inference.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn forward_with(
        &self,
        x: &[f32],
        gamma: &[f32],
        beta: &[f32],
        statistics: &BatchStatistics,
        y: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (mean, variance) = (statistics.mean.len(), statistics.variance.len());
        self.check(&[("the input", x.len()), ("the output", y.len())], &[gamma.len(), beta.len(), mean, variance])?;
        self.apply(x, gamma, beta, statistics, y);
        Ok(())
    }

    /// Gradients of the input, of gamma and of beta, given `dy`, the gradient after the activation, and the statistics
    /// that the forward pass returned.
    ///
    /// # Shapes
    /// `x`, `dy` and `dx` `[N, C, P]`; `gamma`, `beta`, `dgamma` and `dbeta` `[C]`.
    ///
    /// # Errors
    /// A slice has another length.
    #[allow(clippy::too_many_arguments)] // Three inputs, three gradients: a struct would only rename them.
    pub fn backward(
        &self,
        x: &[f32],
        dy: &[f32],
        [gamma, beta]: [&[f32]; 2],
        statistics: &BatchStatistics,
        dx: &mut [f32],
        [dgamma, dbeta]: [&mut [f32]; 2],
    ) -> Result<(), ShapeError> {
        let channels = [&statistics.mean, &statistics.variance].map(|v| v.len());
        let channels = [channels[0], channels[1], gamma.len(), beta.len(), dgamma.len(), dbeta.len()];
        let tensors = [("the input", x.len()), ("the output's gradient", dy.len()), ("the input's gradient", dx.len())];
        self.check(&tensors, &channels)?;
        let [_, c, p] = self.shape;
        let isa = Isa::best();
        let count = (self.shape[0] * p) as f64;
        let mut factors = vec![[0.0; 3]; c];
        let rows = dgamma.par_iter_mut().zip(dbeta.par_iter_mut()).zip(factors.par_iter_mut()).enumerate();
        rows.for_each(|(k, ((dgamma, dbeta), factors))| {
            let channel = self.channel(k, gamma, beta, statistics);
            let [mut g, mut gx] = [0.0; 2];
            for (x, dy) in self.planes(x, k).zip(self.planes(dy, k)) {
                let [a, b] = isa.run(GradientSums { x, dy, channel });
                (g, gx) = (g + a, gx + b);
            }
            // dx = gamma s (g - mean(g) - (x - m) s^2 mean(g (x - m))).
            let s = self.deviation_inverse(statistics.variance[k]);
            let scale = f64::from(gamma[k]) * s;
            *dgamma = (gx * s) as f32;
            *dbeta = g as f32;
            *factors = [scale as f32, (-scale * s * s * gx / count) as f32, (-scale * g / count) as f32];
        });
        dx.par_chunks_mut(p).enumerate().for_each(|(plane, dx)| {
            let k = plane % c;
            let channel = self.channel(k, gamma, beta, statistics);
            let at = plane * p..(plane + 1) * p;
            isa.run(GradientApply { x: &x[at.clone()], dy: &dy[at], channel, factors: factors[k], dx });
        });
        Ok(())
    }

    fn statistics(&self, x: &[f32]) -> BatchStatistics {
        let [n, c, p] = self.shape;
        let (isa, count) = (Isa::best(), (n * p) as f64);
        let mean_variance: Vec<(f32, f32)> = (0..c)
            .into_par_iter()
            .map(|k| {
                let moment = |shift, square| {
                    self.planes(x, k).map(|x| isa.run(Moment { x, shift, square })).sum::<f64>() / count
                };
                // Sums of differences, so that a mean far from zero costs no digits; the second sum corrects the
                // first one's rounding to f32.
                let mean = moment(0.0, false) as f32;
                let rest = moment(mean, false);
                ((f64::from(mean) + rest) as f32, (moment(mean, true) - rest * rest).max(0.0) as f32)
            })
            .collect();
        let (mean, variance) = mean_variance.into_iter().unzip();
        BatchStatistics { mean, variance }
    }

    fn apply(&self, x: &[f32], gamma: &[f32], beta: &[f32], statistics: &BatchStatistics, y: &mut [f32]) {
        let [_, c, p] = self.shape;
        let isa = Isa::best();
        y.par_chunks_mut(p).zip(x.par_chunks(p)).enumerate().for_each(|(plane, (y, x))| {
            isa.run(Apply { x, channel: self.channel(plane % c, gamma, beta, statistics), y });
        });
    }

    fn channel(&self, k: usize, gamma: &[f32], beta: &[f32], statistics: &BatchStatistics) -> Channel {
        let scale = (f64::from(gamma[k]) * self.deviation_inverse(statistics.variance[k])) as f32;
        Channel { mean: statistics.mean[k], scale, shift: beta[k], floor: self.activation.floor() }
    }

    fn deviation_inverse(&self, variance: f32) -> f64 {
        1.0 / (f64::from(variance) + f64::from(self.epsilon)).sqrt()
    }

    /// The planes of channel `k`, image by image.
    fn planes<'a>(&self, x: &'a [f32], k: usize) -> impl Iterator<Item = &'a [f32]> + use<'a> {
        let [_, c, p] = self.shape;
        x.chunks(p).skip(k).step_by(c)
    }

    fn check(&self, tensors: &[(&str, usize)], channels: &[usize]) -> Result<(), ShapeError> {
        for (name, len) in tensors {
            check_len(name, *len, &self.shape)?;
        }
        channels.iter().try_for_each(|len| check_len("a value for each channel", *len, &[self.shape[1]]))
    }
}

/// Folds a batch normalisation with fixed statistics into the convolution before it: the new weight and bias.
///
/// # Errors
/// The lengths do not fit: `w` is `[K, ..]`, everything else `[K]`.
pub fn fold_batch_norm(
    w: &[f32],
    bias: Option<&[f32]>,
    [gamma, beta]: [&[f32]; 2],
    statistics: &BatchStatistics,
    epsilon: f32,
) -> Result<(Vec<f32>, Vec<f32>), ShapeError> {
    let k = gamma.len();
    for len in [Some(beta.len()), bias.map(<[f32]>::len), Some(statistics.mean.len()), Some(statistics.variance.len())]
    {
        check_len("a value for each channel", len.unwrap_or(k), &[k])?;
    }
    let depth = w.len().checked_div(k).unwrap_or(0);
    check_len("the weight", w.len(), &[k, depth])?;
    let scale: Vec<f32> = gamma.iter().zip(&statistics.variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
    let weight = w.iter().enumerate().map(|(i, w)| w * scale[i / depth.max(1)]).collect();
    let bias = (0..k).map(|k| (bias.map_or(0.0, |b| b[k]) - statistics.mean[k]) * scale[k] + beta[k]).collect();
    Ok((weight, bias))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{close, noise};

    /// Output, dx, dgamma, dbeta by their definitions in f64.
    fn slow(norm: &BatchNorm, x: &[f32], dy: &[f32], gamma: &[f32], beta: &[f32]) -> [Vec<f64>; 4] {
        let [n, c, p] = norm.shape;
        let m = (n * p) as f64;
        let (mut y, mut dx) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let (mut dgamma, mut dbeta) = (vec![0.0; c], vec![0.0; c]);
        for k in 0..c {
            let at: Vec<usize> = (0..n).flat_map(|i| (0..p).map(move |j| (i * c + k) * p + j)).collect();
            let mean = at.iter().map(|i| f64::from(x[*i])).sum::<f64>() / m;
            let variance = at.iter().map(|i| (f64::from(x[*i]) - mean).powi(2)).sum::<f64>() / m;
            let s = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
            let hat = |i: usize| (f64::from(x[i]) - mean) * s;
            let value = |i: usize| f64::from(gamma[k]) * hat(i) + f64::from(beta[k]);
            let floor = f64::from(norm.activation.floor());
            let g = |i: usize| if value(i) > floor { f64::from(dy[i]) } else { 0.0 };
            dbeta[k] = at.iter().map(|i| g(*i)).sum();
            dgamma[k] = at.iter().map(|i| g(*i) * hat(*i)).sum();
            for &i in &at {
                y[i] = value(i).max(floor);
                dx[i] = f64::from(gamma[k]) * s * (g(i) - dbeta[k] / m - hat(i) * dgamma[k] / m);
            }
        }
        [y, dx, dgamma, dbeta]
    }

    #[test]
    fn normalisation_and_its_gradients_agree_with_f64() {
        let mut wrong = Vec::new();
        for (shape, offset) in [([1, 1, 7], 0.0), ([9, 3, 1], 1.0), ([3, 4, 1000], 0.5), ([2, 5, 77], 100.0)] {
            for activation in [Activation::Identity, Activation::Relu] {
                let norm = BatchNorm { shape, epsilon: 1e-5, activation };
                let [n, c, p] = shape;
                let x: Vec<f32> = noise(1, n * c * p).into_iter().map(|v| v + offset).collect();
                let dy = noise(2, x.len());
                let gamma: Vec<f32> = noise(3, c).into_iter().map(|v| v + 1.5).collect();
                let beta = noise(4, c);
                let (mut y, mut dx) = (vec![f32::NAN; x.len()], vec![f32::NAN; x.len()]);
                let (mut dgamma, mut dbeta) = (vec![f32::NAN; c], vec![f32::NAN; c]);
                let statistics = norm.forward(&x, &gamma, &beta, &mut y).unwrap();
                norm.backward(&x, &dy, [&gamma, &beta], &statistics, &mut dx, [&mut dgamma, &mut dbeta]).unwrap();
                let want = slow(&norm, &x, &dy, &gamma, &beta);
                let limit = 1e-6 * f64::from(offset.max(1.0));
                for (what, got, want) in [
                    ("y", &y, &want[0]),
                    ("dx", &dx, &want[1]),
                    ("dgamma", &dgamma, &want[2]),
                    ("dbeta", &dbeta, &want[3]),
                ] {
                    wrong.extend(close(
                        &format!("{what} of {shape:?} {activation:?}, offset {offset}"),
                        got,
                        want,
                        limit,
                    ));
                }
                let mut again = vec![f32::NAN; x.len()];
                norm.forward_with(&x, &gamma, &beta, &statistics, &mut again).unwrap();
                assert_eq!(again, y);
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_folded_convolution_gives_what_the_two_gave() {
        let statistics = BatchStatistics { mean: vec![0.5, -1.0], variance: vec![4.0, 0.25] };
        let (w, b, gamma, beta) = ([1.0, 2.0, 3.0, 4.0], [0.1, 0.2], [2.0, -1.0], [0.0, 3.0]);
        let (w2, b2) = fold_batch_norm(&w, Some(&b), [&gamma, &beta], &statistics, 0.0).unwrap();
        let x = [0.7, -0.3];
        for k in 0..2 {
            let sum = |w: &[f32], b: &[f32]| w[2 * k] * x[0] + w[2 * k + 1] * x[1] + b[k];
            let two = (sum(&w, &b) - statistics.mean[k]) / statistics.variance[k].sqrt() * gamma[k] + beta[k];
            assert!((sum(&w2, &b2) - two).abs() < 1e-5);
        }
        assert!(fold_batch_norm(&w, Some(&b[1..]), [&gamma, &beta], &statistics, 0.0).is_err());
    }
}
