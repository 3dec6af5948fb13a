//! The weight gradient by the transposed algorithm, G^T ((A dy A^T) (B^T d B)) G, whose products sum over tiles.
//!
//! ```text
//! operands, sums -> by_tiles, by_points, by_channels
//! ```
//!
//! Input and gradient of the output are taken to the points and stored by tiles (`operands`), multiplied at each point, and only
//! the sums come back to weights (`sums`). The other files differ in what a task takes; which it is, is said by the caller.
//!
//! Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, section 4.2.

pub(super) mod by_channels;
pub(super) mod by_points;
pub(super) mod by_tiles;
mod operands;
mod sums;
