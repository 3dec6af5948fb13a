//! Files of `torch.save` without PyTorch: state dicts read, and state dicts of 32-bit floats written.
//!
//! ```
//! use torchio::{StateDictWriter, TorchFile};
//!
//! // A state dict of one convolution, as torch.load reads it.
//! let mut writer = StateDictWriter::new(Vec::new(), &[("conv.weight", [1, 2, 1, 1])])?;
//! writer.tensor([&[0.5, -0.5][..]])?;
//! let bytes = writer.finish()?;
//!
//! let mut file = TorchFile::new(std::io::Cursor::new(bytes))?;
//! for tensor in file.tensors() {
//!     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
//! }
//! assert_eq!(file.read_f32("conv.weight")?, [0.5, -0.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`TorchFile::open`] reads a file on disk; a [`StateDictWriter`] writes to anything that is [`Write`](std::io::Write).
//!
//! # What is read
//!
//! Both containers: the zip archive of torch 1.6 and later, and the sequence of pickles before it. A state dict may be the
//! whole file or a part of a training checkpoint; what else a checkpoint holds is listed, not interpreted. Views are
//! gathered, and the bit of a negated view (`torch._neg_view`) is honoured; that of a conjugated view changes no real number.
//!
//! A pickle is a program for a stack machine that can call any function by name. Here it can call nothing: the machine
//! builds plain values and knows by name only what `torch.save` needs to describe a tensor. Every other name becomes an
//! opaque value, and an error where a tensor is expected. Names that no honest file of tensors has any use for (the
//! operating system, the evaluator) are an error wherever they occur.
//!
//! Sizes are checked against the file before anything is allocated for them, and the checksums of a zip archive are
//! verified with the values: a short, cut or damaged archive is an error, never zeros. The older container has no
//! checksums; its lengths are checked.
//!
//! # What is not
//!
//! Compressed archives (PyTorch stores its entries); the tar archives of torch 0.1; whole pickled modules, TorchScript and
//! Keras files (refused by name, with what to do instead); quantised, sparse and complex tensors (listed or refused by
//! name, not read). Written are 32-bit floats, in archives below 4 GiB.
//!
//! # Where things are
//!
//! Reading: `file` (by name, from a path or a reader), `archive` and `legacy` (the containers), `pickle` (the machine and
//! what it builds), `tensor` (views on storages), `dtype`. Writing: `write` over the same `archive` and `pickle`. `limits`
//! holds for both, and `error` is what can be wrong with a file. No module uses one that uses it.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod archive;
mod dtype;
mod error;
mod file;
mod legacy;
mod limits;
mod pickle;
mod tensor;
mod write;

pub use dtype::DType;
pub use error::TorchError;
pub use file::{Container, Note, Scalar, TensorInfo, TorchFile};
pub use write::{StateDictWriter, WriteError};

/// The examples of the README are compiled with the tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
