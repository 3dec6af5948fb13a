//! Everything about a network that its tensors do not say: which family and which of it, its classes, how its input is
//! prepared. From it the [graph](super::graph) follows.

use segdata::image::preprocessing::Preprocessing;
use segdata::labels::{Classes, VOID};

use super::families::fcn::{Backbone, FcnSpec, Geometry, TrunkShape, Variant};
use super::families::unet::UnetSpec;
use super::graph::Graph;
use super::parameter::{ParameterSpec, belongs_to_classes};
use crate::{Error, Result};

/// A family of networks, and which of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Architecture {
    /// A fully convolutional network on VGG-16 (Long, Shelhamer & Darrell 2015).
    Fcn(FcnSpec),
    /// A U-Net (Ronneberger, Fischer & Brox 2015).
    Unet(UnetSpec),
}

/// Everything about a network that its tensors do not say.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelMeta {
    /// Family and what belongs to it.
    pub architecture: Architecture,
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

/// Widest network that a file may declare: a guard against sizes that overflow.
const MAX_WIDTH: f32 = 16.0;

/// Most channels that a file may declare for one layer, for the same reason.
const MAX_CHANNELS: usize = 1 << 16;

impl Architecture {
    /// The operations and parameters, with scores for `classes` classes.
    pub fn graph(&self, classes: usize) -> Graph {
        match self {
            Architecture::Fcn(spec) => spec.graph(classes),
            Architecture::Unet(spec) => spec.graph(classes),
        }
    }

    /// Multiplier on every channel count; 1.0 is the paper's.
    pub fn width(&self) -> f32 {
        match self {
            Architecture::Fcn(spec) => spec.width,
            Architecture::Unet(spec) => spec.width,
        }
    }

    /// What a person calls it: `FCN-8s on vgg16`, `U-Net`.
    pub fn title(&self) -> String {
        match self {
            Architecture::Fcn(FcnSpec { variant, backbone, .. }) => {
                let variant = match variant {
                    Variant::Fcn32s => "32s",
                    Variant::Fcn16s => "16s",
                    Variant::Fcn8s => "8s",
                };
                format!("FCN-{variant} on {}", backbone.word())
            }
            Architecture::Unet(UnetSpec { normalised: false, .. }) => "U-Net".to_string(),
            Architecture::Unet(UnetSpec { normalised: true, .. }) => "U-Net with batch normalisation".to_string(),
        }
    }
}

impl Backbone {
    /// As files and the command line have it.
    pub fn word(self) -> &'static str {
        match self {
            Backbone::Vgg16 => "vgg16",
            Backbone::Vgg16Bn => "vgg16-bn",
        }
    }
}

impl ModelMeta {
    /// An FCN.
    pub fn fcn(spec: FcnSpec, classes: Classes, preprocessing: Preprocessing) -> Self {
        ModelMeta { architecture: Architecture::Fcn(spec), classes, preprocessing }
    }

    /// What is said about it if it is an FCN.
    pub fn as_fcn(&self) -> Option<&FcnSpec> {
        match &self.architecture {
            Architecture::Fcn(spec) => Some(spec),
            Architecture::Unet(_) => None,
        }
    }

    /// Operations and parameters.
    pub fn graph(&self) -> Graph {
        self.architecture.graph(self.classes.len())
    }

    /// Every parameter of the network, in the order in which it holds and saves them. Allocates no values.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        self.graph().parameters
    }

    /// Multiply-adds of one pass over an image of `height x width` pixels, frame included ([`Graph::multiply_adds`]);
    /// floating point operations are twice as many.
    pub fn multiply_adds(&self, height: usize, width: usize) -> u64 {
        self.graph().multiply_adds(height, width).iter().map(|(_, count)| count).sum()
    }

    /// The trunk of this network, if it is one that can be had alone.
    pub fn trunk_meta(&self) -> Option<TrunkMeta> {
        let FcnSpec { backbone, width, trunk, .. } = *self.as_fcn()?;
        Some(TrunkMeta { backbone, width, trunk, preprocessing: self.preprocessing.clone() })
    }

    /// Refuses values that describe no network.
    ///
    /// # Errors
    /// A width outside (0, 16], no class or more than 255, names and colours of different number, a divisor of zero or a
    /// number that is not finite, a layer that no kernel computes.
    pub fn validate(&self) -> Result<()> {
        check_width(self.architecture.width())?;
        if let Some(spec) = self.as_fcn() {
            check_channels(&spec.trunk)?;
        }
        check_preprocessing(&self.preprocessing)?;
        let classes = self.classes.len();
        if classes == 0 || classes > usize::from(VOID) {
            return Err(Error::weights(format!("{classes} classes; expected 1 to {VOID}")));
        }
        if self.classes.palette.len() != classes {
            let colours = self.classes.palette.len();
            return Err(Error::weights(format!("{classes} classes but {colours} colours; expected as many")));
        }
        self.graph().check().map_err(Error::weights)
    }
}

impl TrunkMeta {
    /// A network with this trunk.
    pub fn with_head(&self, variant: Variant, geometry: Geometry, classes: Classes) -> ModelMeta {
        let TrunkMeta { backbone, width, trunk, preprocessing } = self.clone();
        ModelMeta::fcn(FcnSpec { variant, backbone, width, trunk, geometry }, classes, preprocessing)
    }

    /// Every parameter of the trunk, in the order in which a network with that trunk has them.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let mut table = self.with_head(Variant::Fcn32s, Geometry::Same, Classes::named(["none"])).parameters();
        table.retain(|spec| !belongs_to_classes(&spec.name));
        table
    }

    /// Refuses values that describe no trunk.
    ///
    /// # Errors
    /// As [`ModelMeta::validate`].
    pub fn validate(&self) -> Result<()> {
        check_width(self.width)?;
        check_channels(&self.trunk)?;
        check_preprocessing(&self.preprocessing)
    }
}

fn check_width(width: f32) -> Result<()> {
    match width > 0.0 && width <= MAX_WIDTH {
        true => Ok(()),
        false => Err(Error::weights(format!("width is {width}; expected above 0 and at most {MAX_WIDTH}"))),
    }
}

fn check_channels(trunk: &TrunkShape) -> Result<()> {
    match trunk.channels {
        Some(channels) if channels.iter().any(|count| !(1..=MAX_CHANNELS).contains(count)) => {
            Err(Error::weights(format!("channels are {channels:?}; expected 1 to {MAX_CHANNELS} each")))
        }
        _ => Ok(()),
    }
}

fn check_preprocessing(preprocessing: &Preprocessing) -> Result<()> {
    let Preprocessing { scale, mean, std, .. } = preprocessing;
    let finite = std::iter::once(scale).chain(mean).chain(std).all(|value| value.is_finite());
    match finite && !std.contains(&0.0) {
        true => Ok(()),
        false => Err(Error::weights(format!("preprocessing is {preprocessing:?}; expected finite numbers, std not 0"))),
    }
}

#[cfg(test)]
impl ModelMeta {
    /// An FCN for tests: every layer, in a 64th of VGG-16's width.
    pub(crate) fn narrow(variant: Variant, backbone: Backbone, geometry: Geometry, classes: &[&str]) -> ModelMeta {
        let spec = FcnSpec { variant, backbone, width: 1.0 / 64.0, trunk: TrunkShape::default(), geometry };
        ModelMeta::fcn(spec, Classes::named(classes.iter().copied()), Preprocessing::default())
    }

    /// A U-Net for tests, in an eighth of the paper's width.
    pub(crate) fn narrow_unet(normalised: bool, classes: &[&str]) -> ModelMeta {
        ModelMeta {
            architecture: Architecture::Unet(UnetSpec { width: 0.125, normalised }),
            classes: Classes::named(classes.iter().copied()),
            preprocessing: Preprocessing::default(),
        }
    }
}
