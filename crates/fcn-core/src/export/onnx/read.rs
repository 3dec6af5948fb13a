//! What is in an ONNX file, without its values: they are skipped over, so that a file of any size costs little.
//!
//! Any program's file is read this far, not only ours. Nothing is believed before it is checked: lengths lie inside what
//! holds them, and the values of a tensor are as many as its shape says.

use std::collections::BTreeMap;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use prost::Message;

use super::messages::{Extent, OperatorSetIdProto, ValueInfoProto, element_type_bytes, element_type_name};
use super::messages::{GRAPH_INITIALIZER, MODEL_GRAPH, TENSOR_RAW_DATA};
use crate::{Error, ErrorKind, Result};
use segdata::files::read as file;

/// Longest part that is read rather than skipped.
const MAX_PART_BYTES: u64 = 1 << 20;

/// All parts together.
const MAX_HELD_BYTES: u64 = 8 << 20;

/// The most tensors, values, kinds of operators and pairs of metadata together: each takes more here than in the file.
const MAX_PARTS: u64 = 1 << 16;

/// Longest description of a value that goes in or comes out, and the most axes of anything: more than any runtime takes.
const MAX_VALUE_BYTES: u64 = 16 << 10;
const MAX_AXES: usize = 64;

/// Fields of all messages together: what a hostile file may cost in time.
const MAX_FIELDS: u64 = 4_000_000;

/// What an ONNX file says about itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnnxFile {
    /// Program that wrote it, and its version.
    pub producer: String,
    /// Version of the file format.
    pub ir_version: u64,
    /// Version of each set of operators; ONNX's own has the name `ai.onnx`.
    pub opsets: BTreeMap<String, i64>,
    /// For people.
    pub description: String,
    /// What goes in. Old files list the tensors here as well.
    pub inputs: Vec<OnnxValue>,
    /// What comes out.
    pub outputs: Vec<OnnxValue>,
    /// How many nodes there are of each operator.
    pub operators: BTreeMap<String, usize>,
    /// The constants, in the order of the file.
    pub tensors: Vec<OnnxTensor>,
    /// The metadata.
    pub metadata: BTreeMap<String, String>,
}

/// A value that goes in or comes out.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct OnnxValue {
    /// Its name.
    pub name: String,
    /// `F32` and the like.
    pub dtype: String,
    /// Extent of each axis: a number, a name, or `?`.
    pub shape: Vec<String>,
}

/// A constant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxTensor {
    /// Its name.
    pub name: String,
    /// `F32` and the like.
    pub dtype: String,
    /// Extent of each axis.
    pub shape: Vec<usize>,
}

impl OnnxFile {
    /// Reads what a file says about itself.
    ///
    /// # Errors
    /// What the system refuses; a file that is no regular file, is no ONNX file, or is cut off.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e: std::io::Error| Error::io("read", path, &e);
        let file = file::open(ErrorKind::Weights, "the ONNX file", path)?;
        let length = file.metadata().map_err(io)?.len();
        OnnxFile::read(file, length).map_err(|e| e.at(path))
    }

    /// The same of the first `length` bytes of `reader`.
    ///
    /// # Errors
    /// As [`OnnxFile::open`].
    pub fn read(reader: impl Read + Seek, length: u64) -> Result<Self> {
        let mut skim = Skim { reader: BufReader::new(reader), at: 0, held: 0, fields: 0, parts: 0 };
        skim.model(length).map_err(|fault| match fault {
            Fault::Io(e) => Error::new(ErrorKind::Io, format!("cannot read: {e}")),
            Fault::Format(message) => Error::weights(format!("not a usable ONNX file: {message}")),
        })
    }
}

enum Fault {
    Io(std::io::Error),
    Format(String),
}

type Skimmed<T> = std::result::Result<T, Fault>;

/// A field's content. `Bytes` is still to be read or skipped.
#[derive(Clone, Copy)]
enum Content {
    Number(u64),
    Bytes(u64),
    Fixed,
}

struct Skim<R: Read + Seek> {
    reader: BufReader<R>,
    at: u64,
    held: u64,
    fields: u64,
    parts: u64,
}

impl<R: Read + Seek> Skim<R> {
    fn fault<T>(&self, message: impl std::fmt::Display) -> Skimmed<T> {
        Err(Fault::Format(format!("byte {}: {message}", self.at)))
    }

    fn varint(&mut self, end: u64) -> Skimmed<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            if self.at >= end {
                return self.fault("a number is cut off");
            }
            let mut byte = [0u8];
            self.reader.read_exact(&mut byte).map_err(Fault::Io)?;
            self.at += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        self.fault("a number has more than 64 bits")
    }

    /// The next field before `end`: its number and content.
    fn field(&mut self, end: u64) -> Skimmed<Option<(u32, Content)>> {
        if self.at >= end {
            return Ok(None);
        }
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return self.fault(format!("more than {MAX_FIELDS} fields"));
        }
        let key = self.varint(end)?;
        let Some(number) = u32::try_from(key >> 3).ok().filter(|&number| number > 0) else {
            return self.fault(format!("field number {}", key >> 3));
        };
        let content = match key & 7 {
            0 => Content::Number(self.varint(end)?),
            2 => {
                let length = self.varint(end)?;
                if length > end - self.at {
                    return self.fault(format!("field {number} has {length} bytes, {} are left", end - self.at));
                }
                Content::Bytes(length)
            }
            kind @ (1 | 5) => {
                let length = if kind == 1 { 8 } else { 4 };
                if length > end - self.at {
                    return self.fault(format!("field {number} is cut off"));
                }
                self.skip(length)?;
                Content::Fixed
            }
            other => return self.fault(format!("field {number} has wire type {other}")),
        };
        Ok(Some((number, content)))
    }

    fn skip(&mut self, length: u64) -> Skimmed<()> {
        // A length lies inside the file, so that it fits.
        self.reader.seek_relative(length as i64).map_err(Fault::Io)?;
        self.at += length;
        Ok(())
    }

    fn pass_over(&mut self, content: Content) -> Skimmed<()> {
        match content {
            Content::Bytes(length) => self.skip(length),
            Content::Number(_) | Content::Fixed => Ok(()),
        }
    }

    fn bytes(&mut self, length: u64) -> Skimmed<Vec<u8>> {
        self.held += length;
        if length > MAX_PART_BYTES || self.held > MAX_HELD_BYTES {
            return self.fault(format!("a part of {length} bytes where a short one belongs"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes).map_err(Fault::Io)?;
        self.at += length;
        Ok(bytes)
    }

    /// Counts something that will be kept.
    fn part(&mut self) -> Skimmed<()> {
        self.parts += 1;
        match self.parts > MAX_PARTS {
            true => self.fault(format!("more than {MAX_PARTS} tensors, values, operators and metadata")),
            false => Ok(()),
        }
    }

    /// A string, or how long it is where it is too long to be read.
    fn text(&mut self, length: u64) -> Skimmed<String> {
        if length > MAX_PART_BYTES {
            self.skip(length)?;
            return Ok(format!("({length} bytes)"));
        }
        Ok(String::from_utf8_lossy(&self.bytes(length)?).into_owned())
    }

    fn message<M: Message + Default>(&mut self, length: u64) -> Skimmed<M> {
        let bytes = self.bytes(length)?;
        M::decode(&bytes[..]).or_else(|e| self.fault(format!("before it is no message of its kind: {e}")))
    }

    fn model(&mut self, end: u64) -> Skimmed<OnnxFile> {
        let mut found = OnnxFile::default();
        let mut has_graph = false;
        while let Some((number, content)) = self.field(end)? {
            match (number, content) {
                (1, Content::Number(version)) => found.ir_version = version,
                (2, Content::Bytes(length)) => found.producer.insert_str(0, &self.text(length)?),
                (3, Content::Bytes(length)) => {
                    let version = self.text(length)?;
                    found.producer = format!("{} {version}", found.producer);
                }
                (6, Content::Bytes(length)) => found.description = self.text(length)?,
                (MODEL_GRAPH, Content::Bytes(length)) => {
                    has_graph = true;
                    self.graph(self.at + length, &mut found)?;
                }
                (8, Content::Bytes(length)) => {
                    self.part()?;
                    let set: OperatorSetIdProto = self.message(length)?;
                    let name = if set.domain.is_empty() { "ai.onnx".into() } else { set.domain };
                    found.opsets.insert(name, set.version);
                }
                (14, Content::Bytes(length)) => {
                    self.part()?;
                    let (key, value) = self.pair(self.at + length)?;
                    found.metadata.insert(key, value);
                }
                (_, other) => self.pass_over(other)?,
            }
        }
        match has_graph && found.ir_version > 0 {
            true => Ok(found),
            false => self.fault("the file ends without a format version and a graph"),
        }
    }

    fn pair(&mut self, end: u64) -> Skimmed<(String, String)> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some((number, content)) = self.field(end)? {
            match (number, content) {
                (1, Content::Bytes(length)) => key = self.text(length)?,
                (2, Content::Bytes(length)) => value = self.text(length)?,
                (_, other) => self.pass_over(other)?,
            }
        }
        Ok((key, value))
    }

    fn graph(&mut self, end: u64, found: &mut OnnxFile) -> Skimmed<()> {
        while let Some((number, content)) = self.field(end)? {
            match (number, content) {
                (1, Content::Bytes(length)) => {
                    let operator = self.operator(self.at + length)?;
                    match found.operators.get_mut(&operator) {
                        Some(count) => *count += 1,
                        None => {
                            self.part()?;
                            found.operators.insert(operator, 1);
                        }
                    }
                }
                (GRAPH_INITIALIZER, Content::Bytes(length)) => {
                    self.part()?;
                    let tensor = self.tensor(self.at + length)?;
                    found.tensors.push(tensor);
                }
                (11, Content::Bytes(length)) => found.inputs.push(self.value(length)?),
                (12, Content::Bytes(length)) => found.outputs.push(self.value(length)?),
                (_, other) => self.pass_over(other)?,
            }
        }
        Ok(())
    }

    /// The description of a value that goes in or comes out.
    fn value(&mut self, length: u64) -> Skimmed<OnnxValue> {
        self.part()?;
        if length > MAX_VALUE_BYTES {
            return self.fault(format!("a value is described by {length} bytes; at most {MAX_VALUE_BYTES} are read"));
        }
        let value = shown(&self.message(length)?);
        match value.shape.len() <= MAX_AXES {
            true => Ok(value),
            false => self.fault(format!("before it {} has more than {MAX_AXES} axes", value.name)),
        }
    }

    /// The operator of a node.
    fn operator(&mut self, end: u64) -> Skimmed<String> {
        let mut name = String::new();
        while let Some((number, content)) = self.field(end)? {
            match (number, content) {
                (4, Content::Bytes(length)) => name = self.text(length)?,
                (_, other) => self.pass_over(other)?,
            }
        }
        Ok(name)
    }

    fn tensor(&mut self, end: u64) -> Skimmed<OnnxTensor> {
        let (mut tensor, mut element, mut raw) = (OnnxTensor::default(), 0, None);
        while let Some((number, content)) = self.field(end)? {
            match (number, content) {
                (1, Content::Number(side)) => self.side(side, &mut tensor.shape)?,
                (1, Content::Bytes(length)) => {
                    let end = self.at + length;
                    while self.at < end {
                        let side = self.varint(end)?;
                        self.side(side, &mut tensor.shape)?;
                    }
                }
                (2, Content::Number(number)) => element = i32::try_from(number).unwrap_or(0),
                (8, Content::Bytes(length)) => tensor.name = self.text(length)?,
                (TENSOR_RAW_DATA, Content::Bytes(length)) => {
                    raw = Some(length);
                    self.skip(length)?;
                }
                (_, other) => self.pass_over(other)?,
            }
        }
        tensor.dtype = element_type_name(element);
        let count = tensor.shape.iter().try_fold(1u64, |count, &side| count.checked_mul(side as u64));
        let expected = count.zip(element_type_bytes(element)).and_then(|(count, bytes)| count.checked_mul(bytes));
        match (raw, expected) {
            (Some(found), Some(expected)) if found != expected => self.fault(format!(
                "before it {} of shape {:?} has {found} bytes of values; expected {expected}",
                tensor.name, tensor.shape
            )),
            _ if count.is_none() => self.fault(format!("before it {} has the shape {:?}", tensor.name, tensor.shape)),
            _ => Ok(tensor),
        }
    }

    fn side(&mut self, side: u64, shape: &mut Vec<usize>) -> Skimmed<()> {
        self.held += size_of::<usize>() as u64;
        match i64::try_from(side) {
            Ok(_) if self.held > MAX_HELD_BYTES => return self.fault("more axes than are kept"),
            Ok(side) if shape.len() < MAX_AXES => shape.push(side as usize),
            Ok(_) => return self.fault(format!("a tensor of more than {MAX_AXES} axes")),
            Err(_) => return self.fault("a tensor with a negative extent"),
        }
        Ok(())
    }
}

fn shown(value: &ValueInfoProto) -> OnnxValue {
    let tensor = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
    let sides = tensor.and_then(|tensor| tensor.shape.as_ref()).map_or(&[][..], |shape| &shape.dim);
    let side = |extent: Option<&Extent>| match extent {
        Some(Extent::Value(number)) => number.to_string(),
        Some(Extent::Name(name)) => name.clone(),
        None => "?".into(),
    };
    OnnxValue {
        name: value.name.clone(),
        dtype: tensor.map_or_else(|| "no tensor".into(), |tensor| element_type_name(tensor.elem_type)),
        shape: sides.iter().map(|dim| side(dim.value.as_ref())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::options::OnnxOptions;
    use super::super::write::{save, tests::network};
    use super::*;
    use crate::network::{Backbone, Geometry, Variant};
    use std::io::Cursor;

    fn file() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.onnx");
        save(&path, &network(Variant::Fcn8s, Backbone::Vgg16, Geometry::Caffe), &OnnxOptions::default()).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_tells_its_tensors_operators_and_metadata() {
        let (_folder, path) = file();
        let found = OnnxFile::open(&path).unwrap();
        assert_eq!(found.producer, format!("fcn {}", env!("CARGO_PKG_VERSION")));
        assert_eq!((found.ir_version, found.opsets["ai.onnx"]), (8, 17));
        assert_eq!((found.operators["Conv"], found.operators["MaxPool"], found.operators["ConvTranspose"]), (18, 5, 3));
        assert_eq!(found.metadata["geometry"], "caffe");
        let first = &found.tensors.iter().find(|tensor| tensor.name == "conv1_1.weight").unwrap();
        assert_eq!((first.dtype.as_str(), &first.shape[..]), ("F32", &[8, 3, 3, 3][..]));
        let expected = ["batch", "3", "height", "width"].map(String::from).to_vec();
        assert_eq!(found.inputs, [OnnxValue { name: "image".into(), dtype: "F32".into(), shape: expected }]);
        assert_eq!(found.outputs[0].shape, ["batch", "3", "height", "width"]);
    }

    fn read(bytes: &[u8]) -> Result<OnnxFile> {
        OnnxFile::read(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn cut_files_are_errors_and_flipped_ones_never_a_panic() {
        let (_folder, path) = file();
        let whole = std::fs::read(&path).unwrap();
        assert!(read(&whole).is_ok());
        for at in (0..whole.len()).step_by(64).chain(whole.len() - 64..whole.len()) {
            assert_eq!(read(&whole[..at]).unwrap_err().kind, ErrorKind::Weights, "{at} bytes");
        }
        // A flip in a value is not seen: nothing in the format would show it.
        for at in (0..4096).chain((4096..whole.len()).step_by(64)) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let kind = read(&bytes).map_err(|e| e.kind).err();
            assert!(matches!(kind, None | Some(ErrorKind::Weights)), "byte {at}: {kind:?}");
        }
    }

    #[test]
    fn parts_that_take_more_memory_than_bytes_are_refused() {
        let field = |number: u8, content: &[u8]| {
            let mut bytes = vec![number << 3 | 2];
            prost::encoding::encode_varint(content.len() as u64, &mut bytes);
            [&bytes, content].concat()
        };
        let file = |graph: &[u8], rest: &[u8]| [&[0x08, 8][..], &field(7, graph), rest].concat();
        let more = MAX_PARTS as usize + 1;
        let numbered = |number: u8, inner: u8| {
            let each = |i: usize| field(number, &field(inner, format!("{i:05x}").as_bytes()));
            (0..more).flat_map(each).collect::<Vec<u8>>()
        };
        // A shape of 65 unknown axes, two bytes each, inside a type inside a value.
        let axes = field(2, &field(1, &field(2, &[0x0a, 0].repeat(65))));
        let cases = [
            ("tensors", file(&[0x2a, 0].repeat(more), b""), "more than"),
            ("inputs", file(&[0x5a, 0].repeat(more), b""), "more than"),
            ("operators", file(&numbered(1, 4), b""), "more than"),
            ("metadata", file(b"", &numbered(14, 1)), "more than"),
            ("axes", file(&field(11, &axes), b""), "more than 64 axes"),
            ("a long value", file(&field(11, &vec![0; MAX_VALUE_BYTES as usize + 1]), b""), "is described by"),
        ];
        let mut wrong = Vec::new();
        for (what, bytes, expected) in cases {
            match read(&bytes) {
                Err(error) if error.message.contains(expected) => {}
                found => wrong.push(format!("{what}: {:?}", found.map(|_| "accepted"))),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Nodes of one kind are counted, not kept.
        assert_eq!(read(&file(&[0x0a, 0].repeat(more), b"")).unwrap().operators.len(), 1);
    }

    #[test]
    fn what_lies_about_lengths_is_refused_at_once() {
        let cases: [(&str, &[u8]); 6] = [
            ("empty", &[]),
            ("words", b"hello, world"),
            ("4 GiB in a graph", &[0x08, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
            ("an endless number", &[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            // A tensor of [2] with one byte of float32, and one of 2^62 x 4.
            ("few values", &[0x08, 8, 0x3a, 9, 0x2a, 7, 0x08, 2, 0x10, 1, 0x4a, 1, 0]),
            (
                "a shape beyond 64 bits",
                &[
                    0x08, 8, 0x3a, 16, 0x2a, 14, 0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0x08, 4,
                    0x10, 1,
                ],
            ),
        ];
        let mut accepted = Vec::new();
        for (what, bytes) in cases {
            if let Ok(found) = read(bytes) {
                accepted.push(format!("{what}: {found:?}"));
            }
        }
        assert!(accepted.is_empty(), "{accepted:#?}");
        assert!(OnnxFile::open(std::path::Path::new("/")).is_err());
    }
}
