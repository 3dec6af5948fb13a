//! What an ONNX file is written with.

use std::ops::RangeInclusive;

/// Versions of ONNX's operators that files can be written for: in all of them the operators used here mean the same.
pub const OPSETS: RangeInclusive<i64> = 17..=22;

/// What a file is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnnxOptions {
    /// Version of ONNX's operators, one of [`OPSETS`].
    pub opset: i64,
    /// Adds an output `probabilities`, float32 `[N, K, H, W]`.
    pub softmax: bool,
    /// Adds an output `mask`, uint8 `[N, H, W]`.
    pub argmax: bool,
    /// Takes RGB pixels, uint8 `[N, H, W, 3]`, and gives `mask` in the place of `logits`.
    pub embed_preprocessing: bool,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        OnnxOptions { opset: *OPSETS.start(), softmax: false, argmax: false, embed_preprocessing: false }
    }
}
