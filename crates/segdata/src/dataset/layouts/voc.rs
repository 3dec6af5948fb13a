//! The layout of PASCAL VOC: `JPEGImages/ID.jpg`, `SegmentationClass/ID.png`, `ImageSets/Segmentation/SPLIT.txt`; CVAT's
//! segmentation masks lie so too, with a `labelmap.txt` and lists named after the parts of a task.

use std::path::PathBuf;

use super::drawn_split::{draw, split_name};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::listing::{Files, read_list};
use crate::dataset::names::Side;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::{Classes, MaskCoding};

const IMAGES: &str = "JPEGImages";

const MASKS: &str = "SegmentationClass";

const LISTS: &str = "ImageSets/Segmentation";

/// A VOC root.
pub(super) struct Voc;

impl DataSetLayout for Voc {
    fn form(&self) -> Form {
        Form::Voc
    }

    /// Photographs, or masks beside lists, are enough: what is missing is reported.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let has = |part: &str| tree.is_dir(&tree.root().join(part));
        (has(IMAGES) || (has(MASKS) && has("ImageSets"))).then(|| tree.root().join(IMAGES))
    }

    /// Every list in `ImageSets/Segmentation` is a split. One list that CVAT calls `default` says nothing about splits:
    /// they are drawn from it.
    fn list(&self, tree: &Tree, _: &OpenOptions) -> Result<Layout> {
        let root = tree.root();
        for part in [IMAGES, MASKS, LISTS] {
            if !tree.is_dir(&root.join(part)) {
                return Err(Error::data(format!("the VOC root has no folder {part}/"))
                    .at(root)
                    .hint(format!("expected {IMAGES}/ID.jpg, {MASKS}/ID.png and {LISTS}/train.txt, val.txt")));
            }
        }
        let lists = root.join(LISTS);
        let mut names = Vec::new();
        for path in tree.list(&lists)? {
            if path.extension().is_some_and(|e| e == "txt")
                && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
            {
                names.push((stem.to_string(), path.clone()));
            }
        }
        let mut files = Files::new(tree, Side::of(root.join(IMAGES)), Side::of(root.join(MASKS)))?;
        let mut listings = Vec::new();
        match &names[..] {
            [] => {
                return Err(Error::data("there is no list")
                    .at(&lists)
                    .hint("write the ids of a split into train.txt, one a line"));
            }
            [(name, path)] if name == "default" => {
                let ids = read_list(tree, path)?.into_iter().map(|listed| listed.id).collect();
                listings = draw(&mut files, ids);
            }
            _ => {
                for (name, path) in &names {
                    let split = split_name(name).unwrap_or(name);
                    listings.push(files.resolve(split, read_list(tree, path)?));
                }
            }
        }
        let coding = Some(MaskCoding::from(&Classes::voc()));
        Ok(Layout { form: Form::Voc, tree: tree.clone(), coding, listings })
    }
}
