//! `fcn-core`: the product without a face. Fully convolutional networks (Long, Shelhamer & Darrell 2015) on VGG-16,
//! from a folder of photographs and masks to label maps.
//!
//! Reading order: [`labels`] and [`image`] are what goes in and out; [`data`] reads data sets; [`model`] is the
//! network; [`loss`], [`optim`] and [`train`] fit it; [`metrics`], [`evaluate`] and [`predict`] use it;
//! [`checkpoint`] and [`weights`] keep it.
#![deny(missing_docs)]

pub mod data;
pub mod check;
pub mod convert;
pub mod device;
pub mod error;
pub mod host;
pub mod image;
pub mod labels;
pub mod loss;
pub mod model;
pub mod rng;
pub mod tensor_file;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
