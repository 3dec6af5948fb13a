//! Transposed convolution.

mod phases;

pub use phases::ConvTranspose2d;
