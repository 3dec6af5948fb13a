//! Kernels of twice the stride: two taps of each phase meet an output pixel in each direction.
//!
//! Row q of the full result is s b + p; only the input rows b (tap p) and b - 1 (tap p + s) reach it, and likewise for
//! columns. So the result is a 2x2 convolution, padded by one, from C to s^2 K channels, one for each phase (p, p'),
//! whose maps are then interleaved: the products run in [`Conv2d`], nothing is multiplied by a zero that was put
//! between pixels.

use rayon::prelude::*;

use super::sizes::ConvTranspose2d;
use crate::conv2d::Conv2d;
use crate::epilogue::Activation;
use crate::memory::Scratch;
use crate::shape::ShapeError;

/// `y` = the transposed convolution of `x`, plus the bias of each channel.
pub(super) fn forward(
    t: &ConvTranspose2d,
    conv: &Conv2d,
    x: &[f32],
    w: &[f32],
    bias: Option<&[f32]>,
    y: &mut [f32],
) -> Result<(), ShapeError> {
    let mut maps = Scratch::take(conv.shape().output_len());
    conv.forward(x, &by_phase(t, w), None, Activation::Identity, &mut maps)?;
    let (s, [oh, ow]) = (t.stride, t.out_size);
    y.par_chunks_mut(oh * ow).zip(maps.par_chunks(phase_values(t))).enumerate().for_each(|(plane, (y, maps))| {
        for (i, y) in y.chunks_mut(ow).enumerate() {
            for phase in 0..s {
                let (map, first) = row_of_phase(t, i, phase);
                for (y, value) in y[first..].iter_mut().step_by(s).zip(&maps[map..]) {
                    *y = *value;
                }
            }
        }
        if let Some(bias) = bias {
            let bias = bias[plane % t.out_channels];
            y.iter_mut().for_each(|y| *y += bias);
        }
    });
    Ok(())
}

/// `dx` = the gradient of the input.
pub(super) fn backward_data(
    t: &ConvTranspose2d,
    conv: &Conv2d,
    dy: &[f32],
    w: &[f32],
    dx: &mut [f32],
) -> Result<(), ShapeError> {
    conv.backward_data(&gradient_by_phase(t, dy), &by_phase(t, w), dx)
}

/// `dw` = the gradient of the weight.
pub(super) fn backward_weight(
    t: &ConvTranspose2d,
    conv: &Conv2d,
    x: &[f32],
    dy: &[f32],
    dw: &mut [f32],
) -> Result<(), ShapeError> {
    let mut by_phase = Scratch::take(dw.len());
    conv.backward_weight(x, &gradient_by_phase(t, dy), &mut by_phase)?;
    for (at, value) in places(t).zip(by_phase.iter()) {
        dw[at] = *value;
    }
    Ok(())
}

/// Values of all phases of one channel of one image.
fn phase_values(t: &ConvTranspose2d) -> usize {
    t.stride * t.stride * (t.size[0] + 1) * (t.size[1] + 1)
}

/// Where, among the maps of a channel's phases, the values of output row `i` and column phase `phase` begin, and the
/// first column of the output that has that phase, or OW where none has.
fn row_of_phase(t: &ConvTranspose2d, i: usize, phase: usize) -> (usize, usize) {
    let (s, [h, w]) = (t.stride, t.size);
    let (row, column) = (i + t.offset[0], t.offset[1]);
    let first = (phase + s - column % s) % s;
    let map = row % s * s + phase;
    ((map * (h + 1) + row / s) * (w + 1) + (column + first) / s, first.min(t.out_size[1]))
}

/// The output's gradient as maps of phases: zero where the output was cut off.
fn gradient_by_phase(t: &ConvTranspose2d, dy: &[f32]) -> Scratch {
    let (s, [oh, ow]) = (t.stride, t.out_size);
    let mut maps = Scratch::take(t.batch * t.out_channels * phase_values(t));
    maps.par_chunks_mut(phase_values(t)).zip(dy.par_chunks(oh * ow)).for_each(|(maps, dy)| {
        maps.fill(0.0);
        for (i, dy) in dy.chunks(ow).enumerate() {
            for phase in 0..s {
                let (map, first) = row_of_phase(t, i, phase);
                for (value, dy) in maps[map..].iter_mut().zip(dy[first..].iter().step_by(s)) {
                    *value = *dy;
                }
            }
        }
    });
    maps
}

/// The weight as that of the convolution: `[K s s, C, 2, 2]`.
fn by_phase(t: &ConvTranspose2d, w: &[f32]) -> Vec<f32> {
    places(t).map(|at| w[at]).collect()
}

/// Where each value of the convolution's weight is in ours. Tap 0 of the two reads row b - 1, tap 1 row b.
fn places(t: &ConvTranspose2d) -> impl Iterator<Item = usize> {
    let (s, channels, outputs) = (t.stride, t.in_channels, t.out_channels);
    let phases = (0..outputs).flat_map(move |k| (0..s * s).map(move |phase| (k, phase / s, phase % s)));
    phases.flat_map(move |(k, py, px)| {
        (0..channels).flat_map(move |c| {
            [(1, 1), (1, 0), (0, 1), (0, 0)]
                .map(|(ty, tx)| ((c * outputs + k) * 2 * s + py + s * ty) * 2 * s + px + s * tx)
        })
    })
}
