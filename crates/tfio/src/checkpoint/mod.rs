//! TensorFlow checkpoints, V1 and V2, read only.
//!
//! ```no_run
//! use std::path::Path;
//! use tfio::Checkpoint;
//!
//! let checkpoint = Checkpoint::open(Path::new("vgg_16.ckpt"))?;
//! for tensor in checkpoint.tensors() {
//!     println!("{} {} {:?}", tensor.name, tensor.dtype, tensor.shape);
//! }
//! // TensorFlow keeps convolution kernels as [height, width, inputs, outputs]; most others want the outputs first.
//! let kernel = checkpoint.read_f32_permuted("vgg_16/conv1/conv1_1/weights", &[3, 2, 0, 1])?;
//! # Ok::<(), tfio::CheckpointError>(())
//! ```
//!
//! Opening a checkpoint reads its description, not its values: memory and time hardly depend on its size. A tensor is
//! read from disk when it is asked for and decoded in small pieces, straight to its place in the result. Every value
//! returned was covered by a checksum that matched. Not implemented: writing; strings, booleans and complex numbers
//! (listed, not read); the object graph of `tf.train.Checkpoint` (its variables are listed under their keys).
//!
//! Source: `tensorflow/core/util/saved_tensor_slice.proto` (V1), `tensorflow/core/protobuf/tensor_bundle.proto` (V2), and
//! LevelDB's table format for the container of both.
//!
//! In the order in which data flow: `storage` (bytes by position, on disk or in memory), `stream` (a range of them, and
//! the protobuf wire format), `table` (the container), `messages` (small protobuf messages), `v1` and `v2` (the formats),
//! `slices` (partitioned variables), `permute` (the order of axes), and [`Checkpoint`]. `dtype`, `info` and `fault` are what
//! callers see.

mod dtype;
mod fault;
mod info;
mod messages;
mod permute;
mod slices;
mod storage;
mod stream;
mod table;
mod v1;
mod v2;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

pub use dtype::DType;
pub use fault::{CheckpointError, Fault};
pub use info::TensorInfo;

use dtype::Element;
use permute::Permuted;
use slices::{Put, elements};
use storage::Storage;
use v1::V1;
use v2::{Shards, V2};

/// The versions of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One file; TensorFlow's default until 2016.
    V1,
    /// An `.index` file and `.data` files.
    V2,
}

/// An open checkpoint. It can be read from several threads at once.
#[derive(Debug)]
pub struct Checkpoint {
    file: PathBuf,
    tensors: Vec<TensorInfo>,
    numbers: HashMap<String, usize>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    V1(V1),
    V2(V2),
}

impl Checkpoint {
    /// Opens a V1 checkpoint by its file, or a V2 checkpoint by its prefix or its `.index` file.
    ///
    /// # Errors
    /// Every [`Fault`] of a file's structure. A V1 file's values are verified when they are read; that a V2
    /// checkpoint's data files are there and long enough is checked here.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        if path.extension().is_some_and(|extension| extension == "index") {
            return Self::open_v2(path, path.with_extension(""));
        }
        let mut index = path.as_os_str().to_owned();
        index.push(".index");
        let index = PathBuf::from(index);
        if !path.is_file() && index.is_file() {
            return Self::open_v2(&index, path.to_path_buf());
        }
        Storage::open(path).and_then(V1::open).map(|opened| Self::v1(path, opened)).map_err(|fault| fault.in_file(path))
    }

    fn open_v2(index: &Path, prefix: PathBuf) -> Result<Self, CheckpointError> {
        let storage = Storage::open(index).map_err(|fault| fault.in_file(index))?;
        Ok(Self::v2(index, V2::open(storage, index, Shards::Files { prefix, count: 0 })?))
    }

    /// A V1 checkpoint that is in memory already.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_v1_bytes(bytes: Vec<u8>) -> Result<Self, CheckpointError> {
        let file = Path::new("checkpoint in memory");
        V1::open(Storage::Memory(bytes)).map(|opened| Self::v1(file, opened)).map_err(|fault| fault.in_file(file))
    }

    /// A V2 checkpoint that is in memory already: its index, and its data files in their order.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn from_v2_bytes(index: Vec<u8>, data: Vec<Vec<u8>>) -> Result<Self, CheckpointError> {
        let file = Path::new("index in memory");
        let shards = Shards::Memory(data.into_iter().map(Storage::Memory).collect());
        Ok(Self::v2(file, V2::open(Storage::Memory(index), file, shards)?))
    }

    fn v1(file: &Path, (values, tensors): (V1, Vec<TensorInfo>)) -> Self {
        Self::new(file, tensors, Values::V1(values))
    }

    fn v2(file: &Path, (values, tensors): (V2, Vec<TensorInfo>)) -> Self {
        Self::new(file, tensors, Values::V2(values))
    }

    fn new(file: &Path, tensors: Vec<TensorInfo>, values: Values) -> Self {
        let numbers = tensors.iter().enumerate().map(|(number, tensor)| (tensor.name.clone(), number)).collect();
        Self { file: file.to_path_buf(), tensors, numbers, values }
    }

    /// All tensors in the order of the file, which TensorFlow sorts by name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Which format this is.
    pub fn version(&self) -> Version {
        match self.values {
            Values::V1(_) => Version::V1,
            Values::V2(_) => Version::V2,
        }
    }

    /// The values of a float tensor in row-major order; half, bfloat16 and double are converted.
    ///
    /// # Errors
    /// `NoSuchTensor`, `WrongType`, or any fault of the values.
    pub fn read_f32(&self, name: &str) -> Result<Vec<f32>, CheckpointError> {
        self.read_whole(name)
    }

    /// The values of an integer tensor in row-major order.
    ///
    /// # Errors
    /// `NoSuchTensor`, `WrongType`, or any fault of the values.
    pub fn read_i64(&self, name: &str) -> Result<Vec<i64>, CheckpointError> {
        self.read_whole(name)
    }

    /// The values of a float tensor with its dimensions permuted, as numpy's `transpose(axes)` does: dimension `i` of
    /// the result is dimension `axes[i]` of the tensor. No second copy of the tensor is held.
    ///
    /// # Errors
    /// `Axes`, and those of [`read_f32`](Self::read_f32).
    pub fn read_f32_permuted(&self, name: &str, axes: &[usize]) -> Result<Vec<f32>, CheckpointError> {
        let (number, info) = self.find::<f32>(name)?;
        let shape = &info.shape;
        let mut sorted = axes.to_vec();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..shape.len()) {
            let fault = Fault::Axes { name: name.to_string(), shape: shape.clone(), axes: axes.to_vec() };
            return Err(fault.in_file(&self.file));
        }
        let mut permuted = Permuted::new(shape, axes);
        self.read_into(number, info, &mut |index, piece| permuted.put(index, piece))?;
        Ok(permuted.finish())
    }

    fn read_whole<T: Element>(&self, name: &str) -> Result<Vec<T>, CheckpointError> {
        let (number, info) = self.find::<T>(name)?;
        let mut values = vec![T::default(); elements(&info.shape)];
        self.read_into(number, info, &mut |index, piece| values[index..index + piece.len()].copy_from_slice(piece))?;
        Ok(values)
    }

    fn find<T: Element>(&self, name: &str) -> Result<(usize, &TensorInfo), CheckpointError> {
        let fault = match self.numbers.get(name) {
            None => Fault::NoSuchTensor { name: name.to_string(), tensors: self.tensors.len() },
            Some(&number) => {
                let info = &self.tensors[number];
                if T::from_fixed(info.dtype).is_some() {
                    return Ok((number, info));
                }
                Fault::WrongType { name: name.to_string(), found: info.dtype, expected: T::SOURCES }
            }
        };
        Err(fault.in_file(&self.file))
    }

    fn read_into<T: Element>(
        &self,
        number: usize,
        info: &TensorInfo,
        put: &mut Put<'_, T>,
    ) -> Result<(), CheckpointError> {
        match &self.values {
            Values::V1(values) => values.read(number, info, put).map_err(|fault| fault.in_file(&self.file)),
            Values::V2(values) => values.read(number, info, put),
        }
    }
}
