//! One walk through the graph of a network, forward: in inference, or for training with what the way back needs on the
//! tape.
//!
//! `N` images, `K` classes, `H x W` pixels.

use std::time::Instant;

use burn::tensor::module::{BatchNormTrainOutput, batch_norm_train};
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, TensorData, activation};
use conv_kernels::{Activation, Algorithm, Border};
use rayon::prelude::*;

use super::graph::{Conv, ConvTranspose, Corner, Graph, Norm, Op};
use super::parameter::Parameter;
use super::prepared::{LayerWeights, Weights};
use crate::cpu::maps::enlarge;
use crate::cpu::norm::{NORM_EPSILON, Normalised, batch_norm, fixed_norm};
use crate::cpu::{concat, conv_transpose2d, conv2d, max_pool2d};
use crate::device::values::is_host;
use segdata::rng::{Purpose, Rng};

/// Selects the dropout masks of one forward pass. Masks are drawn for each image by itself, so that `m` micro-batches of
/// `N` images see the masks of one batch of `m N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DropoutKey {
    /// Seed of the run.
    pub seed: u64,
    /// Training step.
    pub step: u64,
    /// Which micro-batch of the step, from 0.
    pub micro: u64,
}

/// What a layer of a pass took.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTime {
    /// Published name.
    pub layer: String,
    /// Wall-clock time.
    pub seconds: f64,
}

/// Notes when each layer is done.
#[derive(Debug)]
pub(super) struct Stopwatch {
    last: Instant,
    laps: Vec<LayerTime>,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Stopwatch { last: Instant::now(), laps: Vec::new() }
    }

    fn lap(&mut self, layer: &str) {
        let now = Instant::now();
        self.laps.push(LayerTime { layer: layer.to_string(), seconds: (now - self.last).as_secs_f64() });
        self.last = now;
    }

    pub(super) fn laps(self) -> Vec<LayerTime> {
        self.laps
    }
}

/// Whether statistics come from the batch and values are dropped.
#[derive(Clone, Copy)]
pub(super) enum Mode<'a> {
    /// With the convolutions' weights where they are not the parameters'.
    Inference(Option<&'a LayerWeights>),
    /// With the probability of dropping a value.
    Training(DropoutKey, f32),
}

/// Statistics that a training pass leaves for the running ones.
pub(super) struct NormStatistics {
    pub norm: Norm,
    pub mean: Tensor<1>,
    /// Divided by the number of values, not by one less.
    pub variance: Tensor<1>,
    pub values: usize,
}

/// A network on its way through one batch.
pub(super) struct Executor<'a> {
    pub graph: &'a Graph,
    pub parameters: &'a [Parameter],
    pub algorithm: Algorithm,
    /// By parameter: whether it is an upsampling kernel that interpolates linearly and is not being learnt. May be shorter
    /// than the list of parameters: the others are not.
    pub bilinear: &'a [bool],
    pub mode: Mode<'a>,
    /// In order of the graph.
    pub statistics: Vec<NormStatistics>,
    pub watch: Option<&'a mut Stopwatch>,
}

impl Executor<'_> {
    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`.
    pub fn run(&mut self, images: Tensor<4>) -> Tensor<4> {
        let graph = self.graph;
        let readers = graph.readers();
        let [_, _, height, width] = images.dims();
        let frame = graph.frame().map_or(Frame::default(), |multiple| Frame::to_multiple(multiple, height, width));
        // Each map is let go when the last node that reads it has it.
        let mut left = readers.clone();
        let mut maps: Vec<Option<Tensor<4>>> = vec![None; graph.nodes.len()];
        let mut result = images.clone();
        for (id, node) in graph.nodes.iter().enumerate() {
            let mut take = |position: usize| {
                let input = node.inputs[position];
                left[input] -= 1;
                let map = if left[input] == 0 { maps[input].take() } else { maps[input].clone() };
                map.unwrap_or_else(|| unreachable!("{} comes after what it reads", node.name))
            };
            let y = match &node.op {
                Op::Input => images.clone(),
                Op::Frame { .. } => frame.put(take(0)),
                Op::Conv(conv) if graph.is_pooled_in_passing(id, &readers) => {
                    let y = self.convolve_and_pool(take(0), conv);
                    self.lap(&node.name);
                    maps[id] = Some(y);
                    continue;
                }
                Op::Conv(conv) => self.convolve(take(0), conv, conv.activation),
                // A convolution that is pooled in passing has left the maxima.
                Op::MaxPool { .. } if graph.is_pooled_in_passing(node.inputs[0], &readers) => take(0),
                Op::MaxPool { .. } => max_pool2d(take(0), Activation::Identity),
                Op::Dropout { index } => self.drop_values(take(0), *index),
                Op::ConvTranspose(up) => self.transposed(take(0), up),
                Op::Crop { from } => {
                    let (x, [_, _, rows, columns]) = (take(0), take(1).dims());
                    let [top, left] = match from {
                        Corner::At(first) => [*first; 2],
                        Corner::OfFrame => [frame.top, frame.left],
                    };
                    crop(x, top, left, rows, columns)
                }
                Op::Add => take(0) + take(1),
                Op::Concat => concat(take(0), take(1)),
            };
            let worth_a_lap =
                matches!(node.op, Op::Frame { .. } | Op::Conv(_) | Op::MaxPool { .. } | Op::ConvTranspose(_));
            if worth_a_lap || id + 1 == graph.nodes.len() {
                self.lap(&node.name);
            }
            if id + 1 == graph.nodes.len() {
                result = y;
            } else {
                maps[id] = Some(y);
            }
        }
        result // [N, K, H, W]
    }

    fn lap(&mut self, layer: &str) {
        if let Some(watch) = &mut self.watch {
            watch.lap(layer);
        }
    }

    fn shaped<const D: usize>(&self, index: usize) -> Tensor<D> {
        match self.mode {
            Mode::Inference(_) => self.parameters[index].shaped().inner(),
            Mode::Training(..) => self.parameters[index].shaped(),
        }
    }

    /// A convolution, its batch normalisation if it has one, and the activation.
    fn convolve(&mut self, x: Tensor<4>, conv: &Conv, after: Activation) -> Tensor<4> {
        if let Mode::Inference(Some(weights)) = self.mode {
            return match weights.of(self.parameters, conv, self.algorithm, &x) {
                (plan, Weights::Transformed(ready)) => ready.convolve(&plan, x, after),
                (_, Weights::Stored(weight)) => {
                    let shape: [usize; 4] = std::array::from_fn(|axis| self.parameters[conv.weight].shape[axis]);
                    self.convolve_with(x, weight.reshape(shape), conv, after)
                }
            };
        }
        let weight = self.shaped(conv.weight);
        self.convolve_with(x, weight, conv, after)
    }

    /// A convolution, the maximum over windows of 2 x 2, and the activation, which behind the pooling has a quarter of the
    /// work and the same result.
    fn convolve_and_pool(&mut self, x: Tensor<4>, conv: &Conv) -> Tensor<4> {
        if let Mode::Inference(Some(weights)) = self.mode
            && let (plan, Weights::Transformed(ready)) = weights.of(self.parameters, conv, self.algorithm, &x)
        {
            return ready.convolve(&plan.pooled(Border::Ceil), x, conv.activation);
        }
        // A normalisation has its activation with it.
        let after = if conv.norm.is_some() { conv.activation } else { Activation::Identity };
        max_pool2d(self.convolve(x, conv, after), conv.activation)
    }

    fn convolve_with(&mut self, x: Tensor<4>, weight: Tensor<4>, conv: &Conv, after: Activation) -> Tensor<4> {
        let Some(norm) = conv.norm else {
            let bias = conv.bias.map(|bias| self.shaped(bias));
            return conv2d(x, weight, bias, conv.padding, after, self.algorithm);
        };
        let x = conv2d(x, weight, None, conv.padding, Activation::Identity, self.algorithm);
        match self.mode {
            Mode::Inference(_) => self.normalise(x, norm, after),
            Mode::Training(..) => self.normalise_by_batch(x, norm, after),
        }
    }

    /// With running statistics.
    fn normalise(&self, x: Tensor<4>, norm: Norm, after: Activation) -> Tensor<4> {
        let [_, channels, _, _] = x.dims();
        let of = |index: usize| self.parameters[index].tensor.clone().inner();
        if is_host(&x) {
            let lines = [of(norm.scale), of(norm.shift)];
            return fixed_norm(x, lines, [of(norm.mean), of(norm.var)], after);
        }
        let factor = of(norm.scale) / (of(norm.var) + NORM_EPSILON).sqrt();
        let summand = of(norm.shift) - of(norm.mean) * factor.clone();
        let y = x * factor.reshape([1, channels, 1, 1]) + summand.reshape([1, channels, 1, 1]);
        if after == Activation::Relu { activation::relu(y) } else { y }
    }

    fn normalise_by_batch(&mut self, x: Tensor<4>, norm: Norm, after: Activation) -> Tensor<4> {
        let [images, _, rows, columns] = x.dims();
        let values = images * rows * columns;
        let (scale, shift) = (self.parameters[norm.scale].tensor.clone(), self.parameters[norm.shift].tensor.clone());
        if is_host(&x) {
            let Normalised { output, mean, variance } = batch_norm(x, scale, shift, after);
            self.statistics.push(NormStatistics { norm, mean, variance, values });
            return output;
        }
        let BatchNormTrainOutput { output, mean, variance } = batch_norm_train(x, scale, shift, NORM_EPSILON);
        self.statistics.push(NormStatistics { norm, mean: mean.inner(), variance: variance.inner(), values });
        if after == Activation::Relu { activation::relu(output) } else { output }
    }

    fn transposed(&self, x: Tensor<4>, up: &ConvTranspose) -> Tensor<4> {
        if is_host(&x) && self.bilinear.get(up.weight).copied().unwrap_or(false) {
            return enlarge(x, up.stride, up.padding);
        }
        let bias = up.bias.map(|bias| self.shaped(bias));
        conv_transpose2d(x, self.shaped(up.weight), bias, up.stride, up.padding)
    }

    /// Sets values to zero with the configured probability and scales the others so that the mean stays (inverted
    /// dropout; Srivastava et al. 2014). The mask is drawn on the host, so that it is the same on every device.
    fn drop_values(&self, x: Tensor<4>, layer: usize) -> Tensor<4> {
        let Mode::Training(key, dropout) = self.mode else { return x };
        if dropout <= 0.0 {
            return x;
        }
        let dims = x.dims();
        let values = dims[1] * dims[2] * dims[3];
        let kept = 1.0 / (1.0 - dropout);
        let mut mask = vec![0.0f32; dims[0] * values];
        mask.par_chunks_mut(values.max(1)).enumerate().for_each(|(image, mask)| {
            let sample = key.micro * dims[0] as u64 + image as u64;
            let mut rng = Rng::derive(key.seed, Purpose::Dropout, &[key.step, layer as u64, sample]);
            mask.iter_mut().for_each(|value| *value = if rng.uniform() < dropout { 0.0 } else { kept });
        });
        let device = x.device().inner();
        x * Tensor::<4>::from_data(TensorData::new(mask, dims), &device).autodiff()
    }
}

/// Rows and columns of zeros around an image. The image is in the middle; where the sum is odd, one more is below and right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Frame {
    top: usize,
    bottom: usize,
    left: usize,
    right: usize,
}

impl Frame {
    fn to_multiple(multiple: usize, height: usize, width: usize) -> Self {
        let missing = |side: usize| side.max(1).next_multiple_of(multiple) - side;
        let (rows, columns) = (missing(height), missing(width));
        Frame { top: rows / 2, bottom: rows - rows / 2, left: columns / 2, right: columns - columns / 2 }
    }

    fn put(self, images: Tensor<4>) -> Tensor<4> {
        if self == Frame::default() {
            return images;
        }
        images.pad([(self.top, self.bottom), (self.left, self.right)].as_slice(), PadMode::Constant(0.0))
    }
}

/// `[N, K, rows, columns]` of `x` from row `top` and column `left` on.
fn crop(x: Tensor<4>, top: usize, left: usize, rows: usize, columns: usize) -> Tensor<4> {
    if x.dims()[2..] == [rows, columns] {
        return x;
    }
    x.narrow(2, top, rows).narrow(3, left, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_reach_the_next_multiple_of_32() {
        let cases = [((32, 64), (0, 0, 0, 0)), ((31, 1), (0, 1, 15, 16)), ((33, 500), (15, 16, 6, 6))];
        for ((height, width), (top, bottom, left, right)) in cases {
            assert_eq!(Frame::to_multiple(32, height, width), Frame { top, bottom, left, right }, "{height}x{width}");
        }
    }
}
