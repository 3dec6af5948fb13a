//! Reads an archive: its central directory, then entries by name, each verified by its CRC-32.
//!
//! The directory at the end is what counts; each local header must agree with it, and no two entries may share a byte.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use super::record::{
    ENCRYPTED, END_BYTES, END_SIGNATURE, ENTRY_BYTES, ENTRY_SIGNATURE, Fields, IN_ZIP64, LOCAL_BYTES, LOCAL_SIGNATURE,
    MAX_COMMENT_BYTES, ZIP64_END_BYTES, ZIP64_END_SIGNATURE, ZIP64_EXTRA, ZIP64_LOCATOR_BYTES, ZIP64_LOCATOR_SIGNATURE,
};
use crate::error::TorchError;

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

/// What to do with the weights of a Keras model.
pub(crate) const KERAS_REMEDY: &str = "a file of torch.save: load the model with Keras, bring its kernels into the order \
     [outputs, inputs, height, width], and save the arrays with torch.save or as safetensors";

/// Archives that other programs write, by an entry that they always have, with what to do instead.
const OTHER_ARCHIVES: [(&str, &str, &str); 3] = [
    (
        "/constants.pkl",
        "a TorchScript archive, as torch.jit.save writes it",
        "a state dict: torch.save(torch.jit.load('FILE').state_dict(), 'weights.pth')",
    ),
    ("model.weights.h5", "a Keras archive", KERAS_REMEDY),
    (
        ".npy",
        "an archive of numpy arrays (.npz)",
        "a file of torch.save: load the arrays and save them with torch.save",
    ),
];

/// An open archive.
#[derive(Debug)]
pub(crate) struct Archive {
    entries: HashMap<String, Entry>,
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
            let (listing, taken) = directory_entry(&bytes[at..], directory.start + at as u64)?;
            at += taken;
            listed.push(listing);
        }
        expect(directory.start, "the size of the directory's entries", at as u64, directory.size)?;
        refuse_other_archives(&listed)?;
        // PyTorch writes either all checksums or none, and then zeros.
        let unchecked = listed.iter().all(|listing| listing.entry.crc32 == Some(0));
        let mut entries = HashMap::new();
        let mut ranges = Vec::new();
        for Listing { name, header, mut entry, .. } in listed {
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
            expected: "a directory of the entries: the file was cut off or changed; fetch it again",
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

/// An entry as the central directory lists it; where its content begins is not known yet.
struct Listing {
    name: String,
    /// Offset of the local header.
    header: u64,
    entry: Entry,
    /// Why the content cannot be read, as the rest of a sentence about the entry.
    refused: Option<&'static str>,
}

/// Refuses archives that are whole but not of `torch.save`, by what they are, and then entries that cannot be read.
fn refuse_other_archives(listed: &[Listing]) -> Result<(), TorchError> {
    let has = |suffix: &str| listed.iter().any(|listing| listing.name.ends_with(suffix));
    if let Some((_, found, expected)) = OTHER_ARCHIVES.into_iter().find(|(suffix, ..)| has(suffix)) {
        return Err(TorchError::Unsupported { what: "the file", found: found.to_string(), expected });
    }
    let refused = |listing: &Listing| Some((listing.name.clone(), listing.refused?));
    match listed.iter().find_map(refused) {
        Some((name, reason)) => Err(TorchError::Entry { name, reason }),
        None => Ok(()),
    }
}

/// The directory's entry at the beginning of `bytes`, and its length.
fn directory_entry(bytes: &[u8], offset: u64) -> Result<(Listing, usize), TorchError> {
    at_most(offset, "the size of a directory entry", ENTRY_BYTES as u64, bytes.len() as u64)?;
    let fields = Fields(bytes);
    expect(offset, "a directory entry's signature", fields.number(0, 4), ENTRY_SIGNATURE.into())?;
    let (name_bytes, extra_bytes) = (usize::from(fields.u16(28)), usize::from(fields.u16(30)));
    let taken = ENTRY_BYTES + name_bytes + extra_bytes + usize::from(fields.u16(32));
    at_most(offset, "the size of a directory entry", taken as u64, bytes.len() as u64)?;
    let name = String::from_utf8_lossy(&bytes[ENTRY_BYTES..ENTRY_BYTES + name_bytes]).into_owned();
    let refused = match (fields.u16(8) & ENCRYPTED, fields.u16(10)) {
        (0, 0) => None,
        (0, _) => Some("is compressed; PyTorch stores its entries as they are"),
        _ => Some("is encrypted"),
    };
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
        return Err(TorchError::Entry { name, reason: "announces zip64 sizes and has none" });
    };
    if refused.is_none() {
        expect(offset, "the stored size of an entry", stored, size)?;
    }
    let entry = Entry { start: 0, size, crc32: Some(fields.u32(16)) };
    Ok((Listing { name, header, entry, refused }, taken))
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
    // Zero where sizes are behind the content, all ones where they are in zip64 fields.
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
