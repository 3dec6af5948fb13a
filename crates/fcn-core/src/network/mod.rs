//! The network: a normalised tensor goes in, logits at the same height and width come out, and nothing else.
//!
//! Shapes are written with `N` images, `K` classes, `C` channels, `H x W` pixels. Layers keep the names of the
//! published models (`conv1_1 .. conv5_3, fc6, fc7, score_fr, upscore2, score_pool4, upscore_pool4, score_pool3,
//! upscore8`), so that code, paper and weights file can be read side by side.
//!
//! [`vgg16`] is the trunk as a table, [`fcn`] puts the three heads on it, [`bilinear`] is the upsampling kernel,
//! [`crate::cpu`] the one place that calls the engine's convolutions, [`parameter`] the list of what can be learnt,
//! [`prepared`] a network whose weights no longer change, [`crate::import`] how weights from elsewhere become ours.
//!
//! Deliberately absent: data, losses, optimisers, photographs. Nothing here imports `data` or `train`.

pub mod bilinear;
pub mod fcn;
mod initial;
pub mod parameter;
pub mod prepared;
pub mod vgg16;

pub use conv_kernels::{Activation, Algorithm, Precision};
pub use fcn::{DropoutKey, Fcn, FcnOptions};
pub use parameter::{Parameter, ParameterKind, ParameterSpec, parameter_table, trainable_count, trunk_table};
pub use prepared::{Frozen, LayerTime, WeightForm};
