//! Winograd convolution where weights are many and tiles few: deep layers, and above all the 7x7 of FCN's `fc6`.
//!
//! There the weights at the points (839 MB for 512 to 4096 channels) would cost more to write and read again than the
//! products themselves. So the input is transformed once for all, and each task then takes a handful of output channels
//! all the way: it transforms their weights into scratch memory that stays in the cache, multiplies, and transforms the
//! result back. The weight gradient goes the same way in the other direction. Raw weights are read, or gradients written,
//! exactly once.

use std::ops::Range;

use rayon::prelude::*;

use crate::conv2d::After;
use crate::kernel::across::{AcrossMul, suits_across};
use crate::kernel::from_points::FromPoints;
use crate::kernel::gemm::{DEPTH, MatMul, ONE_GROUP, Transpose};
use crate::kernel::scratch::Scratch;
use crate::kernel::shard::{Cut, Sharded};
use crate::kernel::simd::{Isa, Precision};
use crate::kernel::weights::{PanelBlock, WeightsFromPoints, WeightsToPoints};
use crate::kernel::winograd::{PointBlock, ToPoints, WIDEST, lines_len};
use crate::shape::Geometry;
use crate::winograd::{Operands, SumBlock, by_tiles_len, output_cut};

/// Tiles that are transformed at once.
const TILES: usize = 512;

/// Input channels that one task transforms: few enough that their weights for [`OUT_CHANNELS`] at the points of a 7x7
/// kernel stay in the second-level cache.
const IN_CHANNELS: usize = 64;

/// The same for the forward pass: with the fewer points of 3x3, sums add up block by block as in one long product.
const fn in_channels(points: usize) -> usize {
    if points <= 36 { DEPTH } else { IN_CHANNELS }
}

/// Output channels that one task takes: a multiple of every instruction set's panel and of two of its vectors.
const OUT_CHANNELS: usize = 32;

/// Output channels whose weight gradients one task takes.
const DW_CHANNELS: usize = 32;

/// Whether this is the better way for the forward pass and the data gradient: with weights that would leave the caches
/// before they are used, and an input at the points (36 values for each of its tiles and channels) that does not.
pub(crate) fn suits_forward(g: &Geometry) -> bool {
    g.kernel[0] == 7 || (g.channels * g.out_channels >= 256 * 256 && tiles(g) * g.channels <= 80_000)
}

/// Whether prepared weights, four times as long to read, gain nothing on it.
pub(crate) fn suits_raw_weights(g: &Geometry) -> bool {
    suits_forward(g) && (g.kernel[0] == 7 || tiles(g) <= 64)
}

/// Whether 7x7 is faster by its definition: with so few pixels that to transform the weights is most of the work. For 512 to
/// 4096 channels on a Zen 4 the definition takes 21 ms for 4 pixels, 29 for 16, 50 for 36 and 64 for 49, this module 54 for any.
pub(crate) fn suits_definition(g: &Geometry) -> bool {
    g.pixels() * g.busy_taps().len() <= 32 * g.window()
}

/// Whether this is the better way for the weight gradient: the same, of both operands.
pub(crate) fn suits_weight(g: &Geometry) -> bool {
    let [c, k] = [g.channels, g.out_channels];
    g.kernel[0] == 7 || (c * k >= 128 * 128 && tiles(g) * (c + k) <= 110_000)
}

/// Tiles of F(4, R).
fn tiles(g: &Geometry) -> usize {
    g.batch * g.out_size.iter().map(|s| s.div_ceil(4)).product::<usize>()
}

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
    after: After,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let mut cut = Cut { size: after.out_size(g), cell: after.cell(T), cells: TILES, channels: OUT_CHANNELS };
    let runs = cut.shards().0;
    cut.cells = cut.cell_count().div_ceil(runs);
    let (runs, groups) = cut.shards();
    let [row, column] = g.kernel_strides(turned);
    let sharded = Sharded::new(out, cut);
    for run in 0..runs {
        let tiles = cut.cell_range(run);
        let input = Input::new::<N, T>(isa, g, x, cut, tiles.clone());
        let across = suits_across(isa, tiles.len());
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
                        isa.run(AcrossMul {
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
                bias: after.bias,
                floor: after.activation.floor(),
                pooled_from: after.pooled_from(g),
            });
        });
    }
}

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
