//! The self-describing weights file: named tensors, and in its header everything needed to use them.

use crate::labels::Classes;

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
