//! Our kernels as differentiable operations of the engine: tensors in, tensors out.
//!
//! [`operations`] is what the network calls. Where a tensor is in this process's memory they take the kernels of
//! [`conv_kernels`], elsewhere the engine's own. [`concat`](mod@concat), [`conv`], [`maps`] (pooling, enlargement), [`norm`]
//! and [`transposed`] hold forward and backward of each; [`tape`] puts such a pair onto the engine's record for automatic
//! differentiation.
//!
//! `N` images, `C` channels in, `O` channels out, `H x W` pixels, `k` taps a side.

mod concat;
pub(crate) mod conv;
pub(crate) mod maps;
pub(crate) mod norm;
mod operations;
pub(crate) mod tape;
mod transposed;

pub use operations::{concat, conv_transpose2d, conv2d, max_pool2d};
