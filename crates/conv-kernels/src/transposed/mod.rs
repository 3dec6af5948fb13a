//! Transposed convolution with a kernel that is learnt and mixes channels: [`ConvTranspose2d`], forward and backward.
//!
//! ```text
//! sizes -> phases, disjoint -> passes
//! ```
//!
//! In go a map, weights `[C, K, kernel, kernel]` and a bias; out goes the map enlarged by the stride. Both ways are a convolution
//! without strides from which, or to which, pixels are interleaved: `phases` for kernels of twice the stride, 2x2; `disjoint` for
//! kernels of the stride's side, 1x1. Nothing is multiplied by a zero that was put between pixels.
//!
//! Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.

mod disjoint;
mod passes;
mod phases;
mod sizes;

pub use sizes::ConvTranspose2d;

#[cfg(test)]
mod tests;
