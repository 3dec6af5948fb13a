//! How values, weights and gradients lie at the points.

use crate::memory::Cut;
use crate::simd::{Simd, WIDEST};

/// The layout of values at the points: `[point][channel][tile]`.
///
/// Rows are whole lines of [`WIDEST`] values. A vector may begin at the last tile and so reach into the next row: rows are
/// therefore written in order, and each point has space for a vector at its end. Strides avoid large powers of two, so that
/// the rows of a panel and the points of a tile do not compete for the same cache sets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PointBlock {
    /// Distance of two channels.
    pub row: usize,
    /// Distance of two points.
    pub point: usize,
}

impl PointBlock {
    /// The layout for this many channels and tiles.
    pub(crate) fn new(channels: usize, tiles: usize) -> PointBlock {
        let lines = tiles.div_ceil(WIDEST);
        let row = WIDEST * if lines.is_multiple_of(8) { lines + 1 } else { lines };
        PointBlock { row, point: odd_lines(channels * row + WIDEST) }
    }

    /// Values in a block of `points` points.
    pub(crate) fn len(&self, points: usize) -> usize {
        points * self.point
    }

    /// Whether these channels and tiles fit at `points` points of `len` values.
    pub(crate) fn holds(&self, channels: usize, tiles: usize, points: usize, len: usize) -> bool {
        let fits = self.row >= tiles.next_multiple_of(WIDEST) && self.point >= channels * self.row + WIDEST;
        fits && len >= self.len(points)
    }
}

/// Rounds up to an odd number of cache lines of 16 values.
pub(crate) fn odd_lines(values: usize) -> usize {
    (values.div_ceil(16) | 1) * 16
}

/// The layout of weights at the points: `[point][panel][column][row of the panel]`, what [`crate::gemm::MatMul`] takes. In
/// one of pairs of bf16 values, a pair of columns takes the place of a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PanelBlock {
    /// Rows of a panel.
    pub height: usize,
    /// Distance of two panels.
    pub panel: usize,
    /// Distance of two points.
    pub point: usize,
}

impl PanelBlock {
    /// The layout for this many rows and columns, in panels of `height` rows.
    pub(crate) fn new(rows: usize, columns: usize, height: usize) -> PanelBlock {
        let panel = columns * height;
        PanelBlock { height, panel, point: odd_lines(rows.div_ceil(height) * panel) }
    }

    /// Values in a block of `points` points.
    pub(crate) fn len(&self, points: usize) -> usize {
        points * self.point
    }
}

/// The layout of gradients of weights at the points: `[point][K][C]`, with space for a vector at the end.
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

/// Values of so many channels and tiles at one point, stored by tiles.
pub(crate) fn by_tiles_len(channels: usize, tiles: usize) -> usize {
    channels.next_multiple_of(WIDEST) * tiles + WIDEST
}

/// Tiles of a row up to which several rows share vectors: longer ones fill most of their own.
const SHORT_ROW: usize = 10;

/// Whether rows of tiles are that short.
#[inline(always)]
pub(crate) fn rows_share_vectors<S: Simd>(cut: &Cut) -> bool {
    cut.columns() <= SHORT_ROW.min(S::LANES - 1)
}
