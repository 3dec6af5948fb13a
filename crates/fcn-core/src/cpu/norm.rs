//! Batch normalisation with the activation behind it, by the kernels of [`conv_kernels`] on the CPU: with the statistics of the
//! batch as one operation of the graph (Ioffe & Szegedy 2015, algorithm 1), with given statistics as one pass.
//!
//! `N` images, `C` channels, `H x W` pixels.
//!
//! Sums run in double precision (the kernels'): a map of the wide-padded geometry has a quarter of a million values, and
//! what single precision loses over them, seventeen normalisations amplify to a tenth of a gradient. The operation keeps
//! its input and four numbers a channel; the stock operations keep three maps.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use conv_kernels::{Activation, BatchNorm, BatchStatistics, Scratch};

use super::tape::{host, listed, on_tape, record_keeping, sizes_fit, tensor, values};

/// A normalised batch, and what it was normalised with.
pub(crate) struct Normalised {
    /// `[N, C, H, W]`.
    pub output: Tensor<4>,
    /// `[C]`, without autodiff.
    pub mean: Tensor<1>,
    /// `[C]`, divided by the number of values, without autodiff.
    pub variance: Tensor<1>,
}

/// Added to the variance of a batch normalisation; PyTorch's value.
pub const NORM_EPSILON: f64 = 1e-5;

fn plan([images, channels, rows, columns]: [usize; 4], activation: Activation) -> BatchNorm {
    BatchNorm { shape: [images, channels, rows * columns], epsilon: NORM_EPSILON as f32, activation }
}

/// Normalises `x` `[N, C, H, W]` by its own statistics, scales and shifts it by channel, and applies the activation. All tensors are
/// on the CPU.
pub(crate) fn batch_norm(x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>, after: Activation) -> Normalised {
    let dims = x.dims();
    let norm = plan(dims, after);
    let x = on_tape(x);
    let [scale, shift] = [scale, shift].map(on_tape);
    let input = x.primitive().to_contiguous();
    let mut output = Scratch::take(values(&input).len());
    let lines = [scale.primitive(), shift.primitive()];
    let statistics = sizes_fit(norm.forward(values(&input), values(lines[0]), values(lines[1]), &mut output));
    let output = tensor(output, &dims);
    let [mean, variance] =
        [&statistics.mean, &statistics.variance].map(|list| Tensor::from_primitive::<Flex>(listed(list.clone())));
    let kept = |_: &FlexTensor| Kept { x: input, dims, norm, lines: lines.map(FlexTensor::clone), statistics };
    let output = record_keeping(BatchNormalisation, [&x, &scale, &shift], kept, output);
    Normalised { output, mean, variance }
}

/// Normalises `x` `[N, C, H, W]` by statistics `[mean, variance]` that are given, scales and shifts it by channel, and
/// applies the activation. All tensors are on the CPU; the result carries no gradient.
pub(crate) fn fixed_norm(
    x: Tensor<4>,
    [scale, shift]: [Tensor<1>; 2],
    statistics: [Tensor<1>; 2],
    after: Activation,
) -> Tensor<4> {
    let dims = x.dims();
    let norm = plan(dims, after);
    let input = host(x).to_contiguous();
    let mut output = Scratch::take(values(&input).len());
    let [mean, variance] = statistics.map(|list| values(&host(list)).to_vec());
    let [scale, shift] = [scale, shift].map(host);
    let statistics = BatchStatistics { mean, variance };
    sizes_fit(norm.forward_with(values(&input), values(&scale), values(&shift), &statistics, &mut output));
    Tensor::from_primitive::<Flex>(tensor(output, &dims))
}

/// What the backward pass reads again.
#[derive(Clone, Debug)]
struct Kept {
    x: FlexTensor,
    dims: [usize; 4],
    norm: BatchNorm,
    /// Scale and shift, `[C]` each.
    lines: [FlexTensor; 2],
    statistics: BatchStatistics,
}

#[derive(Debug)]
struct BatchNormalisation;

impl Backward<Flex, 3> for BatchNormalisation {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let Kept { x, dims, norm, lines: [scale, shift], statistics } = ops.state;
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let channels = dims[1];
        let mut of_input = Scratch::take(values(&x).len());
        let (mut of_scale, mut of_shift) = (vec![0.0; channels], vec![0.0; channels]);
        sizes_fit(norm.backward(
            values(&x),
            values(&gradient),
            [values(&scale), values(&shift)],
            &statistics,
            &mut of_input,
            [&mut of_scale, &mut of_shift],
        ));
        let [input, scale, shift] = ops.parents;
        if let Some(parent) = input {
            gradients.register::<Flex>(parent.id, tensor(of_input, &dims));
        }
        for (parent, list) in [(scale, of_scale), (shift, of_shift)] {
            if let Some(parent) = parent {
                gradients.register::<Flex>(parent.id, listed(list));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::module::batch_norm_train;
    use burn::tensor::{Device, TensorData, activation};
    use segdata::rng::{Purpose, Rng};

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
            let ours = run(shape, |x, scale, shift| batch_norm(x, scale, shift, Activation::Relu));
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
    fn with_the_statistics_of_the_batch_both_ways_agree() {
        let shape = [2, 3, 4, 5];
        let (x, scale, shift) = (leaf(shape, 1), leaf([3], 2), leaf([3], 3));
        let batch = batch_norm(x.clone(), scale.clone(), shift.clone(), Activation::Relu);
        let fixed = fixed_norm(x, [scale, shift], [batch.mean, batch.variance], Activation::Relu);
        assert_eq!(list(fixed), list(batch.output));
    }
}
