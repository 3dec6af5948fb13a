//! What can be learnt or loaded: a flat list of named tensors.
//!
//! `O` channels out, `C` channels in, `k` taps a side.

use burn::tensor::Tensor;

/// What a parameter is for; decides whether it is learnt and whether it decays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParameterKind {
    /// Weight of a convolution, `[O, C, k, k]`.
    Weight,
    /// Weight of a transposed convolution that is learnt like any other, `[C, O, k, k]`.
    TransposedWeight,
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
    /// Whether gradients change it; `upsampling`: whether bilinear kernels are learnt.
    pub fn trainable(self, upsampling: bool) -> bool {
        match self {
            ParameterKind::RunningMean | ParameterKind::RunningVar => false,
            ParameterKind::Upsampling => upsampling,
            _ => true,
        }
    }

    /// Whether it is the kernel of a convolution, plain or transposed.
    pub fn is_kernel(self) -> bool {
        matches!(self, ParameterKind::Weight | ParameterKind::TransposedWeight | ParameterKind::Upsampling)
    }
}

/// What a parameter starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Normal with variance `2 / fan_in` (He, Zhang, Ren & Sun 2015, equation 10).
    HeNormal {
        /// Values that go into one value of the output.
        fan_in: usize,
    },
    /// Zero.
    Zero,
    /// One.
    One,
    /// The kernel that interpolates linearly within each channel.
    Bilinear,
}

/// Name, kind and shape of a parameter, without its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterSpec {
    /// Published layer name and role: `conv1_1.weight`, `conv1_1.norm.running_mean`.
    pub name: String,
    /// What it is for.
    pub kind: ParameterKind,
    /// What it starts from.
    pub initial: Initial,
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
    /// The values with `D` axes. No copy. `D` is the rank of `shape`: 4 for kernels, else 1.
    pub(super) fn shaped<const D: usize>(&self) -> Tensor<D> {
        let mut dims = [1; D];
        dims.copy_from_slice(&self.shape);
        self.tensor.clone().reshape(dims)
    }
}

/// The layer of a parameter: `conv1_1` of `conv1_1.norm.weight`.
pub fn layer_of(parameter: &str) -> &str {
    parameter.split('.').next().unwrap_or(parameter)
}

/// Whether a parameter or layer of this name has an axis along the classes. In every family these are the score layers and
/// their upsampling, and their names begin so.
pub fn belongs_to_classes(name: &str) -> bool {
    name.starts_with("score") || name.starts_with("upscore")
}
