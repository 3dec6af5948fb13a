//! Writing an ONNX file without holding the weights a second time.
//!
//! A message in a message is preceded by its length, and a graph's length counts all weights. So the lengths are computed
//! first, from the shapes; then the small parts are encoded and the values written from where they are.

use std::path::Path;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};

use super::graph::{Initializer, Source};
use super::messages::{GRAPH_INITIALIZER, GraphProto, MODEL_GRAPH, ModelProto, TENSOR_RAW_DATA};
use crate::device::values::with_values;
use crate::network::Parameter;
use crate::weights::tensor_file::write_f32;
use crate::{Error, Result};
use segdata::files::write::write_atomically;

/// Largest message that readers of protobuf accept.
const MAX_MESSAGE_BYTES: usize = i32::MAX as usize;

/// Writes `model`, whose graph is `graph` with `initializers`, to `path`: all of it or nothing, durable when this returns.
/// Returns the size of the file in bytes.
///
/// # Errors
/// What the system refuses; a file of 2 GiB or more.
pub fn write(
    path: &Path,
    model: &ModelProto,
    graph: &GraphProto,
    initializers: &[Initializer],
    parameters: &[Parameter],
) -> Result<u64> {
    let sizes: Vec<TensorSize> = initializers.iter().map(|constant| TensorSize::new(constant, parameters)).collect();
    let graph_bytes =
        graph.encoded_len() + sizes.iter().map(|size| field_len(GRAPH_INITIALIZER, size.message)).sum::<usize>();
    let total = model.encoded_len() + field_len(MODEL_GRAPH, graph_bytes);
    if total > MAX_MESSAGE_BYTES {
        return Err(Error::usage(format!(
            "the network takes {total} bytes; an ONNX file holds at most {MAX_MESSAGE_BYTES}"
        ))
        .hint("a narrower network fits; so does the weights file itself")
        .at(path));
    }
    write_atomically(path, |file| {
        let io = |e: std::io::Error| Error::io("write", path, &e);
        file.write_all(&model.encode_to_vec()).map_err(io)?;
        file.write_all(&field_start(MODEL_GRAPH, graph_bytes)).map_err(io)?;
        file.write_all(&graph.encode_to_vec()).map_err(io)?;
        for (constant, size) in initializers.iter().zip(&sizes) {
            let mut start = field_start(GRAPH_INITIALIZER, size.message);
            start.extend(constant.header.encode_to_vec());
            start.extend(field_start(TENSOR_RAW_DATA, size.values));
            file.write_all(&start).map_err(io)?;
            match &constant.source {
                Source::Bytes(bytes) => file.write_all(bytes).map_err(io)?,
                Source::Parameter(index) => {
                    with_values(&parameters[*index].tensor, |values| write_f32(file, values))?.map_err(io)?;
                }
            }
        }
        Ok(())
    })?;
    Ok(total as u64)
}

/// Lengths in bytes.
struct TensorSize {
    values: usize,
    message: usize,
}

impl TensorSize {
    fn new(constant: &Initializer, parameters: &[Parameter]) -> Self {
        let values = match &constant.source {
            Source::Bytes(bytes) => bytes.len(),
            Source::Parameter(index) => parameters[*index].shape.iter().product::<usize>() * size_of::<f32>(),
        };
        TensorSize { values, message: constant.header.encoded_len() + field_len(TENSOR_RAW_DATA, values) }
    }
}

/// Length of a field with `content` bytes: its key, its length, its content.
fn field_len(field: u32, content: usize) -> usize {
    key_len(field) + encoded_len_varint(content as u64) + content
}

/// Key and length of a field with `content` bytes.
fn field_start(field: u32, content: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(content as u64, &mut bytes);
    bytes
}
