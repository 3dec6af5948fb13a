//! Fully convolutional networks for semantic segmentation (Long, Shelhamer & Darrell, CVPR 2015; PAMI 2017): FCN-32s,
//! FCN-16s and FCN-8s on the trunk of [`super::vgg16`].
//!
//! `N` images, `K` classes, `C` channels, `H x W` pixels.
//!
//! Two geometries. `same`: every layer keeps its size by padding; an input whose sides are no multiples of 32 gets a
//! frame of zeros (the mean colour, once normalised), and the logits are cropped back. `caffe`: the published models;
//! conv1_1 is padded by 100 so that fc6 can go unpadded, pools round up, and fixed crops bring the maps together.
//!
//! Differs from the paper: the published models' skip layers of the "at once" kind scale pool4 and pool3 by constants
//! first; importers fold the constants into `score_pool4` and `score_pool3`.

use super::vgg16::{FC6_TAPS, TrunkLayout, channels_at_width, trunk};
use crate::network::graph::{Corner, Graph, GraphBuilder, Op};

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

/// Which fully convolutional network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FcnSpec {
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
}

/// Ratio of the image's sides to those of the coarsest map.
const COARSEST_STRIDE: usize = 32;

/// Zeros around the input of conv1_1 in the published models.
const CAFFE_FIRST_PADDING: usize = 100;

/// One upsampling of the decoder, and what happens to its result.
#[derive(Clone, Copy, Debug)]
struct DecoderStep {
    name: &'static str,
    /// The kernel has twice as many taps a side.
    stride: usize,
    /// Score layer that is added, and the stage (from 0) whose pool it looks at.
    skip: Option<(&'static str, usize)>,
    /// Caffe geometry: rows and columns cut from the top and left of the skip, or of the result where there is none.
    crop: usize,
}

const FCN_32S: [DecoderStep; 1] = [DecoderStep { name: "upscore", stride: 32, skip: None, crop: 19 }];
const FCN_16S: [DecoderStep; 2] = [
    DecoderStep { name: "upscore2", stride: 2, skip: Some(("score_pool4", 3)), crop: 5 },
    DecoderStep { name: "upscore16", stride: 16, skip: None, crop: 27 },
];
const FCN_8S: [DecoderStep; 3] = [
    DecoderStep { name: "upscore2", stride: 2, skip: Some(("score_pool4", 3)), crop: 5 },
    DecoderStep { name: "upscore_pool4", stride: 2, skip: Some(("score_pool3", 2)), crop: 9 },
    DecoderStep { name: "upscore8", stride: 8, skip: None, crop: 31 },
];

impl FcnSpec {
    /// Channels of the five stages, of fc6 and of fc7.
    pub fn channels(&self) -> [usize; 7] {
        self.trunk.channels.unwrap_or_else(|| channels_at_width(self.width))
    }

    /// The network with scores for `classes` classes.
    pub fn graph(&self, classes: usize) -> Graph {
        let (mut builder, image) = GraphBuilder::new();
        let same = self.geometry == Geometry::Same;
        let framed = match same {
            true => builder.add("frame", Op::Frame { multiple: COARSEST_STRIDE }, &[image]),
            false => image,
        };
        let normalised = self.backbone == Backbone::Vgg16Bn;
        let channels = self.channels();
        let layout = TrunkLayout {
            channels,
            normalised,
            normalised_fc: normalised && !self.trunk.plain_fc,
            first_padding: if same { 1 } else { CAFFE_FIRST_PADDING },
            fc6_padding: if same { FC6_TAPS / 2 } else { 0 },
            ceil: !same,
        };
        let (pools, fc7) = trunk(&mut builder, framed, &layout);
        let mut x = builder.score("score_fr", fc7, classes, channels[6]); // [N, K, H/32, W/32]
        let steps: &[DecoderStep] = match self.variant {
            Variant::Fcn32s => &FCN_32S,
            Variant::Fcn16s => &FCN_16S,
            Variant::Fcn8s => &FCN_8S,
        };
        for step in steps {
            let padding = if same { step.stride / 2 } else { 0 };
            x = builder.upsample(step.name, x, classes, step.stride, padding);
            let Some((name, stage)) = step.skip else { continue };
            let mut score = builder.score(name, pools[stage], classes, channels[stage]);
            if !same {
                score = builder.add(format!("{name}_cropped"), Op::Crop { from: Corner::At(step.crop) }, &[score, x]);
            }
            x = builder.add(format!("{}_and_{name}", step.name), Op::Add, &[x, score]);
        }
        let from = match steps.last() {
            Some(last) if !same => Corner::At(last.crop),
            _ => Corner::OfFrame,
        };
        builder.add("crop", Op::Crop { from }, &[x, image]); // [N, K, H, W]
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::parameter::ParameterKind;
    use std::collections::HashSet;

    const VARIANTS: [Variant; 3] = [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s];

    fn spec(variant: Variant, backbone: Backbone, geometry: Geometry) -> FcnSpec {
        FcnSpec { variant, backbone, width: 1.0, trunk: TrunkShape::default(), geometry }
    }

    #[test]
    fn counts_are_those_of_the_paper_s_networks() {
        for (variant, count) in VARIANTS.into_iter().zip([134_346_581, 134_357_354, 134_362_751]) {
            let graph = spec(variant, Backbone::Vgg16, Geometry::Same).graph(21);
            let learnt = graph.parameters.iter().filter(|parameter| parameter.kind.trainable(false));
            assert_eq!(learnt.map(|parameter| parameter.len()).sum::<usize>(), count, "{variant:?}");
        }
    }

    #[test]
    fn names_are_unique_and_published() {
        for variant in VARIANTS {
            for backbone in [Backbone::Vgg16, Backbone::Vgg16Bn] {
                let graph = spec(variant, backbone, Geometry::Same).graph(21);
                let names: HashSet<&str> = graph.parameters.iter().map(|spec| spec.name.as_str()).collect();
                assert_eq!(names.len(), graph.parameters.len(), "{variant:?} {backbone:?}");
                let upscores: Vec<&str> = graph
                    .parameters
                    .iter()
                    .filter(|spec| spec.kind == ParameterKind::Upsampling)
                    .map(|spec| spec.name.as_str())
                    .collect();
                let expected: &[&str] = match variant {
                    Variant::Fcn32s => &["upscore.weight"],
                    Variant::Fcn16s => &["upscore2.weight", "upscore16.weight"],
                    Variant::Fcn8s => &["upscore2.weight", "upscore_pool4.weight", "upscore8.weight"],
                };
                assert_eq!(upscores, expected, "{variant:?} {backbone:?}");
                for name in ["conv1_1.weight", "conv5_3.weight", "fc6.weight", "fc7.weight", "score_fr.bias"] {
                    assert!(names.contains(name), "{name} in {variant:?} {backbone:?}");
                }
                assert_eq!(names.contains("fc7.norm.running_var"), backbone == Backbone::Vgg16Bn);
                assert_eq!(names.contains("conv1_1.bias"), backbone == Backbone::Vgg16);
            }
        }
    }

    #[test]
    fn receptive_fields_are_the_published_ones() {
        // VGG-16's pool5 sees 212 pixels, its fc7 404 (Simonyan & Zisserman; the paper's "receptive field of 404").
        for geometry in [Geometry::Same, Geometry::Caffe] {
            let graph = spec(Variant::Fcn32s, Backbone::Vgg16, geometry).graph(21);
            let reaches = graph.reaches();
            let of = |name: &str| reaches[graph.nodes.iter().position(|node| node.name == name).unwrap()];
            for (name, pixels, step) in [("conv1_1", 3.0, 1.0), ("pool5", 212.0, 32.0), ("fc7", 404.0, 32.0)] {
                let reach = of(name);
                assert_eq!((reach.high - reach.low + 1.0, reach.step), (pixels, step), "{name} {geometry:?}");
            }
            assert_eq!(of("crop").step, 1.0);
        }
        for variant in VARIANTS {
            for geometry in [Geometry::Same, Geometry::Caffe] {
                let graph = spec(variant, Backbone::Vgg16, geometry).graph(21);
                assert_eq!((graph.coarsest_stride(), graph.margin()), (32, 256), "{variant:?} {geometry:?}");
            }
        }
    }

    #[test]
    fn sizes_are_those_of_the_published_models() {
        // fcn8s-atonce of the published models at 500 x 375: pool5 is 22 x 18, score_fr 16 x 12, score_pool4 44 x 36.
        let graph = spec(Variant::Fcn8s, Backbone::Vgg16, Geometry::Caffe).graph(21);
        let sizes = graph.map_sizes(375, 500);
        let of = |name: &str| {
            let size = sizes[graph.nodes.iter().position(|node| node.name == name).unwrap()];
            [size.channels, size.height, size.width]
        };
        assert_eq!(of("conv1_1"), [64, 573, 698]);
        assert_eq!(of("pool5"), [512, 18, 22]);
        assert_eq!(of("score_fr"), [21, 12, 16]);
        assert_eq!(of("score_pool4"), [21, 36, 44]);
        assert_eq!(of("upscore2"), [21, 26, 34]);
        assert_eq!(of("crop"), [21, 375, 500]);
    }
}
