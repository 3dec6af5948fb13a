//! A tree of files: a folder, or a zip or tar archive that is read where it lies.
//!
//! A path that a user named comes in; files are listed and read by paths below it, whatever it is. The path of a file in
//! an archive is that of the archive with its name there behind it: `data.zip/images/a.jpg`. Nothing is unpacked to disk.
//!
//! ```text
//! path -> Tree -> is_dir, is_file, list, read, open   (zip, tar: the names and places of what an archive holds)
//! ```
//!
//! Sources: APPNOTE.TXT 6.3 (PKWARE) for zip, POSIX.1-1988 `ustar` and GNU's long names for tar.

mod archive;
mod member;
mod opened;
mod tar;
mod zip;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use self::archive::{Archive, sniff};
pub(crate) use self::opened::Opened;
use super::{is_left_by_system, read as file};
use crate::error::{Error, ErrorKind, Result};

/// Files below a path, in a folder or an archive. Cheap to clone; every method may be called from any thread.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    root: Arc<Path>,
    archive: Option<Arc<Archive>>,
}

impl Tree {
    /// The files at `path`: an archive where the content of a file is that of one, the system's files otherwise, whether
    /// there are any or not.
    ///
    /// # Errors
    /// An archive that is damaged, too large, or of a kind that cannot be read where it lies.
    pub fn open(path: &Path) -> Result<Tree> {
        let archive = if path.is_file() { sniff(path)? } else { None };
        Ok(Tree { root: path.into(), archive: archive.map(Arc::new) })
    }

    /// The same files, seen from the folder `root`.
    pub fn at(&self, root: &Path) -> Tree {
        Tree { root: root.into(), archive: self.archive.clone() }
    }

    /// The path that paths of this tree begin with.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether the files lie in an archive.
    pub fn is_archive(&self) -> bool {
        self.archive.is_some()
    }

    /// Whether there is a folder at `path`.
    pub fn is_dir(&self, path: &Path) -> bool {
        match &self.archive {
            Some(archive) => archive.is_dir(path),
            None => path.is_dir(),
        }
    }

    /// Whether there is a file at `path`.
    pub fn is_file(&self, path: &Path) -> bool {
        match &self.archive {
            Some(archive) => archive.size(path).is_some(),
            None => path.is_file(),
        }
    }

    /// Files and folders in the folder `dir`, sorted, without what systems put beside them ([`is_left_by_system`]).
    ///
    /// # Errors
    /// What the system refuses; no such folder.
    pub fn list(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        let mut paths = match &self.archive {
            Some(archive) => archive.list(dir)?,
            None => {
                let fault = |e: std::io::Error| Error::io("list the folder", dir, &e);
                let entries = std::fs::read_dir(dir).map_err(fault)?;
                entries.map(|e| e.map(|e| e.path()).map_err(fault)).collect::<Result<Vec<_>>>()?
            }
        };
        paths.retain(|path| !is_left_by_system(path.file_name().unwrap_or_default()));
        paths.sort();
        Ok(paths)
    }

    /// All bytes of the file at `path`; `what` names it in errors ("the mask").
    ///
    /// # Errors
    /// As [`file::read`]; what is damaged in an archive.
    pub fn read(&self, what: &str, path: &Path) -> Result<Vec<u8>> {
        match &self.archive {
            Some(archive) => archive.read(what, path),
            None => file::read(what, path),
        }
    }

    /// The first `count` bytes of the file at `path`, all where it has no more.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_start(&self, what: &str, path: &Path, count: u64) -> Result<Vec<u8>> {
        if let Some(archive) = &self.archive {
            return archive.read_start(what, path, count);
        }
        let mut start = Vec::new();
        let opened = file::open(ErrorKind::Data, what, path)?;
        let read = opened.take(count).read_to_end(&mut start);
        read.map(|_| start).map_err(|e| Error::io(&format!("read {what}"), path, &e))
    }

    /// The file at `path`, to be read at any place. One that is compressed in an archive is unpacked into memory, where the
    /// last ones that were asked for stay.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn open_file(&self, what: &str, path: &Path) -> Result<Opened> {
        if let Some(archive) = &self.archive {
            return archive.open_file(what, path);
        }
        let opened = file::open(ErrorKind::Data, what, path)?;
        let size = opened.metadata().map_err(|e| Error::io(&format!("read {what}"), path, &e))?.len();
        Ok(Opened::part(opened, 0, size))
    }

    /// Bytes of the file at `path`, if there is one.
    pub fn size(&self, path: &Path) -> Option<u64> {
        match &self.archive {
            Some(archive) => archive.size(path),
            None => std::fs::metadata(path).ok().map(|m| m.len()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
