//! The pixel pass: everything that an iteration does to a pixel, in one go.
//!
//! slice all kernels -> add to the unary score -> softmax -> splat into all kernels, or write the marginals out.
//! No array of the image's size is touched but the unary scores, and with `Output::Rows` the marginals.
//! N pixels, C labels. Arrays of the image's size are \[N, C\]; everything else is in rows of `stride` lanes, whose
//! padding has score minus infinity and so probability 0.

use std::ops::Range;

use crate::aligned::Aligned;
use crate::lattice::permutohedral::PermutohedralLattice;
use crate::mean_field::exponential::multiply_add;
use crate::mean_field::softmax::{BATCH, softmax_rows};
use crate::simd::{Row, Task, prefetch};

/// How a message changes the score, padded to the stride.
pub(crate) enum Price {
    /// score + w M
    Potts(f32),
    /// score - v M, \[stride\]
    Diagonal(Vec<f32>),
    /// score - W M; W column by column, \[C, stride\]
    Matrix(Vec<f32>),
}

/// One kernel as the pass needs it.
pub(crate) struct Term<'a> {
    pub(crate) lattice: &'a PermutohedralLattice,
    pub(crate) price: &'a Price,
    /// Scale factor of each pixel before splatting; empty for none.
    pub(crate) before: &'a [f32],
    /// Scale factor of each pixel after slicing; empty for none.
    pub(crate) after: &'a [f32],
}

/// What becomes of the marginals.
pub(crate) enum Output<'a> {
    /// Splat into the lattice values of each term.
    Splat(&'a mut [Aligned<f32>]),
    /// Write rows of the given number of values, C or `stride`, one for each pixel of the range.
    Rows(&'a mut [f32], usize),
}

/// The pass over a range of pixels.
pub(crate) struct PixelPass<'a, const FAST: bool> {
    pub(crate) labels: usize,
    pub(crate) stride: usize,
    pub(crate) pixels: usize,
    /// Of the pixels of the range, \[.., C\], and at least a row's width more.
    pub(crate) scores: &'a [f32],
    pub(crate) terms: &'a [Term<'a>],
    /// Blurred values of each term, \[M + 1, stride\]; `None` for the first pass, which knows no messages.
    pub(crate) values: Option<&'a [Aligned<f32>]>,
    pub(crate) range: Range<usize>,
    pub(crate) output: Output<'a>,
}

impl<const FAST: bool> Task for PixelPass<'_, FAST> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let stride = known_stride::<R>(self.stride);
        self.batches::<R>(stride);
    }
}

/// The stride as a constant where the row width implies it, which makes every inner loop a straight line: strides of
/// more than one row occur with rows of 16 and, on processors without wide registers, of 8 lanes.
#[inline(always)]
fn known_stride<R: Row>(stride: usize) -> usize {
    if matches!(R::LANES, 4 | 24 | 32) { R::LANES } else { stride }
}

/// Floats of a batch of rows: a quarter of a usual first-level cache.
const BATCH_FLOATS: usize = 2048;

/// Asks for what a pass over pixels from `first` on reads but once of some of them. Asking for the vertices' rows too costs
/// more than it saves, and so does asking for much at a time, which holds up what else is read.
#[inline(always)]
fn prefetch_pixels(scores: &[f32], labels: usize, terms: &[Term<'_>], first: usize, range: Range<usize>) {
    prefetch(&scores[(range.start - first) * labels..(range.end - first) * labels]);
    for lattice in terms.iter().map(|t| t.lattice) {
        let range = range.start * lattice.simplex..range.end * lattice.simplex;
        prefetch(&lattice.weights[range.clone()]);
        prefetch(&lattice.corners[range]);
    }
}

impl<const FAST: bool> PixelPass<'_, FAST> {
    /// Runs each step over a batch of pixels before the next step, for the reason given at [`softmax_rows`].
    #[inline(always)]
    fn batches<R: Row>(self, stride: usize) {
        let Self { labels, pixels, scores, terms, values, range, mut output, .. } = self;
        let batch = (BATCH_FLOATS / stride).clamp(1, BATCH);
        let mut buffer = Aligned::zeroed(batch * stride);
        let shares = 2 * terms.len() + 2;
        let mut messages = Aligned::zeroed(batch * stride);
        // Eigen multiplies a matrix by four columns at a time unless the product is tiny.
        let in_fours = if 2 * labels + pixels >= 20 { pixels / 4 * 4 } else { 0 };
        // Adding a row of these keeps the labels, to the sign of zero, and makes the padding impossible.
        let mut padding = Aligned::zeroed(stride);
        padding[..labels].fill(-0.0);
        padding[labels..].fill(f32::NEG_INFINITY);
        for start in range.clone().step_by(batch) {
            let count = batch.min(range.end - start);
            let end = start + count;
            let next = |share: usize| {
                let at = |share: usize| (end + batch * share / shares).min(range.end);
                prefetch_pixels(scores, labels, terms, range.start, at(share)..at(share + 1));
            };
            next(0);
            let t = &mut buffer[..count * stride];
            for (row, pixel) in t.chunks_exact_mut(stride).zip(start - range.start..) {
                for block in (0..stride).step_by(R::LANES) {
                    let score = R::load(scores, pixel * labels + block);
                    score.add(R::load(&padding, block)).store(row, block);
                }
            }
            for ((term, values), share) in terms.iter().zip(values.unwrap_or_default()).zip(1..) {
                next(share);
                let matrix = if let Price::Matrix(w) = term.price { Some(w) } else { None };
                let out = if matrix.is_some() { &mut messages[..count * stride] } else { &mut *t };
                if term.lattice.simplex == 3 {
                    slice::<R, 3, FAST>(term, values, start, labels <= 2, stride, out);
                } else {
                    slice::<R, 6, FAST>(term, values, start, labels <= 2, stride, out);
                }
                let rows = t.chunks_exact_mut(stride).zip(messages.chunks_exact(stride));
                for (w, (i, (t, message))) in matrix.into_iter().cycle().zip((start..).zip(rows)) {
                    subtract_product::<R, FAST>(w, message, t, labels, i < in_fours);
                }
            }
            next(terms.len() + 1);
            softmax_rows::<R, FAST>(t, stride, labels);
            match &mut output {
                Output::Rows(rows, width) => {
                    (terms.len() + 2..shares).for_each(next);
                    let rows = rows[(start - range.start) * *width..].chunks_exact_mut(*width);
                    for (out, row) in rows.zip(t.chunks_exact(stride)) {
                        out.copy_from_slice(&row[..*width]);
                    }
                }
                Output::Splat(targets) => {
                    for ((term, target), share) in terms.iter().zip(targets.iter_mut()).zip(terms.len() + 2..) {
                        next(share);
                        splat::<R, FAST>(term, target, start, stride, t);
                    }
                }
            }
        }
    }
}

/// Vertices and weights of the pixels from `start` on.
#[inline(always)]
fn simplices<'a, const D: usize>(term: &Term<'a>, start: usize) -> impl Iterator<Item = (&'a [u32; D], &'a [f32; D])> {
    let PermutohedralLattice { corners, weights, .. } = term.lattice;
    corners[start * D..].as_chunks().0.iter().zip(weights[start * D..].as_chunks().0)
}

/// Adds the messages of one term to the scores `t` of the pixels from `start` on, or, for a matrix price, writes them
/// to `t`.
#[inline(always)]
fn slice<R: Row, const D: usize, const FAST: bool>(
    term: &Term<'_>,
    values: &[f32],
    start: usize,
    small: bool,
    stride: usize,
    t: &mut [f32],
) {
    let alpha = term.lattice.alpha();
    for (row, (t, (corners, weights))) in t.chunks_exact_mut(stride).zip(simplices::<D>(term, start)).enumerate() {
        let after = if term.after.is_empty() { 1.0 } else { term.after[start + row] };
        let after = if FAST { after * alpha } else { after };
        for block in (0..stride).step_by(R::LANES) {
            let mut acc = R::splat(0.0);
            for (&corner, &weight) in corners.iter().zip(weights) {
                let v = R::load(values, corner as usize * stride + block);
                acc = if FAST {
                    v.fused(R::splat(weight), acc)
                } else if small {
                    acc.add(R::splat(weight).mul(v).mul(R::splat(alpha)))
                } else {
                    acc.add(R::splat(weight * alpha).mul(v))
                };
            }
            let message = acc.mul(R::splat(after));
            let old = R::load(t, block);
            let new = match term.price {
                Price::Potts(w) => multiply_add::<R, FAST>(message, R::splat(*w), old),
                Price::Diagonal(v) => old.sub(R::load(v, block).mul(message)),
                Price::Matrix(_) => message,
            };
            new.store(t, block);
        }
    }
}

/// t -= W m, in the order of Eigen's matrix product: see `oracle::product`.
#[inline(always)]
fn subtract_product<R: Row, const FAST: bool>(w: &[f32], m: &[f32], t: &mut [f32], labels: usize, four_columns: bool) {
    let stride = t.len();
    let packed = labels / 4 * 4;
    let mut tail = [0.0_f32; 3];
    for (l, out) in (packed..labels).zip(&mut tail) {
        let mut sums = [0.0_f32; 4];
        for k in 0..packed {
            sums[k % 4] += w[k * stride + l] * m[k];
        }
        let start = (sums[0] + sums[1]) + (sums[2] + sums[3]);
        *out = t[l] - (packed..labels).fold(start, |a, k| a + w[k * stride + l] * m[k]);
    }
    for block in (0..stride).step_by(R::LANES) {
        let mut acc = R::splat(0.0);
        for (k, &x) in m[..labels].iter().enumerate() {
            acc = multiply_add::<R, FAST>(R::load(w, k * stride + block), R::splat(x), acc);
        }
        R::load(t, block).sub(acc).store(t, block);
    }
    if !FAST && four_columns {
        t[packed..labels].copy_from_slice(&tail[..labels - packed]);
    }
}

/// Adds the marginals `q` of the pixels from `start` on to the values of their vertices.
#[inline(always)]
fn splat<R: Row, const FAST: bool>(term: &Term<'_>, values: &mut [f32], start: usize, stride: usize, q: &[f32]) {
    if term.lattice.simplex == 3 {
        splat_simplices::<R, 3, FAST>(term, values, start, stride, q);
    } else {
        splat_simplices::<R, 6, FAST>(term, values, start, stride, q);
    }
}

#[inline(always)]
fn splat_simplices<R: Row, const D: usize, const FAST: bool>(
    term: &Term<'_>,
    values: &mut [f32],
    start: usize,
    stride: usize,
    q: &[f32],
) {
    for (row, (q, (corners, weights))) in q.chunks_exact(stride).zip(simplices::<D>(term, start)).enumerate() {
        let before = if term.before.is_empty() { 1.0 } else { term.before[start + row] };
        for block in (0..stride).step_by(R::LANES) {
            let x = R::load(q, block).mul(R::splat(before));
            for (&corner, &weight) in corners.iter().zip(weights) {
                let at = corner as usize * stride + block;
                multiply_add::<R, FAST>(R::splat(weight), x, R::load(values, at)).store(values, at);
            }
        }
    }
}

/// Splats a run of marginals that a [`PixelPass`] wrote out.
pub(crate) struct SplatRun<'a, const FAST: bool> {
    pub(crate) stride: usize,
    pub(crate) term: &'a Term<'a>,
    /// The first pixel of the run.
    pub(crate) start: usize,
    /// \[pixels of the run, stride\]
    pub(crate) rows: &'a [f32],
    pub(crate) values: &'a mut [f32],
}

impl<const FAST: bool> Task for SplatRun<'_, FAST> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let stride = known_stride::<R>(self.stride);
        splat::<R, FAST>(self.term, self.values, self.start, stride, self.rows);
    }
}

/// Blur along one axis: out = v + (v\[n1\] + v\[n2\]) / 2 for a run of vertices.
pub(crate) struct Blur<'a> {
    pub(crate) stride: usize,
    /// \[M + 1, stride\]; the last row is zero.
    pub(crate) values: &'a [f32],
    /// Neighbours of the vertices from `first` on.
    pub(crate) neighbours: &'a [[u32; 2]],
    pub(crate) first: usize,
    pub(crate) out: &'a mut [f32],
}

impl Task for Blur<'_> {
    #[inline(always)]
    fn run<R: Row>(self) {
        let stride = known_stride::<R>(self.stride);
        self.rows::<R>(stride);
    }
}

impl Blur<'_> {
    #[inline(always)]
    fn rows<R: Row>(self, stride: usize) {
        let half = R::splat(0.5);
        for (row, n) in self.neighbours.iter().enumerate() {
            for block in (0..stride).step_by(R::LANES) {
                let at = |vertex: usize| R::load(self.values, vertex * stride + block);
                let sum = at(n[0] as usize).add(at(n[1] as usize));
                at(self.first + row).add(half.mul(sum)).store(self.out, row * stride + block);
            }
        }
    }
}
