//! Direct products of few pixels or many weights: block by block of at most [`FEW_PIXELS`](super::blocks::FEW_PIXELS), pixels
//! are unrolled once, and each task takes a run of output channels, whose weights it packs as it goes. Weights are read from
//! memory once a block and never written back.

use rayon::prelude::*;

use super::blocks::{DEPTH, TASK_ROWS, pixels_of_a_block};
use super::rows::Finish;
use super::unroll::Unrolled;
use super::weights::{DirectWeights, GROUP, Source};
use crate::epilogue::Activation;
use crate::gemm::{MatMul, Transpose, TransposedMatMul};
use crate::memory::{Cut, Scratch, Segment, Sharded};
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};

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
    let packed;
    let weights = match weights {
        // A single group: all tasks pack a part of it, and not one all of it.
        Source::Raw(raw) if g.out_channels <= GROUP => {
            packed = DirectWeights::new(isa, raw, Precision::F32);
            Source::Packed(&packed)
        }
        weights => weights,
    };
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
            let across = precision == Precision::F32 && TransposedMatMul::suits(isa, cells.len());
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
                        (&weights.words()[channels.start / GROUP * group + precision.words(d) * GROUP..], group)
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
                    isa.run(TransposedMatMul {
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
