//! A bounded reader over a range of a checkpoint's bytes, which also speaks the protobuf wire format.
//!
//! One value of a checkpoint may be hundreds of megabytes, so messages that hold values are never decoded as a whole, which
//! `prost` would do, nor are they slices of memory, which `wire` needs: they are walked field by field.

use super::fault::Fault;
use super::storage::Storage;
use crate::wire::{TooLong, Varint};

/// Reads a range of a storage from front to back through a small buffer. Every read is bounded by the range's end.
#[derive(Debug)]
pub(super) struct Stream<'s> {
    storage: &'s Storage,
    position: u64,
    end: u64,
    /// Bytes of the storage, the first of which is at `buffer_start`.
    buffer: Vec<u8>,
    buffer_start: u64,
    buffer_bytes: usize,
}

impl<'s> Stream<'s> {
    /// A stream over `start..end`, which the caller has checked against the storage's length, through a buffer of
    /// `buffer_bytes`.
    pub fn new(storage: &'s Storage, start: u64, end: u64, buffer_bytes: usize) -> Self {
        Self { storage, position: start, end, buffer: vec![], buffer_start: start, buffer_bytes }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn end(&self) -> u64 {
        self.end
    }

    /// Skips `count` bytes.
    pub fn skip(&mut self, count: u64, what: &'static str) -> Result<(), Fault> {
        self.check(count, what)?;
        self.position += count;
        Ok(())
    }

    pub fn byte(&mut self, what: &'static str) -> Result<u8, Fault> {
        self.check(1, what)?;
        let index = self.position.wrapping_sub(self.buffer_start);
        let byte = match self.buffer.get(usize::try_from(index).unwrap_or(usize::MAX)) {
            Some(&byte) => byte,
            None => {
                let size = (self.end - self.position).min(self.buffer_bytes as u64) as usize;
                self.buffer.resize(size, 0);
                self.storage.read_exact_at(self.position, &mut self.buffer)?;
                self.buffer_start = self.position;
                self.buffer[0]
            }
        };
        self.position += 1;
        Ok(byte)
    }

    /// A base-128 varint.
    pub fn varint(&mut self, what: &'static str) -> Result<u64, Fault> {
        let offset = self.position;
        let mut varint = Varint::default();
        loop {
            match varint.push(self.byte(what)?) {
                Ok(None) => {}
                Ok(Some(value)) => return Ok(value),
                Err(TooLong) => {
                    let reason = "a variable-length integer exceeds 64 bits".to_string();
                    return Err(Fault::Message { offset, what, reason });
                }
            }
        }
    }

    /// Fills `bytes` without going through the buffer.
    pub fn read_exact(&mut self, bytes: &mut [u8], what: &'static str) -> Result<(), Fault> {
        self.check(bytes.len() as u64, what)?;
        self.storage.read_exact_at(self.position, bytes)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// The next `count` bytes, of which at most `limit` are accepted.
    pub fn take(&mut self, count: u64, limit: u64, what: &'static str) -> Result<Vec<u8>, Fault> {
        if count > limit {
            return Err(Fault::OutOfRange { offset: self.position, what, found: count, limit });
        }
        self.check(count, what)?;
        let bytes = self.storage.read_vec(self.position, count)?;
        self.position += count;
        Ok(bytes)
    }

    /// The number and wire type of the next field of a message, or `None` at the end.
    pub fn tag(&mut self) -> Result<Option<(u64, u8)>, Fault> {
        if self.position == self.end {
            return Ok(None);
        }
        let tag = self.varint("field tag")?;
        Ok(Some((tag >> 3, (tag & 7) as u8)))
    }

    /// The range of the length-delimited value that begins here; the stream is then behind it.
    pub fn delimited(&mut self) -> Result<(u64, u64), Fault> {
        let what = "a field's length";
        let length = self.varint(what)?;
        let start = self.position;
        self.skip(length, what)?;
        Ok((start, self.position))
    }

    /// Skips the value of a field that is of no interest.
    pub fn skip_value(&mut self, wire_type: u8) -> Result<(), Fault> {
        let what = "a field's length";
        match wire_type {
            0 => self.varint(what).map(drop),
            1 => self.skip(8, what),
            2 => self.delimited().map(drop),
            5 => self.skip(4, what),
            _ => {
                let reason = format!("wire type {wire_type}, expected 0, 1, 2 or 5");
                Err(Fault::Message { offset: self.position, what: "field", reason })
            }
        }
    }

    fn check(&self, count: u64, what: &'static str) -> Result<(), Fault> {
        let limit = self.end - self.position;
        if count > limit {
            return Err(Fault::OutOfRange { offset: self.position, what, found: count, limit });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_reads_the_same_through_any_buffer() {
        let storage = Storage::Memory((0..=255).collect());
        for buffer_bytes in [1, 3, 64, 1000] {
            let mut stream = Stream::new(&storage, 10, 200, buffer_bytes);
            assert_eq!(stream.byte("byte").unwrap(), 10);
            stream.skip(100, "skip").unwrap();
            assert_eq!(stream.byte("byte").unwrap(), 111);
            let mut two = [0; 2];
            stream.read_exact(&mut two, "two").unwrap();
            assert_eq!((two, stream.byte("byte").unwrap(), stream.position()), ([112, 113], 114, 115));
            assert_eq!(stream.take(84, 84, "take").unwrap().len(), 84);
            assert_eq!(stream.byte("byte").unwrap(), 199);
            let error = stream.byte("byte").unwrap_err();
            assert!(matches!(error, Fault::OutOfRange { offset: 200, found: 1, limit: 0, .. }), "{error}");
        }
    }

    #[test]
    fn fields_are_walked_and_bounded() {
        // 1: varint 300; 2: bytes "abc"; 3: 32 bits; 4: 64 bits; 5: bytes of a length beyond the end.
        let bytes =
            [&[0x08, 0xac, 0x02, 0x12, 3][..], b"abc", &[0x1d, 0, 0, 0, 0], &[0x21], &[0; 8], &[0x2a, 9]].concat();
        let storage = Storage::Memory(bytes);
        let mut stream = Stream::new(&storage, 0, storage.len(), 2);
        for number in 1..=4 {
            let (found, wire_type) = stream.tag().unwrap().unwrap();
            assert_eq!(found, number);
            stream.skip_value(wire_type).unwrap();
        }
        assert_eq!(stream.tag().unwrap(), Some((5, 2)));
        let error = stream.delimited().unwrap_err();
        assert!(matches!(error, Fault::OutOfRange { found: 9, limit: 0, .. }), "{error}");
        assert!(stream.tag().unwrap().is_none());
    }
}
