//! What can be learnt or loaded: a flat list of named tensors.
//!
//! `O` channels out, `C` channels in, `k` taps a side.

use burn::tensor::Tensor;

use super::fcn::{FcnOptions, Layout};
use crate::weights::{Geometry, ModelMeta, TrunkMeta, Variant};
use segdata::labels::Classes;

/// What a parameter is for; decides how it starts, whether it is learnt and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Weight of a convolution, `[O, C, k, k]`.
    Weight,
    /// Bias of a convolution, `[O]`.
    Bias,
    /// Factor of a batch normalisation, `[O]`.
    NormScale,
    /// Summand of a batch normalisation, `[O]`.
    NormShift,
    /// Running mean of a batch normalisation, `[O]`; followed, not learnt.
    RunningMean,
    /// Running variance of a batch normalisation, `[O]`; followed, not learnt.
    RunningVar,
    /// Kernel of a transposed convolution, `[C, O, k, k]`; bilinear at first, learnt only on request.
    Upsampling,
}

impl ParameterKind {
    /// Whether gradients change it under these options.
    pub fn trainable(self, options: &FcnOptions) -> bool {
        match self {
            ParameterKind::RunningMean | ParameterKind::RunningVar => false,
            ParameterKind::Upsampling => options.trainable_upsampling,
            _ => true,
        }
    }
}

/// Name, kind and shape of a parameter, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Published layer name and role: `conv1_1.weight`, `conv1_1.norm.running_mean`.
    pub name: String,
    /// What it is for.
    pub kind: ParameterKind,
    /// Extent of each axis.
    pub shape: Vec<usize>,
}

impl ParameterSpec {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A named tensor of the network.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Published layer name and role: `conv1_1.weight`, `conv1_1.norm.running_mean`.
    pub name: String,
    /// What it is for.
    pub kind: ParameterKind,
    /// Extent of each axis of the weight it is; `tensor` is flat.
    pub shape: Vec<usize>,
    /// The values, flat, in C order of `shape`.
    pub tensor: Tensor<1>,
}

impl Parameter {
    /// Whether gradients change it under these options.
    pub fn trainable(&self, options: &FcnOptions) -> bool {
        self.kind.trainable(options)
    }

    /// The values with `D` axes. No copy. `D` is the rank of `shape`: 4 for weights and upsampling, else 1.
    pub(crate) fn shaped<const D: usize>(&self) -> Tensor<D> {
        let mut dims = [1; D];
        dims.copy_from_slice(&self.shape);
        self.tensor.clone().reshape(dims)
    }
}

/// Every parameter of the network that `meta` describes, in the order in which it holds and saves them. Allocates no
/// values.
pub fn parameter_table(meta: &ModelMeta) -> Vec<ParameterSpec> {
    Layout::new(meta).table
}

/// Every parameter of a trunk, in the order in which a network with that trunk has them.
pub fn trunk_table(meta: &TrunkMeta) -> Vec<ParameterSpec> {
    let mut table = parameter_table(&meta.with_head(Variant::Fcn32s, Geometry::Same, Classes::named(["none"])));
    table.retain(|spec| !belongs_to_classes(&spec.name));
    table
}

/// Whether a parameter or layer of this name has an axis along the classes: score layers and their upsampling.
pub fn belongs_to_classes(name: &str) -> bool {
    name.starts_with("score") || name.starts_with("upscore")
}

/// How many numbers are learnt under `options`.
pub fn trainable_count(meta: &ModelMeta, options: &FcnOptions) -> usize {
    parameter_table(meta).iter().filter(|spec| spec.kind.trainable(options)).map(ParameterSpec::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Backbone, TrunkShape};
    use segdata::image::preprocessing::Preprocessing;
    use std::collections::HashSet;

    fn meta(variant: Variant, backbone: Backbone) -> ModelMeta {
        ModelMeta {
            variant,
            backbone,
            width: 1.0,
            trunk: TrunkShape::default(),
            geometry: Geometry::Same,
            classes: Classes::voc(),
            preprocessing: Preprocessing::default(),
        }
    }

    #[test]
    fn counts_are_those_of_the_paper_s_networks() {
        let cases = [(Variant::Fcn32s, 134_346_581), (Variant::Fcn16s, 134_357_354), (Variant::Fcn8s, 134_362_751)];
        for (variant, count) in cases {
            assert_eq!(trainable_count(&meta(variant, Backbone::Vgg16), &FcnOptions::default()), count, "{variant:?}");
        }
    }

    #[test]
    fn names_are_unique_and_published() {
        for variant in [Variant::Fcn32s, Variant::Fcn16s, Variant::Fcn8s] {
            for backbone in [Backbone::Vgg16, Backbone::Vgg16Bn] {
                let table = parameter_table(&meta(variant, backbone));
                let names: HashSet<&str> = table.iter().map(|spec| spec.name.as_str()).collect();
                assert_eq!(names.len(), table.len(), "{variant:?} {backbone:?}");
                let upscores: Vec<&str> = table
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
}
