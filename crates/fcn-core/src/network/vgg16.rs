//! The trunk: VGG-16 (Simonyan & Zisserman 2014, configuration D) with its two large layers as convolutions.

use super::parameter::{ParameterKind, ParameterSpec};
use crate::weights::{Backbone, ModelMeta};

/// Convolutions and channels of each stage at width 1.0. A 2 x 2 pooling ends each stage.
pub const STAGES: [(usize, usize); 5] = [(2, 64), (2, 128), (3, 256), (3, 512), (3, 512)];

/// Channels of fc6 and fc7 at width 1.0.
pub const FC_CHANNELS: usize = 4096;

/// Taps a side of fc6: the 7 x 7 map that VGG-16's first fully connected layer sees at 224 x 224.
pub const FC6_TAPS: usize = 7;

/// Channels of a layer that has `channels` at width 1.0: rounded, and at least 8 so that narrow networks stay networks.
pub fn scaled(channels: usize, width: f32) -> usize {
    ((channels as f32 * width).round() as usize).max(8)
}

/// Channels of the five stages, of fc6 and of fc7 at a width.
pub fn channels_at_width(width: f32) -> [usize; 7] {
    let stages = STAGES.map(|(_, channels)| channels);
    let mut channels = [FC_CHANNELS; 7];
    channels[..STAGES.len()].copy_from_slice(&stages);
    channels.map(|channels| scaled(channels, width))
}

/// A convolution with stride 1, as indices into the parameter list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layer {
    pub weight: usize,
    pub bias: Option<usize>,
    pub norm: Option<Norm>,
    pub padding: usize,
}

/// A batch normalisation, as indices into the parameter list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Norm {
    pub scale: usize,
    pub shift: usize,
    pub mean: usize,
    pub var: usize,
}

/// Adds layers to a parameter table.
pub(crate) struct TableBuilder {
    pub table: Vec<ParameterSpec>,
}

impl TableBuilder {
    pub fn add(&mut self, name: String, kind: ParameterKind, shape: Vec<usize>) -> usize {
        self.table.push(ParameterSpec { name, kind, shape });
        self.table.len() - 1
    }

    /// A convolution with bias and nothing behind it.
    pub fn score(&mut self, name: &str, [outputs, inputs, taps]: [usize; 3]) -> Layer {
        let weight = self.add(format!("{name}.weight"), ParameterKind::Weight, vec![outputs, inputs, taps, taps]);
        let bias = self.add(format!("{name}.bias"), ParameterKind::Bias, vec![outputs]);
        Layer { weight, bias: Some(bias), norm: None, padding: 0 }
    }

    /// A convolution of the trunk. Where a batch normalisation follows (`normalised`) there is no bias, since the
    /// normalisation would subtract it again; importers fold it into the running mean.
    fn trunk(&mut self, name: &str, [outputs, inputs, taps]: [usize; 3], padding: usize, normalised: bool) -> Layer {
        if !normalised {
            return Layer { padding, ..self.score(name, [outputs, inputs, taps]) };
        }
        let weight = self.add(format!("{name}.weight"), ParameterKind::Weight, vec![outputs, inputs, taps, taps]);
        let mut norm = |role: &str, kind| self.add(format!("{name}.norm.{role}"), kind, vec![outputs]);
        let norm = Norm {
            scale: norm("weight", ParameterKind::NormScale),
            shift: norm("bias", ParameterKind::NormShift),
            mean: norm("running_mean", ParameterKind::RunningMean),
            var: norm("running_var", ParameterKind::RunningVar),
        };
        Layer { weight, bias: None, norm: Some(norm), padding }
    }
}

/// The trunk's layers.
#[derive(Clone, Debug)]
pub(crate) struct Trunk {
    pub stages: Vec<Vec<Layer>>,
    pub fc6: Layer,
    pub fc7: Layer,
}

impl Trunk {
    /// `first_padding` zeros around the input of conv1_1, `fc6_padding` around that of fc6.
    pub fn new(builder: &mut TableBuilder, meta: &ModelMeta, first_padding: usize, fc6_padding: usize) -> Self {
        let normalised = meta.backbone == Backbone::Vgg16Bn;
        let channels = meta.channels();
        let mut inputs = 3;
        let mut stages = Vec::with_capacity(STAGES.len());
        for (stage, (convolutions, _)) in STAGES.into_iter().enumerate() {
            let outputs = channels[stage];
            let mut layers = Vec::with_capacity(convolutions);
            for convolution in 0..convolutions {
                let name = format!("conv{}_{}", stage + 1, convolution + 1);
                let padding = if (stage, convolution) == (0, 0) { first_padding } else { 1 };
                layers.push(builder.trunk(&name, [outputs, inputs, 3], padding, normalised));
                inputs = outputs;
            }
            stages.push(layers);
        }
        let [.., fc6_channels, fc7_channels] = channels;
        let normalised = normalised && !meta.trunk.plain_fc;
        let fc6 = builder.trunk("fc6", [fc6_channels, inputs, FC6_TAPS], fc6_padding, normalised);
        let fc7 = builder.trunk("fc7", [fc7_channels, fc6_channels, 1], 0, normalised);
        Trunk { stages, fc6, fc7 }
    }
}
