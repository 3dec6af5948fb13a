//! The front: a convolution with stride 1, forward and backward, on plain slices.
//!
//! ```text
//! weights -> front
//! ```
//!
//! `front` checks lengths, asks `plan` which way a pass goes, and has `direct` or `winograd` go it ([`Conv2d`]). `weights` are
//! those that were prepared once for many forward passes ([`PreparedWeights`]).

mod front;
mod weights;

pub use front::Conv2d;
pub use weights::PreparedWeights;

#[cfg(test)]
mod tests;
