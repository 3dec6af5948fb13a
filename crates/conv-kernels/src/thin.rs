//! Convolution by its definition where hardly anything is summed: the three channels of an image.
//!
//! Products are then so few that to copy their operands row by row of the map, as [`crate::unroll`] does, would take as
//! long. So a task first lays its lines of the padded images one behind the other. What a tap meets at a run of output
//! pixels is then contiguous, whatever rows the run crosses; the price is the S - 1 places at the end of each line (and
//! R - 1 lines below each image) where no output pixel is.

use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::direct::{DirectWeights, GROUP};
use crate::kernel::gemm::DotMul;
use crate::kernel::rows::Gather;
use crate::kernel::scratch::Scratch;
use crate::kernel::shard::{Cut, Segment, Sharded};
use crate::kernel::simd::Isa;
use crate::kernel::taps::TapMul;
use crate::shape::Geometry;

/// Places that are multiplied at a time: whole register tiles and vectors of every instruction set.
const PLACES: usize = 480;

/// Places of a task, as far as rows are not longer.
const TASK_PLACES: usize = 1920;

/// Tasks of the weight gradient. Fixed, so that the order of every sum is the same for any number of threads.
const DOT_TASKS: usize = 16;

/// Length of a sum from which on it is short no longer, and worth products of bf16.
pub(crate) const LONG: usize = 64;

/// Whether sums are that short.
pub(crate) fn suits(g: &Geometry) -> bool {
    g.window() > 1 && g.depth() < LONG
}

/// Lines of the padded images for some output rows: `[channel][line][column]`, and room to read beyond the last.
struct Lines<'a> {
    g: &'a Geometry,
    /// Output rows, counted through all images.
    rows: Range<usize>,
    values: Scratch,
    /// Values of a channel.
    plane: usize,
}

impl<'a> Lines<'a> {
    fn new(g: &'a Geometry, x: &[f32], rows: Range<usize>) -> Lines<'a> {
        let [high, wide] = Self::padded(g);
        let first = Self::line(g, rows.start);
        let lines = Self::line(g, rows.end - 1) + g.kernel[0] - first;
        let plane = lines * wide + PLACES + g.kernel[1];
        let mut values = Scratch::zeros(g.channels * plane);
        // Columns of the padded image that lie in the image.
        let [start, end] = [0, g.size[1] as isize].map(|x| (x + g.offset[1]).clamp(0, wide as isize));
        let from = (start - g.offset[1]) as usize;
        for (c, to) in values.chunks_mut(plane).enumerate() {
            for (line, to) in (first..first + lines).zip(to.chunks_mut(wide)) {
                let y = (line % high).checked_add_signed(-g.offset[0]).filter(|y| *y < g.size[0]);
                let Some(y) = y.filter(|_| start < end) else { continue };
                let row = ((line / high * g.channels + c) * g.size[0] + y) * g.size[1] + from;
                to[start as usize..end as usize].copy_from_slice(&x[row..row + (end - start) as usize]);
            }
        }
        Lines { g, rows, values, plane }
    }

    /// Height and width of an image with as much padding as its output needs.
    fn padded(g: &Geometry) -> [usize; 2] {
        [0, 1].map(|i| g.out_size[i] + g.kernel[i] - 1)
    }

    /// The first line of an output row, counted through all images.
    fn line(g: &Geometry, row: usize) -> usize {
        row / g.out_size[0] * Self::padded(g)[0] + row % g.out_size[0]
    }

    /// Places from the first output pixel to the last.
    fn places(&self) -> usize {
        let wide = Self::padded(self.g)[1];
        (Self::line(self.g, self.rows.end - 1) - Self::line(self.g, self.rows.start)) * wide + self.g.out_size[1]
    }

    /// The output pixels among `places`; their offsets count from the first place.
    fn segments(&self, places: Range<usize>) -> Vec<Segment> {
        let (wide, first) = (Self::padded(self.g)[1], Self::line(self.g, self.rows.start));
        let [height, width] = self.g.out_size;
        let segment = |row: usize| {
            let begin = (Self::line(self.g, row) - first) * wide;
            let (start, end) = (begin.max(places.start), (begin + width).min(places.end));
            let (column, offset) = (start.checked_sub(begin)?, start - places.start);
            (start < end).then(|| Segment {
                image: row / height,
                row: row % height,
                column,
                count: end - start,
                offset,
            })
        };
        self.rows.clone().filter_map(segment).collect()
    }

    /// Where the values begin that each tap meets at a run of places from `first` on: `[channel, tap]`.
    fn taps(&self, first: usize) -> Vec<usize> {
        let (wide, [rows, columns]) = (Self::padded(self.g)[1], self.g.kernel);
        let tap = |d: usize| {
            let (c, r, s) = (d / (rows * columns), d / columns % rows, d % columns);
            c * self.plane + first + r * wide + s
        };
        (0..self.g.depth()).map(tap).collect()
    }
}

/// Output rows whose lines are laid out together.
fn rows_together(g: &Geometry) -> usize {
    (TASK_PLACES / Lines::padded(g)[1]).max(1)
}

/// out = x * w + bias, then the activation; weights are f32.
pub(crate) fn forward(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &DirectWeights,
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let (channels, [height, width]) = (g.out_channels, g.out_size);
    // Some tasks for each thread. The cut may follow their number, since it changes no output value.
    let share = (g.batch * height).div_ceil(2 * rayon::current_num_threads());
    let rows = rows_together(g).min(share);
    let cut = Cut { size: [g.batch, channels, height, width], cell: 1, cells: rows * width, channels };
    let sharded = Sharded::new(out, cut);
    (0..cut.shards().0).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task, 0);
        let lines = Lines::new(g, x, shard.cells.start / width..shard.cells.end.div_ceil(width));
        isa.run(TapMul {
            a: weights.words(),
            group: GROUP,
            b: &lines.values,
            taps: &lines.taps(0),
            segments: &lines.segments(0..lines.places()),
            to: &mut shard,
            bias,
            floor: activation.floor(),
        });
    });
}

/// dw = sum over images and pixels of dy and the input under the kernel. Parts of the pixels are added up at the end.
pub(crate) fn backward_weight(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, k) = (g.depth(), g.out_channels);
    let size = [g.batch, k, g.out_size[0], g.out_size[1]];
    let rows = g.batch * g.out_size[0];
    let part = rows.div_ceil(DOT_TASKS);
    let mut sums = Scratch::zeros(rows.div_ceil(part) * k * depth);
    sums.par_chunks_mut(k * depth).enumerate().for_each(|(task, sum)| {
        let rows = task * part..((task + 1) * part).min(rows);
        let mut gradient = Scratch::take(k * PLACES);
        for first in rows.clone().step_by(rows_together(g)) {
            let lines = Lines::new(g, x, first..(first + rows_together(g)).min(rows.end));
            for first in (0..lines.places()).step_by(PLACES) {
                let places = first..(first + PLACES).min(lines.places());
                isa.run(Gather {
                    size,
                    from: dy,
                    segments: &lines.segments(places.clone()),
                    channels: 0..k,
                    to: &mut gradient,
                    stride: PLACES,
                });
                isa.run(DotMul {
                    rows: k,
                    columns: depth,
                    depth: places.len().next_multiple_of(16),
                    a: &gradient,
                    a_stride: PLACES,
                    b: &lines.values,
                    b_rows: &lines.taps(first),
                    c: sum,
                    c_stride: depth,
                });
            }
        }
    });
    for (i, value) in dw.iter_mut().enumerate() {
        *value = sums.iter().skip(i).step_by(k * depth).sum();
    }
}
