//! Predictions as files.

use std::path::{Path, PathBuf};

use crate::Result;
use segdata::files::write::write_bytes_atomically;
use segdata::image::encode_mask_png;
use segdata::labels::{Classes, LabelMap};
use segdata::pictures::file_stem;

/// Writes a label map as `folder/<id>.png`, an index PNG with the palette of the classes.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_prediction(folder: &Path, id: &str, prediction: &LabelMap, classes: &Classes) -> Result<PathBuf> {
    let path = folder.join(format!("{}.png", file_stem(id)));
    let png = encode_mask_png(prediction, classes)?;
    write_bytes_atomically(&path, &png)?;
    Ok(path)
}
