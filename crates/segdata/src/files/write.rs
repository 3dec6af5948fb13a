//! Writing files that others rely on: under another name first, made durable, then renamed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// Bytes that are gathered before the system is asked to write.
const BUFFER_BYTES: usize = 1 << 20;

/// Writes a file beside `path`, makes it durable, and gives it the name `path` only then.
///
/// # Errors
/// Those of `fill`, and what the system refuses; nothing is left behind then, and a file at `path` stays as it was.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().ok_or_else(|| Error::usage("this names no file to write").at(path))?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".tmp-{}", std::process::id()));
    let temporary = folder.join(hidden);
    let result = fill_and_sync(&temporary, fill).and_then(|()| {
        std::fs::rename(&temporary, path).map_err(|e| Error::io("rename a finished file to this", path, &e))?;
        sync_folder(folder)
    });
    if result.is_err() {
        // Best effort: the first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// [`write_atomically`] of bytes that are at hand.
///
/// # Errors
/// What the system refuses; a file at `path` stays as it was then.
pub fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |file| file.write_all(bytes).map_err(|e| Error::io("write", path, &e)))
}

/// Makes durable which names a folder holds: files that were created, renamed or removed in it. Windows cannot open a
/// folder for that, and its file systems need no such call; nothing happens there.
///
/// # Errors
/// What the system refuses.
pub fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(windows) {
        return Ok(());
    }
    File::open(folder).and_then(|f| f.sync_all()).map_err(|e| Error::io("make the folder durable", folder, &e))
}

fn fill_and_sync(temporary: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let file = File::create(temporary).map_err(|e| Error::io("create", temporary, &e))?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(|e| Error::io("write", temporary, e.error()))?;
    file.sync_all().map_err(|e| Error::io("make durable", temporary, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        write_bytes_atomically(&path, b"first").unwrap();
        write_bytes_atomically(&path, b"second").unwrap();
        let refused = write_atomically(&path, |file| {
            file.write_all(b"thi").unwrap();
            Err(Error::data("no more"))
        });
        assert_eq!(refused.unwrap_err().message, "no more");
        assert_eq!(std::fs::read(&path).unwrap(), b"second");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
        sync_folder(folder.path()).unwrap();
        assert!(cfg!(windows) || sync_folder(&folder.path().join("none")).is_err());
    }
}
