//! A checkpoint's bytes, on disk or in memory.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::fault::Fault;

/// Bytes that are read by position, from any number of threads.
#[derive(Debug)]
pub(super) enum Storage {
    File { file: File, len: u64 },
    Memory(Vec<u8>),
}

impl Storage {
    /// Opens a regular file. Anything else is refused before it is opened: opening a pipe would wait for its writer.
    pub fn open(path: &Path) -> Result<Self, Fault> {
        let failed = |source| Fault::Io { offset: 0, source };
        if !fs::metadata(path).map_err(failed)?.is_file() {
            return Err(Fault::NotAFile);
        }
        let file = File::open(path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        Ok(Self::File { file, len })
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::File { len, .. } => *len,
            Self::Memory(bytes) => bytes.len() as u64,
        }
    }

    /// Fills `buffer` with the bytes from `offset` on.
    pub fn read_exact_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let end_of_file = || Fault::Io { offset, source: io::ErrorKind::UnexpectedEof.into() };
        match self {
            Self::File { file, .. } => {
                read_file_at(file, offset, buffer).map_err(|source| Fault::Io { offset, source })
            }
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).map_err(|_| end_of_file())?;
                let bytes = start.checked_add(buffer.len()).and_then(|end| bytes.get(start..end));
                buffer.copy_from_slice(bytes.ok_or_else(end_of_file)?);
                Ok(())
            }
        }
    }

    /// The `size` bytes from `offset` on; the caller has checked both against [`len`](Self::len).
    pub fn read_vec(&self, offset: u64, size: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = vec![0; size as usize];
        self.read_exact_at(offset, &mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                buffer = &mut buffer[count..];
                offset += count as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_beyond_the_end_is_an_error() {
        let storage = Storage::Memory(vec![0; 4]);
        for offset in [1, 4, 5, u64::MAX] {
            assert!(storage.read_exact_at(offset, &mut [0; 4]).is_err(), "{offset}");
        }
    }

    #[test]
    fn a_folder_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(Storage::open(dir.path()), Err(Fault::NotAFile)));
    }
}
