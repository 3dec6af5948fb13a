//! The weight gradient by parts of the tiles: each task has sums of its own, which stay in the second-level cache, and the parts
//! are added up at the end.

use rayon::prelude::*;

use super::super::transform::{SumBlock, by_tiles_len};
use super::operands::{Operands, output_cut};
use super::sums::to_weights;
use crate::gemm::{MatMul, ONE_GROUP};
use crate::memory::Scratch;
use crate::shape::Geometry;
use crate::simd::{Isa, WIDEST};

/// Values of the sums of a weight gradient up to which each task has sums of its own, near the processor.
pub(crate) const RESIDENT_SUMS: usize = 600 << 10;

/// Tiles that a task takes at a time.
pub(crate) const SUM_TILES: usize = 48;

/// Tasks that the sum is cut in. Fixed, so that the order of every sum is the same for any number of threads.
pub(crate) const SUM_PARTS: usize = 8;

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
    let part = tiles.div_ceil(SUM_PARTS).next_multiple_of(SUM_TILES);
    let parts = tiles.div_ceil(part);
    let block = SumBlock::new(k, c);
    let share = block.len(N * N);
    let mut sums = Scratch::zeros(parts * share);
    sums.par_chunks_mut(share).enumerate().for_each(|(i, sum)| {
        let run = i * part..((i + 1) * part).min(tiles);
        let [input, gradient] = [c, k].map(|channels| by_tiles_len(channels, SUM_TILES));
        let mut x_at_points = Scratch::take(N * N * input);
        let mut dy_at_points = Scratch::take(N * N * gradient);
        for start in run.clone().step_by(SUM_TILES) {
            let tiles = start..(start + SUM_TILES).min(run.end);
            let [input, gradient] = [c, k].map(|channels| by_tiles_len(channels, tiles.len()));
            operands.input_by_tiles::<N, T>(tiles.clone(), 0..c, &mut x_at_points);
            operands.gradient_by_tiles::<N, T>(tiles.clone(), 0..k, &mut dy_at_points);
            for point in 0..N * N {
                isa.run(MatMul {
                    rows: k,
                    columns: c,
                    depth: tiles.len(),
                    a: &dy_at_points[point * gradient..],
                    a_stride: isa.panel_rows(),
                    a_step: k.next_multiple_of(WIDEST),
                    a_group: ONE_GROUP,
                    b: &x_at_points[point * input..],
                    b_stride: c.next_multiple_of(WIDEST),
                    c: &mut sum[point * block.point..],
                    c_stride: block.row,
                    accumulate: true,
                });
            }
        }
    });
    let (total, rest) = sums.split_at_mut(share);
    if parts > 1 {
        total.par_chunks_mut(4096).enumerate().for_each(|(i, total)| {
            for part in rest.chunks(share) {
                total.iter_mut().zip(&part[i * 4096..]).for_each(|(total, part)| *total += part);
            }
        });
    }
    sums
}
