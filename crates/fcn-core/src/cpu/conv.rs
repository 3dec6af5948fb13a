//! Convolution on the CPU by the kernels of [`conv_kernels`], as one operation of the graph: sum, bias and ReLU forward,
//! and its three gradients.
//!
//! `N` images, `C` channels in, `O` channels out, `H x W` pixels.
//!
//! The ReLU's derivative is read off its result: where that is zero, nothing flows back. The operation keeps its input,
//! its weight and, where there is a ReLU, its result, which is the next layer's input anyway. Maps and gradients are in
//! the kernels' recycled memory: a training step takes from the system what the one before it gave back.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape, PreparedWeights, Purpose, Scratch};
use rayon::prelude::*;

use super::tape::{Tracked, host, listed, on_tape, record_layer, register_each, sizes_fit, tensor, values};

/// Values that one task masks.
const CHUNK: usize = 1 << 16;

/// `relu(x * weight + bias)`, or without ReLU or bias. All tensors are on the CPU: `x` `[N, C, H, W]`, `weight`
/// `[O, C, k, k]`, `bias` `[O]`; the result is `[N, O, H + 2 padding - k + 1, W + 2 padding - k + 1]`.
pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    padding: usize,
    activation: Activation,
    algorithm: Algorithm,
) -> Tensor<4> {
    let [out_channels, _, taps, _] = weight.dims();
    let tracked = x.is_autodiff() || weight.is_autodiff() || bias.as_ref().is_some_and(Tensor::is_autodiff);
    let purpose = if tracked { Purpose::Training } else { Purpose::Inference };
    let conv = plan(&x, [out_channels, taps], padding, algorithm).purpose(purpose);
    let conv = Convolution { conv, activation };
    if !tracked {
        let bias = bias.map(host);
        return Tensor::from_primitive::<Flex>(conv.forward(&host(x), &host(weight), bias.as_ref()));
    }
    let [x, weight] = [x, weight].map(on_tape);
    let kept = |output: &FlexTensor| conv.keep(&x, &weight, output);
    let bias = bias.map(on_tape);
    let output = conv.forward(x.primitive(), weight.primitive(), bias.as_ref().map(|bias| bias.primitive()));
    record_layer(conv.clone(), &x, &weight, bias.as_ref(), kept, output)
}

/// The convolution of `x` `[N, C, H, W]` with `[O, C, k, k]` weights, given as `[O, k]`.
pub(crate) fn plan(x: &Tensor<4>, [out_channels, taps]: [usize; 2], padding: usize, algorithm: Algorithm) -> Conv2d {
    let [images, channels, height, width] = x.dims();
    let shape = Conv2dShape::square(images, [channels, out_channels], [height, width], taps, padding);
    sizes_fit(Conv2d::new(shape, algorithm))
}

/// As [`conv2d`], with weights in the kernels' own form and a bias `[O]`; the result carries no gradient.
pub(crate) fn conv2d_prepared(
    conv: &Conv2d,
    x: Tensor<4>,
    weights: &PreparedWeights,
    bias: Option<&[f32]>,
    activation: Activation,
) -> Tensor<4> {
    let dims = conv.output_dims();
    let mut output = Scratch::take(dims.iter().product());
    let x = host(x).to_contiguous();
    sizes_fit(conv.forward_prepared(values(&x), weights, bias, activation, &mut output));
    Tensor::from_primitive::<Flex>(tensor(output, &dims))
}

/// What the backward pass reads again.
#[derive(Clone, Debug)]
struct Kept {
    x: FlexTensor,
    weight: FlexTensor,
    /// Where a ReLU decided what flows back.
    output: Option<FlexTensor>,
}

/// A convolution of fixed sizes and what is applied to its sums.
#[derive(Clone, Debug)]
struct Convolution {
    conv: Conv2d,
    activation: Activation,
}

impl Convolution {
    fn keep(&self, x: &Tracked, weight: &Tracked, output: &FlexTensor) -> Kept {
        let output = (self.activation == Activation::Relu).then(|| output.clone());
        Kept { x: x.primitive().clone(), weight: weight.primitive().clone(), output }
    }

    fn forward(&self, x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
        let dims = self.conv.output_dims();
        let mut output = Scratch::take(dims.iter().product());
        let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.map(FlexTensor::to_contiguous));
        sizes_fit(self.conv.forward(
            values(&x),
            values(&weight),
            bias.as_ref().map(values),
            self.activation,
            &mut output,
        ));
        tensor(output, &dims)
    }

    /// The gradient with respect to the sums, from that with respect to the result.
    fn through_activation(&self, gradient: FlexTensor, output: Option<FlexTensor>) -> FlexTensor {
        let gradient = gradient.to_contiguous();
        let Some(output) = output else { return gradient };
        let mut masked = Scratch::take(values(&gradient).len());
        masked
            .par_chunks_mut(CHUNK)
            .zip(values(&gradient).par_chunks(CHUNK))
            .zip(values(&output).par_chunks(CHUNK))
            .for_each(|((masked, gradient), output)| {
                for ((masked, gradient), output) in masked.iter_mut().zip(gradient).zip(output) {
                    *masked = if *output > 0.0 { *gradient } else { 0.0 };
                }
            });
        tensor(masked, &self.conv.output_dims())
    }

    fn to_input(&self, gradient: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let shape = self.conv.shape();
        let mut result = Scratch::take(shape.input_len());
        sizes_fit(self.conv.backward_data(values(gradient), values(&weight.to_contiguous()), &mut result));
        tensor(result, &[shape.batch, shape.in_channels, shape.height, shape.width])
    }

    fn to_weight(&self, gradient: &FlexTensor, x: &FlexTensor) -> FlexTensor {
        let shape = self.conv.shape();
        let mut result = Scratch::take(shape.weight_len());
        sizes_fit(self.conv.backward_weight(values(&x.to_contiguous()), values(gradient), &mut result));
        tensor(result, &[shape.out_channels, shape.in_channels, shape.kernel[0], shape.kernel[1]])
    }

    fn to_bias(&self, gradient: &FlexTensor) -> FlexTensor {
        let mut result = vec![0.0f32; self.conv.shape().out_channels];
        sizes_fit(self.conv.backward_bias(values(gradient), &mut result));
        listed(result)
    }
}

/// With a bias there are three parents, without it two.
impl<const PARENTS: usize> Backward<Flex, PARENTS> for Convolution {
    type State = Kept;

    fn backward(self, mut ops: Ops<Kept, PARENTS>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = self.through_activation(gradients.consume::<Flex>(&ops.node), ops.state.output.take());
        register_each(ops, gradients, |role, kept| match role {
            0 => self.to_input(&gradient, &kept.weight),
            1 => self.to_weight(&gradient, &kept.x),
            _ => self.to_bias(&gradient),
        });
    }
}
