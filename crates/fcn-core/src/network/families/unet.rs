//! U-Net (Ronneberger, Fischer & Brox, MICCAI 2015): a contracting path of pairs of 3 x 3 convolutions with a pooling
//! between them, and an expanding path that joins each doubled map with the one of its size.
//!
//! `N` images, `K` classes, `C` channels, `H x W` pixels.
//!
//! Differs from the paper: convolutions are padded so that maps keep their sizes, and an image whose sides are no multiples
//! of 16 gets a frame of zeros which is cropped off again; so nothing has to be cropped before it is joined, and the scores
//! have the size of the image. Optionally a batch normalisation (Ioffe & Szegedy 2015) follows each 3 x 3 convolution, as most
//! implementations have it since. Score layers start at zero.
//!
//! Layers have the names of the published Caffe model (`phseg_v5.prototxt`): `conv_d0a-b` leads from map `a` to map `b` of
//! level 0 going down, `upconv_d4c_u3a` from the lowest map up, `conv_u3b-c` and so on. `d3cc` there is the cropped `d3c`.

use conv_kernels::Activation;

use super::vgg16::scaled;
use crate::network::graph::{ConvStyle, Corner, Graph, GraphBuilder, NodeId, Op};
use crate::network::parameter::Initial;

/// Channels of the levels at width 1.0, from the image's size down.
pub const LEVELS: [usize; 5] = [64, 128, 256, 512, 1024];

/// Ratio of the image's sides to those of the lowest map.
const COARSEST_STRIDE: usize = 1 << (LEVELS.len() - 1);

/// Which U-Net.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnetSpec {
    /// Multiplier on every channel count; 1.0 is the paper's.
    pub width: f32,
    /// Whether a batch normalisation follows each 3 x 3 convolution.
    pub normalised: bool,
}

impl UnetSpec {
    /// Channels of the levels, from the image's size down.
    pub fn channels(&self) -> [usize; 5] {
        LEVELS.map(|channels| scaled(channels, self.width))
    }

    /// The network with scores for `classes` classes.
    pub fn graph(&self, classes: usize) -> Graph {
        let (mut builder, image) = GraphBuilder::new();
        let channels = self.channels();
        let mut x = builder.add("frame", Op::Frame { multiple: COARSEST_STRIDE }, &[image]);
        let (mut inputs, lowest) = (3, LEVELS.len() - 1);
        let mut skips = Vec::with_capacity(lowest);
        for (level, &outputs) in channels.iter().enumerate() {
            x = self.conv(&mut builder, &format!("conv_d{level}a-b"), x, [outputs, inputs]);
            x = self.conv(&mut builder, &format!("conv_d{level}b-c"), x, [outputs, outputs]);
            // "Drop-out layers at the end of the contracting path" (section 3.1): its two lowest levels in the published model.
            if let Some(index) = (level + 2).checked_sub(LEVELS.len()) {
                x = builder.add(format!("d{level}c_dropped"), Op::Dropout { index }, &[x]);
            }
            inputs = outputs;
            if level < lowest {
                skips.push(x); // [N, C, H / 2^level, W / 2^level]
                x = builder.add(format!("pool_d{level}c-{}a", level + 1), Op::MaxPool { ceil: false }, &[x]);
            }
        }
        for (level, skip) in skips.into_iter().enumerate().rev() {
            let outputs = channels[level];
            let from = if level + 1 == lowest { format!("d{lowest}c") } else { format!("u{}d", level + 1) };
            x = builder.up_convolution(&format!("upconv_{from}_u{level}a"), x, [outputs, inputs]);
            x = builder.add(format!("concat_d{level}c_u{level}a-b"), Op::Concat, &[skip, x]);
            x = self.conv(&mut builder, &format!("conv_u{level}b-c"), x, [outputs, 2 * outputs]);
            x = self.conv(&mut builder, &format!("conv_u{level}c-d"), x, [outputs, outputs]);
            inputs = outputs;
        }
        x = builder.score("score", x, classes, inputs);
        builder.add("crop", Op::Crop { from: Corner::OfFrame }, &[x, image]); // [N, K, H, W]
        builder.finish()
    }

    /// A 3 x 3 convolution that keeps the size, and its ReLU.
    fn conv(&self, builder: &mut GraphBuilder, name: &str, x: NodeId, [outputs, inputs]: [usize; 2]) -> NodeId {
        let initial = Initial::HeNormal { fan_in: 9 * inputs };
        let style =
            ConvStyle { taps: 3, padding: 1, normalised: self.normalised, activation: Activation::Relu, initial };
        builder.conv(name, x, [outputs, inputs], style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_s_network_has_its_31_million_weights_and_23_convolutions() {
        let graph = UnetSpec { width: 1.0, normalised: false }.graph(1);
        // As implementations count it with one input channel and one output, and two input channels more.
        let count: usize = graph.parameters.iter().map(|parameter| parameter.len()).sum();
        assert_eq!(count, 31_030_593 + 2 * 9 * 64);
        let transposed = graph.nodes.iter().filter(|node| matches!(node.op, Op::ConvTranspose(_))).count();
        // "In total the network has 23 convolutional layers" (section 2).
        assert_eq!(graph.convolutions().count() + transposed, 23);
    }

    #[test]
    fn every_join_is_of_maps_of_one_size_and_the_scores_have_the_image_s() {
        let graph = UnetSpec { width: 0.25, normalised: true }.graph(7);
        for (height, width) in [(1, 1), (16, 33), (375, 500)] {
            let sizes = graph.map_sizes(height, width);
            for node in graph.nodes.iter().filter(|node| node.op == Op::Concat) {
                let [a, b] = [sizes[node.inputs[0]], sizes[node.inputs[1]]];
                assert_eq!((a.channels, a.height, a.width), (b.channels, b.height, b.width), "{}", node.name);
            }
            let last = sizes[sizes.len() - 1];
            assert_eq!((last.channels, last.height, last.width), (7, height, width));
        }
        assert_eq!(graph.coarsest_stride(), 16);
    }
}
