//! Tar archives, uncompressed: members lie one after the other as they are.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::member::{MOST_FILES, Member, damaged, safe_name, too_many};
use crate::error::{Error, Result};

/// Reads the headers of the archive at `path`. Of two members of one name the later counts, as when it is unpacked; links
/// and devices are passed over.
///
/// # Errors
/// A damaged archive, or one with too many files.
pub(super) fn open(path: &Path) -> Result<Vec<(PathBuf, Member)>> {
    let bad = |e: io::Error| damaged(&e.to_string()).at(path);
    let opened = File::open(path).map_err(|e| Error::io("open the archive", path, &e))?;
    let length = opened.metadata().map_err(bad)?.len();
    let mut archive = ::tar::Archive::new(BufReader::new(opened));
    let mut members = Vec::new();
    for entry in archive.entries_with_seek().map_err(bad)? {
        let entry = entry.map_err(bad)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = safe_name(&String::from_utf8_lossy(&entry.path_bytes())).map_err(|e| e.at(path))?;
        let member = Member { place: entry.raw_file_position(), size: entry.size() };
        if member.place.checked_add(member.size).is_none_or(|end| end > length) {
            return Err(damaged(&format!("`{}` goes on behind its end", name.display())).at(path));
        }
        members.push((name, member));
        if members.len() > MOST_FILES {
            return Err(too_many(members.len()).at(path));
        }
    }
    Ok(members)
}

/// The first `count` bytes of a member of the archive `opened`.
pub(super) fn read(mut opened: File, member: Member, count: u64) -> io::Result<Vec<u8>> {
    opened.seek(SeekFrom::Start(member.place))?;
    let mut bytes = Vec::with_capacity(count as usize);
    opened.take(count).read_to_end(&mut bytes)?;
    Ok(bytes)
}
