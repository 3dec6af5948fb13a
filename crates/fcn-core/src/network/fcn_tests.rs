use super::*;
use crate::device::values::with_values;
use crate::train::loss::{PixelLoss, Reduction};
use crate::weights::Backbone;

const KEY: DropoutKey = DropoutKey { seed: 1, step: 2, micro: 0 };

fn network(variant: Variant, backbone: Backbone, geometry: Geometry, dropout: f32) -> Fcn {
    let meta = ModelMeta::narrow(variant, backbone, geometry, &["a", "b", "c"]);
    let options = FcnOptions { dropout, ..FcnOptions::default() };
    let mut fcn = Fcn::init(meta, &options, 11, &Device::flex());
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
                let (name, expected) = (&parameter.name, parameter.trainable(&fcn.options));
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

#[test]
fn running_statistics_move_a_tenth_towards_the_batch_and_end_there() {
    let mut fcn = network(Variant::Fcn32s, Backbone::Vgg16Bn, Geometry::Same, 0.0);
    let x = image([2, 64, 32], 9);
    let last = |fcn: &Fcn, role: &str| {
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
    let meta = network(Variant::Fcn8s, Backbone::Vgg16, Geometry::Same, 0.5).meta;
    let meta = ModelMeta { width: 0.125, ..meta };
    let init = || Fcn::init(meta.clone(), &FcnOptions::default(), 4, &Device::flex());
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
fn frames_reach_the_next_multiple_of_32() {
    let cases = [((32, 64), (0, 0, 0, 0)), ((31, 1), (0, 1, 15, 16)), ((33, 500), (15, 16, 6, 6))];
    for ((height, width), (top, bottom, left, right)) in cases {
        assert_eq!(Frame::to_multiple(height, width), Frame { top, bottom, left, right }, "{height}x{width}");
    }
}
