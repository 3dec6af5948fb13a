//! Direct products of many pixels: each task takes a block of pixels and all output channels, and unrolls what it needs.

use rayon::prelude::*;

use super::blocks::DEPTH;
use super::rows::{Finish, Interleave};
use super::unroll::Unrolled;
use super::weights::{DirectWeights, GROUP};
use crate::epilogue::Activation;
use crate::gemm::MatMul;
use crate::memory::{Cut, Scratch, Segment, Sharded};
use crate::shape::Geometry;
use crate::simd::Isa;

/// Output pixels in a block.
const PIXELS: usize = 96;

/// What becomes of a product's rows.
#[derive(Clone, Copy)]
pub(super) enum Store {
    /// Each is an output channel: the activation is applied.
    Channels(Activation),
    /// Each is a place in squares of so many pixels a side that take the place of an output pixel.
    Squares(usize),
}

impl Store {
    /// A side, in pixels, of what an output pixel of the product becomes.
    fn side(self) -> usize {
        match self {
            Store::Channels(_) => 1,
            Store::Squares(side) => side,
        }
    }
}

/// out = x * w + bias, and what is said by `store`.
pub(super) fn forward(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &DirectWeights,
    bias: Option<&[f32]>,
    store: Store,
    out: &mut [f32],
) {
    let (depth, rows, precision) = (g.depth(), g.out_channels, weights.precision);
    let (cell, [height, width]) = (store.side(), g.out_size);
    let channels = rows / (cell * cell);
    let mut cut = Cut { size: [g.batch, channels, height * cell, width * cell], cell, cells: PIXELS, channels };
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
                a: &weights.words()[precision.words(d) * GROUP..],
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
        let segments: Vec<Segment> = cut.segments(shard.cells.clone()).collect();
        let (products, segments, to) = (&products[..], &segments[..], &mut shard);
        match store {
            Store::Channels(activation) => {
                isa.run(Finish { products, stride, segments, to, bias, floor: activation.floor() });
            }
            Store::Squares(side) => isa.run(Interleave { products, stride, segments, to, side, bias }),
        }
    });
}
