//! What an import took, left out and decided.

use std::path::PathBuf;

use serde::Serialize;

use crate::network::{Backbone, Geometry, Variant};
use segdata::image::preprocessing::Preprocessing;

/// A tensor that was taken.
#[derive(Clone, Debug, Serialize)]
pub struct Taken {
    /// Its name in the source.
    pub from: String,
    /// Its name here.
    pub to: String,
    /// Its shape here.
    pub shape: Vec<usize>,
    /// What was done to it, in words; empty for nothing.
    pub change: String,
}

/// A tensor, or something else of the source, that was not.
#[derive(Clone, Debug, Serialize)]
pub struct LeftOut {
    /// Its name in the source.
    pub name: String,
    /// Why.
    pub reason: String,
}

/// What an import took, left out and decided.
#[derive(Clone, Debug, Serialize)]
pub struct ImportReport {
    /// The weights file that was written.
    #[serde(serialize_with = "segdata::files::path_text::path_as_text")]
    pub out: PathBuf,
    /// Where it came from.
    #[serde(serialize_with = "segdata::files::path_text::path_as_text")]
    pub source: PathBuf,
    /// The source's file format.
    pub format: &'static str,
    /// Whose names the source has.
    pub names: &'static str,
    /// `network`, or `trunk` for a file without score layers.
    pub contents: &'static str,
    /// 32s, 16s or 8s; none for a trunk.
    pub variant: Option<Variant>,
    /// The trunk of an FCN.
    pub backbone: Option<Backbone>,
    /// Multiplier on the published channels.
    pub width: f32,
    /// Channels of the five stages, of fc6 and of fc7; of a U-Net's levels.
    pub channels: Vec<usize>,
    /// Class names; none for a trunk.
    pub classes: Option<Vec<String>>,
    /// Border treatment; none for a trunk.
    pub geometry: Option<Geometry>,
    /// Input convention.
    pub preprocessing: Preprocessing,
    /// What told it.
    pub preprocessing_from: String,
    /// Values written.
    pub parameters: usize,
    /// Every tensor taken, in the order of the new file.
    pub taken: Vec<Taken>,
    /// Everything left out.
    pub left_out: Vec<LeftOut>,
    /// What a person should know.
    pub remarks: Vec<String>,
}
