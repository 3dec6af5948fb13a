//! The weight gradient by points: all channels of a block of tiles are taken to the points, and each task then takes points.

use rayon::prelude::*;

use super::super::transform::{SumBlock, by_tiles_len};
use super::operands::{Operands, output_cut};
use super::sums::to_weights;
use crate::gemm::{MatMul, ONE_GROUP};
use crate::memory::Scratch;
use crate::shape::Geometry;
use crate::simd::{Isa, WIDEST};

/// Channels that a task takes to the points; few bands of them lie behind each other in memory.
const SUM_CHANNELS: usize = 96;

/// Values at the points that are held at a time: 64 MiB.
const POINT_VALUES: usize = 16 << 20;

/// dw = sum over images and pixels of dy and the input under the kernel.
pub(crate) fn backward_weight<const N: usize, const T: usize, const R: usize>(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let operands = Operands { isa, g, x, dy, cut: output_cut(g, T, g.out_channels) };
    to_weights::<N, R>(isa, g, &sums::<N, T>(&operands), dw);
}

/// The sums over tiles of the products at each point.
fn sums<const N: usize, const T: usize>(operands: &Operands) -> Scratch {
    let tiles = operands.cut.cell_count();
    let Operands { isa, g: &Geometry { channels: c, out_channels: k, .. }, .. } = *operands;
    let most = (POINT_VALUES / (N * N * (c + k))).next_multiple_of(WIDEST).max(4 * WIDEST);
    let runs = tiles.div_ceil(most);
    let run = tiles.div_ceil(runs).next_multiple_of(4);
    let block = SumBlock::new(k, c);
    let mut sums = Scratch::take(block.len(N * N));
    // Operands in groups of channels, so that they can be transformed side by side: [group][point][tile][channel].
    let groups = |channels: usize| channels.div_ceil(SUM_CHANNELS);
    let share = N * N * by_tiles_len(SUM_CHANNELS, run);
    let mut at_points = Scratch::take((groups(c) + groups(k)) * share);
    for start in (0..tiles).step_by(run) {
        let tiles = start..(start + run).min(tiles);
        at_points.par_chunks_mut(share).enumerate().for_each(|(i, to)| {
            let range = |i: usize, all: usize| i * SUM_CHANNELS..((i + 1) * SUM_CHANNELS).min(all);
            match i.checked_sub(groups(c)) {
                None => operands.input_by_tiles::<N, T>(tiles.clone(), range(i, c), to),
                Some(i) => operands.gradient_by_tiles::<N, T>(tiles.clone(), range(i, k), to),
            }
        });
        let (x_at_points, dy_at_points) = at_points.split_at(groups(c) * share);
        sums.par_chunks_mut(block.point).enumerate().for_each(|(point, sum)| {
            for (i, dy) in dy_at_points.chunks(share).enumerate() {
                let rows = SUM_CHANNELS.min(k - i * SUM_CHANNELS);
                for (j, x) in x_at_points.chunks(share).enumerate() {
                    let columns = SUM_CHANNELS.min(c - j * SUM_CHANNELS);
                    isa.run(MatMul {
                        rows,
                        columns,
                        depth: tiles.len(),
                        a: &dy[point * by_tiles_len(rows, tiles.len())..],
                        a_stride: isa.panel_rows(),
                        a_step: rows.next_multiple_of(WIDEST),
                        a_group: ONE_GROUP,
                        b: &x[point * by_tiles_len(columns, tiles.len())..],
                        b_stride: columns.next_multiple_of(WIDEST),
                        c: &mut sum[i * SUM_CHANNELS * block.row + j * SUM_CHANNELS..],
                        c_stride: block.row,
                        accumulate: start > 0,
                    });
                }
            }
        });
    }
    sums
}
