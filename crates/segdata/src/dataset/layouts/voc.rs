//! The layout of PASCAL VOC: `JPEGImages/ID.jpg`, `SegmentationClass/ID.png`, `ImageSets/Segmentation/SPLIT.txt`.

use std::path::{Path, PathBuf};

use crate::dataset::layout::{DataSetLayout, Form, Layout, ListOptions};
use crate::dataset::listing::{Files, read_list};
use crate::error::{Error, Result};
use crate::labels::{Classes, MaskCoding};

const IMAGES: &str = "JPEGImages";

const MASKS: &str = "SegmentationClass";

const LISTS: &str = "ImageSets/Segmentation";

/// A VOC root.
pub(super) struct Voc;

impl DataSetLayout for Voc {
    /// Photographs, or masks beside lists, are enough: what is missing is reported.
    fn recognise(&self, path: &Path) -> Option<PathBuf> {
        let has = |part: &str| path.join(part).is_dir();
        (has(IMAGES) || (has(MASKS) && has("ImageSets"))).then(|| path.to_path_buf())
    }

    /// Every list in `ImageSets/Segmentation` is a split.
    fn list(&self, root: &Path, _: &ListOptions<'_>) -> Result<Layout> {
        for part in [IMAGES, MASKS, LISTS] {
            if !root.join(part).is_dir() {
                return Err(Error::data(format!("the VOC root has no folder {part}/"))
                    .at(root)
                    .hint(format!("expected {IMAGES}/ID.jpg, {MASKS}/ID.png and {LISTS}/train.txt, val.txt")));
            }
        }
        let lists = root.join(LISTS);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&lists).map_err(|e| Error::io("list the folder", &lists, &e))? {
            let path = entry.map_err(|e| Error::io("list the folder", &lists, &e))?.path();
            if path.extension().is_some_and(|e| e == "txt")
                && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
            {
                names.push((stem.to_string(), path.clone()));
            }
        }
        names.sort();
        if names.is_empty() {
            return Err(Error::data("there is no list")
                .at(&lists)
                .hint("write the ids of a split into train.txt, one a line"));
        }
        let mut files = Files::new(root.join(IMAGES), root.join(MASKS));
        let mut listings = Vec::new();
        for (name, path) in names {
            listings.push(files.resolve(&name, read_list(&path)?)?);
        }
        let coding = Some(MaskCoding::from(&Classes::voc()));
        Ok(Layout { form: Form::Voc, root: root.to_path_buf(), coding, listings })
    }
}
