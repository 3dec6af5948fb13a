//! V1: one table. Under the empty key stands the description of all tensors, under the others one slice each.
//!
//! ```text
//! SavedTensorSlices { SavedTensorSliceMeta meta = 1; SavedSlice data = 2; }
//! SavedSlice        { string name = 1; TensorSliceProto slice = 2; TensorProto data = 3; }
//! ```
//!
//! Source: `tensorflow/core/util/{saved_tensor_slice.proto,tensor_slice_writer.h}`. The values stand in the typed
//! lists of `TensorProto` (`float_val` and its kin). The keys repeat name and slice in an ordered code; the messages'
//! own are used instead.
//!
//! A value of hundreds of megabytes is never held as a message: opening a file finds where each slice's `TensorProto`
//! begins and ends, and reading a tensor decodes its values from there in pieces.

use std::collections::HashMap;

use prost::Message;

use super::dtype::{DType, Element};
use super::messages::{SavedTensorSlices, TensorSliceProto};
use super::slices::{Placement, Put, Slice, checked_shape, tiling};
use super::storage::Storage;
use super::stream::Stream;
use super::table::{Contents, Table, walk};
use super::{Fault, TensorInfo};

/// The newest format that is understood (`TF_CHECKPOINT_VERSION`).
const VERSION: i32 = 1;
/// The largest description: tens of thousands of tensors. VGG-16's has 3 kB.
const MAX_META_BYTES: u64 = 4 << 20;
/// The largest name or slice inside a value.
const MAX_NAME_BYTES: u64 = 64 << 10;
/// The buffer that a message's head is read through, and values that are varints.
const HEAD_BYTES: usize = 4 << 10;
/// Values of fixed width are decoded in pieces of this size, a multiple of every width.
const PIECE_BYTES: usize = 256 << 10;

/// A V1 checkpoint.
#[derive(Debug)]
pub(super) struct V1 {
    table: Table,
    /// For each tensor, its slices.
    tensors: Vec<Vec<Stored>>,
}

/// A slice, and the range of its `TensorProto` in the contents of a block.
#[derive(Debug)]
struct Stored {
    slice: Slice,
    place: Option<Place>,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    block: usize,
    start: u64,
    end: u64,
}

/// How a type's values are stored in a `TensorProto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Fixed,
    Varint,
}

/// The field of `TensorProto` that holds values of a type (`tensorflow/core/framework/tensor.proto`).
fn value_field(dtype: DType) -> Option<(u64, Encoding)> {
    match dtype {
        DType::F32 => Some((5, Encoding::Fixed)),
        DType::F64 => Some((6, Encoding::Fixed)),
        DType::I8 | DType::U8 | DType::I16 | DType::I32 => Some((7, Encoding::Varint)),
        DType::I64 => Some((10, Encoding::Varint)),
        DType::F16 | DType::BF16 => Some((13, Encoding::Varint)),
        DType::Other(_) => None,
    }
}

impl V1 {
    pub fn open(storage: Storage) -> Result<(Self, Vec<TensorInfo>), Fault> {
        let table = Table::open(storage)?;
        let mut checkpoint = Self { table, tensors: vec![] };
        let infos = checkpoint.read_meta()?;
        checkpoint.find_values(&infos).map_err(|fault| checkpoint.table.explain(fault))?;
        Ok((checkpoint, infos))
    }

    /// Reads the description of all tensors, from the first entry of the first block.
    fn read_meta(&mut self) -> Result<Vec<TensorInfo>, Fault> {
        let meta = self.meta()?;
        if let Some(versions) = meta.versions.filter(|versions| versions.min_consumer > VERSION) {
            let found = i64::from(versions.min_consumer);
            return Err(Fault::Unsupported { what: "the format version required", found, expected: "at most 1" });
        }
        let mut infos = vec![];
        for tensor in meta.tensor {
            let shape = checked_shape(&tensor.name, tensor.shape.as_ref())?;
            let slices = tiling(&tensor.name, &shape, &tensor.slice)?;
            self.tensors.push(slices.into_iter().map(|slice| Stored { slice, place: None }).collect());
            infos.push(TensorInfo { name: tensor.name, dtype: DType::from_proto(tensor.dtype), shape });
        }
        Ok(infos)
    }

    fn meta(&self) -> Result<super::messages::SavedTensorSliceMeta, Fault> {
        let offset = self.table.offset(0);
        let missing = || Fault::NoHeader { offset, expected: "SavedTensorSliceMeta" };
        if self.table.len() == 0 {
            return Err(missing());
        }
        self.table.verify(0)?;
        let contents = self.table.contents(0)?;
        let mut first = None;
        let mut walked = 0;
        walk(&contents, &mut |key, start, end| {
            if walked == 0 && key.is_empty() {
                first = Some(contents.take(start, end, MAX_META_BYTES, "the size of the description")?);
            }
            walked += 1;
            Ok(())
        })?;
        let message = SavedTensorSlices::decode(&first.ok_or_else(missing)?[..]);
        let message = message.map_err(|error| {
            let reason = error.to_string();
            Fault::Message { offset, what: "SavedTensorSlices", reason }
        })?;
        message.meta.ok_or_else(missing)
    }

    /// Finds each slice's values. Blocks are not verified here: most of their bytes are skipped.
    fn find_values(&mut self, infos: &[TensorInfo]) -> Result<(), Fault> {
        let mut numbers: HashMap<&str, usize> = HashMap::new();
        for (number, info) in infos.iter().enumerate() {
            if numbers.insert(&info.name, number).is_some() {
                return Err(Fault::Duplicate { name: info.name.clone() });
            }
        }
        let (table, tensors) = (&self.table, &mut self.tensors);
        for block in 0..table.len() {
            let contents = table.contents(block)?;
            walk(&contents, &mut |key, start, end| {
                if key.is_empty() {
                    return Ok(());
                }
                let Some(saved) = saved_slice(&contents, start, end)? else { return Ok(()) };
                let Some(&number) = numbers.get(saved.name.as_str()) else { return Ok(()) };
                let slice = Slice::resolve(&saved.slice, &infos[number].shape);
                // A slice that is stored but not described is of no use to anyone.
                let stored = tensors[number].iter_mut().find(|stored| Some(&stored.slice) == slice.as_ref());
                if let Some(stored) = stored {
                    if stored.place.is_some() {
                        return Err(Fault::Duplicate { name: saved.name });
                    }
                    let (start, end) = saved.values;
                    stored.place = Some(Place { block, start, end });
                    check_room(&infos[number], &stored.slice, start, end)?;
                }
                Ok(())
            })?;
        }
        for (stored, info) in tensors.iter().zip(infos) {
            if stored.iter().any(|stored| stored.place.is_none()) {
                return Err(Fault::NoValues { name: info.name.clone() });
            }
        }
        Ok(())
    }

    /// Verifies and decodes the values of tensor `number`.
    pub fn read<T: Element>(&self, number: usize, info: &TensorInfo, put: &mut Put<'_, T>) -> Result<(), Fault> {
        for Stored { slice, place } in &self.tensors[number] {
            let Some(place) = place else { return Err(Fault::NoValues { name: info.name.clone() }) };
            self.table.verify(place.block)?;
            let contents = self.table.contents(place.block)?;
            let mut placement = Placement::new(slice, &info.shape, put);
            let mut values =
                Values { contents: &contents, info, start: place.start, expected: slice.elements(), found: 0 };
            values.read(place.end, &mut placement)?;
        }
        Ok(())
    }
}

/// A slice that claims more elements than its bytes can hold is refused before memory is allocated for them.
fn check_room(info: &TensorInfo, slice: &Slice, start: u64, end: u64) -> Result<(), Fault> {
    let least = match value_field(info.dtype) {
        Some((_, Encoding::Fixed)) => info.dtype.width().unwrap_or(1) as u64,
        _ => 1,
    };
    let (expected, found) = (slice.elements() as u64 * least, end - start);
    if value_field(info.dtype).is_some() && found < expected {
        let (name, unit) = (info.name.clone(), "bytes at most");
        return Err(Fault::ValueCount { name, offset: start, unit, expected, found });
    }
    Ok(())
}

struct SavedSlice {
    name: String,
    slice: TensorSliceProto,
    values: (u64, u64),
}

/// Walks a table's value to its `SavedSlice`, if it has one with values.
fn saved_slice(contents: &Contents<'_>, start: u64, end: u64) -> Result<Option<SavedSlice>, Fault> {
    let mut outer = contents.stream(start, end, HEAD_BYTES);
    while let Some(tag) = outer.tag()? {
        if tag != (2, 2) {
            outer.skip_value(tag.1)?;
            continue;
        }
        let (start, end) = outer.delimited()?;
        let mut stream = contents.stream(start, end, HEAD_BYTES);
        let (mut name, mut slice, mut values) = (String::new(), TensorSliceProto::default(), None);
        while let Some(tag) = stream.tag()? {
            match tag {
                (1, 2) => {
                    let (bytes, offset) = head(contents, &mut stream, "the length of a tensor's name")?;
                    let invalid = |_| Fault::Message { offset, what: "tensor name", reason: "not UTF-8".to_string() };
                    name = String::from_utf8(bytes).map_err(invalid)?;
                }
                (2, 2) => {
                    let (bytes, offset) = head(contents, &mut stream, "the length of a slice")?;
                    slice = TensorSliceProto::decode(&bytes[..]).map_err(|error| {
                        let reason = error.to_string();
                        Fault::Message { offset, what: "TensorSliceProto", reason }
                    })?;
                }
                (3, 2) => values = Some(stream.delimited()?),
                (_, wire_type) => stream.skip_value(wire_type)?,
            }
        }
        return Ok(values.map(|values| SavedSlice { name, slice, values }));
    }
    Ok(None)
}

/// The bytes of a small length-delimited value, and where they begin.
fn head(contents: &Contents<'_>, stream: &mut Stream<'_>, what: &'static str) -> Result<(Vec<u8>, u64), Fault> {
    let (start, end) = stream.delimited()?;
    Ok((contents.take(start, end, MAX_NAME_BYTES, what)?, start))
}

/// The decoding of one slice's `TensorProto`.
struct Values<'v> {
    contents: &'v Contents<'v>,
    info: &'v TensorInfo,
    start: u64,
    expected: usize,
    found: usize,
}

impl Values<'_> {
    fn read<T: Element>(&mut self, end: u64, placement: &mut Placement<'_, T>) -> Result<(), Fault> {
        let dtype = self.info.dtype;
        let wrong_type = || Fault::WrongType { name: self.info.name.clone(), found: dtype, expected: T::SOURCES };
        let (number, encoding) = value_field(dtype).ok_or_else(wrong_type)?;
        let width = dtype.width().ok_or_else(wrong_type)? as u64;
        let single = match (encoding, width) {
            (Encoding::Varint, _) => 0,
            (Encoding::Fixed, 8) => 1,
            (Encoding::Fixed, _) => 5,
        };
        let mut stream = self.contents.stream(self.start, end, HEAD_BYTES);
        while let Some(tag) = stream.tag()? {
            // Lists may be packed, not packed, or in several packed pieces.
            let (start, end) = if tag == (number, 2) {
                stream.delimited()?
            } else if tag == (number, single) {
                let start = stream.position();
                stream.skip_value(single)?;
                (start, stream.position())
            } else {
                stream.skip_value(tag.1)?;
                continue;
            };
            match encoding {
                Encoding::Fixed => self.read_fixed(start, end, width, placement)?,
                Encoding::Varint => self.read_varints(start, end, placement)?,
            }
        }
        match self.found == self.expected {
            true => Ok(()),
            false => Err(self.count(self.found as u64)),
        }
    }

    fn read_fixed<T: Element>(
        &mut self,
        start: u64,
        end: u64,
        width: u64,
        placement: &mut Placement<'_, T>,
    ) -> Result<(), Fault> {
        let Some(decode) = T::from_fixed(self.info.dtype) else { return Ok(()) };
        if !(end - start).is_multiple_of(width) {
            let reason = format!("{} bytes are no whole number of {}-byte values", end - start, width);
            return Err(Fault::Message { offset: start, what: "TensorProto", reason });
        }
        let count = (end - start) / width;
        if count > (self.expected - self.found) as u64 {
            return Err(self.count(self.found as u64 + count));
        }
        let mut stream = self.contents.stream(start, end, HEAD_BYTES);
        let mut piece = vec![0; (end - start).min(PIECE_BYTES as u64) as usize];
        let mut values = Vec::with_capacity(piece.len() / width as usize);
        while stream.position() < end {
            let bytes = (end - stream.position()).min(PIECE_BYTES as u64) as usize;
            stream.read_exact(&mut piece[..bytes], "a value")?;
            values.clear();
            decode(&piece[..bytes], &mut values);
            placement.feed(&values);
        }
        self.found += count as usize;
        Ok(())
    }

    fn read_varints<T: Element>(
        &mut self,
        start: u64,
        end: u64,
        placement: &mut Placement<'_, T>,
    ) -> Result<(), Fault> {
        let Some(decode) = T::from_varint(self.info.dtype) else { return Ok(()) };
        let mut stream = self.contents.stream(start, end, PIECE_BYTES.min((end - start) as usize));
        while stream.position() < end {
            if self.found == self.expected {
                return Err(self.count(self.expected as u64 + 1));
            }
            placement.feed(&[decode(stream.varint("a value")?)]);
            self.found += 1;
        }
        Ok(())
    }

    fn count(&self, found: u64) -> Fault {
        let (name, expected) = (self.info.name.clone(), self.expected as u64);
        Fault::ValueCount { name, offset: self.start, unit: "values", expected, found }
    }
}
