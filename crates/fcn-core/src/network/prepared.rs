//! Inference with weights that no longer change.
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
//! `N` images, `K` classes, `H x W` pixels.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use burn::tensor::{Device, Tensor};
use conv_kernels::{Activation, BatchStatistics, Conv2d, Precision, PreparedWeights, Purpose, fold_batch_norm};

use super::fcn::{Fcn, NORM_EPSILON};
use super::parameter::ParameterKind;
use super::vgg16::Layer;
use crate::cpu::conv::{conv2d_prepared, plan};
use crate::cpu::tape::{host, sizes_fit, values};
use crate::device::choice::is_cpu;
use crate::device::values::is_host;
use crate::weights::ModelMeta;

/// Whether kernels of so many taps a side are kept in transformed form where that is faster. Those of one tap would only be a
/// copy, unless they are rounded.
fn worth_keeping(taps: usize, precision: Precision) -> bool {
    taps > 1 || precision == Precision::Bf16
}

/// In which form weights wait for the next pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightForm {
    /// As the kernels use them: the fastest, and up to 1.5 times the memory.
    Transformed,
    /// The same rounded to 8 bits (bf16), with which pixels are multiplied rounded alike: faster where the processor has
    /// such products ([`conv_kernels::Isa::has_bf16`]), and about one pixel in a hundred may change its class. Layers of
    /// few channels stay f32, and so does fc6 but for the smallest images.
    TransformedBf16,
    /// As they came, to be transformed in every pass.
    AsStored,
}

/// A network whose weights no longer change.
pub struct Frozen {
    /// On the CPU without its convolutions' weights, if these are in `layers`.
    fcn: Fcn,
    layers: Option<LayerWeights>,
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
pub(crate) struct Stopwatch {
    last: Instant,
    laps: Vec<LayerTime>,
}

impl Stopwatch {
    fn start() -> Self {
        Stopwatch { last: Instant::now(), laps: Vec::new() }
    }

    pub(crate) fn lap(&mut self, layer: &str) {
        let now = Instant::now();
        self.laps.push(LayerTime { layer: layer.to_string(), seconds: (now - self.last).as_secs_f64() });
        self.last = now;
    }
}

impl Frozen {
    /// Takes the network over. Only on the CPU is there more than one form; elsewhere weights stay as they are.
    pub fn new(mut fcn: Fcn, form: WeightForm) -> Self {
        fcn.for_inference();
        let on_host = is_cpu(&fcn.device());
        let precision = match form {
            WeightForm::Transformed => Some(Precision::F32),
            WeightForm::TransformedBf16 => Some(Precision::Bf16),
            WeightForm::AsStored => None,
        };
        let layers = precision.filter(|_| on_host).map(|precision| LayerWeights::taken_from(&mut fcn, precision));
        Frozen { fcn, layers }
    }

    /// What network this is.
    pub fn meta(&self) -> &ModelMeta {
        &self.fcn.meta
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.fcn.device()
    }

    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`, as [`Fcn::forward`] gives them but for rounding.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.fcn.infer(images, self.layers.as_ref(), None)
    }

    /// [`Frozen::forward`], and what each layer took. Times mean something on the CPU only: other devices work behind the
    /// caller's back.
    pub fn forward_timed(&self, images: Tensor<4>) -> (Tensor<4>, Vec<LayerTime>) {
        let mut watch = Stopwatch::start();
        let logits = self.fcn.infer(images, self.layers.as_ref(), Some(&mut watch));
        (logits, watch.laps)
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").field("meta", &self.fcn.meta).finish_non_exhaustive()
    }
}

/// The weights of all convolutions.
pub(crate) struct LayerWeights {
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
pub(crate) enum Weights {
    /// As they came, flat.
    Stored(Tensor<1>),
    /// As the kernels use them.
    Transformed(Arc<Transformed>),
}

/// A convolution ready for use, with what is left of a batch normalisation in its bias.
pub(crate) struct Transformed {
    weights: PreparedWeights,
    bias: Option<Vec<f32>>,
}

impl Transformed {
    fn new(fcn: &Fcn, layer: &Layer, conv: &Conv2d, weight: &Tensor<1>) -> Self {
        let list = |index: usize| values(&host(fcn.parameters()[index].tensor.clone())).to_vec();
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
    pub(crate) fn convolve(&self, conv: &Conv2d, x: Tensor<4>, after: Activation) -> Tensor<4> {
        conv2d_prepared(conv, x, &self.weights, self.bias.as_deref(), after)
    }
}

impl LayerWeights {
    /// Moves the convolutions' weights out of the network.
    fn taken_from(fcn: &mut Fcn, precision: Precision) -> Self {
        let nothing = Tensor::<1>::empty([0], &Device::flex());
        let taken = fcn.parameters_mut().iter_mut().map(|parameter| {
            let tensor = match parameter.kind {
                ParameterKind::Weight => std::mem::replace(&mut parameter.tensor, nothing.clone()),
                _ => nothing.clone(),
            };
            Mutex::new(Kept { stored: tensor, transformed: Vec::new() })
        });
        LayerWeights { kept: taken.collect(), precision }
    }

    /// The plan of a layer for the input `x` and its weights, transformed if that pays at this size.
    pub(crate) fn of(&self, fcn: &Fcn, layer: &Layer, x: &Tensor<4>) -> (Conv2d, Weights) {
        debug_assert!(is_host(x), "only the host has weights of its own");
        let [outputs, _, taps] = fcn.weight_shape(layer);
        let conv = plan(x, [outputs, taps], layer.padding, fcn.options.algorithm);
        let conv = conv.purpose(Purpose::Inference).precision(self.precision);
        let mut kept = self.kept[layer.weight].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ready) = kept.transformed.iter().find(|ready| ready.weights.serve(&conv)) {
            return (conv, Weights::Transformed(ready.clone()));
        }
        if !worth_keeping(taps, self.precision) || !conv.gains_from_preparing() {
            return (conv, Weights::Stored(kept.stored.clone()));
        }
        let ready = Arc::new(Transformed::new(fcn, layer, &conv, &kept.stored));
        kept.transformed.push(ready.clone());
        (conv, Weights::Transformed(ready))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::values::with_values;
    use crate::network::{Algorithm, FcnOptions, ParameterKind};
    use crate::weights::{Backbone, Geometry, TrunkShape, Variant};
    use burn::tensor::TensorData;
    use segdata::image::preprocessing::Preprocessing;
    use segdata::labels::Classes;
    use segdata::rng::{Purpose, Rng};

    fn draw(count: usize, key: u64) -> Vec<f32> {
        let mut rng = Rng::derive(6, Purpose::Bench, &[key]);
        (0..count).map(|_| rng.normal()).collect()
    }

    /// A network in which nothing is at its start: neither score layers nor running statistics.
    fn network(backbone: Backbone, geometry: Geometry, algorithm: Algorithm) -> Fcn {
        let classes = Classes::named(["a", "b", "c"]);
        let preprocessing = Preprocessing::default();
        let meta = ModelMeta {
            variant: Variant::Fcn8s,
            backbone,
            width: 0.125,
            trunk: TrunkShape::default(),
            geometry,
            classes,
            preprocessing,
        };
        let options = FcnOptions { algorithm, ..FcnOptions::default() };
        let mut index = 0..;
        Fcn::from_values(meta, &options, &Device::flex(), |spec| {
            let drawn = draw(spec.len(), index.next().unwrap());
            let fan_in: usize = spec.shape[1..].iter().product();
            Ok(drawn
                .into_iter()
                .map(|v| match spec.kind {
                    ParameterKind::Weight => v * (2.0 / fan_in as f32).sqrt(),
                    ParameterKind::NormScale | ParameterKind::RunningVar => 1.0 + 0.2 * v.clamp(-3.0, 3.0),
                    _ => 0.1 * v,
                })
                .collect())
        })
        .unwrap()
    }

    #[test]
    fn every_form_of_the_weights_gives_the_logits_of_the_network() {
        let mut failures = Vec::new();
        for backbone in [Backbone::Vgg16, Backbone::Vgg16Bn] {
            for (geometry, size) in [(Geometry::Same, [64, 90]), (Geometry::Caffe, [37, 50])] {
                for algorithm in [Algorithm::Direct, Algorithm::Accurate, Algorithm::Fast] {
                    let fcn = network(backbone, geometry, algorithm);
                    let [height, width] = size;
                    let data = TensorData::new(draw(2 * 3 * height * width, 99), [2, 3, height, width]);
                    let images = Tensor::<4>::from_data(data, &Device::flex());
                    let of = |logits: Tensor<4>| with_values(&logits, <[f32]>::to_vec).unwrap();
                    let expected = of(fcn.forward(images.clone()));
                    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                    for form in [WeightForm::Transformed, WeightForm::TransformedBf16, WeightForm::AsStored] {
                        let frozen = Frozen::new(fcn.clone(), form);
                        for pass in ["first", "second"] {
                            let found = of(frozen.forward(images.clone()));
                            let pairs = expected.iter().zip(&found);
                            let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
                            // Folding a batch normalisation rounds each weight once more; else nothing differs.
                            let folded = if backbone == Backbone::Vgg16 { 0.0 } else { 1e-4 };
                            let rounded = form == WeightForm::TransformedBf16;
                            let allowed = if rounded { 5e-2 } else { folded };
                            if worst.is_nan() || worst > allowed || (rounded && worst < 1e-4) {
                                let case = format!("{backbone:?} {geometry:?} {algorithm:?} {form:?}, {pass} pass");
                                failures.push(format!("{case}: {worst:e}, allowed {allowed:e}"));
                            }
                        }
                    }
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn weights_serve_images_of_any_size_whichever_came_first() {
        let fcn = network(Backbone::Vgg16Bn, Geometry::Same, Algorithm::Fast);
        let image = |side: usize| {
            Tensor::<4>::from_data(TensorData::new(draw(3 * side * side, 7), [1, 3, side, side]), &Device::flex())
        };
        let frozen = Frozen::new(fcn.clone(), WeightForm::Transformed);
        for side in [32, 64, 256, 96, 64, 33] {
            let largest = |difference: Tensor<4>| difference.abs().max().into_scalar::<f32>();
            let scores = frozen.forward(image(side));
            let alone = Frozen::new(fcn.clone(), WeightForm::Transformed).forward(image(side));
            assert_eq!(largest(scores.clone() - alone), 0.0, "{side}: other images before it change its scores");
            let worst = largest(scores - fcn.forward(image(side)));
            assert!(worst < 1e-3, "{side}: {worst}");
        }
    }

    #[test]
    fn every_layer_of_a_pass_is_timed_in_its_order() {
        let frozen = Frozen::new(network(Backbone::Vgg16, Geometry::Same, Algorithm::Fast), WeightForm::Transformed);
        let images = Tensor::<4>::zeros([1, 3, 32, 32], &Device::flex());
        let (_, times) = frozen.forward_timed(images);
        let names: Vec<&str> = times.iter().map(|time| time.layer.as_str()).collect();
        let expected = "frame conv1_1 conv1_2 pool1 conv2_1 conv2_2 pool2 conv3_1 conv3_2 conv3_3 pool3 conv4_1 conv4_2 \
                        conv4_3 pool4 conv5_1 conv5_2 conv5_3 pool5 fc6 fc7 score_fr upscore2 score_pool4 \
                        upscore_pool4 score_pool3 upscore8 crop";
        assert_eq!(names, expected.split_whitespace().collect::<Vec<_>>());
    }
}
