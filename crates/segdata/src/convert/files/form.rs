//! Where the parts of each form lie.

use std::path::{Path, PathBuf};

use crate::convert::options::Target;
use crate::dataset::{Form, Split};
use crate::error::{Error, Result};

/// A form in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileForm {
    /// `images/SPLIT/`, `masks/SPLIT/`.
    Folder,
    /// `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/SPLIT.txt`.
    Voc,
    /// `images/SPLIT/`, `annotations/instances_SPLIT.json`.
    Coco,
}

impl FileForm {
    /// The form that is asked for.
    ///
    /// # Errors
    /// Records, which are no files of photographs.
    pub fn of(target: Target) -> Result<Self> {
        match target {
            Target::Folder => Ok(FileForm::Folder),
            Target::Voc => Ok(FileForm::Voc),
            Target::Coco => Ok(FileForm::Coco),
            Target::Records => Err(Error::internal("records are not written as files of photographs")),
        }
    }

    /// The layout as which it is read.
    pub fn layout(self) -> Form {
        match self {
            FileForm::Folder => Form::Nested,
            FileForm::Voc => Form::Voc,
            FileForm::Coco => Form::Coco,
        }
    }

    /// The folder of the photographs of a split.
    pub fn images(self, split: &str) -> PathBuf {
        match self {
            FileForm::Folder | FileForm::Coco => Path::new("images").join(split),
            FileForm::Voc => "JPEGImages".into(),
        }
    }

    /// The folder of the masks of a split, if there are masks.
    pub fn masks(self, split: &str) -> Option<PathBuf> {
        match self {
            FileForm::Folder => Some(Path::new("masks").join(split)),
            FileForm::Voc => Some("SegmentationClass".into()),
            FileForm::Coco => None,
        }
    }

    /// The file that lists the samples of a split, if there is one.
    pub fn list(self, split: &str) -> Option<PathBuf> {
        match self {
            FileForm::Folder => None,
            FileForm::Voc => Some(format!("ImageSets/Segmentation/{split}.txt").into()),
            FileForm::Coco => Some(format!("annotations/instances_{split}.json").into()),
        }
    }

    /// Refuses splits that would be other ones when they are read.
    pub fn refuse_splits(self, splits: &[Split]) -> Result<()> {
        let names: Vec<&str> = splits.iter().map(Split::name).collect();
        let known: &[&str] = match self {
            FileForm::Folder => &["train", "val", "test"],
            FileForm::Coco => &["train", "val", "test", "trainval"],
            FileForm::Voc => &[],
        };
        let layout = self.layout();
        if let Some(other) = names.iter().find(|name| !known.is_empty() && !known.contains(name)) {
            return Err(Error::usage(format!("layout `{layout}` has no split `{other}`, only {}", known.join(", ")))
                .hint("name the others with `splits`, or write `to voc` or `to records`, which have any"));
        }
        if let Some((name, fault)) = names.iter().find_map(|name| Some((name, super::ids::fault(name)?))) {
            return Err(Error::usage(format!("split `{}` {fault}: it is no name of a file", name.escape_debug()))
                .hint("name the others with `splits`"));
        }
        if self == FileForm::Folder && names.contains(&"train") && !names.contains(&"val") {
            return Err(Error::usage(format!(
                "split `train` alone would be divided into train and val when layout `{layout}` is read"
            ))
            .hint("convert `val` with it, or write `to voc` or `to records`"));
        }
        Ok(())
    }
}
