//! PyTorch's saved tensors without PyTorch: what `torch.save` wrote, read only.
//!
//! ```no_run
//! use std::path::Path;
//! use torchio::TorchFile;
//!
//! let mut file = TorchFile::open(Path::new("vgg16-397923af.pth"))?;
//! for tensor in file.tensors() {
//!     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
//! }
//! let kernel = file.read_f32("features.0.weight")?;
//! # Ok::<(), torchio::TorchError>(())
//! ```
//!
//! Both containers are read: the zip archive of torch 1.6 and later, and the sequence of pickles before it. A state dict
//! may be the whole file or a part of a training checkpoint; what else a checkpoint holds is listed, not interpreted.
//!
//! A pickle is a program for a stack machine that can call any function by name. Here it can call nothing: `pickle`
//! builds plain values and knows by name only what `torch.save` needs to describe a tensor. Every other name becomes an
//! opaque value, and an error where a tensor is expected. Names that no honest file of tensors has any use for (the
//! operating system, the evaluator) are an error wherever they stand.
//!
//! Sizes are checked against the file before anything is allocated for them, and the checksums of a zip archive are
//! verified with the values: a short, cut or damaged archive is an error, never zeros. The older container has no
//! checksums; its lengths are checked.
//!
//! Not implemented: writing; compressed archives (PyTorch stores its entries); the tar archives of torch 0.1; whole
//! pickled modules and TorchScript; quantised, sparse and complex tensors (listed or refused by name, not read).
//!
//! In the order of reading: `file` (the front door), `archive` and `legacy` (the containers), `pickle` (the machine),
//! `value` (what it builds), `tensor` (views on storages), `error`.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod archive;
mod error;
mod file;
mod legacy;
mod pickle;
mod tensor;
mod value;

pub use error::TorchError;
pub use file::{Container, Note, Scalar, TensorInfo, TorchFile};
pub use tensor::DType;
