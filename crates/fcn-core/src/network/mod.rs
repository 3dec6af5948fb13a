//! The network: a normalised tensor goes in, logits at the same height and width come out, and nothing else.
//!
//! ```text
//! spec (which network)  ->  graph (its operations and parameters)  ->  network (with values, on a device)
//!    fcn on vgg16, unet        |  maps: sizes, cost, reach                |  executor: the walk
//!                              |                                          |  frozen: for inference, with prepared weights
//! ```
//!
//! A family is a file that builds a [graph] from a few numbers: [`families::fcn`] (Long, Shelhamer & Darrell 2015) on the trunk of
//! [`families::vgg16`] (Simonyan & Zisserman 2014), and [`families::unet`] (Ronneberger, Fischer & Brox 2015). Everything else knows the graph
//! alone: the [executor] computes it forward and for gradients, [`maps`] derives sizes, arithmetic, memory and receptive
//! fields, `initial` the values to start from, and [`export`](mod@crate::export),
//! [`import`](mod@crate::import) and [`weights`](crate::weights) write and read it.
//!
//! Shapes are written with `N` images, `K` classes, `C` channels, `H x W` pixels. Layers keep the names of the
//! published models (`conv1_1 .. conv5_3, fc6, fc7, score_fr, upscore2, score_pool4, upscore_pool4, score_pool3,
//! upscore8`), so that code, paper and weights file can be read side by side.
//!
//! Deliberately absent: data, losses, optimisers, photographs. Nothing here imports `segdata::dataset` or `train`.

pub(crate) mod bilinear;
pub(crate) mod executor;
pub(crate) mod families;
pub(crate) mod frozen;
pub(crate) mod graph;
mod initial;
pub(crate) mod maps;
#[expect(clippy::module_inception, reason = "the file holds the type that the folder is about")]
pub(crate) mod network;
pub(crate) mod parameter;
mod prepared;
pub(crate) mod spec;

pub use bilinear::bilinear_weights;
pub use conv_kernels::{Activation, Algorithm, Precision};
pub use executor::{DropoutKey, LayerTime};
pub use families::fcn::{Backbone, FcnSpec, Geometry, TrunkShape, Variant};
pub use families::unet::UnetSpec;
pub use families::vgg16::channels_at_width;
pub use frozen::{Frozen, WeightForm};
pub use graph::Graph;
pub use network::{Network, NetworkOptions};
pub use parameter::{Parameter, ParameterKind, ParameterSpec};
pub use spec::{Architecture, ModelMeta, TrunkMeta};
