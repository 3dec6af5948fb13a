//! Winograd convolution by runs of output channels, where weights are many and tiles few: deep layers, and above all the 7x7 of
//! FCN's `fc6`.
//!
//! There the weights at the points (839 MB for 512 to 4096 channels) would cost more to write and read again than the products
//! themselves. So the input is transformed once for all, and each task then takes a handful of output channels all the way: it
//! transforms their weights into scratch memory that stays in the cache, multiplies, and transforms the result back. Weights are
//! read exactly once, as they are stored.

use std::ops::Range;

use rayon::prelude::*;

use super::transform::{FromPoints, PanelBlock, PointBlock, ToPoints, WeightsToPoints, lines_len};
use crate::epilogue::Epilogue;
use crate::gemm::{DEPTH, MatMul, ONE_GROUP, Transpose, TransposedMatMul};
use crate::memory::{Cut, Scratch, Sharded};
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};

/// Tiles that are transformed at once.
const TILES: usize = 512;

/// Input channels whose weights one task transforms together, few enough for the second-level cache; with the fewer points of
/// 3x3 so many that sums add up block by block as in one long product.
const fn in_channels(points: usize) -> usize {
    if points <= 36 { DEPTH } else { 64 }
}

/// Output channels that one task takes: a multiple of every instruction set's panel and of two of its vectors.
const OUT_CHANNELS: usize = 32;

/// The input at the points, in groups of [`in_channels`] channels: `[group][point][channel][tile]`.
struct Input {
    values: Scratch,
    block: PointBlock,
    channels: usize,
    /// Channels of a group.
    each: usize,
    points: usize,
}

impl Input {
    /// Transforms all channels of `tiles`.
    fn new<const N: usize, const T: usize>(isa: Isa, g: &Geometry, x: &[f32], cut: Cut, tiles: Range<usize>) -> Input {
        let each = in_channels(N * N);
        let block = PointBlock::new(each.min(g.channels), tiles.len());
        let share = block.len(N * N);
        let mut values = Scratch::take(g.channels.div_ceil(each) * share);
        values.par_chunks_mut(share).enumerate().for_each(|(group, to)| {
            let channels = group * each..((group + 1) * each).min(g.channels);
            let mut lines = Scratch::take(lines_len::<N, T>(Precision::F32, tiles.len(), g.size[1]));
            isa.run(ToPoints::<N, T, false> {
                x,
                channels: g.channels,
                size: g.size,
                offset: g.offset,
                cut,
                tiles: tiles.clone(),
                from_channels: channels.clone(),
                to,
                block,
                lines: &mut lines,
            });
        });
        Input { values, block, channels: g.channels, each, points: N * N }
    }

    /// Channels and values of each group.
    fn groups(&self) -> impl Iterator<Item = (Range<usize>, &[f32])> {
        self.values
            .chunks(self.block.len(self.points))
            .enumerate()
            .map(move |(group, values)| (group * self.each..((group + 1) * self.each).min(self.channels), values))
    }

    /// Channels of the largest group.
    fn block_channels(&self) -> usize {
        self.each.min(self.channels)
    }
}

/// out = x * w, and what comes after. `turned` makes it the data gradient: `g` is then the transposed geometry.
pub(crate) fn forward<const N: usize, const T: usize, const R: usize>(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    w: &[f32],
    turned: bool,
    epilogue: Epilogue,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let mut cut = Cut { size: epilogue.out_size(g), cell: epilogue.cell(T), cells: TILES, channels: OUT_CHANNELS };
    let runs = cut.shards().0;
    cut.cells = cut.cell_count().div_ceil(runs);
    let (runs, groups) = cut.shards();
    let [row, column] = g.kernel_strides(turned);
    let sharded = Sharded::new(out, cut);
    for run in 0..runs {
        let tiles = cut.cell_range(run);
        let input = Input::new::<N, T>(isa, g, x, cut, tiles.clone());
        let across = TransposedMatMul::suits(isa, tiles.len());
        (0..groups).into_par_iter().for_each(|group| {
            let mut shard = sharded.claim(run, group);
            let rows = shard.channels.clone();
            let block = PointBlock::new(rows.len(), tiles.len());
            let height = if across { OUT_CHANNELS } else { isa.panel_rows() };
            let panels = PanelBlock::new(rows.len(), input.block_channels(), height);
            let mut weights = Scratch::take(panels.len(N * N));
            let mut products = Scratch::take(block.len(N * N));
            let share = if across { tiles.len() * OUT_CHANNELS } else { 0 };
            let mut by_tiles = Scratch::take(N * N * share);
            for (columns, values) in input.groups() {
                let first = columns.start;
                isa.run(WeightsToPoints::<N, R> {
                    w,
                    row,
                    column,
                    turned,
                    rows: rows.clone(),
                    columns: columns.clone(),
                    to: &mut weights,
                    block: panels,
                });
                for point in 0..N * N {
                    let (a, b) = (&weights[point * panels.point..], &values[point * input.block.point..]);
                    if across {
                        isa.run(TransposedMatMul {
                            rows: rows.len(),
                            columns: tiles.len(),
                            depth: columns.len(),
                            a,
                            group: OUT_CHANNELS,
                            distance: 0,
                            b,
                            b_stride: input.block.row,
                            c: &mut by_tiles[point * share..],
                            c_stride: OUT_CHANNELS,
                            accumulate: first > 0,
                        });
                        continue;
                    }
                    isa.run(MatMul {
                        rows: rows.len(),
                        columns: tiles.len(),
                        depth: columns.len(),
                        a,
                        a_stride: panels.panel,
                        a_step: height,
                        a_group: ONE_GROUP,
                        b,
                        b_stride: input.block.row,
                        c: &mut products[point * block.point..],
                        c_stride: block.row,
                        accumulate: first > 0,
                    });
                }
            }
            for (from, to) in by_tiles.chunks(share.max(1)).zip(products.chunks_mut(block.point)) {
                isa.run(Transpose {
                    rows: tiles.len(),
                    columns: rows.len(),
                    from,
                    from_stride: OUT_CHANNELS,
                    to,
                    to_stride: block.row,
                    ahead: 0,
                });
            }
            isa.run(FromPoints::<N, T> {
                from: &products,
                block,
                channels: rows,
                cut,
                to: &mut shard,
                bias: epilogue.bias,
                floor: epilogue.activation.floor(),
                pooled_from: epilogue.pooled_from(g),
            });
        });
    }
}
