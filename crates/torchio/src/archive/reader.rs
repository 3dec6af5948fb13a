//! The zip archive of torch 1.6 and later: stored entries, each verified by its CRC-32.
//!
//! Source: PKWARE's APPNOTE 6.3.10, sections 4.3 (structure), 4.4 (fields) and 4.5.3 (zip64), read here for the little
//! of it that PyTorch writes: one disk, nothing compressed, nothing encrypted, sizes in zip64 fields where need be. The
//! directory at the end is what counts; each local header must agree with it, and no two entries may share a byte.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use crate::TorchError;

/// End of the central directory: its record, and the longest comment behind it.
const END_BYTES: u64 = 22;
const MAX_COMMENT_BYTES: u64 = 0xffff;
const END_SIGNATURE: u32 = 0x0605_4b50;
const ZIP64_LOCATOR_BYTES: u64 = 20;
const ZIP64_LOCATOR_SIGNATURE: u32 = 0x0706_4b50;
const ZIP64_END_BYTES: u64 = 56;
const ZIP64_END_SIGNATURE: u32 = 0x0606_4b50;
const ENTRY_BYTES: usize = 46;
const ENTRY_SIGNATURE: u32 = 0x0201_4b50;
const LOCAL_BYTES: u64 = 30;
pub(crate) const LOCAL_SIGNATURE: u32 = 0x0403_4b50;
/// A 32-bit field whose value stands in the zip64 extra field.
const IN_ZIP64: u64 = 0xffff_ffff;
const ZIP64_EXTRA: u16 = 1;
const ENCRYPTED: u16 = 1;

/// The largest central directory: some forty thousand entries.
const MAX_DIRECTORY_BYTES: u64 = 4 << 20;

/// Bytes read at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Where an entry's content lies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub start: u64,
    pub size: u64,
    /// `None` where the archive was written without checksums, which `torch.serialization.set_crc32_options` allows.
    crc32: Option<u32>,
}

/// An open archive.
#[derive(Debug)]
pub(crate) struct Archive {
    entries: HashMap<String, Entry>,
}

/// Fields of a fixed record, by offset.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn number(&self, at: usize, width: usize) -> u64 {
        let mut bytes = [0; 8];
        if let Some(found) = self.0.get(at..at + width) {
            bytes[..width].copy_from_slice(found);
        }
        u64::from_le_bytes(bytes)
    }

    fn u16(&self, at: usize) -> u16 {
        self.number(at, 2) as u16
    }

    fn u32(&self, at: usize) -> u32 {
        self.number(at, 4) as u32
    }
}

/// Fills `buffer` from `offset` on.
pub(crate) fn read_at(file: &mut (impl Read + Seek), offset: u64, buffer: &mut [u8]) -> Result<(), TorchError> {
    let result = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
    result.map_err(|source| TorchError::Io { offset, source })
}

fn expect(offset: u64, what: &'static str, found: u64, expected: u64) -> Result<(), TorchError> {
    match found == expected {
        true => Ok(()),
        false => Err(TorchError::Archive { offset, what, found, expected }),
    }
}

fn at_most(offset: u64, what: &'static str, found: u64, limit: u64) -> Result<(), TorchError> {
    match found <= limit {
        true => Ok(()),
        false => Err(TorchError::Limit { offset, what, found, limit }),
    }
}

/// Size, first byte and number of entries of the central directory, and where the records behind it begin.
struct Directory {
    start: u64,
    size: u64,
    entries: u64,
}

impl Archive {
    /// Reads the central directory and verifies every local header against it.
    pub fn open(file: &mut (impl Read + Seek), length: u64) -> Result<Archive, TorchError> {
        let directory = find_directory(file, length)?;
        let mut bytes = vec![0; directory.size as usize];
        read_at(file, directory.start, &mut bytes)?;
        let mut listed = Vec::new();
        let mut at = 0;
        for _ in 0..directory.entries {
            let (name, header, entry, taken) = directory_entry(&bytes[at..], directory.start + at as u64)?;
            at += taken;
            listed.push((name, header, entry));
        }
        expect(directory.start, "the size of the directory's entries", at as u64, directory.size)?;
        // PyTorch writes either all checksums or none, and then zeros.
        let unchecked = listed.iter().all(|(.., entry)| entry.crc32 == Some(0));
        let mut entries = HashMap::new();
        let mut ranges = Vec::new();
        for (name, header, mut entry) in listed {
            entry.start = content_start(file, header, &name, &entry, directory.start)?;
            if unchecked {
                entry.crc32 = None;
            }
            ranges.push((header, entry.start + entry.size, name.clone()));
            let is_unsafe = name.starts_with(['/', '\\']) || name.split(['/', '\\']).any(|part| part == "..");
            if is_unsafe {
                return Err(TorchError::Entry { name, reason: "has a name that leads out of the archive" });
            }
            if entries.insert(name.clone(), entry).is_some() {
                return Err(TorchError::Entry { name, reason: "is in the archive twice" });
            }
        }
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            if pair[0].1 > pair[1].0 {
                return Err(TorchError::Entry { name: pair[1].2.clone(), reason: "shares bytes with another entry" });
            }
        }
        Ok(Archive { entries })
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub fn entry(&self, name: &str) -> Result<Entry, TorchError> {
        let missing = || TorchError::Entry { name: name.to_string(), reason: "is missing from the archive" };
        self.entries.get(name).copied().ok_or_else(missing)
    }

    /// The whole of a small entry.
    pub fn read(&self, file: &mut (impl Read + Seek), name: &str, limit: u64) -> Result<Vec<u8>, TorchError> {
        let entry = self.entry(name)?;
        at_most(entry.start, "the size of an entry", entry.size, limit)?;
        let mut content = Vec::with_capacity(entry.size as usize);
        self.stream(file, name, &mut |_, block| content.extend_from_slice(block))?;
        Ok(content)
    }

    /// Hands the content of an entry to `sink` in blocks, each with its offset in the entry. Whole only when this
    /// returns: the checksum comes last.
    pub fn stream(
        &self,
        file: &mut (impl Read + Seek),
        name: &str,
        sink: &mut dyn FnMut(u64, &[u8]),
    ) -> Result<(), TorchError> {
        let entry = self.entry(name)?;
        let mut hasher = crc32fast::Hasher::new();
        stream(file, entry.start, entry.size, &mut |at, block| {
            if entry.crc32.is_some() {
                hasher.update(block);
            }
            sink(at, block);
        })?;
        let found = hasher.finalize();
        match entry.crc32 {
            Some(expected) if expected != found => {
                Err(TorchError::Checksum { name: name.to_string(), expected, found })
            }
            _ => Ok(()),
        }
    }
}

/// Hands `size` bytes from `start` on to `sink` in blocks, each with its distance from `start`.
pub(crate) fn stream(
    file: &mut (impl Read + Seek),
    start: u64,
    size: u64,
    sink: &mut dyn FnMut(u64, &[u8]),
) -> Result<(), TorchError> {
    let mut block = vec![0; BLOCK_BYTES.min(size as usize)];
    let mut at = 0;
    while at < size {
        let now = (size - at).min(BLOCK_BYTES as u64) as usize;
        read_at(file, start + at, &mut block[..now])?;
        sink(at, &block[..now]);
        at += now as u64;
    }
    Ok(())
}

fn find_directory(file: &mut (impl Read + Seek), length: u64) -> Result<Directory, TorchError> {
    let tail_bytes = length.min(END_BYTES + MAX_COMMENT_BYTES);
    let tail_start = length - tail_bytes;
    let mut tail = vec![0; tail_bytes as usize];
    read_at(file, tail_start, &mut tail)?;
    // The record's comment must reach exactly to the end of the file.
    let is_end = |&at: &usize| {
        let record = Fields(&tail[at..]);
        record.u32(0) == END_SIGNATURE && at as u64 + END_BYTES + u64::from(record.u16(20)) == tail_bytes
    };
    let Some(at) = (0..=tail.len().saturating_sub(END_BYTES as usize)).rev().find(is_end) else {
        return Err(TorchError::Unsupported {
            what: "the end of the zip archive",
            found: "missing".to_string(),
            expected: "a directory of the entries: the file was cut off or changed",
        });
    };
    let offset = tail_start + at as u64;
    let record = Fields(&tail[at..]);
    expect(offset, "the number of this disk", record.number(4, 4), 0)?;
    let (mut entries, mut size, mut start) =
        (u64::from(record.u16(10)), u64::from(record.u32(12)), u64::from(record.u32(16)));
    let mut end = offset;
    if offset >= ZIP64_LOCATOR_BYTES {
        let mut locator = [0; ZIP64_LOCATOR_BYTES as usize];
        read_at(file, offset - ZIP64_LOCATOR_BYTES, &mut locator)?;
        if Fields(&locator).u32(0) == ZIP64_LOCATOR_SIGNATURE {
            let locator_offset = offset - ZIP64_LOCATOR_BYTES;
            expect(locator_offset, "the zip64 record's disk", Fields(&locator).number(4, 4), 0)?;
            expect(locator_offset, "the number of disks", Fields(&locator).number(16, 4), 1)?;
            let zip64_offset = Fields(&locator).number(8, 8);
            at_most(locator_offset, "the zip64 record's offset", zip64_offset, locator_offset)?;
            expect(locator_offset, "the zip64 record's end", zip64_offset + ZIP64_END_BYTES, locator_offset)?;
            let mut zip64 = [0; ZIP64_END_BYTES as usize];
            read_at(file, zip64_offset, &mut zip64)?;
            let zip64 = Fields(&zip64);
            expect(zip64_offset, "the zip64 record's signature", zip64.number(0, 4), ZIP64_END_SIGNATURE.into())?;
            expect(zip64_offset, "the zip64 record's size", zip64.number(4, 8), ZIP64_END_BYTES - 12)?;
            expect(zip64_offset, "the zip64 record's disks", zip64.number(16, 8), 0)?;
            // What the short record can say, it must say as the long one does.
            for (what, short, long, most) in [
                ("the number of entries", entries, zip64.number(32, 8), 0xffff),
                ("the directory's size", size, zip64.number(40, 8), IN_ZIP64),
                ("the directory's offset", start, zip64.number(48, 8), IN_ZIP64),
            ] {
                if short != most {
                    expect(zip64_offset, what, long, short)?;
                }
            }
            (entries, size, start) = (zip64.number(32, 8), zip64.number(40, 8), zip64.number(48, 8));
            expect(zip64_offset, "the number of entries on this disk", zip64.number(24, 8), entries)?;
            end = zip64_offset;
        }
    }
    at_most(offset, "the directory's size", size, MAX_DIRECTORY_BYTES.min(end))?;
    at_most(offset, "the number of entries", entries, size / ENTRY_BYTES as u64)?;
    at_most(offset, "the directory's offset", start, end)?;
    expect(offset, "the directory's end", start + size, end)?;
    Ok(Directory { start, size, entries })
}

/// Name, offset of the local header, description and length of the directory's entry at the beginning of `bytes`.
fn directory_entry(bytes: &[u8], offset: u64) -> Result<(String, u64, Entry, usize), TorchError> {
    at_most(offset, "the size of a directory entry", ENTRY_BYTES as u64, bytes.len() as u64)?;
    let fields = Fields(bytes);
    expect(offset, "a directory entry's signature", fields.number(0, 4), ENTRY_SIGNATURE.into())?;
    let (name_bytes, extra_bytes) = (usize::from(fields.u16(28)), usize::from(fields.u16(30)));
    let taken = ENTRY_BYTES + name_bytes + extra_bytes + usize::from(fields.u16(32));
    at_most(offset, "the size of a directory entry", taken as u64, bytes.len() as u64)?;
    let name = String::from_utf8_lossy(&bytes[ENTRY_BYTES..ENTRY_BYTES + name_bytes]).into_owned();
    let refuse = |reason| Err(TorchError::Entry { name: name.clone(), reason });
    if fields.u16(8) & ENCRYPTED != 0 {
        return refuse("is encrypted");
    }
    if fields.u16(10) != 0 {
        return refuse("is compressed; PyTorch stores its entries as they are");
    }
    expect(offset, "the disk of an entry", fields.u16(34).into(), 0)?;
    let extra = &bytes[ENTRY_BYTES + name_bytes..ENTRY_BYTES + name_bytes + extra_bytes];
    let mut zip64 = zip64_extra(extra).chunks_exact(8);
    let mut wide = |at: usize| match fields.number(at, 4) {
        IN_ZIP64 => zip64.next().map(|value| Fields(value).number(0, 8)),
        value => Some(value),
    };
    // In the order in which the extra field has them.
    let (size, stored, header) = (wide(24), wide(20), wide(42));
    let (Some(size), Some(stored), Some(header)) = (size, stored, header) else {
        return refuse("announces zip64 sizes and has none");
    };
    expect(offset, "the stored size of an entry", stored, size)?;
    Ok((name, header, Entry { start: 0, size, crc32: Some(fields.u32(16)) }, taken))
}

/// The content of the zip64 field among the extra fields.
fn zip64_extra(mut extra: &[u8]) -> &[u8] {
    while let [a, b, c, d, rest @ ..] = extra {
        let length = usize::from(u16::from_le_bytes([*c, *d])).min(rest.len());
        if u16::from_le_bytes([*a, *b]) == ZIP64_EXTRA {
            return &rest[..length];
        }
        extra = &rest[length..];
    }
    &[]
}

/// Where the content behind a local header begins, once header and directory agree.
fn content_start(
    file: &mut (impl Read + Seek),
    header: u64,
    name: &str,
    entry: &Entry,
    directory: u64,
) -> Result<u64, TorchError> {
    at_most(header, "the offset of an entry", header.saturating_add(LOCAL_BYTES), directory)?;
    let mut bytes = [0; LOCAL_BYTES as usize];
    read_at(file, header, &mut bytes)?;
    let fields = Fields(&bytes);
    expect(header, "a local header's signature", fields.number(0, 4), LOCAL_SIGNATURE.into())?;
    let refuse = |reason| Err(TorchError::Entry { name: name.to_string(), reason });
    if fields.u16(6) & ENCRYPTED != 0 || fields.u16(8) != 0 {
        return refuse("is encrypted or compressed by its local header, but not by the directory");
    }
    let mut local_name = vec![0; usize::from(fields.u16(26))];
    read_at(file, header + LOCAL_BYTES, &mut local_name)?;
    if String::from_utf8_lossy(&local_name) != name {
        return refuse("has another name in its local header");
    }
    // Zero where sizes stand behind the content, all ones where they stand in zip64 fields.
    for (what, at) in [("a local header's stored size", 18), ("a local header's size", 22)] {
        let found = fields.number(at, 4);
        if found != 0 && found != IN_ZIP64 {
            expect(header, what, found, entry.size)?;
        }
    }
    let start = header + LOCAL_BYTES + u64::from(fields.u16(26)) + u64::from(fields.u16(28));
    at_most(header, "the end of an entry", start.saturating_add(entry.size), directory)?;
    Ok(start)
}
