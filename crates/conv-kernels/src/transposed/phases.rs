//! Transposed convolution with a stride s and 2 s taps a side, every channel into every other: what enlarges score maps
//! where its kernel is learnt and so no longer the bilinear one of [`crate::BilinearUpsample`].
//!
//! Row q of the full result is s b + p; only the input rows b (tap p) and b - 1 (tap p + s) reach it, and likewise for
//! columns. So the result is a 2x2 convolution, padded by one, from C to s^2 K channels, one for each phase (p, p'),
//! whose maps are then interleaved: the products run in [`Conv2d`], nothing is multiplied by a zero that was put
//! between pixels.

use rayon::prelude::*;

use crate::conv2d::Conv2d;
use crate::epilogue::Activation;
use crate::memory::Scratch;
use crate::plan::Algorithm;
use crate::shape::{Conv2dShape, ShapeError, check_len};

/// Sizes of a transposed convolution with `2 stride` taps a side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvTranspose2d {
    /// N, the number of images.
    pub batch: usize,
    /// C.
    pub in_channels: usize,
    /// K.
    pub out_channels: usize,
    /// H and W of the input.
    pub size: [usize; 2],
    /// H and W of the output: at most `stride (H + 1) - offset`.
    pub out_size: [usize; 2],
    /// s.
    pub stride: usize,
    /// Rows and columns cut off at the top and left of the full result, by padding or cropping.
    pub offset: [usize; 2],
}

impl ConvTranspose2d {
    /// `y[n, k, i] = sum over c and t of x[n, c, (i + offset - t) / stride] w[c, k, t]`, where that is a whole number.
    ///
    /// # Shapes
    /// `x` `[N, C, H, W]`, `w` `[C, K, 2 stride, 2 stride]`, `y` `[N, K, OH, OW]`.
    ///
    /// # Errors
    /// A size is zero, the output reaches beyond the full result, or a slice has another length.
    pub fn forward(&self, x: &[f32], w: &[f32], y: &mut [f32]) -> Result<(), ShapeError> {
        let conv = self.phases()?;
        self.check(x.len(), w.len(), y.len())?;
        let mut maps = Scratch::take(conv.shape().output_len());
        conv.forward(x, &self.by_phase(w), None, Activation::Identity, &mut maps)?;
        let (s, [oh, ow]) = (self.stride, self.out_size);
        y.par_chunks_mut(oh * ow).zip(maps.par_chunks(self.phase_values())).for_each(|(y, maps)| {
            for (i, y) in y.chunks_mut(ow).enumerate() {
                for phase in 0..s {
                    let (map, first) = self.row_of_phase(i, phase);
                    for (y, value) in y[first..].iter_mut().step_by(s).zip(&maps[map..]) {
                        *y = *value;
                    }
                }
            }
        });
        Ok(())
    }

    /// `dx` = the gradient of the input, given `dy`, that of the output.
    ///
    /// # Shapes
    /// As for [`forward`](Self::forward).
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn backward_data(&self, dy: &[f32], w: &[f32], dx: &mut [f32]) -> Result<(), ShapeError> {
        let conv = self.phases()?;
        self.check(dx.len(), w.len(), dy.len())?;
        conv.backward_data(&self.gradient_by_phase(dy), &self.by_phase(w), dx)
    }

    /// `dw` = the gradient of the weight, given `dy`, that of the output.
    ///
    /// # Shapes
    /// As for [`forward`](Self::forward).
    ///
    /// # Errors
    /// As for [`forward`](Self::forward).
    pub fn backward_weight(&self, x: &[f32], dy: &[f32], dw: &mut [f32]) -> Result<(), ShapeError> {
        let conv = self.phases()?;
        self.check(x.len(), dw.len(), dy.len())?;
        let mut by_phase = Scratch::take(dw.len());
        conv.backward_weight(x, &self.gradient_by_phase(dy), &mut by_phase)?;
        for (at, value) in self.places().zip(by_phase.iter()) {
            dw[at] = *value;
        }
        Ok(())
    }

    /// The convolution that computes every phase.
    fn phases(&self) -> Result<Conv2d, ShapeError> {
        for (name, value) in
            [("the stride", self.stride), ("the smallest output size", self.out_size[0].min(self.out_size[1]))]
        {
            if value == 0 {
                return Err(ShapeError::Zero { name });
            }
        }
        let channels = [self.in_channels, self.out_channels * self.stride * self.stride];
        let conv = Conv2d::new(Conv2dShape::square(self.batch, channels, self.size, 2, 1), Algorithm::Direct)?;
        let full = self.size.map(|side| self.stride * (side + 1));
        for ((offset, out), most) in self.offset.into_iter().zip(self.out_size).zip(full) {
            let found = offset.saturating_add(out);
            if found > most {
                return Err(ShapeError::Beyond { found, most });
            }
        }
        Ok(conv)
    }

    /// Values of all phases of one channel of one image.
    fn phase_values(&self) -> usize {
        self.stride * self.stride * (self.size[0] + 1) * (self.size[1] + 1)
    }

    /// Where, among the maps of a channel's phases, the values of output row `i` and column phase `phase` begin, and the
    /// first column of the output that has that phase, or OW where none has.
    fn row_of_phase(&self, i: usize, phase: usize) -> (usize, usize) {
        let (s, [h, w]) = (self.stride, self.size);
        let (row, column) = (i + self.offset[0], self.offset[1]);
        let first = (phase + s - column % s) % s;
        let map = row % s * s + phase;
        ((map * (h + 1) + row / s) * (w + 1) + (column + first) / s, first.min(self.out_size[1]))
    }

    /// The output's gradient as maps of phases: zero where the output was cut off.
    fn gradient_by_phase(&self, dy: &[f32]) -> Scratch {
        let (s, [oh, ow]) = (self.stride, self.out_size);
        let mut maps = Scratch::take(self.batch * self.out_channels * self.phase_values());
        maps.par_chunks_mut(self.phase_values()).zip(dy.par_chunks(oh * ow)).for_each(|(maps, dy)| {
            maps.fill(0.0);
            for (i, dy) in dy.chunks(ow).enumerate() {
                for phase in 0..s {
                    let (map, first) = self.row_of_phase(i, phase);
                    for (value, dy) in maps[map..].iter_mut().zip(dy[first..].iter().step_by(s)) {
                        *value = *dy;
                    }
                }
            }
        });
        maps
    }

    /// The weight as that of the convolution: `[K s s, C, 2, 2]`.
    fn by_phase(&self, w: &[f32]) -> Vec<f32> {
        self.places().map(|at| w[at]).collect()
    }

    /// Where each value of the convolution's weight is in ours. Tap 0 of the two reads row b - 1, tap 1 row b.
    fn places(&self) -> impl Iterator<Item = usize> {
        let (s, channels, outputs) = (self.stride, self.in_channels, self.out_channels);
        let phases = (0..outputs).flat_map(move |k| (0..s * s).map(move |phase| (k, phase / s, phase % s)));
        phases.flat_map(move |(k, py, px)| {
            (0..channels).flat_map(move |c| {
                [(1, 1), (1, 0), (0, 1), (0, 0)]
                    .map(|(ty, tx)| ((c * outputs + k) * 2 * s + py + s * ty) * 2 * s + px + s * tx)
            })
        })
    }

    fn check(&self, input: usize, weight: usize, output: usize) -> Result<(), ShapeError> {
        let ([h, w], [oh, ow], taps) = (self.size, self.out_size, 2 * self.stride);
        check_len("the input", input, &[self.batch, self.in_channels, h, w])?;
        check_len("the weight", weight, &[self.in_channels, self.out_channels, taps, taps])?;
        check_len("the output", output, &[self.batch, self.out_channels, oh, ow])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{close, noise};

    /// `(output index, input index, weight index)` of every product, by the definition.
    fn for_each_product(plan: &ConvTranspose2d, mut visit: impl FnMut(usize, usize, usize)) {
        let ConvTranspose2d { batch, in_channels, out_channels, size: [h, w], out_size: [oh, ow], stride, offset } =
            *plan;
        let taps = 2 * stride;
        for n in 0..batch {
            for c in 0..in_channels {
                for (i, j) in (0..h).flat_map(|i| (0..w).map(move |j| (i, j))) {
                    for k in 0..out_channels {
                        for (r, s) in (0..taps).flat_map(|r| (0..taps).map(move |s| (r, s))) {
                            let y = (stride * i + r).wrapping_sub(offset[0]);
                            let x = (stride * j + s).wrapping_sub(offset[1]);
                            if y < oh && x < ow {
                                visit(
                                    ((n * out_channels + k) * oh + y) * ow + x,
                                    ((n * in_channels + c) * h + i) * w + j,
                                    ((c * out_channels + k) * taps + r) * taps + s,
                                );
                            }
                        }
                    }
                }
            }
        }
    }

    fn plan(
        channels: [usize; 2],
        size: [usize; 2],
        out_size: [usize; 2],
        stride: usize,
        offset: [usize; 2],
    ) -> ConvTranspose2d {
        ConvTranspose2d {
            batch: 2,
            in_channels: channels[0],
            out_channels: channels[1],
            size,
            out_size,
            stride,
            offset,
        }
    }

    #[test]
    fn all_passes_agree_with_the_definition_in_f64() {
        let mut wrong = Vec::new();
        for plan in [
            plan([1, 1], [1, 1], [2, 2], 1, [0, 0]),
            plan([1, 1], [1, 1], [1, 3], 2, [3, 1]),
            plan([3, 2], [4, 5], [8, 10], 2, [1, 1]),
            plan([2, 5], [3, 7], [8, 16], 2, [0, 0]),
            plan([4, 3], [3, 2], [11, 5], 3, [1, 4]),
            plan([21, 21], [5, 4], [40, 32], 8, [4, 4]),
            plan([2, 2], [3, 3], [17, 3], 8, [9, 20]),
        ] {
            let taps = 2 * plan.stride;
            let input = plan.batch * plan.in_channels * plan.size.iter().product::<usize>();
            let output = plan.batch * plan.out_channels * plan.out_size.iter().product::<usize>();
            let (x, dy) = (noise(1, input), noise(2, output));
            let w = noise(3, plan.in_channels * plan.out_channels * taps * taps);
            let (mut want_y, mut want_dx, mut want_dw) = (vec![0.0; output], vec![0.0; input], vec![0.0; w.len()]);
            for_each_product(&plan, |o, i, j| {
                want_y[o] += f64::from(x[i]) * f64::from(w[j]);
                want_dx[i] += f64::from(dy[o]) * f64::from(w[j]);
                want_dw[j] += f64::from(dy[o]) * f64::from(x[i]);
            });
            let mut y = vec![f32::NAN; output];
            let (mut dx, mut dw) = (vec![f32::NAN; input], vec![f32::NAN; w.len()]);
            plan.forward(&x, &w, &mut y).unwrap();
            plan.backward_data(&dy, &w, &mut dx).unwrap();
            plan.backward_weight(&x, &dy, &mut dw).unwrap();
            for (name, got, want) in [("y", &y, &want_y), ("dx", &dx, &want_dx), ("dw", &dw, &want_dw)] {
                wrong.extend(close(&format!("{name} of {plan:?}"), got, want, 5e-7));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let good = plan([1, 1], [2, 2], [4, 4], 2, [1, 1]);
        let (x, w) = ([0.0; 8], [0.0; 16]);
        let cases = [
            (good, None),
            (ConvTranspose2d { stride: 0, ..good }, Some("the stride is 0")),
            (ConvTranspose2d { out_size: [4, 0], ..good }, Some("the smallest output size is 0")),
            (ConvTranspose2d { in_channels: 0, ..good }, Some("the number of input channels is 0")),
            (ConvTranspose2d { offset: [3, 1], ..good }, Some("pixel 7 of a full result of 6")),
            (ConvTranspose2d { batch: 3, ..good }, Some("the input [3, 1, 2, 2] has 8 values")),
        ];
        for (plan, want) in cases {
            let got = plan.forward(&x, &w, &mut [0.0; 32]).err().map(|e| e.to_string());
            match want {
                None => assert_eq!(got, None),
                Some(part) => assert!(got.as_deref().is_some_and(|m| m.contains(part)), "{got:?} lacks {part:?}"),
            }
        }
    }
}
