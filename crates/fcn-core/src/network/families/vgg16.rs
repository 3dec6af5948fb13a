//! The trunk: VGG-16 (Simonyan & Zisserman 2014, configuration D) with its two large layers as convolutions.

use conv_kernels::Activation;

use crate::network::graph::{ConvStyle, GraphBuilder, NodeId, Op};
use crate::network::parameter::Initial;

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

/// What of the trunk differs between networks.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrunkLayout {
    /// Of the five stages, of fc6 and of fc7.
    pub channels: [usize; 7],
    /// Whether batch normalisations follow the convolutions of the stages.
    pub normalised: bool,
    /// Whether they follow fc6 and fc7.
    pub normalised_fc: bool,
    /// Zeros around the input of conv1_1.
    pub first_padding: usize,
    /// Zeros around the input of fc6.
    pub fc6_padding: usize,
    /// Whether pooling windows at odd borders are cut off rather than left out.
    pub ceil: bool,
}

/// Puts the trunk on `x`: the five pools `[N, C, H / 2^(i+1), W / 2^(i+1)]`, and fc7 `[N, 4096, H/32, W/32]`.
pub(super) fn trunk(builder: &mut GraphBuilder, mut x: NodeId, layout: &TrunkLayout) -> ([NodeId; 5], NodeId) {
    let mut inputs = 3;
    let mut pools = [0; STAGES.len()];
    let style = |taps: usize, inputs: usize, padding: usize, normalised: bool| {
        let initial = Initial::HeNormal { fan_in: inputs * taps * taps };
        ConvStyle { taps, padding, normalised, activation: Activation::Relu, initial }
    };
    for (stage, (convolutions, _)) in STAGES.into_iter().enumerate() {
        let outputs = layout.channels[stage];
        for convolution in 0..convolutions {
            let name = format!("conv{}_{}", stage + 1, convolution + 1);
            let padding = if (stage, convolution) == (0, 0) { layout.first_padding } else { 1 };
            x = builder.conv(&name, x, [outputs, inputs], style(3, inputs, padding, layout.normalised));
            inputs = outputs;
        }
        x = builder.add(format!("pool{}", stage + 1), Op::MaxPool { ceil: layout.ceil }, &[x]);
        pools[stage] = x;
    }
    let [.., fc6, fc7] = layout.channels;
    let large = [("fc6", fc6, FC6_TAPS, layout.fc6_padding), ("fc7", fc7, 1, 0)];
    for (index, (name, outputs, taps, padding)) in large.into_iter().enumerate() {
        x = builder.conv(name, x, [outputs, inputs], style(taps, inputs, padding, layout.normalised_fc));
        x = builder.add(format!("{name}_dropped"), Op::Dropout { index }, &[x]);
        inputs = outputs;
    }
    (pools, x)
}
