//! Transposed convolution with a learnt kernel on the CPU by the kernels of [`conv_kernels`], as one operation of the graph.
//!
//! `N` images, `C` channels in, `O` channels out, `H x W` pixels.

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn_flex::{Flex, FlexTensor};
use conv_kernels::{ConvTranspose2d, Scratch};

use super::tape::{host, on_tape, record_keeping, sizes_fit, tensor, values};

/// `x` `[N, C, H, W]` and `weight` `[C, O, 2 stride, 2 stride]`, both on the CPU, to `[N, O, stride (H + 1) - 2 padding, ..]`.
pub(crate) fn conv_transpose2d(x: Tensor<4>, weight: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let [batch, in_channels, height, width] = x.dims();
    let [_, out_channels, _, _] = weight.dims();
    let size = [height, width];
    let out_size = size.map(|side| stride * (side + 1) - 2 * padding);
    let (kernel, offset) = (2 * stride, [padding; 2]);
    let plan = ConvTranspose2d { batch, in_channels, out_channels, size, out_size, kernel, stride, offset };
    if !x.is_autodiff() && !weight.is_autodiff() {
        return Tensor::from_primitive::<Flex>(forward(&plan, &host(x), &host(weight)));
    }
    let [x, weight] = [x, weight].map(on_tape);
    let output = forward(&plan, x.primitive(), weight.primitive());
    let kept = |_: &FlexTensor| Kept { x: x.primitive().clone(), weight: weight.primitive().clone() };
    record_keeping(TransposedConvolution(plan), [&x, &weight], kept, output)
}

fn forward(plan: &ConvTranspose2d, x: &FlexTensor, weight: &FlexTensor) -> FlexTensor {
    let dims = [plan.batch, plan.out_channels, plan.out_size[0], plan.out_size[1]];
    let mut output = Scratch::take(dims.iter().product());
    let (x, weight) = (x.to_contiguous(), weight.to_contiguous());
    sizes_fit(plan.forward(values(&x), values(&weight), None, &mut output));
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

impl Backward<Flex, 2> for TransposedConvolution {
    type State = Kept;

    fn backward(self, ops: Ops<Kept, 2>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let gradient = gradients.consume::<Flex>(&ops.node).to_contiguous();
        let (plan, [x, weight]) = (self.0, [ops.state.x, ops.state.weight].map(|t| t.to_contiguous()));
        let [to_input, to_weight] = ops.parents;
        if let Some(parent) = to_input {
            let dims = [plan.batch, plan.in_channels, plan.size[0], plan.size[1]];
            let mut result = Scratch::take(dims.iter().product());
            sizes_fit(plan.backward_data(values(&gradient), values(&weight), &mut result));
            gradients.register::<Flex>(parent.id, tensor(result, &dims));
        }
        if let Some(parent) = to_weight {
            let taps = 2 * plan.stride;
            let dims = [plan.in_channels, plan.out_channels, taps, taps];
            let mut result = Scratch::take(dims.iter().product());
            sizes_fit(plan.backward_weight(values(&x), values(&gradient), &mut result));
            gradients.register::<Flex>(parent.id, tensor(result, &dims));
        }
    }
}
