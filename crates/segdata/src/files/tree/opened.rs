//! A file of a tree, read at any place.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

/// A file, part of one, or bytes in memory.
#[derive(Debug)]
pub(crate) struct Opened {
    source: Source,
    size: u64,
    position: u64,
}

#[derive(Debug)]
enum Source {
    /// From this byte on.
    File(File, u64),
    Memory(Arc<[u8]>),
}

impl Opened {
    /// The `size` bytes of `file` that begin at byte `start`.
    pub(super) fn part(file: File, start: u64, size: u64) -> Opened {
        Opened { source: Source::File(file, start), size, position: 0 }
    }

    /// Bytes that several may read.
    pub(super) fn memory(bytes: Arc<[u8]>) -> Opened {
        Opened { size: bytes.len() as u64, source: Source::Memory(bytes), position: 0 }
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        self.size
    }
}

impl Read for Opened {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.size.saturating_sub(self.position);
        let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = match &mut self.source {
            Source::File(file, start) => {
                file.seek(SeekFrom::Start(*start + self.position))?;
                file.read(&mut buffer[..wanted])?
            }
            Source::Memory(bytes) => {
                let from = self.position.min(self.size) as usize;
                buffer[..wanted].copy_from_slice(&bytes[from..from + wanted]);
                wanted
            }
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Opened {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "a place before the file");
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.position.checked_add_signed(by).ok_or_else(outside)?,
            SeekFrom::End(by) => self.size.checked_add_signed(by).ok_or_else(outside)?,
        };
        Ok(self.position)
    }
}
