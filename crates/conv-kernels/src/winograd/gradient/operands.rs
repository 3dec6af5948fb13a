//! Input and gradient of the output at the points, stored by tiles, as the products of a weight gradient take them.

use std::ops::Range;

use super::super::transform::{PointBlock, ToPoints, by_tiles_len, lines_len};
use crate::gemm::Transpose;
use crate::memory::{Cut, Scratch};
use crate::shape::Geometry;
use crate::simd::{Isa, Precision, WIDEST};

/// The output's tiles, all in one run.
pub(crate) fn output_cut(g: &Geometry, tile: usize, channels: usize) -> Cut {
    let size = [g.batch, g.out_channels, g.out_size[0], g.out_size[1]];
    Cut { size, cell: tile, cells: usize::MAX / 2, channels }
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
