//! Convolution by Winograd's minimal filtering F(t, r), forward and backward.
//!
//! ```text
//! filter, transform -> by_tiles, by_channels, gradient
//! ```
//!
//! `N` is the number of points in each direction, `R` the size of the kernel and `T` = N + 1 - R that of a tile of output
//! pixels. F(T, R) multiplies N^2 times where the definition multiplies T^2 R^2 times. Input and weights are transformed to N x N
//! points, multiplied there (at each point a matrix product over channels), and the products transformed back to T x T pixels,
//! with the epilogue in passing.
//!
//! The files differ in what a task takes: a run of tiles (`by_tiles`, with weights at the points before), or a run of output
//! channels whose weights it transforms itself (`by_channels`). Which it is, is said by the caller; the reasons are in the table
//! of `plan`. [`for_filter`] compiles each for the constants of each [`Filter`].
//!
//! Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
//! 2016.

mod by_channels;
mod by_tiles;
mod filter;
mod gradient;
mod transform;

pub(crate) use by_tiles::WinogradWeights;
pub(crate) use filter::Filter;
pub(crate) use gradient::by_tiles::{RESIDENT_SUMS, SUM_PARTS, SUM_TILES};

use crate::epilogue::Epilogue;
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};
use filter::for_filter;

/// How the forward pass and the data gradient share out their work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ForwardLoops {
    /// By runs of tiles, with weights that are at the points before.
    Tiles,
    /// By runs of output channels, whose weights go to the points in passing.
    Channels,
}

/// How the weight gradient shares out its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GradientLoops {
    /// By parts of the tiles, whose sums are added up at the end.
    Tiles,
    /// By points.
    Points,
    /// By runs of output channels.
    Channels,
}

/// Takes weights `[K, C, R, R]` to the points; see [`WinogradWeights::new`].
pub(crate) fn weights(
    filter: Filter,
    isa: Isa,
    g: &Geometry,
    w: &[f32],
    turned: bool,
    precision: Precision,
) -> WinogradWeights {
    for_filter!(filter, <N, T, R> WinogradWeights::new::<N, R>(isa, g, w, turned, precision))
}

/// out = x * w by runs of tiles, and what comes after. With turned weights and the transposed geometry it is the data gradient.
pub(crate) fn forward_by_tiles(
    filter: Filter,
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &WinogradWeights,
    epilogue: Epilogue,
    out: &mut [f32],
) {
    for_filter!(filter, <N, T, R> by_tiles::forward::<N, T>(isa, g, x, weights, epilogue, out));
}

/// out = x * w by runs of output channels, and what comes after. `turned` makes it the data gradient: `g` is then the transposed
/// geometry.
pub(crate) fn forward_by_channels(
    filter: Filter,
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    w: &[f32],
    turned: bool,
    epilogue: Epilogue,
    out: &mut [f32],
) {
    for_filter!(filter, <N, T, R> by_channels::forward::<N, T, R>(isa, g, x, w, turned, epilogue, out));
}

/// dw = sum over images and pixels of dy and the input under the kernel.
pub(crate) fn backward_weight(
    filter: Filter,
    loops: GradientLoops,
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    for_filter!(filter, <N, T, R> match loops {
        GradientLoops::Tiles => gradient::by_tiles::backward_weight::<N, T, R>(isa, g, x, dy, dw),
        GradientLoops::Points => gradient::by_points::backward_weight::<N, T, R>(isa, g, x, dy, dw),
        GradientLoops::Channels => gradient::by_channels::backward_weight::<N, T, R>(isa, g, x, dy, dw),
    });
}

#[cfg(test)]
mod tests;
