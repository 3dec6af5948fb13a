//! All layouts, in the order in which they are tried.

use std::path::Path;

use super::annotations::{Coco, Cvat, Labelme, Supervisely, Yolo};
use super::folder::Folder;
use super::records::Records;
use super::voc::Voc;
use crate::dataset::layout::{DataSetLayout, Layout, ListOptions};
use crate::error::{Error, ErrorKind, Result};

/// The first that recognises a path lists it. Files of labels are recognised by what they hold, so they come first; any
/// other file is records; a folder with `images/` is the least specific, so it comes last.
static LAYOUTS: [&dyn DataSetLayout; 8] = [&Coco, &Labelme, &Cvat, &Supervisely, &Yolo, &Records, &Voc, &Folder];

impl Layout {
    /// Recognises and lists what lies at `path`.
    ///
    /// # Errors
    /// Nothing at `path`, or nothing that a layout recognises; those of the layout that does.
    pub fn find(path: &Path, options: &ListOptions<'_>) -> Result<Layout> {
        if path.is_dir() {
            std::fs::read_dir(path).map_err(|e| Error::io("list the folder", path, &e))?;
        }
        match LAYOUTS.iter().find(|layout| layout.recognise(path).is_some()) {
            Some(layout) => layout.list(path, options),
            None if !path.exists() => Err(Error::new(ErrorKind::Io, "no such file or folder").at(path)),
            None => Err(not_a_dataset(path)),
        }
    }
}

fn not_a_dataset(path: &Path) -> Error {
    let forms = "expected a VOC root (JPEGImages/, SegmentationClass/, ImageSets/Segmentation/*.txt), \
                 a folder with images/ and masks/, COCO's JSON, labelme, CVAT, YOLO or Supervisely labels with their \
                 photographs, or TFRecord files";
    let below = ["VOCdevkit/VOC2012", "VOC2012", "VOC2007"].map(|sub| path.join(sub));
    let hint = match below.iter().find(|sub| Voc.recognise(sub).is_some()) {
        Some(root) => format!("did you mean {}?", root.display()),
        None => forms.to_string(),
    };
    Error::data("not a data set").at(path).hint(hint)
}
