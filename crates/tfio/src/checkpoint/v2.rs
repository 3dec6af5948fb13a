//! V2: an `.index` table of entries, and `.data-00000-of-0000n` files with the tensors' little-endian bytes.
//!
//! Under the empty key is a `BundleHeaderProto`, under each tensor's name a `BundleEntryProto`. The entry of a
//! partitioned variable names its slices; each of these has an entry of its own under an ordered code of name and
//! slice. Source: `tensorflow/core/util/tensor_bundle/tensor_bundle.h`,
//! `tensorflow/core/util/saved_tensor_slice_util.cc`, `tensorflow/core/lib/strings/ordered_code.cc`.
//!
//! Not implemented: big-endian files, strings.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use prost::Message;

use super::dtype::{DType, Element};
use super::fault::{CheckpointError, Fault};
use super::info::TensorInfo;
use super::messages::{BundleEntryProto, BundleHeaderProto, TensorSliceProto};
use super::slices::{Placement, Put, Slice, checked_shape, elements, tiling};
use super::storage::Storage;
use super::stream::Stream;
use super::table::{Table, walk};
use crate::masked_crc::{mask, matches};

/// The newest format that is understood (`kTensorBundleVersion`).
const VERSION: i32 = 1;
/// The largest index file, and its entries unpacked: tens of thousands of tensors. VGG-16's has 2 kB.
const MAX_INDEX_BYTES: u64 = 4 << 20;
/// The most entries of an index, and the most slices of all tensors together: each takes more here than in the file.
const MAX_ENTRIES: usize = 1 << 16;
/// The largest entry. One tensor's has 50 bytes, or 10 a slice.
const MAX_ENTRY_BYTES: u64 = 256 << 10;
/// The most data files; one a parameter server is usual.
const MAX_SHARDS: i32 = 1 << 16;
/// Tensors are decoded in pieces of this size, a multiple of every width.
const PIECE_BYTES: usize = 256 << 10;

/// A V2 checkpoint.
#[derive(Debug)]
pub(super) struct V2 {
    shards: Shards,
    /// For each tensor, its slices; none where its type cannot be read.
    tensors: Vec<Vec<Stored>>,
}

/// The data files: beside the index, or in memory.
#[derive(Debug)]
pub(super) enum Shards {
    Files { prefix: PathBuf, count: usize },
    Memory(Vec<Storage>),
}

/// A slice and where its bytes are.
#[derive(Debug)]
struct Stored {
    slice: Slice,
    shard: usize,
    offset: u64,
    size: u64,
    /// Masked.
    crc32c: u32,
}

/// A table's entries, sorted by key.
struct Entries(Vec<Entry>);

/// Key and value.
type Entry = (Vec<u8>, Vec<u8>);

impl V2 {
    /// Reads an index from `storage`, and the sizes of the data files that it names. `index` is the file to be named
    /// in errors.
    pub fn open(
        storage: Storage,
        index: &Path,
        mut shards: Shards,
    ) -> Result<(Self, Vec<TensorInfo>), CheckpointError> {
        let in_index = |fault: Fault| fault.in_file(index);
        let entries = Entries::read(storage).map_err(in_index)?;
        let count = entries.shards().map_err(in_index)?;
        if let Shards::Files { count: files, .. } = &mut shards {
            *files = count;
        }
        let (mut tensors, mut infos, mut slices) = (vec![], vec![], 0);
        for (key, value) in &entries.0 {
            // Names do not begin with a zero byte: that is how the keys of slices begin.
            if key.first().is_some_and(|&byte| byte != 0) {
                let (info, stored) = entries.tensor(key, value, count).map_err(in_index)?;
                slices += stored.len();
                check_count("the number of slices", slices).map_err(in_index)?;
                infos.push(info);
                tensors.push(stored);
            }
        }
        let checkpoint = Self { shards, tensors };
        checkpoint.check_ranges()?;
        Ok((checkpoint, infos))
    }

    /// Every slice must lie within its data file: a file that was cut off is found before anything is read.
    fn check_ranges(&self) -> Result<(), CheckpointError> {
        let mut sizes: HashMap<usize, u64> = HashMap::new();
        for stored in self.tensors.iter().flatten() {
            let limit = match sizes.get(&stored.shard) {
                Some(&size) => size,
                None => {
                    let size = self.shards.with(stored.shard, |storage| Ok(storage.len()))?;
                    sizes.insert(stored.shard, size);
                    size
                }
            };
            let end = stored.offset.checked_add(stored.size);
            if end.is_none_or(|end| end > limit) {
                let (offset, found) = (stored.offset, end.unwrap_or(u64::MAX));
                let fault = Fault::OutOfRange { offset, what: "the end of a tensor", found, limit };
                return Err(fault.in_file(&self.shards.name(stored.shard)));
            }
        }
        Ok(())
    }

    /// Decodes and verifies the values of tensor `number`. Values are handed out before their checksum is known to
    /// match, so they are void where an error follows.
    pub fn read<T: Element>(
        &self,
        number: usize,
        info: &TensorInfo,
        put: &mut Put<'_, T>,
    ) -> Result<(), CheckpointError> {
        for stored in &self.tensors[number] {
            let mut placement = Placement::new(&stored.slice, &info.shape, put);
            self.shards.with(stored.shard, |storage| stored.read(storage, info, &mut placement))?;
        }
        Ok(())
    }
}

impl Stored {
    fn read<T: Element>(
        &self,
        storage: &Storage,
        info: &TensorInfo,
        placement: &mut Placement<'_, T>,
    ) -> Result<(), Fault> {
        let Some(decode) = T::from_fixed(info.dtype) else { return Ok(()) };
        let mut stream = Stream::new(storage, self.offset, self.offset + self.size, PIECE_BYTES);
        let mut piece = vec![0; self.size.min(PIECE_BYTES as u64) as usize];
        let (mut crc, mut values) = (0, vec![]);
        while stream.position() < stream.end() {
            let bytes = (stream.end() - stream.position()).min(PIECE_BYTES as u64) as usize;
            stream.read_exact(&mut piece[..bytes], "a value")?;
            crc = crc32c::crc32c_append(crc, &piece[..bytes]);
            values.clear();
            decode(&piece[..bytes], &mut values);
            placement.feed(&values);
        }
        let (expected, found) = (self.crc32c, mask(crc));
        if !matches(expected, found) {
            return Err(Fault::TensorCrc { name: info.name.clone(), offset: self.offset, expected, found });
        }
        Ok(())
    }
}

impl Shards {
    /// Calls `read` with a data file; its faults name the file.
    fn with<R>(&self, shard: usize, read: impl FnOnce(&Storage) -> Result<R, Fault>) -> Result<R, CheckpointError> {
        let result = match self {
            Self::Files { .. } => Storage::open(&self.name(shard)).and_then(|storage| read(&storage)),
            Self::Memory(shards) => match shards.get(shard) {
                Some(storage) => read(storage),
                None => {
                    let what = "the number of a data file";
                    let (found, limit) = (shard as u64, shards.len() as u64);
                    Err(Fault::OutOfRange { offset: 0, what, found, limit })
                }
            },
        };
        result.map_err(|fault| fault.in_file(&self.name(shard)))
    }

    fn name(&self, shard: usize) -> PathBuf {
        match self {
            Self::Files { prefix, count } => {
                let mut name = prefix.clone().into_os_string();
                name.push(format!(".data-{shard:05}-of-{count:05}"));
                name.into()
            }
            Self::Memory(_) => PathBuf::from(format!("data file {shard} in memory")),
        }
    }
}

impl Entries {
    fn read(storage: Storage) -> Result<Self, Fault> {
        let found = storage.len();
        if found > MAX_INDEX_BYTES {
            let what = "the index file's size";
            return Err(Fault::OutOfRange { offset: 0, what, found, limit: MAX_INDEX_BYTES });
        }
        let table = Table::open(Storage::Memory(storage.read_vec(0, found)?))?;
        let (mut entries, mut held): (Vec<Entry>, u64) = (vec![], 0);
        for block in 0..table.len() {
            table.verify(block)?;
            let contents = table.contents(block)?;
            walk(&contents, &mut |key, start, end| {
                // Keys share prefixes and blocks are compressed: what they unpack to is bounded as a whole.
                held += key.len() as u64 + (end - start);
                let what = "the size of all keys and entries so far";
                if held > MAX_INDEX_BYTES {
                    return Err(Fault::OutOfRange { offset: start, what, found: held, limit: MAX_INDEX_BYTES });
                }
                if entries.last().is_some_and(|(last, _)| last.as_slice() >= key) {
                    return Err(Fault::KeyOrder { offset: start });
                }
                entries.push((key.to_vec(), contents.take(start, end, MAX_ENTRY_BYTES, "an entry's size")?));
                check_count("the number of entries", entries.len())?;
                Ok(())
            })?;
        }
        Ok(Self(entries))
    }

    /// The number of data files, from the header.
    fn shards(&self) -> Result<usize, Fault> {
        let Some((_, header)) = self.0.first().filter(|(key, _)| key.is_empty()) else {
            return Err(Fault::NoHeader { offset: 0, expected: "BundleHeaderProto" });
        };
        let header = BundleHeaderProto::decode(&header[..]).map_err(|error| {
            let reason = error.to_string();
            Fault::Message { offset: 0, what: "BundleHeaderProto", reason }
        })?;
        let min_consumer = header.version.map_or(0, |version| version.min_consumer);
        let checks = [
            ("the format version required", min_consumer, min_consumer <= VERSION, "at most 1"),
            ("the byte order", header.endianness, header.endianness == 0, "0 (little-endian)"),
            (
                "the number of data files",
                header.num_shards,
                (1..=MAX_SHARDS).contains(&header.num_shards),
                "1 to 65536",
            ),
        ];
        match checks.iter().find(|(_, _, passed, _)| !passed) {
            Some(&(what, found, _, expected)) => Err(Fault::Unsupported { what, found: i64::from(found), expected }),
            None => Ok(header.num_shards as usize),
        }
    }

    fn tensor(&self, key: &[u8], value: &[u8], shards: usize) -> Result<(TensorInfo, Vec<Stored>), Fault> {
        let name = std::str::from_utf8(key).map_err(|_| {
            let reason = format!("'{}' is not UTF-8", key.escape_ascii());
            Fault::Message { offset: 0, what: "tensor name", reason }
        })?;
        let entry = decode_entry(name, value)?;
        let shape = checked_shape(name, entry.shape.as_ref())?;
        let info = TensorInfo { name: name.to_string(), dtype: DType::from_proto(entry.dtype), shape };
        if info.dtype.width().is_none() {
            return Ok((info, vec![]));
        }
        if entry.slices.is_empty() {
            let whole = Slice::whole(&info.shape);
            let stored = stored(&info, whole, &entry, shards)?;
            return Ok((info, vec![stored]));
        }
        let mut parts = vec![];
        for (slice, proto) in tiling(name, &info.shape, &entry.slices)?.into_iter().zip(&entry.slices) {
            let key = slice_key(name, proto);
            let Ok(index) = self.0.binary_search_by(|(other, _)| other.as_slice().cmp(&key)) else {
                return Err(Fault::NoValues { name: name.to_string() });
            };
            let entry = decode_entry(name, &self.0[index].1)?;
            if DType::from_proto(entry.dtype) != info.dtype
                || checked_shape(name, entry.shape.as_ref())? != slice.lengths
            {
                let reason = "a slice's entry has another type or shape than the slice";
                return Err(Fault::Slices { name: name.to_string(), shape: info.shape, reason });
            }
            parts.push(stored(&info, slice, &entry, shards)?);
        }
        Ok((info, parts))
    }
}

fn check_count(what: &'static str, count: usize) -> Result<(), Fault> {
    match count <= MAX_ENTRIES {
        true => Ok(()),
        false => Err(Fault::OutOfRange { offset: 0, what, found: count as u64, limit: MAX_ENTRIES as u64 }),
    }
}

fn decode_entry(name: &str, value: &[u8]) -> Result<BundleEntryProto, Fault> {
    BundleEntryProto::decode(value).map_err(|error| {
        let reason = format!("'{name}': {error}");
        Fault::Message { offset: 0, what: "BundleEntryProto", reason }
    })
}

/// Checks that an entry has as many bytes as its slice needs, in a data file that exists.
fn stored(info: &TensorInfo, slice: Slice, entry: &BundleEntryProto, shards: usize) -> Result<Stored, Fault> {
    let expected = (elements(&slice.lengths) * info.dtype.width().unwrap_or(1)) as u64;
    let offset = entry.offset.max(0) as u64;
    let found = entry.size.max(0) as u64;
    if entry.offset < 0 {
        let what = "a tensor's offset, which must not be negative";
        return Err(Fault::OutOfRange { offset: 0, what, found: entry.offset as u64, limit: i64::MAX as u64 });
    }
    if found != expected {
        return Err(Fault::ValueCount { name: info.name.clone(), offset, unit: "bytes", expected, found });
    }
    match usize::try_from(entry.shard_id) {
        Ok(shard) if shard < shards => Ok(Stored { slice, shard, offset, size: found, crc32c: entry.crc32c }),
        _ => Err(Fault::Unsupported {
            what: "a tensor's data file",
            found: i64::from(entry.shard_id),
            expected: "a number below the header's count",
        }),
    }
}

/// `EncodeTensorNameSlice`: a zero, the name, the rank, then start and length of each dimension, -1 for a whole one.
fn slice_key(name: &str, slice: &TensorSliceProto) -> Vec<u8> {
    let mut key = vec![0];
    for byte in name.bytes() {
        match byte {
            0x00 => key.extend([0x00, 0xff]),
            0xff => key.extend([0xff, 0x00]),
            _ => key.push(byte),
        }
    }
    key.extend([0x00, 0x01]);
    put_unsigned(&mut key, slice.extent.len() as u64);
    for extent in &slice.extent {
        put_signed(&mut key, extent.start);
        put_signed(&mut key, extent.length.unwrap_or(-1));
    }
    key
}

/// `OrderedCode::WriteNumIncreasing`: the number of significant bytes, then these, the highest first.
fn put_unsigned(key: &mut Vec<u8>, value: u64) {
    let skipped = value.leading_zeros() as usize / 8;
    key.push(8 - skipped as u8);
    key.extend_from_slice(&value.to_be_bytes()[skipped..]);
}

/// `OrderedCode::WriteSignedNumIncreasing`: `n` bytes of seven bits each, two's complement, the highest first. The
/// first `n` bits say how many there are: ones for a number that is not negative, zeros for a negative one.
fn put_signed(key: &mut Vec<u8>, value: i64) {
    let significant = 64 - (if value < 0 { !value } else { value }).leading_zeros() as usize;
    let length = significant / 7 + 1;
    let mut bytes = [if value < 0 { 0xff } else { 0 }; 10];
    bytes[2..].copy_from_slice(&value.to_be_bytes());
    let bytes = &mut bytes[10 - length..];
    for bit in 0..length {
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
    }
    key.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::messages::{Dim, Extent, TensorShapeProto, VersionDef};
    use super::super::table::write_table;
    use super::*;
    use crate::masked_crc::masked_crc32c;

    fn header(num_shards: i32, endianness: i32, min_consumer: i32) -> Vec<u8> {
        let version = Some(VersionDef { producer: 1, min_consumer });
        BundleHeaderProto { num_shards, endianness, version }.encode_to_vec()
    }

    /// Two floats at the beginning of data file 0.
    fn entry() -> BundleEntryProto {
        let shape = Some(TensorShapeProto { dim: vec![Dim { size: 2 }], unknown_rank: false });
        let crc32c = masked_crc32c(&DATA);
        BundleEntryProto { dtype: 1, shape, shard_id: 0, offset: 0, size: 8, crc32c, slices: vec![] }
    }

    /// 1.0 and 2.0.
    const DATA: [u8; 8] = [0, 0, 0x80, 0x3f, 0, 0, 0, 0x40];

    fn read(header: Vec<u8>, entries: &[(&[u8], BundleEntryProto)], data: &[u8]) -> Result<Vec<f32>, CheckpointError> {
        let mut all = vec![(&b""[..], header)];
        all.extend(entries.iter().map(|(key, entry)| (*key, entry.encode_to_vec())));
        let index = Storage::Memory(write_table(&all, 1, true));
        let shards = Shards::Memory(vec![Storage::Memory(data.to_vec())]);
        let (checkpoint, infos) = V2::open(index, Path::new("index"), shards)?;
        let mut values = vec![0.0; 2];
        checkpoint.read(0, &infos[0], &mut |index, piece: &[f32]| {
            values[index..index + piece.len()].copy_from_slice(piece);
        })?;
        Ok(values)
    }

    #[test]
    fn faults_are_named() {
        let sound = header(1, 0, 0);
        assert_eq!(read(sound.clone(), &[(b"t", entry())], &DATA).unwrap(), [1.0, 2.0]);
        let with = |change: fn(&mut BundleEntryProto)| {
            let mut entry = entry();
            change(&mut entry);
            read(header(1, 0, 0), &[(b"t", entry)], &DATA).unwrap_err().to_string()
        };
        let headed = |header| read(header, &[(b"t", entry())], &DATA).unwrap_err().to_string();
        let cut = read(sound.clone(), &[(b"t", entry())], &DATA[..7]).unwrap_err().to_string();
        let flipped = read(sound, &[(b"t", entry())], &[0; 8]).unwrap_err().to_string();
        let cases = [
            (headed(header(1, 1, 0)), "the byte order is 1, expected 0"),
            (headed(header(0, 0, 0)), "the number of data files is 0, expected 1 to 65536"),
            (headed(header(i32::MAX, 0, 0)), "the number of data files is 2147483647"),
            (headed(header(1, 0, 2)), "the format version required is 2, expected at most 1"),
            (headed(vec![0xff]), "not a valid BundleHeaderProto"),
            (cut, "data file 0 in memory: byte 0: the end of a tensor is 8, expected at most 7"),
            (flipped, "data file 0 in memory: byte 0: tensor 't' has checksum"),
            (with(|entry| entry.size = 4), "'t' has 4 bytes, expected 8"),
            (with(|entry| entry.size = -8), "'t' has 0 bytes, expected 8"),
            (with(|entry| entry.offset = -1), "a tensor's offset, which must not be negative"),
            (with(|entry| entry.offset = i64::MAX), "the end of a tensor is 9223372036854775815, expected at most 8"),
            (with(|entry| entry.shard_id = 1), "a tensor's data file is 1, expected"),
            (with(|entry| entry.shape = None), "'t' has 8 bytes, expected 4"),
            (with(|entry| entry.slices = vec![TensorSliceProto { extent: vec![Extent::default()] }]), "described, but"),
            (with(|entry| entry.slices = vec![TensorSliceProto::default()]), "a slice reaches beyond the tensor"),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(found, expected)| !found.contains(expected)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn entries_that_take_more_memory_than_bytes_are_refused() {
        let keys: Vec<[u8; 4]> = (0..=MAX_ENTRIES as u32).map(|number| (number | 0xff << 24).to_be_bytes()).collect();
        let many: Vec<(&[u8], BundleEntryProto)> =
            keys.iter().map(|key| (&key[..], BundleEntryProto::default())).collect();
        let empty = TensorSliceProto { extent: vec![Extent { start: 0, length: Some(0) }] };
        let slices = vec![empty; MAX_ENTRY_BYTES as usize / 6];
        let large = [(&b"t"[..], BundleEntryProto { slices, ..entry() })];
        for (entries, expected) in [(&many[..], "the number of entries"), (&large[..], "an entry's size")] {
            let error = read(header(1, 0, 0), entries, &DATA).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(check_count("the number of slices", MAX_ENTRIES + 1).is_err());
    }

    #[test]
    fn slice_keys_are_tensorflows() {
        // The first from testdata/tfio/sharded.ckpt.index; escapes and lengths from ordered_code_test.cc's rules.
        let slice = |extents: &[(i64, Option<i64>)]| TensorSliceProto {
            extent: extents.iter().map(|&(start, length)| Extent { start, length }).collect(),
        };
        let found = slice_key("sliced", &slice(&[(4, Some(2)), (0, None)]));
        assert_eq!(found, b"\0sliced\0\x01\x01\x02\x84\x82\x80\x7f");
        assert_eq!(slice_key("", &slice(&[])), b"\0\0\x01\0");
    }

    #[test]
    fn signed_numbers_are_coded_in_order() {
        let cases: [(i64, &[u8]); 10] = [
            (0, &[0x80]),
            (63, &[0xbf]),
            (64, &[0xc0, 0x40]),
            (8191, &[0xdf, 0xff]),
            (8192, &[0xe0, 0x20, 0x00]),
            (-1, &[0x7f]),
            (-64, &[0x40]),
            (-65, &[0x3f, 0xbf]),
            (i64::MAX, &[0xff, 0xc0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            (i64::MIN, &[0x00, 0x3f, 0x80, 0, 0, 0, 0, 0, 0, 0]),
        ];
        let coded = |value| {
            let mut key = vec![];
            put_signed(&mut key, value);
            key
        };
        let wrong: Vec<_> = cases.iter().filter(|(value, bytes)| coded(*value) != *bytes).collect();
        assert!(wrong.is_empty(), "{wrong:x?}");
        let mut numbers: Vec<i64> =
            (0..63).flat_map(|bit| [1 << bit, -(1 << bit), (1 << bit) - 1, -(1 << bit) - 1]).collect();
        numbers.sort_unstable();
        assert!(numbers.iter().map(|&value| coded(value)).is_sorted());
    }
}
