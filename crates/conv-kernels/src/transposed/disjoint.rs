//! Kernels of the stride's side: each input pixel becomes a square of s x s output pixels that no other one reaches.
//!
//! Output pixel (s i + p, s j + p') of channel k is the sum over c of x[c, i, j] w[c, k, p, p']: one matrix product of the
//! pixels with the weights, [C] by [K s s], whose columns are then interleaved. Read backwards that is a 1x1 convolution from
//! K s s to C channels with the weights as they are stored: its data gradient is this forward pass, its forward pass this data
//! gradient, and its weight gradient this one.

use rayon::prelude::*;

use super::sizes::ConvTranspose2d;
use crate::conv2d::Conv2d;
use crate::direct::{self, Interleave, RawWeights, Separate};
use crate::epilogue::Activation;
use crate::memory::{Cut, Scratch, Segment, Sharded};
use crate::plan::{self, Forward, Pass};
use crate::shape::ShapeError;

/// `y` = the transposed convolution of `x`, plus the bias of each channel.
pub(super) fn forward(
    t: &ConvTranspose2d,
    conv: &Conv2d,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    let layer = conv.layer(Pass::BackwardData);
    if plan::forward(&layer).0 == Forward::Direct(direct::ForwardLoops::Pixels) {
        // Rows of the map stay rows: its pixels become squares.
        let g = conv.shape().geometry().transposed();
        direct::forward_to_squares(conv.isa(), &g, x, RawWeights::new(&g, w, true), t.stride, bias, y);
        return Ok(());
    }
    let mut maps = Scratch::take(conv.shape().input_len());
    conv.backward_data(x, w, &mut maps)?;
    let (isa, side, plane) = (conv.isa(), t.stride, t.size[0] * t.size[1]);
    let cut =
        Cut { size: [t.batch, t.out_channels, t.out_size[0], t.out_size[1]], cell: side, cells: plane, channels: 1 };
    let sharded = Sharded::new(y, cut);
    maps.par_chunks(side * side * plane).enumerate().for_each(|(i, products)| {
        let mut shard = sharded.claim(i / t.out_channels, i % t.out_channels);
        let segments: Vec<Segment> = cut.segments(shard.cells.clone()).collect();
        isa.run(Interleave { products, stride: plane, segments: &segments, to: &mut shard, side, bias });
    });
    Ok(())
}

/// `dx` = the gradient of the input.
pub(super) fn backward_data(
    t: &ConvTranspose2d,
    conv: &Conv2d,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    conv.forward(&gradient_by_phase(t, conv, dy), w, None, Activation::Identity, dx)
}

/// `dw` = the gradient of the weight.
pub(super) fn backward_weight(
    t: &ConvTranspose2d,
    conv: &Conv2d,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) -> Result<(), ShapeError> {
    conv.backward_weight(&gradient_by_phase(t, conv, dy), x, dw)
}

/// The output's gradient as maps of phases, `[N, K s s, H, W]`.
fn gradient_by_phase(t: &ConvTranspose2d, conv: &Conv2d, dy: &[f32]) -> Scratch {
    let (isa, side, plane) = (conv.isa(), t.stride, t.out_size[0] * t.out_size[1]);
    let mut maps = Scratch::take(dy.len());
    maps.par_chunks_mut(plane).zip(dy.par_chunks(plane)).for_each(|(to, from)| {
        isa.run(Separate { from, width: t.out_size[1], side, to });
    });
    maps
}
