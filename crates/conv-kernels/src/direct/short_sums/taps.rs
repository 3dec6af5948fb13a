//! Products of a few taps with shifted lines, without an operand laid out for them.

use crate::gemm::Split;
use crate::memory::{Segment, Shard};
use crate::simd::{Kernel, Simd, WIDEST, add_products};

/// Output pixels as sums over taps, then bias and rectifier: `to[k, x] = max(floor, bias[k] + sum of a[k, t] b[taps[t] + x])`.
pub(crate) struct TapMul<'a, 'b> {
    /// Weights: groups of `group` output channels, each `[tap][channel]`.
    pub a: &'a [f32],
    /// Channels of a group: a multiple of every instruction set's panel and vector.
    pub group: usize,
    /// Lines of the input, with space for a vector behind the last.
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

    /// Computes those, four at a time; their sums are added up in the same order.
    #[inline(always)]
    fn finish_rows<S: Simd>(&mut self, s: S) {
        let channels = self.to.channels.clone();
        let (floor, plane) = (s.splat(self.floor), self.to.plane());
        let of_segment = |segment: &Segment| segment.count - Self::rest::<S>(segment)..segment.count;
        let pixels: Vec<(Segment, usize)> =
            self.segments.iter().flat_map(|segment| of_segment(segment).map(|x| (*segment, x))).collect();
        for first in channels.clone().step_by(S::LANES) {
            let rows = S::LANES.min(channels.end - first);
            let (a, bias) = self.of_channels::<WIDEST>(first, rows);
            for pixels in pixels.chunks(4) {
                let mut sums = [s.splat(0.0); 4];
                let mut places = [0; 4];
                for (place, (segment, x)) in places.iter_mut().zip(pixels) {
                    *place = segment.offset + x;
                }
                for (t, tap) in self.taps.iter().enumerate() {
                    // SAFETY: weights of whole groups of channels, whose length was checked.
                    let left = unsafe { s.load(a.add(t * self.group)) };
                    for (sum, place) in sums.iter_mut().zip(places) {
                        *sum = s.mul_add(left, s.splat(self.b[tap + place]), *sum);
                    }
                }
                for (sum, (segment, x)) in sums.iter().zip(pixels) {
                    let mut values = [0.0; WIDEST];
                    // SAFETY: the arrays hold a vector.
                    unsafe { s.store(values.as_mut_ptr(), s.max(floor, s.add(*sum, s.load(bias.as_ptr())))) };
                    let to = self.to.planes(first..first + rows, *segment);
                    for (i, value) in values.iter().enumerate().take(rows) {
                        // SAFETY: one of the segment's pixels, in one of these channels.
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
                let (to, plane) = (self.to.planes(first..first + rows, *segment), self.to.plane());
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
                        to: to.wrapping_add(at),
                        plane,
                        rows,
                        width: pixels - at,
                    };
                    // SAFETY: the lengths were checked above: the group's last panel of weights is whole, each tap finds
                    // whole vectors, and `width` pixels from `at` on are the segment's.
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
    /// The first pixel in the first channel.
    to: *mut f32,
    /// Distance of two channels.
    plane: usize,
    /// Channels that there are.
    rows: usize,
    /// Pixels to the end of the segment.
    width: usize,
}

impl<const R: usize> Tile<'_, R> {
    /// Computes `V` vectors, or as many pixels as there are.
    ///
    /// # Safety
    /// `a` has R values for each tap, `b` V vectors at each of them, and `to` `width` pixels in each of `rows` channels.
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
                // In this order NaN stays NaN.
                let value = s.max(floor, s.add(*sum, bias));
                let done = j * S::LANES;
                // SAFETY: pixels below `width` may be written; the array holds a vector.
                unsafe {
                    let to = self.to.add(i * self.plane + done);
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
