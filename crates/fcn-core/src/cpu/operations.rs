//! The one place that calls the engine's convolutions and poolings, so that a faster operation can stand in for them.
//!
//! `N` images, `C` channels in, `O` channels out, `H x W` pixels, `k` taps a side.

use burn::tensor::ops::{ConvOptions, ConvTransposeOptions, MaxPoolOptions};
use burn::tensor::{Tensor, activation, module};
use conv_kernels::{Activation, Algorithm};

use super::{concat as join, conv, maps, transposed};
use crate::device::values::is_host;

/// Convolution with stride 1, then the activation: `[N, C, H, W]` and `[O, C, k, k]` to
/// `[N, O, H + 2p - k + 1, W + 2p - k + 1]`, where `p` zeros are put around the input.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    padding: usize,
    after: Activation,
    algorithm: Algorithm,
) -> Tensor<4> {
    if is_host(&x) {
        return conv::conv2d(x, weight, bias, padding, after, algorithm);
    }
    activated(module::conv2d(x, weight, bias, ConvOptions::new([1, 1], [padding, padding], [1, 1], 1)), after)
}

/// Transposed convolution: `[N, C, H, W]` and `[C, O, k, k]` to `[N, O, s(H - 1) + k - 2p, ..]`, where `s` is the stride and
/// `p` pixels are cut from each side of the result.
pub fn conv_transpose2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    stride: usize,
    padding: usize,
) -> Tensor<4> {
    if is_host(&x) && transposed::computes(weight.dims()[2], stride, padding) {
        return transposed::conv_transpose2d(x, weight, bias, stride, padding);
    }
    let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [0, 0], [1, 1], 1);
    module::conv_transpose2d(x, weight, bias, options)
}

/// `[N, A, H, W]` and `[N, B, H, W]` to `[N, A + B, H, W]`.
pub fn concat(first: Tensor<4>, second: Tensor<4>) -> Tensor<4> {
    if is_host(&first) && is_host(&second) {
        return join::concat(first, second);
    }
    Tensor::cat(vec![first, second], 1)
}

/// Maximum over 2 x 2 windows, then the activation: `[N, C, H, W]` to `[N, C, ceil(H / 2), ceil(W / 2)]`. The windows at
/// an odd border are cut off (Caffe's rule); for even sizes there is no difference to rounding down.
pub fn max_pool2d(x: Tensor<4>, after: Activation) -> Tensor<4> {
    if is_host(&x) {
        return maps::max_pool2d(x, after);
    }
    activated(module::max_pool2d(x, MaxPoolOptions::new([2, 2]).with_ceil_mode(true)), after)
}

/// The activation as an operation of its own.
fn activated(x: Tensor<4>, after: Activation) -> Tensor<4> {
    match after {
        Activation::Identity => x,
        Activation::Relu => activation::relu(x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    /// Height, width; the pooled values of 0, 1, 2, .. in row-major order, which rise along both axes.
    const POOLS: [(usize, usize); 8] = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 3), (3, 4), (5, 2), (7, 9)];

    #[test]
    fn pooling_keeps_the_windows_at_odd_borders_and_sends_their_gradient_back() {
        let device = Device::flex().autodiff();
        for (h, w) in POOLS {
            let values: Vec<f32> = (0..h * w).map(|i| i as f32).collect();
            let x = Tensor::<4>::from_data(TensorData::new(values, [1, 1, h, w]), &device).require_grad();
            let pooled = max_pool2d(x.clone(), Activation::Identity);
            let (ph, pw) = (h.div_ceil(2), w.div_ceil(2));
            assert_eq!(pooled.dims(), [1, 1, ph, pw], "{h}x{w}");
            let mut expected_gradient = vec![0.0; h * w];
            let expected: Vec<f32> = (0..ph * pw)
                .map(|i| {
                    let (y, x) = ((2 * (i / pw) + 1).min(h - 1), (2 * (i % pw) + 1).min(w - 1));
                    expected_gradient[y * w + x] = 1.0;
                    (y * w + x) as f32
                })
                .collect();
            let gradients = pooled.clone().sum().backward();
            assert_eq!(pooled.into_data().as_slice::<f32>().unwrap(), expected, "{h}x{w}");
            let gradient = x.grad(&gradients).unwrap().into_data();
            assert_eq!(gradient.as_slice::<f32>().unwrap(), expected_gradient, "{h}x{w}");
        }
    }

    #[test]
    fn a_relu_behind_the_pooling_is_the_relu_before_it() {
        let device = Device::flex().autodiff();
        let shape = [2, 3, 7, 6];
        // A wave of few different values, zero among them, so that there are ties of every kind.
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| ((i as f32 * 1.7).sin() * 3.0).round()).collect();
        let run = |operation: fn(Tensor<4>) -> Tensor<4>| {
            let x = Tensor::<4>::from_data(TensorData::new(values.clone(), shape), &device).require_grad();
            let y = operation(x.clone());
            let gradients = (y.clone() * 0.5).sum().backward();
            [y, x.grad(&gradients).unwrap().autodiff()].map(|t| t.into_data().as_slice::<f32>().unwrap().to_vec())
        };
        let behind = run(|x| max_pool2d(x, Activation::Relu));
        let before = run(|x| max_pool2d(activation::relu(x), Activation::Identity));
        assert_eq!(behind, before);
    }

    #[test]
    fn joined_maps_are_the_engine_s_forward_and_backward() {
        let device = Device::flex().autodiff();
        let wave = |shape: [usize; 4], step: f32| {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * step).sin()).collect();
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        for (images, a, b, h, w) in [(1, 1, 1, 1, 1), (2, 3, 5, 4, 3), (3, 4, 1, 2, 7)] {
            let run = |operation: &dyn Fn(Tensor<4>, Tensor<4>) -> Tensor<4>| {
                let first = wave([images, a, h, w], 0.7).require_grad();
                // Not contiguous.
                let second = wave([images, b, w, h], 0.3).require_grad();
                let y = operation(first.clone(), second.clone().swap_dims(2, 3));
                let gradients = (y.clone() * wave(y.dims(), 1.1)).sum().backward();
                let gradients = [first, second].map(|x| x.grad(&gradients).unwrap().autodiff());
                [vec![y], gradients.to_vec()].concat().into_iter().map(|t| t.into_data()).collect::<Vec<_>>()
            };
            assert_eq!(run(&concat), run(&|x, y| Tensor::cat(vec![x, y], 1)), "{images} x {a} + {b}");
        }
    }

    #[test]
    fn transposed_convolutions_are_the_engine_s_forward_and_backward() {
        let device = Device::flex().autodiff();
        let values = |shape: &[usize], step: f32| -> TensorData {
            let values: Vec<f32> = (0..shape.iter().product()).map(|i| (i as f32 * step).sin()).collect();
            TensorData::new(values, shape.to_vec())
        };
        let maps = |shape: [usize; 4], step| Tensor::<4>::from_data(values(&shape, step), &device).require_grad();
        // Taps, stride, padding, whether with a bias, and the input's size.
        let cases = [
            (4, 2, 1, false, [3, 5]),
            (4, 2, 1, true, [3, 5]),
            (16, 8, 4, false, [4, 2]),
            (4, 2, 0, false, [2, 3]),
            (2, 2, 0, true, [3, 5]),
            (2, 2, 0, false, [1, 4]),
            (3, 3, 0, true, [2, 2]),
            (3, 2, 1, true, [2, 3]),
        ];
        for (taps, stride, padding, biased, [height, width]) in cases {
            let run = |operation: &dyn Fn(Tensor<4>, Tensor<4>, Option<Tensor<1>>) -> Tensor<4>| {
                let (x, weight) = (maps([2, 3, height, width], 0.7), maps([3, 4, taps, taps], 0.3));
                let bias = biased.then(|| Tensor::<1>::from_data(values(&[4], 1.9), &device).require_grad());
                let y = operation(x.clone(), weight.clone(), bias.clone());
                let gradients = (y.clone() * maps(y.dims(), 1.1)).sum().backward();
                let mut found = vec![y.flatten::<1>(0, 3).inner()];
                found.extend([x, weight].map(|tensor| tensor.grad(&gradients).unwrap().flatten::<1>(0, 3)));
                found.extend(bias.map(|bias| bias.grad(&gradients).unwrap()));
                found
            };
            let ours = run(&|x, weight, bias| conv_transpose2d(x, weight, bias, stride, padding));
            let options = ConvTransposeOptions::new([stride; 2], [padding; 2], [0, 0], [1, 1], 1);
            let engine = run(&|x, weight, bias| module::conv_transpose2d(x, weight, bias, options.clone()));
            for ((ours, engine), name) in ours.into_iter().zip(engine).zip(["y", "dx", "dw", "db"]) {
                let case = format!("{name}, {taps} taps, stride {stride}, padding {padding}");
                assert_eq!(ours.dims(), engine.dims(), "{case}");
                let worst: f32 = (ours - engine).abs().max().into_scalar();
                assert!(worst < 1e-4, "{case}: {worst}");
            }
        }
    }

    #[test]
    fn a_transposed_convolution_is_the_adjoint_of_the_convolution() {
        // <conv(x), y> = <x, conv_transpose(y)> with stride 1 and the same weight.
        let device = Device::flex();
        let ramp = |shape: [usize; 4], step: f32| {
            let n = shape.iter().product::<usize>();
            let values: Vec<f32> = (0..n).map(|i| (i as f32 * step).sin()).collect();
            Tensor::<4>::from_data(TensorData::new(values, shape), &device)
        };
        let (x, weight, y) = (ramp([2, 3, 6, 5], 0.7), ramp([4, 3, 3, 3], 0.3), ramp([2, 4, 6, 5], 1.1));
        let left = conv2d(x.clone(), weight.clone(), None, 1, Activation::Identity, Algorithm::Direct);
        let left = (left * y.clone()).sum().into_scalar::<f32>();
        let right = (conv_transpose2d(y, weight, None, 1, 1) * x).sum().into_scalar::<f32>();
        assert!((left - right).abs() < 1e-4, "{left} {right}");
    }
}
