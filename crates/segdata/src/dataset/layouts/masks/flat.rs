//! Photographs and masks side by side, in one folder or in one a split: `ID.jpg` and `ID.png`, or `ID_mask.png`. Roboflow
//! exports masks so, with the classes in `train/_classes.csv`.

use std::path::{Path, PathBuf};

use super::pairs::{Part, best_sides, list_parts, list_whole, no_pairs};
use super::words::splits_in;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::Result;
use crate::files::tree::Tree;
use crate::labels::{MaskCoding, class_file};

/// Pairs in one folder, or in one a split.
pub(in crate::dataset::layouts) struct Flat;

/// The classes that Roboflow writes into the folder of each split.
const CLASSES: &str = "_classes.csv";

fn has_pairs(tree: &Tree, dir: &Path) -> bool {
    best_sides(tree, dir, dir, &OpenOptions::default()).is_ok_and(|(_, pairs)| pairs > 0)
}

impl DataSetLayout for Flat {
    fn form(&self) -> Form {
        Form::Flat
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let splits = splits_in(tree, tree.root()).into_iter().map(|(_, folder)| folder);
        splits.chain([tree.root().to_path_buf()]).find(|folder| has_pairs(tree, folder))
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let mut parts = Vec::new();
        for (split, folder) in splits_in(tree, tree.root()) {
            let ((images, masks), pairs) = best_sides(tree, &folder, &folder, options)?;
            if pairs > 0 {
                parts.push(Part { split, images, masks });
            }
        }
        let coding = match parts.first().map(|part| part.images.dir.join(CLASSES)).filter(|file| tree.is_file(file)) {
            Some(file) => Some(classes_in(tree, &file).map_err(|e| e.at(&file))?),
            None => None,
        };
        let listings = if parts.is_empty() {
            let ((images, masks), pairs) = best_sides(tree, tree.root(), tree.root(), options)?;
            if pairs == 0 {
                return Err(no_pairs(tree));
            }
            list_whole(tree, images, masks)?
        } else {
            list_parts(tree, parts)?
        };
        Ok(Layout { form: Form::Flat, tree: tree.clone(), coding, listings })
    }
}

fn classes_in(tree: &Tree, file: &Path) -> Result<MaskCoding> {
    let text = class_file::text(tree.read("the class list", file)?)?;
    MaskCoding::parse_file(file, &text)
}
