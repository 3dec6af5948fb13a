//! Pages of a column: their headers, and the byte arrays in one.
//!
//! Source: `parquet.thrift`, `Encodings.md` and `Compression.md` of the Apache Parquet format. Plain and dictionary encoding
//! of byte arrays without repetition are read, which is what writers use for them; stored, Snappy, Zstandard and gzip pages.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use super::footer::{Chunk, damaged};
use super::thrift::{Value, read_struct};
use crate::error::{Error, Result};
use crate::files::tree::Opened;

/// Bytes of a page, compressed or not. Writers end a page after a megabyte or a thousand rows.
const MOST_PAGE_BYTES: usize = 1 << 30;

/// A header holds statistics, that is values; most are short.
const HEADER_BYTES: [u64; 2] = [16 << 10, 16 << 20];

/// Where a page lies and how it is written.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// Byte at which its data begin, behind the header.
    pub start: u64,
    /// Bytes there, and decompressed.
    pub stored: usize,
    pub size: usize,
    /// Values, missing ones included; entries of a dictionary.
    pub values: usize,
    kind: Kind,
    dictionary: bool,
    codec: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Dictionary,
    /// Levels are compressed with the values, their length before them.
    First,
    /// Bytes of the levels of repetition and definition, which are never compressed.
    Second(usize, usize),
}

/// The pages of a chunk, the dictionary apart.
///
/// # Errors
/// What the system refuses; damaged headers; encodings and compressions that are not read.
pub(super) fn pages_of(path: &Path, opened: &mut Opened, chunk: &Chunk) -> Result<(Option<Page>, Vec<Page>)> {
    if ![0, 1, 2, 6].contains(&chunk.codec) {
        let name = match chunk.codec {
            3 => "LZO",
            4 => "Brotli",
            5 | 7 => "LZ4",
            _ => "an unknown method",
        };
        return Err(Error::data(format!(
            "the Parquet file is compressed with {name}; Snappy, Zstandard, gzip and none are read"
        ))
        .at(path)
        .hint("write it again with `compression=\"snappy\"`, for example with pyarrow.parquet"));
    }
    let (mut dictionary, mut pages, mut values) = (None, Vec::new(), 0);
    let (mut at, end) = (chunk.start, chunk.start + chunk.bytes);
    while values < chunk.rows && at < end {
        let (header, length) = header_at(path, opened, at, end)?;
        let page = page_of(&header, at + length, chunk.codec).map_err(|e| e.at(path))?;
        at = page.as_ref().map_or_else(|stored| at + length + *stored as u64, |page| page.start + page.stored as u64);
        match page {
            _ if at > end => return Err(damaged("a page goes on behind its column").at(path)),
            Ok(page) if page.values > page.most_values(chunk) => {
                return Err(damaged(&format!("a page claims {} values", page.values)).at(path));
            }
            Ok(page) if page.kind == Kind::Dictionary => dictionary = Some(page),
            Ok(page) => {
                values += page.values;
                pages.push(page);
            }
            Err(_) => {} // an index page
        }
    }
    match values == chunk.rows {
        true => Ok((dictionary, pages)),
        false => Err(damaged(&format!("a column holds {values} values in a group of {} rows", chunk.rows)).at(path)),
    }
}

impl Page {
    /// Values that it can hold: a row each, and in a dictionary four bytes for the length of each.
    fn most_values(&self, chunk: &Chunk) -> usize {
        if self.kind == Kind::Dictionary { self.size / 4 } else { chunk.rows }
    }
}

fn header_at(path: &Path, opened: &mut Opened, at: u64, end: u64) -> Result<(Value, u64)> {
    for window in HEADER_BYTES {
        let bytes = read_at(path, opened, at, window.min(end - at))?;
        if let Some((header, length)) = read_struct(&bytes) {
            return Ok((header, length as u64));
        }
    }
    Err(damaged(&format!("the header of the page at byte {at} cannot be read")).at(path))
}

fn read_at(path: &Path, opened: &mut Opened, at: u64, count: u64) -> Result<Vec<u8>> {
    let fault = |e: std::io::Error| Error::io("read the Parquet file", path, &e);
    opened.seek(SeekFrom::Start(at)).map_err(fault)?;
    let mut bytes = vec![0; count as usize];
    opened.read_exact(&mut bytes).map_err(fault)?;
    Ok(bytes)
}

/// The page with this header, or the bytes of one that holds no values.
fn page_of(header: &Value, start: u64, codec: i64) -> Result<std::result::Result<Page, usize>> {
    let missing = || damaged("the header of a page lacks a field");
    let (size, stored) = (header.size(2).ok_or_else(missing)?, header.size(3).ok_or_else(missing)?);
    if size > MOST_PAGE_BYTES || stored > MOST_PAGE_BYTES {
        return Err(Error::data(format!("a page has {size} bytes; at most {MOST_PAGE_BYTES} are read"))
            .hint("write the file again with smaller row groups"));
    }
    let (own, encoding, kind) = match header.int(1) {
        Some(0) => (header.field(5), 2, Kind::First),
        Some(1) => return Ok(Err(stored)),
        Some(2) => (header.field(7), 2, Kind::Dictionary),
        Some(3) => {
            let own = header.field(8).ok_or_else(missing)?;
            let (levels, repeats) = (own.size(5).ok_or_else(missing)?, own.size(6).ok_or_else(missing)?);
            (Some(own), 4, Kind::Second(repeats, levels))
        }
        other => return Err(damaged(&format!("a page is of kind {other:?}"))),
    };
    let own = own.ok_or_else(missing)?;
    let values = own.size(1).ok_or_else(missing)?;
    // 0 plain; 2 and 8 indices into the dictionary.
    let dictionary = match (own.int(encoding), kind) {
        (Some(0 | 2), Kind::Dictionary) | (Some(0), _) => false,
        (Some(2 | 8), _) => true,
        (other, _) => {
            return Err(Error::data(format!("a page has encoding {other:?}; plain and dictionary encoding are read"))
                .hint("write the file again with pyarrow.parquet or pandas"));
        }
    };
    let plain = matches!(kind, Kind::Second(..)) && own.field(7) == Some(&Value::Bool(false));
    let codec = if plain { 0 } else { codec };
    Ok(Ok(Page { start, stored, size, values, kind, dictionary, codec }))
}

/// The byte arrays of a page: where each lies in `bytes`, none where it is missing.
#[derive(Debug)]
pub(super) struct Values {
    bytes: Vec<u8>,
    places: Vec<Option<Range<usize>>>,
}

impl Values {
    pub fn get(&self, i: usize) -> Option<&[u8]> {
        self.bytes.get(self.places.get(i)?.clone()?)
    }

    /// Bytes of memory.
    pub fn size(&self) -> usize {
        self.bytes.len() + self.places.len() * size_of::<Option<Range<usize>>>()
    }
}

/// Reads a page of a column whose values have definition level `defined`; `dictionary` is that of its chunk.
///
/// # Errors
/// What the system refuses; damage.
pub(super) fn values_of(
    path: &Path,
    opened: &mut Opened,
    page: &Page,
    defined: u8,
    dictionary: Option<&Values>,
) -> Result<Values> {
    let stored = read_at(path, opened, page.start, page.stored as u64)?;
    decode(page, &stored, defined, dictionary)
        .ok_or_else(|| damaged(&format!("the page at byte {} cannot be decoded", page.start)).at(path))
}

fn decode(page: &Page, stored: &[u8], defined: u8, dictionary: Option<&Values>) -> Option<Values> {
    let (levels, bytes, mut at) = match page.kind {
        Kind::Dictionary => (None, decompress(page.codec, stored, page.size)?, 0),
        Kind::First => {
            let bytes = decompress(page.codec, stored, page.size)?;
            if defined == 0 {
                (None, bytes, 0)
            } else {
                let length = word(&bytes, 0)?;
                let end = length.checked_add(4)?;
                (Some(hybrid(bytes.get(4..end)?, width_of(defined), page.values)?), bytes, end)
            }
        }
        Kind::Second(repeats, length) => {
            let end = repeats.checked_add(length)?;
            let size = page.size.checked_sub(end)?;
            let levels = stored.get(repeats..end)?;
            let levels = (defined > 0).then(|| hybrid(levels, width_of(defined), page.values));
            (
                if let Some(levels) = levels { Some(levels?) } else { None },
                decompress(page.codec, stored.get(end..)?, size)?,
                0,
            )
        }
    };
    let there = |i: usize| levels.as_ref().is_none_or(|levels| levels[i] == u32::from(defined));
    let present = (0..page.values).filter(|&i| there(i)).count();
    let mut places = Vec::new();
    if page.dictionary {
        let indices = if present == 0 { vec![] } else { hybrid(bytes.get(at + 1..)?, *bytes.get(at)?, present)? };
        let mut indices = indices.into_iter();
        let mut all = Vec::new();
        for i in 0..page.values {
            let value = if there(i) { Some(dictionary?.get(indices.next()? as usize)?) } else { None };
            places.push(value.map(|value| all.len()..all.len() + value.len()));
            all.extend_from_slice(value.unwrap_or_default());
            if all.len() > MOST_PAGE_BYTES {
                return None;
            }
        }
        return Some(Values { bytes: all, places });
    }
    for i in 0..page.values {
        places.push(if there(i) {
            let start = at + 4;
            at = start.checked_add(word(&bytes, at)?).filter(|end| *end <= bytes.len())?;
            Some(start..at)
        } else {
            None
        });
    }
    Some(Values { bytes, places })
}

/// The little-endian length at byte `at`.
fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let word: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    u32::from_le_bytes(word).try_into().ok()
}

/// Bits that hold numbers up to `most`.
fn width_of(most: u8) -> u8 {
    (u8::BITS - most.leading_zeros()) as u8
}

fn decompress(codec: i64, stored: &[u8], size: usize) -> Option<Vec<u8>> {
    let bytes = match codec {
        0 => stored.to_vec(),
        1 => {
            (snap::raw::decompress_len(stored).ok()? == size).then_some(())?;
            snap::raw::Decoder::new().decompress_vec(stored).ok()?
        }
        6 => {
            let mut bytes = Vec::new();
            let frame = ruzstd::decoding::StreamingDecoder::new(stored).ok()?;
            frame.take(size as u64 + 1).read_to_end(&mut bytes).ok()?;
            bytes
        }
        _ => {
            let mut bytes = Vec::new();
            flate2::read::MultiGzDecoder::new(stored).take(size as u64 + 1).read_to_end(&mut bytes).ok()?;
            bytes
        }
    };
    (bytes.len() == size).then_some(bytes)
}

/// `count` numbers of `width` bits in the hybrid of runs and packed bits.
fn hybrid(bytes: &[u8], width: u8, count: usize) -> Option<Vec<u32>> {
    if width > 32 || count > MOST_PAGE_BYTES / 4 {
        return None;
    }
    let (mut numbers, mut at) = (Vec::new(), 0);
    while numbers.len() < count {
        let mut head = 0u64;
        for shift in (0..).step_by(7) {
            let byte = *bytes.get(at)?;
            at += 1;
            head |= u64::from(byte & 0x7f).checked_shl(shift).filter(|_| shift < 63)?;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let left = count - numbers.len();
        if head & 1 == 0 {
            let size = usize::from(width).div_ceil(8);
            let mut word = [0; 4];
            word[..size].copy_from_slice(bytes.get(at..at + size)?);
            at += size;
            let run = usize::try_from(head >> 1).ok()?.min(left);
            if run == 0 {
                return None;
            }
            numbers.resize(numbers.len() + run, u32::from_le_bytes(word));
        } else {
            let size = usize::try_from(head >> 1).ok()?.checked_mul(usize::from(width))?;
            // The last group may be cut where the numbers end.
            let packed = bytes.get(at..at.checked_add(size)?.min(bytes.len()))?;
            at += packed.len();
            let held = if width == 0 { left } else { packed.len() * 8 / usize::from(width) };
            if held == 0 {
                return None;
            }
            let bit = |n: usize| u32::from(packed[n / 8] >> (n % 8) & 1);
            let number =
                |i: usize| (0..usize::from(width)).fold(0, |all, b| all | bit(i * usize::from(width) + b) << b);
            numbers.extend((0..held.min(left)).map(number));
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_runs_and_packed_bits() {
        // The example of `Encodings.md`: 0 to 7 in three bits; and a run of four.
        assert_eq!(hybrid(&[3, 0x88, 0xc6, 0xfa], 3, 8).unwrap(), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(hybrid(&[8, 1, 3, 0b10], 1, 6).unwrap(), [1, 1, 1, 1, 0, 1]);
        assert!(hybrid(&[], 0, 0).is_some_and(|numbers| numbers.is_empty()));
        let cases: [(&[u8], u8); 5] = [(&[], 3), (&[0, 1], 1), (&[8], 1), (&[0xff; 12], 3), (&[3], 33)];
        for (bytes, width) in cases {
            assert_eq!(hybrid(bytes, width, 9), None, "{bytes:?}");
        }
    }
}
