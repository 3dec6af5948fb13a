//! A state dict as `torch.save` writes it: a zip archive without compression that holds a pickle, which names the
//! tensors, and a file of values for each.
//!
//! Source: `torch/serialization.py` and `caffe2/serialize/inline_container.cc` of PyTorch; APPNOTE.TXT of PKWARE for the
//! archive; `Lib/pickletools.py` of CPython for protocol 2. Only what `torch.load(weights_only=True)` takes is used. Times
//! are left out, so that equal networks are equal files.

use std::io::Write;
use std::path::Path;

use super::tensor::NamedTensor;
use crate::device::values::with_values;
use crate::weights::tensor_file::{f32_le_blocks, write_f32};
use crate::{Error, Result};
use segdata::files::write::write_atomically;

/// The folder in the archive. PyTorch uses the file's name; any will do.
const FOLDER: &str = "archive";

/// PyTorch aligns the values of each tensor to this, so that they can be mapped into memory.
const ALIGNMENT: u64 = 64;

/// Larger archives need zip's 64-bit extension.
const MAX_BYTES: u64 = u32::MAX as u64;

/// Lengths of zip's records without names and extra fields.
const LOCAL_HEADER_BYTES: u64 = 30;
const EXTRA_FIELD_HEADER_BYTES: u64 = 4;

/// The day 0 of zip's calendar: 1 January 1980.
const DATE: u16 = 0x21;

/// Writes tensors to `path`: all of it or nothing, durable when this returns.
///
/// # Errors
/// What the system refuses; an archive of 4 GiB or more.
pub fn write(path: &Path, tensors: &[NamedTensor]) -> Result<()> {
    let bytes: u64 = tensors.iter().map(|tensor| 4 * tensor.len() as u64 + 1024).sum();
    if bytes > MAX_BYTES {
        return Err(Error::usage(format!("the network takes {bytes} bytes; a .pth file holds at most {MAX_BYTES}"))
            .hint("give a file name that ends in .safetensors")
            .at(path));
    }
    write_atomically(path, |file| {
        let io = |e: std::io::Error| Error::io("write", path, &e);
        let mut archive = Archive { file, at: 0, entries: Vec::new() };
        archive.small("data.pkl", &pickle(tensors)).map_err(io)?;
        archive.small("byteorder", b"little").map_err(io)?;
        for (index, tensor) in tensors.iter().enumerate() {
            with_values(&tensor.values, |values| archive.floats(&format!("data/{index}"), values))?.map_err(io)?;
        }
        archive.small("version", b"3\n").map_err(io)?;
        archive.finish().map_err(io)
    })
}

/// `{name: torch._utils._rebuild_tensor_v2(storage, 0, shape, strides, False, OrderedDict())}`.
fn pickle(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut pickle = Pickle(vec![0x80, 2]);
    pickle.0.extend(b"}("); // an empty dict, a mark
    for (index, tensor) in tensors.iter().enumerate() {
        pickle.text(&tensor.name);
        pickle.global("torch._utils", "_rebuild_tensor_v2");
        pickle.0.extend(b"(("); // two marks: the arguments, the storage
        pickle.text("storage");
        pickle.global("torch", "FloatStorage");
        pickle.text(&index.to_string());
        pickle.text("cpu");
        pickle.int(tensor.len());
        pickle.0.extend(b"tQ"); // a tuple, and what it stands for outside the pickle
        pickle.int(0);
        pickle.ints(&tensor.shape);
        pickle.ints(&strides(&tensor.shape));
        pickle.0.push(0x89); // False
        pickle.global("collections", "OrderedDict");
        pickle.0.extend(b")RtR"); // call it with nothing; a tuple; call the function with it
    }
    pickle.0.extend(b"u."); // put the pairs into the dict; stop
    pickle.0
}

/// Distance between neighbours along each axis, in values.
fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|axis| shape[axis + 1..].iter().product()).collect()
}

/// A program for the pickle machine.
struct Pickle(Vec<u8>);

impl Pickle {
    fn text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend((text.len() as u32).to_le_bytes());
        self.0.extend(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.0.extend(format!("c{module}\n{name}\n").as_bytes());
    }

    fn int(&mut self, value: usize) {
        match i32::try_from(value) {
            Ok(value) => {
                self.0.push(b'J');
                self.0.extend(value.to_le_bytes());
            }
            Err(_) => {
                self.0.extend([0x8a, 9]); // a number of nine bytes: the ninth keeps it positive
                self.0.extend((value as u64).to_le_bytes());
                self.0.push(0);
            }
        }
    }

    fn ints(&mut self, values: &[usize]) {
        self.0.push(b'(');
        values.iter().for_each(|&value| self.int(value));
        self.0.push(b't');
    }
}

/// A zip archive that is being written.
struct Archive<'a> {
    file: &'a mut dyn Write,
    at: u64,
    entries: Vec<Entry>,
}

/// A file in it.
struct Entry {
    name: String,
    at: u64,
    bytes: u64,
    crc: u32,
}

impl Archive<'_> {
    fn small(&mut self, name: &str, content: &[u8]) -> std::io::Result<()> {
        self.begin(name, content.len() as u64, crc32fast::hash(content))?;
        self.file.write_all(content)
    }

    /// Twice through the values: their checksum stands before them.
    fn floats(&mut self, name: &str, values: &[f32]) -> std::io::Result<()> {
        let mut crc = crc32fast::Hasher::new();
        f32_le_blocks(values, |block| {
            crc.update(block);
            Ok(())
        })?;
        self.begin(name, size_of_val(values) as u64, crc.finalize())?;
        write_f32(self.file, values)
    }

    /// The header before a file's content, long enough that the content is aligned.
    fn begin(&mut self, name: &str, bytes: u64, crc: u32) -> std::io::Result<()> {
        let entry = Entry { name: format!("{FOLDER}/{name}"), at: self.at, bytes, crc };
        let start = self.at + LOCAL_HEADER_BYTES + entry.name.len() as u64 + EXTRA_FIELD_HEADER_BYTES;
        let padding = (start.next_multiple_of(ALIGNMENT) - start) as u16;
        let mut header = b"PK\x03\x04".to_vec();
        entry.put_description(&mut header, EXTRA_FIELD_HEADER_BYTES as u16 + padding);
        header.extend(entry.name.as_bytes());
        header.extend(b"FB"); // PyTorch's own name for this filler
        header.extend(padding.to_le_bytes());
        header.resize(header.len() + usize::from(padding), b'Z');
        self.file.write_all(&header)?;
        self.at += header.len() as u64 + bytes;
        self.entries.push(entry);
        Ok(())
    }

    /// The table of contents.
    fn finish(self) -> std::io::Result<()> {
        let mut table = Vec::new();
        for entry in &self.entries {
            table.extend(b"PK\x01\x02\0\0"); // made by version 0
            entry.put_description(&mut table, 0);
            table.extend([0; 10]); // comment, disk, attributes
            table.extend((entry.at as u32).to_le_bytes());
            table.extend(entry.name.as_bytes());
        }
        let bytes = table.len() as u32;
        let count = (self.entries.len() as u16).to_le_bytes();
        table.extend(b"PK\x05\x06\0\0\0\0"); // this disk, the table's disk
        table.extend(count);
        table.extend(count);
        table.extend(bytes.to_le_bytes());
        table.extend((self.at as u32).to_le_bytes());
        table.extend([0, 0]); // comment
        self.file.write_all(&table)
    }
}

impl Entry {
    /// What stands before a file's content and again in the table of contents.
    fn put_description(&self, out: &mut Vec<u8>, extra: u16) {
        let [needed, flags, stored, time] = [0u16; 4];
        for word in [needed, flags, stored, time, DATE] {
            out.extend(word.to_le_bytes());
        }
        for word in [self.crc, self.bytes as u32, self.bytes as u32] {
            out.extend(word.to_le_bytes());
        }
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend(extra.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, Tensor, TensorData};

    fn tensor(name: &str, shape: &[usize]) -> NamedTensor {
        let values: Vec<f32> = (0..shape.iter().product()).map(|i| i as f32 - 1.5).collect();
        let values = Tensor::from_data(TensorData::new(values.clone(), [values.len()]), &Device::flex());
        NamedTensor { name: name.into(), shape: shape.to_vec(), values }
    }

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn the_table_of_contents_leads_to_aligned_values_with_their_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth");
        let tensors = [tensor("a.weight", &[2, 3, 1]), tensor("a.bias", &[2])];
        write(&path, &tensors).unwrap();
        let file = std::fs::read(&path).unwrap();
        let end = file.len() - 22;
        assert_eq!(&file[end..end + 4], b"PK\x05\x06");
        let mut at = word(&file, end + 16);
        assert_eq!(at + word(&file, end + 12), end);
        let mut names = Vec::new();
        while &file[at..at + 4] == b"PK\x01\x02" {
            let name_bytes = usize::from(file[at + 28]);
            let name = String::from_utf8(file[at + 46..at + 46 + name_bytes].to_vec()).unwrap();
            let (crc, bytes, local) = (word(&file, at + 16), word(&file, at + 20), word(&file, at + 42));
            let extra = usize::from(u16::from_le_bytes([file[local + 28], file[local + 29]]));
            let start = local + 30 + usize::from(file[local + 26]) + extra;
            assert_eq!(&file[local..local + 4], b"PK\x03\x04", "{name}");
            assert_eq!(start % 64, 0, "{name}");
            assert_eq!(crc32fast::hash(&file[start..start + bytes]) as usize, crc, "{name}");
            if name == "archive/data/0" {
                let expected: Vec<u8> = (0..6).flat_map(|i| (i as f32 - 1.5).to_le_bytes()).collect();
                assert_eq!(&file[start..start + bytes], expected);
            }
            names.push(name);
            at += 46 + name_bytes;
        }
        let expected = ["data.pkl", "byteorder", "data/0", "data/1", "version"];
        assert_eq!(names, expected.map(|name| format!("archive/{name}")));
    }

    #[test]
    fn tensors_come_back_by_name_bit_for_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.pth");
        let tensors = [tensor("a.weight", &[2, 3, 1, 1]), tensor("a.bias", &[2]), tensor("none", &[0, 4])];
        write(&path, &tensors).unwrap();
        let mut file = torchio::TorchFile::open(&path).unwrap();
        let names: Vec<String> = file.tensors().iter().map(|tensor| tensor.name.clone()).collect();
        assert_eq!(names, ["a.weight", "a.bias", "none"]);
        for (index, tensor) in tensors.iter().enumerate() {
            assert_eq!(file.tensors()[index].shape, tensor.shape);
            let expected = with_values(&tensor.values, <[f32]>::to_vec).unwrap();
            assert_eq!(file.read_f32(&tensor.name).unwrap(), expected, "{}", tensor.name);
        }
    }

    #[test]
    fn the_pickle_of_one_tensor_is_this() {
        // Disassembled by pickletools.dis and loaded by torch.load: reference/check_export.py.
        let expected: &[u8] = b"\x80\x02}(X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage\
            ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuJ\x06\0\0\0tQJ\0\0\0\0(J\x02\0\0\0J\x03\0\0\0t\
            (J\x03\0\0\0J\x01\0\0\0t\x89ccollections\nOrderedDict\n)RtRu.";
        assert_eq!(pickle(&[tensor("w", &[2, 3])]), expected);
    }
}
