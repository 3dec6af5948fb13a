//! What a caller may ask for.

/// How exactness is traded for speed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(rename_all = "lowercase"))]
pub enum Algorithm {
    /// Convolution by its definition: relative rms error about 2e-7, as any plain f32 sum.
    Direct,
    /// Fewer multiplications where that costs little accuracy.
    Accurate,
    /// Fewest multiplications.
    Fast,
}

/// What a forward pass is for. Gradients are always those of [`Purpose::Training`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Errors go into gradients and so into the next step: 3x3 is F(4, 3), or F(3, 3) on a few sizes of small maps.
    Training,
    /// Errors are seen once: with [`Algorithm::Fast`] 3x3 is F(6, 3), at about four times the error, where that is faster:
    /// from 64 to 128 channels, and not from fewer to more of them.
    Inference,
}
