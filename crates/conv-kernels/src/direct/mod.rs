//! Convolution by its definition, as a matrix product: any kernel, padding and size, at the accuracy of a plain sum.
//!
//! ```text
//! blocks, weights, rows -> unroll -> by_pixels, by_channels, short_sums, gradient
//! ```
//!
//! In go the input, the weights ([`Source`]: as stored or packed) and an epilogue; out goes the output, or the gradient of the
//! weights. The input is unrolled ("im2col") block by block: a column of the unrolled matrix holds the values under the kernel at
//! one output pixel. A block of columns and a slice of its depth are unrolled into scratch memory that fits in the cache,
//! multiplied with the packed weights, and forgotten; the whole matrix never exists.
//!
//! The files differ in what a task takes: a block of pixels (`by_pixels`), a run of output channels (`by_channels`), or lines of
//! the padded image that are not unrolled at all (`short_sums`). Which it is, is said by the caller; the reasons are in the
//! table of `plan`.
//!
//! Chellapilla, Puri and Simard, "High Performance Convolutional Neural Networks for Document Processing", 2006 (unrolling).

mod blocks;
mod by_channels;
mod by_pixels;
mod gradient;
#[allow(unsafe_code)]
mod rows;
mod short_sums;
mod unroll;
mod weights;

pub(crate) use blocks::FEW_PIXELS;
pub(crate) use rows::{Interleave, Separate};
pub(crate) use weights::{DirectWeights, GROUP, RawWeights, Source};

use crate::epilogue::Epilogue;
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};
use by_pixels::Store;

/// How the forward pass and the data gradient share out their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardLoops {
    /// By lines of padded images: for sums of a few f32 values.
    ShortSums,
    /// By runs of output channels.
    Channels,
    /// By blocks of pixels.
    Pixels,
}

/// How the weight gradient shares out its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GradientLoops {
    /// By lines of padded images.
    ShortSums,
    /// By strips of weights: for one group of output channels and few pixels.
    Strips,
    /// Block by block of pixels, each by runs of output channels.
    Blocks,
    /// By parts of the pixels, whose sums are added up at the end.
    Parts,
}

/// `out = activation(x * w + bias)`. With turned weights and the transposed geometry it is the data gradient.
pub(crate) fn forward(
    loops: ForwardLoops,
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: Source,
    epilogue: Epilogue,
    out: &mut [f32],
) {
    let (bias, activation) = (epilogue.bias, epilogue.activation);
    let g = &g.with_taps(weights.taps());
    if loops == ForwardLoops::Channels {
        return by_channels::forward(isa, g, x, weights, bias, activation, out);
    }
    let packed;
    let weights = match weights {
        Source::Packed(weights) => weights,
        Source::Raw(raw) => {
            packed = DirectWeights::new(isa, raw, Precision::F32);
            &packed
        }
    };
    if loops == ForwardLoops::ShortSums {
        short_sums::forward(isa, g, x, weights, bias, activation, out);
    } else {
        by_pixels::forward(isa, g, x, weights, bias, Store::Channels(activation), out);
    }
}

/// out = x * w + bias by blocks of pixels, where the output channels of the product are the places in squares of `side` pixels a
/// side that take the place of its pixels.
pub(crate) fn forward_to_squares(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: RawWeights,
    side: usize,
    bias: Option<&[f32]>,
    out: &mut [f32],
) {
    let weights = DirectWeights::new(isa, weights, Precision::F32);
    by_pixels::forward(isa, g, x, &weights, bias, Store::Squares(side), out);
}

/// dw = sum over images and pixels of dy and the input under the kernel.
pub(crate) fn backward_weight(loops: GradientLoops, isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let backward = match loops {
        GradientLoops::ShortSums => short_sums::backward_weight,
        GradientLoops::Strips => gradient::by_strips,
        GradientLoops::Blocks => gradient::by_blocks,
        GradientLoops::Parts => gradient::by_parts,
    };
    backward(isa, g, x, dy, dw);
}

#[cfg(test)]
mod tests;
