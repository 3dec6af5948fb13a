//! What lies at a path: the lists of samples of a data set, before the meaning of mask values is settled.

use std::path::{Path, PathBuf};

use super::entry::Listing;
use crate::error::Result;
use crate::labels::{MaskCoding, MaskValues};

/// Which form a data set has on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/*.txt`.
    Voc,
    /// `images/` and `masks/`.
    Folder,
    /// TFRecord files.
    Records,
    /// COCO's JSON: polygons and run lengths.
    Coco,
    /// A labelme JSON a picture.
    Labelme,
    /// XML of CVAT for images.
    Cvat,
    /// Text files of polygons, as Ultralytics' YOLO reads them.
    Yolo,
    /// A Supervisely project.
    Supervisely,
}

/// What the caller says about a data set that is to be listed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListOptions<'a> {
    /// The class list that the user named; one beside the data is looked for otherwise.
    pub classes: Option<&'a Path>,
    /// What counts in masks that hold both an index and a colour.
    pub mask_values: MaskValues,
}

impl ListOptions<'_> {
    /// The class list that the user named, or `classes.txt` in `root`.
    pub fn class_list(&self, root: &Path) -> Result<Option<MaskCoding>> {
        let beside = root.join("classes.txt");
        match self.classes {
            Some(file) => MaskCoding::read(file).map(Some),
            None if beside.is_file() => MaskCoding::read(&beside).map(Some),
            None => Ok(None),
        }
    }
}

/// One way in which data sets lie on disk. A file of [`layouts`](super::layouts) has one of these.
pub(crate) trait DataSetLayout: Sync {
    /// The root of the data set at `path`, where it lies in this way, whole or not; `None` where it does not. Looks at
    /// names, and at the first bytes of files that any tool may have written, and never fails: what keeps the data from
    /// being listed, [`list`](Self::list) reports.
    fn recognise(&self, path: &Path) -> Option<PathBuf>;

    /// Lists the samples of a data set that was recognised at `path`. No image is decoded.
    ///
    /// # Errors
    /// Parts of the layout that are missing, and lists that cannot be read. What is wrong with single samples becomes a
    /// [`Fault`](super::Fault) of their list.
    fn list(&self, path: &Path, options: &ListOptions<'_>) -> Result<Layout>;
}

/// What was found at a path, before the meaning of mask values is settled.
pub(crate) struct Layout {
    pub form: Form,
    /// Where `classes.txt` may lie.
    pub root: PathBuf,
    /// Classes that the data set itself brings.
    pub coding: Option<MaskCoding>,
    pub listings: Vec<Listing>,
}

impl Layout {
    /// The mask coding from `options.classes`, `classes.txt`, or the data set itself, in this order.
    pub fn named_classes(&self, options: &ListOptions<'_>) -> Result<Option<MaskCoding>> {
        let listed = options.class_list(&self.root)?;
        // Of class ids a list changes the names alone.
        let renamed = |list: MaskCoding| self.coding.as_ref().map_or(list.clone(), |own| own.renamed(list));
        let coding = listed.map(renamed).or_else(|| self.coding.clone());
        Ok(coding.map(|coding| coding.with_mask_values(options.mask_values)))
    }
}
