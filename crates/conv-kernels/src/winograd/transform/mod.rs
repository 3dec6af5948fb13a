//! The transforms of minimal filtering, in vectors of any instruction set.
//!
//! ```text
//! layout, points -> input, weights, output
//! ```
//!
//! `points` are the one-dimensional transforms, on values in registers. `input` takes tiles of a tensor to the points
//! ([`ToPoints`]), `weights` takes kernels there and their gradients back ([`WeightsToPoints`], [`WeightsFromPoints`]), `output`
//! takes products back to pixels, with bias, rectifier and pool in passing ([`FromPoints`]). `layout` says how values lie at the
//! points in between: there is a matrix product at each.
//!
//! Each is a [`Kernel`](crate::simd::Kernel) that checks the lengths of its operands once; threads are the caller's.
//!
//! Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
//! 2016; Barabasz et al., "Error Analysis and Improving the Accuracy of Winograd Convolution", 2020.

#[allow(unsafe_code)]
mod input;
mod layout;
#[allow(unsafe_code)]
mod output;
mod points;
#[allow(unsafe_code)]
mod weights;

pub(super) use input::{ToPoints, lines_len};
pub(super) use layout::{PanelBlock, PointBlock, SumBlock, by_tiles_len};
pub(super) use output::FromPoints;
pub(super) use weights::{WeightsFromPoints, WeightsToPoints};
