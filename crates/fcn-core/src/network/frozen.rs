//! Inference with weights that no longer change.
//!
//! `N` images, `K` classes, `H x W` pixels.

use burn::tensor::{Device, Tensor};
use conv_kernels::Precision;

use super::executor::{LayerTime, Stopwatch};
use super::network::Network;
use super::prepared::LayerWeights;
use super::spec::ModelMeta;
use crate::device::is_cpu;

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
    network: Network,
    layers: Option<LayerWeights>,
}

impl Frozen {
    /// Takes the network over. Only on the CPU is there more than one form; elsewhere weights stay as they are.
    pub fn new(mut network: Network, form: WeightForm) -> Self {
        network.for_inference();
        let on_host = is_cpu(&network.device());
        let precision = match form {
            WeightForm::Transformed => Some(Precision::F32),
            WeightForm::TransformedBf16 => Some(Precision::Bf16),
            WeightForm::AsStored => None,
        };
        let layers = precision
            .filter(|_| on_host)
            .map(|precision| LayerWeights::taken_from(network.parameters_mut(), precision));
        Frozen { network, layers }
    }

    /// What network this is.
    pub fn meta(&self) -> &ModelMeta {
        &self.network.meta
    }

    /// The device the weights are on.
    pub fn device(&self) -> Device {
        self.network.device()
    }

    /// Logits `[N, K, H, W]` of normalised images `[N, 3, H, W]`, as [`Network::forward`] gives them but for rounding.
    pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.network.infer(images, self.layers.as_ref(), None)
    }

    /// [`Frozen::forward`], and what each layer took. Times mean something on the CPU only: other devices work behind the
    /// caller's back.
    pub fn forward_timed(&self, images: Tensor<4>) -> (Tensor<4>, Vec<LayerTime>) {
        let mut watch = Stopwatch::start();
        let logits = self.network.infer(images, self.layers.as_ref(), Some(&mut watch));
        (logits, watch.laps())
    }
}

impl std::fmt::Debug for Frozen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frozen").field("meta", &self.network.meta).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::values::with_values;
    use crate::network::{Algorithm, Architecture, NetworkOptions, ParameterKind};
    use crate::network::{Backbone, FcnSpec, Geometry, TrunkShape, UnetSpec, Variant};
    use burn::tensor::TensorData;
    use segdata::image::preprocessing::Preprocessing;
    use segdata::labels::Classes;
    use segdata::rng::{Purpose, Rng};

    fn draw(count: usize, key: u64) -> Vec<f32> {
        let mut rng = Rng::derive(6, Purpose::Bench, &[key]);
        (0..count).map(|_| rng.normal()).collect()
    }

    /// A network in which nothing is at its start: neither score layers nor running statistics.
    fn network(backbone: Backbone, geometry: Geometry, algorithm: Algorithm) -> Network {
        let spec = FcnSpec { variant: Variant::Fcn8s, backbone, width: 0.125, trunk: TrunkShape::default(), geometry };
        drawn(Architecture::Fcn(spec), algorithm)
    }

    fn unet(normalised: bool, algorithm: Algorithm) -> Network {
        drawn(Architecture::Unet(UnetSpec { width: 0.125, normalised }), algorithm)
    }

    fn drawn(architecture: Architecture, algorithm: Algorithm) -> Network {
        let (classes, preprocessing) = (Classes::named(["a", "b", "c"]), Preprocessing::default());
        let meta = ModelMeta { architecture, classes, preprocessing };
        let options = NetworkOptions { algorithm, ..NetworkOptions::default() };
        let mut index = 0..;
        Network::from_values(meta, &options, &Device::flex(), |spec| {
            let drawn = draw(spec.len(), index.next().unwrap());
            let fan_in: usize = spec.shape[1..].iter().product();
            Ok(drawn
                .into_iter()
                .map(|v| match spec.kind {
                    ParameterKind::Weight | ParameterKind::TransposedWeight => v * (2.0 / fan_in as f32).sqrt(),
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
        for algorithm in [Algorithm::Direct, Algorithm::Accurate, Algorithm::Fast] {
            let cases = [
                ("plain, same", false, network(Backbone::Vgg16, Geometry::Same, algorithm), [64, 90]),
                ("plain, caffe", false, network(Backbone::Vgg16, Geometry::Caffe, algorithm), [37, 50]),
                ("normalised, same", true, network(Backbone::Vgg16Bn, Geometry::Same, algorithm), [64, 90]),
                ("normalised, caffe", true, network(Backbone::Vgg16Bn, Geometry::Caffe, algorithm), [37, 50]),
                ("U-Net", false, unet(false, algorithm), [37, 50]),
                ("normalised U-Net", true, unet(true, algorithm), [64, 90]),
            ];
            for (name, normalised, network, [height, width]) in cases {
                let data = TensorData::new(draw(2 * 3 * height * width, 99), [2, 3, height, width]);
                let images = Tensor::<4>::from_data(data, &Device::flex());
                let of = |logits: Tensor<4>| with_values(&logits, <[f32]>::to_vec).unwrap();
                let expected = of(network.forward(images.clone()));
                let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                for form in [WeightForm::Transformed, WeightForm::TransformedBf16, WeightForm::AsStored] {
                    let frozen = Frozen::new(network.clone(), form);
                    for pass in ["first", "second"] {
                        let found = of(frozen.forward(images.clone()));
                        let pairs = expected.iter().zip(&found);
                        let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
                        // Folding a batch normalisation rounds each weight once more; else nothing differs.
                        let rounded = form == WeightForm::TransformedBf16;
                        let allowed = match (rounded, normalised) {
                            (true, _) => 5e-2,
                            (false, true) => 1e-4,
                            (false, false) => 0.0,
                        };
                        if worst.is_nan() || worst > allowed || (rounded && worst < 1e-4) {
                            failures.push(format!(
                                "{name} {algorithm:?} {form:?}, {pass} pass: {worst:e}, allowed {allowed:e}"
                            ));
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
