//! Zip archives: members that are stored or deflated.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::zip::{CompressionMethod, ZipArchive};

use super::member::{MOST_FILES, Member, damaged, safe_name, too_many};
use crate::error::{Error, Result};

/// Deflate makes of a byte at most this many (RFC 1951: 258 bytes from two bits, less the header's).
const MOST_FROM_A_BYTE: u64 = 1032;

/// Reads the directory of the archive at `path`.
///
/// # Errors
/// A damaged archive, one with too many files, encrypted ones, or ones compressed in another way.
pub(super) fn open(path: &Path) -> Result<(Reader, Vec<(PathBuf, Member)>)> {
    let opened = File::open(path).map_err(|e| Error::io("open the archive", path, &e))?;
    let shared = Shared { file: Arc::new(Mutex::new(opened)), position: 0 };
    let mut zip = ZipArchive::new(shared).map_err(|e| damaged(&e.to_string()).at(path))?;
    if zip.len() > MOST_FILES {
        return Err(too_many(zip.len()).at(path));
    }
    let mut members = Vec::new();
    for i in 0..zip.len() {
        let member = zip.by_index_raw(i).map_err(|e| damaged(&e.to_string()).at(path))?;
        if !member.is_file() {
            continue;
        }
        let name = member.name().map_err(|e| damaged(&e.to_string()).at(path))?;
        let name = safe_name(&name).map_err(|e| e.at(path))?;
        let known = matches!(member.compression(), CompressionMethod::Stored | CompressionMethod::Deflated);
        if member.encrypted() || !known {
            let how = if member.encrypted() { "encrypted".into() } else { member.compression().to_string() };
            return Err(Error::data(format!(
                "`{}` in the archive is {how}; stored and deflated files are read",
                name.display()
            ))
            .at(path)
            .hint("unpack it, `unzip FILE`, and name the folder"));
        }
        if member.size() > member.compressed_size().saturating_mul(MOST_FROM_A_BYTE) {
            let sizes =
                format!("{} bytes of {} claim to be {}", name.display(), member.compressed_size(), member.size());
            return Err(damaged(&sizes).at(path));
        }
        members.push((name, Member { place: i as u64, size: member.size() }));
    }
    Ok((Reader(zip), members))
}

/// The archive, from which any thread may read.
pub(super) struct Reader(ZipArchive<Shared>);

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "zip of {} members", self.0.len())
    }
}

impl Reader {
    /// The byte at which the data of a member begin; `None` where they are compressed.
    pub fn place(&self, member: Member) -> io::Result<Option<u64>> {
        let mut zip = self.0.clone();
        let opened = zip.by_index_raw(member.place as usize).map_err(io::Error::other)?;
        let stored = opened.compression() == CompressionMethod::Stored;
        Ok(opened.data_start().filter(|_| stored))
    }

    /// The first `count` bytes of a member; its checksum is verified where they are all.
    pub fn read(&self, member: Member, count: u64) -> io::Result<Vec<u8>> {
        let mut zip = self.0.clone();
        let opened = zip.by_index(member.place as usize).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(count as usize);
        // One byte more: the checksum is compared at the end of the member.
        opened.take(if count == member.size { count + 1 } else { count }).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// One open file that several threads read at places of their own.
#[derive(Clone)]
struct Shared {
    file: Arc<Mutex<File>>,
    position: u64,
}

impl Read for Shared {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.position))?;
        let count = file.read(bytes)?;
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for Shared {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let outside = || io::Error::new(io::ErrorKind::InvalidInput, "a place before the archive");
        self.position = match to {
            SeekFrom::Start(at) => at,
            SeekFrom::Current(by) => self.position.checked_add_signed(by).ok_or_else(outside)?,
            SeekFrom::End(by) => {
                let length = self.file.lock().unwrap_or_else(PoisonError::into_inner).metadata()?.len();
                length.checked_add_signed(by).ok_or_else(outside)?
            }
        };
        Ok(self.position)
    }
}
