//! How the pixels, the depth and the channels of a direct product are cut.

use crate::shape::Geometry;

/// Output pixels up to which the whole unrolled matrix is kept, and weights are packed where they are used.
pub(crate) const FEW_PIXELS: usize = 1024;

/// Rows of the unrolled matrix in a block: an even number, for pairs.
pub(super) const DEPTH: usize = 256;

/// Rows of weights that one task takes where pixels are few.
pub(super) const TASK_ROWS: usize = 256;

/// Tasks that a weight gradient of many pixels is cut in, where it is large enough. Fixed, so that the order of every sum is the
/// same for any number of threads.
pub(super) const GRADIENT_TASKS: usize = 16;

/// Output pixels of a block: as even as blocks of at most [`FEW_PIXELS`] can be.
pub(super) fn pixels_of_a_block(g: &Geometry) -> usize {
    let pixels = g.pixels();
    pixels.div_ceil(pixels.div_ceil(FEW_PIXELS))
}
