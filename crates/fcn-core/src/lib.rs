//! `fcn-core`: the product without a face. Fully convolutional networks (Long, Shelhamer & Darrell 2015) on VGG-16,
//! from a folder of photographs and masks to label maps.
//!
//! Reading order: [`labels`] and [`image`] are what goes in and out; [`data`] reads data sets; [`model`] is the
//! network; [`loss`], [`optim`] and [`train`] fit it; [`metrics`], [`evaluate`] and [`predict`] use it;
//! [`crf`] sharpens what it says; [`checkpoint`] and [`weights`] keep it.
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod bench;
pub mod check;
pub mod checkpoint;
pub mod config;
pub mod convert;
pub mod cost;
pub mod crf;
pub mod crf_search;
pub mod data;
pub mod device;
pub mod draw;
pub mod environment;
pub mod error;
pub mod evaluate;
pub mod export;
pub mod file;
pub mod host;
pub mod html_report;
pub mod image;
pub mod info;
pub mod labels;
pub mod loss;
pub mod mapped_file;
pub mod metrics;
pub mod model;
pub mod normalise;
pub mod npy;
pub mod onnx;
pub mod optim;
pub mod pictures;
pub mod predict;
pub mod rng;
pub mod run_log;
pub mod schedule;
pub mod stages;
pub mod starting_weights;
pub mod state_dict;
pub mod tensor_file;
pub mod train;
pub mod validation;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
