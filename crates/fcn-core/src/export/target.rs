//! A weights file in, the same network for another program out: ONNX, or a state dict for PyTorch.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::onnx::{self, OnnxFile, OnnxOptions, OnnxValue};
use super::state_dict::{Names, StateDict, pytorch_fcn_class};
use crate::network::families::vgg16::channels_at_width;
use crate::network::{Backbone, ModelMeta};
use crate::{Error, Result, weights};
use segdata::image::preprocessing::Preprocessing;

/// What a network is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// One file that runs without PyTorch and without this program.
    Onnx(OnnxOptions),
    /// Weights for a class that PyTorch's users have.
    StateDict(Names),
}

/// How a state dict lies on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Safetensors,
    Pth,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct Exported {
    /// The file.
    pub file: PathBuf,
    /// `onnx`, `safetensors` or `pth`.
    pub format: &'static str,
    /// Size in bytes.
    pub bytes: u64,
    /// What goes into an ONNX graph.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<OnnxValue>,
    /// What comes out of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OnnxValue>,
    /// Tensors of the network that have no place in the other's names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// How images are prepared for it; already done in a graph that takes pixels.
    pub preprocessing: Preprocessing,
    /// What takes the file and what to know about it.
    pub notes: Vec<String>,
}

/// Writes the network in the file `from` to `to`: all of it or nothing. A file at `to` is replaced only with `force`.
///
/// # Errors
/// Those of [`weights::load`], of [`onnx::save`] and of [`StateDict::new`]; a file name that says another format than
/// `target`; a file at `to`.
pub fn export(from: &Path, to: &Path, target: Target, force: bool) -> Result<Exported> {
    let container = container(to, target)?;
    refuse_to_overwrite(from, to, force)?;
    let fcn = weights::load(from, &burn::tensor::Device::flex())?;
    let meta = fcn.meta.clone();
    let mut done = Exported {
        file: to.to_path_buf(),
        format: "onnx",
        bytes: 0,
        inputs: Vec::new(),
        outputs: Vec::new(),
        left_out: Vec::new(),
        preprocessing: meta.preprocessing.clone(),
        notes: Vec::new(),
    };
    match (target, container) {
        (Target::Onnx(options), _) => {
            onnx::save(to, &fcn, &options)?;
            let written = OnnxFile::open(to)?;
            (done.inputs, done.outputs) = (written.inputs, written.outputs);
        }
        (Target::StateDict(names), container) => {
            let dict = StateDict::new(fcn, names)?;
            match container {
                Some(Container::Pth) => {
                    done.format = "pth";
                    dict.save_pth(to)?;
                }
                _ => {
                    done.format = "safetensors";
                    dict.save_safetensors(to)?;
                }
            }
            done.notes = notes(&meta, names, container);
            done.left_out = dict.left_out;
        }
    }
    done.bytes = std::fs::metadata(to).map_err(|e| Error::io("read", to, &e))?.len();
    Ok(done)
}

/// How the name says that a state dict is to be kept.
/// Endings of formats that are not written, what they are, and what makes them of ONNX.
const ELSEWHERE: [(&str, &str, &str); 10] = [
    ("tflite", "a model of LiteRT", "with `onnx2tf`"),
    ("pb", "a graph of TensorFlow", "with `onnx2tf`"),
    ("h5", "a model of Keras", "with `onnx2tf`"),
    ("keras", "a model of Keras", "with `onnx2tf`"),
    ("mlmodel", "a model of Core ML", "with `onnx2torch` and coremltools"),
    ("mlpackage", "a model of Core ML", "with `onnx2torch` and coremltools"),
    ("engine", "an engine of TensorRT", "with `trtexec`"),
    ("trt", "an engine of TensorRT", "with `trtexec`"),
    ("xml", "a model of OpenVINO", "with `ovc`; OpenVINO also reads ONNX as it is"),
    ("param", "a model of ncnn", "with `pnnx`"),
];

fn container(to: &Path, target: Target) -> Result<Option<Container>> {
    let extension = to.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let named = match extension.as_str() {
        "safetensors" => Some(Container::Safetensors),
        "pth" | "pt" => Some(Container::Pth),
        _ => None,
    };
    if let Some((_, what, remedy)) = ELSEWHERE.iter().find(|(end, ..)| *end == extension) {
        return Err(Error::usage(format!("a file that ends in .{extension} is {what}, which is not written"))
            .hint(format!("write ONNX, and convert that {remedy}"))
            .at(to));
    }
    match (target, named) {
        (Target::Onnx(_), Some(_)) => Err(Error::usage(format!("a file that ends in .{extension} is no ONNX file"))
            .hint("give a name that ends in .onnx, or `to` torchvision or pytorch-fcn")
            .at(to)),
        (Target::StateDict(_), None) => Err(Error::usage(format!(
            "the name of a state dict ends in .safetensors or .pth; found {}",
            if extension.is_empty() { "no ending".into() } else { format!(".{extension}") }
        ))
        .at(to)),
        _ => Ok(named),
    }
}

fn refuse_to_overwrite(from: &Path, to: &Path, force: bool) -> Result<()> {
    if to.is_dir() {
        return Err(Error::usage("this is a folder; expected the name of a file").at(to));
    }
    let same = from.canonicalize().ok().zip(to.canonicalize().ok()).is_some_and(|(from, to)| from == to);
    if same {
        return Err(Error::usage("this is the weights file itself").hint("give another `out`").at(to));
    }
    if to.exists() && !force {
        return Err(Error::usage("there is a file of this name")
            .hint("give another `out`, or `force` to replace it")
            .at(to));
    }
    Ok(())
}

fn notes(meta: &ModelMeta, names: Names, container: Option<Container>) -> Vec<String> {
    // Only FCNs have names elsewhere.
    let Some(spec) = meta.as_fcn() else { return Vec::new() };
    let classes = meta.classes.len();
    let class = match (names, spec.backbone) {
        (Names::Torchvision, Backbone::Vgg16) => format!("torchvision.models.vgg16(num_classes={classes})"),
        (Names::Torchvision, Backbone::Vgg16Bn) => format!("torchvision.models.vgg16_bn(num_classes={classes})"),
        (Names::PytorchFcn, _) => format!("{}(n_class={classes}) of pytorch-fcn", pytorch_fcn_class(spec.variant)),
    };
    let mut notes = vec![format!("loads into {class}")];
    if spec.channels() != channels_at_width(1.0) {
        notes.push(format!("its layers are narrower or wider than that class makes them: {:?}", spec.channels()));
    }
    let folded = match (names, spec.backbone) {
        (_, Backbone::Vgg16) => None,
        (Names::Torchvision, _) if spec.trunk.plain_fc => None,
        (Names::Torchvision, _) => Some("fc6 and fc7"),
        (Names::PytorchFcn, _) => Some("all convolutions"),
    };
    notes.extend(folded.map(|layers| format!("the batch normalisations behind {layers} are folded into the weights")));
    if container == Some(Container::Pth) {
        let Preprocessing { channels, scale, mean, std } = &meta.preprocessing;
        notes.push(format!(
            "a .pth file does not say how images are prepared: {channels:?} values 0 to 255, (x * {scale} - {mean:?}) / {std:?}"
        ));
    }
    notes
}
