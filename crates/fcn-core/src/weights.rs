//! The self-describing weights file: named tensors, and in its header everything needed to use them.
//!
//! The container is safetensors (huggingface/safetensors, README "Format"): a 64-bit little-endian length, a JSON header
//! of that length, the values. Ours hold 32-bit floats only; the header's `__metadata__` holds a [`ModelMeta`]. The
//! container itself is in [`crate::tensor_file`].

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::Device;
use rayon::prelude::*;

use crate::labels::{Classes, VOID};
use crate::model::{Fcn, FcnOptions, ParameterSpec, parameter_table};
use crate::tensor_file::{NamedValues, TensorFile, Values, write_tensors};
use crate::{Error, Result};

/// How far the scores are upsampled at once: the network's last stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Variant {
    /// FCN-32s: no skip.
    #[serde(rename = "32s")]
    Fcn32s,
    /// FCN-16s: skip from pool4.
    #[serde(rename = "16s")]
    Fcn16s,
    /// FCN-8s: skips from pool4 and pool3.
    #[serde(rename = "8s")]
    Fcn8s,
}

/// The convolutional trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Backbone {
    /// VGG-16 (Simonyan & Zisserman 2014, configuration D).
    #[serde(rename = "vgg16")]
    Vgg16,
    /// VGG-16 with a batch normalisation after each convolution of the trunk, fc6 and fc7 included.
    #[serde(rename = "vgg16-bn")]
    Vgg16Bn,
}

/// How borders are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Geometry {
    /// SAME padding everywhere; the input is padded to a multiple of 32 and the output cropped back.
    Same,
    /// The published Caffe models: conv1_1 padded by 100, ceil pooling, fc6 unpadded, fixed crops.
    Caffe,
}

/// Order of the colour channels that the first convolution expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

/// What is done to 0-255 values before the first convolution: `(x * scale - mean) / std`, per channel in `channels` order.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocessing {
    /// Channel order of `mean`, `std` and of the network's input.
    pub channels: Channels,
    /// Factor applied to 0-255 values first.
    pub scale: f32,
    /// Subtracted after scaling.
    pub mean: [f32; 3],
    /// Divided by, last.
    pub std: [f32; 3],
}

impl Default for Preprocessing {
    /// RGB minus the ImageNet mean, divided by 58 (about the standard deviation of natural photographs), which suits
    /// training from random weights. Imported weights bring their own.
    fn default() -> Self {
        Preprocessing { channels: Channels::Rgb, scale: 1.0, mean: [123.68, 116.78, 103.94], std: [58.0; 3] }
    }
}

/// Everything about a network that its tensors do not say.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ModelMeta {
    /// 32s, 16s or 8s.
    pub variant: Variant,
    /// The trunk.
    pub backbone: Backbone,
    /// Multiplier on every channel count of the trunk; 1.0 is the paper's.
    pub width: f32,
    /// Border treatment.
    pub geometry: Geometry,
    /// Class names and colours.
    pub classes: Classes,
    /// Input convention.
    pub preprocessing: Preprocessing,
}

/// Widest network that a file may declare: a guard against sizes that overflow.
const MAX_WIDTH: f32 = 16.0;

impl ModelMeta {
    /// Refuses values that describe no network.
    ///
    /// # Errors
    /// A width outside (0, 16], no class or more than 255, names and colours of different number, a divisor of zero or a
    /// number that is not finite.
    pub fn validate(&self) -> Result<()> {
        if !(self.width > 0.0 && self.width <= MAX_WIDTH) {
            return Err(Error::weights(format!("width is {}; expected above 0 and at most {MAX_WIDTH}", self.width)));
        }
        let classes = self.classes.len();
        if classes == 0 || classes > usize::from(VOID) {
            return Err(Error::weights(format!("{classes} classes; expected 1 to {VOID}")));
        }
        if self.classes.palette.len() != classes {
            let colours = self.classes.palette.len();
            return Err(Error::weights(format!("{classes} classes but {colours} colours; expected as many")));
        }
        let Preprocessing { scale, mean, std, .. } = &self.preprocessing;
        let finite = std::iter::once(scale).chain(mean).chain(std).all(|value| value.is_finite());
        if !finite || std.contains(&0.0) {
            return Err(Error::weights(format!(
                "preprocessing is {:?}; expected finite numbers, std not 0",
                self.preprocessing
            )));
        }
        Ok(())
    }

    fn to_header(&self) -> Result<BTreeMap<String, String>> {
        let name = |value: serde_json::Result<serde_json::Value>| match value {
            Ok(serde_json::Value::String(text)) => Ok(text),
            Ok(other) => Ok(other.to_string()),
            Err(e) => Err(Error::internal(format!("cannot write metadata: {e}"))),
        };
        let pairs = [
            ("variant", name(serde_json::to_value(self.variant))?),
            ("backbone", name(serde_json::to_value(self.backbone))?),
            ("width", self.width.to_string()),
            ("geometry", name(serde_json::to_value(self.geometry))?),
            ("classes", name(serde_json::to_value(&self.classes.names))?),
            ("palette", name(serde_json::to_value(&self.classes.palette))?),
            ("preprocessing", name(serde_json::to_value(&self.preprocessing))?),
        ];
        Ok(pairs.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
    }

    fn from_header(header: &BTreeMap<String, String>) -> Result<Self> {
        let meta = ModelMeta {
            variant: named(header, "variant")?,
            backbone: named(header, "backbone")?,
            width: parsed(header, "width")?,
            geometry: named(header, "geometry")?,
            classes: Classes { names: parsed(header, "classes")?, palette: parsed(header, "palette")? },
            preprocessing: parsed(header, "preprocessing")?,
        };
        meta.validate()?;
        Ok(meta)
    }
}

fn text<'a>(header: &'a BTreeMap<String, String>, key: &str) -> Result<&'a str> {
    header.get(key).map(String::as_str).ok_or_else(|| {
        Error::weights(format!("the header's metadata has no `{key}`"))
            .hint("a file that this program did not write is read with `fcn import`")
    })
}

/// A value that stands in the header as bare text.
fn named<T: serde::de::DeserializeOwned>(header: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let found = text(header, key)?;
    serde_json::from_value(serde_json::Value::String(found.to_string()))
        .map_err(|e| Error::weights(format!("metadata `{key}` is `{found}`: {e}")))
}

/// A value that stands in the header as JSON.
fn parsed<T: serde::de::DeserializeOwned>(header: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let found = text(header, key)?;
    serde_json::from_str(found).map_err(|e| Error::weights(format!("metadata `{key}` is `{found}`: {e}")))
}

/// Writes the network's tensors and metadata to `path`: all of it or nothing, durable when this returns.
///
/// # Errors
/// What the system refuses.
pub fn save(path: &Path, fcn: &Fcn) -> Result<()> {
    let tensors = fcn.parameters().iter().map(|parameter| NamedValues {
        name: parameter.name.clone(),
        shape: parameter.shape.clone(),
        values: Values::Tensor(&parameter.tensor),
    });
    write_tensors(path, &fcn.meta.to_header()?, tensors.collect())
}

/// What network a weights file holds, from its header alone.
///
/// # Errors
/// A file that cannot be read, is no safetensors file, or does not say what network it holds.
pub fn read_meta(path: &Path) -> Result<ModelMeta> {
    ModelMeta::from_header(TensorFile::open(path)?.metadata()).map_err(|e| e.at(path))
}

/// The network in a weights file, on `device`, with default [`FcnOptions`].
///
/// # Errors
/// As [`read_meta`]; tensors that are missing, unexpected or of another shape, all listed; values that are not finite.
pub fn load(path: &Path, device: &Device) -> Result<Fcn> {
    let file = TensorFile::open(path)?;
    let meta = ModelMeta::from_header(file.metadata()).map_err(|e| e.at(path))?;
    let found: Vec<(String, Vec<usize>)> =
        file.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    compare_tables(&parameter_table(&meta), &found).map_err(|e| e.at(path))?;
    Fcn::from_values(meta, &FcnOptions::default(), device, |spec| {
        let values = file.read(&spec.name)?;
        match first_not_finite(&values) {
            Some(at) => {
                Err(Error::weights(format!("{}: value {at} is {}; expected a finite number", spec.name, values[at]))
                    .at(path)
                    .hint("these weights come from a training that diverged; use an earlier checkpoint"))
            }
            None => Ok(values),
        }
    })
}

/// Where the first value is that is infinite or not a number.
fn first_not_finite(values: &[f32]) -> Option<usize> {
    /// Looked at as a whole, so that the loop over it has no exit and runs in vectors.
    const BLOCK: usize = 1 << 14;
    let finite = |values: &[f32]| values.iter().fold(true, |all, value| all & value.is_finite());
    let block = values.par_chunks(BLOCK).position_first(|block| !finite(block))?;
    let start = block * BLOCK;
    values[start..].iter().position(|value| !value.is_finite()).map(|at| start + at)
}

/// Says everything in which the tensors of a file differ from those that a network needs.
///
/// # Errors
/// Any difference: one line each for what is missing, unexpected or of another shape.
pub fn compare_tables(expected: &[ParameterSpec], found: &[(String, Vec<usize>)]) -> Result<()> {
    let wanted: BTreeMap<&str, &[usize]> = expected.iter().map(|spec| (spec.name.as_str(), &spec.shape[..])).collect();
    let present: BTreeMap<&str, &[usize]> = found.iter().map(|(name, shape)| (name.as_str(), &shape[..])).collect();
    let mut lines = Vec::new();
    for (name, shape) in &wanted {
        match present.get(name) {
            None => lines.push(format!("{name}: missing; expected {shape:?}")),
            Some(other) if other != shape => lines.push(format!("{name}: is {other:?}; expected {shape:?}")),
            Some(_) => {}
        }
    }
    for (name, shape) in present.iter().filter(|(name, _)| !wanted.contains_key(*name)) {
        lines.push(format!("{name}: {shape:?} is not a part of this network"));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let count = lines.len();
    let s = if count == 1 { "" } else { "s" };
    Err(Error::weights(format!("{count} tensor{s} do not fit the network:\n  {}", lines.join("\n  "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Parameter;

    #[test]
    fn the_first_value_that_is_not_finite_is_found_wherever_it_is() {
        let mut values = vec![1.0f32; 50_000];
        assert_eq!(first_not_finite(&values), None);
        for (at, bad) in [(49_999, f32::NAN), (16_384, f32::INFINITY), (16_383, f32::NEG_INFINITY), (0, f32::NAN)] {
            values[at] = bad;
            assert_eq!(first_not_finite(&values), Some(at));
        }
    }

    fn meta(variant: Variant, backbone: Backbone) -> ModelMeta {
        ModelMeta {
            variant,
            backbone,
            width: 1.0 / 64.0,
            geometry: Geometry::Caffe,
            classes: Classes::named(["background", "a \"quoted\" thing"]),
            preprocessing: Preprocessing { channels: Channels::Bgr, ..Preprocessing::default() },
        }
    }

    fn values(fcn: &Fcn) -> Vec<(String, Vec<usize>, Vec<f32>)> {
        let list = |parameter: &Parameter| {
            let values = crate::host::with_values(&parameter.tensor, <[f32]>::to_vec).unwrap();
            (parameter.name.clone(), parameter.shape.clone(), values)
        };
        fcn.parameters().iter().map(list).collect()
    }

    #[test]
    fn a_saved_network_comes_back_bit_for_bit_and_the_same_network_is_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        for variant in [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s] {
            for backbone in [Backbone::Vgg16, Backbone::Vgg16Bn] {
                let mut fcn = Fcn::init(meta(variant, backbone), &FcnOptions::default(), 3, &Device::flex());
                let (first, second) = (folder.path().join("first"), folder.path().join("second"));
                save(&first, &fcn).unwrap();
                fcn.for_training();
                save(&second, &fcn).unwrap();
                assert_eq!(std::fs::read(&first).unwrap(), std::fs::read(&second).unwrap(), "{variant:?} {backbone:?}");
                let loaded = load(&first, &Device::flex()).unwrap();
                assert_eq!(loaded.meta, fcn.meta);
                assert_eq!(read_meta(&first).unwrap(), fcn.meta);
                assert_eq!(values(&loaded), values(&fcn), "{variant:?} {backbone:?}");
            }
        }
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "temporary files are left: {names:?}");
    }

    #[test]
    fn files_that_do_not_fit_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        let fcn = Fcn::init(meta(Variant::Fcn8s, Backbone::Vgg16), &FcnOptions::default(), 3, &Device::flex());
        let all = values(&fcn);
        let header = fcn.meta.to_header().unwrap();
        type Change = fn(&mut Vec<(String, Vec<usize>, Vec<f32>)>, &mut BTreeMap<String, String>);
        let cases: [(&str, Change, &[&str]); 8] = [
            ("none", |_, _| {}, &[]),
            ("nan", |tensors, _| tensors[3].2[2] = f32::NAN, &["conv1_2.bias", "value 2 is NaN"]),
            (
                "missing",
                |tensors, _| drop(tensors.remove(0)),
                &["1 tensor do", "conv1_1.weight: missing", "[8, 3, 3, 3]"],
            ),
            ("extra", |tensors, _| tensors.push(("w".into(), vec![1], vec![0.0])), &["w: [1] is not a part"]),
            ("shape", |tensors, _| tensors[1].1 = vec![2, 4], &["conv1_1.bias: is [2, 4]; expected [8]"]),
            (
                "variant",
                |_, header| drop(header.insert("variant".into(), "32s".into())),
                &["upscore.weight: missing", "score_pool3.bias"],
            ),
            ("width", |_, header| drop(header.insert("width".into(), "1e30".into())), &["width", "at most 16"]),
            ("no classes", |_, header| drop(header.remove("classes")), &["no `classes`"]),
        ];
        let mut failures = Vec::new();
        for (name, change, expected) in cases {
            let (mut tensors, mut header) = (all.clone(), header.clone());
            change(&mut tensors, &mut header);
            let named = |(name, shape, values): &'_ (String, Vec<usize>, Vec<f32>)| {
                (name.clone(), shape.clone(), values.clone())
            };
            let tensors: Vec<_> = tensors.iter().map(named).collect();
            let list = tensors
                .iter()
                .map(|(name, shape, values)| NamedValues {
                    name: name.clone(),
                    shape: shape.clone(),
                    values: Values::Slice(values),
                })
                .collect();
            write_tensors(&path, &header, list).unwrap();
            match (load(&path, &Device::flex()), expected.is_empty()) {
                (Ok(_), true) => {}
                (Ok(_), false) => failures.push(format!("{name}: accepted")),
                (Err(e), _) => {
                    let named = e.kind == crate::ErrorKind::Weights && e.path.as_deref() == Some(&path);
                    if expected.is_empty() || !named || !expected.iter().all(|part| e.message.contains(part)) {
                        failures.push(format!("{name}: {e:?}"));
                    }
                }
            }
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
    }
}
