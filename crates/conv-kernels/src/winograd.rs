//! Convolution with Winograd's minimal filtering, forward and backward.
//!
//! `N` is the number of points in each direction, `R` the size of the kernel and `T` = N + 1 - R that of a tile of output
//! pixels. F(T, R) multiplies N^2 times where the definition multiplies T^2 R^2 times: F(3, 3) 25 instead of 81 times,
//! F(4, 3) 36 instead of 144, F(6, 3) 64 instead of 324, F(2, 7) 64 instead of 196, F(4, 7) 100 instead of 784.
//!
//! Forward and data gradient: a task takes a run of tiles through input transform, one matrix product at each point, and
//! output transform, in scratch memory of its own. Weight gradient: the transposed algorithm, G^T ((A dy A^T) (B^T d B)) G,
//! whose products sum over tiles.

use std::ops::Range;

use rayon::prelude::*;

use crate::conv2d::After;
use crate::kernel::from_points::FromPoints;
use crate::kernel::gemm::{MatMul, ONE_GROUP, Transpose};
use crate::kernel::scratch::Scratch;
use crate::kernel::shard::{Cut, Sharded};
use crate::kernel::simd::{Isa, Precision};
use crate::kernel::weights::{PanelBlock, WeightsFromPoints, WeightsToPoints};
use crate::kernel::winograd::{PointBlock, ToPoints, WIDEST, lines_len};
use crate::shape::Geometry;

/// Tiles that a task of the forward pass takes at most.
const TILES: usize = 96;

/// Values of the sums of a weight gradient up to which each task has sums of its own, near the processor.
const RESIDENT_SUMS: usize = 600 << 10;

/// Tiles that such a task takes at a time.
const SUM_TILES: usize = 48;

/// Tasks that it is cut in. Fixed, so that the order of every sum is the same for any number of threads.
const SUM_PARTS: usize = 8;

/// Channels that a task takes to the points where the sums are larger; few bands of them lie behind each other in memory.
const SUM_CHANNELS: usize = 96;

/// Values at the points that are held at a time there: 64 MiB.
const POINT_VALUES: usize = 16 << 20;

/// Rows of the product that are transformed, packed and multiplied together.
const GROUP: usize = 32;

/// Values of the input at the points that may stay in the second-level cache while all output channels pass by.
const RESIDENT: usize = 160 << 10;

/// Tiles of a task for which that pays.
const LEAST_TILES: usize = 16;

/// Tiles that a task takes at most where there is no room for them.
const STREAMED_TILES: usize = 256;

/// Weights at the points: groups of [`GROUP`] rows, each a [`PanelBlock`].
pub(crate) struct WinogradWeights {
    groups: Scratch,
    block: PanelBlock,
    precision: Precision,
}

impl WinogradWeights {
    /// Transforms `w` `[K, C, R, R]` for products of this precision: of the forward pass, or `turned`, of the data gradient; `g`
    /// is then the transposed geometry.
    pub(crate) fn new<const N: usize, const R: usize>(
        isa: Isa,
        g: &Geometry,
        w: &[f32],
        turned: bool,
        precision: Precision,
    ) -> WinogradWeights {
        let [row, column] = g.kernel_strides(turned);
        let block = PanelBlock::new(GROUP.min(g.out_channels), precision.words(g.channels), isa.panel_rows());
        let share = block.len(N * N);
        let mut groups = Scratch::take(g.out_channels.div_ceil(GROUP) * share);
        groups.par_chunks_mut(share).enumerate().for_each(|(group, to)| {
            let rows = group * GROUP..((group + 1) * GROUP).min(g.out_channels);
            let columns = 0..g.channels;
            isa.run_as(precision, WeightsToPoints::<N, R> { w, row, column, turned, rows, columns, to, block });
        });
        WinogradWeights { groups, block, precision }
    }
}

/// Whether F(6, 3) is faster than F(4, 3): by 3 to 9 % at VGG's layers of 64 and of 128 channels. With fewer the transforms
/// outweigh the products, with more the weights at the points (7.1 times as many) no longer stay near the processor.
///
/// Only channels count, since weights that were prepared at one size of map must fit all.
pub(crate) fn suits_large_tiles(g: &Geometry) -> bool {
    (64..=128).contains(&g.channels) && (64..=g.channels).contains(&g.out_channels)
}

/// Whether F(3, 3) is faster than F(4, 3): where tiles of 4x4 reach so far beyond the map that it multiplies at least a tenth
/// less; with equally many products they take equally long. On 5x5 pixels both have four tiles, with 25 products each or 36.
pub(crate) fn suits_small_tiles(g: &Geometry) -> bool {
    let tiles = |tile: usize| g.out_size.iter().map(|size| size.div_ceil(tile)).product::<usize>();
    let (small, large) = (25 * tiles(3), 36 * tiles(4));
    10 * small <= 9 * large
}

/// Whether a 3x3 kernel is faster by its definition: with so few pixels that to transform the weights is most of the work.
///
/// On a Zen 4 the definition takes a fifth to half of the time on 9 pixels, and as long on as many as these.
pub(crate) fn suits_definition(g: &Geometry) -> bool {
    let most = if g.channels * g.out_channels < 256 * 256 { 50 } else { 32 };
    g.pixels() <= most
}

/// Whether the weight gradient of a 3x3 kernel is faster by its definition: where pixels are so few that sums at the points
/// take longer to bring back than to sum.
pub(crate) fn weight_suits_definition(g: &Geometry) -> bool {
    g.kernel == [3, 3] && g.pixels() <= 48
}

/// How many tiles a task takes and whether their input stays in the second-level cache.
///
/// Where it does, output channels pass by in groups whose products stay there too, and only weights come from further
/// away; where there are too many channels for that, a product at one point takes all output channels at once.
fn tiles_of_a_task(isa: Isa, points: usize, depth: usize) -> (usize, bool) {
    let tiles = RESIDENT / (points * depth) / isa.lanes() * isa.lanes();
    if tiles >= LEAST_TILES { (tiles.min(TILES), true) } else { (STREAMED_TILES, false) }
}

/// out = x * w, and what comes after.
pub(crate) fn forward<const N: usize, const T: usize>(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &WinogradWeights,
    after: After,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let mut cut = Cut { size: after.out_size(g), cell: after.cell(T), cells: 1, channels: g.out_channels };
    let (tiles, threads) = (cut.cell_count(), rayon::current_num_threads());
    let depth = weights.precision.words(g.channels);
    let (most, resident) = tiles_of_a_task(isa, N * N, depth);
    // The cut may follow the number of threads, since it changes no output value: even runs of three vectors of tiles at
    // least for each thread, and where there are too few for that, groups of output channels too.
    let vectors = tiles.div_ceil(isa.lanes());
    let runs = vectors.div_ceil(most / isa.lanes()).next_multiple_of(threads).min(vectors.div_ceil(3));
    let parts = threads.div_ceil(runs);
    cut.cells = vectors.div_ceil(runs) * isa.lanes();
    cut.channels = g.out_channels.div_ceil(parts).next_multiple_of(GROUP);
    // Channels whose products are kept at a time.
    let kept = if resident { GROUP } else { cut.channels }.min(g.out_channels);

    let share = weights.block.len(N * N);
    let (runs, parts) = cut.shards();
    let sharded = Sharded::new(out, cut);
    (0..runs * parts).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task / parts, task % parts);
        let tiles = shard.cells.clone();
        let input = PointBlock::new(depth, tiles.len());
        let output = PointBlock::new(kept, tiles.len());
        let mut at_points = Scratch::take(input.len(N * N));
        let mut products = Scratch::take(output.len(N * N));
        let mut lines = Scratch::take(lines_len::<N, T>(weights.precision, tiles.len(), g.size[1]));
        let transform = ToPoints::<N, T, false> {
            x,
            channels: g.channels,
            size: g.size,
            offset: g.offset,
            cut,
            tiles: tiles.clone(),
            from_channels: 0..g.channels,
            to: &mut at_points,
            block: input,
            lines: &mut lines,
        };
        isa.run_as(weights.precision, transform);
        for first in shard.channels.clone().step_by(kept) {
            let channels = first..(first + kept).min(shard.channels.end);
            for point in 0..N * N {
                let product = MatMul {
                    rows: channels.len(),
                    columns: tiles.len(),
                    depth,
                    a: &weights.groups[first / GROUP * share + point * weights.block.point..],
                    a_stride: weights.block.panel,
                    a_step: isa.panel_rows(),
                    a_group: [GROUP, share],
                    b: &at_points[point * input.point..],
                    b_stride: input.row,
                    c: &mut products[point * output.point..],
                    c_stride: output.row,
                    accumulate: false,
                };
                isa.run_as(weights.precision, product);
            }
            isa.run(FromPoints::<N, T> {
                from: &products,
                block: output,
                channels,
                cut,
                to: &mut shard,
                bias: after.bias,
                floor: after.activation.floor(),
                pooled_from: after.pooled_from(g),
            });
        }
    });
}

/// dw = sum over images and pixels of dy and the input under the kernel.
pub(crate) fn backward_weight<const N: usize, const T: usize, const R: usize>(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) {
    let (c, k) = (g.channels, g.out_channels);
    let operands = Operands { isa, g, x, dy, cut: output_cut(g, T, k) };
    let tiles = operands.cut.cell_count();
    let sums = if N * N * k * c <= RESIDENT_SUMS && tiles > SUM_PARTS * SUM_TILES {
        sums_by_tiles::<N, T>(&operands, tiles)
    } else {
        sums_by_points::<N, T>(&operands, tiles)
    };
    let block = SumBlock::new(k, c);
    dw.par_chunks_mut(c * R * R).enumerate().for_each(|(k, to)| {
        isa.run(WeightsFromPoints::<N, R> { from: &sums, point: block.point, at: k * block.row, to });
    });
}

/// The output's tiles, all in one run.
pub(crate) fn output_cut(g: &Geometry, tile: usize, channels: usize) -> Cut {
    let size = [g.batch, g.out_channels, g.out_size[0], g.out_size[1]];
    Cut { size, cell: tile, cells: usize::MAX / 2, channels }
}

/// The layout of gradients of weights at the points: `[point][K][C]`, with room for a vector at the end.
#[derive(Clone, Copy)]
pub(crate) struct SumBlock {
    pub row: usize,
    pub point: usize,
}

impl SumBlock {
    pub(crate) fn new(rows: usize, columns: usize) -> SumBlock {
        let row = columns.next_multiple_of(WIDEST);
        SumBlock { row, point: rows * row + WIDEST }
    }

    pub(crate) fn len(&self, points: usize) -> usize {
        points * self.point
    }
}

/// What a weight gradient is computed from.
pub(crate) struct Operands<'a> {
    pub isa: Isa,
    pub g: &'a Geometry,
    pub x: &'a [f32],
    pub dy: &'a [f32],
    pub cut: Cut,
}

impl Operands<'_> {
    /// Some channels of the input at the points, stored by tiles: `[point][tile][channel]`; see [`by_tiles_len`].
    pub(crate) fn input_by_tiles<const N: usize, const T: usize>(
        &self,
        tiles: Range<usize>,
        channels: Range<usize>,
        to: &mut [f32],
    ) {
        let (x, g) = (self.x, self.g);
        self.by_tiles::<N, T, false>(x, g.channels, g.size, g.offset, tiles, channels, to);
    }

    /// The same of the output's gradient.
    pub(crate) fn gradient_by_tiles<const N: usize, const T: usize>(
        &self,
        tiles: Range<usize>,
        channels: Range<usize>,
        to: &mut [f32],
    ) {
        let (dy, g) = (self.dy, self.g);
        self.by_tiles::<N, T, true>(dy, g.out_channels, g.out_size, [0; 2], tiles, channels, to);
    }

    fn by_tiles<const N: usize, const T: usize, const GRADIENT: bool>(
        &self,
        x: &[f32],
        channels: usize,
        size: [usize; 2],
        offset: [isize; 2],
        tiles: Range<usize>,
        from_channels: Range<usize>,
        to: &mut [f32],
    ) {
        let (isa, cut) = (self.isa, self.cut);
        let rows = from_channels.len();
        let share = by_tiles_len(rows, tiles.len());
        // Few channels at a time, so that their points are still in the cache when they are transposed.
        let mut lines = Scratch::take(lines_len::<N, T>(Precision::F32, tiles.len(), size[1]));
        let block = PointBlock::new(WIDEST.min(rows), tiles.len());
        let mut at_points = Scratch::take(block.len(N * N));
        for first in (0..rows).step_by(WIDEST) {
            let count = WIDEST.min(rows - first);
            let some = from_channels.start + first..from_channels.start + first + count;
            isa.run(ToPoints::<N, T, GRADIENT> {
                x,
                channels,
                size,
                offset,
                cut,
                tiles: tiles.clone(),
                from_channels: some,
                to: &mut at_points,
                block,
                lines: &mut lines,
            });
            for point in 0..N * N {
                isa.run(Transpose {
                    rows: count,
                    columns: tiles.len(),
                    from: &at_points[point * block.point..],
                    from_stride: block.row,
                    to: &mut to[point * share + first..],
                    to_stride: rows.next_multiple_of(WIDEST),
                    ahead: 0,
                });
            }
        }
    }
}

/// Values of so many channels and tiles at one point, stored by tiles.
pub(crate) fn by_tiles_len(channels: usize, tiles: usize) -> usize {
    channels.next_multiple_of(WIDEST) * tiles + WIDEST
}

/// The sums over tiles of the products at each point, where they fit in the second-level cache: each task takes a part of
/// the tiles, and the parts are added up at the end.
fn sums_by_tiles<const N: usize, const T: usize>(operands: &Operands, tiles: usize) -> Scratch {
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

/// The same where they do not: all channels of a block of tiles are taken to the points, and each task then takes points.
fn sums_by_points<const N: usize, const T: usize>(operands: &Operands, tiles: usize) -> Scratch {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Activation;
    use crate::reference::{self, close, noise};
    use crate::shape::Conv2dShape;
    use crate::small_maps;

    /// Results of all passes with N points on one instruction set, beside f64.
    fn compare<const N: usize, const T: usize, const R: usize>(
        shape: &Conv2dShape,
        scale: f32,
        limits: [f64; 3],
    ) -> Vec<String> {
        let scaled = |seed, len| noise(seed, len).into_iter().map(|v| v * scale).collect::<Vec<_>>();
        let (x, w) = (scaled(1, shape.input_len()), noise(2, shape.weight_len()));
        let (dy, bias) = (scaled(3, shape.output_len()), scaled(4, shape.out_channels));
        let plane = shape.out_height() * shape.out_width();
        let mut want = reference::forward(shape, &x, &w);
        want.iter_mut().enumerate().for_each(|(i, v)| {
            *v = (*v + f64::from(bias[i / plane % shape.out_channels])).max(0.0);
        });
        let want_dx = reference::backward_data(shape, &dy, &w);
        let want_dw = reference::backward_weight(shape, &x, &dy);
        let mut wrong = Vec::new();
        let relu = After { bias: Some(&bias), activation: Activation::Relu, pool: None };
        for isa in Isa::available() {
            let (g, t) = (shape.geometry(), shape.geometry().transposed());
            let mut out = vec![f32::NAN; shape.output_len()];
            let weights = WinogradWeights::new::<N, R>(isa, &g, &w, false, Precision::F32);
            forward::<N, T>(isa, &g, &x, &weights, relu, &mut out);
            wrong.extend(close(&format!("{isa:?} forward {shape}, scale {scale}"), &out, &want, limits[0]));
            let mut dx = vec![f32::NAN; shape.input_len()];
            let weights = WinogradWeights::new::<N, R>(isa, &t, &w, true, Precision::F32);
            forward::<N, T>(isa, &t, &dy, &weights, After::NOTHING, &mut dx);
            wrong.extend(close(&format!("{isa:?} data gradient {shape}, scale {scale}"), &dx, &want_dx, limits[1]));
            let mut dw = vec![f32::NAN; shape.weight_len()];
            backward_weight::<N, T, R>(isa, &g, &x, &dy, &mut dw);
            wrong.extend(close(&format!("{isa:?} weight gradient {shape}, scale {scale}"), &dw, &want_dw, limits[2]));

            [&mut out, &mut dx, &mut dw].into_iter().for_each(|v| v.fill(f32::NAN));
            small_maps::forward::<N, T, R>(isa, &g, &x, &w, false, relu, &mut out);
            wrong.extend(close(&format!("{isa:?} small forward {shape}, scale {scale}"), &out, &want, limits[0]));
            small_maps::forward::<N, T, R>(isa, &t, &dy, &w, true, After::NOTHING, &mut dx);
            wrong.extend(close(&format!("{isa:?} small data {shape}, scale {scale}"), &dx, &want_dx, limits[1]));
            small_maps::backward_weight::<N, T, R>(isa, &g, &x, &dy, &mut dw);
            wrong.extend(close(&format!("{isa:?} small weight {shape}, scale {scale}"), &dw, &want_dw, limits[2]));
        }
        wrong
    }

    #[test]
    fn three_by_three_agrees_with_f64_on_every_instruction_set() {
        let square = Conv2dShape::square;
        let mut wrong = Vec::new();
        for shape in [
            square(1, [1, 1], [1, 1], 3, 1),
            square(1, [3, 8], [17, 13], 3, 1),
            square(2, [3, 5], [7, 9], 3, 10),
            square(2, [7, 3], [12, 31], 3, 0),
            square(3, [5, 70], [5, 4], 3, 1),
            square(2, [16, 16], [56, 60], 3, 1),
            square(1, [130, 34], [14, 14], 3, 1),
            square(2, [3, 4], [5, 140], 3, 1),
            square(4, [6, 9], [28, 28], 3, 1),
        ] {
            for scale in [1.0, 1e-4, 1e4] {
                // Most of a single value are eight taps on padding and a bias, which cancel.
                let lone = shape.output_len() == 1;
                wrong.extend(compare::<5, 3, 3>(&shape, scale, [if lone { 1e-5 } else { 1e-6 }, 1e-6, 1e-6]));
                wrong.extend(compare::<6, 4, 3>(&shape, scale, [2e-6; 3]));
                wrong.extend(compare::<8, 6, 3>(&shape, scale, [1.5e-5; 3]));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn seven_by_seven_agrees_with_f64_on_every_instruction_set() {
        let square = Conv2dShape::square;
        let mut wrong = Vec::new();
        for shape in [
            square(1, [2, 3], [3, 2], 7, 3),
            square(2, [20, 36], [7, 7], 7, 3),
            square(1, [33, 14], [16, 19], 7, 3),
            square(1, [5, 6], [9, 23], 7, 0),
            square(1, [3, 3], [6, 8], 7, 9),
        ] {
            for scale in [1.0, 1e-4, 1e4] {
                wrong.extend(compare::<10, 4, 7>(&shape, scale, [5e-5, 5e-5, 2e-5]));
                wrong.extend(compare::<8, 2, 7>(&shape, scale, [1e-5; 3]));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
