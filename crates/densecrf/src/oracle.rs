//! The specification as a program: slow, obviously right, and bit-identical to pydensecrf. The fast path is tested
//! against it.
//!
//! Kraehenbuehl & Koltun, "Efficient Inference in Fully Connected CRFs with Gaussian Edge Potentials", NIPS 2011;
//! Adams, Baek & Davis, "Fast High-Dimensional Filtering Using the Permutohedral Lattice", 2010.
//! N pixels, C labels, d feature dimensions. Everything is f32 with every operation rounded.

use std::collections::HashMap;

use crate::mean_field::exponential::softmax;
use crate::params::{Compatibility, Normalization};

/// Vertex identifiers and barycentric weights of one pixel, d + 1 of each.
type Simplex = Vec<(usize, f32)>;

/// A lattice over N feature vectors.
pub(crate) struct Lattice {
    d: usize,
    pub(crate) simplices: Vec<Simplex>,
    /// Per axis and vertex, the two neighbours; `None` where the lattice has no such vertex.
    neighbours: Vec<Vec<[Option<usize>; 2]>>,
}

/// One corner of the simplex around a feature vector, Adams et al. section 3.
fn embed(f: &[f32]) -> Vec<(Vec<i32>, f32)> {
    let d = f.len();
    let up = (d + 1) as f32;
    let scale = ((2.0_f64 / 3.0).sqrt() * (d + 1) as f64) as f32;
    let mut elevated = vec![0.0_f32; d + 1];
    let mut m = 0.0;
    for j in (1..=d).rev() {
        let c = f[j - 1] * ((1.0 / ((j * (j + 1)) as f64).sqrt()) * f64::from(scale)) as f32;
        elevated[j] = m - j as f32 * c;
        m += c;
    }
    elevated[0] = m;

    let inverse = 1.0 / up;
    let nearest: Vec<f32> = elevated.iter().map(|e| (inverse * e).round_ties_even()).collect();
    let mut remainder: Vec<f32> = nearest.iter().map(|v| v * up).collect();
    let sum: i32 = nearest.iter().map(|&v| v as i32).sum();
    let mut rank = vec![0_i32; d + 1];
    for i in 0..d {
        for j in i + 1..=d {
            let less = elevated[i] - remainder[i] < elevated[j] - remainder[j];
            rank[if less { i } else { j }] += 1;
        }
    }
    for i in 0..=d {
        rank[i] += sum;
        if rank[i] < 0 {
            rank[i] += d as i32 + 1;
            remainder[i] += up;
        } else if rank[i] > d as i32 {
            rank[i] -= d as i32 + 1;
            remainder[i] -= up;
        }
    }
    let mut weights = vec![0.0_f32; d + 2];
    for i in 0..=d {
        let t = (elevated[i] - remainder[i]) * inverse;
        weights[d - rank[i] as usize] += t;
        weights[d + 1 - rank[i] as usize] -= t;
    }
    weights[0] += 1.0 + weights[d + 1];
    let vertex = |k: usize| {
        let canonical = |q: i32| if q <= (d - k) as i32 { k as i32 } else { k as i32 - (d as i32 + 1) };
        (0..d).map(|i| remainder[i] as i32 + canonical(rank[i])).collect()
    };
    (0..=d).map(|k| (vertex(k), weights[k])).collect()
}

impl Lattice {
    pub(crate) fn new(features: &[Vec<f32>]) -> Self {
        let d = features[0].len();
        let mut ids: HashMap<Vec<i32>, usize> = HashMap::new();
        let mut keys = Vec::new();
        let mut simplices = Vec::new();
        // The original works on four pixels at a time; lanes beyond the last pixel hold the zero vector, and their
        // vertices, though never splatted to, take part in the blur.
        let lanes = features.len().next_multiple_of(4);
        let origin = vec![0.0; d];
        for i in 0..lanes {
            let f = features.get(i).unwrap_or(&origin);
            let simplex = embed(f).into_iter().map(|(key, weight)| {
                let id = *ids.entry(key.clone()).or_insert_with(|| {
                    keys.push(key);
                    keys.len() - 1
                });
                (id, weight)
            });
            simplices.push(simplex.collect());
        }
        simplices.truncate(features.len());
        let neighbours = (0..=d)
            .map(|axis| {
                let shifted = |key: &[i32], by: i32| {
                    let step = |j: usize| if j == axis { d as i32 * by } else { -by };
                    ids.get(&key.iter().enumerate().map(|(j, v)| v + step(j)).collect::<Vec<_>>()).copied()
                };
                keys.iter().map(|key| [shifted(key, 1), shifted(key, -1)]).collect()
            })
            .collect();
        Self { d, simplices, neighbours }
    }

    /// Number of vertices.
    pub(crate) fn vertices(&self) -> usize {
        self.neighbours[0].len()
    }

    /// Splat, blur, slice. `x` is \[N, C\]. `reverse` blurs the axes in the opposite order, which is the transpose.
    pub(crate) fn filter(&self, x: &[f32], labels: usize, reverse: bool) -> Vec<f32> {
        let vertices = self.vertices();
        let mut v = vec![0.0_f32; vertices * labels];
        for (i, simplex) in self.simplices.iter().enumerate() {
            for &(id, b) in simplex {
                for l in 0..labels {
                    v[id * labels + l] += b * x[i * labels + l];
                }
            }
        }
        for step in 0..=self.d {
            let axis = if reverse { self.d - step } else { step };
            let at = |id: Option<usize>, l: usize| id.map_or(0.0, |id| v[id * labels + l]);
            v = (0..vertices * labels)
                .map(|i| {
                    let [a, b] = self.neighbours[axis][i / labels];
                    v[i] + 0.5 * (at(a, i % labels) + at(b, i % labels))
                })
                .collect();
        }
        let alpha = 1.0 / (1.0 + 0.5_f32.powi(self.d as i32));
        let mut out = vec![0.0_f32; x.len()];
        for (i, simplex) in self.simplices.iter().enumerate() {
            for &(id, b) in simplex {
                for l in 0..labels {
                    let value = v[id * labels + l];
                    out[i * labels + l] += if labels <= 2 { b * value * alpha } else { b * alpha * value };
                }
            }
        }
        out
    }
}

/// A kernel ready for inference.
pub(crate) struct Pairwise {
    pub(crate) lattice: Lattice,
    norm: Vec<f32>,
    normalization: Normalization,
    compat: Compatibility,
}

impl Pairwise {
    pub(crate) fn new(features: &[Vec<f32>], compat: Compatibility, normalization: Normalization) -> Self {
        let lattice = Lattice::new(features);
        let norm = lattice.filter(&vec![1.0; features.len()], 1, false);
        let g = |n: f32| match normalization {
            Normalization::Symmetric => (1.0 / (f64::from(n) + 1e-20).sqrt()) as f32,
            _ => (1.0 / (f64::from(n) + 1e-20)) as f32,
        };
        Self { norm: norm.into_iter().map(g).collect(), lattice, normalization, compat }
    }

    fn message(&self, q: &[f32], labels: usize) -> Vec<f32> {
        use Normalization::{After, Before, None, Symmetric};
        let scaled = |x: &[f32]| -> Vec<f32> { x.iter().enumerate().map(|(i, v)| v * self.norm[i / labels]).collect() };
        let before = if matches!(self.normalization, Symmetric | Before) { scaled(q) } else { q.to_vec() };
        let filtered = self.lattice.filter(&before, labels, false);
        match self.normalization {
            Symmetric | After => scaled(&filtered),
            Before | None => filtered,
        }
    }

    /// The energy that the messages add, \[N, C\].
    fn energy(&self, q: &[f32], labels: usize) -> Vec<f32> {
        let message = self.message(q, labels);
        let pixels = q.len() / labels;
        match &self.compat {
            Compatibility::Potts(w) => message.iter().map(|m| -w * m).collect(),
            Compatibility::Diagonal(v) => message.iter().enumerate().map(|(i, m)| v[i % labels] * m).collect(),
            Compatibility::Matrix(w) => {
                let product = |(i, m): (usize, &[f32])| product(w, m, i < pixels / 4 * 4 && 2 * labels + pixels >= 20);
                message.chunks(labels).enumerate().flat_map(product).collect()
            }
        }
    }
}

/// W M for one pixel in the order of Eigen's matrix product: each label's sum runs straight through, except that, in
/// columns that Eigen takes four at a time, the one to three labels beyond the last packet use four interleaved sums.
fn product(w: &[f32], m: &[f32], four_columns: bool) -> Vec<f32> {
    let labels = m.len();
    let row = |l: usize| {
        let terms = (0..labels).map(|k| w[l * labels + k] * m[k]);
        if l < labels / 4 * 4 || !four_columns {
            return terms.fold(0.0, |a, t| a + t);
        }
        let mut sums = [0.0_f32; 4];
        let whole = labels / 4 * 4;
        terms.clone().take(whole).enumerate().for_each(|(k, t)| sums[k % 4] += t);
        let start = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        terms.skip(whole).fold(start, |a, t| a + t)
    };
    (0..labels).map(row).collect()
}

/// Mean-field inference, paper algorithm 1: all messages of an iteration come from the same marginals.
pub(crate) fn infer(scores: &[f32], labels: usize, kernels: &[Pairwise], iterations: usize) -> Vec<f32> {
    let mut q = scores.to_vec();
    q.chunks_mut(labels).for_each(softmax);
    for _ in 0..iterations {
        let mut t = scores.to_vec();
        for kernel in kernels {
            t.iter_mut().zip(kernel.energy(&q, labels)).for_each(|(t, e)| *t -= e);
        }
        t.chunks_mut(labels).for_each(softmax);
        q = t;
    }
    q
}

/// Position features (x, y) / sigma, and with a picture its colours / sigma.
pub(crate) fn features(width: usize, height: usize, sigmas: &[f32], rgb: &[u8]) -> Vec<Vec<f32>> {
    let pixel = |i: usize| {
        let mut f = vec![(i % width) as f32 / sigmas[0], (i / width) as f32 / sigmas[1]];
        f.extend(sigmas[2..].iter().enumerate().map(|(c, s)| f32::from(rgb[3 * i + c]) / s));
        f
    };
    (0..width * height).map(pixel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurring_backwards_is_the_adjoint_of_blurring_forwards() {
        let rgb: Vec<u8> = (0..30 * 20 * 3).map(|i| (i * 7919 % 256) as u8).collect();
        for sigmas in [&[3.0, 5.0][..], &[20.0, 20.0, 30.0, 30.0, 30.0]] {
            let lattice = Lattice::new(&features(30, 20, sigmas, &rgb));
            let drawn = |seed: usize| (0..600).map(|i| ((i + seed) * 7919 % 997) as f32 / 997.0).collect::<Vec<_>>();
            let (a, b) = (drawn(1), drawn(500));
            let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| f64::from(x * y)).sum::<f64>();
            let (left, right) = (dot(&a, &lattice.filter(&b, 1, false)), dot(&lattice.filter(&a, 1, true), &b));
            assert!((left / right - 1.0).abs() < 1e-5, "{sigmas:?}: {left} and {right}");
        }
    }
}
