//! Data sets in TFRecord files: one `tf.train.Example` a sample.
//!
//! | feature | type | content |
//! | --- | --- | --- |
//! | `image/height`, `image/width` | int64 | size of the label array |
//! | `image/filename` | bytes | id, with or without extension |
//! | `image/encoded` | bytes | the image file, untouched |
//! | `image/format` | bytes | `jpeg`, `png`, ... |
//! | `image/label` | bytes | height * width class ids, row-major, one byte each; or a mask file |
//!
//! Only `image/encoded` and `image/label` are required; further features are ignored. `dataset.json` beside the shards
//! gives classes, splits and ids; without it splits come from the file names, ids from the records, and the classes
//! are VOC's.

mod index;
mod list;
mod names;
mod read;

pub use index::{INDEX_NAME, Index, IndexedFile, IndexedSplit, SkippedSample};

pub(crate) use index::UNFINISHED;
pub(crate) use list::Records;
pub(crate) use list::fingerprint_of;
pub(crate) use read::read;
