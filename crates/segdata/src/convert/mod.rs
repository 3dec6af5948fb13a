//! Data set to records: shards of `tf.train.Example` in the schema of [`crate::dataset::layouts::records`], and
//! `dataset.json`.
//!
//! ```text
//! Split -> prepare (read, verify, encode; in parallel) -> shards (temporary names, in order) -> dataset.json
//! ```
//!
//! [`ConvertOptions`] come in, a [`ConvertReport`] goes out. Samples are prepared in parallel and written in the order of
//! the list; a shard is a contiguous range of the list, so the bytes depend neither on the number of threads nor on the
//! run. Everything goes to temporary names first; `dataset.json` is written last.

pub mod label_files;
mod options;
mod prepare;
mod report;
mod run;
mod shards;

pub use options::{ConvertOptions, DEFAULT_MIN_SIZE, ExifPolicy, OnError, VoidPolicy};
pub use report::{ConvertReport, ConvertedSplit, skipped_error};
pub use run::convert;

#[cfg(test)]
mod class_lists_tests;
#[cfg(test)]
mod tests;
