//! Data sets for semantic segmentation, without a tensor engine: photographs with one class id a pixel.
//!
//! Open a folder of photographs and masks, find out what is wrong with it, read samples, cut training batches, convert
//! it to TFRecord files or another layout, write label files, score predictions, and show the results. Reading is strict: what would end in a wrong score is
//! an error that names the file, the value found, the value expected and the remedy.
//!
//! ```
//! use segdata::dataset::Dataset;
//! use segdata::metrics::Tally;
//! use segdata::synthetic::{DrawOptions, draw_dataset};
//!
//! # fn main() -> segdata::Result<()> {
//! let folder = std::env::temp_dir().join(format!("segdata-example-{}", std::process::id()));
//! draw_dataset(&folder, &DrawOptions { seed: 0, train: 4, val: 1 })?;
//!
//! let dataset = Dataset::open(&folder, None)?;
//! let split = dataset.split("train")?;
//! let sample = split.load(0)?;
//! assert_eq!(sample.image.rgb_hwc.len(), 3 * sample.labels.ids.len());
//!
//! let mut tally = Tally::new(dataset.classes.len());
//! tally.add(&sample.labels, &sample.labels)?; // the truth as its own prediction
//! assert_eq!(tally.scores(&dataset.classes.names).miou, Some(1.0));
//! # std::fs::remove_dir_all(&folder).ok();
//! # Ok(())
//! # }
//! ```
//!
//! A module uses those to its left, never those to its right:
//!
//! ```text
//! error  size  rng | files  labels | image | dataset  metrics  pictures  synthetic | check  convert  report
//! ```
//!
//! Every draw is a function of a seed ([`rng`]), and no result depends on the number of threads.
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
pub mod size;
pub mod synthetic;

pub use error::{Error, ErrorKind, Result};

/// The example of the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
