//! Batch normalisation with the statistics of the batch, and the ReLU behind it, as one operation of the graph on the CPU
//! (Ioffe & Szegedy 2015, algorithm 1 and the equations below it).
//!
//! `N` images, `C` channels, `H x W` pixels; `n = N H W` values a channel.
//!
//! Forward, with `m` the mean and `v` the variance (divided by `n`) of a channel: `y = relu(g (x - m) / sqrt(v + e) + b)`.
//! Backward, with `r` the gradient of `y` where `y` is positive, else 0, and `h = (x - m) / sqrt(v + e)`:
//! `db = sum r`, `dg = sum r h`, `dx = g / sqrt(v + e) (r - db / n - h dg / n)`.
//!
//! Sums run in double precision: a map of the wide-padded geometry has a quarter of a million values, and what single
//! precision loses over them, seventeen normalisations amplify to a tenth of a gradient. The operation keeps its input and
//! four numbers a channel; the stock operations keep three maps.

use burn::backend::Autodiff;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::tensor::{Tensor, TensorData};
use burn_flex::{Flex, FlexTensor};
use rayon::prelude::*;

use super::tape::{on_tape, values};

/// A normalised and rectified batch, and what it was normalised with.
pub(super) struct Normalised {
    /// `[N, C, H, W]`.
    pub output: Tensor<4>,
    /// `[C]`, without autodiff.
    pub mean: Tensor<1>,
    /// `[C]`, divided by the number of values, without autodiff.
    pub variance: Tensor<1>,
}

/// Normalises `x` `[N, C, H, W]` by its own statistics, scales and shifts it by channel, and rectifies it. All tensors are
/// on the CPU.
pub(super) fn batch_norm_relu(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, epsilon: f64) -> Normalised {
    let [images, channels, rows, columns] = x.dims();
    let shape = Shape { images, channels, pixels: rows * columns };
    let x = on_tape(x);
    let [scale, shift] = [scale, shift].map(on_tape);
    let input = x.primitive().to_contiguous();
    let moments = shape.moments(values(&input));
    let lines = lines(&moments, values(scale.primitive()), values(shift.primitive()), epsilon);
    let mut output = vec![0.0f32; values(&input).len()];
    shape.forward(values(&input), &lines, &mut output);
    let output = FlexTensor::from_data(TensorData::new(output, [images, channels, rows, columns]));
    let nodes = [x.node(), scale.node(), shift.node()];
    let result = match NormRelu.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
        OpsKind::Tracked(graph) => graph.finish(Kept { x: input, shape, lines }, output),
        OpsKind::UnTracked(graph) => graph.finish(output),
    };
    let of = |pick: fn(&Moments) -> f64| {
        let list: Vec<f32> = moments.iter().map(|moments| pick(moments) as f32).collect();
        Tensor::from_primitive::<Flex>(FlexTensor::from_data(TensorData::new(list, [channels])))
    };
    Normalised {
        output: Tensor::from_primitive::<Autodiff<Flex>>(result),
        mean: of(|moments| moments.mean),
        variance: of(|moments| moments.variance),
    }
}

#[derive(Clone, Copy, Debug)]
struct Shape {
    images: usize,
    channels: usize,
    pixels: usize,
}

/// Of one channel.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    variance: f64,
}

/// What a channel's values go through: `factor (x - mean) + shift`; and `1 / sqrt(v + e)`.
#[derive(Clone, Copy, Debug)]
struct Line {
    mean: f32,
    factor: f32,
    shift: f32,
    inverse_deviation: f32,
}

impl Line {
    fn at(&self, x: f32) -> f32 {
        self.factor * (x - self.mean) + self.shift
    }
}

fn lines(moments: &[Moments], scale: &[f32], shift: &[f32], epsilon: f64) -> Vec<Line> {
    let line = |((moments, &scale), &shift): ((&Moments, &f32), &f32)| {
        let inverse_deviation = 1.0 / (moments.variance + epsilon).sqrt();
        let factor = (f64::from(scale) * inverse_deviation) as f32;
        Line { mean: moments.mean as f32, factor, shift, inverse_deviation: inverse_deviation as f32 }
    };
    moments.iter().zip(scale).zip(shift).map(line).collect()
}

impl Shape {
    /// The maps of a channel, one an image.
    fn maps<'a>(&self, values: &'a [f32], channel: usize) -> impl Iterator<Item = &'a [f32]> {
        let (pixels, channels) = (self.pixels, self.channels);
        (0..self.images).map(move |image| &values[(image * channels + channel) * pixels..][..pixels])
    }

    fn moments(&self, x: &[f32]) -> Vec<Moments> {
        let count = (self.images * self.pixels) as f64;
        let of = |channel: usize| {
            let mean = self.maps(x, channel).map(|map| sum(map, f64::from)).sum::<f64>() / count;
            let square = |x: f32| (f64::from(x) - mean) * (f64::from(x) - mean);
            let variance = self.maps(x, channel).map(|map| sum(map, square)).sum::<f64>() / count;
            Moments { mean, variance }
        };
        (0..self.channels).into_par_iter().map(of).collect()
    }

    fn forward(&self, x: &[f32], lines: &[Line], output: &mut [f32]) {
        let maps = output.par_chunks_mut(self.pixels).zip(x.par_chunks(self.pixels));
        maps.enumerate().for_each(|(map, (output, x))| {
            let line = lines[map % self.channels];
            output.iter_mut().zip(x).for_each(|(output, &x)| *output = line.at(x).max(0.0));
        });
    }

    /// `sum r` and `sum r h` of each channel.
    fn gradient_sums(&self, x: &[f32], gradient: &[f32], lines: &[Line]) -> Vec<[f64; 2]> {
        let of = |channel: usize| {
            let line = lines[channel];
            let mut sums = [0.0; 2];
            for (x, gradient) in self.maps(x, channel).zip(self.maps(gradient, channel)) {
                let part = sum_pairs(x, gradient, |x, gradient| {
                    let rectified = if line.at(x) > 0.0 { gradient } else { 0.0 };
                    [f64::from(rectified), f64::from(rectified) * f64::from(x - line.mean)]
                });
                sums = [sums[0] + part[0], sums[1] + part[1]];
            }
            [sums[0], sums[1] * f64::from(line.inverse_deviation)]
        };
        (0..self.channels).into_par_iter().map(of).collect()
    }

    /// Turns the gradient of the output into that of the input, in place.
    fn backward(&self, x: &[f32], lines: &[Line], sums: &[[f64; 2]], gradient: &mut [f32]) {
        let count = (self.images * self.pixels) as f64;
        let maps = gradient.par_chunks_mut(self.pixels).zip(x.par_chunks(self.pixels));
        maps.enumerate().for_each(|(map, (gradient, x))| {
            let (line, [shift, scale]) = (lines[map % self.channels], sums[map % self.channels]);
            let level = (shift / count) as f32;
            let slope = (scale / count * f64::from(line.inverse_deviation)) as f32;
            for (gradient, &x) in gradient.iter_mut().zip(x) {
                let rectified = if line.at(x) > 0.0 { *gradient } else { 0.0 };
                *gradient = line.factor * (rectified - level - (x - line.mean) * slope);
            }
        });
    }
}

/// Independent partial sums, so that the processor can add several values at once.
const LANES: usize = 16;

fn sum(values: &[f32], term: impl Fn(f32) -> f64) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &value)| *lane += term(value));
    }
    lanes.iter().sum::<f64>() + rest.iter().map(|&value| term(value)).sum::<f64>()
}

fn sum_pairs(left: &[f32], right: &[f32], term: impl Fn(f32, f32) -> [f64; 2]) -> [f64; 2] {
    let mut lanes = [[0.0f64; LANES]; 2];
    let ((left, left_rest), (right, right_rest)) = (left.as_chunks::<LANES>(), right.as_chunks::<LANES>());
    for (left, right) in left.iter().zip(right) {
        for lane in 0..LANES {
            let [first, second] = term(left[lane], right[lane]);
            lanes[0][lane] += first;
            lanes[1][lane] += second;
        }
    }
    let mut sums = lanes.map(|lanes| lanes.iter().sum::<f64>());
    for (&left, &right) in left_rest.iter().zip(right_rest) {
        let [first, second] = term(left, right);
        sums = [sums[0] + first, sums[1] + second];
    }
    sums
}

/// What the backward pass reads again.
#[derive(Clone, Debug)]
struct Kept {
    x: FlexTensor,
    shape: Shape,
    lines: Vec<Line>,
}

#[derive(Debug)]
struct NormRelu;

impl Backward<Flex, 3> for NormRelu {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Kept { x, shape, lines } = ops.state;
        let mut gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let sums = shape.gradient_sums(values(&x), values(&gradient), &lines);
        let [input, scale, shift] = ops.parents;
        for (parent, role) in [(scale, 1), (shift, 0)] {
            let Some(parent) = parent else { continue };
            let list: Vec<f32> = sums.iter().map(|sums| sums[role] as f32).collect();
            gradients.register::<Flex>(parent.id, FlexTensor::from_data(TensorData::new(list, [shape.channels])));
        }
        if let Some(parent) = input {
            let start = gradient.layout().start_offset();
            let count = gradient.layout().num_elements();
            let in_place = &mut gradient.storage_mut::<f32>()[start..start + count];
            shape.backward(values(&x), &lines, &sums, in_place);
            gradients.register::<Flex>(parent.id, gradient);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, Rng};
    use burn::tensor::module::batch_norm_train;
    use burn::tensor::{Device, activation};

    fn draw(count: usize, key: u64) -> Vec<f32> {
        let mut rng = Rng::derive(2, Purpose::Bench, &[key]);
        (0..count).map(|_| rng.normal() + 0.5).collect()
    }

    fn leaf<const D: usize>(shape: [usize; D], key: u64) -> Tensor<D> {
        let values = draw(shape.iter().product(), key);
        Tensor::<D>::from_data(TensorData::new(values, shape), &Device::flex().autodiff()).require_grad()
    }

    fn list<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().as_slice::<f32>().unwrap().to_vec()
    }

    /// Output, mean, variance, and the gradients of input, scale and shift.
    fn run(shape: [usize; 4], operation: fn(Tensor<4>, Tensor<1>, Tensor<1>) -> Normalised) -> Vec<Vec<f32>> {
        let (x, scale, shift) = (leaf(shape, 1), leaf([shape[1]], 2), leaf([shape[1]], 3));
        let Normalised { output, mean, variance } = operation(x.clone(), scale.clone(), shift.clone());
        let weights = Tensor::<4>::from_data(TensorData::new(draw(shape.iter().product(), 4), shape), &Device::flex());
        let gradients = (output.clone() * weights.autodiff()).sum().backward();
        let of = |gradient: Option<Tensor<1>>| list(gradient.unwrap());
        let dx = list(x.grad(&gradients).unwrap());
        vec![list(output), list(mean), list(variance), dx, of(scale.grad(&gradients)), of(shift.grad(&gradients))]
    }

    #[test]
    fn value_and_gradients_are_those_of_the_stock_operations() {
        let names = ["output", "mean", "variance", "dx", "dscale", "dshift"];
        for shape in [[2, 1, 2, 2], [2, 3, 4, 5], [3, 8, 17, 9], [1, 2, 1, 33]] {
            let ours = run(shape, |x, scale, shift| batch_norm_relu(x, scale, shift, 1e-5));
            let stock = run(shape, |x, scale, shift| {
                let result = batch_norm_train(x, scale, shift, 1e-5);
                let [mean, variance] = [result.mean.inner(), result.variance.inner()];
                Normalised { output: activation::relu(result.output), mean, variance }
            });
            for ((name, ours), stock) in names.iter().zip(&ours).zip(&stock) {
                for (a, b) in ours.iter().zip(stock) {
                    assert!((a - b).abs() <= 2e-4 * (1.0 + b.abs()), "{name} of {shape:?}: {a}, {b}");
                }
            }
        }
    }

    #[test]
    fn a_large_mean_costs_no_precision() {
        let shape = Shape { images: 2, channels: 1, pixels: 100_003 };
        let values: Vec<f32> = draw(200_006, 7).iter().map(|value| value + 1000.0).collect();
        let exact = values.iter().map(|&value| f64::from(value)).sum::<f64>() / 200_006.0;
        let found = shape.moments(&values)[0];
        assert!((found.mean - exact).abs() < 1e-9, "{} {exact}", found.mean);
        assert!((found.variance - 1.0).abs() < 0.02, "{}", found.variance);
    }
}
