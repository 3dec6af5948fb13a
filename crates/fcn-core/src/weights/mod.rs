//! The self-describing weights file: named tensors, and in its header everything needed to use them.
//!
//! The container is safetensors (huggingface/safetensors, README "Format"): a 64-bit little-endian length, a JSON header
//! of that length, the values. Ours hold 32-bit floats only; the header's `__metadata__` holds a [`ModelMeta`], or a
//! [`TrunkMeta`] where the file holds a trunk without score layers, as ImageNet's weights are: something to train from,
//! not to predict with. The container itself is in [`crate::weights::tensor_file`].

pub mod mapped_file;
pub mod tensor_file;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, TensorData};
use rayon::prelude::*;

use crate::device::choice::is_cpu;
use crate::device::values::borrow;
use crate::network::vgg16::channels_at_width;
use crate::network::{Fcn, FcnOptions, ParameterSpec, parameter_table, trunk_table};
use crate::weights::tensor_file::{NamedValues, TensorFile, Values, write_tensors};
use crate::{Error, Result};
use segdata::image::preprocessing::Preprocessing;
use segdata::labels::{Classes, VOID};

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

/// What a trunk looks like where backbone and width do not say it. The default is the usual case: they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TrunkShape {
    /// Channels of the five stages, of fc6 and of fc7; `None`: VGG-16's times the width.
    pub channels: Option<[usize; 7]>,
    /// Whether fc6 and fc7 of vgg16-bn have biases instead of batch normalisations, as in torchvision's vgg16_bn.
    pub plain_fc: bool,
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

/// Everything about a network that its tensors do not say.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ModelMeta {
    /// 32s, 16s or 8s.
    pub variant: Variant,
    /// The trunk.
    pub backbone: Backbone,
    /// Multiplier on every channel count of the trunk; 1.0 is the paper's.
    pub width: f32,
    /// What backbone and width do not say about the trunk.
    pub trunk: TrunkShape,
    /// Border treatment.
    pub geometry: Geometry,
    /// Class names and colours.
    pub classes: Classes,
    /// Input convention.
    pub preprocessing: Preprocessing,
}

/// A trunk without score layers, and everything about it that its tensors do not say.
#[derive(Clone, Debug, PartialEq)]
pub struct TrunkMeta {
    /// The trunk.
    pub backbone: Backbone,
    /// Multiplier on every channel count; 1.0 is VGG-16's.
    pub width: f32,
    /// What backbone and width do not say.
    pub trunk: TrunkShape,
    /// Input convention.
    pub preprocessing: Preprocessing,
}

/// What a weights file holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Contents {
    /// A whole network.
    Network(ModelMeta),
    /// A trunk to train from.
    Trunk(TrunkMeta),
}

/// Value of the metadata key `contents` of a file that holds a trunk alone.
const TRUNK: &str = "trunk";

/// Widest network that a file may declare: a guard against sizes that overflow.
const MAX_WIDTH: f32 = 16.0;

/// Most channels that a file may declare for one layer, for the same reason.
const MAX_CHANNELS: usize = 1 << 16;

#[cfg(test)]
impl ModelMeta {
    /// A network for tests: every layer, in a 64th of VGG-16's width.
    pub(crate) fn narrow(variant: Variant, backbone: Backbone, geometry: Geometry, classes: &[&str]) -> ModelMeta {
        ModelMeta {
            variant,
            backbone,
            width: 1.0 / 64.0,
            trunk: TrunkShape::default(),
            geometry,
            classes: Classes::named(classes.iter().copied()),
            preprocessing: Preprocessing::default(),
        }
    }
}

impl ModelMeta {
    /// Refuses values that describe no network.
    ///
    /// # Errors
    /// A width outside (0, 16], no class or more than 255, names and colours of different number, a divisor of zero or a
    /// number that is not finite.
    pub fn validate(&self) -> Result<()> {
        self.trunk_meta().validate()?;
        let classes = self.classes.len();
        if classes == 0 || classes > usize::from(VOID) {
            return Err(Error::weights(format!("{classes} classes; expected 1 to {VOID}")));
        }
        if self.classes.palette.len() != classes {
            let colours = self.classes.palette.len();
            return Err(Error::weights(format!("{classes} classes but {colours} colours; expected as many")));
        }
        Ok(())
    }

    /// The trunk of this network.
    pub fn trunk_meta(&self) -> TrunkMeta {
        let preprocessing = self.preprocessing.clone();
        TrunkMeta { backbone: self.backbone, width: self.width, trunk: self.trunk, preprocessing }
    }

    /// Channels of the five stages, of fc6 and of fc7.
    pub fn channels(&self) -> [usize; 7] {
        self.trunk.channels.unwrap_or_else(|| channels_at_width(self.width))
    }

    /// The metadata that says all this.
    ///
    /// # Errors
    /// None in practice: only a fault of the program.
    pub fn to_header(&self) -> Result<BTreeMap<String, String>> {
        let mut header = self.trunk_meta().trunk_header()?;
        header.insert("variant".into(), json_text(&self.variant)?);
        header.insert("geometry".into(), json_text(&self.geometry)?);
        header.insert("classes".into(), json_text(&self.classes.names)?);
        header.insert("palette".into(), json_text(&self.classes.palette)?);
        Ok(header)
    }

    /// What [`to_header`](Self::to_header) said.
    ///
    /// # Errors
    /// As [`Contents::from_header`], and a trunk alone.
    pub fn from_header(header: &BTreeMap<String, String>) -> Result<Self> {
        match Contents::from_header(header)? {
            Contents::Network(meta) => Ok(meta),
            Contents::Trunk(_) => Err(Error::weights(
                "this file holds a trunk alone, as pretrained on ImageNet: it has no score layers to predict with",
            )
            .hint("train a network from it with `train init`")),
        }
    }
}

impl TrunkMeta {
    /// A network with this trunk.
    pub fn with_head(&self, variant: Variant, geometry: Geometry, classes: Classes) -> ModelMeta {
        let TrunkMeta { backbone, width, trunk, preprocessing } = self.clone();
        ModelMeta { variant, backbone, width, trunk, geometry, classes, preprocessing }
    }

    /// The metadata that says all this, and that there are no score layers.
    ///
    /// # Errors
    /// None in practice: only a fault of the program.
    pub fn to_header(&self) -> Result<BTreeMap<String, String>> {
        let mut header = self.trunk_header()?;
        header.insert("contents".into(), TRUNK.into());
        Ok(header)
    }

    fn trunk_header(&self) -> Result<BTreeMap<String, String>> {
        let mut header = BTreeMap::from([
            ("backbone".to_string(), json_text(&self.backbone)?),
            ("width".to_string(), self.width.to_string()),
            ("preprocessing".to_string(), json_text(&self.preprocessing)?),
        ]);
        if let Some(channels) = &self.trunk.channels {
            header.insert("channels".into(), json_text(channels)?);
        }
        if self.trunk.plain_fc {
            header.insert("plain_fc".into(), "true".into());
        }
        Ok(header)
    }

    fn from_header(header: &BTreeMap<String, String>) -> Result<Self> {
        let optional = |key: &str| header.contains_key(key);
        let meta = TrunkMeta {
            backbone: named(header, "backbone")?,
            width: parsed(header, "width")?,
            trunk: TrunkShape {
                channels: if optional("channels") { Some(parsed(header, "channels")?) } else { None },
                plain_fc: if optional("plain_fc") { parsed(header, "plain_fc")? } else { false },
            },
            preprocessing: parsed(header, "preprocessing")?,
        };
        meta.validate()?;
        Ok(meta)
    }

    fn validate(&self) -> Result<()> {
        if !(self.width > 0.0 && self.width <= MAX_WIDTH) {
            return Err(Error::weights(format!("width is {}; expected above 0 and at most {MAX_WIDTH}", self.width)));
        }
        if let Some(channels) = self.trunk.channels
            && channels.iter().any(|count| !(1..=MAX_CHANNELS).contains(count))
        {
            return Err(Error::weights(format!("channels are {channels:?}; expected 1 to {MAX_CHANNELS} each")));
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
}

impl Contents {
    /// What a header says its file holds.
    ///
    /// # Errors
    /// A key that is missing or a value that cannot be.
    pub fn from_header(header: &BTreeMap<String, String>) -> Result<Self> {
        let trunk = || TrunkMeta::from_header(header);
        match header.get("contents").map(String::as_str) {
            Some(TRUNK) => Ok(Contents::Trunk(trunk()?)),
            Some(other) => Err(Error::weights(format!("metadata `contents` is `{other}`; expected `{TRUNK}`"))),
            None => {
                let variant = named(header, "variant")?;
                let classes = Classes { names: parsed(header, "classes")?, palette: parsed(header, "palette")? };
                let meta = trunk()?.with_head(variant, named(header, "geometry")?, classes);
                meta.validate()?;
                Ok(Contents::Network(meta))
            }
        }
    }

    /// The trunk that it holds or has.
    pub fn trunk(&self) -> TrunkMeta {
        match self {
            Contents::Network(meta) => meta.trunk_meta(),
            Contents::Trunk(meta) => meta.clone(),
        }
    }

    /// The network, if it is one.
    pub fn network(&self) -> Option<&ModelMeta> {
        match self {
            Contents::Network(meta) => Some(meta),
            Contents::Trunk(_) => None,
        }
    }

    /// Every tensor of the file, in its order.
    pub fn table(&self) -> Vec<ParameterSpec> {
        match self {
            Contents::Network(meta) => parameter_table(meta),
            Contents::Trunk(meta) => trunk_table(meta),
        }
    }

    /// The metadata that says all this.
    ///
    /// # Errors
    /// None in practice: only a fault of the program.
    pub fn to_header(&self) -> Result<BTreeMap<String, String>> {
        match self {
            Contents::Network(meta) => meta.to_header(),
            Contents::Trunk(meta) => meta.to_header(),
        }
    }
}

/// A value as JSON, but text as it is.
fn json_text(value: &impl serde::Serialize) -> Result<String> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        Ok(other) => Ok(other.to_string()),
        Err(e) => Err(Error::internal(format!("cannot write metadata: {e}"))),
    }
}

fn text<'a>(header: &'a BTreeMap<String, String>, key: &str) -> Result<&'a str> {
    header.get(key).map(String::as_str).ok_or_else(|| {
        Error::weights(format!("the header's metadata has no `{key}`"))
            .hint("a file that this program did not write is read with `import`")
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

/// What a weights file holds, from its header alone.
///
/// # Errors
/// As [`read_meta`], but a trunk alone is none.
pub fn read_contents(path: &Path) -> Result<Contents> {
    Contents::from_header(TensorFile::open(path)?.metadata()).map_err(|e| e.at(path))
}

/// The network in a weights file, on `device`, with default [`FcnOptions`].
///
/// # Errors
/// As [`read_meta`]; tensors that are missing, unexpected or of another shape, all listed; values that are not finite.
pub fn load(path: &Path, device: &Device) -> Result<Fcn> {
    let (file, meta) = open_network(path)?;
    Fcn::from_values(meta, &FcnOptions::default(), device, |spec| finite_values(&file, &spec.name, path))
}

/// [`load`] for weights that will not change: on the CPU they are not read but mapped, so that a network of half a gigabyte
/// is there at once and shares its memory with every other process that uses the file. See
/// [`mapped_file`](crate::weights::mapped_file) for what that asks of the file. Kernels of 3x3 taps, a ninth of the whole, are read:
/// [`Frozen`](crate::network::Frozen) transforms them and lets them go, which pages of a file would not do.
///
/// # Errors
/// As [`load`].
pub fn load_mapped(path: &Path, device: &Device) -> Result<Fcn> {
    if !is_cpu(device) {
        return load(path, device);
    }
    let (file, meta) = open_network(path)?;
    let map = file.map()?;
    Fcn::from_data(meta, &FcnOptions::default(), device, |spec| {
        let mapped = if spec.shape.ends_with(&[3, 3]) { None } else { file.mapped(&map, &spec.name) };
        let Some(bytes) = mapped else {
            let values = finite_values(&file, &spec.name, path)?;
            return Ok(TensorData::new(values, [spec.len()]));
        };
        refuse_not_finite(&spec.name, bytemuck::cast_slice(&bytes)).map_err(|e| e.at(path))?;
        Ok(borrow(bytes, &[spec.len()]))
    })
}

/// A weights file whose tensors are those of the network it declares.
fn open_network(path: &Path) -> Result<(TensorFile, ModelMeta)> {
    let file = TensorFile::open(path)?;
    let meta = ModelMeta::from_header(file.metadata()).map_err(|e| e.at(path))?;
    let found: Vec<(String, Vec<usize>)> =
        file.tensors().map(|(name, shape)| (name.to_string(), shape.to_vec())).collect();
    compare_tables(&parameter_table(&meta), &found).map_err(|e| e.at(path))?;
    Ok((file, meta))
}

fn finite_values(file: &TensorFile, name: &str, path: &Path) -> Result<Vec<f32>> {
    let values = file.read(name)?;
    refuse_not_finite(name, &values).map_err(|e| e.at(path))?;
    Ok(values)
}

/// Refuses values that are infinite or not a number.
///
/// # Errors
/// The first such value, with the tensor's name.
pub fn refuse_not_finite(name: &str, values: &[f32]) -> Result<()> {
    match first_not_finite(values) {
        Some(at) => Err(Error::weights(format!("{name}: value {at} is {}; expected a finite number", values[at]))
            .hint("these weights come from a training that diverged; use an earlier checkpoint")),
        None => Ok(()),
    }
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
mod tests;
