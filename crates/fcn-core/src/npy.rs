//! NumPy's array file, version 1.0 (`numpy/lib/format.py`): probabilities for other programs, written and read.
//!
//! Ours hold 32-bit little-endian floats in C order. The header is a Python dictionary as text, padded with spaces so
//! that the values start at a multiple of 64 bytes.

use std::fs;
use std::path::Path;

use crate::tensor_file::write_atomically;
use crate::{Error, Result};

const MAGIC: &[u8; 8] = b"\x93NUMPY\x01\x00";
const ALIGNMENT: usize = 64;

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

/// Reads an array of 32-bit little-endian floats in C order: its shape and its values.
///
/// # Errors
/// What the system refuses; a file that is no such array (the message says what it is instead), or that is shorter or
/// longer than its header says.
pub fn read(path: &Path) -> Result<(Vec<usize>, Vec<f32>)> {
    let bytes = fs::read(path).map_err(|e| Error::io("read the array", path, &e))?;
    parse(&bytes).map_err(|e| e.at(path))
}

fn parse(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>)> {
    let refused = |what: &str| {
        Error::data(format!("not an array this program reads: {what}"))
            .hint("save it with numpy as float32 in C order: np.save(path, np.ascontiguousarray(x, np.float32))")
    };
    let (magic, rest) = bytes.split_at_checked(6).ok_or_else(|| refused("it is too short"))?;
    if magic != &MAGIC[..6] {
        return Err(refused("it does not begin as NumPy's files do"));
    }
    let (length_bytes, rest) = match rest {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(refused("its version is unknown")),
    };
    let (text, values) = rest.split_at_checked(length_bytes).ok_or_else(|| refused("its header is cut off"))?;
    let text = std::str::from_utf8(text).map_err(|_| refused("its header is not text"))?;
    let field = |name: &str| text.split_once(&format!("'{name}':")).map(|(_, rest)| rest.trim_start());
    let descr = field("descr").and_then(|rest| rest.split('\'').nth(1)).unwrap_or("none");
    if descr != "<f4" {
        return Err(refused(&format!("its type is {descr}, expected <f4")));
    }
    if !field("fortran_order").is_some_and(|rest| rest.starts_with("False")) {
        return Err(refused("it is in Fortran order"));
    }
    let inner = field("shape").and_then(|rest| rest.strip_prefix('(')).and_then(|rest| rest.split(')').next());
    let sides = inner.ok_or_else(|| refused("it has no shape"))?.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape: Vec<usize> = sides
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| refused("its shape is no list of numbers"))?;
    let expected = shape.iter().try_fold(4usize, |product, side| product.checked_mul(*side));
    if expected != Some(values.len()) {
        return Err(refused(&format!("shape {shape:?} does not fit {} bytes of values", values.len())));
    }
    let values = values.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    Ok((shape, values))
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
            let bytes = fs::read(&path).unwrap();
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
            (with("<f4", "<f8"), "type is <f8"),
            (with("<f4", "|O8"), "type is |O8"),
            (with("False", "True "), "Fortran"),
            (with("(2,)", "(-,)"), "no list of numbers"),
        ];
        let wrong: Vec<String> = (cases.iter())
            .filter_map(|(bytes, expected)| match parse(bytes) {
                Err(e) if e.message.contains(expected) => None,
                other => Some(format!("{expected}: {other:?}")),
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
        assert_eq!(parse(&good).unwrap().0, [2]);
    }
}
