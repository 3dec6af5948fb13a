//! Paths in JSON documents.

use std::path::Path;

use serde::Serializer;

/// A path in JSON, for `#[serde(serialize_with)]`: bytes that are no UTF-8 are replaced, since JSON has no others.
///
/// # Errors
/// Those of the serialiser.
pub fn path_as_text<S: Serializer>(path: impl AsRef<Path>, to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_str(&path.as_ref().display())
}

/// [`path_as_text`] of a path that may be absent.
///
/// # Errors
/// Those of the serialiser.
pub fn optional_path_as_text<S: Serializer>(
    path: &Option<impl AsRef<Path>>,
    to: S,
) -> std::result::Result<S::Ok, S::Error> {
    match path {
        Some(path) => path_as_text(path, to),
        None => to.serialize_none(),
    }
}

/// [`path_as_text`] of several.
///
/// # Errors
/// Those of the serialiser.
pub(crate) fn paths_as_text<S: Serializer>(paths: &[impl AsRef<Path>], to: S) -> std::result::Result<S::Ok, S::Error> {
    to.collect_seq(paths.iter().map(|path| path.as_ref().display().to_string()))
}
