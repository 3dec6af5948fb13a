//! Convolution by its definition, as a matrix product: any kernel, padding and size, at the accuracy of a plain sum.
//!
//! The input is unrolled ("im2col") block by block: a column of the unrolled matrix holds the values under the kernel at
//! one output pixel. A block of columns and a slice of its depth are unrolled into scratch memory that fits in the
//! cache, multiplied with the packed weights, and forgotten; the whole matrix never exists.

mod weight;

use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::kernel::across::{AcrossMul, suits_across};
use crate::kernel::bf16::PairRows;
use crate::kernel::gemm::{MatMul, Transpose};
use crate::kernel::rows::Finish;
use crate::kernel::scratch::Scratch;
use crate::kernel::shard::{Cut, Segment, Sharded};
use crate::kernel::simd::{Isa, Precision};
use crate::shape::{Geometry, Taps};
use crate::thin;
use crate::unroll::Unrolled;

pub(crate) use weight::backward_weight;

/// Output pixels in a block of the forward product.
const PIXELS: usize = 96;

/// Output pixels up to which the whole unrolled matrix is kept, and weights are packed where they are used; not as a rule for
/// a single [`GROUP`] of output channels, which would use it only once.
const FEW_PIXELS: usize = 1024;

/// Weights from which on so many pixels are taken at a time: each block of [`PIXELS`] would read all of them from memory.
const MANY_WEIGHTS: usize = 4 << 20;

/// Rows of the unrolled matrix in a block: an even number, for pairs.
const DEPTH: usize = 256;

/// Columns of weights that one task packs.
const PACKED_DEPTH: usize = 1024;

/// Rows of weights that are stored together, column by column.
pub(crate) const GROUP: usize = 32;

/// Rows of weights that one task takes where pixels are few.
const TASK_ROWS: usize = 256;

/// Output pixels of a block: as even as blocks of at most [`FEW_PIXELS`] can be.
fn pixels_of_a_block(g: &Geometry) -> usize {
    let pixels = g.pixels();
    pixels.div_ceil(pixels.div_ceil(FEW_PIXELS))
}

/// Weights as the rows of a product: of the forward pass, or `turned`, of the data gradient.
#[derive(Clone)]
pub(crate) struct RawWeights<'a> {
    /// `[K, C, R, S]`.
    w: &'a [f32],
    turned: bool,
    /// Rows of the product.
    rows: usize,
    /// Channels that are summed over.
    channels: usize,
    /// Values of a kernel.
    window: usize,
    /// Distances of the kernels of two rows and of two channels.
    strides: [usize; 2],
    /// The values that meet anything but padding, and what else makes a square.
    taps: Taps,
    /// Their places in a kernel as it is stored, in the order of the product.
    places: Vec<usize>,
}

impl<'a> RawWeights<'a> {
    /// What is multiplied of `w` in the forward pass, or in the data gradient; `g` is then the transposed geometry.
    pub(crate) fn new(g: &Geometry, w: &'a [f32], turned: bool) -> RawWeights<'a> {
        let (window, taps) = (g.window(), g.busy_taps());
        let at = |row: usize, column: usize| {
            let tap = row * g.kernel[1] + column;
            if turned { window - 1 - tap } else { tap }
        };
        let places = taps.rows.clone().flat_map(|row| taps.columns.clone().map(move |column| at(row, column)));
        let places = places.collect();
        let strides = g.kernel_strides(turned);
        RawWeights { w, turned, rows: g.out_channels, channels: g.channels, window, strides, taps, places }
    }

    /// Columns of the product.
    fn depth(&self) -> usize {
        self.channels * self.places.len()
    }

    /// Packs the group of rows that begins at `first`: `[depth][GROUP]`. `depth` is whole kernels if the weights are turned
    /// or some taps are left out.
    fn pack(&self, isa: Isa, first: usize, depth: Range<usize>, to: &mut [f32]) {
        let rows = GROUP.min(self.rows - first);
        let (window, each) = (self.window, self.places.len());
        let [row, channel] = self.strides;
        if !self.turned && each == window {
            let from = &self.w[first * row + depth.start..];
            let columns = depth.len();
            // The rows are too many streams for the processor to foresee.
            return isa.run(Transpose { rows, columns, from, from_stride: row, to, to_stride: GROUP, ahead: 32 });
        }
        let (nearest, farthest) = self.places.iter().fold((window, 0), |(a, b), place| (a.min(*place), b.max(*place)));
        let columns = farthest + 1 - nearest;
        let mut kernels = Scratch::take(columns * GROUP);
        for (c, to) in (depth.start / each..).zip(to.chunks_mut(each * GROUP).take(depth.len() / each)) {
            let from = &self.w[c * channel + first * row + nearest..];
            if window == 1 {
                to[..rows].copy_from_slice(&from[..rows]);
                continue;
            }
            isa.run(Transpose {
                rows,
                columns,
                from,
                from_stride: row,
                to: &mut kernels,
                to_stride: GROUP,
                ahead: channel,
            });
            for (to, place) in to.chunks_mut(GROUP).zip(&self.places) {
                to.copy_from_slice(&kernels[(place - nearest) * GROUP..][..GROUP]);
            }
        }
    }
}

/// Weights in the layout of the forward product: groups of rows, each `[depth][GROUP]` of values or pairs.
pub(crate) struct DirectWeights {
    packed: Scratch,
    precision: Precision,
    /// What is there of each kernel.
    taps: Taps,
}

impl DirectWeights {
    /// Packs all weights, for products of this precision; turned ones as f32 only.
    pub(crate) fn new(isa: Isa, raw: RawWeights, precision: Precision) -> DirectWeights {
        let share = precision.words(raw.depth()) * GROUP;
        let mut packed = Scratch::take(raw.rows.div_ceil(GROUP) * share);
        // Whole pairs of whole kernels.
        let pair = 2 * raw.places.len();
        let step = (PACKED_DEPTH / pair).max(1) * pair;
        packed.par_chunks_mut(share).enumerate().for_each(|(group, to)| {
            to.par_chunks_mut(precision.words(step) * GROUP).enumerate().for_each(|(i, to)| {
                let depth = i * step..((i + 1) * step).min(raw.depth());
                if precision == Precision::F32 {
                    return raw.pack(isa, group * GROUP, depth, to);
                }
                let mut values = Scratch::take(step * GROUP);
                raw.pack(isa, group * GROUP, depth.clone(), &mut values);
                isa.run(PairRows { rows: depth.len(), from: &values, to, stride: GROUP });
            });
        });
        DirectWeights { packed, precision, taps: raw.taps }
    }

    /// What is there of each kernel.
    pub(crate) fn taps(&self) -> &Taps {
        &self.taps
    }

    /// Groups of [`GROUP`] rows, each `[depth][GROUP]` of values or pairs.
    pub(crate) fn words(&self) -> &[f32] {
        &self.packed
    }
}

/// Where the product takes its weights from.
#[derive(Clone)]
pub(crate) enum Source<'a> {
    Packed(&'a DirectWeights),
    Raw(RawWeights<'a>),
}

impl Source<'_> {
    fn taps(&self) -> &Taps {
        match self {
            Source::Packed(packed) => &packed.taps,
            Source::Raw(raw) => &raw.taps,
        }
    }
}

/// out = x * w + bias, then the activation.
pub(crate) fn forward(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: Source,
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let g = &g.with_taps(weights.taps());
    let thin = thin::suits(g);
    let in_blocks = g.pixels() <= FEW_PIXELS || g.out_channels * g.depth() >= MANY_WEIGHTS;
    if in_blocks && g.out_channels > GROUP && !thin {
        return by_channels(isa, g, x, weights, bias, activation, out);
    }
    let made;
    let weights = match weights {
        Source::Packed(weights) => weights,
        Source::Raw(raw) => {
            made = DirectWeights::new(isa, raw, Precision::F32);
            &made
        }
    };
    // So few that vectors along them would be half empty: they run along output channels there.
    if 2 * g.pixels() <= isa.lanes() && !thin {
        return by_channels(isa, g, x, Source::Packed(weights), bias, activation, out);
    }
    if thin && weights.precision == Precision::F32 {
        thin::forward(isa, g, x, weights, bias, activation, out);
    } else {
        by_pixels(isa, g, x, weights, bias, activation, out);
    }
}

/// Each task takes a block of pixels and all output channels, and unrolls what it needs.
fn by_pixels(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &DirectWeights,
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let (depth, rows, precision) = (g.depth(), g.out_channels, weights.precision);
    let mut cut = Cut { size: [g.batch, rows, g.out_size[0], g.out_size[1]], cell: 1, cells: PIXELS, channels: rows };
    // Some blocks for each thread. The cut may follow their number, since it changes no output value.
    let share = cut.cell_count().div_ceil(2 * rayon::current_num_threads());
    cut.cells = share.next_multiple_of(isa.lanes()).min(PIXELS);
    let matrix = Unrolled::new(g, x, cut);
    let sharded = Sharded::new(out, cut);
    (0..cut.shards().0).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task, 0);
        let stride = PIXELS + 16;
        let mut unrolled = Scratch::take(precision.words(DEPTH.min(depth)) * stride);
        let mut products = Scratch::take(rows * stride);
        for d in (0..depth).step_by(DEPTH) {
            let part = d..(d + DEPTH).min(depth);
            matrix.operand(isa, precision, shard.cells.clone(), part.clone(), &mut unrolled, stride);
            let product = MatMul {
                rows,
                columns: shard.cells.len(),
                depth: precision.words(part.len()),
                a: &weights.packed[precision.words(d) * GROUP..],
                a_stride: isa.panel_rows(),
                a_step: GROUP,
                a_group: [GROUP, precision.words(depth) * GROUP],
                b: &unrolled,
                b_stride: stride,
                c: &mut products,
                c_stride: stride,
                accumulate: d > 0,
            };
            isa.run_as(precision, product);
        }
        let (segments, floor) = (cut.segments(shard.cells.clone()).collect::<Vec<_>>(), activation.floor());
        isa.run(Finish { products: &products, stride, segments: &segments, to: &mut shard, bias, floor });
    });
}

/// Block by block of at most [`FEW_PIXELS`], pixels are unrolled once, and each task takes a run of output channels, whose
/// weights it packs as it goes: weights are read from memory once a block and never written back.
fn by_channels(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: Source,
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let precision = match &weights {
        Source::Packed(packed) => packed.precision,
        Source::Raw(_) => Precision::F32,
    };
    let (depth, rows, window) = (g.depth(), g.out_channels, g.window());
    // Whole windows, so that weights are packed kernel by kernel where they cannot be packed at once.
    let step = if precision == Precision::F32 { (DEPTH / window).max(1) * window } else { DEPTH };
    let size = [g.batch, rows, g.out_size[0], g.out_size[1]];
    let block = pixels_of_a_block(g);
    let mut cut = Cut { size, cell: 1, cells: block, channels: TASK_ROWS };
    // The cut may follow the number of threads, since it changes no output value.
    let tasks = 4 * rayon::current_num_threads();
    if rows.div_ceil(TASK_ROWS) < tasks {
        cut.channels = rows.div_ceil(tasks).next_multiple_of(GROUP);
        let runs = tasks.div_ceil(cut.shards().1);
        cut.cells = block.div_ceil(runs).next_multiple_of(isa.lanes() * 3);
    }
    let (all, groups) = cut.shards();
    let runs = block.div_ceil(cut.cells);
    let stride = (runs * cut.cells).min(g.pixels()).next_multiple_of(16) + 16;
    let matrix = Unrolled::new(g, x, cut);
    let mut unrolled = Scratch::take(precision.words(depth) * stride);
    let sharded = Sharded::new(out, cut);
    for first in (0..all).step_by(runs) {
        let pixels = cut.cell_range(first).start..cut.cell_range((first + runs).min(all) - 1).end;
        unrolled.par_chunks_mut(precision.words(step) * stride).enumerate().for_each(|(i, block)| {
            let part = i * step..((i + 1) * step).min(depth);
            matrix.operand(isa, precision, pixels.clone(), part, block, stride);
        });
        let runs = runs.min(all - first);
        (0..runs * groups).into_par_iter().for_each(|task| {
            let mut shard = sharded.claim(first + task % runs, task / runs);
            let (channels, cells) = (shard.channels.clone(), shard.cells.clone());
            let c_stride = cells.len().next_multiple_of(16) + 16;
            let mut products = Scratch::take(channels.len() * c_stride);
            let across = precision == Precision::F32 && suits_across(isa, cells.len());
            let height = channels.len().next_multiple_of(GROUP);
            let mut by_pixels = Scratch::take(if across { cells.len() * height } else { 0 });
            // Groups of rows, as far as they are packed here.
            let share = step.min(depth) * GROUP;
            let mut packed = Scratch::take(channels.len().div_ceil(GROUP) * share);
            for d in (0..depth).step_by(step) {
                let part = d..(d + step).min(depth);
                let (a, distance) = match &weights {
                    Source::Packed(weights) => {
                        let group = precision.words(depth) * GROUP;
                        (&weights.packed[channels.start / GROUP * group + precision.words(d) * GROUP..], group)
                    }
                    Source::Raw(raw) => {
                        for (k, to) in channels.clone().step_by(GROUP).zip(packed.chunks_mut(share)) {
                            raw.pack(isa, k, part.clone(), to);
                        }
                        (&packed[..], share)
                    }
                };
                let b = &unrolled[precision.words(d) * stride + cells.start - pixels.start..];
                let accumulate = d > 0;
                if across {
                    isa.run(AcrossMul {
                        rows: channels.len(),
                        columns: cells.len(),
                        depth: part.len(),
                        a,
                        group: GROUP,
                        distance,
                        b,
                        b_stride: stride,
                        c: &mut by_pixels,
                        c_stride: height,
                        accumulate,
                    });
                    continue;
                }
                let product = MatMul {
                    rows: channels.len(),
                    columns: cells.len(),
                    depth: precision.words(part.len()),
                    a,
                    a_stride: isa.panel_rows(),
                    a_step: GROUP,
                    a_group: [GROUP, distance],
                    b,
                    b_stride: stride,
                    c: &mut products,
                    c_stride,
                    accumulate,
                };
                isa.run_as(precision, product);
            }
            if across {
                isa.run(Transpose {
                    rows: cells.len(),
                    columns: channels.len(),
                    from: &by_pixels,
                    from_stride: height,
                    to: &mut products,
                    to_stride: c_stride,
                    ahead: 0,
                });
            }
            let (products, floor) = (&products[..], activation.floor());
            let segments: Vec<Segment> = cut.segments(cells).collect();
            isa.run(Finish { products, stride: c_stride, segments: &segments, to: &mut shard, bias, floor });
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{self, close, noise};
    use crate::shape::Conv2dShape;

    /// Shapes that reach every border case: pads beyond the kernel, tails in every direction, tiny maps, deep sums.
    fn shapes() -> Vec<Conv2dShape> {
        let square = Conv2dShape::square;
        vec![
            square(1, [1, 1], [1, 1], 1, 0),
            square(1, [3, 8], [17, 13], 3, 1),
            square(2, [3, 40], [5, 33], 3, 1),
            square(2, [3, 5], [7, 9], 3, 10),
            square(2, [7, 3], [12, 31], 3, 0),
            square(3, [5, 70], [5, 4], 3, 1),
            square(1, [30, 40], [7, 7], 7, 3),
            square(3, [30, 40], [2, 1], 7, 3),
            square(2, [9, 33], [3, 2], 7, 5),
            square(2, [33, 21], [16, 15], 1, 0),
            square(2, [37, 150], [31, 40], 1, 0),
            square(2, [37, 30], [31, 40], 1, 0),
            square(1, [203, 21], [5, 4], 1, 0),
            square(2, [130, 32], [2, 2], 3, 1),
            square(1, [530, 21], [2, 2], 1, 0),
            square(2, [257, 262], [31, 20], 1, 0),
            square(1, [300, 530], [5, 7], 1, 0),
            Conv2dShape { kernel: [2, 5], pad: [1, 0], ..square(1, [4, 9], [10, 11], 1, 0) },
        ]
    }

    #[test]
    fn forward_and_gradients_agree_with_f64_on_every_instruction_set() {
        let mut wrong = Vec::new();
        for shape in shapes() {
            shape.check().unwrap();
            let (x, w) = (noise(1, shape.input_len()), noise(2, shape.weight_len()));
            let (dy, bias) = (noise(3, shape.output_len()), noise(4, shape.out_channels));
            let plane = shape.out_height() * shape.out_width();
            let mut want = reference::forward(&shape, &x, &w);
            want.iter_mut().enumerate().for_each(|(i, v)| {
                *v = (*v + f64::from(bias[i / plane % shape.out_channels])).max(0.0);
            });
            let (want_dx, want_dw) =
                (reference::backward_data(&shape, &dy, &w), reference::backward_weight(&shape, &x, &dy));
            for isa in Isa::available() {
                let (g, t) = (shape.geometry(), shape.geometry().transposed());
                let mut out = vec![f32::NAN; shape.output_len()];
                let raw = Source::Raw(RawWeights::new(&g, &w, false));
                forward(isa, &g, &x, raw, Some(&bias), Activation::Relu, &mut out);
                wrong.extend(close(&format!("{isa:?} raw forward {shape}"), &out, &want, 4e-7));
                let packed = DirectWeights::new(isa, RawWeights::new(&g, &w, false), Precision::F32);
                forward(isa, &g, &x, Source::Packed(&packed), Some(&bias), Activation::Relu, &mut out);
                wrong.extend(close(&format!("{isa:?} forward {shape}"), &out, &want, 4e-7));
                let packed = DirectWeights::new(isa, RawWeights::new(&g, &w, false), Precision::Bf16);
                forward(isa, &g, &x, Source::Packed(&packed), Some(&bias), Activation::Relu, &mut out);
                wrong.extend(close(&format!("{isa:?} bf16 forward {shape}"), &out, &want, 4e-3));
                let mut dx = vec![f32::NAN; shape.input_len()];
                let raw = Source::Raw(RawWeights::new(&t, &w, true));
                forward(isa, &t, &dy, raw, None, Activation::Identity, &mut dx);
                wrong.extend(close(&format!("{isa:?} data gradient {shape}"), &dx, &want_dx, 4e-7));
                let mut dw = vec![f32::NAN; shape.weight_len()];
                backward_weight(isa, &g, &x, &dy, &mut dw);
                wrong.extend(close(&format!("{isa:?} weight gradient {shape}"), &dw, &want_dw, 4e-7));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn pixels_in_blocks_and_channels_in_runs_give_the_same_bits() {
        // Kernels of 1 and of 4 values: sums are cut at the same depths both ways.
        for (kernel, pad) in [(1, 0), (2, 1)] {
            let shape = Conv2dShape::square(2, [70, 130], [31, 40], kernel, pad);
            let (g, x, w) = (shape.geometry(), noise(1, shape.input_len()), noise(2, shape.weight_len()));
            let bias = noise(3, shape.out_channels);
            assert!(g.pixels() > FEW_PIXELS, "more than one block");
            for isa in Isa::available() {
                for precision in [Precision::F32, Precision::Bf16] {
                    let packed = DirectWeights::new(isa, RawWeights::new(&g, &w, false), precision);
                    let mut results = [0; 2].map(|_| vec![f32::NAN; shape.output_len()]);
                    let [pixels, channels] = &mut results;
                    by_pixels(isa, &g, &x, &packed, Some(&bias), Activation::Relu, pixels);
                    let source = Source::Packed(&packed);
                    by_channels(isa, &g, &x, source, Some(&bias), Activation::Relu, channels);
                    assert!(pixels == channels, "{isa:?}, {precision:?}, {shape}");
                }
            }
        }
    }
}
