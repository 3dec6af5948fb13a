//! Convolution by its definition, as a matrix product: any kernel, padding and size, at the accuracy of a plain sum.
//!
//! The input is unrolled ("im2col") block by block: a column of the unrolled matrix holds the values under the kernel at
//! one output pixel. A block of columns and a slice of its depth are unrolled into scratch memory that fits in the
//! cache, multiplied with the packed weights, and forgotten; the whole matrix never exists.

use std::ops::Range;

use rayon::prelude::*;

use crate::Activation;
use crate::kernel::gemm::{DotMul, MatMul, pack, packed_len};
use crate::kernel::scratch::Scratch;
use crate::kernel::shard::{Cut, Segment, Sharded};
use crate::kernel::simd::Isa;
use crate::shape::Geometry;

/// Output pixels in a block of the forward product.
const PIXELS: usize = 96;

/// Output pixels in a block of the weight gradient.
const DOT_PIXELS: usize = 256;

/// Rows of the unrolled matrix in a block.
const DEPTH: usize = 256;

/// Rows of the unrolled matrix that one task of the weight gradient owns.
const DOT_DEPTH: usize = 96;

/// Tasks that the weight gradient is at least cut in, where it is large enough. Fixed, so that the order of every sum is
/// the same for any number of threads.
const DOT_TASKS: usize = 16;

/// Weights in the layout of the forward product.
pub(crate) struct DirectWeights {
    packed: Scratch,
}

impl DirectWeights {
    /// Packs `w` `[K, C, R, S]` for the forward pass.
    pub(crate) fn forward(isa: Isa, g: &Geometry, w: &[f32]) -> DirectWeights {
        let depth = g.depth();
        DirectWeights::pack(isa, g.out_channels, depth, |k, d| w[k * depth + d])
    }

    /// Packs `w` `[K, C, R, S]` for the data gradient; `g` is the transposed geometry.
    pub(crate) fn transposed(isa: Isa, g: &Geometry, w: &[f32]) -> DirectWeights {
        let window = g.kernel[0] * g.kernel[1];
        // Row c, column (k, r, s) is w[k, c, R-1-r, S-1-s].
        DirectWeights::pack(isa, g.out_channels, g.depth(), |c, d| {
            let (k, rs) = (d / window, d % window);
            w[(k * g.out_channels + c) * window + window - 1 - rs]
        })
    }

    fn pack(isa: Isa, m: usize, depth: usize, at: impl Fn(usize, usize) -> f32 + Sync) -> DirectWeights {
        let rows = isa.panel_rows();
        let mut packed = Scratch::take(packed_len(m, depth, rows));
        packed.par_chunks_mut((depth * rows).max(1)).enumerate().for_each(|(p, panel)| {
            pack(rows.min(m - p * rows), depth, rows, panel, |i, d| at(p * rows + i, d));
        });
        DirectWeights { packed }
    }
}

/// Unrolls rows `depth` of the matrix for the output pixels in `segments` into `block`, whose rows are `stride` apart.
fn unroll(
    g: &Geometry,
    x: &[f32],
    segments: impl Iterator<Item = Segment> + Clone,
    depth: Range<usize>,
    block: &mut [f32],
    stride: usize,
) {
    let [height, width] = g.size;
    let window = g.kernel[0] * g.kernel[1];
    for (row, d) in block.chunks_mut(stride).zip(depth) {
        let (c, r, s) = (d / window, d % window / g.kernel[1], d % g.kernel[1]);
        for segment in segments.clone() {
            let to = &mut row[segment.offset..segment.offset + segment.count];
            let y = segment.row as isize + r as isize - g.offset[0];
            let Some(y) = usize::try_from(y).ok().filter(|y| *y < height) else {
                to.fill(0.0);
                continue;
            };
            let plane = (segment.image * g.channels + c) * height;
            let line = &x[(plane + y) * width..(plane + y + 1) * width];
            let first = segment.column as isize + s as isize - g.offset[1];
            let inside = clip(first, to.len(), width);
            if inside.is_empty() {
                to.fill(0.0);
                continue;
            }
            to[..inside.start].fill(0.0);
            let from = (first + inside.start as isize) as usize;
            to[inside.clone()].copy_from_slice(&line[from..from + inside.len()]);
            to[inside.end..].fill(0.0);
        }
    }
}

/// The part of `0..count` for which `first + i` is in `0..width`.
fn clip(first: isize, count: usize, width: usize) -> Range<usize> {
    let start = (-first).clamp(0, count as isize) as usize;
    let end = (width as isize - first).clamp(start as isize, count as isize) as usize;
    start..end
}

/// out = x * w + bias, then the activation.
pub(crate) fn forward(
    isa: Isa,
    g: &Geometry,
    x: &[f32],
    weights: &DirectWeights,
    bias: Option<&[f32]>,
    activation: Activation,
    out: &mut [f32],
) {
    let depth = g.depth();
    let pixels = g.batch * g.out_size[0] * g.out_size[1];
    // Few pixels: cut the channels too, so that every thread has work. Each output value is the same in any cut.
    let parts = (2 * rayon::current_num_threads()).div_ceil(pixels.div_ceil(PIXELS));
    let panel = isa.panel_rows();
    let channels = g.out_channels.div_ceil(parts).next_multiple_of(panel);
    let cut =
        Cut { size: [g.batch, g.out_channels, g.out_size[0], g.out_size[1]], cell_log2: 0, cells: PIXELS, channels };
    let floor = activation.floor();
    let sharded = Sharded::new(out, cut);
    let (blocks, groups) = cut.shards();
    (0..blocks * groups).into_par_iter().for_each(|task| {
        let mut shard = sharded.claim(task / groups, task % groups);
        let (first, rows) = (shard.channels.start, shard.channels.len());
        let stride = PIXELS + 16;
        let mut unrolled = Scratch::take(DEPTH.min(depth) * stride);
        let mut product = Scratch::take(rows * stride);
        for d in (0..depth).step_by(DEPTH) {
            let part = d..(d + DEPTH).min(depth);
            unroll(g, x, cut.segments(shard.cells.clone()), part.clone(), &mut unrolled, stride);
            isa.run(MatMul {
                rows,
                columns: shard.cells.len(),
                depth: part.len(),
                a: &weights.packed[first * depth + d * panel..],
                a_stride: depth * panel,
                a_step: panel,
                b: &unrolled,
                b_stride: stride,
                c: &mut product,
                c_stride: stride,
                accumulate: d > 0,
            });
        }
        for (row, k) in product.chunks(stride).zip(shard.channels.clone()) {
            let b = bias.map_or(0.0, |bias| bias[k]);
            for s in cut.segments(shard.cells.clone()) {
                let from = &row[s.offset..s.offset + s.count];
                let to = shard.row(s.image, k, s.row, s.column..s.column + s.count);
                for (to, from) in to.iter_mut().zip(from) {
                    let value = from + b;
                    // Written so that a value that is not a number stays one.
                    *to = if value < floor { floor } else { value };
                }
            }
        }
    });
}

/// dw = sum over images and pixels of dy and the input under the kernel.
pub(crate) fn backward_weight(isa: Isa, g: &Geometry, x: &[f32], dy: &[f32], dw: &mut [f32]) {
    let (depth, k) = (g.depth(), g.out_channels);
    let size = [g.batch, k, g.out_size[0], g.out_size[1]];
    let pixels = size[0] * size[2] * size[3];
    let slices = depth.div_ceil(DOT_DEPTH);
    let slice = depth.div_ceil(slices);
    let parts = DOT_TASKS.div_ceil(slices).min(pixels.div_ceil(DOT_PIXELS));
    let part = pixels.div_ceil(parts).next_multiple_of(DOT_PIXELS);
    let cut = Cut { size, cell_log2: 0, cells: part, channels: k };

    let mut sums = Scratch::zeros(parts * slices * k * slice);
    sums.par_chunks_mut(k * slice).enumerate().for_each(|(task, sum)| {
        let rows = task % slices * slice..((task % slices + 1) * slice).min(depth);
        let range = cut.cell_range(task / slices);
        let mut unrolled = Scratch::zeros(slice * DOT_PIXELS);
        let mut gradient = Scratch::zeros(k * DOT_PIXELS);
        for p in range.clone().step_by(DOT_PIXELS) {
            let block = p..(p + DOT_PIXELS).min(range.end);
            if block.len() < DOT_PIXELS {
                unrolled.fill(0.0);
                gradient.fill(0.0);
            }
            unroll(g, x, cut.segments(block.clone()), rows.clone(), &mut unrolled, DOT_PIXELS);
            for (k, row) in gradient.chunks_mut(DOT_PIXELS).enumerate() {
                for s in cut.segments(block.clone()) {
                    let from = ((s.image * size[1] + k) * size[2] + s.row) * size[3] + s.column;
                    row[s.offset..s.offset + s.count].copy_from_slice(&dy[from..from + s.count]);
                }
            }
            isa.run(DotMul {
                rows: k,
                columns: rows.len(),
                depth: block.len().next_multiple_of(16),
                a: &gradient,
                a_stride: DOT_PIXELS,
                b: &unrolled,
                b_stride: DOT_PIXELS,
                c: sum,
                c_stride: slice,
            });
        }
    });
    dw.par_chunks_mut(depth).enumerate().for_each(|(k_row, row)| {
        for (d, value) in row.iter_mut().enumerate() {
            let at = (d / slice * k + k_row) * slice + d % slice;
            *value = (0..parts).map(|part| sums[part * slices * k * slice + at]).sum();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::simd::Isa;
    use crate::reference::{self, close, noise};
    use crate::shape::Conv2dShape;

    /// Shapes that reach every border case: pads beyond the kernel, tails in every direction, tiny maps, deep sums.
    fn shapes() -> Vec<Conv2dShape> {
        let square = Conv2dShape::square;
        vec![
            square(1, [1, 1], [1, 1], 1, 0),
            square(1, [3, 8], [17, 13], 3, 1),
            square(2, [3, 5], [7, 9], 3, 10),
            square(2, [7, 3], [12, 31], 3, 0),
            square(3, [5, 70], [5, 4], 3, 1),
            square(1, [30, 40], [7, 7], 7, 3),
            square(2, [33, 21], [16, 15], 1, 0),
            Conv2dShape { kernel: [2, 5], pad: [1, 0], ..square(1, [4, 9], [10, 11], 1, 0) },
        ]
    }

    #[test]
    fn forward_and_gradients_agree_with_f64_on_every_instruction_set() {
        let mut wrong = Vec::new();
        for shape in shapes() {
            shape.check().unwrap();
            let (x, w) = (noise(1, shape.input_len()), noise(2, shape.weight_len()));
            let (dy, bias) = (noise(3, shape.output_len()), noise(4, shape.out_channels));
            let plane = shape.out_height() * shape.out_width();
            let mut want = reference::forward(&shape, &x, &w);
            want.iter_mut().enumerate().for_each(|(i, v)| {
                *v = (*v + f64::from(bias[i / plane % shape.out_channels])).max(0.0);
            });
            let (want_dx, want_dw) =
                (reference::backward_data(&shape, &dy, &w), reference::backward_weight(&shape, &x, &dy));
            for isa in Isa::available() {
                let (g, t) = (shape.geometry(), shape.geometry().transposed());
                let mut out = vec![f32::NAN; shape.output_len()];
                let packed = DirectWeights::forward(isa, &g, &w);
                forward(isa, &g, &x, &packed, Some(&bias), Activation::Relu, &mut out);
                wrong.extend(close(&format!("{isa:?} forward {shape}"), &out, &want, 4e-7));
                let mut dx = vec![f32::NAN; shape.input_len()];
                forward(isa, &t, &dy, &DirectWeights::transposed(isa, &t, &w), None, Activation::Identity, &mut dx);
                wrong.extend(close(&format!("{isa:?} data gradient {shape}"), &dx, &want_dx, 4e-7));
                let mut dw = vec![f32::NAN; shape.weight_len()];
                backward_weight(isa, &g, &x, &dy, &mut dw);
                wrong.extend(close(&format!("{isa:?} weight gradient {shape}"), &dw, &want_dw, 4e-7));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
