//! A tensor under the name that another program gives it.

use burn::tensor::Tensor;

/// A tensor under its new name.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    /// Key in the state dict.
    pub name: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// The values, flat, in C order.
    pub values: Tensor<1>,
}

impl NamedTensor {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
