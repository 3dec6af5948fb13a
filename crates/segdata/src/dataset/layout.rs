//! What lies at a path: the lists of samples of a data set, before the meaning of mask values is settled.

use std::path::PathBuf;

use super::entry::Listing;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::ReadOptions;
use crate::labels::{MaskCoding, MaskValues, class_file};

/// Which layout a data set has on disk; the word of each is what `layout` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// TFRecord files.
    Records,
    /// `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/*.txt`.
    Voc,
    /// `leftImg8bit/SPLIT/CITY/`, `gtFine/SPLIT/CITY/`.
    Cityscapes,
    /// `images/training/`, `annotations/training/`.
    Ade20k,
    /// `images/`, `annotations/trimaps/`.
    Pets,
    /// `imagesTr/NAME_0000.png`, `labelsTr/NAME.png`.
    Nnunet,
    /// `data/train-00000-of-00001.parquet`.
    Parquet,
    /// `img_dir/SPLIT/`, `ann_dir/SPLIT/`.
    Mmseg,
    /// `SPLIT/`, `SPLIT_masks/`.
    Carvana,
    /// `images/SPLIT/`, `masks/SPLIT/`.
    Nested,
    /// `SPLIT/images/`, `SPLIT/masks/`.
    Splits,
    /// `images/` and `masks/`.
    Folder,
    /// Photographs and masks side by side.
    Flat,
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

impl Form {
    /// Whether labels are shapes under names, which a class list numbers when they are drawn.
    fn draws_shapes(self) -> bool {
        matches!(self, Form::Coco | Form::Labelme | Form::Cvat | Form::Yolo | Form::Supervisely)
    }

    /// Whether it is one data set that everybody has in the same form, with files that are not read.
    pub(super) fn is_published(self) -> bool {
        matches!(self, Form::Cityscapes | Form::Ade20k | Form::Pets | Form::Voc | Form::Nnunet)
    }

    /// The word and what it is, in a line that a command prints.
    pub fn line(self) -> String {
        format!("layout {self}: {}", self.describe())
    }

    /// What it is.
    pub fn describe(self) -> &'static str {
        match self {
            Form::Records => "TFRecord files",
            Form::Voc => "PASCAL VOC: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/",
            Form::Cityscapes => "Cityscapes: leftImg8bit/, gtFine/; 19 classes, the other labels are void",
            Form::Ade20k => "ADE20K: images/training/, annotations/training/; 0 is void, 1 becomes class 0",
            Form::Pets => "Oxford-IIIT Pet: images/, annotations/trimaps/; the border is void",
            Form::Nnunet => "nnU-Net: imagesTr/, labelsTr/, dataset.json",
            Form::Parquet => "Parquet files with encoded images, as Hugging Face's datasets write them",
            Form::Mmseg => "MMSegmentation: img_dir/, ann_dir/",
            Form::Carvana => "a folder a split with its masks beside it: train/, train_masks/",
            Form::Nested => "splits in the folders of images and of masks: images/train/, masks/train/",
            Form::Splits => "images and masks in the folder of a split: train/images/, train/masks/",
            Form::Folder => "images/ and masks/",
            Form::Flat => "photographs and masks side by side",
            Form::Coco => "COCO's JSON: shapes in the order of the file, later over earlier; the rest is background",
            Form::Labelme => "labelme: shapes in the order of the file, later over earlier; the rest is background",
            Form::Cvat => "CVAT for images: shapes by z_order, later over earlier; the rest is background",
            Form::Yolo => "YOLO polygons: lines in their order, later over earlier; the rest is background",
            Form::Supervisely => {
                "Supervisely: shapes in the order of the file, later over earlier; the rest is background"
            }
        }
    }
}

/// The word that `layout` takes.
impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        serde::Serialize::serialize(self, f)
    }
}

/// What the caller says about a data set that is to be opened; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// The class list; one beside the data is looked for otherwise.
    pub classes: Option<PathBuf>,
    /// What counts in masks that hold both an index and a colour.
    pub mask_values: MaskValues,
    /// The layout; it is recognised by what is there otherwise.
    pub layout: Option<Form>,
    /// The folder of photographs, below the data set, where no layout names it.
    pub images: Option<PathBuf>,
    /// The folder of masks, below the data set, where no layout names it.
    pub masks: Option<PathBuf>,
    /// What the name of a mask has behind that of its photograph, before the extension: `_mask`.
    pub mask_suffix: Option<String>,
    /// How photographs are read where their files leave it open.
    pub reading: ReadOptions,
}

impl OpenOptions {
    /// A class list alone.
    pub fn with_classes(classes: Option<&std::path::Path>) -> Self {
        OpenOptions { classes: classes.map(Into::into), ..OpenOptions::default() }
    }
}

/// One way in which data sets lie on disk. A file of [`layouts`](super::layouts) has one of these.
pub(crate) trait DataSetLayout: Sync {
    /// The word for it.
    fn form(&self) -> Form;

    /// The folder of the photographs, the first of several, where a data set lies at the root of `tree` in this way, whole
    /// or not; `None` where it does not. Looks at names, and at the first bytes of files that any tool may have written,
    /// and never fails: what keeps the data from being listed, [`list`](Self::list) reports.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf>;

    /// Lists the samples of a data set that was recognised, or that the caller says has this layout. No image is decoded.
    ///
    /// # Errors
    /// Parts of the layout that are missing, and lists that cannot be read. What is wrong with single samples becomes a
    /// [`Fault`](super::Fault) of their list.
    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout>;
}

/// What was found at a path, before the meaning of mask values is settled.
pub(crate) struct Layout {
    pub form: Form,
    /// The files, seen from where `classes.txt` may lie.
    pub tree: Tree,
    /// Classes that the data set itself brings.
    pub coding: Option<MaskCoding>,
    pub listings: Vec<Listing>,
}

impl Layout {
    /// The mask coding from `options.classes`, a class list beside the data, or the data set itself, in this order.
    pub fn named_classes(&self, options: &OpenOptions) -> Result<Option<MaskCoding>> {
        if self.form.draws_shapes() {
            return Ok(self.coding.clone());
        }
        let beside = || class_file::NAMES.iter().map(|name| self.tree.root().join(name)).find(|p| self.tree.is_file(p));
        let coding = match (&options.classes, beside()) {
            (Some(file), _) => Some(MaskCoding::read(file)?),
            (None, Some(file)) => {
                let text =
                    class_file::text(self.tree.read("the class list", &file)?).map_err(|e: Error| e.at(&file))?;
                Some(MaskCoding::parse_file(&file, &text).map_err(|e| e.at(&file))?)
            }
            (None, None) => self.coding.clone(),
        };
        // Of class ids a list changes the names alone.
        let coding = coding.map(|list| self.coding.as_ref().map_or(list.clone(), |own| own.renamed(list)));
        Ok(coding.map(|coding| coding.with_mask_values(options.mask_values)))
    }
}
