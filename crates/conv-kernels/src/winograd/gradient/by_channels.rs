//! The weight gradient by runs of output channels, where weights are many and tiles few: gradients are written exactly once.

use rayon::prelude::*;

use super::super::transform::{SumBlock, WeightsFromPoints, by_tiles_len};
use super::operands::{Operands, output_cut};
use crate::gemm::{MatMul, ONE_GROUP};
use crate::memory::Scratch;
use crate::shape::Geometry;
use crate::simd::{Isa, WIDEST};

/// Input channels that one task takes back from the points together: few enough for the second-level cache.
const IN_CHANNELS: usize = 64;

/// Output channels whose weight gradients one task takes.
const DW_CHANNELS: usize = 32;

/// dw = sum over images and pixels of dy and the input under the kernel.
pub(crate) fn backward_weight<const N: usize, const T: usize, const R: usize>(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let c = g.channels;
    let cut = output_cut(g, T, DW_CHANNELS);
    let operands = Operands { isa, g, x, dy, cut };
    let tiles = 0..cut.cell_count();
    let columns = |group: usize| group * IN_CHANNELS..((group + 1) * IN_CHANNELS).min(c);
    let share = N * N * by_tiles_len(IN_CHANNELS.min(c), tiles.len());
    let mut x_at_points = Scratch::take(c.div_ceil(IN_CHANNELS) * share);
    x_at_points.par_chunks_mut(share).enumerate().for_each(|(group, to)| {
        operands.input_by_tiles::<N, T>(tiles.clone(), columns(group), to);
    });
    dw.par_chunks_mut(DW_CHANNELS * c * R * R).enumerate().for_each(|(group, dw)| {
        let rows = cut.channel_range(group);
        let gradient = by_tiles_len(rows.len(), tiles.len());
        let mut dy_at_points = Scratch::take(N * N * gradient);
        operands.gradient_by_tiles::<N, T>(tiles.clone(), rows.clone(), &mut dy_at_points);
        let block = SumBlock::new(rows.len(), IN_CHANNELS.min(c));
        let mut sums = Scratch::take(block.len(N * N));
        for (group, values) in x_at_points.chunks(share).enumerate() {
            let columns = columns(group);
            let input = by_tiles_len(columns.len(), tiles.len());
            for point in 0..N * N {
                isa.run(MatMul {
                    rows: rows.len(),
                    columns: columns.len(),
                    depth: tiles.len(),
                    a: &dy_at_points[point * gradient..],
                    a_stride: isa.panel_rows(),
                    a_step: rows.len().next_multiple_of(WIDEST),
                    a_group: ONE_GROUP,
                    b: &values[point * input..],
                    b_stride: columns.len().next_multiple_of(WIDEST),
                    c: &mut sums[point * block.point..],
                    c_stride: block.row,
                    accumulate: false,
                });
            }
            for (row, to) in dw.chunks_mut(c * R * R).enumerate() {
                let to = &mut to[columns.start * R * R..columns.end * R * R];
                isa.run(WeightsFromPoints::<N, R> { from: &sums, point: block.point, at: row * block.row, to });
            }
        }
    });
}
