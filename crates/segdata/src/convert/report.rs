//! What a conversion has written and left out.

use std::path::PathBuf;

use super::options::Target;
use crate::dataset::Form;
use crate::dataset::layouts::records::SkippedSample;
use crate::error::{Error, ErrorKind};
use crate::labels::VOID;

/// What was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ConvertReport {
    /// How the data set that was read lies on disk: the word that `layout` takes.
    pub layout: Form,
    /// Files beside the photographs and masks that are neither, counted, in a sentence; null where there are none.
    pub left_out: Option<String>,
    /// The form that was written: the word that `to` takes.
    pub to: Target,
    /// In the order asked for.
    pub splits: Vec<ConvertedSplit>,
    /// Digest over all splits, also in `dataset.json` or `conversion.json`.
    pub fingerprint: String,
}

/// What was written of one split.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ConvertedSplit {
    /// `train`, `val`, ...
    pub name: String,
    /// Samples that the split names.
    pub listed: usize,
    /// Samples written.
    pub written: usize,
    /// Samples left out, and why: too small ones, and bad ones where those are skipped.
    pub skipped: Vec<SkippedSample>,
    /// How many of `skipped` were bad.
    pub bad: usize,
    /// The shards, or the files and folders that hold the split.
    #[serde(serialize_with = "crate::files::path_text::paths_as_text")]
    pub files: Vec<PathBuf>,
    /// Images in which each class occurs, by id.
    pub images_by_class: Vec<u64>,
    /// Pixels of each class, by id.
    pub pixels_by_class: Vec<u64>,
    /// Pixels without a label.
    pub void_pixels: u64,
}

impl ConvertReport {
    /// Bad samples that were skipped, over all splits.
    pub fn bad(&self) -> usize {
        self.splits.iter().map(|s| s.bad).sum()
    }
}

impl ConvertedSplit {
    pub(super) fn count(&mut self, pixels: &[u64; 256]) {
        self.written += 1;
        self.void_pixels += pixels[usize::from(VOID)];
        for (id, &n) in pixels.iter().enumerate().take(self.pixels_by_class.len()) {
            self.images_by_class[id] += u64::from(n > 0);
            self.pixels_by_class[id] += n;
        }
    }

    pub(super) fn reject(&mut self, id: String, reason: String, bad: &mut Vec<String>) {
        bad.push(if reason.contains(&id) { reason.clone() } else { format!("{id}: {reason}") });
        self.bad += 1;
        self.skipped.push(SkippedSample { id, reason });
    }
}

/// The error of a conversion that skipped bad samples, of kind [`ErrorKind::Skipped`]; `None` where none was skipped.
pub fn skipped_error(report: &ConvertReport) -> Option<Error> {
    (report.bad() > 0).then(|| {
        Error::new(ErrorKind::Skipped, format!("{} bad samples were skipped", report.bad()))
            .hint("the report names each with its reason; `check` explains more")
    })
}
