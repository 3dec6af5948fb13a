//! The TFRecord container: a sequence of byte strings, each behind its length, each checksummed.
//!
//! ```text
//! u64 LE  length
//! u32 LE  masked CRC-32C of the eight length bytes
//! u8[]    data, `length` bytes
//! u32 LE  masked CRC-32C of the data
//! ```
//!
//! Source: `tensorflow/core/lib/io/record_writer.h`. There is no header, footer or index: a file ends after any record,
//! and two files concatenated are one file. Not implemented: the GZIP and ZLIB wrappings of the whole file.
//!
//! The length is believed only when its checksum matches and it is within [`Limits`]. Even then memory grows with the
//! bytes that arrive, so a valid header that claims an absurd length costs nothing.

use std::fmt;
use std::io::{self, Read, Seek, SeekFrom, Write};

use thiserror::Error;

use crate::masked_crc::{masked_crc32c, matches};

/// Length and checksum before the data.
const HEADER_BYTES: u64 = 12;
/// Checksum behind the data.
const FOOTER_BYTES: u64 = 4;
/// The most that is allocated for a record before its bytes have been seen.
const FIRST_ALLOCATION_BYTES: u64 = 1 << 20;

/// What a reader accepts before it refuses a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest record's data in bytes. Default 256 MiB: hundreds of times a photograph with its mask.
    pub max_record_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_record_bytes: 256 << 20 }
    }
}

/// Where in a file a record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The record's number, counted from 0; unknown when it was read at an offset.
    pub record: Option<u64>,
    /// The byte offset of its length field.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            Some(record) => write!(f, "record {record} at byte {}", self.offset),
            None => write!(f, "record at byte {}", self.offset),
        }
    }
}

/// A part of a record, for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The length and its checksum.
    Header,
    /// The payload.
    Data,
    /// The checksum of the data.
    DataChecksum,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "length field and its checksum",
            Self::Data => "data",
            Self::DataChecksum => "data checksum",
        })
    }
}

/// Why a record could not be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The length does not match its checksum.
    #[error(
        "{at}: the length field has checksum {found:#010x}, expected {expected:#010x}: the file is damaged, is no \
         TFRecord file, or is compressed (decompress it first)"
    )]
    LengthCrc {
        /// The record.
        at: Place,
        /// The masked checksum that the file holds.
        expected: u32,
        /// The masked checksum of the length found.
        found: u32,
    },
    /// The data do not match their checksum.
    #[error(
        "{at}: the data have checksum {found:#010x}, expected {expected:#010x}: the file is damaged, write it anew"
    )]
    DataCrc {
        /// The record.
        at: Place,
        /// The masked checksum that the file holds.
        expected: u32,
        /// The masked checksum of the data found.
        found: u32,
    },
    /// The file ends inside a record.
    #[error(
        "{at}: the file ends inside the {part}: {expected} bytes expected, {found} found: it is cut off, write it anew"
    )]
    Truncated {
        /// The record.
        at: Place,
        /// The part that is incomplete.
        part: Part,
        /// The bytes that the part needs.
        expected: u64,
        /// The bytes of it that are there.
        found: u64,
    },
    /// The record is longer than the limit.
    #[error(
        "{at}: {found} bytes long, at most {limit} are accepted: the file is damaged, or holds something other than images"
    )]
    TooLarge {
        /// The record.
        at: Place,
        /// [`Limits::max_record_bytes`].
        limit: u64,
        /// The length that the file claims.
        found: u64,
    },
    /// The file could not be read.
    #[error("{at}: cannot read: {source}")]
    Read {
        /// The record.
        at: Place,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("{at}: cannot write: {source}")]
    Write {
        /// The record.
        at: Place,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes records one after another. Wrap a file in a `BufWriter`; call [`flush`](Self::flush) at the end.
#[derive(Debug)]
pub struct RecordWriter<W: Write> {
    inner: W,
    records: u64,
    offset: u64,
}

impl<W: Write> RecordWriter<W> {
    /// A writer that begins at the current position of `inner`, which it calls offset 0.
    pub fn new(inner: W) -> Self {
        Self { inner, records: 0, offset: 0 }
    }

    /// Appends one record and returns the byte offset at which it begins, as [`RecordReader::read_at`] takes it.
    ///
    /// # Errors
    /// [`RecordError::Write`]; the output then ends in an incomplete record.
    pub fn write(&mut self, data: &[u8]) -> Result<u64, RecordError> {
        let at = self.place();
        let length = (data.len() as u64).to_le_bytes();
        let mut header = [0; HEADER_BYTES as usize];
        header[..8].copy_from_slice(&length);
        header[8..].copy_from_slice(&masked_crc32c(&length).to_le_bytes());
        let footer = masked_crc32c(data).to_le_bytes();
        for part in [&header[..], data, &footer] {
            self.inner.write_all(part).map_err(|source| RecordError::Write { at, source })?;
        }
        self.records += 1;
        self.offset += HEADER_BYTES + data.len() as u64 + FOOTER_BYTES;
        Ok(at.offset)
    }

    /// The number of records written.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The number of bytes written, which is the offset of the next record.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Flushes the underlying writer.
    ///
    /// # Errors
    /// [`RecordError::Write`].
    pub fn flush(&mut self) -> Result<(), RecordError> {
        let at = self.place();
        self.inner.flush().map_err(|source| RecordError::Write { at, source })
    }

    /// The underlying writer, for example to call `sync_all` on a file.
    pub fn get_ref(&self) -> &W {
        &self.inner
    }

    /// Gives the underlying writer back without flushing it.
    pub fn into_inner(self) -> W {
        self.inner
    }

    fn place(&self) -> Place {
        Place { record: Some(self.records), offset: self.offset }
    }
}

/// Reads records in order, as an iterator over their data, or at random by offset where the input can seek.
///
/// The iterator ends after the last record or after the first error: behind damage nothing says where the next
/// record begins.
#[derive(Debug)]
pub struct RecordReader<R: Read> {
    inner: R,
    limits: Limits,
    next: Place,
    failed: bool,
}

impl<R: Read> RecordReader<R> {
    /// A reader with the default [`Limits`], whose first record begins at the current position of `inner`.
    pub fn new(inner: R) -> Self {
        Self::with_limits(inner, Limits::default())
    }

    /// A reader that accepts what `limits` allow.
    pub fn with_limits(inner: R, limits: Limits) -> Self {
        Self { inner, limits, next: Place { record: Some(0), offset: 0 }, failed: false }
    }

    /// Reads the next record's data into `data`, replacing what it held, and returns the record's offset; `None` at
    /// the end of the file. Reusing one buffer saves an allocation a record.
    ///
    /// # Errors
    /// Any [`RecordError`] but `Write`; `data` is then empty.
    pub fn read_into(&mut self, data: &mut Vec<u8>) -> Result<Option<u64>, RecordError> {
        let at = self.next;
        let read = self.read_record(at, data);
        match read {
            Ok(true) => {
                let offset = at.offset + HEADER_BYTES + data.len() as u64 + FOOTER_BYTES;
                self.next = Place { record: at.record.map(|record| record + 1), offset };
                Ok(Some(at.offset))
            }
            Ok(false) => Ok(None),
            Err(error) => {
                data.clear();
                Err(error)
            }
        }
    }

    /// `false` where the input ends before the record's first byte.
    fn read_record(&mut self, at: Place, data: &mut Vec<u8>) -> Result<bool, RecordError> {
        data.clear();
        let Some(length) = self.read_header(at)? else { return Ok(false) };
        data.reserve_exact(length.min(FIRST_ALLOCATION_BYTES) as usize);
        let found =
            (&mut self.inner).take(length).read_to_end(data).map_err(|source| RecordError::Read { at, source })? as u64;
        if found < length {
            return Err(RecordError::Truncated { at, part: Part::Data, expected: length, found });
        }
        let mut footer = [0; FOOTER_BYTES as usize];
        let found = self.fill(at, &mut footer)?;
        if found < FOOTER_BYTES {
            return Err(RecordError::Truncated { at, part: Part::DataChecksum, expected: FOOTER_BYTES, found });
        }
        let (expected, found) = (u32::from_le_bytes(footer), masked_crc32c(data));
        if !matches(expected, found) {
            return Err(RecordError::DataCrc { at, expected, found });
        }
        Ok(true)
    }

    /// The length of the record that begins at the current position, checked against its checksum and the limits.
    fn read_header(&mut self, at: Place) -> Result<Option<u64>, RecordError> {
        let mut header = [0; HEADER_BYTES as usize];
        match self.fill(at, &mut header)? {
            0 => return Ok(None),
            HEADER_BYTES => {}
            found => return Err(RecordError::Truncated { at, part: Part::Header, expected: HEADER_BYTES, found }),
        }
        let [l0, l1, l2, l3, l4, l5, l6, l7, c0, c1, c2, c3] = header;
        let length = [l0, l1, l2, l3, l4, l5, l6, l7];
        let (expected, found) = (u32::from_le_bytes([c0, c1, c2, c3]), masked_crc32c(&length));
        if !matches(expected, found) {
            return Err(RecordError::LengthCrc { at, expected, found });
        }
        let (found, limit) = (u64::from_le_bytes(length), self.limits.max_record_bytes);
        if found > limit {
            return Err(RecordError::TooLarge { at, limit, found });
        }
        Ok(Some(found))
    }

    /// Reads until `buffer` is full or the input ends; returns the number of bytes read.
    fn fill(&mut self, at: Place, buffer: &mut [u8]) -> Result<u64, RecordError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(source) if source.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(RecordError::Read { at, source }),
            }
        }
        Ok(filled as u64)
    }
}

impl<R: Read + Seek> RecordReader<R> {
    /// The byte offset of every record from the start of the input, found by hopping from length to length: the data
    /// are not read and their checksums not verified, and a file of any size costs its records' headers.
    /// Afterwards the iterator starts over at record 0.
    ///
    /// # Errors
    /// Any [`RecordError`] but `Write` and `DataCrc`; a last record that is cut off counts as damage.
    pub fn index(&mut self) -> Result<Vec<u64>, RecordError> {
        let mut at = Place { record: Some(0), offset: 0 };
        let end = self.inner.seek(SeekFrom::End(0)).map_err(|source| RecordError::Read { at, source })?;
        let mut offsets = vec![];
        while at.offset < end {
            self.seek_to(at)?;
            let Some(length) = self.read_header(at)? else { break };
            let found = end - at.offset - HEADER_BYTES;
            if found < length {
                return Err(RecordError::Truncated { at, part: Part::Data, expected: length, found });
            }
            if found - length < FOOTER_BYTES {
                let (part, found) = (Part::DataChecksum, found - length);
                return Err(RecordError::Truncated { at, part, expected: FOOTER_BYTES, found });
            }
            offsets.push(at.offset);
            let offset = at.offset + HEADER_BYTES + length + FOOTER_BYTES;
            at = Place { record: Some(offsets.len() as u64), offset };
        }
        self.next = Place { record: Some(0), offset: 0 };
        self.failed = false;
        self.seek_to(self.next)?;
        Ok(offsets)
    }

    /// The data of the record that begins at byte `offset` from the start of the input, both checksums verified.
    /// The iterator goes on behind it.
    ///
    /// # Errors
    /// Any [`RecordError`] but `Write`; an offset at or behind the end of the file is `Truncated`.
    pub fn read_at(&mut self, offset: u64) -> Result<Vec<u8>, RecordError> {
        self.next = Place { record: None, offset };
        self.failed = false;
        self.seek_to(self.next)?;
        let mut data = vec![];
        match self.read_into(&mut data)? {
            Some(_) => Ok(data),
            None => {
                let at = Place { record: None, offset };
                Err(RecordError::Truncated { at, part: Part::Header, expected: HEADER_BYTES, found: 0 })
            }
        }
    }

    fn seek_to(&mut self, at: Place) -> Result<(), RecordError> {
        self.inner.seek(SeekFrom::Start(at.offset)).map_err(|source| RecordError::Read { at, source })?;
        Ok(())
    }
}

impl<R: Read> Iterator for RecordReader<R> {
    type Item = Result<Vec<u8>, RecordError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let mut data = vec![];
        match self.read_into(&mut data) {
            Ok(Some(_)) => Some(Ok(data)),
            Ok(None) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    const HELLO: [u8; 21] = *b"\x05\0\0\0\0\0\0\0\xea\xb2\x04\x3ehello\xbb\x1f\x1c\x19";

    fn written(records: &[&[u8]]) -> (Vec<u8>, Vec<u64>) {
        let mut writer = RecordWriter::new(vec![]);
        let offsets = records.iter().map(|data| writer.write(data).unwrap()).collect();
        assert_eq!(writer.records(), records.len() as u64);
        assert_eq!(writer.offset(), writer.get_ref().len() as u64);
        (writer.into_inner(), offsets)
    }

    /// A header with a matching checksum for any claimed length.
    fn header(length: u64) -> Vec<u8> {
        let length = length.to_le_bytes();
        [&length[..], &masked_crc32c(&length).to_le_bytes()].concat()
    }

    fn first_error(bytes: &[u8]) -> Option<String> {
        RecordReader::new(bytes).find_map(Result::err).map(|error| error.to_string())
    }

    #[test]
    fn a_record_has_the_bytes_that_tensorflow_writes() {
        assert_eq!(written(&[b"hello"]).0, HELLO);
    }

    #[test]
    fn records_return_in_order_and_at_random() {
        let large = vec![7; 3 << 20];
        let records: [&[u8]; 4] = [b"one", b"", &large, b"four"];
        let (bytes, offsets) = written(&records);
        let streamed: Vec<_> = RecordReader::new(&bytes[..]).map(Result::unwrap).collect();
        assert_eq!(streamed, records);
        let mut reader = RecordReader::new(Cursor::new(&bytes));
        assert_eq!(reader.index().unwrap(), offsets);
        for index in [2, 0, 3, 1] {
            assert_eq!(reader.read_at(offsets[index]).unwrap(), records[index]);
        }
        assert_eq!(reader.next().unwrap().unwrap(), large, "the iterator goes on behind record 1");
        assert_eq!(reader.index().unwrap(), offsets);
        assert_eq!(reader.count(), 4);
    }

    #[test]
    fn damage_is_named() {
        let (mut damaged, offsets) = written(&[b"first", b"second", b"third"]);
        damaged[offsets[2] as usize + 12] ^= 1;
        let mut length = HELLO;
        length[0] = 6;
        let cases: [(Vec<u8>, &str); 7] = [
            (length.to_vec(), "record 0 at byte 0: the length field has checksum"),
            (damaged, "record 2 at byte 43: the data have checksum"),
            (HELLO[..7].to_vec(), "the length field and its checksum: 12 bytes expected, 7 found"),
            (HELLO[..15].to_vec(), "inside the data: 5 bytes expected, 3 found"),
            (HELLO[..19].to_vec(), "inside the data checksum: 4 bytes expected, 2 found"),
            (header(1 << 63), "9223372036854775808 bytes long, at most 268435456 are accepted"),
            (b"\x1f\x8b\x08\0\0\0\0\0\0\x03abc".to_vec(), "decompress it first"),
        ];
        let wrong: Vec<_> = cases
            .iter()
            .map(|(bytes, expected)| (first_error(bytes), expected))
            .filter(|(found, expected)| !found.as_ref().is_some_and(|found| found.contains(*expected)))
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_claimed_length_allocates_only_what_arrives() {
        let mut bytes = header(200 << 20);
        bytes.extend_from_slice(&[1; 100]);
        let mut data = vec![];
        let limits = Limits { max_record_bytes: u64::MAX };
        let mut reader = RecordReader::with_limits(&bytes[..], limits);
        assert!(matches!(reader.read_into(&mut data), Err(RecordError::Truncated { found: 100, .. })));
        assert!(data.is_empty() && data.capacity() <= 2 << 20, "{}", data.capacity());
        let huge = header(u64::MAX);
        let error = RecordReader::with_limits(&huge[..], limits).next().unwrap().unwrap_err();
        assert!(matches!(error, RecordError::Truncated { part: Part::Data, found: 0, .. }), "{error}");
    }

    #[test]
    fn an_index_refuses_a_last_record_that_is_cut_off() {
        let (bytes, _) = written(&[b"first", b"second"]);
        let wrong: Vec<_> = (22..bytes.len())
            .filter(|&len| {
                !matches!(
                    RecordReader::new(Cursor::new(&bytes[..len])).index(),
                    Err(RecordError::Truncated { at: Place { record: Some(1), offset: 21 }, .. })
                )
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:?}");
    }

    #[test]
    fn the_iterator_ends_after_an_error() {
        let (mut bytes, _) = written(&[b"first", b"second"]);
        bytes[13] ^= 1;
        let results: Vec<_> = RecordReader::new(&bytes[..]).collect();
        assert!(matches!(results[..], [Err(RecordError::DataCrc { .. })]), "{results:?}");
    }

    #[test]
    fn an_offset_behind_the_end_is_an_error() {
        let mut reader = RecordReader::new(Cursor::new(HELLO));
        for offset in [21, 22, u64::MAX >> 1] {
            let error = reader.read_at(offset).unwrap_err();
            assert!(matches!(error, RecordError::Truncated { found: 0, .. }), "{error}");
        }
    }
}
