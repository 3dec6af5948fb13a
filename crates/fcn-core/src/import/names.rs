//! Who calls what how: one table a source, from the published layer names (ours) to the names in the file. Read by what
//! imports and by what exports.

use std::collections::BTreeSet;

use crate::network::families::unet::LEVELS;

/// The names of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// TF-slim's `vgg_16`.
    Slim,
    /// torchvision's `vgg16`, with heads under their published names if it has any.
    Torchvision,
    /// The same before torchvision 0.1.7, which had the dropouts first: so is the published `vgg16-00b39a1b.pth`.
    TorchvisionOld,
    /// torchvision's `vgg16_bn`, likewise.
    TorchvisionBn,
    /// The published layer names themselves: pytorch-fcn, and this program.
    Layers,
    /// milesial/Pytorch-UNet's `UNet` without bilinear upsampling: a U-Net with batch normalisation.
    Unet,
    /// The layer names of the published Caffe U-Net: this program's U-Nets.
    UnetLayers,
}

/// Layers of the trunk in their order, with torchvision's position of each in `features` or `classifier`: of vgg16, and
/// of vgg16_bn, where a convolution's normalisation has the next position (torchvision, `models/vgg.py`, configuration
/// D). TF-slim's names are ours below the scope of the stage.
const LAYERS: [(&str, &str, &str); 15] = [
    ("conv1_1", "features.0", "features.0"),
    ("conv1_2", "features.2", "features.3"),
    ("conv2_1", "features.5", "features.7"),
    ("conv2_2", "features.7", "features.10"),
    ("conv3_1", "features.10", "features.14"),
    ("conv3_2", "features.12", "features.17"),
    ("conv3_3", "features.14", "features.20"),
    ("conv4_1", "features.17", "features.24"),
    ("conv4_2", "features.19", "features.27"),
    ("conv4_3", "features.21", "features.30"),
    ("conv5_1", "features.24", "features.34"),
    ("conv5_2", "features.26", "features.37"),
    ("conv5_3", "features.28", "features.40"),
    ("fc6", "classifier.0", "classifier.0"),
    ("fc7", "classifier.3", "classifier.3"),
];

/// Names of slots that TensorFlow's optimisers keep beside each variable, and of their own variables.
const SLOTS: [&str; 7] = ["Momentum", "Adam", "Adam_1", "RMSProp", "RMSProp_1", "Adagrad", "ExponentialMovingAverage"];
const OPTIMISER: [&str; 4] = ["beta1_power", "beta2_power", "adam_vars", "learning_rate"];

impl Scheme {
    /// The scheme that most of `names` belong to; `None` where none of them belongs to any.
    pub fn recognise(names: &BTreeSet<&str>) -> Option<Scheme> {
        let has_norms = names.iter().any(|name| name.ends_with(".running_mean"));
        let torchvision = if has_norms { Scheme::TorchvisionBn } else { Scheme::Torchvision };
        let known = |scheme: Scheme| {
            let layers = LAYERS.iter().map(|(layer, ..)| format!("{layer}.weight"));
            layers.filter(|name| names.contains(scheme.name(name).as_str())).count()
        };
        // Of equal ones the last: convolutions alone are torchvision's of today.
        let all = [Scheme::Slim, Scheme::TorchvisionOld, torchvision, Scheme::Layers];
        if names.contains(UNET_FIRST) || names.contains(UNET_SCORE) {
            return Some(Scheme::Unet);
        }
        if names.contains("conv_d0a-b.weight") {
            return Some(Scheme::UnetLayers);
        }
        let best = all.into_iter().max_by_key(|scheme| known(*scheme));
        best.filter(|scheme| known(*scheme) > 0)
    }

    /// For people.
    pub fn label(self) -> &'static str {
        match self {
            Scheme::Slim => "TF-slim vgg_16",
            Scheme::Torchvision => "torchvision vgg16",
            Scheme::TorchvisionOld => "torchvision vgg16 of before 0.1.7",
            Scheme::TorchvisionBn => "torchvision vgg16_bn",
            Scheme::Layers => "published layer names (pytorch-fcn, fcn)",
            Scheme::Unet => "Pytorch-UNet",
            Scheme::UnetLayers => "layer names of the Caffe U-Net (fcn)",
        }
    }

    /// The name in the file of one of our parameters (`conv1_1.weight`, `conv1_1.norm.running_mean`).
    pub fn name(self, ours: &str) -> String {
        let (layer, role) = ours.split_once('.').unwrap_or((ours, ""));
        let row = LAYERS.iter().find(|(name, ..)| *name == layer);
        match (self, row) {
            (Scheme::Unet, _) => unet_name(layer, role).unwrap_or_else(|| ours.to_string()),
            (Scheme::Slim, _) => {
                let role = if role == "weight" { "weights" } else { "biases" };
                match layer.strip_prefix("conv").and_then(|rest| rest.split('_').next()) {
                    Some(stage) => format!("vgg_16/conv{stage}/{layer}/{role}"),
                    None => format!("vgg_16/{layer}/{role}"),
                }
            }
            (Scheme::Torchvision, Some((_, place, _))) => format!("{place}.{role}"),
            (Scheme::TorchvisionOld, Some((_, place, _))) => match *place {
                "classifier.0" => format!("classifier.1.{role}"),
                "classifier.3" => format!("classifier.4.{role}"),
                place => format!("{place}.{role}"),
            },
            (Scheme::TorchvisionBn, Some((_, _, place))) => match role.strip_prefix("norm.") {
                None => format!("{place}.{role}"),
                Some(role) => {
                    let (list, position) = place.rsplit_once('.').unwrap_or((place, ""));
                    let next = position.parse::<usize>().map_or(0, |position| position + 1);
                    format!("{list}.{next}.{role}")
                }
            },
            _ => ours.to_string(),
        }
    }

    /// Whether it names the layers of a U-Net.
    pub fn is_unet(self) -> bool {
        matches!(self, Scheme::Unet | Scheme::UnetLayers)
    }

    /// Whether kernels are `[height, width, in, out]`.
    pub fn is_hwio(self) -> bool {
        self == Scheme::Slim
    }

    /// Why a tensor of this name is no part of what is imported; `None` where it should be.
    pub fn left_out(self, name: &str) -> Option<&'static str> {
        const IMAGENET: &str = "the layer of ImageNet's 1000 classes";
        const OPTIMISER_STATE: &str = "state of the optimiser";
        let last = name.rsplit('/').next().unwrap_or_default();
        match self {
            Scheme::Slim if SLOTS.contains(&last) => Some(OPTIMISER_STATE),
            Scheme::Slim if OPTIMISER.iter().any(|known| name.split('/').any(|part| part == *known)) => {
                Some(OPTIMISER_STATE)
            }
            Scheme::Slim if name == "global_step" => Some("a counter"),
            Scheme::Slim if name == MEAN_RGB => Some("stored as the input convention"),
            Scheme::Slim if name.starts_with("vgg_16/fc8/") => Some(IMAGENET),
            Scheme::Torchvision | Scheme::TorchvisionOld | Scheme::TorchvisionBn
                if name.starts_with("classifier.6.") =>
            {
                Some(IMAGENET)
            }
            Scheme::Layers if name.starts_with("fc8.") => Some(IMAGENET),
            _ if name.ends_with(".num_batches_tracked") || name == "n_averaged" => Some("a counter"),
            _ => None,
        }
    }
}

/// The first weight and the scores' in Pytorch-UNet.
const UNET_FIRST: &str = "inc.double_conv.0.weight";
const UNET_SCORE: &str = "outc.conv.weight";

/// Pytorch-UNet's name of a parameter of ours. Its blocks are `inc`, `down1` to `down4` and `up1` to `up4` in the order of the
/// layers; in each `double_conv` the convolutions are at positions 0 and 3, their normalisations behind them.
fn unet_name(layer: &str, role: &str) -> Option<String> {
    let lowest = LEVELS.len() - 1;
    let block_of = |path: &str, level: usize| match (path, level) {
        ("d", 0) => Some("inc".to_string()),
        ("d", level) if level <= lowest => Some(format!("down{level}.maxpool_conv.1")),
        ("u", level) if level < lowest => Some(format!("up{}.conv", lowest - level)),
        _ => None,
    };
    if layer == "score" {
        return Some(format!("outc.conv.{role}"));
    }
    if let Some(level) = layer.strip_prefix("upconv_").and_then(|rest| rest.split_once("_u")?.1.strip_suffix('a')) {
        return Some(format!("up{}.up.{role}", lowest.checked_sub(level.parse().ok()?)?));
    }
    // conv_d0a-b: path, level, the map that it reads.
    let rest = layer.strip_prefix("conv_")?;
    let (level, from) = (rest.get(1..2)?.parse::<usize>().ok()?, rest.get(2..3)?);
    let block = block_of(rest.get(..1)?, level)?;
    let first = (rest.starts_with('d') && from == "a") || (rest.starts_with('u') && from == "b");
    let place = if first { 0 } else { 3 };
    Some(match role.strip_prefix("norm.") {
        Some(role) => format!("{block}.double_conv.{}.{role}", place + 1),
        None => format!("{block}.double_conv.{place}.{role}"),
    })
}

/// The mean colour in slim's file.
pub(super) const MEAN_RGB: &str = "vgg_16/mean_rgb";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_each_source() {
        let cases = [
            (Scheme::Slim, "conv5_3.weight", "vgg_16/conv5/conv5_3/weights"),
            (Scheme::Slim, "fc6.bias", "vgg_16/fc6/biases"),
            (Scheme::Torchvision, "conv4_2.bias", "features.19.bias"),
            (Scheme::Torchvision, "fc7.weight", "classifier.3.weight"),
            (Scheme::Torchvision, "score_fr.weight", "score_fr.weight"),
            (Scheme::TorchvisionOld, "conv1_2.bias", "features.2.bias"),
            (Scheme::TorchvisionOld, "fc6.bias", "classifier.1.bias"),
            (Scheme::TorchvisionOld, "fc7.weight", "classifier.4.weight"),
            (Scheme::TorchvisionBn, "conv5_3.norm.running_var", "features.41.running_var"),
            (Scheme::TorchvisionBn, "conv1_1.norm.weight", "features.1.weight"),
            (Scheme::TorchvisionBn, "fc6.bias", "classifier.0.bias"),
            (Scheme::Layers, "conv1_1.norm.bias", "conv1_1.norm.bias"),
            (Scheme::Unet, "conv_d0a-b.weight", "inc.double_conv.0.weight"),
            (Scheme::Unet, "conv_d0b-c.norm.running_mean", "inc.double_conv.4.running_mean"),
            (Scheme::Unet, "conv_d4b-c.weight", "down4.maxpool_conv.1.double_conv.3.weight"),
            (Scheme::Unet, "upconv_d4c_u3a.bias", "up1.up.bias"),
            (Scheme::Unet, "upconv_u1d_u0a.weight", "up4.up.weight"),
            (Scheme::Unet, "conv_u3b-c.norm.weight", "up1.conv.double_conv.1.weight"),
            (Scheme::Unet, "conv_u0c-d.weight", "up4.conv.double_conv.3.weight"),
            (Scheme::Unet, "score.bias", "outc.conv.bias"),
        ];
        for (scheme, ours, theirs) in cases {
            assert_eq!(scheme.name(ours), theirs, "{scheme:?}");
        }
    }

    #[test]
    fn positions_follow_from_the_configuration() {
        // Convolution and ReLU, with a normalisation between them or without; a pooling ends each stage.
        for (step, place) in [(2, 1), (3, 2)] {
            let mut position = 0;
            let mut rows = LAYERS.iter();
            for (convolutions, _) in crate::network::families::vgg16::STAGES {
                for _ in 0..convolutions {
                    let row = rows.next().unwrap();
                    assert_eq!([row.1, row.2][place - 1], format!("features.{position}"));
                    position += step;
                }
                position += 1;
            }
        }
    }

    #[test]
    fn a_source_is_recognised_even_with_tensors_missing() {
        let cases: [(&[&str], Option<Scheme>); 8] = [
            (&["inc.double_conv.0.weight", "down1.x"], Some(Scheme::Unet)),
            (&["vgg_16/fc7/weights", "global_step"], Some(Scheme::Slim)),
            (&["features.5.weight", "x"], Some(Scheme::Torchvision)),
            (&["features.5.weight", "classifier.1.weight"], Some(Scheme::TorchvisionOld)),
            (&["features.0.weight", "features.1.running_mean"], Some(Scheme::TorchvisionBn)),
            (&["conv1_2.weight"], Some(Scheme::Layers)),
            (&["layer1.0.conv1.weight"], None),
            (&[], None),
        ];
        for (names, expected) in cases {
            assert_eq!(Scheme::recognise(&names.iter().copied().collect()), expected, "{names:?}");
        }
    }

    #[test]
    fn bookkeeping_is_left_out_and_strangers_are_not() {
        let cases = [
            (Scheme::Slim, "vgg_16/conv1/conv1_1/weights/Adam_1", true),
            (Scheme::Slim, "adam_vars/beta1_power", true),
            (Scheme::Slim, "vgg_16/fc8/biases", true),
            (Scheme::Slim, "vgg_16/fc9/biases", false),
            (Scheme::TorchvisionBn, "features.1.num_batches_tracked", true),
            (Scheme::Torchvision, "classifier.6.weight", true),
            (Scheme::Layers, "conv6_1.weight", false),
        ];
        for (scheme, name, expected) in cases {
            assert_eq!(scheme.left_out(name).is_some(), expected, "{name}");
        }
    }
}
