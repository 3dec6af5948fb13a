//! The container of weights and of an optimiser's state: a safetensors file of 32-bit floats, streamed both ways.
//!
//! Format: huggingface/safetensors, README "Format". Written whole or not at all; one tensor at a time is in memory
//! besides those it comes from.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use bytes::Bytes;
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};

use crate::device::values::with_values;
use crate::weights::mapped_file;
use crate::weights::other_kind::other_kind;
use crate::{Error, ErrorKind, Result};
use segdata::files::read as file;
use segdata::files::write::write_atomically;

/// Longest header that is read: ten thousand tensors at a hundred bytes each. An FCN's has 6 kB, the largest of published
/// image and language models some 300 kB a file. safetensors' own limit is a hundred times higher, but parsed, two bytes
/// of a header can take sixty, so that a file of nothing else would cost seconds and gigabytes.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// Headers end at a multiple of this, filled with spaces, so that values are aligned.
const ALIGNMENT: usize = 8;

/// Bytes converted at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Where the values of a tensor to be written are.
#[derive(Clone, Debug)]
pub enum Values<'a> {
    /// On a device.
    Tensor(&'a Tensor<1>),
    /// On the host.
    Slice(&'a [f32]),
}

/// A tensor to be written.
#[derive(Clone, Debug)]
pub struct NamedValues<'a> {
    /// Its name in the file; no two are the same.
    pub name: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
    /// As many as the shape says, in C order.
    pub values: Values<'a>,
}

/// Writes `tensors` and `metadata` to `path`: all of it or nothing, durable when this returns.
///
/// # Errors
/// What the system refuses; a number of values that is not that of the shape.
pub fn write_tensors(path: &Path, metadata: &BTreeMap<String, String>, tensors: Vec<NamedValues<'_>>) -> Result<()> {
    let header = header(metadata, &tensors)?;
    write_atomically(path, |file| {
        let io = |e: std::io::Error| Error::io("write", path, &e);
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
        file.write_all(&header).map_err(io)?;
        for tensor in &tensors {
            match &tensor.values {
                Values::Slice(values) => write_values(file, tensor, values).map_err(io)?,
                Values::Tensor(on_device) => {
                    with_values(on_device, |values| write_values(file, tensor, values))?.map_err(io)?;
                }
            }
        }
        Ok(())
    })
}

/// Writes tensors whose names and shapes are in `table` and whose values `values` supplies one at a time, by index: so
/// much as one tensor is in memory. All of it or nothing, durable when this returns.
///
/// # Errors
/// Those of `values`, a number of values that is not that of the shape, what the system refuses.
pub fn write_streamed(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    table: &[(&str, &[usize])],
    values: &mut dyn FnMut(usize) -> Result<Vec<f32>>,
) -> Result<()> {
    let described = |&(name, shape): &(&str, &[usize])| NamedValues {
        name: name.to_string(),
        shape: shape.to_vec(),
        values: Values::Slice(&[]),
    };
    let tensors: Vec<NamedValues<'_>> = table.iter().map(described).collect();
    let header = header(metadata, &tensors)?;
    write_atomically(path, |file| {
        let io = |e: std::io::Error| Error::io("write", path, &e);
        file.write_all(&(header.len() as u64).to_le_bytes()).map_err(io)?;
        file.write_all(&header).map_err(io)?;
        for (index, tensor) in tensors.iter().enumerate() {
            write_values(file, tensor, &values(index)?).map_err(io)?;
        }
        Ok(())
    })
}

fn header(metadata: &BTreeMap<String, String>, tensors: &[NamedValues<'_>]) -> Result<Vec<u8>> {
    let mut end = 0;
    let infos = tensors
        .iter()
        .map(|tensor| {
            let start = end;
            end += tensor.shape.iter().product::<usize>() * size_of::<f32>();
            let info = TensorInfo { dtype: Dtype::F32, shape: tensor.shape.clone(), data_offsets: (start, end) };
            (tensor.name.clone(), info)
        })
        .collect();
    // The crate's own map has no fixed order; a sorted one makes equal networks equal files.
    let internal = |e: &dyn std::fmt::Display| Error::internal(format!("cannot write a header: {e}"));
    let described = Metadata::new(None, infos).map_err(|e| internal(&e))?;
    let mut json = serde_json::to_value(&described).map_err(|e| internal(&e))?;
    if let Some(map) = json.as_object_mut() {
        map.insert("__metadata__".into(), serde_json::to_value(metadata).map_err(|e| internal(&e))?);
    }
    let mut bytes = serde_json::to_vec(&json).map_err(|e| internal(&e))?;
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), b' ');
    Ok(bytes)
}

fn write_values(file: &mut dyn Write, tensor: &NamedValues<'_>, values: &[f32]) -> std::io::Result<()> {
    let expected: usize = tensor.shape.iter().product();
    if values.len() != expected {
        let message =
            format!("{} has {} values; its shape {:?} needs {expected}", tensor.name, values.len(), tensor.shape);
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, message));
    }
    write_f32(file, values)
}

/// Writes values as little-endian bytes.
///
/// # Errors
/// What `file` refuses.
pub fn write_f32(file: &mut dyn Write, values: &[f32]) -> std::io::Result<()> {
    let mut bytes = Vec::with_capacity(BLOCK_BYTES.min(size_of_val(values)));
    for block in values.chunks(BLOCK_BYTES / size_of::<f32>()) {
        bytes.clear();
        bytes.extend(block.iter().flat_map(|value| value.to_le_bytes()));
        file.write_all(&bytes)?;
    }
    Ok(())
}

/// An open safetensors file: its header, and values on request.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    values_start: u64,
    metadata: BTreeMap<String, String>,
    /// Shape and first byte, in the order of the file.
    tensors: Vec<(String, TensorInfo)>,
}

impl TensorFile {
    /// Opens a file and verifies its header against its length. Reads no values.
    ///
    /// # Errors
    /// What the system refuses; a file that is no regular file, is no safetensors file, or is shorter or longer than its
    /// header says.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e: std::io::Error| Error::io("read", path, &e);
        let mut file = file::open(ErrorKind::Weights, "the safetensors file", path)?;
        let length = file.metadata().map_err(io)?.len();
        let wrong = |message: String| Error::weights(format!("not a usable safetensors file: {message}")).at(path);
        let mut head = Vec::new();
        (&file).take(512).read_to_end(&mut head).map_err(io)?;
        // Only where no header begins: the length before one may look like anything.
        if let Some(other) = other_kind(&head).filter(|_| head.get(8) != Some(&b'{')) {
            return Err(other.at(path));
        }
        file.rewind().map_err(io)?;
        let mut prefix = [0u8; 8];
        if length < prefix.len() as u64 {
            return Err(wrong(format!("it has {length} bytes, less than a header")));
        }
        file.read_exact(&mut prefix).map_err(io)?;
        let header_bytes = u64::from_le_bytes(prefix);
        if header_bytes > length - 8 {
            return Err(wrong(format!("its header is {header_bytes} bytes long, the file {length}")));
        }
        if header_bytes > MAX_HEADER_BYTES {
            return Err(wrong(format!("its header is {header_bytes} bytes long; at most {MAX_HEADER_BYTES} are read")));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact(&mut header).map_err(io)?;
        let described: Metadata = serde_json::from_slice(&header).map_err(|e| wrong(e.to_string()))?;
        let values_start = 8 + header_bytes;
        let expected = (described.data_len() as u64).checked_add(values_start);
        if expected != Some(length) {
            let expected = expected.map_or_else(|| "more than fits".into(), |bytes| bytes.to_string());
            return Err(wrong(format!("it has {length} bytes, its header describes {expected}"))
                .hint("the file was cut off or changed; copy or download it again"));
        }
        let metadata = described.metadata().clone().unwrap_or_default().into_iter().collect();
        let names = described.offset_keys();
        let tensors =
            names.into_iter().filter_map(|name| described.info(&name).cloned().map(|info| (name, info))).collect();
        Ok(TensorFile { path: path.to_path_buf(), file, values_start, metadata, tensors })
    }

    /// The header's `__metadata__`.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Name and shape of every tensor, in the order of the file.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.tensors.iter().map(|(name, info)| (name.as_str(), &info.shape[..]))
    }

    /// Type of every tensor in safetensors' spelling, `F32` for example, in the order of the file.
    pub fn dtypes(&self) -> impl Iterator<Item = String> {
        self.tensors.iter().map(|(_, info)| format!("{:?}", info.dtype))
    }

    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.iter().find(|(other, _)| other == name).map(|(_, info)| info)
    }

    /// The values of a float tensor, in C order; F16, BF16 and F64 are converted. 32-bit floats are read by all threads,
    /// straight to where they stay.
    ///
    /// # Errors
    /// No tensor of this name, a type that is no float, or what the system refuses.
    pub fn read(&self, name: &str) -> Result<Vec<f32>> {
        let Some(info) = self.info(name) else {
            return Err(Error::weights(format!("there is no tensor {name}")).at(&self.path));
        };
        let Some((width, convert)) = converter(info.dtype) else {
            return Err(Error::weights(format!("{name} is of type {:?}; expected F32, F16, BF16 or F64", info.dtype))
                .at(&self.path));
        };
        let (start, end) = info.data_offsets;
        let first_byte = self.values_start + start as u64;
        let io = |e: std::io::Error| Error::io("read", &self.path, &e);
        let mut values = vec![0.0f32; (end - start) / width];
        let per_block = BLOCK_BYTES / width;
        values.par_chunks_mut(per_block).enumerate().try_for_each(|(block, values)| {
            let at = first_byte + (block * per_block * width) as u64;
            let Some(convert) = convert else { return read_values_at(&self.file, at, values).map_err(io) };
            let mut bytes = vec![0; values.len() * width];
            read_bytes_at(&self.file, at, &mut bytes).map_err(io)?;
            convert(&bytes, values);
            Ok(())
        })?;
        Ok(values)
    }

    /// The whole file as memory, to be cut with [`mapped`](Self::mapped).
    ///
    /// # Errors
    /// What the system refuses.
    pub fn map(&self) -> Result<Bytes> {
        mapped_file::map(&self.file).map_err(|e| Error::io("map into memory", &self.path, &e))
    }

    /// The values of a tensor in what [`map`](Self::map) gave, in C order; `None` where they cannot be used as they are:
    /// a type other than F32, another order of bytes, or a place that is no multiple of their size.
    pub fn mapped(&self, map: &Bytes, name: &str) -> Option<Bytes> {
        let info = self.info(name)?;
        let (start, end) = info.data_offsets;
        let start_of_values = self.values_start as usize;
        let bytes = map.get(start_of_values + start..start_of_values + end)?;
        let usable = info.dtype == Dtype::F32
            && cfg!(target_endian = "little")
            && bytemuck::try_cast_slice::<u8, f32>(bytes).is_ok();
        usable.then(|| map.slice_ref(bytes))
    }
}

/// Reads little-endian values straight into their place; several threads may do so at once.
fn read_values_at(file: &File, at: u64, values: &mut [f32]) -> std::io::Result<()> {
    read_bytes_at(file, at, bytemuck::cast_slice_mut(values))?;
    if cfg!(target_endian = "big") {
        values.iter_mut().for_each(|value| *value = f32::from_bits(value.to_bits().swap_bytes()));
    }
    Ok(())
}

#[cfg(unix)]
fn read_bytes_at(file: &File, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_bytes_at(file: &File, mut at: u64, mut bytes: &mut [u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes = &mut bytes[count..];
                at += count as u64;
            }
        }
    }
    Ok(())
}

/// Turns little-endian values of another type into 32-bit floats.
type Convert = fn(&[u8], &mut [f32]);

/// Bytes a value, and how it is converted, if it has to be; `None` for types that are not floats.
fn converter(dtype: Dtype) -> Option<(usize, Option<Convert>)> {
    fn each<const W: usize>(bytes: &[u8], out: &mut [f32], convert: impl Fn([u8; W]) -> f32) {
        out.iter_mut().zip(bytes.as_chunks::<W>().0).for_each(|(out, &value)| *out = convert(value));
    }
    Some(match dtype {
        Dtype::F32 => (4, None),
        Dtype::F64 => (8, Some(|bytes, out| each(bytes, out, |value| f64::from_le_bytes(value) as f32))),
        Dtype::F16 => (2, Some(|bytes, out| each(bytes, out, |value| f16::from_le_bytes(value).to_f32()))),
        Dtype::BF16 => (2, Some(|bytes, out| each(bytes, out, |value| bf16::from_le_bytes(value).to_f32()))),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn sample() -> (BTreeMap<String, String>, Vec<NamedValues<'static>>) {
        let tensor = Tensor::from_data(TensorData::new(vec![1.5f32, -2.0, 0.0], [3]), &Device::flex());
        let metadata = BTreeMap::from([("key".to_string(), "value".to_string())]);
        let first =
            NamedValues { name: "b".into(), shape: vec![3], values: Values::Tensor(Box::leak(Box::new(tensor))) };
        let second =
            NamedValues { name: "a".into(), shape: vec![2, 1], values: Values::Slice(&[f32::MIN_POSITIVE, 7.0]) };
        (metadata, vec![first, second])
    }

    #[test]
    fn the_file_is_what_the_safetensors_crate_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write_tensors(&path, &metadata, tensors).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(read.tensor("a").unwrap().shape(), [2, 1]);
        assert_eq!(read.tensor("b").unwrap().data()[..4], 1.5f32.to_le_bytes());
        let ours = TensorFile::open(&path).unwrap();
        assert_eq!(ours.metadata(), &metadata);
        assert_eq!(ours.tensors().collect::<Vec<_>>(), [("b", &[3usize][..]), ("a", &[2, 1][..])]);
        assert_eq!(ours.read("b").unwrap(), [1.5, -2.0, 0.0]);
        assert_eq!(ours.read("a").unwrap(), [f32::MIN_POSITIVE, 7.0]);
        assert!(ours.read("c").is_err());
        let map = ours.map().unwrap();
        assert_eq!(ours.mapped(&map, "b").unwrap(), read.tensor("b").unwrap().data());
        assert_eq!(ours.mapped(&map, "c"), None);
    }

    #[test]
    fn only_floats_in_their_place_are_used_as_they_lie() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        for (dtype, header_bytes, usable) in [("F32", 64, true), ("F32", 66, false), ("I32", 64, false)] {
            let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,8]}}}}"#);
            let mut bytes = (header_bytes as u64).to_le_bytes().to_vec();
            bytes.extend(format!("{header:header_bytes$}").bytes());
            bytes.extend([0, 0, 128, 63, 0, 0, 0, 64]);
            std::fs::write(&path, bytes).unwrap();
            let file = TensorFile::open(&path).unwrap();
            let mapped = file.mapped(&file.map().unwrap(), "a");
            assert_eq!(mapped.is_some(), usable, "{dtype} behind a header of {header_bytes} bytes");
        }
    }

    #[test]
    fn no_truncated_or_lengthened_file_is_accepted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let (metadata, tensors) = sample();
        write_tensors(&path, &metadata, tensors).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for length in (0..whole.len()).chain([whole.len() + 1]) {
            let mut bytes = whole.clone();
            bytes.resize(length, 0);
            std::fs::write(&path, bytes).unwrap();
            let error = TensorFile::open(&path).unwrap_err();
            assert_eq!(error.kind, crate::ErrorKind::Weights, "{length} bytes: {error}");
        }
        for header in [0u64, 1, 1 << 40, u64::MAX] {
            let mut bytes = whole.clone();
            bytes[..8].copy_from_slice(&header.to_le_bytes());
            std::fs::write(&path, bytes).unwrap();
            assert!(TensorFile::open(&path).is_err(), "header of {header} bytes");
        }
        assert!(TensorFile::open(folder.path()).is_err());
    }

    #[test]
    fn a_longer_header_than_any_network_s_is_refused_unread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        let shape = "0,".repeat(45_000_000);
        let json = format!(r#"{{"a":{{"dtype":"F32","shape":[{shape}0],"data_offsets":[0,0]}}}}"#);
        let (found, limit) = (json.len(), MAX_HEADER_BYTES);
        std::fs::write(&path, [&(found as u64).to_le_bytes(), json.as_bytes()].concat()).unwrap();
        let started = std::time::Instant::now();
        let error = TensorFile::open(&path).unwrap_err();
        assert!(started.elapsed() < std::time::Duration::from_millis(200), "{:?}", started.elapsed());
        assert_eq!(error.kind, ErrorKind::Weights);
        assert!(error.message.contains(&format!("{found} bytes long; at most {limit}")), "{error}");
        // As many tensors as fit are told in no time.
        let line =
            |i: usize| format!(r#""{i:x}":{{"dtype":"F32","shape":[],"data_offsets":[{},{}]}}"#, 4 * i, 4 * i + 4);
        let lines: Vec<String> = (0..15_000).map(line).collect();
        let json = format!("{{{}}}", lines.join(","));
        std::fs::write(&path, [&(json.len() as u64).to_le_bytes(), json.as_bytes(), &[0; 60_000]].concat()).unwrap();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!((file.tensors().count(), file.dtypes().filter(|dtype| dtype == "F32").count()), (15_000, 15_000));
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.safetensors");
        std::fs::write(&path, b"old").unwrap();
        let bad = NamedValues { name: "w".into(), shape: vec![2], values: Values::Slice(&[1.0]) };
        assert!(write_tensors(&path, &BTreeMap::new(), vec![bad]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
