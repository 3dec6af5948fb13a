//! Transposed convolution with the bilinear kernel, one channel at a time, forward and backward.
//!
//! FCN enlarges score maps by a transposed convolution whose kernel interpolates linearly within a channel and is zero
//! between channels (Long, Shelhamer and Darrell 2015, section 3.3). As a dense convolution it costs K^2 times what it
//! must; here it is what it is: two taps in each direction, rows first, then columns.
//!
//! With stride s the kernel has 2 s taps, f(k) = 1 - |k + 1/2 - s| / s, and out(y) = sum over i of f(y + offset - s i)
//! in(i): the padding of the transposed convolution and a crop of its output both are an offset.

use rayon::prelude::*;

use crate::memory::Scratch;
use crate::shape::{ShapeError, check_len};
use crate::simd::{Isa, Kernel, Simd};

/// Sizes of an enlargement of `planes` (images times channels) planes.
#[derive(Clone, Copy, Debug)]
pub struct BilinearUpsample {
    /// N C.
    pub planes: usize,
    /// H and W of the input.
    pub size: [usize; 2],
    /// H and W of the output.
    pub out_size: [usize; 2],
    /// The factor; the kernel is twice as wide.
    pub stride: usize,
    /// Rows and columns cut off at the top and left of the full result, by padding or cropping.
    pub offset: [usize; 2],
}

impl BilinearUpsample {
    /// `y` = the enlarged planes. Beyond the border the input counts as zero.
    ///
    /// # Shapes
    /// `x` `[planes, H, W]`, `y` `[planes, OH, OW]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
        self.check(x.len(), y.len())?;
        let (isa, taps) = (Isa::best(), self.taps());
        let ([h, w], [oh, ow]) = (self.size, self.out_size);
        y.par_chunks_mut(oh * ow).zip(x.par_chunks(h * w)).for_each(|(y, x)| {
            isa.run(Enlarge { plan: self, taps: &taps, x, y });
        });
        Ok(())
    }

    /// `dx` = the gradient of the input, given that of the output.
    ///
    /// # Shapes
    /// `dy` `[planes, OH, OW]`, `dx` `[planes, H, W]`.
    ///
    /// # Errors
    /// A slice has another length.
    pub fn backward(&self, dy: &[f32], dx: &mut [f32]) -> Result<(), ShapeError> {
        self.check(dx.len(), dy.len())?;
        let (isa, taps) = (Isa::best(), self.taps());
        let ([h, w], [oh, ow]) = (self.size, self.out_size);
        dx.par_chunks_mut(h * w).zip(dy.par_chunks(oh * ow)).for_each(|(dx, dy)| {
            isa.run(Shrink { plan: self, taps: &taps, dy, dx });
        });
        Ok(())
    }

    fn taps(&self) -> Vec<f32> {
        let s = self.stride as f32;
        (0..2 * self.stride).map(|k| 1.0 - (k as f32 + 0.5 - s).abs() / s).collect()
    }

    /// The two input positions that output position `at` reads, the second being one less, and the phase in the stride.
    #[inline(always)]
    fn source(&self, at: usize) -> (usize, usize) {
        (at / self.stride, at % self.stride)
    }

    fn check(&self, input: usize, output: usize) -> Result<(), ShapeError> {
        let ([h, w], [oh, ow]) = (self.size, self.out_size);
        for (name, value) in [
            ("the stride", self.stride),
            ("the smallest input size", h.min(w)),
            ("the smallest output size", oh.min(ow)),
        ] {
            if value == 0 {
                return Err(ShapeError::Zero { name });
            }
        }
        check_len("the input", input, &[self.planes, h, w])?;
        check_len("the output", output, &[self.planes, oh, ow])
    }
}

/// One plane forward.
struct Enlarge<'a> {
    plan: &'a BilinearUpsample,
    taps: &'a [f32],
    x: &'a [f32],
    y: &'a mut [f32],
}

impl Kernel for Enlarge<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let ([h, w], [_, ow], s) = (self.plan.size, self.plan.out_size, self.plan.stride);
        let mut row = Scratch::zeros(w + 2);
        for (i, y) in self.y.chunks_mut(ow).enumerate() {
            let (from, phase) = self.plan.source(i + self.plan.offset[0]);
            // row[j + 1] = column j between the two rows; a zero on both sides.
            row[1..=w].fill(0.0);
            for (from, tap) in [(Some(from), phase), (from.checked_sub(1), phase + s)] {
                if let Some(from) = from.filter(|from| *from < h) {
                    let tap = self.taps[tap];
                    row[1..=w].iter_mut().zip(&self.x[from * w..(from + 1) * w]).for_each(|(to, x)| *to += tap * x);
                }
            }
            let mut at = 0;
            while at < ow {
                let (from, phase) = self.plan.source(at + self.plan.offset[1]);
                let count = (s - phase).min(ow - at);
                let (right, left) = (value(&row, from + 1), value(&row, from));
                let taps = self.taps[phase..phase + count].iter().zip(&self.taps[phase + s..phase + s + count]);
                for (y, (a, b)) in y[at..at + count].iter_mut().zip(taps) {
                    *y = a * right + b * left;
                }
                at += count;
            }
        }
    }
}

/// `row[at]`, or zero beyond its end.
#[inline(always)]
fn value(row: &[f32], at: usize) -> f32 {
    row.get(at).copied().unwrap_or(0.0)
}

/// One plane backward.
struct Shrink<'a> {
    plan: &'a BilinearUpsample,
    taps: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Shrink<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, _: S) {
        let ([h, w], [_, ow], s) = (self.plan.size, self.plan.out_size, self.plan.stride);
        let mut row = Scratch::take(w + 2);
        self.dx.fill(0.0);
        for (i, dy) in self.dy.chunks(ow).enumerate() {
            row.fill(0.0);
            let mut at = 0;
            while at < ow {
                let (from, phase) = self.plan.source(at + self.plan.offset[1]);
                let count = (s - phase).min(ow - at);
                let taps = self.taps[phase..phase + count].iter().zip(&self.taps[phase + s..phase + s + count]);
                let (mut right, mut left) = (0.0, 0.0);
                for (dy, (a, b)) in dy[at..at + count].iter().zip(taps) {
                    right += a * dy;
                    left += b * dy;
                }
                for (to, sum) in [(from + 1, right), (from, left)] {
                    if let Some(to) = row.get_mut(to) {
                        *to += sum;
                    }
                }
                at += count;
            }
            let (to, phase) = self.plan.source(i + self.plan.offset[0]);
            for (to, tap) in [(Some(to), phase), (to.checked_sub(1), phase + s)] {
                if let Some(to) = to.filter(|to| *to < h) {
                    let tap = self.taps[tap];
                    self.dx[to * w..(to + 1) * w].iter_mut().zip(&row[1..=w]).for_each(|(to, v)| *to += tap * v);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{close, noise};

    /// The transposed convolution by its definition: every input value adds a kernel to the output.
    fn slow(plan: &BilinearUpsample, x: &[f32], dy: &[f32]) -> (Vec<f64>, Vec<f64>) {
        let ([h, w], [oh, ow], s) = (plan.size, plan.out_size, plan.stride);
        let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
        let tap = |k: usize| 1.0 - (k as f64 + 0.5 - s as f64).abs() / s as f64;
        for from in 0..x.len() {
            let (plane, i, j) = (from / (h * w), from / w % h, from % w);
            for (r, q) in (0..2 * s).flat_map(|r| (0..2 * s).map(move |q| (r, q))) {
                let (oy, ox) = ((i * s + r).wrapping_sub(plan.offset[0]), (j * s + q).wrapping_sub(plan.offset[1]));
                if oy < oh && ox < ow {
                    let to = (plane * oh + oy) * ow + ox;
                    y[to] += tap(r) * tap(q) * f64::from(x[from]);
                    dx[from] += tap(r) * tap(q) * f64::from(dy[to]);
                }
            }
        }
        (y, dx)
    }

    #[test]
    fn enlargements_and_gradients_agree_with_the_definition() {
        let mut wrong = Vec::new();
        for (size, out_size, stride, offset) in [
            ([1, 1], [2, 2], 2, [1, 1]),
            ([7, 7], [14, 14], 2, [1, 1]),
            ([7, 5], [56, 40], 8, [4, 4]),
            ([5, 6], [100, 91], 16, [27, 5]),
            ([3, 2], [130, 140], 32, [0, 19]),
            ([2, 2], [6, 6], 2, [0, 0]),
            ([2, 3], [9, 9], 3, [2, 0]),
        ] {
            let plan = BilinearUpsample { planes: 3, size, out_size, stride, offset };
            let (x, dy) = (noise(1, 3 * size[0] * size[1]), noise(2, 3 * out_size[0] * out_size[1]));
            let (mut y, mut dx) = (vec![f32::NAN; dy.len()], vec![f32::NAN; x.len()]);
            plan.forward(&x, &mut y).unwrap();
            plan.backward(&dy, &mut dx).unwrap();
            let (want_y, want_dx) = slow(&plan, &x, &dy);
            wrong.extend(close(&format!("y of {plan:?}"), &y, &want_y, 5e-7));
            wrong.extend(close(&format!("dx of {plan:?}"), &dx, &want_dx, 5e-7));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
