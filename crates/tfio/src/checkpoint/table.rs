//! The sorted table of LevelDB, which holds a whole V1 checkpoint and the index of a V2 one.
//!
//! ```text
//! file    blocks..., footer (48 bytes)
//! footer  handle of the meta-index, handle of the index, zeros up to 40 bytes, u64 LE magic number
//! handle  varint offset, varint size
//! block   contents, u8 type (0 raw, 1 snappy), u32 LE masked CRC-32C of contents and type
//! contents  entries..., u32 LE restart offsets..., u32 LE number of restarts
//! entry   varint bytes shared with the previous key, varint bytes not shared, varint value bytes, key tail, value
//! ```
//!
//! The index's entries map a key not below the last of a block to the block's handle.
//! Source: LevelDB `doc/table_format.md`, `tensorflow/core/lib/io/{format,block_builder}.cc`.
//!
//! A block is at most a few hundred kilobytes unless one value is larger; a V1 file has blocks of hundreds of
//! megabytes, so a raw block is never held in memory: its entries are walked in the file, and its checksum is computed
//! once, in one pass, before any value in it is handed out. Not implemented: lookup by key (restart points serve that
//! alone); everything is walked in order.

use std::sync::atomic::{AtomicBool, Ordering};

use super::fault::Fault;
use super::storage::Storage;
use super::stream::Stream;
#[cfg(test)]
use crate::masked_crc::masked_crc32c;
use crate::masked_crc::{mask, matches};
use crate::wire::Message;
#[cfg(test)]
use crate::wire::put_varint;

pub(super) const MAGIC: u64 = 0xdb47_7524_8b80_fb57;
const FOOTER_BYTES: u64 = 48;
/// Type and checksum behind each block.
const TRAILER_BYTES: u64 = 5;
/// The largest index block, also when it is unpacked: tens of thousands of blocks.
const MAX_INDEX_BYTES: u64 = 1 << 20;
/// The largest compressed block, unpacked, which is held in memory: sixty of TensorFlow's. It compresses no V1 file.
const MAX_UNPACKED_BYTES: u64 = 16 << 20;
/// Snappy's densest element copies 64 bytes for 3, so a block that claims more is lying.
const MAX_SNAPPY_RATIO: u64 = 22;
/// TensorFlow's names are paths of a few hundred bytes.
const MAX_KEY_BYTES: usize = 64 << 10;
/// Two varints.
const MAX_HANDLE_BYTES: u64 = 20;
/// The buffer that a checksum is computed through.
const CHECK_BYTES: usize = 1 << 20;
/// The buffer that entries are walked through: most of a large block is skipped, so a small one.
const WALK_BYTES: usize = 4 << 10;

/// A position and a size in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Handle {
    offset: u64,
    size: u64,
}

/// A data block of the table.
#[derive(Debug)]
struct Block {
    handle: Handle,
    verified: AtomicBool,
}

/// An open table.
#[derive(Debug)]
pub(super) struct Table {
    storage: Storage,
    blocks: Vec<Block>,
}

/// A block's contents without trailer: a range of the table's file, or a buffer of their own.
#[derive(Debug)]
pub(super) enum Contents<'t> {
    Raw { storage: &'t Storage, start: u64, end: u64 },
    Unpacked(Storage),
}

impl Contents<'_> {
    pub fn stream(&self, start: u64, end: u64, buffer_bytes: usize) -> Stream<'_> {
        match self {
            Self::Raw { storage, .. } => Stream::new(storage, start, end, buffer_bytes),
            Self::Unpacked(storage) => Stream::new(storage, start, end, buffer_bytes),
        }
    }

    /// The bytes `start..end`, of which at most `limit` are accepted.
    pub fn take(&self, start: u64, end: u64, limit: u64, what: &'static str) -> Result<Vec<u8>, Fault> {
        self.stream(start, end, WALK_BYTES).take(end - start, limit, what)
    }

    fn bounds(&self) -> (u64, u64) {
        match self {
            Self::Raw { start, end, .. } => (*start, *end),
            Self::Unpacked(storage) => (0, storage.len()),
        }
    }
}

impl Table {
    /// Reads the footer and the index block.
    pub fn open(storage: Storage) -> Result<Self, Fault> {
        let (len, limit) = (storage.len(), FOOTER_BYTES);
        if len < limit {
            let what = "the footer's 48 bytes: the size of the file";
            return Err(Fault::OutOfRange { offset: 0, what, found: limit, limit: len });
        }
        let footer_offset = len - FOOTER_BYTES;
        let footer = storage.read_vec(footer_offset, FOOTER_BYTES)?;
        let (handles, magic) = footer.split_at(40);
        let found = magic.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte));
        if found != MAGIC {
            return Err(Fault::Magic { offset: len - 8, expected: MAGIC, found });
        }
        let mut handles = Message::new(handles);
        let mut table = Self { storage, blocks: vec![] };
        let _meta_index = table.handle(&mut handles, footer_offset, footer_offset)?;
        let index = table.handle(&mut handles, footer_offset, footer_offset)?;
        if index.size > MAX_INDEX_BYTES {
            let what = "the index block's size";
            return Err(Fault::OutOfRange { offset: index.offset, what, found: index.size, limit: MAX_INDEX_BYTES });
        }
        table.verify_handle(index)?;
        table.blocks = table.data_blocks(index)?;
        Ok(table)
    }

    pub fn len(&self) -> usize {
        self.blocks.len()
    }

    /// Where data block `block` begins in the file.
    pub fn offset(&self, block: usize) -> u64 {
        self.blocks.get(block).map_or(0, |block| block.handle.offset)
    }

    /// The handles of the data blocks. They must follow one another, as they are written; a table whose index names
    /// one large block a million times would otherwise cost a million walks.
    fn data_blocks(&self, index: Handle) -> Result<Vec<Block>, Fault> {
        let mut blocks: Vec<Block> = vec![];
        let mut free = 0;
        let contents = self.contents_of(index, MAX_INDEX_BYTES)?;
        walk(&contents, &mut |_, offset, end| {
            let value = contents.take(offset, end, MAX_HANDLE_BYTES, "a block handle's size")?;
            let handle = self.handle(&mut Message::new(&value), offset, index.offset)?;
            if handle.offset < free {
                return Err(Fault::KeyOrder { offset });
            }
            free = handle.offset + handle.size + TRAILER_BYTES;
            blocks.push(Block { handle, verified: AtomicBool::new(false) });
            Ok(())
        })?;
        Ok(blocks)
    }

    /// Decodes a handle that is at `offset`; the block and its trailer must end by `limit`.
    fn handle(&self, message: &mut Message<'_>, offset: u64, limit: u64) -> Result<Handle, Fault> {
        let mut number = || {
            message.varint().map_err(|error| Fault::Message { offset, what: "block handle", reason: error.to_string() })
        };
        let handle = Handle { offset: number()?, size: number()? };
        let end = handle.offset.checked_add(handle.size).and_then(|end| end.checked_add(TRAILER_BYTES));
        match end {
            Some(end) if end <= limit => Ok(handle),
            _ => Err(Fault::OutOfRange { offset, what: "the end of a block", found: end.unwrap_or(u64::MAX), limit }),
        }
    }

    /// Verifies the checksum of data block `block`, the first time it is asked to.
    pub fn verify(&self, block: usize) -> Result<(), Fault> {
        let block = &self.blocks[block];
        if !block.verified.load(Ordering::Relaxed) {
            self.verify_handle(block.handle)?;
            block.verified.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The reason for a fault that was met in contents not yet verified: a block that does not match its checksum, if
    /// there is one, or else the fault itself.
    pub fn explain(&self, fault: Fault) -> Fault {
        (0..self.blocks.len()).find_map(|block| self.verify(block).err()).unwrap_or(fault)
    }

    fn verify_handle(&self, Handle { offset, size }: Handle) -> Result<(), Fault> {
        let checked = size + 1;
        let mut buffer = vec![0; checked.min(CHECK_BYTES as u64) as usize];
        let (mut crc, mut done) = (0, 0);
        while done < checked {
            let chunk = (checked - done).min(buffer.len() as u64) as usize;
            self.storage.read_exact_at(offset + done, &mut buffer[..chunk])?;
            crc = crc32c::crc32c_append(crc, &buffer[..chunk]);
            done += chunk as u64;
        }
        let mut stored = [0; 4];
        self.storage.read_exact_at(offset + checked, &mut stored)?;
        let (expected, found) = (u32::from_le_bytes(stored), mask(crc));
        if !matches(expected, found) {
            return Err(Fault::BlockCrc { offset, size, expected, found });
        }
        Ok(())
    }

    /// The contents of data block `block`, verified or not.
    pub fn contents(&self, block: usize) -> Result<Contents<'_>, Fault> {
        self.contents_of(self.blocks[block].handle, MAX_UNPACKED_BYTES)
    }

    /// The contents of a block; of a compressed one if they are no larger than `limit`.
    fn contents_of(&self, Handle { offset, size }: Handle, limit: u64) -> Result<Contents<'_>, Fault> {
        let end = offset + size;
        let mut block_type = [0];
        self.storage.read_exact_at(end, &mut block_type)?;
        match block_type {
            [0] => Ok(Contents::Raw { storage: &self.storage, start: offset, end }),
            [1] => Ok(Contents::Unpacked(Storage::Memory(self.unpack(offset, size, limit)?))),
            [found] => Err(Fault::BlockType { offset: end, found }),
        }
    }

    fn unpack(&self, offset: u64, size: u64, limit: u64) -> Result<Vec<u8>, Fault> {
        let what = "a compressed block's size";
        if size > limit {
            return Err(Fault::OutOfRange { offset, what, found: size, limit });
        }
        let invalid = |error: snap::Error| Fault::Snappy { offset, reason: error.to_string() };
        let packed = self.storage.read_vec(offset, size)?;
        let found = snap::raw::decompress_len(&packed).map_err(invalid)? as u64;
        let limit = limit.min(size * MAX_SNAPPY_RATIO);
        if found > limit {
            return Err(Fault::OutOfRange { offset, what: "a block's unpacked size", found, limit });
        }
        snap::raw::Decoder::new().decompress_vec(&packed).map_err(invalid)
    }
}

/// Receives an entry's key, and where its value begins and ends.
pub(super) type Visit<'v> = dyn FnMut(&[u8], u64, u64) -> Result<(), Fault> + 'v;

/// Visits the entries of a block in order.
pub(super) fn walk(contents: &Contents<'_>, visit: &mut Visit<'_>) -> Result<(), Fault> {
    let (start, end) = contents.bounds();
    let entries_end = entries_end(contents, start, end)?;
    let mut stream = contents.stream(start, entries_end, WALK_BYTES);
    let (mut key, mut first) = (vec![], true);
    while stream.position() < entries_end {
        let offset = stream.position();
        let [shared, unshared, value_bytes] = [
            stream.varint("an entry's shared key length")?,
            stream.varint("an entry's key length")?,
            stream.varint("an entry's value length")?,
        ];
        if shared > key.len() as u64 {
            let what = "an entry's shared key length";
            return Err(Fault::OutOfRange { offset, what, found: shared, limit: key.len() as u64 });
        }
        let tail = stream.take(unshared, MAX_KEY_BYTES as u64 - shared, "an entry's key length")?;
        if !first && tail.as_slice() <= &key[shared as usize..] {
            return Err(Fault::KeyOrder { offset });
        }
        key.truncate(shared as usize);
        key.extend_from_slice(&tail);
        first = false;
        let value_start = stream.position();
        stream.skip(value_bytes, "an entry's value length")?;
        visit(&key, value_start, stream.position())?;
    }
    Ok(())
}

/// Where the entries end and the restart offsets begin.
fn entries_end(contents: &Contents<'_>, start: u64, end: u64) -> Result<u64, Fault> {
    let size = end - start;
    let what = "the number of restart points";
    if size < 4 {
        return Err(Fault::OutOfRange { offset: start, what: "the size of a restart count", found: 4, limit: size });
    }
    let mut count = [0; 4];
    contents.stream(end - 4, end, 4).read_exact(&mut count, what)?;
    let (found, limit) = (u64::from(u32::from_le_bytes(count)), (size - 4) / 4);
    if found > limit {
        return Err(Fault::OutOfRange { offset: end - 4, what, found, limit });
    }
    Ok(end - 4 - 4 * found)
}

/// A table as LevelDB's builder would write it, with a restart point at every third entry.
#[cfg(test)]
pub(super) fn write_table(entries: &[(&[u8], Vec<u8>)], block_bytes: usize, snappy: bool) -> Vec<u8> {
    fn put_block(file: &mut Vec<u8>, entries: &[(Vec<u8>, Vec<u8>)], snappy: bool) -> Vec<u8> {
        let (mut contents, mut restarts, mut previous) = (vec![], vec![], &b""[..]);
        for (index, (key, value)) in entries.iter().enumerate() {
            if index % 3 == 0 {
                restarts.push(contents.len() as u32);
                previous = b"";
            }
            let shared = key.iter().zip(previous).take_while(|(a, b)| a == b).count();
            for number in [shared, key.len() - shared, value.len()] {
                put_varint(&mut contents, number as u64);
            }
            contents.extend_from_slice(&key[shared..]);
            contents.extend_from_slice(value);
            previous = key;
        }
        for number in restarts.iter().copied().chain([restarts.len() as u32]) {
            contents.extend_from_slice(&number.to_le_bytes());
        }
        if snappy {
            contents = snap::raw::Encoder::new().compress_vec(&contents).unwrap();
        }
        let mut handle = vec![];
        put_varint(&mut handle, file.len() as u64);
        put_varint(&mut handle, contents.len() as u64);
        contents.push(u8::from(snappy));
        file.extend_from_slice(&contents);
        file.extend_from_slice(&masked_crc32c(&contents).to_le_bytes());
        handle
    }

    let (mut file, mut index, mut block, mut bytes) = (vec![], vec![], vec![], 0);
    for (number, (key, value)) in entries.iter().enumerate() {
        bytes += key.len() + value.len();
        block.push((key.to_vec(), value.clone()));
        if bytes >= block_bytes || number + 1 == entries.len() {
            let handle = put_block(&mut file, &block, snappy);
            index.push((key.to_vec(), handle));
            (block, bytes) = (vec![], 0);
        }
    }
    let mut footer = put_block(&mut file, &[], false);
    footer.extend(put_block(&mut file, &index, false));
    footer.resize(40, 0);
    footer.extend_from_slice(&MAGIC.to_le_bytes());
    file.extend(footer);
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    type Entries = Vec<(Vec<u8>, Vec<u8>)>;

    fn entries() -> Entries {
        (0..30)
            .map(|number| (format!("net/layer{number:03}").into_bytes(), vec![number; number as usize * 7]))
            .collect()
    }

    fn written(block_bytes: usize, snappy: bool) -> Vec<u8> {
        let entries = entries();
        let borrowed: Vec<_> = entries.iter().map(|(key, value)| (key.as_slice(), value.clone())).collect();
        write_table(&borrowed, block_bytes, snappy)
    }

    fn read(file: Vec<u8>) -> Result<Entries, Fault> {
        let table = Table::open(Storage::Memory(file))?;
        let mut entries = vec![];
        for block in 0..table.len() {
            table.verify(block)?;
            let contents = table.contents(block)?;
            walk(&contents, &mut |key, start, end| {
                entries.push((key.to_vec(), contents.take(start, end, 1 << 20, "value")?));
                Ok(())
            })?;
        }
        Ok(entries)
    }

    #[test]
    fn tables_of_any_block_size_return() {
        for block_bytes in [1, 200, 1 << 20] {
            for snappy in [false, true] {
                assert!(read(written(block_bytes, snappy)).unwrap() == entries(), "{block_bytes} {snappy}");
            }
        }
    }

    #[test]
    fn a_flip_anywhere_is_found() {
        let file = written(200, false);
        let accepted: Vec<_> = (0..file.len())
            .filter(|&position| {
                let mut damaged = file.clone();
                damaged[position] ^= 0x10;
                read(damaged).is_ok_and(|found| found != entries())
            })
            .collect();
        assert!(accepted.is_empty(), "wrong values without an error: {accepted:?}");
    }

    #[test]
    fn a_cut_anywhere_is_found() {
        let file = written(200, true);
        let accepted: Vec<_> = (0..file.len()).filter(|&len| read(file[..len].to_vec()).is_ok()).collect();
        assert!(accepted.is_empty(), "{accepted:?}");
    }

    #[test]
    fn faults_are_named() {
        let sound = write_table(&[(b"", vec![1]), (b"a", vec![2])], 100, false);
        let with = |position: usize, bytes: &[u8]| {
            let mut file = sound.clone();
            file[position..position + bytes.len()].copy_from_slice(bytes);
            // The only data block is the first: contents up to its trailer, which is made to match again.
            let size = 3 + 1 + 4 + 1 + 4 + 4;
            let crc = masked_crc32c(&file[..=size]).to_le_bytes();
            file[size + 1..size + 5].copy_from_slice(&crc);
            read(file).unwrap_err().to_string()
        };
        let descending = write_table(&[(b"b", vec![]), (b"a", vec![])], 100, false);
        let cases = [
            (read(vec![0; 40]).unwrap_err().to_string(), "the footer's 48 bytes"),
            (
                read(vec![0; 100]).unwrap_err().to_string(),
                "byte 92: found 0x0000000000000000, expected a table's magic",
            ),
            (read(descending).unwrap_err().to_string(), "byte 4: the table's keys do not ascend"),
            (with(4, &[9]), "byte 4: an entry's shared key length is 9, expected at most 0"),
            (with(5, &[99]), "an entry's key length is 99, expected at most"),
            (with(6, &[99]), "an entry's value length is 99, expected at most"),
            (with(13, &[99]), "byte 13: the number of restart points is 99, expected at most 3"),
            (with(17, &[2]), "byte 17: block type 2, expected 0 (raw) or 1 (snappy)"),
            (with(17, &[1]), "byte 0: the block is not valid snappy"),
        ];
        let wrong: Vec<_> = cases.iter().filter(|(found, expected)| !found.contains(expected)).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    #[test]
    fn a_snappy_block_cannot_claim_more_than_snappy_can_hold() {
        // A varint of 512 MiB, then one literal byte.
        let packed = [0x80, 0x80, 0x80, 0x80, 0x02, 0x00, 0x00];
        let table = Table { storage: Storage::Memory(packed.to_vec()), blocks: vec![] };
        let error = table.unpack(0, 7, MAX_UNPACKED_BYTES).unwrap_err();
        assert!(matches!(error, Fault::OutOfRange { found: 0x2000_0000, limit: 154, .. }), "{error}");
        // One long enough for what it claims is refused for that.
        let mut packed = packed.to_vec();
        packed.resize(32 << 20, 0);
        let table = Table { storage: Storage::Memory(packed), blocks: vec![] };
        for (size, limit) in [(8 << 20, MAX_UNPACKED_BYTES), (32 << 20, MAX_UNPACKED_BYTES), (1 << 20, MAX_INDEX_BYTES)]
        {
            let error = table.unpack(0, size, limit).unwrap_err();
            assert!(matches!(error, Fault::OutOfRange { limit: found, .. } if found == limit), "{error}");
        }
    }
}
