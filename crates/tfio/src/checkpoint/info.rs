//! What a checkpoint says about a tensor before any of its values is read.

use super::dtype::DType;

/// A tensor's description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// The variable's name, for example `vgg_16/conv1/conv1_1/weights`.
    pub name: String,
    /// The type it is stored as.
    pub dtype: DType,
    /// Its dimensions, slowest first; empty for a scalar.
    pub shape: Vec<usize>,
}
