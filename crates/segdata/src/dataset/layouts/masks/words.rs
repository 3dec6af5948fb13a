//! What people call the folders of photographs and of masks, and finding them, whatever the case of the letters.

use std::path::{Path, PathBuf};

use crate::dataset::layouts::drawn_split::split_name;
use crate::dataset::listing::each_file;
use crate::dataset::names::{name_of, stem_of_image_name};
use crate::files::tree::Tree;

/// Names of a folder of photographs, the commonest first.
pub(super) const IMAGES: [&str; 10] =
    ["images", "image", "imgs", "img", "img_dir", "photos", "pictures", "inputs", "input", "rgb"];

/// Names of a folder of masks, the commonest first.
pub(super) const MASKS: [&str; 14] = [
    "masks",
    "mask",
    "labels",
    "label",
    "annotations",
    "annotation",
    "annots",
    "ann_dir",
    "gt",
    "groundtruth",
    "ground_truth",
    "segmentations",
    "segmentation",
    "targets",
];

/// How deep the first image of a folder is looked for: `SPLIT/CITY/NAME`.
const DEEP: usize = 3;

/// Folders in `dir` with their names in lower case, sorted.
pub(super) fn folders(tree: &Tree, dir: &Path) -> Vec<(String, PathBuf)> {
    let paths = tree.list(dir).unwrap_or_default().into_iter();
    let named = paths.filter_map(|path| {
        let name = name_of(&path).to_lowercase();
        let folder = stem_of_image_name(&name).is_none() && tree.is_dir(&path);
        folder.then_some((name, path))
    });
    named.collect()
}

/// The folder in `dir` that has the first of these names.
pub(super) fn folder_named(tree: &Tree, dir: &Path, names: &[&str]) -> Option<PathBuf> {
    let found = folders(tree, dir);
    names.iter().find_map(|name| found.iter().find(|(known, _)| known == name).map(|(_, path)| path.clone()))
}

/// The folders in `dir` that are named after a split.
pub(super) fn splits_in(tree: &Tree, dir: &Path) -> Vec<(&'static str, PathBuf)> {
    folders(tree, dir).into_iter().filter_map(|(name, path)| Some((split_name(&name)?, path))).collect()
}

/// Whether there is an image below `dir`.
pub(super) fn has_images(tree: &Tree, dir: &Path) -> bool {
    let mut found = false;
    let looked = each_file(tree, dir, DEEP, &mut |_, name, _| {
        found = stem_of_image_name(name).is_some_and(|stem| !stem.is_empty());
        !found
    });
    looked.is_ok() && found
}

/// The folders of photographs and masks in `dir`, both with images below them.
pub(super) fn halves(tree: &Tree, dir: &Path) -> Option<(PathBuf, PathBuf)> {
    let found = folders(tree, dir);
    let with_images = |names: &[&str]| {
        let named = |name: &&str| found.iter().find(|(known, _)| known == name).map(|(_, path)| path.clone());
        names.iter().filter_map(named).find(|path| has_images(tree, path))
    };
    Some((with_images(&IMAGES)?, with_images(&MASKS)?))
}
