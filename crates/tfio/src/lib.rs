//! TensorFlow's file formats without TensorFlow.
//!
//! * [`record`]: the TFRecord container, written, streamed and read at random; both checksums are verified.
//! * [`example`]: `tf.train.Example`, the message that data-set records hold, decoded without copying its payloads.
//! * [`checkpoint`]: checkpoints of both formats, read.
//! * [`events`]: TensorBoard event files, written.
//!
//! The crate works on byte slices, `Read` and `Write`. It logs nothing, knows no tensor framework, and treats every
//! byte it reads as hostile: lengths are checked against what is there before anything is allocated, and an error
//! names the place in the file, the value found and the value expected.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod checkpoint;
pub mod events;
pub mod example;
pub mod record;

mod masked_crc;
mod wire;

pub use checkpoint::{Checkpoint, CheckpointError, TensorInfo};
pub use events::{EventError, EventWriter};
pub use example::{Example, ExampleError, Feature};
pub use record::{Limits, RecordError, RecordReader, RecordWriter};
