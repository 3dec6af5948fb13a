//! A file of an archive: its name, its place, and the errors that both kinds of archives have.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// Files that an archive may hold: more cost memory before one is read. ImageNet has 1.3 million.
pub(super) const MOST_FILES: usize = 2_000_000;

/// A file of an archive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its number in a zip, or the byte at which its data begin in a tar.
    pub place: u64,
    /// Bytes, as the directory says.
    pub size: u64,
}

/// The name of a file as a path below the archive: separators of either system, no empty parts.
///
/// # Errors
/// A name that leads out of the archive.
pub(super) fn safe_name(name: &str) -> Result<PathBuf> {
    let parts: Vec<&str> = name.split(['/', '\\']).filter(|part| !part.is_empty() && *part != ".").collect();
    let drive = parts.first().is_some_and(|part| part.ends_with(':'));
    if name.starts_with(['/', '\\']) || drive || parts.contains(&"..") || name.contains('\0') {
        let shown: String = name.escape_debug().take(200).collect();
        return Err(Error::data(format!("the archive holds a file whose name leads out of it: `{shown}`"))
            .hint("do not unpack it; make it again from the folder"));
    }
    Ok(parts.iter().collect())
}

/// The error of an archive with too many files.
pub(super) fn too_many(found: usize) -> Error {
    Error::data(format!("the archive holds {found} files or more; at most {MOST_FILES} are read where they lie"))
        .hint("unpack it")
}

pub(super) fn damaged(what: &str) -> Error {
    Error::data(format!("the archive is damaged: {what}")).hint("copy or download it again")
}
