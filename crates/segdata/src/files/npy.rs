//! NumPy's array file, version 1.0 (`numpy/lib/format.py`): probabilities for other programs, written and read.
//!
//! Ours hold 32-bit little-endian floats in C order; those of 16 and 64 bits are read too. The header is a Python
//! dictionary as text, padded with spaces so that the values start at a multiple of 64 bytes.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use half::f16;

use crate::error::{Error, ErrorKind, Result};
use crate::files::write::write_atomically;

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
const ALIGNMENT: usize = 64;

/// Bytes that a header may claim: far more than any array of floats needs.
const MAX_HEADER_BYTES: usize = 1 << 16;

/// Bytes decoded at a time; a multiple of every size of a value.
const BLOCK_BYTES: usize = 1 << 18;

/// Writes `values` with this shape, in C order.
///
/// # Errors
/// A length that is not that of the shape; what the system refuses.
pub fn write(path: &Path, shape: &[usize], values: &[f32]) -> Result<()> {
    if values.len() != shape.iter().product::<usize>() {
        return Err(Error::internal(format!("{} values for an array of shape {shape:?}", values.len())));
    }
    let header = header(shape)?;
    write_atomically(path, |file| {
        let fault = |e: std::io::Error| Error::io("write the array", path, &e);
        file.write_all(&header).map_err(fault)?;
        for block in values.chunks(1 << 16) {
            let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
            file.write_all(&bytes).map_err(fault)?;
        }
        Ok(())
    })
}

fn header(shape: &[usize]) -> Result<Vec<u8>> {
    let sides: String = shape.iter().map(|side| format!("{side}, ")).collect();
    let sides = if shape.len() == 1 { sides.trim_end() } else { sides.trim_end_matches(", ") };
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({sides}), }}");
    let unpadded = MAGIC.len() + 2 + text.len() + 1;
    text.push_str(&" ".repeat(unpadded.next_multiple_of(ALIGNMENT) - unpadded));
    text.push('\n');
    let length = u16::try_from(text.len())
        .map_err(|_| Error::internal(format!("an array header of {} bytes does not fit version 1.0", text.len())))?;
    Ok([MAGIC.as_slice(), &length.to_le_bytes(), text.as_bytes()].concat())
}

/// How the values of a file are stored; all become `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    F16,
    F32,
    F64,
}

impl Stored {
    fn parse(descr: &str) -> Option<Self> {
        match descr {
            "<f2" => Some(Stored::F16),
            "<f4" => Some(Stored::F32),
            "<f8" => Some(Stored::F64),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Stored::F16 => 2,
            Stored::F32 => 4,
            Stored::F64 => 8,
        }
    }

    /// Appends the values of `bytes`, whose length is a multiple of [`bytes`](Self::bytes).
    fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Stored::F16 => values.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())),
            Stored::F32 => {
                values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
            }
            Stored::F64 => values.extend(wide(bytes).map(|value| value as f32)),
        }
    }
}

/// 64-bit floats.
fn wide(bytes: &[u8]) -> impl Iterator<Item = f64> {
    bytes.chunks_exact(8).map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
}

/// An array file whose header has been read and whose size fits it; the values have not been touched.
#[derive(Debug)]
pub struct ArrayFile<R = File> {
    shape: Vec<usize>,
    stored: Stored,
    /// Positioned at the first value.
    rest: BufReader<R>,
}

impl ArrayFile {
    /// Opens an array of 16-, 32- or 64-bit little-endian floats in C order and validates its header.
    ///
    /// # Errors
    /// What the system refuses; a file that is no such array (the message says what it is instead), or that is shorter
    /// or longer than its header says.
    pub fn open(path: &Path) -> Result<Self> {
        let io = |e: std::io::Error| Error::io("read the array", path, &e);
        let file = crate::files::read::open(ErrorKind::Data, "the array", path)?;
        let length = file.metadata().map_err(io)?.len();
        Self::parse(file, length).map_err(|e| e.at(path))
    }
}

impl<R: Read> ArrayFile<R> {
    /// The array's sides.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values as 32-bit floats, in C order.
    ///
    /// # Errors
    /// A file that has become shorter meanwhile, or that the system fails to read.
    pub fn values(mut self) -> Result<Vec<f32>> {
        let mut values = Vec::with_capacity(self.shape.iter().product());
        let stored = self.stored;
        self.each_block(|bytes| stored.decode(bytes, &mut values))?;
        Ok(values)
    }

    /// Whether the values are stored in 64 bits.
    pub fn is_f64(&self) -> bool {
        self.stored == Stored::F64
    }

    /// Hands the values of an array of 64-bit floats to `take`, in C order; of other arrays nothing.
    ///
    /// # Errors
    /// As [`values`](Self::values).
    pub fn each_f64(mut self, mut take: impl FnMut(f64)) -> Result<()> {
        match self.is_f64() {
            true => self.each_block(|bytes| wide(bytes).for_each(&mut take)),
            false => Ok(()),
        }
    }

    /// Hands the values as they are stored to `take`, a block at a time.
    fn each_block(&mut self, mut take: impl FnMut(&[u8])) -> Result<()> {
        let mut left = self.shape.iter().product::<usize>() * self.stored.bytes();
        let mut block = vec![0; BLOCK_BYTES];
        while left > 0 {
            let bytes = left.min(BLOCK_BYTES);
            (self.rest.read_exact(&mut block[..bytes]))
                .map_err(|e| Error::new(crate::error::ErrorKind::Io, format!("cannot read the array's values: {e}")))?;
            take(&block[..bytes]);
            left -= bytes;
        }
        Ok(())
    }

    /// Reads and validates the header of a file of `length` bytes.
    fn parse(from: R, length: u64) -> Result<Self> {
        let refused = |what: &str| {
            Error::data(format!("not an array this program reads: {what}"))
                .hint("save it with numpy as float32 in C order: np.save(path, np.ascontiguousarray(x, np.float32))")
        };
        let mut rest = BufReader::new(from);
        let mut take = |bytes: usize, fault: &str| {
            let mut taken = vec![0; bytes];
            rest.read_exact(&mut taken).map(|()| taken).map_err(|_| refused(fault))
        };
        let start = take(8, "it is too short")?;
        if start[..6] != MAGIC[..6] {
            return Err(refused("it does not begin as NumPy's files do"));
        }
        let (header_bytes, before) = match start[6] {
            1 => take(2, "its header is cut off").map(|b| (usize::from(u16::from_le_bytes([b[0], b[1]])), 10))?,
            2 | 3 => {
                let bytes = take(4, "its header is cut off")?;
                (u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize, 12)
            }
            _ => return Err(refused("its version is unknown")),
        };
        if header_bytes > MAX_HEADER_BYTES {
            return Err(refused(&format!("its header would be {header_bytes} bytes long")));
        }
        let text = String::from_utf8(take(header_bytes, "its header is cut off")?)
            .map_err(|_| refused("its header is not text"))?;
        let field = |name: &str| text.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
        let descr = field("descr").and_then(|rest| rest.split('\'').nth(1)).unwrap_or("none");
        let stored = Stored::parse(descr)
            .ok_or_else(|| refused(&format!("its type is {descr}, expected <f4 (or <f2 or <f8)")))?;
        if !field("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
            return Err(refused("it is in Fortran order"));
        }
        let inner = field("shape").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split(')').next());
        let sides =
            inner.ok_or_else(|| refused("it has no shape"))?.split(',').map(str::trim).filter(|s| !s.is_empty());
        let shape: Vec<usize> = sides
            .map(str::parse)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| refused("its shape is no list of numbers"))?;
        let expected = shape.iter().try_fold(stored.bytes(), |product, side| product.checked_mul(*side));
        let found = length.saturating_sub((before + header_bytes) as u64);
        if expected.map(|bytes| bytes as u64) != Some(found) {
            return Err(refused(&format!("shape {shape:?} of type {descr} does not fit {found} bytes of values")));
        }
        Ok(ArrayFile { shape, stored, rest })
    }
}

/// Reads an array: its shape and its values. See [`ArrayFile`].
///
/// # Errors
/// Those of [`ArrayFile::open`] and [`ArrayFile::values`].
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let file = ArrayFile::open(path)?;
    let shape = file.shape().to_vec();
    Ok((shape, file.values().map_err(|e| e.at(path))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_read_back_and_values_are_aligned() {
        let folder = tempfile::tempdir().unwrap();
        for shape in [vec![], vec![5], vec![2, 3], vec![21, 7, 11], vec![3, 0, 2]] {
            let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| i as f32 / 7.0).collect();
            let path = folder.path().join("x.npy");
            write(&path, &shape, &values).unwrap();
            assert_eq!(read(&path).unwrap(), (shape.clone(), values.clone()), "{shape:?}");
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!((bytes.len() - 4 * values.len()) % ALIGNMENT, 0, "{shape:?}");
        }
        assert!(write(&folder.path().join("y.npy"), &[3], &[1.0]).is_err());
    }

    #[test]
    fn the_header_is_that_of_numpy() {
        // np.save of np.zeros((2, 3), np.float32), NumPy 2.4: 128 bytes before the values.
        let text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        let header = header(&[2, 3]).unwrap();
        assert_eq!(header.len(), 128);
        assert_eq!(&header[..10], b"\x93NUMPY\x01\x00\x76\x00");
        assert!(header[10..].starts_with(text.as_bytes()) && header.ends_with(b" \n"));
        assert!(String::from_utf8_lossy(&super::header(&[5]).unwrap()).contains("'shape': (5,), }"));
    }

    #[test]
    fn other_files_are_refused_with_what_they_are() {
        let good = [header(&[2]).unwrap(), vec![0; 8]].concat();
        let with = |from: &str, to: &str| {
            let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
            [&good[..at], to.as_bytes(), &good[at + from.len()..]].concat()
        };
        let cases = [
            (good[..3].to_vec(), "too short"),
            (b"PNG?????????".to_vec(), "does not begin"),
            (good[..40].to_vec(), "cut off"),
            (good[..good.len() - 1].to_vec(), "does not fit"),
            (with("<f4", "<f8"), "does not fit"),
            (with("<f4", ">f4"), "type is >f4"),
            (with("<f4", "|O8"), "type is |O8"),
            (with("<f4", "|u1"), "type is |u1"),
            (with("False", "True "), "Fortran"),
            (with("(2,)", "(-,)"), "no list of numbers"),
        ];
        let wrong: Vec<String> = (cases.iter())
            .filter_map(|(bytes, expected)| match ArrayFile::parse(&bytes[..], bytes.len() as u64) {
                Err(e) if e.message.contains(expected) => None,
                other => Some(format!("{expected}: {other:?}")),
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        let file = ArrayFile::parse(&good[..], good.len() as u64).unwrap();
        assert_eq!(file.shape(), [2]);
        assert_eq!(file.values().unwrap(), [0.0; 2]);
        let folder = tempfile::tempdir().unwrap();
        assert!(read(folder.path()).unwrap_err().message.contains("not a regular file"));
    }

    #[test]
    fn claims_beyond_the_file_are_refused_before_anything_is_allocated() {
        let claim = |shape: &str| {
            let text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}\n");
            [MAGIC.as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
        };
        for shape in ["99999999999", "4294967296, 4294967296, 4294967296", "18446744073709551615, 3"] {
            let bytes = claim(shape);
            let error = ArrayFile::parse(&bytes[..], bytes.len() as u64).unwrap_err();
            assert!(error.message.contains("does not fit"), "{}", error.message);
        }
        let long = [b"\x93NUMPY\x02\x00".as_slice(), &u32::MAX.to_le_bytes()].concat();
        let error = ArrayFile::parse(&long[..], long.len() as u64).unwrap_err();
        assert!(error.message.contains("4294967295 bytes long"), "{}", error.message);
    }

    #[test]
    fn half_and_double_precision_become_single() {
        let with = |descr: &str, values: &[u8]| {
            let text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (3,), }}\n");
            [MAGIC.as_slice(), &(text.len() as u16).to_le_bytes(), text.as_bytes(), values].concat()
        };
        let wide: Vec<u8> = [0.25f64, 1.0 / 3.0, 1e-40].iter().flat_map(|v| v.to_le_bytes()).collect();
        let half: Vec<u8> = [0x3400u16, 0x3555, 0xbc00].iter().flat_map(|v| v.to_le_bytes()).collect();
        let cases = [(with("<f8", &wide), [0.25, 1.0 / 3.0, 1e-40]), (with("<f2", &half), [0.25, 0.333_251_95, -1.0])];
        for (bytes, expected) in cases {
            let values = ArrayFile::parse(&bytes[..], bytes.len() as u64).unwrap().values().unwrap();
            assert_eq!(values, expected);
        }
    }
}
