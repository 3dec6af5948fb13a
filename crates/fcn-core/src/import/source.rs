//! A file of any of the formats that weights come in, opened by what it contains: tensors by name, values on request.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use torchio::{Container, Scalar, TorchError, TorchFile};

use crate::weights::other_kind::other_kind;
use crate::weights::tensor_file::TensorFile;
use crate::{Error, ErrorKind, Result};
use segdata::files::read as file;

/// What is before every name in files of programs that wrap the network: PyTorch's parallel and averaged modules,
/// `torch.compile`, Lightning, and wrappers of one's own.
const PREFIXES: [&str; 7] = ["module.", "_orig_mod.", "model.", "backbone.", "net.", "network.", "ema_model."];

/// The last eight bytes of a TensorFlow V1 checkpoint, which is a table of LevelDB's kind.
const TABLE_MAGIC: [u8; 8] = 0xdb47_7524_8b80_fb57u64.to_le_bytes();

/// A tensor of the file.
#[derive(Clone, Debug)]
pub(super) struct SourceTensor {
    /// Without the prefix of all names.
    pub name: String,
    /// In the file.
    stored: String,
    /// `F32` and the like.
    pub dtype: String,
    pub shape: Vec<usize>,
}

/// An open file.
pub(super) struct Source {
    pub path: PathBuf,
    pub tensors: Vec<SourceTensor>,
    /// The prefix of all names in the file, which is left out in `tensors`.
    pub prefix: String,
    reader: Reader,
}

enum Reader {
    TensorFlow(tfio::Checkpoint),
    Torch(TorchFile),
    Safetensors(TensorFile),
}

impl Source {
    /// Opens the file at `path`; a TensorFlow V2 checkpoint also by its prefix.
    ///
    /// # Errors
    /// A folder, pipe or device; none of the formats; what the format's reader refuses; what the system refuses.
    pub fn open(path: &Path) -> Result<Source> {
        let reader = reader(path)?;
        let tensor = |name: &str, dtype: String, shape: &[usize]| SourceTensor {
            name: name.into(),
            stored: name.into(),
            dtype,
            shape: shape.into(),
        };
        let mut tensors: Vec<SourceTensor> = match &reader {
            Reader::TensorFlow(file) => {
                file.tensors().iter().map(|t| tensor(&t.name, format!("{:?}", t.dtype), &t.shape)).collect()
            }
            Reader::Torch(file) => {
                file.tensors().iter().map(|t| tensor(&t.name, format!("{:?}", t.dtype), &t.shape)).collect()
            }
            Reader::Safetensors(file) => {
                file.tensors().zip(file.dtypes()).map(|((name, shape), dtype)| tensor(name, dtype, shape)).collect()
            }
        };
        let prefix = without_prefix(&mut tensors);
        Ok(Source { path: path.to_path_buf(), tensors, prefix, reader })
    }

    /// The key of a training checkpoint under which the tensors are, if they are under one.
    pub fn key(&self) -> Option<&str> {
        match &self.reader {
            Reader::Torch(file) => file.state_dict_key(),
            _ => None,
        }
    }

    /// For people and scripts.
    pub fn format(&self) -> &'static str {
        match &self.reader {
            Reader::TensorFlow(file) => match file.version() {
                tfio::checkpoint::Version::V1 => "TensorFlow V1 checkpoint",
                tfio::checkpoint::Version::V2 => "TensorFlow V2 checkpoint",
            },
            Reader::Torch(file) => match file.container() {
                Container::Zip => "PyTorch file",
                Container::Legacy => "PyTorch file of before 1.6",
            },
            Reader::Safetensors(_) => "safetensors",
        }
    }

    /// What the file says about itself; empty where the format has no place for it.
    pub fn metadata(&self) -> BTreeMap<String, String> {
        match &self.reader {
            Reader::Safetensors(file) => file.metadata().clone(),
            _ => BTreeMap::new(),
        }
    }

    /// What a training checkpoint holds besides the weights, in words.
    pub fn notes(&self) -> Vec<(String, String)> {
        let Reader::Torch(file) = &self.reader else { return Vec::new() };
        let words = |value: &Scalar| match value {
            Scalar::Bool(value) => value.to_string(),
            Scalar::Int(value) => value.to_string(),
            Scalar::Float(value) => value.to_string(),
            Scalar::Text(value) | Scalar::Other(value) => value.clone(),
        };
        file.notes().iter().map(|note| (note.key.clone(), words(&note.value))).collect()
    }

    /// The values of a float tensor, in C order of its shape.
    ///
    /// # Errors
    /// As the reader of the format.
    pub fn read(&mut self, name: &str) -> Result<Vec<f32>> {
        let name = self.tensors.iter().find(|tensor| tensor.name == name).map_or(name, |tensor| &tensor.stored);
        let result = match &mut self.reader {
            Reader::TensorFlow(file) => file.read_f32(name).map_err(|e| Error::weights(e.fault.to_string())),
            Reader::Torch(file) => file.read_f32(name).map_err(torch_error),
            Reader::Safetensors(file) => file.read(name),
        };
        result.map_err(|e| e.at(&self.path))
    }

    /// The values of a convolution kernel that is stored as `[height, width, in, out]`, as `[out, in, height, width]`.
    ///
    /// # Errors
    /// As the reader of the format.
    pub fn read_hwio(&mut self, name: &str) -> Result<Vec<f32>> {
        match &self.reader {
            Reader::TensorFlow(file) => file
                .read_f32_permuted(name, &[3, 2, 0, 1])
                .map_err(|e| Error::weights(e.fault.to_string()).at(&self.path)),
            _ => Err(Error::internal("only TensorFlow's kernels have the outputs last")),
        }
    }
}

/// Takes away the prefix of all names, however many wrappers there were. Scalars such as the counter of an averaged
/// model may lie beside the network.
fn without_prefix(tensors: &mut [SourceTensor]) -> String {
    let mut taken = String::new();
    let is_part = |tensor: &SourceTensor| !tensor.shape.is_empty();
    while let Some(prefix) = PREFIXES.iter().find(|prefix| {
        tensors.iter().any(is_part)
            && tensors.iter().filter(|tensor| is_part(tensor)).all(|tensor| tensor.name.starts_with(**prefix))
    }) {
        for tensor in tensors.iter_mut().filter(|tensor| tensor.name.starts_with(*prefix)) {
            tensor.name.drain(..prefix.len());
        }
        taken.push_str(prefix);
    }
    taken
}

fn torch_error(fault: TorchError) -> Error {
    match &fault {
        TorchError::Io { source, .. } if source.kind() != std::io::ErrorKind::UnexpectedEof => {
            Error::new(crate::ErrorKind::Io, fault.to_string())
        }
        TorchError::Harmful { .. } => {
            Error::weights(fault.to_string()).hint("nothing of it was run; do not load this file with PyTorch either")
        }
        _ => Error::weights(fault.to_string()),
    }
}

/// The error of a file that begins as `found` says, like no kind that is known.
fn no_weights(path: &Path, found: &str) -> Error {
    let error = Error::weights(format!(
        "the file begins with {found}, which is the beginning of no format of weights that is read"
    ));
    match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("pb")) {
        true => error.hint("of a frozen graph of TensorFlow (.pb) take the checkpoint that it was made from"),
        false => error.hint("expected a TensorFlow checkpoint, a file of torch.save, or safetensors, whole"),
    }
}

fn reader(path: &Path) -> Result<Reader> {
    let tensorflow = || {
        let opened = tfio::Checkpoint::open(path);
        opened.map(Reader::TensorFlow).map_err(|e| Error::weights(e.fault.to_string()).at(path))
    };
    let mut index = path.as_os_str().to_owned();
    index.push(".index");
    if path.extension().is_some_and(|e| e == "index") || (!path.exists() && Path::new(&index).is_file()) {
        return tensorflow();
    }
    if path.join("saved_model.pb").is_file() {
        return Err(Error::weights("this folder is a TensorFlow SavedModel")
            .at(path)
            .hint("name the checkpoint in it: variables/variables.index"));
    }
    let io = |e: std::io::Error| Error::io("read", path, &e);
    let mut file = file::open(ErrorKind::Weights, "the file of weights", path)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Some((prefix, _)) = name.split_once(".data-0") {
        return Err(Error::weights("this is one of a TensorFlow checkpoint's data files")
            .at(path)
            .hint(format!("name its index instead: {prefix}.index")));
    }
    let length = file.metadata().map_err(io)?.len();
    let mut head = Vec::new();
    file.by_ref().take(512).read_to_end(&mut head).map_err(io)?;
    let mut tail = [0; 8];
    if length >= 8 {
        file.seek(SeekFrom::End(-8)).and_then(|_| file.read_exact(&mut tail)).map_err(io)?;
    }
    if tail == TABLE_MAGIC {
        return tensorflow();
    }
    if head.get(8) == Some(&b'{') {
        return TensorFile::open(path).map(Reader::Safetensors);
    }
    match TorchFile::open(path) {
        Ok(file) => Ok(Reader::Torch(file)),
        Err(TorchError::NotTorch { found }) => {
            Err(other_kind(&head).unwrap_or_else(|| no_weights(path, &found)).at(path))
        }
        Err(fault) => Err(torch_error(fault).at(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn what_is_no_file_of_weights_is_told_from_its_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let cases: [(&[u8], &str); 9] = [
            (b"", "begins with nothing"),
            (b"\x1f\x8b\x08\x00", "a gzip archive"),
            (b"\x89HDF\r\n\x1a\n", "HDF5, as Keras writes .h5 files"),
            (b"\x93NUMPY\x01\x00", "a NumPy array"),
            (b"\x08\x08\x12\x07pytorch", "an ONNX model"),
            (b"<!DOCTYPE html>", "a web page"),
            (b"just words", "this is text"),
            (b"\xfe\xfd\xfc", "begins with fe fd fc"),
            (b"PK\x03\x04", "the end of the zip archive"),
        ];
        for (bytes, expected) in cases {
            std::fs::write(&path, bytes).unwrap();
            let error = Source::open(&path).err().unwrap();
            assert!(error.kind == ErrorKind::Weights && error.message.contains(expected), "{error}");
        }
        assert_eq!(Source::open(folder.path()).err().unwrap().kind, ErrorKind::Weights);
        std::fs::write(folder.path().join("saved_model.pb"), b"\x08\x01").unwrap();
        assert!(Source::open(folder.path()).err().unwrap().message.contains("SavedModel"));
        assert_eq!(Source::open(&folder.path().join("none")).err().unwrap().kind, ErrorKind::Io);
    }
}
