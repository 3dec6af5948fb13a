//! Networks as ONNX files (<https://onnx.ai>), for runtimes elsewhere.
//!
//! [`save`] writes one, [`OnnxFile`] says what is in one. The graph takes images of any number and size; the file's
//! metadata are those of a weights file, under the same keys. Nothing here computes: what a graph means is tested with a
//! small interpreter in plain loops.
//!
//! Deliberately absent: reading a network from ONNX, external data, quantisation.

mod graph;
#[cfg(test)]
mod interpreter;
mod messages;
mod options;
mod read;
mod stream;
pub(crate) mod write;

pub use graph::{INPUT, LOGITS, MASK, PROBABILITIES};
pub use options::{OPSETS, OnnxOptions};
pub use read::{OnnxFile, OnnxTensor, OnnxValue};
pub use write::save;
