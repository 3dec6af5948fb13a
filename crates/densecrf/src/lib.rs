//! Fully connected conditional random fields for image labelling, bit-identical to pydensecrf.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod crf;
mod embed;
mod error;
mod exponential;
mod index;
mod inference;
mod lattice;
#[cfg(test)]
mod oracle;
mod params;
mod pass;
mod simd;
mod softmax;
mod unary;

pub use crf::{DEFAULT_MEMORY_LIMIT, DenseCrf, Marginals, Mode};
pub use error::CrfError;
pub use params::{BilateralKernel, Compatibility, GaussianKernel, Normalization, Preset};
pub use unary::Unary;
