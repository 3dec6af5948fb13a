//! What happens to maps between convolutions, on the CPU: the 2 x 2 maximum and bilinear enlargement, by the kernels of
//! [`conv_kernels`], each one operation of the graph.
//!
//! `N` images, `C` channels, `H x W` pixels.

use std::sync::Arc;

use burn::tensor::Tensor;
use burn_flex::FlexTensor;
use conv_kernels::{Activation, BilinearUpsample, Border, MaxPool, Scratch};

use super::tape::{Gradient, host, record, sizes_fit, tensor, values};

/// Maximum over 2 x 2 windows, those at odd borders cut off, and the activation: `[N, C, H, W]` to
/// `[N, C, ceil(H / 2), ceil(W / 2)]`. A ReLU here is the ReLU before the pooling, at a quarter of the price.
pub(crate) fn max_pool2d(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    let dims = x.dims();
    let [images, channels, height, width] = dims;
    let planes = images * channels;
    let pool = MaxPool { planes, size: [height, width], border: Border::Ceil, activation };
    let [rows, columns] = pool.out_size();
    let input = host(x.clone()).to_contiguous();
    let mut output = Scratch::take(planes * rows * columns);
    let mut mask = vec![0; output.len()];
    sizes_fit(pool.forward(values(&input), &mut output, &mut mask));
    let output = tensor(output, &[images, channels, rows, columns]);
    record(x, output, PoolGradient { pool, mask: mask.into(), dims })
}

#[derive(Clone, Debug)]
struct PoolGradient {
    pool: MaxPool,
    /// Where each maximum was.
    mask: Arc<[u8]>,
    dims: [usize; 4],
}

impl Gradient for PoolGradient {
    fn of_input(&self, of_output: &[f32]) -> FlexTensor {
        let mut gradient = Scratch::take(self.dims.iter().product());
        sizes_fit(self.pool.backward(of_output, &self.mask, &mut gradient));
        tensor(gradient, &self.dims)
    }
}

/// Transposed convolution with the bilinear kernel of `2 stride` taps within each channel: `[N, C, H, W]` to
/// `[N, C, stride (H + 1) - 2 padding, ..]`.
pub fn enlarge(x: Tensor<4>, stride: usize, padding: usize) -> Tensor<4> {
    let dims = x.dims();
    let [images, channels, height, width] = dims;
    let out_size = [height, width].map(|side| stride * (side + 1) - 2 * padding);
    let plan =
        BilinearUpsample { planes: images * channels, size: [height, width], out_size, stride, offset: [padding; 2] };
    let input = host(x.clone()).to_contiguous();
    let mut output = Scratch::take(images * channels * out_size[0] * out_size[1]);
    sizes_fit(plan.forward(values(&input), &mut output));
    let output = tensor(output, &[images, channels, out_size[0], out_size[1]]);
    record(x, output, EnlargeGradient { plan, dims })
}

#[derive(Clone, Debug)]
struct EnlargeGradient {
    plan: BilinearUpsample,
    dims: [usize; 4],
}

impl Gradient for EnlargeGradient {
    fn of_input(&self, of_output: &[f32]) -> FlexTensor {
        let mut gradient = Scratch::take(self.dims.iter().product());
        sizes_fit(self.plan.backward(of_output, &mut gradient));
        tensor(gradient, &self.dims)
    }
}
