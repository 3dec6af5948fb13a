use super::*;
use crate::cpu::conv2d;
use crate::device::values::with_values;
use crate::loss::{PixelLoss, Reduction};
use crate::network::{Activation, Architecture};
use crate::network::{Backbone, FcnSpec, Geometry, TrunkShape, Variant};
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::Classes;
use segdata::rng::{Purpose, Rng};

const KEY: DropoutKey = DropoutKey { seed: 1, step: 2, micro: 0 };

fn network(variant: Variant, backbone: Backbone, geometry: Geometry, dropout: f32) -> Network {
    let meta = ModelMeta::narrow(variant, backbone, geometry, &["a", "b", "c"]);
    let options = NetworkOptions { dropout, ..NetworkOptions::default() };
    let mut fcn = Network::init(meta, &options, 11, &Device::flex());
    // Score layers start at zero, which hides everything before them.
    for (index, parameter) in fcn.parameters_mut().iter_mut().enumerate() {
        if parameter.name.starts_with("score") {
            let mut rng = Rng::derive(1, Purpose::Bench, &[index as u64]);
            let values: Vec<f32> = (0..parameter.shape.iter().product()).map(|_| 0.1 * rng.normal()).collect();
            parameter.tensor = Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &Device::flex());
        }
    }
    fcn
}

fn image([images, rows, columns]: [usize; 3], seed: u64) -> Tensor<4> {
    let mut rng = Rng::derive(seed, Purpose::Bench, &[]);
    let values: Vec<f32> = (0..images * 3 * rows * columns).map(|_| rng.normal()).collect();
    Tensor::from_data(TensorData::new(values, [images, 3, rows, columns]), &Device::flex())
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    with_values(tensor, <[f32]>::to_vec).unwrap()
}

#[test]
fn logits_have_the_size_of_the_image() {
    let mut failures = Vec::new();
    for variant in [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s] {
        for geometry in [Geometry::Same, Geometry::Caffe] {
            let fcn = network(variant, Backbone::Vgg16, geometry, 0.5);
            for (rows, columns) in [(1, 1), (31, 33), (32, 64), (37, 50), (90, 1)] {
                let dims = fcn.forward(image([1, rows, columns], 3)).dims();
                if dims != [1, 3, rows, columns] {
                    failures.push(format!("{variant:?} {geometry:?} {rows}x{columns}: {dims:?}"));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn without_dropout_and_batch_norm_both_passes_agree() {
    for geometry in [Geometry::Same, Geometry::Caffe] {
        let mut fcn = network(Variant::Fcn8s, Backbone::Vgg16, geometry, 0.0);
        let x = image([2, 40, 33], 5);
        let inference = values(&fcn.forward(x.clone()));
        fcn.for_training();
        assert_eq!(values(&fcn.forward_train(x.clone(), KEY)), inference, "{geometry:?}");
        assert_eq!(values(&fcn.forward(x)), inference, "{geometry:?}");
    }
}

#[test]
fn what_is_trainable_gets_a_gradient_and_nothing_else_does() {
    for trainable_upsampling in [false, true] {
        for backbone in [Backbone::Vgg16, Backbone::Vgg16Bn] {
            let mut fcn = network(Variant::Fcn8s, backbone, Geometry::Same, 0.5);
            fcn.options.trainable_upsampling = trainable_upsampling;
            fcn.for_training();
            let logits = fcn.forward_train(image([2, 64, 64], 5), KEY);
            let labels = [0, 1, 2, 255].repeat(2 * 64 * 16);
            let loss = PixelLoss { reduction: Reduction::Sum }.sum(logits, &labels).unwrap();
            let gradients = loss.backward();
            for parameter in fcn.parameters() {
                let gradient = parameter.tensor.grad(&gradients);
                let (name, expected) = (&parameter.name, fcn.trains(parameter));
                assert_eq!(gradient.is_some(), expected, "{name}, {backbone:?}, {trainable_upsampling}");
                if let Some(gradient) = gradient {
                    assert_eq!(gradient.dims(), parameter.tensor.dims(), "{name}");
                    assert!(values(&gradient).iter().any(|value| *value != 0.0), "{name}, {backbone:?}");
                }
            }
            fcn.for_inference();
            assert!(fcn.parameters().iter().all(|parameter| !parameter.tensor.is_autodiff()));
        }
    }
}

/// A U-Net whose scores have drawn weights.
fn unet(normalised: bool, dropout: f32) -> Network {
    let meta = ModelMeta::narrow_unet(normalised, &["a", "b", "c"]);
    let mut network = Network::init(meta, &NetworkOptions { dropout, ..NetworkOptions::default() }, 5, &Device::flex());
    let score = network.parameters_mut().iter_mut().find(|parameter| parameter.name == "score.weight").unwrap();
    let mut rng = Rng::derive(1, Purpose::Bench, &[]);
    let values: Vec<f32> = (0..score.shape.iter().product()).map(|_| 0.3 * rng.normal()).collect();
    score.tensor = Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &Device::flex());
    network
}

#[test]
fn a_u_net_gives_logits_of_the_image_s_size_and_every_weight_a_gradient() {
    for normalised in [false, true] {
        let mut network = unet(normalised, 0.0);
        for (rows, columns) in [(1, 1), (31, 33), (16, 64)] {
            assert_eq!(network.forward(image([1, rows, columns], 3)).dims(), [1, 3, rows, columns]);
        }
        let x = image([2, 40, 33], 5);
        let inference = values(&network.forward(x.clone()));
        network.for_training();
        let logits = network.forward_train(x, KEY);
        if !normalised {
            // F(6, 3) in inference, F(4, 3) in training.
            let worst = values(&logits).iter().zip(&inference).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-3, "{worst}");
        }
        let labels = [0, 1, 2, 255].repeat(2 * 40 * 33 / 4);
        let gradients = PixelLoss { reduction: Reduction::Sum }.sum(logits, &labels).unwrap().backward();
        for parameter in network.parameters() {
            let gradient = parameter.tensor.grad(&gradients);
            assert_eq!(gradient.is_some(), network.trains(parameter), "{}", parameter.name);
            if let Some(gradient) = gradient {
                assert!(values(&gradient).iter().any(|value| *value != 0.0), "{}", parameter.name);
            }
        }
    }
}

#[test]
fn running_statistics_move_a_tenth_towards_the_batch_and_end_there() {
    let mut fcn = network(Variant::Fcn32s, Backbone::Vgg16Bn, Geometry::Same, 0.0);
    let x = image([2, 64, 32], 9);
    let last = |fcn: &Network, role: &str| {
        let name = format!("conv1_1.norm.{role}");
        let parameter = fcn.parameters().iter().find(|parameter| parameter.name == name).unwrap();
        values(&parameter.tensor)
    };
    let weight = fcn.parameters()[0].shaped::<4>();
    let maps = conv2d(x.clone(), weight, None, 1, Activation::Identity, Algorithm::Direct);
    let maps = maps.swap_dims(0, 1).reshape([8, 2 * 64 * 32]); // [C, N H W]
    let (mean, variance) = (values(&maps.clone().mean_dim(1)), values(&maps.var(1)));
    for step in 1..=60 {
        fcn.forward_train(x.clone(), KEY);
        let share = 0.9f32.powi(step);
        for (name, batch, start) in [("running_mean", &mean, 0.0), ("running_var", &variance, 1.0)] {
            for (running, batch) in last(&fcn, name).iter().zip(batch) {
                let expected = share * start + (1.0 - share) * batch;
                assert!((running - expected).abs() < 1e-4, "{name} at step {step}: {running}, {expected}");
            }
        }
    }
}

#[test]
fn dropout_masks_depend_on_the_key_and_belong_to_images() {
    let mut fcn = network(Variant::Fcn32s, Backbone::Vgg16, Geometry::Same, 0.5);
    let x = image([2, 64, 64], 5);
    let both = values(&fcn.forward_train(x.clone(), KEY));
    assert_eq!(both, values(&fcn.forward_train(x.clone(), KEY)));
    assert_ne!(both, values(&fcn.forward_train(x.clone(), DropoutKey { step: 3, ..KEY })));
    let halves: Vec<f32> = (0..2u64)
        .flat_map(|micro| {
            let half = x.clone().narrow(0, micro as usize, 1);
            values(&fcn.forward_train(half, DropoutKey { micro, ..KEY }))
        })
        .collect();
    let difference = both.iter().zip(&halves).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-5, "two micro-batches of one differ from a batch of two by {difference}");
}

#[test]
fn fresh_weights_have_he_s_variance_and_do_not_depend_on_threads() {
    let mut meta = network(Variant::Fcn8s, Backbone::Vgg16, Geometry::Same, 0.5).meta;
    let Architecture::Fcn(spec) = &mut meta.architecture else { unreachable!() };
    spec.width = 0.125;
    let init = || Network::init(meta.clone(), &NetworkOptions::default(), 4, &Device::flex());
    let (fcn, one_thread) = (init(), rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(init));
    for (a, b) in fcn.parameters().iter().zip(one_thread.parameters()) {
        assert_eq!(values(&a.tensor), values(&b.tensor), "{}", a.name);
    }
    let fc6 = fcn.parameters().iter().find(|parameter| parameter.name == "fc6.weight").unwrap();
    let values = values(&fc6.tensor);
    let variance = values.iter().map(|v| f64::from(v * v)).sum::<f64>() / values.len() as f64;
    let expected = 2.0 / (fc6.shape[1] * 49) as f64;
    assert!((variance / expected - 1.0).abs() < 0.01, "{variance}, expected {expected}");
}

#[test]
fn vgg_16_at_224_costs_what_is_published() {
    let meta = ModelMeta::fcn(
        FcnSpec {
            variant: Variant::Fcn32s,
            backbone: Backbone::Vgg16,
            width: 1.0,
            trunk: TrunkShape::default(),
            geometry: Geometry::Same,
        },
        Classes::voc(),
        Preprocessing::default(),
    );
    // The 13 convolutions: 15,346,630,656 (torchvision's count for VGG-16 without the classifier). fc6 and fc7 as
    // convolutions on 7x7 maps, the score layer, and the upsampling of 21 x 21 x 64 x 64 taps.
    let trunk = 15_346_630_656u64;
    let coarse = 49 * (512 * 4096 * 49 + 4096 * 4096 + 4096 * 21 + 21 * 21 * 64 * 64);
    assert_eq!(meta.multiply_adds(224, 224), trunk + coarse);
    assert_eq!(meta.multiply_adds(200, 193), trunk + coarse, "the frame counts");
    let mut caffe = meta.clone();
    let Architecture::Fcn(spec) = &mut caffe.architecture else { unreachable!() };
    spec.geometry = Geometry::Caffe;
    assert!(caffe.multiply_adds(224, 224) > 2 * trunk);
}
