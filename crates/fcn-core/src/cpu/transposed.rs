//! Transposed convolution with a learnt kernel on the CPU by the kernels of [`conv_kernels`], as one operation of the graph:
//! sum and bias forward, and its gradients.
//!
//! `N` images, `C` channels in, `O` channels out, `H x W` pixels, `k` taps a side, stride `s`.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use conv_kernels::{ConvTranspose2d, Scratch};

use super::tape::{host, listed, on_tape, record_layer, register_each, sizes_fit, tensor, values};

/// Whether the kernels compute it: a kernel whose side is the stride, without padding, or twice the stride.
pub(crate) fn computes(taps: usize, stride: usize, padding: usize) -> bool {
    taps == 2 * stride || (taps == stride && padding == 0)
}

/// All tensors are on the CPU: `x` `[N, C, H, W]`, `weight` `[C, O, k, k]`, `bias` `[O]`; the result is
/// `[N, O, s (H - 1) + k - 2 padding, ..]`. The sizes are such as the kernels compute ([`computes`]).
pub(crate) fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    let [batch, in_channels, height, width] = x.dims();
    let [_, out_channels, kernel, _] = weight.dims();
    let size = [height, width];
    let out_size = size.map(|side| stride * (side - 1) + kernel - 2 * padding);
    let offset = [padding; 2];
    let sizes = ConvTranspose2d { batch, in_channels, out_channels, size, out_size, kernel, stride, offset };
    if !x.is_autodiff() && !weight.is_autodiff() && !bias.as_ref().is_some_and(Tensor::is_autodiff) {
        let bias = bias.map(host);
        return Tensor::from_primitive::<Flex>(forward(&sizes, &host(x), &host(weight), bias.as_ref()));
    }
    let [x, weight] = [x, weight].map(on_tape);
    let kept = |_: &FlexTensor| Kept { x: x.primitive().clone(), weight: weight.primitive().clone() };
    let bias = bias.map(on_tape);
    let output = forward(&sizes, x.primitive(), weight.primitive(), bias.as_ref().map(|bias| bias.primitive()));
    record_layer(TransposedConvolution(sizes), &x, &weight, bias.as_ref(), kept, output)
}

fn forward(sizes: &ConvTranspose2d, x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let dims = [sizes.batch, sizes.out_channels, sizes.out_size[0], sizes.out_size[1]];
    let mut output = Scratch::take(dims.iter().product());
    let (x, weight, bias) = (x.to_contiguous(), weight.to_contiguous(), bias.map(FlexTensor::to_contiguous));
    sizes_fit(sizes.forward(values(&x), values(&weight), bias.as_ref().map(values), &mut output));
    tensor(output, &dims)
}

/// What the backward pass reads again.
#[derive(Clone, Debug)]
struct Kept {
    x: FlexTensor,
    weight: FlexTensor,
}

#[derive(Clone, Debug)]
struct TransposedConvolution(ConvTranspose2d);

impl TransposedConvolution {
    fn to_input(&self, gradient: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
        let dims = [self.0.batch, self.0.in_channels, self.0.size[0], self.0.size[1]];
        let mut result = Scratch::take(dims.iter().product());
        sizes_fit(self.0.backward_data(values(gradient), values(&weight.to_contiguous()), &mut result));
        tensor(result, &dims)
    }

    fn to_weight(&self, gradient: &FlexTensor, x: &FlexTensor) -> FlexTensor {
        let dims = [self.0.in_channels, self.0.out_channels, self.0.kernel, self.0.kernel];
        let mut result = Scratch::take(dims.iter().product());
        sizes_fit(self.0.backward_weight(values(&x.to_contiguous()), values(gradient), &mut result));
        tensor(result, &dims)
    }

    fn to_bias(&self, gradient: &FlexTensor) -> FlexTensor {
        let mut result = vec![0.0f32; self.0.out_channels];
        sizes_fit(self.0.backward_bias(values(gradient), &mut result));
        listed(result)
    }
}

/// With a bias there are three parents, without it two.
impl<const PARENTS: usize> Backward<Flex, PARENTS> for TransposedConvolution {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, PARENTS>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        register_each(ops, gradients, |role, kept| match role {
            0 => self.to_input(&gradient, &kept.weight),
            1 => self.to_weight(&gradient, &kept.x),
            _ => self.to_bias(&gradient),
        });
    }
}
