//! Files: what a user named is read with a limit, what others rely on is written whole or not at all.
//!
//! Paths come in, bytes and arrays go out, or the other way round; every error names the path. Nothing here decodes
//! images or knows data sets.
//!
//! * [`kinds`] names the kinds of files that are not read, with the remedy for each.
//! * [`read`](mod@read) opens regular files only, and reads no more than was asked for.
//! * `parquet` reads columns of files in Parquet tables.
//! * `tree` is a folder, or a zip or tar archive that is read where it lies.
//! * [`write`](mod@write) makes a file durable before it has its name.
//! * [`glob`](mod@glob) matches the names of files in a folder.
//! * [`npy`] is NumPy's array format, version 1.0 (`numpy/lib/format.py`).
//! * `yaml` gives the scalars of a document.
//! * [`path_text`] puts paths into JSON.

use std::ffi::OsStr;

pub mod glob;
pub mod kinds;
pub mod npy;
pub(crate) mod parquet;
pub mod path_text;
pub mod read;
pub(crate) mod tree;
pub mod write;
pub(crate) mod yaml;

/// Folders in folders that are looked into: a link to a folder above would go on for ever.
pub const MOST_FOLDERS_DEEP: usize = 12;

/// Whether a name is one that systems put beside the files of people: macOS keeps what other file systems have no place for
/// in `._NAME` (AppleDouble, RFC 1740), and in `__MACOSX/` in archives. What is in it is no photograph, mask or list,
/// whatever its extension says.
pub fn is_left_by_system(name: &OsStr) -> bool {
    name == "__MACOSX" || name.as_encoded_bytes().starts_with(b"._")
}
