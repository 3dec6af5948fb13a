//! Data sets and label maps in the forms of others.
//!
//! ```text
//! Split -> prepare (read, verify; in parallel) -> writer: records (shards, dataset.json)
//!                                              \        files (images and masks, VOC, COCO)
//! LabelMap -> label_files: COCO, labelme, CVAT, YOLO
//! ```
//!
//! [`ConvertOptions`] come in, a [`ConvertReport`] goes out. Samples are prepared in parallel and written in the order of
//! the list; the bytes depend neither on the number of threads nor on the run. Everything goes to temporary names first:
//! of records `dataset.json` is written last, a data set in files appears as a whole once it has been opened and compared.
//! The schema of records is described in [`crate::dataset::layouts::records`].

mod files;
pub mod label_files;
mod options;
mod prepare;
mod records;
mod report;
mod run;
mod shards;
mod writer;

pub use options::{ConvertOptions, DEFAULT_MIN_SIZE, ExifPolicy, OnError, Target, VoidPolicy};
pub use report::{ConvertReport, ConvertedSplit, skipped_error};
pub use run::convert;

#[cfg(test)]
mod class_lists_tests;
#[cfg(test)]
mod photographs_tests;
#[cfg(test)]
mod tests;
