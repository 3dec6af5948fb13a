//! What the header of a weights file says: which network its tensors are, and how its input is prepared.

use std::collections::BTreeMap;

use segdata::image::preprocessing::Preprocessing;
use segdata::labels::Classes;

use crate::network::{Architecture, Backbone, ModelMeta, ParameterSpec, TrunkMeta, TrunkShape, UnetSpec};
use crate::{Error, Result};

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

/// Values of the metadata key `model`; files of FCNs have none.
const UNET: &str = "unet";
const UNET_BN: &str = "unet-bn";

impl ModelMeta {
    /// The metadata that says all this.
    ///
    /// # Errors
    /// None in practice: only a fault of the program.
    pub fn to_header(&self) -> Result<BTreeMap<String, String>> {
        let mut header = match &self.architecture {
            Architecture::Fcn(spec) => {
                let mut header = trunk_header(spec.backbone, spec.width, &spec.trunk, &self.preprocessing)?;
                header.insert("variant".into(), json_text(&spec.variant)?);
                header.insert("geometry".into(), json_text(&spec.geometry)?);
                header
            }
            Architecture::Unet(spec) => BTreeMap::from([
                ("model".to_string(), if spec.normalised { UNET_BN } else { UNET }.to_string()),
                ("width".to_string(), spec.width.to_string()),
                ("preprocessing".to_string(), json_text(&self.preprocessing)?),
            ]),
        };
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
    /// The metadata that says all this, and that there are no score layers.
    ///
    /// # Errors
    /// None in practice: only a fault of the program.
    pub fn to_header(&self) -> Result<BTreeMap<String, String>> {
        let mut header = trunk_header(self.backbone, self.width, &self.trunk, &self.preprocessing)?;
        header.insert("contents".into(), TRUNK.into());
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
}

fn trunk_header(
    backbone: Backbone,
    width: f32,
    trunk: &TrunkShape,
    preprocessing: &Preprocessing,
) -> Result<BTreeMap<String, String>> {
    let mut header = BTreeMap::from([
        ("backbone".to_string(), json_text(&backbone)?),
        ("width".to_string(), width.to_string()),
        ("preprocessing".to_string(), json_text(preprocessing)?),
    ]);
    if let Some(channels) = &trunk.channels {
        header.insert("channels".into(), json_text(channels)?);
    }
    if trunk.plain_fc {
        header.insert("plain_fc".into(), "true".into());
    }
    Ok(header)
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
                let classes = || -> Result<Classes> {
                    Ok(Classes { names: parsed(header, "classes")?, palette: parsed(header, "palette")? })
                };
                let meta = match header.get("model").map(String::as_str) {
                    None => {
                        let variant = named(header, "variant")?;
                        trunk()?.with_head(variant, named(header, "geometry")?, classes()?)
                    }
                    Some(model @ (UNET | UNET_BN)) => {
                        let spec = UnetSpec { width: parsed(header, "width")?, normalised: model == UNET_BN };
                        let preprocessing = parsed(header, "preprocessing")?;
                        ModelMeta { architecture: Architecture::Unet(spec), classes: classes()?, preprocessing }
                    }
                    Some(other) => {
                        return Err(Error::weights(format!(
                            "metadata `model` is `{other}`; expected `{UNET}`, `{UNET_BN}` or none for an FCN"
                        ))
                        .hint("a newer version of this program may read it"));
                    }
                };
                meta.validate()?;
                Ok(Contents::Network(meta))
            }
        }
    }

    /// The trunk that it holds or has, if that is one that can be had alone.
    pub fn trunk(&self) -> Option<TrunkMeta> {
        match self {
            Contents::Network(meta) => meta.trunk_meta(),
            Contents::Trunk(meta) => Some(meta.clone()),
        }
    }

    /// How its input must be prepared.
    pub fn preprocessing(&self) -> &Preprocessing {
        match self {
            Contents::Network(meta) => &meta.preprocessing,
            Contents::Trunk(meta) => &meta.preprocessing,
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
            Contents::Network(meta) => meta.parameters(),
            Contents::Trunk(meta) => meta.parameters(),
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

/// A value that is bare text in the header.
fn named<T: serde::de::DeserializeOwned>(header: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let found = text(header, key)?;
    serde_json::from_value(serde_json::Value::String(found.to_string()))
        .map_err(|e| Error::weights(format!("metadata `{key}` is `{found}`: {e}")))
}

/// A value that is JSON in the header.
fn parsed<T: serde::de::DeserializeOwned>(header: &BTreeMap<String, String>, key: &str) -> Result<T> {
    let found = text(header, key)?;
    serde_json::from_str(found).map_err(|e| Error::weights(format!("metadata `{key}` is `{found}`: {e}")))
}
