//! Weights of convolutions in the kernels' own form.
//!
//! The kernels of the CPU work on transformed weights. A training step has to transform them anew; here each layer's are
//! transformed when they are first used at a size where that pays and kept, with a batch normalisation behind the layer
//! folded in. The originals stay, for maps of a handful of pixels, which are multiplied as defined; those of a mapped file
//! take no memory of their own. For FCN-8s at full width the 59 MB of the 3x3 layers become about 150 MB for images of up
//! to 512 x 512, and 250 MB for larger ones, where conv5 gains by it too. fc6 and fc7 are used as they are: fc6's kernel
//! transforms weights piece by piece while it uses them (transformed they would take 839 MB), and fc7's would be a copy in
//! another order. Rounded to bf16 fc7's is kept, at half its size, and so are the others. For images of up to 64 x 64 there
//! is a copy of the part of fc6 that meets anything but padding, 75 MB of 411 (8 up to 32 x 32).
//!
//! `N` images, `C` channels, `H x W` pixels.

use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::{Device, Tensor};
use conv_kernels::{
    Activation, Algorithm, BatchStatistics, Conv2d, Precision, PreparedWeights, Purpose, fold_batch_norm,
};

use super::graph::Conv;
use super::parameter::{Parameter, ParameterKind};
use crate::cpu::conv::{conv2d_prepared, plan};
use crate::cpu::norm::NORM_EPSILON;
use crate::cpu::tape::{host, sizes_fit, values};
use crate::device::values::is_host;

/// Whether kernels of so many taps a side are kept in transformed form where that is faster. Those of one tap would only be a
/// copy, unless they are rounded.
fn worth_keeping(taps: usize, precision: Precision) -> bool {
    taps > 1 || precision == Precision::Bf16
}

/// The weights of all convolutions.
pub(super) struct LayerWeights {
    /// By the index of the parameter.
    kept: Vec<Mutex<Kept>>,
    precision: Precision,
}

/// What is kept of a convolution's weights.
struct Kept {
    /// As they came, flat.
    stored: Tensor<1>,
    /// For maps of different sizes.
    transformed: Vec<Arc<Transformed>>,
}

/// The weights of one convolution as a pass uses them.
#[expect(clippy::large_enum_variant, reason = "made once for a layer of a pass, and taken apart at once")]
pub(super) enum Weights {
    /// As they came, flat.
    Stored(Tensor<1>),
    /// As the kernels use them.
    Transformed(Arc<Transformed>),
}

/// A convolution ready for use, with what is left of a batch normalisation in its bias.
pub(super) struct Transformed {
    weights: PreparedWeights,
    bias: Option<Vec<f32>>,
}

impl Transformed {
    fn new(parameters: &[Parameter], layer: &Conv, conv: &Conv2d, weight: &Tensor<1>) -> Self {
        let list = |index: usize| values(&host(parameters[index].tensor.clone())).to_vec();
        let weight = host(weight.clone());
        let Some(norm) = layer.norm else {
            return Transformed { weights: sizes_fit(conv.prepare(values(&weight))), bias: layer.bias.map(list) };
        };
        let statistics = BatchStatistics { mean: list(norm.mean), variance: list(norm.var) };
        let lines = [list(norm.scale), list(norm.shift)];
        let lines = [&lines[0][..], &lines[1][..]];
        let (weight, bias) = sizes_fit(fold_batch_norm(values(&weight), None, lines, &statistics, NORM_EPSILON as f32));
        Transformed { weights: sizes_fit(conv.prepare(&weight)), bias: Some(bias) }
    }

    /// `x` `[N, C, H, W]` through the layer and its activation.
    pub(super) fn convolve(&self, conv: &Conv2d, x: Tensor<4>, after: Activation) -> Tensor<4> {
        conv2d_prepared(conv, x, &self.weights, self.bias.as_deref(), after)
    }
}

impl LayerWeights {
    /// Moves the convolutions' weights out of the parameters.
    pub(super) fn taken_from(parameters: &mut [Parameter], precision: Precision) -> Self {
        let nothing = Tensor::<1>::empty([0], &Device::flex());
        let taken = parameters.iter_mut().map(|parameter| {
            let tensor = match parameter.kind {
                ParameterKind::Weight => std::mem::replace(&mut parameter.tensor, nothing.clone()),
                _ => nothing.clone(),
            };
            Mutex::new(Kept { stored: tensor, transformed: Vec::new() })
        });
        LayerWeights { kept: taken.collect(), precision }
    }

    /// The plan of a layer for the input `x` and its weights, transformed if that pays at this size.
    pub(super) fn of(
        &self,
        parameters: &[Parameter],
        layer: &Conv,
        algorithm: Algorithm,
        x: &Tensor<4>,
    ) -> (Conv2d, Weights) {
        debug_assert!(is_host(x), "only the host has weights of its own");
        let outputs = parameters[layer.weight].shape[0];
        let conv = plan(x, [outputs, layer.taps], layer.padding, algorithm);
        let conv = conv.purpose(Purpose::Inference).precision(self.precision);
        let mut kept = self.kept[layer.weight].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = kept.transformed.iter().find(|ready| ready.weights.serve(&conv)) {
            return (conv, Weights::Transformed(ready.clone()));
        }
        if !worth_keeping(layer.taps, self.precision) || !conv.gains_from_preparing() {
            return (conv, Weights::Stored(kept.stored.clone()));
        }
        let ready = Arc::new(Transformed::new(parameters, layer, &conv, &kept.stored));
        kept.transformed.push(ready.clone());
        (conv, Weights::Transformed(ready))
    }
}
