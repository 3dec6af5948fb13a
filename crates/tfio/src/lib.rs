//! TensorFlow's file formats without TensorFlow.
//!
//! ```
//! use tfio::{Example, RecordReader, RecordWriter};
//!
//! // A TFRecord file of one tf.train.Example, in memory.
//! let mut writer = RecordWriter::new(Vec::new());
//! writer.write(&Example::new().with_bytes("image", &[0, 128, 255][..]).with_int64("width", 3).encode())?;
//! let file = writer.into_inner();
//!
//! for record in RecordReader::new(&file[..]) {
//!     let record = record?;
//!     let example = Example::decode(&record)?;
//!     assert_eq!((example.bytes("image")?.len(), example.int64("width")?), (3, 3));
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | in | out | format |
//! | --- | --- | --- | --- |
//! | [`record`] | `Read`, byte strings | byte strings, `Write` | TFRecord; both checksums are verified |
//! | [`example`] | a record | named lists, and back | `tf.train.Example`, without a copy of its payloads |
//! | [`checkpoint`] | a path or bytes | tensors by name | V1 and V2 |
//! | [`events`] | scalars, pictures, text | a file in a folder | TensorBoard events |
//!
//! Below them: `wire` is the protobuf wire format on slices, for messages that `prost` would copy; `masked_crc` the checksum
//! of all these formats. No module uses one that uses it.
//!
//! The crate works on byte slices, `Read` and `Write`. It logs nothing, knows no tensor framework, and treats every
//! byte it reads as hostile: lengths are checked against what is there before anything is allocated, and an error
//! names the place in the file, the value found and the value expected.
//!
//! Not implemented: records compressed as a whole; `SequenceExample`; writing of checkpoints; histograms of TensorBoard.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod checkpoint;
pub mod events;
pub mod example;
pub mod record;

mod masked_crc;
mod wire;

pub use checkpoint::{Checkpoint, CheckpointError, TensorInfo};
pub use events::{EventError, EventWriter, Hyperparameter};
pub use example::{Example, ExampleError, Feature};
pub use record::{Limits, RecordError, RecordReader, RecordWriter};

/// The examples of the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
