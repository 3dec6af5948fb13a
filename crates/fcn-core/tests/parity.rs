//! The networks against PyTorch, FCN in every variant, backbone and geometry, and U-Net: logits, losses, gradients, and ten steps of
//! SGD and of Adam. The golden values are those of `reference/parity.py`, in double precision; what is compared, and how
//! far apart the two were last time, is in docs/numerics.md.

#![allow(clippy::unwrap_used)] // in a test a failure may be loud

use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use fcn_core::device::with_values;
use fcn_core::loss::{PixelLoss, Reduction, valid_pixels};
use fcn_core::network::bilinear_weights;
use fcn_core::network::{Algorithm, DropoutKey, Network, NetworkOptions, ParameterKind, ParameterSpec};
use fcn_core::network::{Architecture, Backbone, FcnSpec, Geometry, ModelMeta, TrunkShape, UnetSpec, Variant};
use fcn_core::train::{Optimizer, OptimizerKind, OptimizerOptions, add_gradients};
use fcn_core::weights::TensorFile;
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::{Classes, VOID};
use segdata::rng::{Purpose, Rng};

// These repeat reference/parity.py.
const SEED: u64 = 1;
const WIDTH: f32 = 1.0 / 32.0;
const CLASSES: usize = 4;
const SHAPE: [usize; 4] = [4, 3, 37, 45];
const LOGIT_STRIDE: usize = 11;
const STEPS: u64 = 10;

/// The largest difference of something, over the largest magnitude of the tensor it is in.
struct Difference {
    what: &'static str,
    found: f64,
}

/// How large differences may be: with direct convolutions, and with those that multiply less.
///
/// Values and losses have one limit: rounding is all that is between the two. Gradients have two. A ReLU or a pooling so
/// near a tie that rounding decides it sends one pixel's gradient another way (tests/near_ties.rs shows that this is all
/// there is), and the images here are so small that one pixel is a per cent of what an early layer's gradient sums.
/// Rounding a hundred times larger decides about a hundred times more ties. Adam then takes a step by the sign of
/// each gradient, however small: where one is nothing but rounding, ten steps may all go the other way.
const LIMITS: [(&str, [f64; 2]); 9] = [
    ("logits", [1e-4, 1e-4]),
    ("loss", [1e-4, 1e-4]),
    ("gradient of the first layer", [1e-3, 2e-2]),
    ("gradient of a middle layer", [1e-3, 1e-3]),
    ("gradient of the last layer", [1e-3, 1e-3]),
    ("any gradient", [4e-3, 2e-2]),
    ("losses of ten steps", [1e-3, 3e-3]),
    ("weights after SGD", [1e-3, 3e-3]),
    ("weights after Adam", [1e-2, 0.1]),
];

fn allowed(what: &str, algorithm: Algorithm) -> f64 {
    // The two optimisers' losses have one limit.
    let what = if what.starts_with("losses of") { "losses of ten steps" } else { what };
    let [direct, fast] = LIMITS.iter().find(|(name, _)| *name == what).unwrap().1;
    if algorithm == Algorithm::Direct { direct } else { fast }
}

fn draw(low: f32, high: f32, count: usize, key: u64) -> Vec<f32> {
    let mut rng = Rng::derive(SEED, Purpose::Bench, &[key]);
    (0..count).map(|_| rng.between(low, high)).collect()
}

fn initial(spec: &ParameterSpec, index: usize) -> Vec<f32> {
    let (low, high) = match spec.kind {
        ParameterKind::Weight | ParameterKind::TransposedWeight => {
            let limit = (6.0 / spec.shape[1..].iter().product::<usize>() as f64).sqrt() as f32;
            (-limit, limit)
        }
        ParameterKind::Upsampling => (-0.05, 0.05),
        ParameterKind::NormScale | ParameterKind::RunningVar => (0.75, 1.25),
        _ => (-0.125, 0.125),
    };
    let mut values = draw(low, high, spec.len(), index as u64);
    if spec.kind == ParameterKind::Upsampling {
        let kernel = bilinear_weights(CLASSES, spec.shape[2]);
        values.iter_mut().zip(kernel).for_each(|(value, bilinear)| *value += bilinear);
    }
    values
}

/// One network that there are golden values for.
#[derive(Clone)]
struct Case {
    /// Of the file.
    name: String,
    architecture: Architecture,
    /// The first layer's weight, and one of the middle.
    marked: [&'static str; 2],
    /// Of both optimisers.
    rate: f64,
}

impl Case {
    fn fcn(variant: Variant, backbone: Backbone, geometry: Geometry) -> Case {
        let variant_name = match variant {
            Variant::Fcn32s => "32s",
            Variant::Fcn16s => "16s",
            Variant::Fcn8s => "8s",
        };
        let (backbone_name, rate) = match backbone {
            Backbone::Vgg16 => ("vgg16", 1e-3),
            Backbone::Vgg16Bn => ("vgg16-bn", 1e-4),
        };
        let geometry_name = if geometry == Geometry::Same { "same" } else { "caffe" };
        Case {
            name: format!("fcn{variant_name}-{backbone_name}-{geometry_name}"),
            architecture: Architecture::Fcn(FcnSpec {
                variant,
                backbone,
                width: WIDTH,
                trunk: TrunkShape::default(),
                geometry,
            }),
            marked: ["conv1_1.weight", "conv4_2.weight"],
            rate,
        }
    }

    fn unet(normalised: bool) -> Case {
        Case {
            name: if normalised { "unet-bn" } else { "unet" }.to_string(),
            architecture: Architecture::Unet(UnetSpec { width: WIDTH, normalised }),
            marked: ["conv_d0a-b.weight", "conv_d3b-c.weight"],
            rate: if normalised { 1e-4 } else { 1e-3 },
        }
    }

    fn network(&self, algorithm: Algorithm) -> Network {
        let meta = ModelMeta {
            architecture: self.architecture,
            classes: Classes::named(["a", "b", "c", "d"]),
            preprocessing: Preprocessing::default(),
        };
        let options = NetworkOptions { dropout: 0.5, trainable_upsampling: true, algorithm };
        let mut index = 0..;
        Network::from_values(meta, &options, &Device::flex(), |spec| Ok(initial(spec, index.next().unwrap()))).unwrap()
    }
}

fn images() -> Tensor<4> {
    let values = draw(-2.0, 2.0, SHAPE.iter().product(), 1000);
    Tensor::from_data(TensorData::new(values, SHAPE), &Device::flex())
}

fn labels() -> Vec<u8> {
    let drawn = draw(0.0, 1.0, SHAPE[0] * SHAPE[2] * SHAPE[3], 1001);
    let id = |u: &f32| (u * (CLASSES + 1) as f32) as u8;
    drawn.iter().map(id).map(|id| if usize::from(id) == CLASSES { VOID } else { id }).collect()
}

fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    with_values(tensor, <[f32]>::to_vec).unwrap()
}

/// Largest difference between `found` and the samples of `golden`, over the largest magnitude that `golden` ends with
/// (or over `scale`).
fn sampled_difference(found: &[f32], golden: &[f32], scale: Option<f32>) -> f64 {
    let (samples, largest) = golden.split_at(golden.len() - 1);
    let picked = found.iter().step_by(found.len().div_ceil(samples.len()));
    let largest = f64::from(scale.unwrap_or(largest[0]));
    let worst = picked.zip(samples).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    if worst.is_nan() { f64::INFINITY } else { worst / if largest == 0.0 { 1.0 } else { largest } }
}

fn relative(found: &[f32], golden: &[f32]) -> f64 {
    assert_eq!(found.len(), golden.len());
    let largest = golden.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let worst = found.iter().zip(golden).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max);
    if found.iter().all(|value| value.is_finite()) { worst / f64::from(largest) } else { f64::INFINITY }
}

/// Summed loss and its gradients by parameter, in training.
fn loss_and_gradients(fcn: &mut Network, labels: &[u8], step: u64) -> (f32, Vec<Option<Tensor<1>>>) {
    fcn.for_training();
    let logits = fcn.forward_train(images(), DropoutKey { seed: SEED, step, micro: 0 });
    let loss = PixelLoss { reduction: Reduction::Mean }.sum(logits, labels).unwrap();
    let mut gradients = vec![None; fcn.parameters().len()];
    add_gradients(fcn, &loss, &mut gradients);
    (loss.into_scalar::<f32>(), gradients)
}

fn gradient_differences(fcn: &mut Network, marked: [&str; 2], golden: &mut TensorFile) -> Vec<Difference> {
    let labels = labels();
    let valid = valid_pixels(&labels) as f32;
    let (loss, gradients) = loss_and_gradients(fcn, &labels, 0);
    let losses = golden.read("sgd.losses").unwrap();
    let rows = golden.read("gradients").unwrap();
    let found: Vec<(&str, Vec<f32>)> = fcn
        .parameters()
        .iter()
        .zip(&gradients)
        .filter_map(|(parameter, gradient)| {
            gradient.clone().map(|sum| (parameter.name.as_str(), values(&(sum / valid))))
        })
        .collect();
    let columns = rows.len() / found.len();
    let of = |wanted: &dyn Fn(&str) -> bool| {
        let differences = found.iter().zip(rows.chunks(columns)).filter(|((name, _), _)| wanted(name));
        differences.map(|((_, gradient), row)| sampled_difference(gradient, row, None)).fold(0.0, f64::max)
    };
    let last = found.last().unwrap().0;
    vec![
        Difference { what: "loss", found: relative(&[loss / valid], &losses[..1]) },
        Difference { what: "gradient of the first layer", found: of(&|name| name == marked[0]) },
        Difference { what: "gradient of a middle layer", found: of(&|name| name == marked[1]) },
        Difference { what: "gradient of the last layer", found: of(&|name| name == last) },
        Difference { what: "any gradient", found: of(&|_| true) },
    ]
}

/// Ten steps: the losses on the way, and where the weights are in the end.
fn step_differences(fcn: &mut Network, kind: OptimizerKind, rate: f64, golden: &mut TensorFile) -> Vec<Difference> {
    let (name, [losses, weights]) = match kind {
        OptimizerKind::Sgd => ("sgd", ["losses of SGD", "weights after SGD"]),
        _ => ("adam", ["losses of Adam", "weights after Adam"]),
    };
    let (momentum, beta1, beta2, epsilon, weight_decay, bias_rate) = (0.9, 0.9, 0.999, 1e-8, 0.0, 1.0);
    let options = OptimizerOptions { kind, momentum, beta1, beta2, epsilon, weight_decay, bias_rate };
    let mut optimizer = Optimizer::new(options, fcn);
    let labels = labels();
    let valid = valid_pixels(&labels) as f64;
    let before: Vec<Vec<f32>> = fcn.parameters().iter().map(|parameter| values(&parameter.tensor)).collect();
    let mut found = Vec::new();
    for step in 0..STEPS {
        let (loss, gradients) = loss_and_gradients(fcn, &labels, step);
        optimizer.step(fcn, &gradients, rate, 1.0 / valid).unwrap();
        found.push(loss / valid as f32);
    }
    let rows = golden.read(&format!("{name}.changes")).unwrap();
    let worst = fcn.parameters().iter().zip(&before).zip(rows.chunks(rows.len() / before.len()));
    let worst = worst.map(|((parameter, before), row)| {
        let after = values(&parameter.tensor);
        let largest = after.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let change: Vec<f32> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        sampled_difference(&change, row, Some(largest))
    });
    let worst = worst.fold(0.0, f64::max);
    let golden_losses = golden.read(&format!("{name}.losses")).unwrap();
    vec![
        Difference { what: losses, found: relative(&found, &golden_losses) },
        Difference { what: weights, found: worst },
    ]
}

fn case_differences(case: &Case, algorithm: Algorithm, golden: &mut TensorFile) -> Vec<Difference> {
    let network = || case.network(algorithm);
    let logits: Vec<f32> = values(&network().forward(images())).into_iter().step_by(LOGIT_STRIDE).collect();
    let logits = relative(&logits, &golden.read("logits").unwrap());
    let mut differences = vec![Difference { what: "logits", found: logits }];
    differences.extend(gradient_differences(&mut network(), case.marked, golden));
    for kind in [OptimizerKind::Sgd, OptimizerKind::Adam] {
        differences.extend(step_differences(&mut network(), kind, case.rate, golden));
    }
    differences
}

fn compare(algorithm: Algorithm, cases: &[Case]) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../testdata/parity");
    let mut failures = Vec::new();
    for case in cases {
        let name = &case.name;
        let mut golden = TensorFile::open(&folder.join(format!("{name}.safetensors"))).unwrap();
        for Difference { what, found } in case_differences(case, algorithm, &mut golden) {
            println!("{algorithm:?} | {name} | {what} | {found:.1e}");
            let allowed = allowed(what, algorithm);
            if found > allowed {
                failures.push(format!("{algorithm:?}, {name}: {what} differs by {found:.1e}, allowed {allowed:.0e}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// All variants of one backbone and geometry.
fn fcns(backbone: Backbone, geometry: Geometry) -> Vec<Case> {
    [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s].map(|variant| Case::fcn(variant, backbone, geometry)).to_vec()
}

#[test]
fn same_networks_are_pytorchs() {
    compare(Algorithm::Direct, &fcns(Backbone::Vgg16, Geometry::Same));
}

#[test]
fn caffe_networks_are_pytorchs() {
    compare(Algorithm::Direct, &fcns(Backbone::Vgg16, Geometry::Caffe));
}

#[test]
fn same_networks_with_batch_norm_are_pytorchs() {
    compare(Algorithm::Direct, &fcns(Backbone::Vgg16Bn, Geometry::Same));
}

#[test]
fn caffe_networks_with_batch_norm_are_pytorchs() {
    compare(Algorithm::Direct, &fcns(Backbone::Vgg16Bn, Geometry::Caffe));
}

#[test]
fn accurate_networks_are_pytorchs_to_rounding() {
    compare(Algorithm::Accurate, &fcns(Backbone::Vgg16, Geometry::Same));
    compare(Algorithm::Accurate, &fcns(Backbone::Vgg16Bn, Geometry::Same));
}

#[test]
fn fast_networks_are_pytorchs_to_rounding() {
    compare(Algorithm::Fast, &fcns(Backbone::Vgg16, Geometry::Same));
    compare(Algorithm::Fast, &fcns(Backbone::Vgg16, Geometry::Caffe));
}

#[test]
fn fast_networks_with_batch_norm_are_pytorchs_to_rounding() {
    compare(Algorithm::Fast, &fcns(Backbone::Vgg16Bn, Geometry::Same));
    compare(Algorithm::Fast, &fcns(Backbone::Vgg16Bn, Geometry::Caffe));
}

#[test]
fn u_nets_are_pytorchs() {
    compare(Algorithm::Direct, &[Case::unet(false), Case::unet(true)]);
}

#[test]
fn accurate_and_fast_u_nets_are_pytorchs_to_rounding() {
    compare(Algorithm::Accurate, &[Case::unet(false), Case::unet(true)]);
    compare(Algorithm::Fast, &[Case::unet(false), Case::unet(true)]);
}
