//! Writes an archive: entries one after the other, then the central directory. Nothing is compressed, the checksum of an
//! entry is in the header before it, and the times are left at zip's day 0, so that equal contents are equal files.

use std::io::{self, Write};

use super::record::{
    END_BYTES, END_SIGNATURE, ENTRY_BYTES, ENTRY_SIGNATURE, EXTRA_HEADER_BYTES, LOCAL_BYTES, LOCAL_SIGNATURE,
};

/// PyTorch aligns the content of each entry to this, so that it can be mapped into memory.
pub(crate) const ALIGNMENT_BYTES: u64 = 64;

/// The longest archive: longer ones need zip's 64-bit extension.
pub(crate) const MAX_ARCHIVE_BYTES: u64 = u32::MAX as u64;

/// The day 0 of zip's calendar, 1 January 1980.
const DATE: u16 = 0x21;

/// PyTorch's own identifier of the extra field that aligns a content, and what fills it.
const FILLER_ID: [u8; 2] = *b"FB";
const FILLER: u8 = b'Z';

/// An archive that is being written to `out`.
#[derive(Debug)]
pub(crate) struct ArchiveWriter<W> {
    out: W,
    /// Bytes written so far.
    at: u64,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: String,
    at: u64,
    bytes: u64,
    crc32: u32,
}

/// The most bytes that an entry adds to an archive.
pub(crate) fn entry_bytes(name: &str, content_bytes: u64) -> u64 {
    let records = LOCAL_BYTES + EXTRA_HEADER_BYTES + ENTRY_BYTES as u64 + 2 * name.len() as u64;
    content_bytes.saturating_add(records + ALIGNMENT_BYTES)
}

/// The bytes of the record at the end of an archive.
pub(crate) const ARCHIVE_END_BYTES: u64 = END_BYTES;

impl<W: Write> ArchiveWriter<W> {
    pub fn new(out: W) -> Self {
        Self { out, at: 0, entries: Vec::new() }
    }

    /// A whole entry.
    pub fn entry(&mut self, name: String, content: &[u8]) -> io::Result<()> {
        self.begin(name, content.len() as u64, crc32fast::hash(content))?;
        self.content(content)
    }

    /// The header of an entry; its content must follow, in one piece or in several.
    pub fn begin(&mut self, name: String, bytes: u64, crc32: u32) -> io::Result<()> {
        let entry = Entry { name, at: self.at, bytes, crc32 };
        let start = self.at + LOCAL_BYTES + entry.name.len() as u64 + EXTRA_HEADER_BYTES;
        let padding = (start.next_multiple_of(ALIGNMENT_BYTES) - start) as u16;
        let mut header = LOCAL_SIGNATURE.to_le_bytes().to_vec();
        entry.put_description(&mut header, EXTRA_HEADER_BYTES as u16 + padding);
        header.extend(entry.name.as_bytes());
        header.extend(FILLER_ID);
        header.extend(padding.to_le_bytes());
        header.resize(header.len() + usize::from(padding), FILLER);
        self.out.write_all(&header)?;
        self.at += header.len() as u64 + bytes;
        self.entries.push(entry);
        Ok(())
    }

    /// A piece of the content of the entry that was begun last.
    pub fn content(&mut self, piece: &[u8]) -> io::Result<()> {
        self.out.write_all(piece)
    }

    /// The central directory. Returns what was written to, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        let mut directory = Vec::new();
        for entry in &self.entries {
            directory.extend(ENTRY_SIGNATURE.to_le_bytes());
            directory.extend([0, 0]); // made by version 0
            entry.put_description(&mut directory, 0);
            directory.extend([0; 10]); // comment, disk, attributes
            directory.extend((entry.at as u32).to_le_bytes());
            directory.extend(entry.name.as_bytes());
        }
        let bytes = directory.len() as u32;
        let count = (self.entries.len() as u16).to_le_bytes();
        directory.extend(END_SIGNATURE.to_le_bytes());
        directory.extend([0; 4]); // this disk, the directory's disk
        directory.extend(count);
        directory.extend(count);
        directory.extend(bytes.to_le_bytes());
        directory.extend((self.at as u32).to_le_bytes());
        directory.extend([0, 0]); // comment
        self.out.write_all(&directory)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

impl Entry {
    /// What a local header and an entry of the directory have in common.
    fn put_description(&self, out: &mut Vec<u8>, extra_bytes: u16) {
        let [needed, flags, stored, time] = [0u16; 4];
        for word in [needed, flags, stored, time, DATE] {
            out.extend(word.to_le_bytes());
        }
        for word in [self.crc32, self.bytes as u32, self.bytes as u32] {
            out.extend(word.to_le_bytes());
        }
        out.extend((self.name.len() as u16).to_le_bytes());
        out.extend(extra_bytes.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], at: usize) -> usize {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
    }

    #[test]
    fn the_directory_leads_to_aligned_contents_with_their_checksum() {
        let contents = [("a/one", &b"first"[..]), ("a/two", b""), ("a/three", &[7; 200])];
        let mut writer = ArchiveWriter::new(Vec::new());
        contents.iter().for_each(|(name, content)| writer.entry(name.to_string(), content).unwrap());
        let file = writer.finish().unwrap();
        let end = file.len() - END_BYTES as usize;
        assert_eq!(&file[end..end + 4], b"PK\x05\x06");
        let mut at = word(&file, end + 16);
        assert_eq!(at + word(&file, end + 12), end);
        for (name, content) in contents {
            assert_eq!(&file[at..at + 4], b"PK\x01\x02");
            assert_eq!(&file[at + 46..at + 46 + name.len()], name.as_bytes());
            let (crc, bytes, local) = (word(&file, at + 16), word(&file, at + 20), word(&file, at + 42));
            let extra = usize::from(u16::from_le_bytes([file[local + 28], file[local + 29]]));
            let start = local + 30 + usize::from(file[local + 26]) + extra;
            assert_eq!(&file[local..local + 4], b"PK\x03\x04", "{name}");
            assert_eq!(start as u64 % ALIGNMENT_BYTES, 0, "{name}");
            assert_eq!((&file[start..start + bytes], crc32fast::hash(content) as usize), (content, crc), "{name}");
            at += 46 + name.len();
        }
        assert!(file.len() as u64 <= contents.iter().map(|(n, c)| entry_bytes(n, c.len() as u64)).sum::<u64>() + 22);
    }
}
