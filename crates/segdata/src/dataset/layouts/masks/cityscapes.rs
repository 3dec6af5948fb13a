//! Cityscapes: `leftImg8bit/SPLIT/CITY/ID_leftImg8bit.png` and `gtFine/SPLIT/CITY/ID_gtFine_labelTrainIds.png`, or
//! `ID_gtFine_labelIds.png` where not every photograph has the former.
//!
//! M. Cordts et al., "The Cityscapes dataset for semantic urban scene understanding" (CVPR 2016); the table of labels is that
//! of `cityscapesscripts/helpers/labels.py`. Labels that are not evaluated there are void.

use std::path::{Path, PathBuf};

use super::pairs::{Part, list_parts};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::listing::Files;
use crate::dataset::names::Side;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::{Classes, MaskCoding, VOID};

/// Label id, name and colour of the classes that are evaluated, in the order of their train ids.
const LABELS: [(u8, &str, [u8; 3]); 19] = [
    (7, "road", [128, 64, 128]),
    (8, "sidewalk", [244, 35, 232]),
    (11, "building", [70, 70, 70]),
    (12, "wall", [102, 102, 156]),
    (13, "fence", [190, 153, 153]),
    (17, "pole", [153, 153, 153]),
    (19, "traffic light", [250, 170, 30]),
    (20, "traffic sign", [220, 220, 0]),
    (21, "vegetation", [107, 142, 35]),
    (22, "terrain", [152, 251, 152]),
    (23, "sky", [70, 130, 180]),
    (24, "person", [220, 20, 60]),
    (25, "rider", [255, 0, 0]),
    (26, "car", [0, 0, 142]),
    (27, "truck", [0, 0, 70]),
    (28, "bus", [0, 60, 100]),
    (31, "train", [0, 80, 100]),
    (32, "motorcycle", [0, 0, 230]),
    (33, "bicycle", [119, 11, 32]),
];

/// Label ids count from 0 to this.
const LAST_LABEL: u8 = 33;

/// `leftImg8bit/` and `gtFine/`.
pub(in crate::dataset::layouts) struct Cityscapes;

impl DataSetLayout for Cityscapes {
    fn form(&self) -> Form {
        Form::Cityscapes
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let images = tree.root().join("leftImg8bit");
        tree.is_dir(&images).then_some(images)
    }

    /// `train` and `val`; the labels of `test` are withheld.
    fn list(&self, tree: &Tree, _: &OpenOptions) -> Result<Layout> {
        let (images, labels) = (tree.root().join("leftImg8bit"), tree.root().join("gtFine"));
        let splits = || ["train", "val"].into_iter().filter(|split| tree.is_dir(&images.join(split)));
        if !tree.is_dir(&labels) || splits().next().is_none() {
            return Err(Error::data("leftImg8bit/ has no gtFine/ beside it, or no train/ and val/ in it")
                .at(tree.root())
                .hint("unpack leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip into one folder"));
        }
        let mut suffix = "_gtFine_labelTrainIds";
        for split in splits() {
            if !all_have(tree, &images.join(split), &labels.join(split), suffix)? {
                suffix = "_gtFine_labelIds";
            }
        }
        let part = |split: &'static str| Part {
            split,
            images: Side::of(images.join(split)).with_suffix("_leftImg8bit"),
            masks: Side::of(labels.join(split)).with_suffix(suffix),
        };
        let listings = list_parts(tree, splits().map(part).collect())?;
        let coding = Some(if suffix.ends_with("TrainIds") { MaskCoding::from(&classes()) } else { by_label_id() });
        Ok(Layout { form: Form::Cityscapes, tree: tree.clone(), coding, listings })
    }
}

/// Whether each photograph has a mask with this suffix.
fn all_have(tree: &Tree, images: &Path, labels: &Path, suffix: &str) -> Result<bool> {
    let (images, masks) = (Side::of(images).with_suffix("_leftImg8bit"), Side::of(labels).with_suffix(suffix));
    if !tree.is_dir(&masks.dir) {
        return Ok(false);
    }
    let (images, masks) = Files::new(tree, images, masks)?.ids();
    Ok(images.iter().all(|id| masks.binary_search(id).is_ok()))
}

fn classes() -> Classes {
    Classes {
        names: LABELS.iter().map(|(_, name, _)| name.to_string()).collect(),
        palette: LABELS.iter().map(|(.., colour)| *colour).collect(),
    }
}

/// Every label id that is not evaluated is void.
fn by_label_id() -> MaskCoding {
    let train_id = |label: u8| LABELS.iter().position(|(id, ..)| *id == label).map_or(VOID, |position| position as u8);
    MaskCoding::with_values(classes(), (0..=LAST_LABEL).map(|label| (label, train_id(label))))
}
