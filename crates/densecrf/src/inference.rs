//! Mean-field inference over the lattices (Kraehenbuehl & Koltun 2011, algorithm 1): which passes run, on how many
//! threads, over which buffers.
//!
//! In exact mode slice, softmax and splat are one pass on one thread; on several, runs of pixels are sliced and
//! normalised side by side and splatted in order, which gives the same bits. In fast mode the image is cut into the same
//! few stripes for any number of threads, which are splatted side by side: see `tiles`.

use std::ops::Range;
use std::sync::OnceLock;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::lattice::PermutohedralLattice;
use crate::pass::{Blur, Output, PixelPass, Price, SplatRun, Term};
use crate::pipeline::in_order;
use crate::simd::{Level, PlainTask, WIDTHS, dispatch, dispatch_plain};
use crate::tiles::{self, Join, Plan, StripePass, Tiling};
use crate::{Compatibility, Mode, Normalization};

/// A kernel ready for inference.
pub(crate) struct Pairwise {
    lattice: PermutohedralLattice,
    normalization: Normalization,
    compat: Compatibility,
    scale: OnceLock<Aligned<f32>>,
    plan: OnceLock<Plan>,
}

impl Pairwise {
    pub(crate) fn new(lattice: PermutohedralLattice, compat: Compatibility, normalization: Normalization) -> Self {
        Self { lattice, normalization, compat, scale: OnceLock::new(), plan: OnceLock::new() }
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
            n.par_chunks_mut(8192).for_each(|n| dispatch_plain(level, Invert { n, symmetric }));
            n
        })
    }

    /// The order of fast mode.
    fn plan(&self, tiling: Tiling) -> &Plan {
        self.plan.get_or_init(|| Plan::new(&self.lattice, tiling))
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

impl PlainTask for Invert<'_> {
    #[inline(always)]
    fn run(self) {
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
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) scores: &'a [f32],
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
        self.kernels.par_iter().for_each(|kernel| {
            kernel.scale(self.level);
            if self.mode == Mode::Fast {
                kernel.plan(self.tiling());
            }
        });
    }

    /// Marginals \[N, C\] after a number of iterations.
    pub(crate) fn infer(&self, iterations: usize) -> Aligned<f32> {
        self.prepare();
        match self.mode {
            Mode::Exact => self.exact(iterations),
            Mode::Fast => self.fast(iterations),
        }
    }

    fn prices(&self) -> Vec<Price> {
        let (_, stride) = row_shape(self.labels);
        self.kernels.iter().map(|k| k.price(self.labels, stride)).collect()
    }

    fn exact(&self, iterations: usize) -> Aligned<f32> {
        let (_, stride) = row_shape(self.labels);
        let prices = self.prices();
        let terms: Vec<Term<'_>> = self.kernels.iter().zip(&prices).map(|(k, p)| k.term(p, self.level)).collect();
        let values = || -> Vec<Aligned<f32>> {
            self.kernels.iter().map(|k| Aligned::zeroed((k.vertices() + 1) * stride)).collect()
        };
        let mut blurred = values();
        if iterations > 0 {
            let mut splatted = values();
            let threads = rayon::current_num_threads();
            let run = (RUN_FLOATS / stride).clamp(16, 2048);
            let slots = if threads > 1 { (RUNS_AHEAD * threads).min(self.pixels().div_ceil(run)) } else { 0 };
            let mut slots: Vec<Aligned<f32>> = (0..slots).map(|_| Aligned::zeroed(run * stride)).collect();
            for iteration in 0..iterations {
                let values = (iteration > 0).then_some(&blurred[..]);
                self.splat(&terms, values, run, &mut slots, &mut splatted);
                let buffers = splatted.par_iter_mut().zip(&mut blurred);
                self.kernels.par_iter().zip(buffers).for_each(|(kernel, (splatted, blurred))| {
                    let PermutohedralLattice { neighbours, vertices, .. } = &kernel.lattice;
                    self.blur(neighbours, *vertices, &[(0..*vertices, 0)], splatted, blurred);
                });
            }
        }
        let mut rows = Aligned::zeroed(self.pixels() * self.labels);
        let run = 4096;
        rows.par_chunks_mut(run * self.labels).enumerate().for_each(|(i, rows)| {
            let range = i * run..i * run + rows.len() / self.labels;
            self.pass(&terms, (iterations > 0).then_some(&blurred), range, Output::Rows(rows, self.labels));
        });
        rows
    }

    fn fast(&self, iterations: usize) -> Aligned<f32> {
        let (width, stride) = row_shape(self.labels);
        let prices = self.prices();
        let terms: Vec<Term<'_>> = self.kernels.iter().zip(&prices).map(|(k, p)| k.term(p, self.level)).collect();
        let tiling = self.tiling();
        let plans: Vec<&Plan> = self.kernels.iter().map(|k| k.plan(tiling)).collect();
        let regions: Vec<Vec<_>> = plans.iter().map(|p| p.regions().collect()).collect();
        let values = || -> Vec<Aligned<f32>> { plans.iter().map(|p| Aligned::zeroed((p.rows + 1) * stride)).collect() };
        let mut blurred = values();
        if iterations > 0 {
            let mut splatted = values();
            for iteration in 0..iterations {
                let values = (iteration > 0).then_some(&blurred[..]);
                let mut targets: Vec<Vec<&mut [f32]>> = (0..tiling.stripes()).map(|_| Vec::new()).collect();
                for (plan, splatted) in plans.iter().zip(&mut splatted) {
                    targets.iter_mut().zip(plan.split(splatted, stride)).for_each(|(all, part)| all.push(part));
                }
                let stripes = targets.into_par_iter().with_max_len(1).enumerate();
                stripes.for_each(|(stripe, targets)| {
                    self.stripe_pass(&terms, &plans, stripe, values, tiles::Output::Splat(targets));
                });
                let buffers = splatted.par_iter_mut().zip(&mut blurred);
                plans.par_iter().zip(self.kernels).zip(&regions).zip(buffers).for_each(
                    |(((plan, kernel), regions), (splatted, blurred))| {
                        dispatch(self.level, width, Join { stride, plan, values: splatted });
                        self.blur(&plan.neighbours, kernel.vertices(), regions, splatted, blurred);
                    },
                );
            }
        }
        let mut rows = Aligned::zeroed(self.pixels() * self.labels);
        rows.par_chunks_mut(tiling.stripe_pixels() * self.labels).with_max_len(1).enumerate().for_each(
            |(stripe, rows)| {
                let values = (iterations > 0).then_some(&blurred[..]);
                self.stripe_pass(&terms, &plans, stripe, values, tiles::Output::Rows(rows));
            },
        );
        rows
    }

    fn tiling(&self) -> Tiling {
        Tiling::new(self.width, self.height, row_shape(self.labels).1)
    }

    fn pixels(&self) -> usize {
        self.width * self.height
    }

    /// Slices, normalises and splats all pixels, `run` at a time through `slots` if there are several threads.
    fn splat(
        &self,
        terms: &[Term<'_>],
        values: Option<&[Aligned<f32>]>,
        run: usize,
        slots: &mut [Aligned<f32>],
        targets: &mut [Aligned<f32>],
    ) {
        if slots.len() <= 1 {
            self.pass(terms, values, 0..self.pixels(), Output::Splat(targets));
            return;
        }
        let (width, stride) = row_shape(self.labels);
        let range = |i: usize| i * run..self.pixels().min((i + 1) * run);
        let produce = |i, slot: &mut Aligned<f32>| {
            self.pass(terms, values, range(i), Output::Rows(slot, stride));
        };
        let commit = |k: usize, i, slot: &Aligned<f32>, values: &mut Aligned<f32>| {
            let (term, start, rows) = (&terms[k], i * run, &slot[..range(i).len() * stride]);
            dispatch(self.level, width, SplatRun { stride, term, start, rows, values });
        };
        let threads = rayon::current_num_threads();
        in_order(threads, self.pixels().div_ceil(run), slots, targets, produce, commit);
    }

    fn pass(&self, terms: &[Term<'_>], values: Option<&[Aligned<f32>]>, range: Range<usize>, output: Output<'_>) {
        let (width, stride) = row_shape(self.labels);
        let Self { labels, scores, .. } = *self;
        let pass = PixelPass { labels, stride, pixels: self.pixels(), scores, terms, values, range, output };
        dispatch(self.level, width, pass);
    }

    fn stripe_pass(
        &self,
        terms: &[Term<'_>],
        plans: &[&Plan],
        stripe: usize,
        values: Option<&[Aligned<f32>]>,
        output: tiles::Output<'_>,
    ) {
        let (width, stride) = row_shape(self.labels);
        let Self { labels, scores, level, .. } = *self;
        let tiling = self.tiling();
        let pass = StripePass { labels, stride, scores, terms, plans, tiling, stripe, values, output };
        dispatch(level, width, pass);
    }

    /// Blurs `splatted` along all axes in order into `blurred`, and makes `splatted` zero. `neighbours` are rows,
    /// \[D, M\]; the rows of each of the `regions` of vertices start where it says.
    fn blur(
        &self,
        neighbours: &[[u32; 2]],
        vertices: usize,
        regions: &[(Range<usize>, usize)],
        splatted: &mut Aligned<f32>,
        blurred: &mut Aligned<f32>,
    ) {
        let (width, stride) = row_shape(self.labels);
        // With a kernel for each thread, kernels are blurred side by side, and threads need not meet after each axis.
        let split = rayon::current_num_threads() > self.kernels.len();
        for axis in neighbours.chunks_exact(vertices) {
            for (own, row) in regions {
                let run = if split { VERTEX_RUN } else { own.len().max(1) };
                let out = &mut blurred[row * stride..][..own.len() * stride];
                let runs = out.par_chunks_mut(run * stride).zip(axis[own.clone()].par_chunks(run));
                runs.enumerate().for_each(|(i, (out, neighbours))| {
                    let blur = Blur { stride, values: splatted, neighbours, first: row + i * run, out };
                    dispatch(self.level, width, blur);
                });
            }
            std::mem::swap(splatted, blurred);
        }
        std::mem::swap(splatted, blurred);
        splatted.par_chunks_mut(VERTEX_RUN * stride).for_each(|run| run.fill(0.0));
    }
}
