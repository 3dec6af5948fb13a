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
use crate::kernel::scratch::Scratch;
use crate::kernel::shard::{Cut, Segment, Sharded};
use crate::kernel::simd::Isa;
use crate::kernel::taps::TapMul;
use crate::kernel::winograd::WIDEST;
use crate::shape::Geometry;
use crate::unroll::copy_line;

/// Places whose lines a task of the forward pass lays out together, as far as rows are not longer.
const TASK_PLACES: usize = 3840;

/// The same for the weight gradient.
const DOT_PLACES: usize = 1920;

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
    fn padded(g: &Geometry) -> [usize; 2] {
        [0, 1].map(|i| g.out_size[i] + g.kernel[i] - 1)
    }

    /// The first line of an output row, counted through all images.
    fn line(g: &Geometry, row: usize) -> usize {
        row / g.out_size[0] * Self::padded(g)[0] + row % g.out_size[0]
    }

    /// The output pixels; their offsets count from the first.
    fn segments(&self) -> Vec<Segment> {
        let (wide, first) = (Self::padded(self.g)[1], Self::line(self.g, self.rows.start));
        let [height, count] = self.g.out_size;
        let offset = |row: usize| (Self::line(self.g, row) - first) * wide;
        let segment = |row| Segment { image: row / height, row: row % height, column: 0, count, offset: offset(row) };
        self.rows.clone().map(segment).collect()
    }

    /// Where the value is that each tap meets at the first pixel: `[channel, tap]`.
    fn taps(&self) -> Vec<usize> {
        let wide = Self::padded(self.g)[1];
        each_tap(self.g, |c, r, s| c * self.plane + r * wide + s)
    }
}

/// Something of every channel, and row and column of the kernel: `[channel, tap]`.
fn each_tap(g: &Geometry, of: impl Fn(usize, usize, usize) -> usize) -> Vec<usize> {
    let [rows, columns] = g.kernel;
    (0..g.depth()).map(|d| of(d / (rows * columns), d / columns % rows, d % columns)).collect()
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
    // As many tasks for each thread. The cut may follow their number, since it changes no output value.
    let (all, most) = (g.batch * height, (TASK_PLACES / Lines::padded(g)[1]).max(1));
    let rows = all.div_ceil(all.div_ceil(most).next_multiple_of(2 * rayon::current_num_threads()));
    let cut = Cut { size: [g.batch, channels, height, width], cell: 1, cells: rows * width, channels };
    let sharded = Sharded::new(out, cut);
    (0..cut.shards().0).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task, 0);
        let lines = Lines::new(g, x, shard.cells.start / width..shard.cells.end.div_ceil(width));
        isa.run(TapMul {
            a: weights.words(),
            group: GROUP,
            b: &lines.values,
            taps: &lines.taps(),
            segments: &lines.segments(),
            to: &mut shard,
            bias,
            floor: activation.floor(),
        });
    });
}

/// Lines of a padded image for some output rows, once for each column of the kernel, without the places where no output
/// pixel is: `[channel][column][line][OW]`. What a tap meets is then as contiguous as the pixels themselves.
struct Shifted {
    values: Scratch,
    /// Where the values begin that each tap meets, `[channel, tap]`.
    taps: Vec<usize>,
}

impl Shifted {
    /// For output rows `rows` of image `image`.
    fn new(g: &Geometry, x: &[f32], image: usize, rows: Range<usize>) -> Shifted {
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

/// dw = sum over images and pixels of dy and the input under the kernel. Parts of the pixels are added up at the end.
pub(crate) fn backward_weight(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, k, [height, width]) = (g.depth(), g.out_channels, g.out_size);
    let plane = height * width;
    let part = (g.batch * height).div_ceil(DOT_TASKS);
    let together = (DOT_PLACES / width).max(1);
    let mut sums = Scratch::zeros((g.batch * height).div_ceil(part) * k * depth);
    sums.par_chunks_mut(k * depth).enumerate().for_each(|(task, sum)| {
        let end = ((task + 1) * part).min(g.batch * height);
        let mut row = task * part;
        while row < end {
            let (image, first) = (row / height, row % height);
            let rows = together.min(end - row).min(height - first);
            let lines = Shifted::new(g, x, image, first..first + rows);
            let mut add = |a: &[f32], a_stride: usize, from: usize, count: usize| {
                let b_rows: Vec<usize> = lines.taps.iter().map(|tap| tap + from).collect();
                isa.run(DotMul {
                    rows: k,
                    columns: depth,
                    depth: count,
                    a,
                    a_stride,
                    b: &lines.values,
                    b_rows: &b_rows,
                    c: sum,
                    c_stride: depth,
                });
            };
            let gradient = &dy[image * k * plane + first * width..];
            let rest = rows * width % WIDEST;
            let whole = rows * width - rest;
            add(gradient, plane, 0, whole);
            if rest > 0 {
                let mut last = Scratch::zeros(k * WIDEST);
                for (to, from) in last.chunks_mut(WIDEST).zip(gradient.chunks(plane)) {
                    to[..rest].copy_from_slice(&from[whole..whole + rest]);
                }
                add(&last, WIDEST, whole, WIDEST);
            }
            row += rows;
        }
    });
    for (i, value) in dw.iter_mut().enumerate() {
        *value = sums.iter().skip(i).step_by(k * depth).sum();
    }
}
