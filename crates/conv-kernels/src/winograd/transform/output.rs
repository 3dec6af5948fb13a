//! The two-dimensional transform from points back to pixels, with bias, rectifier and pool in passing.

use std::ops::Range;

use super::layout::{PointBlock, rows_share_vectors};
use super::points::output;
use crate::memory::{Cut, Segment, Shard};
use crate::simd::{Kernel, Simd, WIDEST};

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
        // Maxima at the edges of odd sizes differ from tile to tile.
        let even = self.pooled_from.is_none_or(|[height, width]| height % 2 == 0 && width % 2 == 0);
        if even && rows_share_vectors::<S>(&self.cut) {
            return self.short_rows(s, &segments);
        }
        for (row, k) in self.channels.clone().enumerate() {
            let bias = s.splat(self.bias.map_or(0.0, |bias| bias[k]));
            for &segment in &segments {
                let (to, stride, [high, wide]) = self.to.block(k, segment);
                let mut t = 0;
                while t < segment.count {
                    // SAFETY: the block has a row for each channel with space for a vector at the last tile.
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
                        let phases = finished(s, *phases, cell, bias, floor);
                        // SAFETY: `block` allows `high` rows of `wide` values; here are `width` of them from `cell` t on.
                        unsafe {
                            let to = to.add(y * stride + cell * t);
                            if self.pooled_from.is_some() {
                                store_half(s, to, phases, width);
                            } else if width == T * S::LANES {
                                store_phases(s, to, phases);
                            } else {
                                // At most 6 x WIDEST values, and space for the last store.
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

impl<const N: usize, const T: usize> FromPoints<'_, '_, N, T> {
    /// The same where rows of tiles are so short that several share a vector.
    #[inline(always)]
    fn short_rows<S: Simd>(self, s: S, segments: &[Segment]) {
        let cell = self.cut.cell;
        let floor = s.splat(self.floor);
        // Pieces of rows that lie in one vector.
        let mut pieces: Vec<Segment> = Vec::new();
        for &segment in segments {
            let (mut column, mut offset) = (segment.column, segment.offset);
            while offset < segment.offset + segment.count {
                let count = (S::LANES - offset % S::LANES).min(segment.offset + segment.count - offset);
                pieces.push(Segment { column, count, offset, ..segment });
                (column, offset) = (column + count, offset + count);
            }
        }
        let mut values = [[0.0; 7 * WIDEST]; T];
        for (row, k) in self.channels.clone().enumerate() {
            let bias = s.splat(self.bias.map_or(0.0, |bias| bias[k]));
            let mut next = 0;
            while next < pieces.len() {
                let first = pieces[next].offset / S::LANES * S::LANES;
                // SAFETY: the block has a row for each channel with space for a vector at the last tile.
                let mut pixels = unsafe {
                    tile_vector::<S, N, T>(s, self.from.as_ptr().add(row * self.block.row + first), self.block.point)
                };
                if self.pooled_from.is_some() {
                    pixels = maxima(s, pixels, [usize::MAX; 2]);
                }
                for (values, phases) in values.iter_mut().zip(pixels).take(cell) {
                    let phases = finished(s, phases, cell, bias, floor);
                    // SAFETY: at most 6 x WIDEST values, and space for the last store.
                    unsafe {
                        if self.pooled_from.is_some() {
                            store_half(s, values.as_mut_ptr(), phases, cell * S::LANES);
                        } else {
                            store_phases(s, values.as_mut_ptr(), phases);
                        }
                    }
                }
                while next < pieces.len() && pieces[next].offset < first + S::LANES {
                    let (to, stride, [high, wide]) = self.to.block(k, pieces[next]);
                    for (y, values) in values.iter().enumerate().take(high) {
                        let from = &values[cell * (pieces[next].offset - first)..];
                        // SAFETY: `block` allows `high` rows of `wide` values.
                        unsafe { copy_few(&from[..wide], to.add(y * stride)) };
                    }
                    next += 1;
                }
            }
        }
    }
}

/// The first `cell` phases with bias and rectifier.
#[inline(always)]
fn finished<S: Simd, const T: usize>(s: S, mut phases: [S::V; T], cell: usize, bias: S::V, floor: S::V) -> [S::V; T] {
    for v in phases.iter_mut().take(cell) {
        // In this order NaN stays NaN.
        *v = s.max(floor, s.add(*v, bias));
    }
    phases
}

/// Copies values, four at a time: they are too few to call for help.
///
/// # Safety
/// As many can be written.
#[inline(always)]
unsafe fn copy_few(from: &[f32], to: *mut f32) {
    let mut i = 0;
    while i < from.len() {
        let (at, count) = if from.len() >= 4 { (i.min(from.len() - 4), 4) } else { (i, 1) };
        // SAFETY: `count` values from `at` on, as the caller vouches. The last four may be copied for a second time.
        unsafe {
            if count == 4 {
                to.add(at)
                    .cast::<[f32; 4]>()
                    .write_unaligned(from.as_ptr().add(at).cast::<[f32; 4]>().read_unaligned());
            } else {
                *to.add(at) = from[at];
            }
        }
        i = at + count;
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
