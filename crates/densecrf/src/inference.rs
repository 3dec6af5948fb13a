//! Mean-field inference over the lattices (Kraehenbuehl & Koltun 2011, algorithm 1): which passes run, on how many
//! threads, over which buffers.
//!
//! One thread: slice, softmax and splat are one pass. Several threads, exact: the marginals are written out and each
//! vertex gathers its pixels in order. Several threads, fast: each thread splats into lattices of its own, which are
//! then added in a fixed order.

use std::sync::OnceLock;

use rayon::prelude::*;

use crate::aligned::AlignedRows;
use crate::lattice::PermutohedralLattice;
use crate::pass::{Blur, Gather, Output, PixelPass, Price, Term, Transposed};
use crate::simd::{Level, WIDTHS, dispatch};
use crate::{Compatibility, Mode, Normalization};

/// A kernel ready for inference.
pub(crate) struct Pairwise {
    lattice: PermutohedralLattice,
    normalization: Normalization,
    compat: Compatibility,
    scale: OnceLock<Vec<f32>>,
    transposed: OnceLock<Transposed>,
}

impl Pairwise {
    pub(crate) fn new(lattice: PermutohedralLattice, compat: Compatibility, normalization: Normalization) -> Self {
        let (scale, transposed) = (OnceLock::new(), OnceLock::new());
        Self { lattice, normalization, compat, scale, transposed }
    }

    /// Number of lattice vertices.
    pub(crate) fn vertices(&self) -> usize {
        self.lattice.vertices
    }

    /// The normalisation's factor for each pixel; empty where there is none.
    fn scale(&self) -> &[f32] {
        self.scale.get_or_init(|| {
            let mut n = match self.normalization {
                Normalization::None => Vec::new(),
                _ => self.lattice.filter_ones(),
            };
            match self.normalization {
                Normalization::Symmetric => {
                    n.par_iter_mut().for_each(|n| *n = (1.0 / (f64::from(*n) + 1e-20).sqrt()) as f32);
                }
                _ => n.par_iter_mut().for_each(|n| *n = (1.0 / (f64::from(*n) + 1e-20)) as f32),
            }
            n
        })
    }

    fn transposed(&self) -> &Transposed {
        self.transposed.get_or_init(|| Transposed::new(&self.lattice))
    }

    fn term<'a>(&'a self, price: &'a Price) -> Term<'a> {
        use Normalization::{After, Before, Symmetric};
        let part = |used: bool| if used { self.scale() } else { &[] };
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

/// Row width and stride for a number of labels: the narrowest single row, or several rows of 16.
pub(crate) fn row_shape(labels: usize) -> (usize, usize) {
    let width = WIDTHS.into_iter().find(|&w| w >= labels).unwrap_or(16);
    (width, labels.next_multiple_of(width))
}

/// The image's part of a problem, with the instructions to solve it with.
pub(crate) struct Solver<'a> {
    pub(crate) labels: usize,
    pub(crate) scores: &'a [f32],
    pub(crate) kernels: &'a [Pairwise],
    pub(crate) level: Level,
    pub(crate) mode: Mode,
}

/// Vertices whose rows are blurred or gathered by one task.
const VERTEX_RUN: usize = 512;
/// Pixels of one task where marginals are written out.
const PIXEL_RUN: usize = 2048;

impl Solver<'_> {
    /// Builds what `mode` needs beyond the lattices.
    pub(crate) fn prepare(&self) {
        let gathers = self.mode == Mode::Exact && rayon::current_num_threads() > 1;
        self.kernels.par_iter().for_each(|k| {
            let scale = || _ = k.scale();
            let transpose = || _ = gathers.then(|| k.transposed());
            rayon::join(scale, transpose);
        });
    }

    /// Marginals \[N, stride\] after a number of iterations.
    pub(crate) fn infer(&self, iterations: usize) -> Vec<f32> {
        self.prepare();
        match self.mode {
            Mode::Exact if rayon::current_num_threads() > 1 => self.gathering(iterations),
            Mode::Exact => self.splatting::<false>(iterations),
            Mode::Fast => self.splatting::<true>(iterations),
        }
    }

    fn shape(&self) -> (usize, usize, usize) {
        let (width, stride) = row_shape(self.labels);
        (width, stride, self.scores.len() / stride)
    }

    fn prices(&self) -> Vec<Price> {
        let (_, stride, _) = self.shape();
        self.kernels.iter().map(|k| k.price(self.labels, stride)).collect()
    }

    /// One zeroed set of lattice values.
    fn values(&self) -> Vec<AlignedRows> {
        let (_, stride, _) = self.shape();
        self.kernels.iter().map(|k| AlignedRows::zeroed((k.vertices() + 1) * stride)).collect()
    }

    /// Marginals written out for all pixels.
    fn write<const FAST: bool>(&self, terms: &[Term<'_>], values: Option<&[AlignedRows]>, rows: &mut [f32]) {
        let (width, stride, _) = self.shape();
        rows.par_chunks_mut(PIXEL_RUN * stride).enumerate().for_each(|(run, rows)| {
            let start = run * PIXEL_RUN;
            let range = start..start + rows.len() / stride;
            let (labels, scores, output) = (self.labels, self.scores, Output::Rows(rows));
            let pass = PixelPass::<FAST> { labels, stride, scores, terms, values, range, output };
            dispatch(self.level, width, pass);
        });
    }

    /// Several threads, the same bits as one.
    fn gathering(&self, iterations: usize) -> Vec<f32> {
        let (width, stride, pixels) = self.shape();
        let prices = self.prices();
        let terms: Vec<Term<'_>> = self.kernels.iter().zip(&prices).map(|(k, p)| k.term(p)).collect();
        let (mut values, mut scratch) = (self.values(), self.values());
        let mut rows = vec![0.0; pixels * stride];
        self.write::<false>(&terms, None, &mut rows);
        for _ in 0..iterations {
            for (k, (kernel, term)) in self.kernels.iter().zip(&terms).enumerate() {
                let transposed = kernel.transposed();
                let real = kernel.vertices() * stride;
                values[k][..real].par_chunks_mut(VERTEX_RUN * stride).enumerate().for_each(|(run, out)| {
                    let (first, before, rows) = (run * VERTEX_RUN, term.before, &rows);
                    let gather = Gather { stride, transposed, before, rows, first, out };
                    dispatch(self.level, width, gather);
                });
                self.blur(&kernel.lattice, &mut values[k], &mut scratch[k]);
            }
            self.write::<false>(&terms, Some(&values), &mut rows);
        }
        rows
    }

    /// Blurs all axes in order; the result is in `values`.
    fn blur(&self, lattice: &PermutohedralLattice, values: &mut AlignedRows, scratch: &mut AlignedRows) {
        let (width, stride, _) = self.shape();
        let real = lattice.vertices * stride;
        for axis in lattice.neighbours.chunks_exact(lattice.vertices) {
            let runs = scratch[..real].par_chunks_mut(VERTEX_RUN * stride).zip(axis.par_chunks(VERTEX_RUN));
            runs.enumerate().for_each(|(run, (out, neighbours))| {
                let blur = Blur { stride, values, neighbours, first: run * VERTEX_RUN, out };
                dispatch(self.level, width, blur);
            });
            std::mem::swap(values, scratch);
        }
    }

    /// Each thread splats a run of pixels into values of its own; with one thread there is one run and nothing to add.
    fn splatting<const FAST: bool>(&self, iterations: usize) -> Vec<f32> {
        let (width, stride, pixels) = self.shape();
        let prices = self.prices();
        let terms: Vec<Term<'_>> = self.kernels.iter().zip(&prices).map(|(k, p)| k.term(p)).collect();
        let parts = rayon::current_num_threads().min(pixels.div_ceil(PIXEL_RUN));
        let mut blurred = self.values();
        let mut targets: Vec<Vec<AlignedRows>> = (0..parts).map(|_| self.values()).collect();
        for iteration in 0..iterations {
            let values = (iteration > 0).then_some(&blurred[..]);
            targets.par_iter_mut().enumerate().for_each(|(part, target)| {
                let range = part * pixels / parts..(part + 1) * pixels / parts;
                target.iter_mut().for_each(|values| values.fill(0.0));
                let (labels, scores, terms, output) = (self.labels, self.scores, &terms[..], Output::Splat(target));
                let pass = PixelPass::<FAST> { labels, stride, scores, terms, values, range, output };
                dispatch(self.level, width, pass);
            });
            let (first, others) = targets.split_at_mut(1);
            for (k, kernel) in self.kernels.iter().enumerate() {
                first[0][k].par_chunks_mut(VERTEX_RUN * stride).enumerate().for_each(|(run, sum)| {
                    for other in others.iter() {
                        let other = &other[k][run * VERTEX_RUN * stride..];
                        sum.iter_mut().zip(other).for_each(|(s, o)| *s += o);
                    }
                });
                self.blur(&kernel.lattice, &mut first[0][k], &mut blurred[k]);
                std::mem::swap(&mut first[0][k], &mut blurred[k]);
            }
        }
        drop(targets);
        let mut rows = vec![0.0; pixels * stride];
        self.write::<FAST>(&terms, (iterations > 0).then_some(&blurred[..]), &mut rows);
        rows
    }
}
