//! Sums at the points, taken back to gradients of the weights.

use rayon::prelude::*;

use super::super::transform::{SumBlock, WeightsFromPoints};
use crate::shape::Geometry;
use crate::simd::Isa;

/// dw = G^T u G for each of the C K sums `u` at N x N points.
pub(super) fn to_weights<const N: usize, const R: usize>(isa: Isa, g: &Geometry, sums: &[f32], dw: &mut [f32]) {
    let block = SumBlock::new(g.out_channels, g.channels);
    dw.par_chunks_mut(g.channels * R * R).enumerate().for_each(|(k, to)| {
        isa.run(WeightsFromPoints::<N, R> { from: sums, point: block.point, at: k * block.row, to });
    });
}
