//! Semantic segmentation: FCN-8s on VGG-16 (Long, Shelhamer & Darrell 2015) and U-Net (Ronneberger, Fischer & Brox 2015), trained,
//! evaluated, refined by a dense CRF, imported and exported, without Python.
//!
//! A trainer and a prediction:
//!
//! ```
//! use fcn_core::{Event, Predictor, StopSignal, TrainConfig, TrainOptions, train};
//! use segdata::image::RgbImage;
//! use segdata::synthetic::{DrawOptions, draw_dataset};
//!
//! # let folder = tempfile::tempdir()?;
//! # let (data, run) = (folder.path().join("data"), folder.path().join("run"));
//! // Photographs, masks and a class list; here a few that are drawn.
//! draw_dataset(&data, &DrawOptions { train: 4, val: 2, ..DrawOptions::default() })?;
//!
//! let config = TrainConfig { steps: 2, batch: 2, crop: 32, width: 0.05, ..TrainConfig::default() };
//! let report = train(&TrainOptions::new(config, &data, &run), &StopSignal::default(), &mut |event| {
//!     if let Event::Step(line) = event {
//!         println!("step {}: loss {:.3}", line.step, line.loss);
//!     }
//! })?;
//! println!("{} steps, best mIoU {:?}", report.steps, report.best.map(|best| best.miou));
//!
//! let predictor = Predictor::open(&run)?;
//! let photograph = RgbImage::open(data.join("JPEGImages/drawn_00004.jpg"))?;
//! let labels = predictor.predict(&photograph)?;
//! labels.save(folder.path().join("mask.png"), &predictor.meta().classes)?;
//! assert_eq!(labels.size(), photograph.size());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The names at this level are what most callers need. Each folder below holds one part, and opens with what goes in and
//! comes out: [`network`], [`train`](mod@train), [`infer`], [`evaluate`](mod@evaluate), [`import`](mod@import),
//! [`export`](mod@export), [`weights`]; [`loss`], [`device`] and [`cpu`] are what they are made of. Data sets,
//! images, labels and metrics are in the crate [`segdata`].
//!
//! Every error is an [`Error`]: a kind to match, a sentence, the file, the remedy, and what the system said as its source.
//! Nothing here prints, and the same inputs give the same bits on the CPU, whatever the number of threads.
// A folder's page names its files, which only the crate sees.
#![allow(rustdoc::private_intra_doc_links)]
#![deny(missing_docs)]
#![deny(unsafe_code)]

pub mod cpu;
pub mod device;
pub(crate) mod environment;
pub mod evaluate;
pub mod export;
pub mod import;
pub mod infer;
pub mod loss;
pub mod network;
pub mod train;
pub mod weights;

pub use device::Device;
pub use environment::peak_rss_bytes;
pub use evaluate::{Evaluation, evaluate};
pub use export::{Exported, Target, export};
pub use import::{ImportOptions, ImportReport, import};
pub use infer::{CrfParams, CrfPreset, Extra, Prediction, Predictor, refine};
pub use network::{Algorithm, Architecture, Backbone, FcnSpec, Geometry, ModelMeta, Network, NetworkOptions, UnetSpec};
pub use network::{Variant, WeightForm};
pub use segdata::{Error, ErrorKind, Result};
pub use train::{Event, RunPaths, StopSignal, TrainConfig, TrainOptions, TrainReport, train};

/// The example of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
