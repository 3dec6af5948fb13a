//! The file as a whole: a graph, the metadata, and the values behind them.

use std::path::Path;

use super::graph;
use super::messages::{ModelProto, OperatorSetIdProto, StringStringEntryProto};

use super::options::{OPSETS, OnnxOptions};
use crate::network::{Architecture, Network};
use crate::{Error, Result};

/// Writes the network to `path`: all of it or nothing, durable when this returns. Equal networks are equal files. Returns
/// the size of the file in bytes. Takes little memory besides the network itself.
///
/// Input: `image`, float32 `[N, 3, H, W]`, normalised. Output: `logits`, float32 `[N, K, H, W]`. The options change both.
///
/// # Errors
/// An opset outside [`OPSETS`], a network of 2 GiB or more, what the system refuses.
pub fn save(path: &Path, network: &Network, options: &OnnxOptions) -> Result<u64> {
    let opset = options.opset;
    if !OPSETS.contains(&opset) {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        return Err(Error::usage(format!("opset is {opset}; expected {first} to {last}")));
    }
    let (mut graph, initializers) = graph::build(network, options)?;
    let classes = network.meta.classes.len();
    let metadata = network.meta.to_header()?;
    let paper = match network.meta.architecture {
        Architecture::Fcn(_) => "Long, Shelhamer and Darrell 2015",
        Architecture::Unet(_) => "Ronneberger, Fischer and Brox 2015",
    };
    let description = format!(
        "{} ({paper}) with {classes} classes. What each is called, and how an image is prepared, is in the metadata.",
        network.meta.architecture.title()
    );
    graph.doc_string.clone_from(&description);
    let model = ModelProto {
        ir_version: ir_version(opset),
        producer_name: "fcn".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        doc_string: description,
        graph: None,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: opset }],
        metadata_props: metadata.into_iter().map(|(key, value)| StringStringEntryProto { key, value }).collect(),
    };
    super::stream::write(path, &model, &graph, &initializers, network.parameters())
}

/// The format of the first ONNX release with these operators (the table in onnx's `docs/Versioning.md`).
fn ir_version(opset: i64) -> i64 {
    match opset {
        ..=18 => 8,
        19..=20 => 9,
        _ => 10,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::graph::{LOGITS, MASK, PROBABILITIES};
    use super::super::interpreter::{Array, Value, evaluate};
    use super::super::messages::GraphProto;
    use super::super::read::OnnxFile;
    use super::*;
    use crate::device::values::with_values;
    use crate::infer::predictor::{Extra, Predictor};
    use crate::network::{Backbone, Geometry, ModelMeta, Variant};
    use crate::network::{NetworkOptions, ParameterKind};
    use burn::tensor::{Device, Tensor, TensorData};
    use prost::Message;
    use segdata::image::RgbImage;
    use segdata::image::preprocessing::Normaliser;
    use segdata::image::preprocessing::{Channels, Preprocessing};
    use segdata::rng::{Purpose, Rng};

    const VARIANTS: [Variant; 3] = [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s];

    const NAMES: [&str; 3] = ["ground", "disc", "square"];

    /// A narrow network without a zero in it but for those of the bilinear kernels.
    pub fn network(variant: Variant, backbone: Backbone, geometry: Geometry) -> Network {
        drawn(ModelMeta::narrow(variant, backbone, geometry, &NAMES))
    }

    fn drawn(mut meta: ModelMeta) -> Network {
        meta.preprocessing =
            Preprocessing { channels: Channels::Bgr, scale: 0.5, mean: [52.0, 58.0, 61.5], std: [29.0, 28.0, 30.0] };
        let mut index = 0;
        let fresh = Network::init(meta.clone(), &NetworkOptions::default(), 3, &Device::flex());
        let mut kept = fresh.parameters().iter();
        Network::from_values(meta, &NetworkOptions::default(), &Device::flex(), |spec| {
            index += 1;
            let mut rng = Rng::derive(5, Purpose::Bench, &[index]);
            let fresh = with_values(&kept.next().unwrap().tensor, <[f32]>::to_vec)?;
            Ok(match spec.kind {
                ParameterKind::Upsampling => fresh,
                ParameterKind::Weight if !spec.name.starts_with("score") => fresh,
                ParameterKind::Weight => fresh.iter().map(|_| rng.between(-2.0, 2.0)).collect(),
                ParameterKind::NormScale | ParameterKind::RunningVar => {
                    fresh.iter().map(|_| rng.between(0.7, 1.3)).collect()
                }
                _ => fresh.iter().map(|_| rng.between(-0.2, 0.2)).collect(),
            })
        })
        .unwrap()
    }

    fn graph(fcn: &Network, options: &OnnxOptions) -> GraphProto {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        let bytes = save(&path, fcn, options).unwrap();
        let file = std::fs::read(&path).unwrap();
        assert_eq!(file.len() as u64, bytes);
        let model = ModelProto::decode(&file[..]).unwrap();
        assert_eq!(model.opset_import[0].version, options.opset);
        model.graph.unwrap()
    }

    fn draw(shape: [usize; 4]) -> Vec<f32> {
        let mut rng = Rng::derive(9, Purpose::Bench, &[]);
        (0..shape.iter().product()).map(|_| rng.between(-2.0, 2.0)).collect()
    }

    /// Largest difference over the largest magnitude.
    fn difference(found: &[f32], expected: &[f32]) -> f32 {
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        if found.iter().all(|value| value.is_finite()) { worst / largest } else { f32::INFINITY }
    }

    fn logits_difference(fcn: &Network, shape: [usize; 4]) -> f32 {
        let values = draw(shape);
        let expected = fcn.forward(Tensor::from_data(TensorData::new(values.clone(), shape), &Device::flex()));
        let outputs = evaluate(&graph(fcn, &OnnxOptions::default()), Value::Float(Array::new(&shape, values)));
        assert_eq!(outputs[LOGITS].float().shape, expected.dims());
        with_values(&expected, |expected| difference(&outputs[LOGITS].float().values, expected)).unwrap()
    }

    #[test]
    fn the_graph_computes_what_the_network_does() {
        let mut failures = Vec::new();
        for variant in VARIANTS {
            for backbone in [Backbone::Vgg16, Backbone::Vgg16Bn] {
                for (geometry, shape) in [(Geometry::Same, [2, 3, 37, 61]), (Geometry::Caffe, [1, 3, 21, 40])] {
                    let found = logits_difference(&network(variant, backbone, geometry), shape);
                    println!("{variant:?} {backbone:?} {geometry:?}: {found:.1e}");
                    if found.is_nan() || found > 1e-4 {
                        failures.push(format!("{variant:?} {backbone:?} {geometry:?}: {found:.1e}"));
                    }
                }
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn the_graph_of_a_u_net_computes_what_the_network_does() {
        for normalised in [false, true] {
            let unet = drawn(ModelMeta::narrow_unet(normalised, &NAMES));
            for shape in [[1, 3, 1, 1], [2, 3, 32, 16], [1, 3, 21, 40]] {
                let found = logits_difference(&unet, shape);
                assert!(found < 1e-4, "normalised: {normalised}, {shape:?}: {found:.1e}");
            }
        }
    }

    #[test]
    fn sizes_from_one_pixel_to_a_multiple_of_the_stride_fit() {
        for geometry in [Geometry::Same, Geometry::Caffe] {
            let fcn = network(Variant::Fcn8s, Backbone::Vgg16, geometry);
            for (rows, columns) in [(1, 1), (32, 64), (33, 31)] {
                let found = logits_difference(&fcn, [1, 3, rows, columns]);
                assert!(found < 1e-4, "{geometry:?} {rows}x{columns}: {found:.1e}");
            }
        }
    }

    #[test]
    fn kernels_that_mix_classes_are_kept_whole() {
        let mut fcn = network(Variant::Fcn8s, Backbone::Vgg16, Geometry::Same);
        for parameter in fcn.parameters_mut().iter_mut().filter(|parameter| parameter.kind == ParameterKind::Upsampling)
        {
            parameter.tensor.inplace(|tensor| tensor + 0.01);
        }
        let graph = graph(&fcn, &OnnxOptions::default());
        let of = |name: &str| graph.initializer.iter().find(|constant| constant.name == name).unwrap().dims.clone();
        assert_eq!(of("upscore8.weight"), [3, 3, 16, 16]);
        assert!(logits_difference(&fcn, [1, 3, 20, 33]) < 1e-4);
    }

    /// Moves the scores of each class to a mean of zero, so that no class wins everywhere.
    fn level_scores(fcn: &mut Network, image: &RgbImage) {
        let planes = Normaliser::new(&fcn.meta.preprocessing).planes(&image.rgb_hwc);
        let planes = TensorData::new(planes, [1, 3, image.height, image.width]);
        let logits = fcn.forward(Tensor::<4>::from_data(planes, &Device::flex()));
        let classes = fcn.meta.classes.len();
        let means = logits.reshape([classes, image.height * image.width]).mean_dim(1).reshape([classes]);
        let bias = fcn.parameters_mut().iter_mut().find(|parameter| parameter.name == "score_pool4.bias").unwrap();
        bias.tensor.inplace(|tensor| tensor - means);
    }

    #[test]
    fn photographs_go_in_and_masks_come_out() {
        let (width, height) = (45, 38);
        let mut rng = Rng::derive(1, Purpose::Bench, &[7]);
        let rgb_hwc: Vec<u8> = (0..width * height * 3).map(|_| rng.between(0.0, 256.0) as u8).collect();
        let image = RgbImage { width, height, rgb_hwc: rgb_hwc.clone() };
        let options = OnnxOptions { embed_preprocessing: true, softmax: true, ..OnnxOptions::default() };
        for (backbone, geometry) in [(Backbone::Vgg16, Geometry::Same), (Backbone::Vgg16Bn, Geometry::Caffe)] {
            let mut fcn = network(Variant::Fcn16s, backbone, geometry);
            level_scores(&mut fcn, &image);
            let input = Value::Byte(Array::new(&[1, height, width, 3], rgb_hwc.clone()));
            let outputs = evaluate(&graph(&fcn, &options), input);
            let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
            assert_eq!(names, [MASK, PROBABILITIES]);
            let expected =
                Predictor::new(fcn).predict_with(&image, Extra { probabilities: true, truth: None }).unwrap();
            let found = difference(&outputs[PROBABILITIES].float().values, &expected.probabilities.unwrap());
            assert!(found < 1e-4, "{geometry:?}: {found:.1e}");
            assert_eq!(outputs[MASK].bytes(), &Array::new(&[1, height, width], expected.labels.ids));
            let distinct: std::collections::BTreeSet<u8> = outputs[MASK].bytes().values.iter().copied().collect();
            assert!(distinct.len() > 1, "a mask of one class shows nothing: {distinct:?}");
        }
    }

    #[test]
    fn metadata_are_those_of_the_weights_file_and_equal_networks_are_equal_files() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1.onnx"), folder.path().join("2.onnx"));
        let fcn = network(Variant::Fcn8s, Backbone::Vgg16Bn, Geometry::Same);
        let options = OnnxOptions { opset: 22, argmax: true, ..OnnxOptions::default() };
        save(&one, &fcn, &options).unwrap();
        save(&two, &fcn.clone(), &options).unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        let found = OnnxFile::open(&one).unwrap();
        assert_eq!(ModelMeta::from_header(&found.metadata).unwrap(), fcn.meta);
        assert_eq!((found.ir_version, found.opsets["ai.onnx"]), (10, 22));
        for opset in [16, 23] {
            let error = save(&one, &fcn, &OnnxOptions { opset, ..options }).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Usage);
        }
    }
}
