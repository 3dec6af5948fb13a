//! Which tensor gets which name, with what has to be folded or left out on the way.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Tensor, TensorData};

use super::pth;
use super::tensor::NamedTensor;
use crate::cpu::norm::NORM_EPSILON;
use crate::device::values::with_values;
use crate::import::names::Scheme;
use crate::network::Network;
use crate::network::graph::{Conv, Norm, Op};
use crate::network::parameter::{belongs_to_classes, layer_of};
use crate::network::{Backbone, Geometry, Variant};
use crate::weights::tensor_file::{NamedValues, Values, write_tensors};
use crate::{Error, Result};

/// torchvision's layer of as many outputs as there are classes.
const CLASSIFIER: &str = "classifier.6";

/// Whose names the tensors get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Names {
    /// torchvision's `vgg16` and `vgg16_bn`.
    #[serde(rename = "torchvision")]
    Torchvision,
    /// pytorch-fcn's `FCN32s`, `FCN16s` and `FCN8s`.
    #[serde(rename = "pytorch-fcn")]
    PytorchFcn,
}

/// A network under other names.
#[derive(Clone, Debug)]
pub struct StateDict {
    /// In the order of the layers.
    pub tensors: Vec<NamedTensor>,
    /// Our names of what has no place under the others.
    pub left_out: Vec<String>,
    metadata: BTreeMap<String, String>,
}

impl StateDict {
    /// The weights of `fcn` under other names. The network is used up, so that no weight is in memory twice.
    ///
    /// # Errors
    /// A network that the other side cannot compute: `same` geometry under [`Names::PytorchFcn`].
    pub fn new(fcn: Network, names: Names) -> Result<Self> {
        match names {
            Names::Torchvision => torchvision(fcn),
            Names::PytorchFcn => pytorch_fcn(fcn),
        }
    }

    /// Writes a safetensors file with the network's metadata, which loads with safetensors' own reader.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn save_safetensors(&self, path: &Path) -> Result<()> {
        let tensors = self.tensors.iter().map(|tensor| NamedValues {
            name: tensor.name.clone(),
            shape: tensor.shape.clone(),
            values: Values::Tensor(&tensor.values),
        });
        write_tensors(path, &self.metadata, tensors.collect())
    }

    /// Writes a file for `torch.load`, which has no place for metadata.
    ///
    /// # Errors
    /// What the system refuses; 4 GiB or more.
    pub fn save_pth(&self, path: &Path) -> Result<()> {
        pth::write(path, &self.tensors)
    }
}

fn pytorch_fcn(mut fcn: Network) -> Result<StateDict> {
    let Some(spec) = fcn.meta.as_fcn() else { return Err(no_such_class(&fcn, "pytorch-fcn")) };
    if spec.geometry == Geometry::Same {
        return Err(Error::usage(
            "this network has the geometry `same`; the classes of pytorch-fcn compute with the padding and the crops of \
             the Caffe models, and would give other scores",
        )
        .hint(
            "train anew with `train geometry caffe`; or export to onnx; or load the weights file itself: it is safetensors, with \
             these names",
        ));
    }
    let mut tensors = Vec::new();
    for node in fcn.graph().nodes.clone() {
        match &node.op {
            Op::Conv(conv) => tensors.extend(convolution(&mut fcn, conv, &node.name)?),
            Op::ConvTranspose(up) => tensors.push(renamed(&fcn, up.weight, fcn.parameters()[up.weight].name.clone())),
            _ => {}
        }
    }
    Ok(StateDict { tensors, left_out: Vec::new(), metadata: fcn.meta.to_header()? })
}

fn torchvision(mut fcn: Network) -> Result<StateDict> {
    let scheme = match fcn.meta.as_fcn().map(|spec| spec.backbone) {
        Some(Backbone::Vgg16) => Scheme::Torchvision,
        Some(Backbone::Vgg16Bn) => Scheme::TorchvisionBn,
        None => return Err(no_such_class(&fcn, "torchvision")),
    };
    let convolutions: Vec<(String, Conv)> =
        fcn.graph().convolutions().map(|(name, conv)| (name.to_string(), conv.clone())).collect();
    let (mut tensors, mut placed) = (Vec::new(), Vec::new());
    for (name, conv) in &convolutions {
        let theirs = match name.as_str() {
            "score_fr" => CLASSIFIER.to_string(),
            name if belongs_to_classes(name) => continue,
            name => scheme.name(name).trim_end_matches('.').to_string(),
        };
        placed.push(name.clone());
        let is_matrix = theirs.starts_with("classifier.");
        let Some(norm) = conv.norm.filter(|_| !is_matrix) else {
            let [mut weight, bias] = convolution(&mut fcn, conv, &theirs)?;
            if is_matrix {
                weight.shape = vec![weight.shape[0], weight.shape[1..].iter().product()];
            }
            tensors.extend([weight, bias]);
            continue;
        };
        let theirs = |index: usize| renamed(&fcn, index, scheme.name(&fcn.parameters()[index].name));
        tensors.push(theirs(conv.weight));
        let outputs = fcn.parameters()[conv.weight].shape[0];
        let values = Tensor::zeros([outputs], &fcn.device());
        tensors.push(NamedTensor { name: scheme.name(&format!("{name}.bias")), shape: vec![outputs], values });
        tensors.extend([norm.scale, norm.shift, norm.mean, norm.var].map(theirs));
    }
    let has_place = |name: &str| placed.iter().any(|layer| layer == layer_of(name));
    let left_out = fcn.parameters().iter().map(|parameter| parameter.name.clone()).filter(|name| !has_place(name));
    Ok(StateDict { left_out: left_out.collect(), tensors, metadata: fcn.meta.to_header()? })
}

fn no_such_class(network: &Network, whose: &str) -> Error {
    Error::usage(format!("this network is a {}; {whose} has no class for it", network.meta.architecture.title()))
        .hint("export to onnx; or load the weights file itself, which is safetensors")
}

fn renamed(fcn: &Network, index: usize, name: String) -> NamedTensor {
    let parameter = &fcn.parameters()[index];
    NamedTensor { name, shape: parameter.shape.clone(), values: parameter.tensor.clone().inner() }
}

/// Weight and bias of a convolution, with the normalisation behind it folded in. The network then holds the folded ones,
/// and only them.
fn convolution(fcn: &mut Network, conv: &Conv, name: &str) -> Result<[NamedTensor; 2]> {
    let bias = match (conv.norm, conv.bias) {
        (Some(norm), _) => {
            fold(fcn, conv.weight, norm)?;
            norm.shift
        }
        (None, Some(bias)) => bias,
        (None, None) => return Err(Error::internal(format!("{name} has neither bias nor normalisation"))),
    };
    Ok([renamed(fcn, conv.weight, format!("{name}.weight")), renamed(fcn, bias, format!("{name}.bias"))])
}

/// Multiplies a convolution's weights by `scale / sqrt(var + epsilon)`, and puts the bias that remains, `shift - mean *
/// factor`, where the shift was (the formula of [`Network::forward`], moved into the convolution). In double precision, so
/// that one rounding is all it costs.
fn fold(fcn: &mut Network, weight: usize, norm: Norm) -> Result<()> {
    let device = fcn.device();
    let of = |index: usize| {
        with_values(&fcn.parameters()[index].tensor, |values| values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>())
    };
    let (scale, shift, mean, var) = (of(norm.scale)?, of(norm.shift)?, of(norm.mean)?, of(norm.var)?);
    let factors: Vec<f64> = scale.iter().zip(&var).map(|(scale, var)| scale / (var + NORM_EPSILON).sqrt()).collect();
    let bias: Vec<f32> = (0..factors.len()).map(|i| (shift[i] - mean[i] * factors[i]) as f32).collect();
    let each = fcn.parameters()[weight].shape[1..].iter().product();
    let folded: Vec<f32> = with_values(&fcn.parameters()[weight].tensor, |values| {
        let rows = values.chunks_exact(each).zip(&factors);
        rows.flat_map(|(row, factor)| row.iter().map(move |&value| (f64::from(value) * factor) as f32)).collect()
    })?;
    for (index, values) in [(weight, folded), (norm.shift, bias)] {
        let count = values.len();
        fcn.parameters_mut()[index].tensor = Tensor::from_data(TensorData::new(values, [count]), &device);
    }
    Ok(())
}

/// The class of pytorch-fcn that takes the state dict of a variant.
pub fn pytorch_fcn_class(variant: Variant) -> &'static str {
    match variant {
        Variant::Fcn32s => "FCN32s",
        Variant::Fcn16s => "FCN16s",
        Variant::Fcn8s => "FCN8s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::onnx::write::tests::network;
    use crate::network::NetworkOptions;
    use crate::network::{Architecture, FcnSpec, ModelMeta};
    use burn::tensor::Device;
    use segdata::rng::{Purpose, Rng};
    use std::collections::BTreeSet;

    fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
        with_values(tensor, <[f32]>::to_vec).unwrap()
    }

    fn names(dict: &StateDict) -> Vec<&str> {
        dict.tensors.iter().map(|tensor| tensor.name.as_str()).collect()
    }

    #[test]
    fn a_folded_network_gives_the_same_logits() {
        for variant in [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s] {
            let fcn = network(variant, Backbone::Vgg16Bn, Geometry::Caffe);
            let dict = StateDict::new(fcn.clone(), Names::PytorchFcn).unwrap();
            let spec = FcnSpec { backbone: Backbone::Vgg16, ..*fcn.meta.as_fcn().unwrap() };
            let meta = ModelMeta { architecture: Architecture::Fcn(spec), ..fcn.meta.clone() };
            let known: BTreeSet<String> = meta.parameters().into_iter().map(|spec| spec.name).collect();
            assert_eq!(names(&dict).into_iter().map(String::from).collect::<BTreeSet<_>>(), known);
            let folded = Network::from_values(meta, &NetworkOptions::default(), &Device::flex(), |spec| {
                let tensor = dict.tensors.iter().find(|tensor| tensor.name == spec.name).unwrap();
                assert_eq!(tensor.shape, spec.shape, "{}", spec.name);
                Ok(values(&tensor.values))
            })
            .unwrap();
            let mut rng = Rng::derive(2, Purpose::Bench, &[]);
            let pixels: Vec<f32> = (0..3 * 40 * 33).map(|_| rng.normal()).collect();
            let image = Tensor::<4>::from_data(TensorData::new(pixels, [1, 3, 40, 33]), &Device::flex());
            let (plain, found) = (values(&fcn.forward(image.clone())), values(&folded.forward(image)));
            let largest = plain.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
            let worst = plain.iter().zip(&found).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest;
            println!("{variant:?}: {worst:.1e}");
            assert!(worst < 1e-5, "{variant:?}: {worst:.1e}");
        }
    }

    #[test]
    fn names_of_torchvision_are_at_its_positions() {
        // torchvision/models/vgg.py, configuration D: convolutions and, with `bn`, a normalisation after each.
        let cases = [
            (Backbone::Vgg16, vec![0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28]),
            (Backbone::Vgg16Bn, vec![0, 3, 7, 10, 14, 17, 20, 24, 27, 30, 34, 37, 40]),
        ];
        for (backbone, convolutions) in cases {
            let fcn = network(Variant::Fcn8s, backbone, Geometry::Same);
            let conv1_1 = values(&fcn.parameters()[0].tensor);
            let dict = StateDict::new(fcn, Names::Torchvision).unwrap();
            let mut expected = Vec::new();
            for position in convolutions {
                expected.extend(["weight", "bias"].map(|role| format!("features.{position}.{role}")));
                if backbone == Backbone::Vgg16Bn {
                    let roles = ["weight", "bias", "running_mean", "running_var"];
                    expected.extend(roles.map(|role| format!("features.{}.{role}", position + 1)));
                }
            }
            for position in [0, 3, 6] {
                expected.extend(["weight", "bias"].map(|role| format!("classifier.{position}.{role}")));
            }
            assert_eq!(names(&dict), expected);
            assert_eq!(values(&dict.tensors[0].values), conv1_1);
            let shape = |name: &str| &dict.tensors.iter().find(|tensor| tensor.name == name).unwrap().shape[..];
            assert_eq!((shape("classifier.0.weight"), shape("classifier.6.weight")), (&[64, 8 * 49][..], &[3, 64][..]));
            let left = ["upscore2.weight", "score_pool4.weight", "score_pool4.bias"];
            assert_eq!(dict.left_out[..3], left);
            assert_eq!(dict.left_out.len(), 7);
        }
    }

    #[test]
    fn a_network_that_pytorch_fcn_would_compute_otherwise_is_refused() {
        let error = StateDict::new(network(Variant::Fcn8s, Backbone::Vgg16, Geometry::Same), Names::PytorchFcn);
        let error = error.unwrap_err();
        assert_eq!(error.kind, crate::ErrorKind::Usage);
        assert!(error.message.contains("`same`"), "{error}");
    }
}
