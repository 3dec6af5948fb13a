//! What can be wrong with a checkpoint, one variant a rule.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::dtype::DType;

/// A fault and the file that has it.
#[derive(Debug, Error)]
#[error("{}: {fault}", file.display())]
pub struct CheckpointError {
    /// The file, as it was opened.
    pub file: PathBuf,
    /// What is wrong with it.
    #[source]
    pub fault: Fault,
}

/// Why a checkpoint could not be opened or a tensor not be read. Offsets are bytes from the start of the file, or, in
/// a compressed block, from the start of its unpacked contents.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Fault {
    /// The file could not be opened or read.
    #[error("byte {offset}: cannot read: {source}")]
    Io {
        /// Where reading began.
        offset: u64,
        /// What the system said.
        source: io::Error,
    },
    /// A folder, pipe or device.
    #[error("not a regular file: name a V1 file, or a V2 checkpoint's prefix or .index file")]
    NotAFile,
    /// The last eight bytes are not those of a table.
    #[error(
        "byte {offset}: found {found:#018x}, expected a table's magic number {expected:#018x}: the file is cut off, or \
         is no TensorFlow checkpoint (V1: one file; V2: name the prefix or the .index file, not .data or .meta)"
    )]
    Magic {
        /// Where the number is.
        offset: u64,
        /// The magic number of a table.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// A count, length or position exceeds what the file can hold, or what is accepted.
    #[error("byte {offset}: {what} is {found}, expected at most {limit}: the file is damaged or cut off")]
    OutOfRange {
        /// Where the number is, or the range begins.
        offset: u64,
        /// What the number is.
        what: &'static str,
        /// The number found.
        found: u64,
        /// The largest that is possible here.
        limit: u64,
    },
    /// A block of the table does not match its checksum.
    #[error(
        "byte {offset}: the block of {size} bytes has checksum {found:#010x}, expected {expected:#010x}: the file is damaged"
    )]
    BlockCrc {
        /// Where the block begins.
        offset: u64,
        /// Its size without type and checksum.
        size: u64,
        /// The masked checksum that the file holds.
        expected: u32,
        /// The masked checksum of the bytes found.
        found: u32,
    },
    /// A tensor's bytes do not match their checksum.
    #[error(
        "byte {offset}: tensor '{name}' has checksum {found:#010x}, expected {expected:#010x}: the file is damaged"
    )]
    TensorCrc {
        /// The tensor's name.
        name: String,
        /// Where its bytes begin.
        offset: u64,
        /// The masked checksum that the index holds.
        expected: u32,
        /// The masked checksum of the bytes found.
        found: u32,
    },
    /// A block is compressed in an unknown way.
    #[error("byte {offset}: block type {found}, expected 0 (raw) or 1 (snappy)")]
    BlockType {
        /// Where the type is.
        offset: u64,
        /// The type found.
        found: u8,
    },
    /// A block cannot be unpacked.
    #[error("byte {offset}: the block is not valid snappy ({reason}): the file is damaged")]
    Snappy {
        /// Where the block begins.
        offset: u64,
        /// What the decoder said.
        reason: String,
    },
    /// A table's keys are not in ascending order.
    #[error("byte {offset}: the table's keys do not ascend: the file is damaged")]
    KeyOrder {
        /// Where the entry begins.
        offset: u64,
    },
    /// The table's first entry is not the checkpoint's description.
    #[error("byte {offset}: no {expected} under the empty key: a table, but no TensorFlow checkpoint of this version")]
    NoHeader {
        /// Where the first block begins.
        offset: u64,
        /// The message that belongs there.
        expected: &'static str,
    },
    /// A protobuf message cannot be decoded.
    #[error("byte {offset}: not a valid {what}: {reason}")]
    Message {
        /// Where the message, or the value inside it, begins.
        offset: u64,
        /// The message's type.
        what: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The checkpoint needs something that is not implemented.
    #[error("{what} is {found}, expected {expected}")]
    Unsupported {
        /// What is not implemented.
        what: &'static str,
        /// The value found.
        found: i64,
        /// The values that are implemented.
        expected: &'static str,
    },
    /// A tensor's shape has a negative dimension or more elements than memory can hold.
    #[error("tensor '{name}' has shape {shape:?}, which is not a valid shape")]
    Shape {
        /// The tensor's name.
        name: String,
        /// The dimensions found.
        shape: Vec<i64>,
    },
    /// A tensor has more dimensions than TensorFlow allows.
    #[error("tensor '{name}' has {found} dimensions, expected at most {limit}")]
    Rank {
        /// The tensor's name.
        name: String,
        /// The number of dimensions found.
        found: usize,
        /// The most that a tensor may have.
        limit: usize,
    },
    /// A tensor's slices do not cover it exactly once.
    #[error("tensor '{name}' of shape {shape:?}: {reason}")]
    Slices {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// What is wrong with the slices.
        reason: &'static str,
    },
    /// A tensor, or a slice of it, is described but not stored.
    #[error("tensor '{name}' is described, but its values (or those of one of its slices) are not in the file")]
    NoValues {
        /// The tensor's name.
        name: String,
    },
    /// A tensor has fewer or more values than its shape says.
    #[error("byte {offset}: tensor '{name}' has {found} {unit}, expected {expected} for its shape")]
    ValueCount {
        /// The tensor's name.
        name: String,
        /// Where the values begin.
        offset: u64,
        /// What is counted.
        unit: &'static str,
        /// The number that the shape asks for.
        expected: u64,
        /// The number found; counting stops one beyond the expected number.
        found: u64,
    },
    /// Two tensors have one name.
    #[error("tensor '{name}' is described twice: the file is damaged")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// There is no such tensor.
    #[error("there is no tensor '{name}' among the checkpoint's {tensors} tensors")]
    NoSuchTensor {
        /// The name asked for.
        name: String,
        /// How many tensors there are.
        tensors: usize,
    },
    /// A tensor is of another type than the one asked for.
    #[error("tensor '{name}' holds {found}, expected {expected}")]
    WrongType {
        /// The tensor's name.
        name: String,
        /// The tensor's type.
        found: DType,
        /// The types that the call can return.
        expected: &'static str,
    },
    /// The axes of a permutation are not each dimension once.
    #[error("tensor '{name}' of shape {shape:?} cannot be permuted by {axes:?}: each dimension must occur once")]
    Axes {
        /// The tensor's name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// The axes given.
        axes: Vec<usize>,
    },
}

impl Fault {
    pub(super) fn in_file(self, file: &Path) -> CheckpointError {
        CheckpointError { file: file.to_path_buf(), fault: self }
    }
}
