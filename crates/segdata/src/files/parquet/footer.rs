//! The footer of a Parquet file: its columns of bytes, and where the pages of each begin.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::thrift::{Value, read_struct};
use crate::error::{Error, Result};
use crate::files::tree::Opened;

/// What begins and ends a file.
const MAGIC: &[u8; 4] = b"PAR1";

/// Bytes of a footer; that of a terabyte in groups of a hundred rows is smaller.
const MOST_FOOTER_BYTES: u64 = 64 << 20;

/// Rows of a group; writers put a hundred images into one, or a thousand.
const MOST_ROWS: usize = 10_000_000;

/// `BYTE_ARRAY` in `Type`.
const BYTE_ARRAY: i64 = 6;

/// A column of bytes.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// Names from the outermost in: `["image", "bytes"]`.
    pub path: Vec<String>,
    /// Definition level of a value that is there: how many of its names may be missing.
    pub defined: u8,
    /// Its part of each row group.
    pub chunks: Vec<Chunk>,
}

/// The part of a column in a row group.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Byte at which its first page begins.
    pub start: u64,
    /// Bytes of all its pages.
    pub bytes: u64,
    /// Rows of the group.
    pub rows: usize,
    pub codec: i64,
}

/// What the footer says.
#[derive(Debug)]
pub(super) struct Footer {
    pub rows: usize,
    pub columns: Vec<Column>,
    /// BLAKE3 of the footer, which holds the sizes of all pages and the smallest and largest values.
    pub digest: [u8; 32],
}

pub(super) fn damaged(what: &str) -> Error {
    Error::data(format!("the Parquet file is damaged: {what}")).hint("copy or download it again")
}

/// Reads the footer of `opened`, the file at `path`.
///
/// # Errors
/// What the system refuses; a file that is no Parquet file, or is damaged or encrypted.
pub(super) fn read(path: &Path, opened: &mut Opened) -> Result<Footer> {
    let fault = |e: std::io::Error| Error::io("read the Parquet file", path, &e);
    let length = opened.size();
    let bytes = footer_bytes(opened, length).map_err(fault)?;
    let bytes = bytes.ok_or_else(|| damaged("it does not end in a footer").at(path))?;
    let parsed = read_struct(&bytes).ok_or_else(|| damaged("its footer cannot be read").at(path))?.0;
    let columns = columns(&parsed, length).ok_or_else(|| damaged("its footer contradicts itself").at(path))?;
    let rows = parsed.size(3).unwrap_or(0);
    Ok(Footer { rows, columns, digest: *blake3::hash(&bytes).as_bytes() })
}

fn footer_bytes(opened: &mut Opened, length: u64) -> std::io::Result<Option<Vec<u8>>> {
    let mut end = [0; 8];
    if length < 12 {
        return Ok(None);
    }
    opened.seek(SeekFrom::End(-8))?;
    opened.read_exact(&mut end)?;
    let size = u64::from(u32::from_le_bytes([end[0], end[1], end[2], end[3]]));
    if !end.ends_with(MAGIC) || size > (length - 12).min(MOST_FOOTER_BYTES) {
        return Ok(None);
    }
    opened.seek(SeekFrom::Start(length - 8 - size))?;
    let mut bytes = vec![0; size as usize];
    opened.read_exact(&mut bytes)?;
    Ok(Some(bytes))
}

/// Every column of bytes that holds one value a row.
fn columns(footer: &Value, length: u64) -> Option<Vec<Column>> {
    let mut elements = footer.list(2).iter();
    let root = elements.next()?;
    let mut columns = Vec::new();
    for _ in 0..root.size(5)? {
        leaves(&mut elements, &mut Vec::new(), 0, true, &mut columns)?;
    }
    for group in footer.list(4) {
        let rows = group.size(3).filter(|rows| *rows <= MOST_ROWS)?;
        for chunk in group.list(1) {
            let meta = chunk.field(3)?;
            let path: Option<Vec<&str>> = meta.list(3).iter().map(Value::as_text).collect();
            let path = path?;
            let Some(column) = columns.iter_mut().find(|column| column.path == path) else { continue };
            let data = u64::try_from(meta.int(9)?).ok()?;
            // Some writers put 0 where there is no dictionary.
            let dictionary = meta.int(11).and_then(|at| u64::try_from(at).ok()).filter(|at| *at > 0);
            let start = dictionary.map_or(data, |at| at.min(data));
            let bytes = u64::try_from(meta.int(7)?).ok()?;
            start.checked_add(bytes).filter(|end| *end <= length)?;
            column.chunks.push(Chunk { start, bytes, rows, codec: meta.int(4)? });
        }
    }
    Some(columns)
}

/// Walks one element of the schema with those below it; `single` where no list is around it.
fn leaves<'a>(
    elements: &mut impl Iterator<Item = &'a Value>,
    path: &mut Vec<String>,
    defined: u8,
    single: bool,
    columns: &mut Vec<Column>,
) -> Option<()> {
    let element = elements.next()?;
    if path.len() > 8 {
        return None;
    }
    path.push(element.text(4)?.to_string());
    let repetition = element.int(3).unwrap_or(0);
    let (defined, single) = (defined + u8::from(repetition == 1), single && repetition != 2);
    match element.size(5).unwrap_or(0) {
        0 if single && element.int(1) == Some(BYTE_ARRAY) => {
            columns.push(Column { path: path.clone(), defined, chunks: Vec::new() });
        }
        below => {
            for _ in 0..below {
                leaves(elements, path, defined, single, columns)?;
            }
        }
    }
    path.pop();
    Some(())
}
