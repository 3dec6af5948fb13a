//! Products of a few taps with shifted lines, without an operand laid out for them.

use super::gemm::{Split, add_products};
use super::shard::{Segment, Shard};
use super::simd::{Kernel, Simd};
use super::winograd::WIDEST;

/// Output pixels as sums over taps, then bias and rectifier: `to[k, x] = max(floor, bias[k] + sum of a[k, t] b[taps[t] + x])`.
pub(crate) struct TapMul<'a, 'b> {
    /// Weights: groups of `group` output channels, each `[tap][channel]`.
    pub a: &'a [f32],
    /// Channels of a group: a multiple of every instruction set's panel and vector.
    pub group: usize,
    /// Lines of the input, with room for a vector behind the last.
    pub b: &'a [f32],
    /// Where in them each tap finds the value of the first pixel.
    pub taps: &'a [usize],
    /// The shard's pixels; their offsets count from the first.
    pub segments: &'a [Segment],
    /// Where they go: a shard whose cells are single pixels.
    pub to: &'a mut Shard<'b>,
    /// Added to each channel of the whole output.
    pub bias: Option<&'a [f32]>,
    /// The smallest value to store: 0 for a rectifier, else minus infinity.
    pub floor: f32,
}

impl Kernel for TapMul<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        // Where there are 16 registers, three vectors for each of four rows would leave none for the weights.
        if S::ROWS == 8 { self.multiply::<S, 8, 3>(s) } else { self.multiply::<S, 4, 2>(s) }
    }
}

/// Pixels beyond whole vectors that are worth no vector of their own.
const FEW: usize = 4;

impl TapMul<'_, '_> {
    /// Pixels at the end of a segment whose vectors run along channels.
    #[inline(always)]
    fn rest<S: Simd>(segment: &Segment) -> usize {
        let rest = segment.count % S::LANES;
        if rest <= FEW && segment.count > S::LANES { rest } else { 0 }
    }

    /// Where the weights of a run of `rows` channels begin, and the biases of these.
    #[inline(always)]
    fn of_channels<const R: usize>(&self, first: usize, rows: usize) -> (*const f32, [f32; R]) {
        let mut bias = [0.0; R];
        for (i, bias) in bias.iter_mut().enumerate().take(rows) {
            *bias = self.bias.map_or(0.0, |bias| bias[first + i]);
        }
        let at = first / self.group * self.group * self.taps.len() + first % self.group;
        (self.a[at..].as_ptr(), bias)
    }

    /// Computes those; their sums are added up in the same order.
    #[inline(always)]
    fn finish_rows<S: Simd>(&mut self, s: S) {
        let channels = self.to.channels.clone();
        let (floor, plane) = (s.splat(self.floor), self.to.plane());
        for first in channels.clone().step_by(S::LANES) {
            let rows = S::LANES.min(channels.end - first);
            let (a, bias) = self.of_channels::<WIDEST>(first, rows);
            for segment in self.segments {
                let rest = Self::rest::<S>(segment);
                if rest == 0 {
                    continue;
                }
                self.to.pixels(first + rows - 1, *segment);
                let to = self.to.pixels(first, *segment).as_mut_ptr();
                for x in segment.count - rest..segment.count {
                    let mut sum = s.splat(0.0);
                    let mut values = [0.0; WIDEST];
                    // SAFETY: weights of whole groups of channels, whose length was checked, and an array that holds a vector.
                    unsafe {
                        for (t, tap) in self.taps.iter().enumerate() {
                            let left = s.load(a.add(t * self.group));
                            sum = s.mul_add(left, s.splat(self.b[tap + segment.offset + x]), sum);
                        }
                        let bias = s.load(bias.as_ptr());
                        s.store(values.as_mut_ptr(), s.max(floor, s.add(sum, bias)));
                    }
                    for (i, value) in values.iter().enumerate().take(rows) {
                        // SAFETY: the pixel is the shard's in the first channel and in the last, so also in those between.
                        unsafe { *to.add(i * plane + x) = *value };
                    }
                }
            }
        }
    }

    /// In tiles of `R` channels and up to `MOST` vectors of pixels.
    #[inline(always)]
    fn multiply<S: Simd, const R: usize, const MOST: usize>(mut self, s: S) {
        let furthest = self.taps.iter().max().copied().unwrap_or(0);
        let beyond = self.segments.iter().map(|segment| segment.offset + segment.count + WIDEST).max().unwrap_or(0);
        assert!(furthest + beyond <= self.b.len(), "length of the lines");
        let channels = self.to.channels.clone();
        let whole = |rows: usize| self.group.is_multiple_of(rows) && channels.start.is_multiple_of(rows);
        assert!(whole(R) && whole(S::LANES), "whole panels and vectors of channels");
        assert!(self.a.len() >= channels.end.next_multiple_of(self.group) * self.taps.len(), "length of the weights");
        self.finish_rows(s);
        for first in channels.clone().step_by(R) {
            let rows = R.min(channels.end - first);
            let (a, bias) = self.of_channels::<R>(first, rows);
            for segment in self.segments {
                let mut to = [std::ptr::null_mut(); R];
                for (i, to) in to.iter_mut().enumerate().take(rows) {
                    *to = self.to.pixels(first + i, *segment).as_mut_ptr();
                }
                let pixels = segment.count - Self::rest::<S>(segment);
                let mut vectors = Split::new(pixels.div_ceil(S::LANES), MOST);
                while let Some((j, count)) = vectors.next() {
                    // The last run may begin before the one before it ends; one that is longer than the row is cut.
                    let at = (j * S::LANES).min(pixels.saturating_sub(count * S::LANES));
                    let tile = Tile {
                        a,
                        step: self.group,
                        b: self.b[segment.offset + at..].as_ptr(),
                        taps: self.taps,
                        bias,
                        floor: self.floor,
                        to,
                        at,
                        rows,
                        width: pixels - at,
                    };
                    // SAFETY: the lengths were checked above: the group's last panel of weights is whole, each tap finds
                    // whole vectors, and the rows have `width` pixels from `at` on.
                    unsafe {
                        match count {
                            3 => tile.multiply::<S, 3>(s),
                            2 => tile.multiply::<S, 2>(s),
                            _ => tile.multiply::<S, 1>(s),
                        }
                    }
                }
            }
        }
    }
}

/// Some pixels of `R` channels.
struct Tile<'a, const R: usize> {
    a: *const f32,
    /// Distance of the weights of two taps.
    step: usize,
    b: *const f32,
    taps: &'a [usize],
    bias: [f32; R],
    floor: f32,
    /// The first pixel of each channel's segment.
    to: [*mut f32; R],
    /// Pixels before the first of the tile.
    at: usize,
    /// Channels that there are.
    rows: usize,
    /// Pixels from there to the end of the segment.
    width: usize,
}

impl<const R: usize> Tile<'_, R> {
    /// Computes `V` vectors, or as many pixels as there are.
    ///
    /// # Safety
    /// `a` has R values for each tap, `b` V vectors at each of them, and the first `rows` of `to` `width` pixels from `at` on.
    #[inline(always)]
    unsafe fn multiply<S: Simd, const V: usize>(self, s: S) {
        let mut sums = [[s.splat(0.0); V]; R];
        let mut a = self.a;
        for tap in self.taps {
            // SAFETY: as the caller vouches.
            unsafe { add_products::<S, R, V, false>(s, a, self.b.add(*tap), &mut sums) };
            a = a.wrapping_add(self.step);
        }
        let floor = s.splat(self.floor);
        for (i, sums) in sums.iter().enumerate() {
            if i >= self.rows {
                break;
            }
            let bias = s.splat(self.bias[i]);
            for (j, sum) in sums.iter().enumerate() {
                // In this order a value that is not a number stays one.
                let value = s.max(floor, s.add(*sum, bias));
                let done = j * S::LANES;
                // SAFETY: pixels below `width` may be written; the array holds a vector.
                unsafe {
                    let to = self.to[i].add(self.at + done);
                    if done + S::LANES <= self.width {
                        s.store(to, value);
                    } else {
                        let mut part = [0.0; WIDEST];
                        s.store(part.as_mut_ptr(), value);
                        std::ptr::copy_nonoverlapping(part.as_ptr(), to, self.width.saturating_sub(done));
                    }
                }
            }
        }
    }
}
