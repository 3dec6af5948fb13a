//! Fully connected conditional random fields for image labelling, bit-identical to pydensecrf.
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod crf;
mod error;
mod exponential;
#[allow(dead_code)]
mod oracle;
mod params;
mod unary;

pub use crf::{DenseCrf, Marginals, Mode};
pub use error::CrfError;
pub use params::{BilateralKernel, Compatibility, GaussianKernel, Normalization, Preset};
pub use unary::Unary;
