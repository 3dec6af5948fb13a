//! Rows of pixels to and from tensors, for direct convolutions: one behind the other, or interleaved as squares.

use std::ops::Range;

use crate::memory::{Segment, Shard};
use crate::simd::{Kernel, Simd, WIDEST};

/// Takes products to a shard's pixels: bias, rectifier.
pub(crate) struct Finish<'a, 'b> {
    /// A row for each of the shard's channels.
    pub products: &'a [f32],
    /// Distance of two rows.
    pub stride: usize,
    /// Which of the shard's pixels are where in a row.
    pub segments: &'a [Segment],
    /// Where they go: a shard whose cells are single pixels.
    pub to: &'a mut Shard<'b>,
    /// Added to each channel of the whole output.
    pub bias: Option<&'a [f32]>,
    /// The smallest value to store: 0 for a rectifier, else minus infinity.
    pub floor: f32,
}

impl Kernel for Finish<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let floor = s.splat(self.floor);
        let plane = self.to.plane();
        for (row, k) in self.products.chunks(self.stride).zip(self.to.channels.clone()) {
            let bias = self.bias.map_or(0.0, |bias| bias[k]);
            let each = s.splat(bias);
            for segment in self.segments {
                let from = &row[segment.offset..segment.offset + segment.count];
                let to = self.to.pixels(k, *segment);
                assert_eq!(from.len(), to.len(), "pixels of a segment");
                let mut i = 0;
                while i < to.len() && to.len() >= S::LANES {
                    // The last vector may begin before the one before ends.
                    let at = i.min(to.len() - S::LANES);
                    // The next channel's place.
                    s.prefetch_write(to.as_ptr().wrapping_add(at + plane));
                    // SAFETY: a vector fits behind `at` in both, which are equally long. In this order NaN stays
                    // NaN.
                    unsafe {
                        let value = s.add(s.load(from.as_ptr().add(at)), each);
                        s.store(to.as_mut_ptr().add(at), s.max(floor, value));
                    }
                    i += S::LANES;
                }
                while i < to.len() {
                    let value = from[i] + bias;
                    to[i] = if value < self.floor { self.floor } else { value };
                    i += 1;
                }
            }
        }
    }
}

/// Copies pixels of a tensor `[images, channels, height, width]` to rows, with zeros where there is no pixel.
pub(crate) struct Gather<'a> {
    /// The tensor's sizes.
    pub size: [usize; 4],
    /// The tensor.
    pub from: &'a [f32],
    /// Which pixels go where in a row.
    pub segments: &'a [Segment],
    /// The channels to copy, one to each row.
    pub channels: Range<usize>,
    /// The rows.
    pub to: &'a mut [f32],
    /// Length of a row.
    pub stride: usize,
}

impl Kernel for Gather<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let [_, channels, height, width] = self.size;
        for (row, k) in self.to.chunks_exact_mut(self.stride).zip(self.channels) {
            let mut end = 0;
            for segment in self.segments {
                let at = ((segment.image * channels + k) * height + segment.row) * width + segment.column;
                let from = &self.from[at..at + segment.count];
                row[end..segment.offset].fill(0.0);
                end = segment.offset + segment.count;
                row[segment.offset..end].copy_from_slice(from);
                // What the next call will most likely ask for.
                for i in (0..segment.count).step_by(WIDEST) {
                    s.prefetch(from.as_ptr().wrapping_add(self.stride + i));
                }
            }
            row[end..].fill(0.0);
        }
    }
}

/// Takes products to squares of pixels, and adds the bias: `side` x `side` rows for each of the shard's channels, a row for each
/// place in a square.
pub(crate) struct Interleave<'a, 'b> {
    /// The rows.
    pub products: &'a [f32],
    /// Distance of two rows.
    pub stride: usize,
    /// Which of the shard's squares are where in a row.
    pub segments: &'a [Segment],
    /// Where they go: a shard whose cells are these squares.
    pub to: &'a mut Shard<'b>,
    /// A side of a square, in pixels.
    pub side: usize,
    /// Added to each channel of the whole output.
    pub bias: Option<&'a [f32]>,
}

impl Kernel for Interleave<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (side, stride) = (self.side, self.stride);
        for (rows, k) in self.products.chunks(side * side * stride).zip(self.to.channels.clone()) {
            let bias = self.bias.map_or(0.0, |bias| bias[k]);
            for segment in self.segments {
                for line in 0..side {
                    let to = self.to.line(k, *segment, line);
                    let row =
                        |column: usize| &rows[(line * side + column) * stride + segment.offset..][..segment.count];
                    if side == 2 {
                        // A loop that the compiler turns into vectors.
                        for ((to, even), odd) in to.chunks_exact_mut(2).zip(row(0)).zip(row(1)) {
                            (to[0], to[1]) = (even + bias, odd + bias);
                        }
                        continue;
                    }
                    for column in 0..side {
                        let values = to[column..].iter_mut().step_by(side).zip(row(column));
                        values.for_each(|(to, value)| *to = value + bias);
                    }
                }
            }
        }
    }
}

/// The inverse of [`Interleave`]: a plane of squares to planes of the pixels at each place in them.
pub(crate) struct Separate<'a> {
    /// The plane: whole squares.
    pub from: &'a [f32],
    /// Its width in pixels.
    pub width: usize,
    /// A side of a square, in pixels.
    pub side: usize,
    /// The planes, `side` x `side` of them.
    pub to: &'a mut [f32],
}

impl Kernel for Separate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let (side, columns) = (self.side, self.width / self.side);
        let plane = self.from.len() / (side * side);
        for (i, from) in self.from.chunks_exact(self.width).enumerate() {
            let (line, first) = (i % side * side, i / side * columns);
            if side == 2 {
                let (even, odd) = self.to[line * plane..].split_at_mut(plane);
                let to = even[first..][..columns].iter_mut().zip(&mut odd[first..][..columns]);
                // A loop that the compiler turns into vectors.
                to.zip(from.chunks_exact(2)).for_each(|((even, odd), pair)| (*even, *odd) = (pair[0], pair[1]));
                continue;
            }
            for column in 0..side {
                let to = &mut self.to[(line + column) * plane + first..][..columns];
                to.iter_mut().zip(from[column..].iter().step_by(side)).for_each(|(to, value)| *to = *value);
            }
        }
    }
}
