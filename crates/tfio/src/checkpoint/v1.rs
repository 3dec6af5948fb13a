//! V1: one table. Under the empty key is the description of all tensors, under the others one slice each.
//!
//! ```text
//! SavedTensorSlices { SavedTensorSliceMeta meta = 1; SavedSlice data = 2; }
//! SavedSlice        { string name = 1; TensorSliceProto slice = 2; TensorProto data = 3; }
//! ```
//!
//! Source: `tensorflow/core/util/{saved_tensor_slice.proto,tensor_slice_writer.h}`. The values are in the typed
//! lists of `TensorProto` (`float_val` and its kin). The keys repeat name and slice in an ordered code; the messages'
//! own are used instead.
//!
//! A value of hundreds of megabytes is never held as a message: opening a file finds where each slice's `TensorProto`
//! begins and ends, and reading a tensor decodes its values from there in pieces.

use std::collections::HashMap;

use prost::Message;

use super::dtype::{DType, Element};
use super::fault::Fault;
use super::info::TensorInfo;
use super::messages::{SavedTensorSliceMeta, SavedTensorSlices, TensorSliceProto};
use super::slices::{Placement, Put, Slice, checked_shape, tiling};
use super::storage::Storage;
use super::stream::Stream;
use super::table::{Contents, Table, walk};

/// The newest format that is understood (`TF_CHECKPOINT_VERSION`).
const VERSION: i32 = 1;
/// The largest description: thousands of tensors. VGG-16's has 3 kB. Decoded, two bytes of it can take fifty times their
/// size.
const MAX_META_BYTES: u64 = 512 << 10;
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

    fn meta(&self) -> Result<SavedTensorSliceMeta, Fault> {
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
                    check_size(&infos[number], &stored.slice, start, end)?;
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
fn check_size(info: &TensorInfo, slice: &Slice, start: u64, end: u64) -> Result<(), Fault> {
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

#[cfg(test)]
mod tests {
    use super::super::messages::{Dim, Extent, SavedSliceMeta, TensorShapeProto, VersionDef};
    use super::super::table::write_table;
    use super::*;
    use crate::wire::put_header;

    fn rows(start: i64, length: i64) -> TensorSliceProto {
        TensorSliceProto { extent: vec![Extent { start, length: Some(length) }] }
    }

    fn described(name: &str, dtype: i32, dim: i64, slice: &[TensorSliceProto]) -> SavedSliceMeta {
        let shape = Some(TensorShapeProto { dim: vec![Dim { size: dim }], unknown_rank: false });
        SavedSliceMeta { name: name.to_string(), shape, dtype, slice: slice.to_vec() }
    }

    fn meta(tensor: &[SavedSliceMeta], min_consumer: i32) -> Vec<u8> {
        let versions = Some(VersionDef { producer: 1, min_consumer });
        SavedTensorSlices { meta: Some(SavedTensorSliceMeta { tensor: tensor.to_vec(), versions }) }.encode_to_vec()
    }

    /// A length-delimited field.
    fn delimited(field: u32, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![];
        put_header(&mut out, field, bytes.len());
        out.extend_from_slice(bytes);
        out
    }

    fn saved(name: &str, slice: &TensorSliceProto, tensor: &[u8]) -> Vec<u8> {
        let fields = [delimited(1, name.as_bytes()), delimited(2, &slice.encode_to_vec()), delimited(3, tensor)];
        delimited(2, &fields.concat())
    }

    fn packed(values: &[f32]) -> Vec<u8> {
        delimited(5, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    /// A file of one description and values under the keys a, b, c ...
    fn file(meta: Vec<u8>, values: &[Vec<u8>], block_bytes: usize, snappy: bool) -> Vec<u8> {
        let keys: Vec<[u8; 1]> = (0..values.len()).map(|index| [b'a' + index as u8]).collect();
        let mut entries = vec![(&b""[..], meta)];
        entries.extend(keys.iter().zip(values).map(|(key, value)| (&key[..], value.clone())));
        write_table(&entries, block_bytes, snappy)
    }

    fn read(file: Vec<u8>, name: &str) -> Result<Vec<f32>, Fault> {
        let (checkpoint, infos) = V1::open(Storage::Memory(file))?;
        let number = infos.iter().position(|info| info.name == name).unwrap();
        let mut values = vec![0.0; infos[number].shape.iter().product()];
        checkpoint.read(number, &infos[number], &mut |index, piece: &[f32]| {
            values[index..index + piece.len()].copy_from_slice(piece);
        })?;
        Ok(values)
    }

    /// A tensor of six values in two slices, in a file of several blocks.
    fn sliced(block_bytes: usize, snappy: bool) -> Vec<u8> {
        let slices = [rows(0, 4), rows(4, 2)];
        let values =
            [saved("t", &slices[1], &packed(&[5.0, 6.0])), saved("t", &slices[0], &packed(&[1.0, 2.0, 3.0, 4.0]))];
        file(meta(&[described("t", 1, 6, &slices)], 0), &values, block_bytes, snappy)
    }

    #[test]
    fn blocks_of_any_size_and_type_give_the_same_values() {
        for (block_bytes, snappy) in [(1, false), (1, true), (1 << 20, false), (1 << 20, true)] {
            let values = read(sliced(block_bytes, snappy), "t").unwrap();
            assert_eq!(values, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "{block_bytes} {snappy}");
        }
    }

    #[test]
    fn lists_that_are_not_packed_or_in_pieces_are_accepted() {
        let one = |value: f32| [&[5 << 3 | 5][..], &value.to_le_bytes()].concat();
        // Another field (tensor_shape) in between is skipped.
        let tensor = [one(1.0), packed(&[2.0, 3.0]), delimited(2, b"xyz"), packed(&[]), one(4.0)].concat();
        let slice = [rows(0, 4)];
        let values =
            read(file(meta(&[described("t", 1, 4, &slice)], 0), &[saved("t", &slice[0], &tensor)], 9, false), "t");
        assert_eq!(values.unwrap(), [1.0, 2.0, 3.0, 4.0]);
        let halves = [&[13 << 3, 0x80, 0x78][..], &delimited(13, &[0x80, 0x80, 0x01])].concat();
        let slice = [rows(0, 2)];
        let values =
            read(file(meta(&[described("h", 19, 2, &slice)], 0), &[saved("h", &slice[0], &halves)], 9, false), "h");
        assert_eq!(values.unwrap(), [1.0, 2.0]);
    }

    #[test]
    fn faults_are_named() {
        let whole = [rows(0, 2)];
        let tensor = described("t", 1, 2, &whole);
        let mut many_axes = tensor.clone();
        many_axes.shape = Some(TensorShapeProto { dim: vec![Dim { size: 1 }; 255], unknown_rank: false });
        let one = [tensor.clone()];
        let with = |tensors: &[SavedSliceMeta], values: &[Vec<u8>]| {
            read(file(meta(tensors, 0), values, 1, false), "t").unwrap_err().to_string()
        };
        let of = |tensor: &[u8]| saved("t", &whole[0], tensor);
        let sound = [of(&packed(&[1.0, 2.0]))];
        let too_new = file(meta(&[], 2), &[], 1, false);
        let headless = write_table(&[(b"a", vec![])], 1, false);
        let odd = [packed(&[1.0]), delimited(5, &[0, 0, 0, 0, 0])].concat();
        let cases = [
            (with(&one, &[]), "tensor 't' is described, but its values"),
            (with(&one, &[saved("u", &whole[0], &packed(&[1.0, 2.0]))]), "tensor 't' is described, but"),
            (with(&one, &[saved("t", &rows(0, 1), &packed(&[1.0, 2.0]))]), "tensor 't' is described, but"),
            (with(&one, &[sound.clone(), sound.clone()].concat()), "tensor 't' is described twice"),
            (with(&[tensor.clone(), tensor], &sound), "tensor 't' is described twice"),
            (with(&one, &[of(&packed(&[1.0]))]), "'t' has 6 bytes at most, expected 8"),
            (with(&one, &[of(&[packed(&[1.0]), delimited(2, &[0; 9])].concat())]), "has 1 values, expected 2"),
            (with(&one, &[of(&packed(&[1.0, 2.0, 3.0]))]), "has 3 values, expected 2"),
            (with(&one, &[of(&odd)]), "5 bytes are no whole number of 4-byte values"),
            (with(&one, &[of(&[0x2a, 99, 0, 0, 0, 0, 0, 0])]), "a field's length is 99, expected at most 6"),
            (with(&one, &[of(&[0x2b, 0, 0, 0, 0, 0, 0, 0])]), "wire type 3, expected 0, 1, 2 or 5"),
            (with(&[described("t", 7, 2, &whole)], &sound), "tensor 't' holds string, expected float32"),
            (with(&[described("t", 1, -2, &whole)], &sound), "tensor 't' has shape [-2]"),
            (
                with(&[described("t", 1, 1 << 40, &[rows(0, 1 << 40)])], &[saved("t", &rows(0, 1 << 40), &[])]),
                "bytes at most",
            ),
            (with(&vec![described("t", 1, 2, &whole); 1 << 15], &sound), "expected at most 524288"),
            (with(&[many_axes], &sound), "tensor 't' has 255 dimensions, expected at most 254"),
            (read(too_new, "t").unwrap_err().to_string(), "the format version required is 2, expected at most 1"),
            (read(headless, "t").unwrap_err().to_string(), "no SavedTensorSliceMeta under the empty key"),
            (read(write_table(&[], 1, false), "t").unwrap_err().to_string(), "no SavedTensorSliceMeta"),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(found, expected)| !found.contains(expected)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn damage_in_a_block_that_is_not_yet_verified_is_called_damage() {
        let sound = sliced(1, false);
        let second_block = 3 + meta(&[described("t", 1, 6, &[rows(0, 4), rows(4, 2)])], 0).len() + 8 + 5;
        let mut wrong = vec![];
        for position in second_block..second_block + 30 {
            let mut damaged = sound.clone();
            damaged[position] ^= 0xff;
            match read(damaged, "t") {
                Err(Fault::BlockCrc { .. }) => {}
                other => wrong.push((position, other)),
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
