//! What to convert, and how.

use std::path::PathBuf;

use crate::dataset::OpenOptions;

/// Images with a shorter side below this are left out by default: crops of 224 pixels, the input of VGG-16,
/// are cut from them.
pub const DEFAULT_MIN_SIZE: usize = 224;

/// The form that a data set is written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// TFRecord files and `dataset.json`.
    #[default]
    Records,
    /// `images/SPLIT/`, `masks/SPLIT/` and `classes.txt`.
    Folder,
    /// `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/` and `classes.txt`.
    Voc,
    /// `images/SPLIT/`, `annotations/instances_SPLIT.json` and `classes.txt`.
    Coco,
}

/// What becomes of void pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VoidPolicy {
    /// They stay 255.
    #[default]
    Keep,
    /// They become class 0, as in record files of older systems.
    Background,
}

/// What a bad sample does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Nothing is written; the error lists every bad sample.
    #[default]
    Stop,
    /// It is left out and reported.
    Skip,
}

/// How EXIF orientation is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExifPolicy {
    /// Masks belong to the stored pixels; a pair that only agrees upright is an error.
    #[default]
    Stored,
    /// Masks belong to the upright picture: turned photographs are stored upright, as PNG, without loss.
    Upright,
}

/// What to convert, and how.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// The data set.
    pub data: PathBuf,
    /// What is said about it.
    pub open: OpenOptions,
    /// The folder to write.
    pub out: PathBuf,
    /// The form to write.
    pub to: Target,
    /// The splits to convert; if empty `train` and `val`, as far as they exist, and every split where neither does.
    pub splits: Vec<String>,
    /// Files a split, of records.
    pub shards: usize,
    /// Images with a shorter side below this are left out, in pixels.
    pub min_size: usize,
    /// What becomes of void pixels.
    pub void: VoidPolicy,
    /// What a bad sample does.
    pub on_error: OnError,
    /// How EXIF orientation is treated.
    pub exif: ExifPolicy,
    /// Whether an earlier conversion in `out` is replaced.
    pub overwrite: bool,
}
