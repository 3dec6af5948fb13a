//! The two-dimensional transforms of Winograd convolution, from and to tensors `[N, C, H, W]`; those of weights are in
//! [`super::weights`].
//!
//! `N` is the number of points, `T` the number of outputs of a tile and `R` that of taps, in each direction.
//!
//! Vectors run along neighbouring tiles of a row: no channel count is special, and no other layout of activations is
//! needed. The vertical transform comes first, on contiguous rows of pixels; only its results are split into the T
//! phases of a tile (x mod T) for the horizontal one.
//!
//! A block of values at the points has the layout `[point][channel][tile]`; see [`PointBlock`]. In one of pairs of bf16
//! values, a pair of channels takes the place of a channel; the last one of an odd number stands beside zero.

use std::ops::Range;

use super::points::{input, output, spread};
use super::shard::{Cut, Segment, Shard};
use super::simd::{Kernel, PairKernel, Precision, Simd};

/// The widest vector of any instruction set.
pub(crate) const WIDEST: usize = 16;

/// The layout of values at the points: `[point][channel][tile]`.
///
/// Rows are whole lines of [`WIDEST`] values. A vector may begin at the last tile and so reach into the next row: rows are
/// therefore written in order, and each point has room for a vector at its end. Strides avoid large powers of two, so that
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
    fn holds(&self, channels: usize, tiles: usize, points: usize, len: usize) -> bool {
        let room = self.row >= tiles.next_multiple_of(WIDEST) && self.point >= channels * self.row + WIDEST;
        room && len >= self.len(points)
    }
}

/// Rounds up to an odd number of cache lines of 16 values.
pub(super) fn odd_lines(values: usize) -> usize {
    (values.div_ceil(16) | 1) * 16
}

/// Values of scratch that [`ToPoints`] needs for a run of `tiles` tiles of images `width` pixels wide: the lines of a
/// channel or a pair, and a row of zeros.
pub(crate) fn lines_len<const N: usize, const T: usize>(precision: Precision, tiles: usize, width: usize) -> usize {
    precision.values() * N * line_len::<N, T>(tiles) + width + 3 * WIDEST
}

/// Values in one line of that scratch.
fn line_len<const N: usize, const T: usize>(tiles: usize) -> usize {
    odd_lines(T * (tiles + WIDEST) + N + WIDEST)
}

/// Takes pixels to the points: B^T d B for an input, A y A^T for the gradient of an output (`GRADIENT`).
pub(crate) struct ToPoints<'a, const N: usize, const T: usize, const GRADIENT: bool> {
    /// The tensor `[images, channels, height, width]`.
    pub x: &'a [f32],
    /// Its channels in all.
    pub channels: usize,
    /// Its height and width.
    pub size: [usize; 2],
    /// Tile (i, j) begins at pixel (T i - offset, T j - offset).
    pub offset: [isize; 2],
    /// Tiles, cut from the convolution's output.
    pub cut: Cut,
    /// The tiles to transform: at most as many as `block` was made for.
    pub tiles: Range<usize>,
    /// The channels to transform.
    pub from_channels: Range<usize>,
    /// The block to fill: `[N * N]` points of the channels above, or of their pairs.
    pub to: &'a mut [f32],
    /// Its layout.
    pub block: PointBlock,
    /// Scratch: [`lines_len`] values.
    pub lines: &'a mut [f32],
}

impl<const N: usize, const T: usize, const GRADIENT: bool> Kernel for ToPoints<'_, N, T, GRADIENT> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        self.transform_all(s, Precision::F32);
    }
}

impl<const N: usize, const T: usize, const GRADIENT: bool> PairKernel for ToPoints<'_, N, T, GRADIENT> {
    #[inline(always)]
    fn run_pairs<S: Simd>(self, s: S) {
        self.transform_all(s, Precision::Bf16);
    }
}

impl<const N: usize, const T: usize, const GRADIENT: bool> ToPoints<'_, N, T, GRADIENT> {
    /// Rows (and columns) of pixels that a tile reads.
    const READS: usize = if GRADIENT { T } else { N };

    #[inline(always)]
    fn transform_all<S: Simd>(mut self, s: S, precision: Precision) {
        let tiles = self.tiles.len();
        let rows = precision.words(self.from_channels.len());
        let [height, width] = self.size;
        let images = self.cut.size[0];
        assert_eq!(self.x.len(), images * self.channels * height * width, "length of the tensor");
        assert!(self.from_channels.end <= self.channels, "channels");
        assert!(self.tiles.end <= self.cut.cell_count(), "tiles");
        assert!(self.block.holds(rows, tiles, N * N, self.to.len()), "{:?}", self.block);
        assert!(self.lines.len() >= lines_len::<N, T>(precision, tiles, width), "length of the scratch");
        let zeros = precision.values() * N * line_len::<N, T>(tiles);
        self.lines[zeros..zeros + width + 3 * WIDEST].fill(0.0);
        let segments: Vec<Segment> = self.cut.segments(self.tiles.clone()).collect();
        for row in 0..rows {
            let first = self.from_channels.start + precision.values() * row;
            let second = precision == Precision::Bf16 && first + 1 < self.from_channels.end;
            for &segment in &segments {
                self.vertical(s, first, segment, 0, zeros);
                if second {
                    self.vertical(s, first + 1, segment, N, zeros);
                }
                self.horizontal(s, precision, row, segment, second);
            }
        }
    }

    #[inline(always)]
    fn transform<S: Simd>(s: S, d: [S::V; N]) -> [S::V; N] {
        if GRADIENT {
            let mut y = [s.splat(0.0); T];
            y.copy_from_slice(&d[..T]);
            spread::<S, N, T>(s, y)
        } else {
            input::<S, N>(s, d)
        }
    }

    /// Transforms the columns of a segment into N lines, from line `to` on; the row of zeros begins at `zeros`.
    ///
    /// Stores are aligned, so that the 16-byte loads of the horizontal transform find their values in the store buffer.
    #[inline(always)]
    fn vertical<S: Simd>(&mut self, s: S, c: usize, segment: Segment, to: usize, zeros: usize) {
        let [height, width] = self.size;
        let line = line_len::<N, T>(self.tiles.len());
        let first = (T * segment.column) as isize - self.offset[1];
        let count = T * segment.count + Self::READS - T;
        // The columns that are not padding.
        let start = (-first).clamp(0, count as isize);
        let end = (width as isize - first).clamp(start, count as isize);

        // Where column 0 of each row is: in the tensor (or before or behind it, at the borders), or in a row of zeros.
        let mut rows = [self.lines.as_ptr().wrapping_add(zeros + WIDEST).wrapping_offset(first); N];
        let (mut lowest, mut highest) = (isize::MAX / 2, 0);
        for (i, row) in rows.iter_mut().enumerate().take(Self::READS) {
            let y = (T * segment.row + i) as isize - self.offset[0];
            if y >= 0 && y < height as isize {
                let plane = (segment.image * self.channels + c) * height;
                let at = ((plane + y as usize) * width) as isize + first;
                *row = self.x.as_ptr().wrapping_offset(at);
                (lowest, highest) = (lowest.min(at), at);
            }
        }
        let mut j = 0;
        while j < count as isize {
            let stop = j + S::LANES as isize;
            let mut d = [s.splat(0.0); N];
            let inside = lowest + j >= 0 && highest + stop <= self.x.len() as isize;
            if inside && stop > start && j < end {
                for (d, row) in d.iter_mut().zip(rows).take(Self::READS) {
                    // SAFETY: the vector lies in the tensor, or in the row of zeros, which begins WIDEST values before
                    // the first column and ends as many after the last.
                    *d = unsafe { s.load(row.wrapping_offset(j)) };
                }
                if j < start || stop > end {
                    let keep = lane_mask(s, start - j, end - j);
                    for d in d.iter_mut().take(Self::READS) {
                        *d = s.and(*d, keep);
                    }
                }
            } else if stop > start && j < end {
                for (d, row) in d.iter_mut().zip(rows).take(Self::READS) {
                    // SAFETY: columns from start to end lie in the tensor or in the row of zeros; the array holds a vector.
                    *d = unsafe {
                        let lanes = part(row.wrapping_offset(j), (start - j).max(0)..(end - j).min(S::LANES as isize));
                        s.load(lanes.as_ptr())
                    };
                }
            }
            if j % 16 == 0 {
                // The next channel's rows: these reads are too short and scattered for the processor to foresee.
                for row in rows.iter().take(Self::READS) {
                    s.prefetch(row.wrapping_offset(j + (height * width) as isize));
                }
            }
            let points = Self::transform(s, d);
            for (i, v) in points.iter().enumerate() {
                // SAFETY: lines hold `count + WIDEST` values.
                unsafe { s.store(self.lines.as_mut_ptr().add((to + i) * line + j as usize), *v) };
            }
            j = stop;
        }
    }

    /// Transforms the lines of a segment into row `row` of the block; in pairs with zeros unless there is a `second` channel.
    #[inline(always)]
    fn horizontal<S: Simd>(&mut self, s: S, precision: Precision, row: usize, segment: Segment, second: bool) {
        let line = line_len::<N, T>(self.tiles.len());
        let mut t = 0;
        while t < segment.count {
            for i in 0..N {
                // SAFETY: lines i and N + i are long enough for the tiles' last vector and N values beyond; the block has
                // rows with room for a vector at the last tile, for all points and channels, as checked at the beginning.
                unsafe {
                    let from = self.lines.as_ptr().add(i * line + T * t);
                    let mut points = Self::transform(s, Self::phases(s, from));
                    if precision == Precision::Bf16 {
                        let mut odd = [s.splat(0.0); N];
                        if second {
                            odd = Self::transform(s, Self::phases(s, from.add(N * line)));
                        }
                        for (even, odd) in points.iter_mut().zip(odd) {
                            *even = s.pair(*even, odd);
                        }
                    }
                    let to = self.to.as_mut_ptr().add(row * self.block.row + segment.offset + t);
                    for (j, v) in points.iter().enumerate() {
                        let to = to.add((i * N + j) * self.block.point);
                        s.store(to, *v);
                        // The next channel's place.
                        s.prefetch_write(to.wrapping_add(self.block.row));
                    }
                }
            }
            t += S::LANES;
        }
    }

    /// What `LANES` tiles read of a line: lane t of vector j is value T t + j.
    ///
    /// # Safety
    /// T LANES + N values can be read.
    #[inline(always)]
    unsafe fn phases<S: Simd>(s: S, from: *const f32) -> [S::V; N] {
        let mut d = [s.splat(0.0); N];
        // SAFETY: as the caller vouches.
        unsafe {
            if T == 4 {
                d[..4].copy_from_slice(&s.load4(from));
                for j in 4..Self::READS {
                    d[j] = s.shift_in(d[j - 4], *from.add(4 * (S::LANES - 1) + j));
                }
            } else {
                let mut places = [0; WIDEST];
                for (t, place) in places.iter_mut().enumerate() {
                    *place = T * t;
                }
                let mut j = 0;
                while j < Self::READS {
                    let four = s.load_columns(from.add(j), &places);
                    for (d, v) in d[j..].iter_mut().zip(four) {
                        *d = v;
                    }
                    j += 4;
                }
            }
        }
        d
    }
}

/// The values `lanes` of those at `from`, in their place, and zeros; only those are read.
///
/// # Safety
/// They can be read.
#[cold]
#[inline(never)]
unsafe fn part(from: *const f32, lanes: Range<isize>) -> [f32; WIDEST] {
    let mut values = [0.0; WIDEST];
    for i in lanes {
        // SAFETY: lane i is one of those that can be read.
        values[i as usize] = unsafe { *from.offset(i) };
    }
    values
}

/// All bits set in lanes `start..end`, none in the others.
#[inline(always)]
fn lane_mask<S: Simd>(s: S, start: isize, end: isize) -> S::V {
    const WIDE: isize = WIDEST as isize;
    /// Zeros, ones, zeros: a window of it that begins at WIDEST - n has n zeros, one at 2 WIDEST - n has n ones.
    static BITS: [u32; 3 * WIDEST] = {
        let mut bits = [0; 3 * WIDEST];
        let mut i = WIDEST;
        while i < 2 * WIDEST {
            bits[i] = u32::MAX;
            i += 1;
        }
        bits
    };
    let from = |at: isize| BITS.as_ptr().wrapping_offset(at).cast::<f32>();
    // SAFETY: the windows begin at 0 to 2 WIDEST and are at most WIDEST long.
    unsafe {
        let after = s.load(from(WIDE - start.clamp(0, WIDE)));
        let before = s.load(from(2 * WIDE - end.clamp(0, WIDE)));
        s.and(after, before)
    }
}

/// Takes products at the points to output pixels: A^T m A, bias, activation; or to the maxima of windows of 2x2 pixels.
pub(crate) struct FromPoints<'a, 'b, const N: usize, const T: usize> {
    /// The block `[N * N]` of products of `channels` and the shard's tiles.
    pub from: &'a [f32],
    /// Some of the shard's channels.
    pub channels: Range<usize>,
    /// Its layout.
    pub block: PointBlock,
    /// How the output is cut: in cells of T pixels, or of T / 2 maxima.
    pub cut: Cut,
    /// Where the pixels go.
    pub to: &'a mut Shard<'b>,
    /// Added to each channel of the whole output.
    pub bias: Option<&'a [f32]>,
    /// The smallest value to store: 0 for a rectifier, else minus infinity.
    pub floor: f32,
    /// Height and width of the convolution's output, if what is stored are maxima.
    pub pooled_from: Option<[usize; 2]>,
}

impl<const N: usize, const T: usize> Kernel for FromPoints<'_, '_, N, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (channels, tiles) = (self.channels.len(), self.to.cells.len());
        assert!(self.block.holds(channels, tiles, N * N, self.from.len()), "{:?}", self.block);
        let cell = if self.pooled_from.is_some() { T / 2 } else { T };
        assert_eq!(self.cut.cell, cell, "cells of the output");
        let floor = s.splat(self.floor);
        let segments: Vec<Segment> = self.cut.segments(self.to.cells.clone()).collect();
        for (row, k) in self.channels.clone().enumerate() {
            let bias = s.splat(self.bias.map_or(0.0, |bias| bias[k]));
            for &segment in &segments {
                let (to, stride, [high, wide]) = self.to.block(k, segment);
                let mut t = 0;
                while t < segment.count {
                    // SAFETY: the block has a row for each channel with room for a vector at the last tile.
                    let mut pixels = unsafe {
                        let from = self.from.as_ptr().add(row * self.block.row + segment.offset + t);
                        tile_vector::<S, N, T>(s, from, self.block.point)
                    };
                    if let Some(size) = self.pooled_from {
                        let first = [T * segment.row, T * (segment.column + t)];
                        pixels = maxima(s, pixels, [size[0] - first[0], size[1] - first[1]]);
                    }
                    let width = (wide - cell * t).min(cell * S::LANES);
                    for (y, phases) in pixels.iter().enumerate().take(high) {
                        let mut phases = *phases;
                        for v in phases.iter_mut().take(cell) {
                            // In this order a value that is not a number stays one.
                            *v = s.max(floor, s.add(*v, bias));
                        }
                        // SAFETY: `block` allows `high` rows of `wide` values; here are `width` of them from `cell` t on.
                        unsafe {
                            let to = to.add(y * stride + cell * t);
                            if self.pooled_from.is_some() {
                                store_half(s, to, phases, width);
                            } else if width == T * S::LANES {
                                store_phases(s, to, phases);
                            } else {
                                // At most 6 x WIDEST values, and room for the last store.
                                let mut part = [0.0; 7 * WIDEST];
                                store_phases(s, part.as_mut_ptr(), phases);
                                std::ptr::copy_nonoverlapping(part.as_ptr(), to, width);
                            }
                        }
                    }
                    t += S::LANES;
                }
            }
        }
    }
}

/// The T / 2 rows of T / 2 phases of the maxima over windows of 2x2 pixels, in the first places of the result. Pixels
/// beyond `inside`, the rows and columns that lie in the image, are in no window.
#[inline(always)]
fn maxima<S: Simd, const T: usize>(s: S, mut pixels: [[S::V; T]; T], inside: [usize; 2]) -> [[S::V; T]; T] {
    let nothing = s.splat(f32::NEG_INFINITY);
    for row in pixels.iter_mut().skip(inside[0]) {
        *row = [nothing; T];
    }
    if inside[1] % 2 == 1 && inside[1] < T * S::LANES {
        // The neighbour of the last column.
        let (lane, phase) = (inside[1] / T, inside[1] % T);
        for row in pixels.iter_mut() {
            let mut lanes = [0.0; WIDEST];
            // SAFETY: the array holds a vector.
            unsafe {
                s.store(lanes.as_mut_ptr(), row[phase]);
                lanes[lane] = f32::NEG_INFINITY;
                row[phase] = s.load(lanes.as_ptr());
            }
        }
    }
    let mut result = [[nothing; T]; T];
    for i in 0..T / 2 {
        for j in 0..T / 2 {
            let upper = s.larger(pixels[2 * i][2 * j], pixels[2 * i][2 * j + 1]);
            let lower = s.larger(pixels[2 * i + 1][2 * j], pixels[2 * i + 1][2 * j + 1]);
            result[i][j] = s.larger(upper, lower);
        }
    }
    result
}

/// Writes `width` of `T / 2 * LANES` values: value T / 2 t + j is lane t of vector j.
///
/// # Safety
/// They can be written.
#[inline(always)]
unsafe fn store_half<S: Simd, const T: usize>(s: S, to: *mut f32, v: [S::V; T], width: usize) {
    let half = T / 2;
    let (mut phases, mut values) = ([[0.0; WIDEST]; T], [0.0; 5 * WIDEST]);
    assert!(half * S::LANES <= values.len() && width <= half * S::LANES, "a vector of {half} phases");
    for (phase, v) in phases.iter_mut().zip(v).take(half) {
        // SAFETY: the array holds a vector.
        unsafe { s.store(phase.as_mut_ptr(), v) };
    }
    for t in 0..S::LANES {
        for (j, phase) in phases.iter().enumerate().take(half) {
            values[half * t + j] = phase[t];
        }
    }
    // SAFETY: `width` values, as the caller vouches.
    unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), to, width) };
}

/// Writes `T * LANES` values: value T t + j is lane t of vector j.
///
/// # Safety
/// They can be written.
#[inline(always)]
unsafe fn store_phases<S: Simd, const T: usize>(s: S, to: *mut f32, v: [S::V; T]) {
    // SAFETY: 4 LANES values, or 4 at each tile and at its third phase, all among those the caller vouches for.
    unsafe {
        match T {
            4 => s.store4(to, [v[0], v[1], v[2], v[3]]),
            6 => {
                s.store_columns(to, T, [v[0], v[1], v[2], v[3]]);
                s.store_columns(to.add(2), T, [v[2], v[3], v[4], v[5]]);
            }
            _ => {
                let mut phases = [[0.0; WIDEST]; T];
                for (phase, v) in phases.iter_mut().zip(v) {
                    s.store(phase.as_mut_ptr(), v);
                }
                for t in 0..S::LANES {
                    for (j, phase) in phases.iter().enumerate() {
                        *to.add(T * t + j) = phase[t];
                    }
                }
            }
        }
    }
}

/// The T rows of T phases of `LANES` tiles, from N x N vectors that are `point` apart.
///
/// # Safety
/// A vector can be read at each point.
#[inline(always)]
unsafe fn tile_vector<S: Simd, const N: usize, const T: usize>(s: S, from: *const f32, point: usize) -> [[S::V; T]; T] {
    let zero = s.splat(0.0);
    let mut columns = [[zero; N]; T];
    for j in 0..N {
        let mut m = [zero; N];
        for (i, m) in m.iter_mut().enumerate() {
            // SAFETY: point i N + j, as the caller vouches.
            *m = unsafe { s.load(from.add((i * N + j) * point)) };
        }
        let y = output::<S, N, T>(s, m);
        for (column, y) in columns.iter_mut().zip(y) {
            column[j] = y;
        }
    }
    let mut pixels = [[zero; T]; T];
    for (pixels, column) in pixels.iter_mut().zip(columns) {
        *pixels = output::<S, N, T>(s, column);
    }
    pixels
}
