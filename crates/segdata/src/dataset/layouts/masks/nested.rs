//! Splits in the folders of images and of masks: `images/train/` and `masks/train/`. MMSegmentation calls the two `img_dir`
//! and `ann_dir`.

use std::path::{Path, PathBuf};

use super::pairs::{Part, list_parts, sides};
use super::words::{folder_named, halves, has_images, splits_in};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;

/// `images/SPLIT/` and `masks/SPLIT/`, under any of their usual names.
pub(in crate::dataset::layouts) struct Nested;

/// `img_dir/SPLIT/` and `ann_dir/SPLIT/`.
pub(in crate::dataset::layouts) struct Mmseg;

impl DataSetLayout for Nested {
    fn form(&self) -> Form {
        Form::Nested
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let (images, masks) = halves(tree, tree.root())?;
        common(tree, &images, &masks).next().map(|_| images)
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        list(tree, options, self.form(), halves(tree, tree.root()), "images/train/ and masks/train/")
    }
}

impl DataSetLayout for Mmseg {
    fn form(&self) -> Form {
        Form::Mmseg
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        mmseg_halves(tree).map(|(images, _)| images)
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        list(tree, options, self.form(), mmseg_halves(tree), "img_dir/train/ and ann_dir/train/")
    }
}

fn mmseg_halves(tree: &Tree) -> Option<(PathBuf, PathBuf)> {
    let named = |name: &str| folder_named(tree, tree.root(), &[name]);
    Some((named("img_dir")?, named("ann_dir")?))
}

fn list(
    tree: &Tree,
    options: &OpenOptions,
    form: Form,
    halves: Option<(PathBuf, PathBuf)>,
    expected: &str,
) -> Result<Layout> {
    let parts = match &halves {
        Some((images, masks)) => parts(tree, images, masks, options)?,
        None => Vec::new(),
    };
    if parts.is_empty() {
        let message = format!("there is no split with images and masks, as layout `{form}` has");
        return Err(Error::data(message).at(tree.root()).hint(format!("expected {expected}")));
    }
    Ok(Layout { form, tree: tree.clone(), coding: None, listings: list_parts(tree, parts)? })
}

/// The splits that have a folder below `images` and one with masks below `masks`.
fn common<'a>(
    tree: &'a Tree,
    images: &Path,
    masks: &Path,
) -> impl Iterator<Item = (&'static str, PathBuf, PathBuf)> + use<'a> {
    let drawn = splits_in(tree, masks);
    splits_in(tree, images).into_iter().filter_map(move |(split, images)| {
        let (_, masks) = drawn.iter().find(|(other, _)| *other == split)?;
        has_images(tree, masks).then(|| (split, images, masks.clone()))
    })
}

/// The splits of two folders, none where they hold no folders named after splits.
pub(super) fn parts(tree: &Tree, images: &Path, masks: &Path, options: &OpenOptions) -> Result<Vec<Part>> {
    let part = |(split, images, masks): (&'static str, PathBuf, PathBuf)| {
        let (images, masks) = sides(tree, &images, &masks, options)?;
        Ok(Part { split, images, masks })
    };
    common(tree, images, masks).map(part).collect()
}
