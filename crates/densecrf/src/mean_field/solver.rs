//! Mean-field inference over the lattices (Kraehenbuehl & Koltun 2011, algorithm 1): which passes run, on how many
//! threads, over which buffers.
//!
//! On one thread, slice, softmax and splat are one pass. On several, runs of pixels are sliced and normalised side by
//! side and splatted in order, which gives the same bits.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::lattice::permutohedral::PermutohedralLattice;
use crate::mean_field::pass::{Blur, Output, PixelPass, Price, SplatRun, Term};
use crate::mean_field::pipeline::in_order;
use crate::params::{Compatibility, Mode, Normalization};
use crate::simd::{Level, Row, Task, WIDEST, WIDTHS, dispatch, dispatch_lanes};

/// A kernel ready for inference.
pub(crate) struct Pairwise {
    lattice: PermutohedralLattice,
    normalization: Normalization,
    compat: Compatibility,
    scale: OnceLock<Aligned<f32>>,
}

impl Pairwise {
    pub(crate) fn new(lattice: PermutohedralLattice, compat: Compatibility, normalization: Normalization) -> Self {
        Self { lattice, normalization, compat, scale: OnceLock::new() }
    }

    /// Number of lattice vertices.
    pub(crate) fn vertices(&self) -> usize {
        self.lattice.vertices
    }

    /// The normalisation's factor for each pixel; empty where there is none.
    fn scale(&self, level: Level) -> &[f32] {
        self.scale.get_or_init(|| {
            if self.normalization == Normalization::None {
                return Aligned::zeroed(0);
            }
            let mut n = self.lattice.filter_ones(level);
            let symmetric = self.normalization == Normalization::Symmetric;
            n.par_chunks_mut(8192).for_each(|n| dispatch_lanes(level, Invert { n, symmetric }));
            n
        })
    }

    fn term<'a>(&'a self, price: &'a Price, level: Level) -> Term<'a> {
        use Normalization::{After, Before, Symmetric};
        let part = |used: bool| if used { self.scale(level) } else { &[] };
        Term {
            lattice: &self.lattice,
            price,
            before: part(matches!(self.normalization, Symmetric | Before)),
            after: part(matches!(self.normalization, Symmetric | After)),
        }
    }

    fn price(&self, labels: usize, stride: usize) -> Price {
        match &self.compat {
            Compatibility::Potts(w) => Price::Potts(*w),
            Compatibility::Diagonal(v) => {
                let mut padded = v.clone();
                padded.resize(stride, 0.0);
                Price::Diagonal(padded)
            }
            Compatibility::Matrix(w) => {
                let mut padded = vec![0.0; labels * stride];
                for (column, out) in padded.chunks_exact_mut(stride).enumerate() {
                    (0..labels).for_each(|l| out[l] = w[l * labels + column]);
                }
                Price::Matrix(padded)
            }
        }
    }
}

/// n becomes 1 / sqrt(n) or 1 / n.
struct Invert<'a> {
    n: &'a mut [f32],
    symmetric: bool,
}

impl Task for Invert<'_> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let safe = |n: f32| f64::from(n) + 1e-20;
        if self.symmetric {
            self.n.iter_mut().for_each(|n| *n = (1.0 / safe(*n).sqrt()) as f32);
        } else {
            self.n.iter_mut().for_each(|n| *n = (1.0 / safe(*n)) as f32);
        }
    }
}

/// Row width and stride for a number of labels: the narrowest single row, or several rows of 16.
pub(crate) fn row_shape(labels: usize) -> (usize, usize) {
    let width = WIDTHS.into_iter().find(|&w| w >= labels).unwrap_or(16);
    (width, labels.next_multiple_of(width))
}

/// The image's part of a problem, with the instructions to solve it with.
pub(crate) struct Solver<'a> {
    pub(crate) labels: usize,
    pub(crate) pixels: usize,
    pub(crate) kernels: &'a [Pairwise],
    pub(crate) level: Level,
    pub(crate) mode: Mode,
}

/// Vertices whose rows are blurred by one task.
const VERTEX_RUN: usize = 512;
/// Floats of the run of pixels that a thread hands over for splatting: a fraction of a second-level cache. Tests have
/// images of few pixels and want many runs.
const RUN_FLOATS: usize = if cfg!(test) { 512 } else { 24_576 };
/// Runs that each thread may be ahead.
const RUNS_AHEAD: usize = 3;

impl Solver<'_> {
    /// Builds what inference needs beyond the lattices.
    pub(crate) fn prepare(&self) {
        self.kernels.par_iter().for_each(|k| _ = k.scale(self.level));
    }

    /// Turns scores, \[N, C\] and at least a row's width more, into the marginals after a number of iterations,
    /// \[N, C\].
    pub(crate) fn infer(&self, scores: &mut Aligned<f32>, iterations: usize) {
        self.prepare();
        match self.mode {
            Mode::Exact => self.iterate::<false>(scores, iterations),
            Mode::Fast => self.iterate::<true>(scores, iterations),
        }
        scores.truncate(self.pixels * self.labels);
    }

    fn iterate<const FAST: bool>(&self, scores: &mut [f32], iterations: usize) {
        let (_, stride) = row_shape(self.labels);
        let prices: Vec<Price> = self.kernels.iter().map(|k| k.price(self.labels, stride)).collect();
        let terms: Vec<Term<'_>> = self.kernels.iter().zip(&prices).map(|(k, p)| k.term(p, self.level)).collect();
        let values = || -> Vec<Aligned<f32>> {
            self.kernels.iter().map(|k| Aligned::zeroed((k.vertices() + 1) * stride)).collect()
        };
        let mut blurred = values();
        let run = (RUN_FLOATS / stride).clamp(16, 2048);
        if iterations > 0 {
            let mut splatted = values();
            let threads = rayon::current_num_threads();
            let slots = if threads > 1 { (RUNS_AHEAD * threads).min(self.pixels.div_ceil(run)) } else { 0 };
            let mut slots: Vec<Aligned<f32>> = (0..slots).map(|_| Aligned::zeroed(run * stride)).collect();
            for iteration in 0..iterations {
                let values = (iteration > 0).then_some(&blurred[..]);
                self.splat::<FAST>(&terms, scores, values, run, &mut slots, &mut splatted);
                let buffers = splatted.par_iter_mut().zip(&mut blurred);
                self.kernels.par_iter().zip(buffers).for_each(|(kernel, (splatted, blurred))| {
                    self.blur(&kernel.lattice, splatted, blurred);
                    std::mem::swap(splatted, blurred);
                    splatted.par_chunks_mut(VERTEX_RUN * stride).for_each(|run| run.fill(0.0));
                });
            }
        }
        // Marginals take the place of the scores, which are read from a copy: rows are read beyond their ends.
        let values = (iterations > 0).then_some(&blurred[..]);
        let copy = || Aligned::zeroed(run * self.labels + WIDEST);
        let runs = scores[..self.pixels * self.labels].par_chunks_mut(run * self.labels).enumerate();
        runs.for_each_init(copy, |copy, (i, rows)| {
            copy[..rows.len()].copy_from_slice(rows);
            let range = i * run..i * run + rows.len() / self.labels;
            self.pass::<FAST>(&terms, copy, values, range, Output::Rows(rows, self.labels));
        });
    }

    /// Slices, normalises and splats all pixels, `run` at a time through `slots` if there are several threads.
    fn splat<const FAST: bool>(
        &self,
        terms: &[Term<'_>],
        scores: &[f32],
        values: Option<&[Aligned<f32>]>,
        run: usize,
        slots: &mut [Aligned<f32>],
        targets: &mut [Aligned<f32>],
    ) {
        if slots.len() <= 1 {
            self.pass::<FAST>(terms, scores, values, 0..self.pixels, Output::Splat(targets));
            return;
        }
        let (width, stride) = row_shape(self.labels);
        let range = |i: usize| i * run..self.pixels.min((i + 1) * run);
        let produce = |i, slot: &mut Aligned<f32>| {
            let scores = &scores[i * run * self.labels..];
            self.pass::<FAST>(terms, scores, values, range(i), Output::Rows(slot, stride));
        };
        let commit = |k: usize, i, slot: &Aligned<f32>, values: &mut Aligned<f32>| {
            let (term, start, rows) = (&terms[k], i * run, &slot[..range(i).len() * stride]);
            dispatch(self.level, width, SplatRun::<FAST> { stride, term, start, rows, values });
        };
        let threads = rayon::current_num_threads();
        in_order(threads, self.pixels.div_ceil(run), slots, targets, produce, commit);
    }

    fn pass<const FAST: bool>(
        &self,
        terms: &[Term<'_>],
        scores: &[f32],
        values: Option<&[Aligned<f32>]>,
        range: Range<usize>,
        output: Output<'_>,
    ) {
        let (width, stride) = row_shape(self.labels);
        let Self { labels, pixels, .. } = *self;
        let pass = PixelPass::<FAST> { labels, stride, pixels, scores, terms, values, range, output };
        dispatch(self.level, width, pass);
    }

    /// Blurs all axes in order; the result is in `values`.
    fn blur(&self, lattice: &PermutohedralLattice, values: &mut Aligned<f32>, scratch: &mut Aligned<f32>) {
        let (width, stride) = row_shape(self.labels);
        let real = lattice.vertices * stride;
        // With a kernel for each thread, kernels are blurred side by side, and threads need not meet after each axis.
        let split = rayon::current_num_threads() > self.kernels.len();
        let run = if split { VERTEX_RUN } else { lattice.vertices };
        for axis in lattice.neighbours.chunks_exact(lattice.vertices) {
            let runs = scratch[..real].par_chunks_mut(run * stride).zip(axis.par_chunks(run));
            runs.enumerate().for_each(|(i, (out, neighbours))| {
                let blur = Blur { stride, values, neighbours, first: i * run, out };
                dispatch(self.level, width, blur);
            });
            std::mem::swap(values, scratch);
        }
    }
}
