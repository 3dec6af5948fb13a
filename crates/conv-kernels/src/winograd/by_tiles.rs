//! Winograd convolution by runs of tiles: a task takes one through input transform, a matrix product at each point, and output
//! transform, in scratch memory of its own. Weights are at the points before.

use rayon::prelude::*;

use super::transform::{FromPoints, PanelBlock, PointBlock, ToPoints, WeightsToPoints, lines_len};
use crate::epilogue::Epilogue;
use crate::gemm::MatMul;
use crate::memory::{Cut, Scratch, Sharded};
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};

/// Tiles that a task of the forward pass takes at most.
const TILES: usize = 96;

/// Rows of the product that are transformed, packed and multiplied together.
const GROUP: usize = 32;

/// Values of the input at the points that may stay in the second-level cache while all output channels pass by.
const RESIDENT: usize = 160 << 10;

/// Tiles of a task for which that pays.
const LEAST_TILES: usize = 16;

/// Tiles that a task takes at most where their input would not stay in the cache.
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
    epilogue: Epilogue,
    out: &mut [f32],
) {
    if out.is_empty() {
        return;
    }
    let mut cut = Cut { size: epilogue.out_size(g), cell: epilogue.cell(T), cells: 1, channels: g.out_channels };
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
                bias: epilogue.bias,
                floor: epilogue.activation.floor(),
                pooled_from: epilogue.pooled_from(g),
            });
        }
    });
}
