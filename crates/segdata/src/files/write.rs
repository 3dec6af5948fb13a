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
        // Only Unix opens folders as files; elsewhere the system makes renames durable by itself.
        let synced = if cfg!(unix) { File::open(folder).and_then(|f| f.sync_all()) } else { Ok(()) };
        synced.map_err(|e| Error::io("make the folder durable", folder, &e))
    });
    if result.is_err() {
        // Best effort: the first error is the one worth telling.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

fn fill_and_sync(temporary: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let file = File::create(temporary).map_err(|e| Error::io("create", temporary, &e))?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, file);
    fill(&mut writer)?;
    let file = writer.into_inner().map_err(|e| Error::io("write", temporary, e.error()))?;
    file.sync_all().map_err(|e| Error::io("make durable", temporary, &e))
}
