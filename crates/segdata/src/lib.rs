//! Data sets for semantic segmentation, without a tensor engine.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod check;
pub mod convert;
pub mod dataset;
pub mod error;
pub mod files;
pub mod image;
pub mod labels;
pub mod metrics;
pub mod pictures;
pub mod report;
pub mod rng;
pub mod synthetic;

pub use error::{Error, ErrorKind, Result};
