//! What can be wrong with a file: one variant a rule, with the place, the value found and the value expected.

use crate::dtype::DType;

/// A fault of a PyTorch file. Offsets count bytes from the beginning of the file, or of the pickle where that is said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TorchError {
    /// A folder, a pipe or a device.
    #[error("this is not a regular file")]
    NotAFile,
    /// The system refused, or the file ended early.
    #[error("byte {offset}: cannot read: {source}")]
    Io {
        /// Where reading began.
        offset: u64,
        /// What the system said.
        source: std::io::Error,
    },
    /// Neither container.
    #[error("the file begins with {found}; expected a zip archive or a pickle that torch.save wrote")]
    NotTorch {
        /// Its first bytes.
        found: String,
    },
    /// A part of the format that is not implemented.
    #[error("{what} is {found}; expected {expected}")]
    Unsupported {
        /// The thing.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What can be read.
        expected: &'static str,
    },
    /// A number in the zip archive's structure is wrong.
    #[error("byte {offset}: {what} is {found:#x}; expected {expected:#x}")]
    Archive {
        /// Where the number is.
        offset: u64,
        /// What it means.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The value that the rest of the file asks for.
        expected: u64,
    },
    /// A size, count or position is larger than can be.
    #[error("byte {offset}: {what} is {found}; expected at most {limit}")]
    Limit {
        /// Where it is.
        offset: u64,
        /// What it means.
        what: &'static str,
        /// Its value.
        found: u64,
        /// The largest possible or accepted value.
        limit: u64,
    },
    /// An entry of the archive cannot be used.
    #[error("entry '{name}' {reason}")]
    Entry {
        /// Its name.
        name: String,
        /// What is wrong, as the rest of the sentence.
        reason: &'static str,
    },
    /// The content of an entry is not what its checksum says.
    #[error("entry '{name}' has CRC-32 {found:#010x}; expected {expected:#010x}: the file is damaged")]
    Checksum {
        /// Its name.
        name: String,
        /// The checksum in the archive's directory.
        expected: u32,
        /// That of the content.
        found: u32,
    },
    /// An instruction that is invalid in its place.
    #[error("byte {offset} of the pickle: {reason}")]
    Pickle {
        /// Offset in the pickle.
        offset: usize,
        /// What is wrong.
        reason: String,
    },
    /// A name that no file of tensors needs.
    #[error(
        "byte {offset} of the pickle: loading this file with PyTorch would call {module}.{name}: it is no file of tensors alone"
    )]
    Harmful {
        /// Offset in the pickle.
        offset: usize,
        /// The Python module.
        module: String,
        /// The name in it.
        name: String,
    },
    /// An object of another kind is where a tensor or a dictionary of tensors is expected.
    #[error("{place} is {found}; expected {expected}")]
    NotATensor {
        /// Where: the key, or the file.
        place: String,
        /// What it is.
        found: String,
        /// What was expected.
        expected: &'static str,
    },
    /// Two tensors have one name.
    #[error("tensor '{name}' is in the file twice")]
    Duplicate {
        /// The name.
        name: String,
    },
    /// A storage's size or type contradicts what is said of it elsewhere.
    #[error("storage '{key}': {what} is {found}; expected {expected}")]
    Storage {
        /// Its key.
        key: String,
        /// What is compared.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// A tensor's shape, strides or offset do not fit its storage.
    #[error("tensor '{name}' of shape {shape:?}, strides {strides:?}, offset {offset} {reason}")]
    View {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
        /// Distance of neighbours along each axis, in elements.
        strides: Vec<usize>,
        /// Its first element in the storage.
        offset: u64,
        /// What is wrong, as the rest of the sentence.
        reason: String,
    },
    /// There is no such tensor.
    #[error("there is no tensor '{name}' among the file's {tensors} tensors")]
    NoSuchTensor {
        /// The name asked for.
        name: String,
        /// How many there are.
        tensors: usize,
    },
    /// A tensor's type is not a float type.
    #[error("tensor '{name}' holds {found}; expected float32, float64, float16 or bfloat16")]
    WrongType {
        /// The name.
        name: String,
        /// Its type.
        found: DType,
    },
}
