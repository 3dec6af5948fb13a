//! The unrolled input ("im2col") of a direct convolution, block by block.

use std::ops::Range;

use crate::gemm::PairRows;
use crate::memory::{Cut, Scratch, Segment};
use crate::shape::Geometry;
use crate::simd::{Isa, Precision};

/// The matrix that is multiplied with the weights, as far as it is asked for.
pub(crate) struct Unrolled<'a> {
    g: &'a Geometry,
    x: &'a [f32],
    cut: Cut,
    /// Where each tap finds its value for each pixel, counted from the channel's plane in the first image: `[tap][pixel]`.
    /// Empty if rows of the map are long enough to be copied.
    places: Vec<u32>,
}

/// Width of a map below which values are fetched one by one.
const SHORT_ROW: usize = 12;

/// A place that is in no image.
const OUTSIDE: u32 = u32::MAX;

impl<'a> Unrolled<'a> {
    /// `cut` is that of the output.
    pub(crate) fn new(g: &'a Geometry, x: &'a [f32], cut: Cut) -> Unrolled<'a> {
        let mut places = Vec::new();
        if g.out_size[1] < SHORT_ROW && x.len() < OUTSIDE as usize {
            for tap in 0..g.window() {
                for segment in cut.segments(0..cut.cell_count()) {
                    let line = Self::line(g, &segment, tap);
                    places.extend((segment.column..segment.column + segment.count).map(|column| {
                        let column = (column + tap % g.kernel[1]).checked_add_signed(-g.offset[1]);
                        match (line, column.filter(|column| *column < g.size[1])) {
                            (Some(line), Some(column)) => {
                                (segment.image * g.channels * g.plane() + line + column) as u32
                            }
                            _ => OUTSIDE,
                        }
                    }));
                }
            }
        }
        Unrolled { g, x, cut, places }
    }

    /// Where the line that a tap meets begins in its plane.
    fn line(g: &Geometry, segment: &Segment, tap: usize) -> Option<usize> {
        g.row(segment.row + tap / g.kernel[1]).map(|row| row * g.size[1])
    }

    /// Puts rows `depth` for the output pixels `cells` into `block`, whose rows are `stride` apart.
    pub(crate) fn rows(&self, cells: Range<usize>, depth: Range<usize>, block: &mut [f32], stride: usize) {
        let segments: Vec<Segment> = self.cut.segments(cells.clone()).collect();
        for (row, d) in block.chunks_mut(stride).zip(depth) {
            let (c, tap) = (d / self.g.window(), d % self.g.window());
            if self.places.is_empty() {
                self.copy(&segments, c, tap, row);
            } else {
                let places = &self.places[tap * self.cut.cell_count()..][cells.clone()];
                // A place outside lies beyond any image.
                let from = &self.x[c * self.g.plane()..];
                let values = places.iter().map(|place| from.get(*place as usize).copied().unwrap_or(0.0));
                row.iter_mut().zip(values).for_each(|(to, value)| *to = value);
            }
        }
    }

    /// Rows `depth` for the output pixels `cells` as they lie in the input, and their distance, if they do: for a 1x1 kernel on
    /// one image.
    pub(crate) fn as_they_lie(&self, cells: Range<usize>, depth: Range<usize>) -> Option<(&'a [f32], usize)> {
        let (g, plane) = (self.g, self.g.plane());
        let same = g.batch == 1 && g.kernel == [1, 1] && g.offset == [0, 0] && g.out_size == g.size;
        same.then(|| (&self.x[depth.start * plane + cells.start..(depth.end - 1) * plane + cells.end], plane))
    }

    /// Copies what a tap finds in channel `c` for some output pixels, row by row of the map.
    fn copy(&self, segments: &[Segment], c: usize, tap: usize, row: &mut [f32]) {
        let g = self.g;
        for segment in segments {
            let to = &mut row[segment.offset..segment.offset + segment.count];
            let first = (segment.column + tap % g.kernel[1]) as isize - g.offset[1];
            copy_line(g, self.x, segment.image * g.channels + c, segment.row + tap / g.kernel[1], first, to);
        }
    }

    /// [`rows`](Self::rows) for a product of this precision.
    pub(crate) fn operand(
        &self,
        isa: Isa,
        precision: Precision,
        cells: Range<usize>,
        depth: Range<usize>,
        block: &mut [f32],
        stride: usize,
    ) {
        if precision == Precision::F32 {
            return self.rows(cells, depth, block, stride);
        }
        let mut values = Scratch::take(depth.len() * stride);
        self.rows(cells, depth.clone(), &mut values, stride);
        isa.run(PairRows { rows: depth.len(), from: &values, to: block, stride });
    }
}

/// Copies part of a line of a padded plane of `x`, from column `first` of the plane on: zeros where that is padding.
pub(crate) fn copy_line(g: &Geometry, x: &[f32], plane: usize, line: usize, first: isize, to: &mut [f32]) {
    let inside = clip(first, to.len(), g.size[1]);
    let Some(row) = g.row(line).filter(|_| !inside.is_empty()) else { return to.fill(0.0) };
    let line = &x[(plane * g.size[0] + row) * g.size[1]..][..g.size[1]];
    to[..inside.start].fill(0.0);
    let from = (first + inside.start as isize) as usize;
    to[inside.clone()].copy_from_slice(&line[from..from + inside.len()]);
    to[inside.end..].fill(0.0);
}

/// The part of `0..count` for which `first + i` is in `0..width`.
fn clip(first: isize, count: usize, width: usize) -> Range<usize> {
    let start = (-first).clamp(0, count as isize) as usize;
    let end = (width as isize - first).clamp(start as isize, count as isize) as usize;
    start..end
}
