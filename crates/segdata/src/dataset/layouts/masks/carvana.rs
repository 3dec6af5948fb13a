//! A folder a split with its masks beside it: `train/ID.jpg` and `train_masks/ID_mask.gif` in the Carvana Image Masking
//! Challenge, `train/ID.png` and `train_labels/ID_L.png` in CamVid.

use std::path::PathBuf;

use super::pairs::{Part, list_parts, sides};
use super::words::{MASKS, folders, has_images};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::layouts::drawn_split::split_name;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::{Classes, MaskCoding};

/// `SPLIT/` and `SPLIT_masks/`.
pub(in crate::dataset::layouts) struct Carvana;

/// The word behind that of the split in the name of a folder of masks, such as `masks` in `train_masks`.
fn mask_word<'a>(name: &'a str, split: &str) -> Option<&'a str> {
    let word = name.strip_prefix(split)?.trim_start_matches(['_', '-', ' ']);
    (MASKS.contains(&word) || word == "annot").then_some(word)
}

/// The splits with their two folders, and whether the masks are called so.
fn found(tree: &Tree) -> Vec<(&'static str, PathBuf, PathBuf, bool)> {
    let folders = folders(tree, tree.root());
    let split = |(name, images): &(String, PathBuf)| {
        let split = split_name(name)?;
        let (word, masks) = folders.iter().find_map(|(other, path)| Some((mask_word(other, name)?, path)))?;
        let whole = has_images(tree, images) && has_images(tree, masks);
        whole.then(|| (split, images.clone(), masks.clone(), word == MASKS[0]))
    };
    folders.iter().filter_map(split).collect()
}

impl DataSetLayout for Carvana {
    fn form(&self) -> Form {
        Form::Carvana
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        found(tree).into_iter().next().map(|(_, images, ..)| images)
    }

    /// Masks in `train_masks/` that are called `ID_mask` have two values, as Carvana's: 0, and 255 or 1.
    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let (mut parts, mut binary) = (Vec::new(), true);
        for (split, images, masks, called_masks) in found(tree) {
            let (images, masks) = sides(tree, &images, &masks, options)?;
            binary &= called_masks && masks.suffix == "_mask";
            parts.push(Part { split, images, masks });
        }
        if parts.is_empty() {
            return Err(Error::data("no folder of a split has a folder of masks beside it")
                .at(tree.root())
                .hint("expected train/ and train_masks/"));
        }
        let classes = Classes::named(["background", "foreground"]);
        let coding = binary.then(|| MaskCoding::with_values(classes, [(0, 0), (1, 1), (255, 1)]));
        Ok(Layout { form: Form::Carvana, tree: tree.clone(), coding, listings: list_parts(tree, parts)? })
    }
}
