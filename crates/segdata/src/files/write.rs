//! Writing files that others rely on: under another name first, made durable, then renamed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Bytes that are gathered before the system is asked to write.
const BUFFER_BYTES: usize = 1 << 20;

/// A file on its way: it is written beside its place under another name, and has its own once it is whole. Dropped before,
/// it leaves nothing behind, and a file at its place stays as it was.
pub struct UnfinishedFile {
    path: PathBuf,
    temporary: PathBuf,
    /// None once all is written.
    writer: Option<BufWriter<File>>,
    finished: bool,
}

impl UnfinishedFile {
    /// Begins the file that will lie at `path`.
    ///
    /// # Errors
    /// A path without a name; what the system refuses.
    pub fn create(path: &Path) -> Result<Self> {
        let name = path.file_name().ok_or_else(|| Error::usage("this names no file to write").at(path))?;
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".tmp-{}", std::process::id()));
        let temporary = path.with_file_name(hidden);
        let file = File::create(&temporary).map_err(|e| Error::io("create", &temporary, &e))?;
        let writer = Some(BufWriter::with_capacity(BUFFER_BYTES, file));
        Ok(UnfinishedFile { path: path.to_path_buf(), temporary, writer, finished: false })
    }

    /// Where the file will lie.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes what was written durable and gives the file its name.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn finish(mut self) -> Result<()> {
        if let Some(mut writer) = self.writer.take() {
            writer.flush().map_err(|e| Error::io("write", &self.temporary, &e))?;
            writer.get_ref().sync_all().map_err(|e| Error::io("make durable", &self.temporary, &e))?;
        }
        std::fs::rename(&self.temporary, &self.path)
            .map_err(|e| Error::io("rename a finished file to this", &self.path, &e))?;
        self.finished = true;
        sync_folder(self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")))
    }
}

impl Write for UnfinishedFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.writer.as_mut().map_or(Ok(0), |writer| writer.write(bytes))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), BufWriter::flush)
    }
}

impl Drop for UnfinishedFile {
    fn drop(&mut self) {
        drop(self.writer.take());
        if !self.finished {
            // Best effort: the error that kept the file from being finished is the one to report.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a file beside `path`, makes it durable, and gives it the name `path` only then.
///
/// # Errors
/// Those of `fill`, and what the system refuses; nothing is left behind then, and a file at `path` stays as it was.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> Result<()>) -> Result<()> {
    let mut file = UnfinishedFile::create(path)?;
    fill(&mut file)?;
    file.finish()
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
