//! Reading JSON that somebody else wrote: with a limit, and errors that name file, line and column.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _, Visitor};

use crate::error::{Error, Result};
use crate::files::tree::Tree;

/// The longest file: COCO's own largest has 0.5 GB.
const MAX_BYTES: u64 = 2 << 30;

/// Bytes at the beginning of a file that say which tool wrote it.
const START_BYTES: u64 = 64 << 10;

/// Reads a JSON file; `what` names it in errors ("the COCO file"). A byte-order mark is passed over.
pub(super) fn read_json<T: DeserializeOwned>(what: &str, tree: &Tree, path: &Path) -> Result<T> {
    let bytes = read_bytes(what, tree, path)?;
    serde_json::from_slice(&bytes).map_err(|e| {
        Error::data(format!("{what} cannot be read: {e}")).at(path).hint("export it again from the tool that wrote it")
    })
}

/// All bytes of a file of labels, without its byte-order mark.
pub(super) fn read_bytes(what: &str, tree: &Tree, path: &Path) -> Result<Vec<u8>> {
    if let Some(length) = tree.size(path).filter(|length| *length > MAX_BYTES) {
        return Err(Error::data(format!("{what} has {length} bytes; at most {MAX_BYTES} are read at once")).at(path));
    }
    let mut bytes = tree.read(what, path)?;
    if bytes.starts_with(b"\xef\xbb\xbf") {
        bytes.drain(..3);
    }
    Ok(bytes)
}

/// The beginning of a file as text, if it can be read.
pub(super) fn start_of(tree: &Tree, path: &Path) -> Option<String> {
    let bytes = tree.read_start("the file", path, START_BYTES).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Files and folders in `folder`, sorted and without hidden ones; none where there is no such folder.
pub(super) fn entries(tree: &Tree, folder: &Path) -> Vec<PathBuf> {
    let hidden = |path: &PathBuf| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let mut paths = if tree.is_dir(folder) { tree.list(folder).unwrap_or_default() } else { Vec::new() };
    paths.retain(|path| !hidden(path));
    paths
}

/// Whether the name of `path` has this ending, in any case.
pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(extension))
}

/// The name of a file or folder without its ending.
pub(super) fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The folder of a data set that is named by a folder or by a file of labels in it.
pub(super) fn folder_of(tree: &Tree) -> PathBuf {
    let root = tree.root();
    if !tree.is_file(root) || tree.is_dir(root) {
        return root.to_path_buf();
    }
    root.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf()
}

/// A width or height: a whole number, also where it is written as `640.0`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Whole(pub usize);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        let value = f64::deserialize(from)?;
        let fits = value >= 0.0 && value <= f64::from(u32::MAX) && value.fract() == 0.0;
        if fits { Ok(Whole(value as usize)) } else { Err(D::Error::custom(format!("{value} is no size in pixels"))) }
    }
}

/// The id of a picture, an annotation or a category: a number, or text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Key {
    Number(i64),
    Text(Box<str>),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Number(number) => write!(f, "{number}"),
            Key::Text(text) => write!(f, "`{text}`"),
        }
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> std::result::Result<Self, D::Error> {
        struct KeyVisitor;
        impl Visitor<'_> for KeyVisitor {
            type Value = Key;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an id: a whole number or text")
            }

            fn visit_i64<E>(self, number: i64) -> std::result::Result<Key, E> {
                Ok(Key::Number(number))
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> std::result::Result<Key, E> {
                i64::try_from(number).map(Key::Number).map_err(|_| E::custom(format!("the id {number} is too large")))
            }

            fn visit_str<E>(self, text: &str) -> std::result::Result<Key, E> {
                Ok(Key::Text(text.into()))
            }
        }
        from.deserialize_any(KeyVisitor)
    }
}
