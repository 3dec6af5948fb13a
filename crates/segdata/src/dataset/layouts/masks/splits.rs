//! Images and masks in the folder of a split: `train/images/` and `train/masks/`, under any of their usual names.

use std::path::PathBuf;

use super::pairs::{Part, list_parts, sides};
use super::words::{halves, splits_in};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;

/// `SPLIT/images/` and `SPLIT/masks/`.
pub(in crate::dataset::layouts) struct Splits;

/// The splits with their two folders.
fn found(tree: &Tree) -> impl Iterator<Item = (&'static str, PathBuf, PathBuf)> {
    splits_in(tree, tree.root()).into_iter().filter_map(|(split, folder)| {
        let (images, masks) = halves(tree, &folder)?;
        Some((split, images, masks))
    })
}

impl DataSetLayout for Splits {
    fn form(&self) -> Form {
        Form::Splits
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        found(tree).next().map(|(_, images, _)| images)
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let part = |(split, images, masks): (&'static str, PathBuf, PathBuf)| {
            let (images, masks) = sides(tree, &images, &masks, options)?;
            Ok(Part { split, images, masks })
        };
        let parts = found(tree).map(part).collect::<Result<Vec<Part>>>()?;
        if parts.is_empty() {
            return Err(Error::data("no folder of a split holds images/ and masks/")
                .at(tree.root())
                .hint("expected train/images/ and train/masks/"));
        }
        Ok(Layout { form: Form::Splits, tree: tree.clone(), coding: None, listings: list_parts(tree, parts)? })
    }
}
