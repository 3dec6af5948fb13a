//! A folder with `images/` and `masks/`, or others that the caller names: the same stem, with a suffix or without, makes a
//! pair. Sub-folders are part of the id.

use std::path::PathBuf;

use super::nested::parts;
use super::pairs::{list_parts, list_whole, sides};
use super::words::{IMAGES, MASKS, folder_named, folders, halves};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::listing::each_file;
use crate::dataset::names::stem_of_image_name;
use crate::error::{Error, Result};
use crate::files::tree::Tree;

/// `images/` and `masks/`; `whole` where both must be there to be recognised.
pub(in crate::dataset::layouts) struct Folder {
    pub whole: bool,
}

impl DataSetLayout for Folder {
    fn form(&self) -> Form {
        Form::Folder
    }

    /// Either folder is enough where nothing else fits: what is missing is reported.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        if self.whole {
            return halves(tree, tree.root()).map(|(images, _)| images);
        }
        folder_named(tree, tree.root(), &["images", "masks"])
    }

    /// Lists the pairs and the splits.
    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let root = tree.root();
        let image_dir = match &options.images {
            Some(said) => said_folder(tree, said, "images")?,
            None => folder_named(tree, root, &IMAGES)
                .ok_or_else(|| Error::data("there is a masks/ folder, but no images/ beside it").at(root))?,
        };
        let mask_dir = match &options.masks {
            Some(said) => said_folder(tree, said, "masks")?,
            None => mask_dir(tree)?,
        };
        refuse_polygons(tree, &mask_dir)?;
        let parts = parts(tree, &image_dir, &mask_dir, options)?;
        let listings = if parts.is_empty() {
            let (images, masks) = sides(tree, &image_dir, &mask_dir, options)?;
            list_whole(tree, images, masks)?
        } else {
            list_parts(tree, parts)?
        };
        Ok(Layout { form: Form::Folder, tree: tree.clone(), coding: None, listings })
    }
}

/// The folder that an option names, below the data set.
fn said_folder(tree: &Tree, said: &std::path::Path, option: &str) -> Result<PathBuf> {
    let path: PathBuf = tree.root().join(said).components().collect();
    if tree.is_dir(&path) {
        return Ok(path);
    }
    Err(Error::usage(format!("`{option}` names a folder that is not there")).at(path).hint(describe_folders(tree)))
}

fn describe_folders(tree: &Tree) -> String {
    let names: Vec<String> = folders(tree, tree.root()).into_iter().filter_map(|(_, path)| shown(&path)).collect();
    format!("folders here: {}", if names.is_empty() { "none".into() } else { names.join(", ") })
}

fn shown(path: &std::path::Path) -> Option<String> {
    path.file_name().map(|name| format!("{}/", name.to_string_lossy()))
}

/// The folder of masks by its usual names, or the only one whose name starts with `masks`, such as `masks_rgb/`.
fn mask_dir(tree: &Tree) -> Result<PathBuf> {
    let root = tree.root();
    let found = folders(tree, root);
    if let Some(plain) = halves(tree, root).map(|(_, masks)| masks).or_else(|| folder_named(tree, root, &MASKS[..1])) {
        return Ok(plain);
    }
    let alike: Vec<&PathBuf> = found.iter().filter(|(name, _)| name.starts_with(MASKS[0])).map(|(_, p)| p).collect();
    match alike[..] {
        [one] => Ok(one.clone()),
        _ => {
            let names: Vec<String> = found.iter().filter_map(|(_, path)| shown(path)).collect();
            Err(Error::data(format!("there is an images/ folder, but no masks/ beside it; found {}", names.join(", ")))
                .at(root)
                .hint("put the masks into masks/, each with the stem of its image, or name their folder with `masks`"))
        }
    }
}

/// Refuses a folder that holds outlines (labelme, COCO, VOC XML, YOLO) instead of masks; an empty one is no error here.
fn refuse_polygons(tree: &Tree, mask_dir: &std::path::Path) -> Result<()> {
    let (mut outlines, mut images) = (0, false);
    each_file(tree, mask_dir, 2, &mut |_, name, _| {
        let name = name.to_lowercase();
        images = stem_of_image_name(&name).is_some();
        outlines += usize::from([".json", ".xml", ".txt"].iter().any(|e| name.ends_with(e)));
        !images
    })?;
    match outlines {
        0 => Ok(()),
        _ if images => Ok(()),
        n => Err(Error::data(format!(
            "the mask folder holds {n} label files (.json, .xml or .txt) and no image, and they are outlines of no known tool"
        ))
        .at(mask_dir)
        .hint("COCO's JSON, labelme, CVAT for images, YOLO with a data.yaml and Supervisely are read; draw others into index PNGs, for example with `labelme2voc`")),
    }
}
