//! The weight gradient of a direct convolution: a product of two operands that are laid out by pixels, or dot products over them.

use std::ops::Range;

use rayon::prelude::*;

use super::blocks::{GRADIENT_TASKS, TASK_ROWS, pixels_of_a_block};
use super::rows::{Finish, Gather};
use super::unroll::Unrolled;
use super::weights::GROUP;
use crate::epilogue::Activation;
use crate::gemm::{DotMul, MatMul, ONE_GROUP, Transpose};
use crate::memory::{Cut, Scratch, Segment, Sharded};
use crate::shape::Geometry;
use crate::simd::Isa;

/// Output pixels in a block of the weight gradient of many pixels.
const DOT_PIXELS: usize = 256;

/// Rows of the unrolled matrix that one task of the weight gradient owns.
const DOT_DEPTH: usize = 96;

/// Both operands of a weight gradient, to be laid out by pixels.
struct ByPixels<'a> {
    isa: Isa,
    matrix: Unrolled<'a>,
    dy: &'a [f32],
    /// Blocks of at most [`FEW_PIXELS`], and the output channels in groups of [`GROUP`].
    cut: Cut,
    /// Weights of an output channel.
    depth: usize,
}

impl<'a> ByPixels<'a> {
    fn new(isa: Isa, g: &'a Geometry, x: &'a [f32], dy: &'a [f32]) -> ByPixels<'a> {
        let size = [g.batch, g.out_channels, g.out_size[0], g.out_size[1]];
        let cut = Cut { size, cell: 1, cells: pixels_of_a_block(g), channels: GROUP };
        ByPixels { isa, matrix: Unrolled::new(g, x, cut), dy, cut, depth: g.depth() }
    }

    /// Rows of the unrolled matrix, at most [`DOT_DEPTH`], for some pixels: `[pixel][DOT_DEPTH]`.
    fn strip(&self, pixels: Range<usize>, rows: Range<usize>, to: &mut [f32]) {
        let size = [rows.len(), pixels.len()];
        if let Some((from, stride)) = self.matrix.as_they_lie(pixels.clone(), rows.clone()) {
            return self.transpose(size, from, stride, to, DOT_DEPTH);
        }
        let mut block = Scratch::take(rows.len() * pixels.len());
        self.matrix.rows(pixels.clone(), rows, &mut block, pixels.len());
        self.transpose(size, &block, pixels.len(), to, DOT_DEPTH);
    }

    /// The gradient of some groups of output channels at some pixels: `[group][pixel][GROUP]`.
    fn gradient(&self, pixels: Range<usize>, groups: Range<usize>) -> Scratch {
        let segments: Vec<Segment> = self.cut.segments(pixels.clone()).collect();
        let (stride, share) = (pixels.len(), GROUP * pixels.len());
        let (mut block, mut gradient) = (Scratch::take(share), Scratch::take(groups.len() * share));
        for (group, to) in groups.zip(gradient.chunks_mut(share)) {
            let (size, channels) = (self.cut.size, self.cut.channel_range(group));
            let rows = channels.len();
            self.isa.run(Gather { size, from: self.dy, segments: &segments, channels, to: &mut block, stride });
            self.transpose([rows, stride], &block, stride, to, GROUP);
        }
        gradient
    }

    fn transpose(
        &self,
        [rows, columns]: [usize; 2],
        from: &[f32],
        from_stride: usize,
        to: &mut [f32],
        to_stride: usize,
    ) {
        self.isa.run(Transpose { rows, columns, from, from_stride, to, to_stride, ahead: 0 });
    }

    /// The weight gradient of some output channels of a group in a strip: rows [`DOT_DEPTH`] apart.
    fn product(&self, [rows, columns]: [usize; 2], gradient: &[f32], strip: &[f32], to: &mut [f32]) {
        self.isa.run(MatMul {
            rows,
            columns,
            depth: strip.len() / DOT_DEPTH,
            a: gradient,
            a_stride: self.isa.panel_rows(),
            a_step: GROUP,
            a_group: ONE_GROUP,
            b: strip,
            b_stride: DOT_DEPTH,
            c: to,
            c_stride: DOT_DEPTH,
            accumulate: false,
        });
    }
}

/// Block by block of pixels: the unrolled matrix is laid out once, and each task takes a run of output channels.
pub(crate) fn by_blocks(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let operands = &ByPixels::new(isa, g, x, dy);
    let (cut, depth) = (operands.cut, operands.depth);
    let columns = |strip: usize| strip * DOT_DEPTH..((strip + 1) * DOT_DEPTH).min(depth);
    let groups = if dw.len() >= 4 * TASK_ROWS * depth { TASK_ROWS / GROUP } else { 1 };
    for block in 0..cut.shards().0 {
        let pixels = cut.cell_range(block);
        let share = pixels.len() * DOT_DEPTH;
        let mut unrolled = Scratch::take(depth.div_ceil(DOT_DEPTH) * share);
        unrolled
            .par_chunks_mut(share)
            .enumerate()
            .for_each(|(strip, to)| operands.strip(pixels.clone(), columns(strip), to));
        dw.par_chunks_mut(groups * GROUP * depth).enumerate().for_each(|(task, dw)| {
            let first = task * groups;
            let gradient = operands.gradient(pixels.clone(), first..first + dw.len().div_ceil(GROUP * depth));
            let mut product = Scratch::take(GROUP * DOT_DEPTH);
            for (i, strip) in unrolled.chunks(share).enumerate() {
                let columns = columns(i);
                for (gradient, dw) in gradient.chunks(GROUP * pixels.len()).zip(dw.chunks_mut(GROUP * depth)) {
                    operands.product([dw.len() / depth, columns.len()], gradient, strip, &mut product);
                    for (to, from) in dw.chunks_mut(depth).zip(product.chunks(DOT_DEPTH)) {
                        let (to, from) = (&mut to[columns.clone()], &from[..columns.len()]);
                        if block == 0 {
                            to.copy_from_slice(from);
                        } else {
                            to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
                        }
                    }
                }
            }
        });
    }
}

/// For few pixels and a single group of output channels: each task takes a strip of the unrolled matrix from the input to
/// the gradient.
pub(crate) fn by_strips(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let operands = &ByPixels::new(isa, g, x, dy);
    let (depth, k, pixels) = (operands.depth, operands.cut.size[1], operands.cut.cell_range(0));
    let gradient = operands.gradient(pixels.clone(), 0..1);
    // A row of weights as one of pixels.
    let strips = Cut { size: [1, k, 1, depth], cell: 1, cells: DOT_DEPTH, channels: k };
    let sharded = Sharded::new(dw, strips);
    (0..strips.shards().0).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task, 0);
        let columns = shard.cells.clone();
        let (mut strip, mut products) = (Scratch::take(pixels.len() * DOT_DEPTH), Scratch::take(k * DOT_DEPTH));
        operands.strip(pixels.clone(), columns.clone(), &mut strip);
        operands.product([k, columns.len()], &gradient, &strip, &mut products);
        let segments: Vec<Segment> = strips.segments(columns).collect();
        let (stride, floor) = (DOT_DEPTH, Activation::Identity.floor());
        operands.isa.run(Finish {
            products: &products,
            stride,
            segments: &segments,
            to: &mut shard,
            bias: None,
            floor,
        });
    });
}

/// Each task takes a slice of the depth and a part of the pixels; parts are added up at the end.
pub(crate) fn by_parts(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, k) = (g.depth(), g.out_channels);
    let size = [g.batch, k, g.out_size[0], g.out_size[1]];
    let pixels = g.pixels();
    let slices = depth.div_ceil(DOT_DEPTH);
    let slice = depth.div_ceil(slices);
    let parts = GRADIENT_TASKS.div_ceil(slices).min(pixels.div_ceil(DOT_PIXELS));
    let part = pixels.div_ceil(parts).next_multiple_of(DOT_PIXELS);
    let cut = Cut { size, cell: 1, cells: part, channels: k };
    let matrix = Unrolled::new(g, x, cut);
    let mut sums = Scratch::zeros(parts * slices * k * slice);
    sums.par_chunks_mut(k * slice).enumerate().for_each(|(task, sum)| {
        let rows = task % slices * slice..((task % slices + 1) * slice).min(depth);
        let range = cut.cell_range(task / slices);
        let mut unrolled = Scratch::zeros(slice * DOT_PIXELS);
        let mut gradient = Scratch::take(k * DOT_PIXELS);
        let b_rows: Vec<usize> = (0..rows.len()).map(|d| d * DOT_PIXELS).collect();
        for p in range.clone().step_by(DOT_PIXELS) {
            let block = p..(p + DOT_PIXELS).min(range.end);
            matrix.rows(block.clone(), rows.clone(), &mut unrolled, DOT_PIXELS);
            let segments: Vec<Segment> = cut.segments(block.clone()).collect();
            isa.run(Gather {
                size,
                from: dy,
                segments: &segments,
                channels: 0..k,
                to: &mut gradient,
                stride: DOT_PIXELS,
            });
            isa.run(DotMul {
                rows: k,
                columns: rows.len(),
                depth: block.len().next_multiple_of(16),
                a: &gradient,
                a_stride: DOT_PIXELS,
                b: &unrolled,
                b_rows: &b_rows,
                c: sum,
                c_stride: slice,
            });
        }
    });
    dw.par_chunks_mut(depth).enumerate().for_each(|(k_row, row)| {
        for (d, value) in row.iter_mut().enumerate() {
            let at = (d / slice * k + k_row) * slice + d % slice;
            *value = (0..parts).map(|part| sums[part * slices * k * slice + at]).sum();
        }
    });
}
