//! Convolution kernels for the CPU, forward and backward, on plain slices: no tensor framework, no I/O.
//!
//! ```
//! use conv_kernels::{Activation, Algorithm, Conv2d, Conv2dShape};
//!
//! // One 3x3 convolution with padding 1 of two 8x8 images, 3 channels to 16.
//! let conv = Conv2d::new(Conv2dShape::square(2, [3, 16], [8, 8], 3, 1), Algorithm::Fast)?;
//! let (x, w, bias) = (vec![1.0; 2 * 3 * 8 * 8], vec![0.1; 16 * 3 * 3 * 3], vec![0.5; 16]);
//! let mut y = vec![0.0; 2 * 16 * 8 * 8];
//! conv.forward(&x, &w, Some(&bias), Activation::Relu, &mut y)?;
//!
//! let dy = vec![1.0; y.len()];
//! let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; w.len()]);
//! conv.backward_data(&dy, &w, &mut dx)?;
//! conv.backward_weight(&x, &dy, &mut dw)?;
//! # Ok::<(), conv_kernels::ShapeError>(())
//! ```
//!
//! # What there is
//! * [`Conv2d`]: stride 1, any kernel and padding; output with bias and rectifier, gradients of input, weight and bias.
//!   Winograd's minimal filtering F(t, r) runs 3x3 as F(4, 3), as F(3, 3) on maps of 5x5 or 9x9 pixels and others that tiles
//!   of 4x4 would leave half empty, or as F(6, 3) for [`Purpose::Inference`] with [`Algorithm::Fast`] and 64 to 128 channels,
//!   and 7x7 as F(4, 7) with `Fast` or F(2, 7) with [`Algorithm::Accurate`]. Everything else, kernels on an image's three
//!   channels or on a handful of pixels among it, and everything with [`Algorithm::Direct`] is multiplied as defined.
//!   [`Conv2d::precision`] takes forward products in bf16.
//!   [`Conv2d::pooled`] takes the maxima over windows of 2x2 pixels in passing.
//! * [`BatchNorm`] with rectifier and [`fold_batch_norm`]; [`MaxPool`] 2x2 with rectifier; [`BilinearUpsample`], the
//!   transposed convolution that enlarges score maps. All forward and backward.
//! * [`ConvTranspose2d`]: the same enlargement with a kernel that is learnt and mixes channels, of twice the stride's side or,
//!   as in the decoder of a U-Net, of the stride's side.
//! * [`mod@reference`]: convolution by its definition in f64.
//!
//! Not implemented: strides other than 1, dilation, groups, other pools, transposed convolutions whose kernel's side is neither
//! the stride nor twice the stride.
//!
//! # Accuracy
//! Relative rms error against f64, on random normal values and on such as activations have, also scaled by 1e-4 and 1e4:
//! at most 5e-7 direct, 5e-6 F(3, 3) and F(4, 3), 1.5e-5 F(6, 3), 1e-5 F(2, 7) and 5e-5 F(4, 7); with [`Precision::Bf16`]
//! 1.5e-2 F(4, 3) and 4e-3 direct. The tests hold every instruction set to these. NaN is never lost in a rectifier or a
//! pool.
//!
//! # Conventions
//! Tensors are dense `f32` slices: activations `[N, C, H, W]`, weights `[K, C, R, S]` (output channels first). Outputs are
//! overwritten, never added to, and their former contents are not read. Lengths are checked; a wrong one is a
//! [`ShapeError`]. Activations need no layout of their own between operations: vectors run along tiles of a row.
//!
//! Work is spread over the current rayon pool. **Results do not depend on the number of threads**: every sum is cut by
//! the shapes alone and added up in one order. They do depend on the instruction set ([`Isa`]), in the last bits; with
//! [`Precision::Bf16`] sometimes in the last bit of a factor. Where the processor has products of bf16 values, subnormal
//! factors count as zero.
//!
//! # Many forward passes with the same weights
//! [`Conv2d::prepare`] takes weights to the layout and domain of the kernels once, [`Conv2d::forward_prepared`] uses them with
//! any batch and image size that they [`serve`](PreparedWeights::serve): all but the smallest. A caller that caches them must
//! prepare again when the weights change. They take 4 times the memory of 3x3 weights (7.1 times as F(6, 3), twice in bf16);
//! [`Conv2d::gains_from_preparing`] says where that is worth it. On a map of 2x2 pixels a 7x7 kernel meets little but padding,
//! and only the taps that do not are prepared. Training, where weights change at every step, loses nothing by passing them as
//! they are.
//!
//! # Memory
//! Scratch memory comes from a process-wide pool and is reused from call to call; [`release_scratch`] frees it. Callers may
//! keep their own tensors in it too, as [`Scratch`].
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod conv2d;
mod direct;
mod epilogue;
#[allow(unsafe_code)]
mod gemm;
mod layers;
#[allow(unsafe_code)]
mod memory;
mod plan;
pub mod reference;
mod shape;
#[allow(unsafe_code)]
mod simd;
mod transposed;
mod winograd;

/// The examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use conv2d::{Conv2d, PreparedWeights};
pub use epilogue::{Activation, Border};
pub use layers::{BatchNorm, BatchStatistics, BilinearUpsample, MaxPool, fold_batch_norm};
pub use memory::{Scratch, release_scratch, scratch_bytes};
pub use plan::{Algorithm, Pass, Plan, PlanLine, Purpose};
pub use shape::{Conv2dShape, ShapeError};
pub use simd::{Isa, Precision};
pub use transposed::ConvTranspose2d;
