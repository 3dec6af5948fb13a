//! Lines of padded images, laid out one behind the other, so that what a tap meets at a run of output pixels is contiguous.

use std::ops::Range;

use super::super::unroll::copy_line;
use crate::memory::{Scratch, Segment};
use crate::shape::Geometry;
use crate::simd::WIDEST;

/// Lines of the padded images for some output rows: `[channel][line][column]`, with space to read beyond the last.
pub(super) struct Lines<'a> {
    g: &'a Geometry,
    /// Output rows, counted through all images.
    rows: Range<usize>,
    pub values: Scratch,
    /// Values of a channel.
    plane: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(g: &'a Geometry, x: &[f32], rows: Range<usize>) -> Lines<'a> {
        let [high, wide] = Self::padded(g);
        let first = Self::line(g, rows.start);
        let lines = Self::line(g, rows.end - 1) + g.kernel[0] - first;
        let plane = lines * wide + g.kernel[1] + WIDEST;
        let mut values = Scratch::take(g.channels * plane);
        for (c, to) in values.chunks_mut(plane).enumerate() {
            to[lines * wide..].fill(0.0);
            for (line, to) in (first..first + lines).zip(to.chunks_mut(wide)) {
                copy_line(g, x, line / high * g.channels + c, line % high, -g.offset[1], to);
            }
        }
        Lines { g, rows, values, plane }
    }

    /// Height and width of an image with as much padding as its output needs.
    pub(super) fn padded(g: &Geometry) -> [usize; 2] {
        [0, 1].map(|i| g.out_size[i] + g.kernel[i] - 1)
    }

    /// The first line of an output row, counted through all images.
    fn line(g: &Geometry, row: usize) -> usize {
        row / g.out_size[0] * Self::padded(g)[0] + row % g.out_size[0]
    }

    /// The output pixels; their offsets count from the first.
    pub(super) fn segments(&self) -> Vec<Segment> {
        let (wide, first) = (Self::padded(self.g)[1], Self::line(self.g, self.rows.start));
        let [height, count] = self.g.out_size;
        let offset = |row: usize| (Self::line(self.g, row) - first) * wide;
        let segment = |row| Segment { image: row / height, row: row % height, column: 0, count, offset: offset(row) };
        self.rows.clone().map(segment).collect()
    }

    /// Where the value is that each tap meets at the first pixel: `[channel, tap]`.
    pub(super) fn taps(&self) -> Vec<usize> {
        let wide = Self::padded(self.g)[1];
        each_tap(self.g, |c, r, s| c * self.plane + r * wide + s)
    }
}

/// Something of every channel, and row and column of the kernel: `[channel, tap]`.
fn each_tap(g: &Geometry, of: impl Fn(usize, usize, usize) -> usize) -> Vec<usize> {
    let [rows, columns] = g.kernel;
    (0..g.depth()).map(|d| of(d / (rows * columns), d / columns % rows, d % columns)).collect()
}

/// Lines of a padded image for some output rows, once for each column of the kernel, without the places where no output
/// pixel is: `[channel][column][line][OW]`. What a tap meets is then as contiguous as the pixels themselves.
pub(super) struct Shifted {
    pub values: Scratch,
    /// Where the values begin that each tap meets, `[channel, tap]`.
    pub taps: Vec<usize>,
}

impl Shifted {
    /// For output rows `rows` of image `image`.
    pub(super) fn new(g: &Geometry, x: &[f32], image: usize, rows: Range<usize>) -> Shifted {
        let ([_, width], [high, wide]) = (g.out_size, g.kernel);
        let lines = rows.len() + high - 1;
        let plane = lines * width + WIDEST;
        let mut values = Scratch::take(g.channels * wide * plane);
        for (i, to) in values.chunks_mut(plane).enumerate() {
            let (c, column) = (i / wide, i % wide);
            to[lines * width..].fill(0.0);
            for (line, to) in (rows.start..rows.start + lines).zip(to.chunks_exact_mut(width)) {
                copy_line(g, x, image * g.channels + c, line, column as isize - g.offset[1], to);
            }
        }
        let taps = each_tap(g, |c, r, s| (c * wide + s) * plane + r * width);
        Shifted { values, taps }
    }
}
