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
//! # Conventions
//! Tensors are dense `f32` slices: activations `[N, C, H, W]`, weights `[K, C, R, S]` (output channels first). Outputs are
//! overwritten, never added to, and their former contents are not read. Lengths are checked; a wrong one is a
//! [`ShapeError`].
//!
//! Work is spread over the current rayon pool. **Results do not depend on the number of threads**: every sum is cut by
//! the shapes alone and added up in one order. They do depend on the instruction set ([`Isa`]), in the last bits.
//!
//! Scratch memory comes from a process-wide pool and is reused from call to call; [`release_scratch`] frees it.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod conv2d;
mod direct;
#[allow(unsafe_code)]
mod kernel;
mod norm;
mod pool;
pub mod reference;
mod shape;
mod small_maps;
mod upsample;
mod winograd;

pub use conv2d::{Activation, Algorithm, Conv2d, PreparedWeights};
pub use kernel::scratch::release_scratch;
pub use kernel::simd::Isa;
pub use norm::{BatchNorm, BatchStatistics, fold_batch_norm};
pub use pool::{Border, MaxPool};
pub use shape::{Conv2dShape, ShapeError};
pub use upsample::BilinearUpsample;
