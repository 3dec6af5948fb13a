//! A folder with `images/` and `masks/`: the same stem makes a pair. `train.txt`, `val.txt`, ... name the splits;
//! without them a fixed draw does.

use std::path::{Path, PathBuf};

use super::drawn_split::drawn_val;
use crate::dataset::entry::{Fault, Listing};
use crate::dataset::layout::{DataSetLayout, Form, Layout, ListOptions};
use crate::dataset::listing::{Files, ListedId, read_list, stem_of_image_name};
use crate::error::{Error, Result};

const IMAGES: &str = "images";

const MASKS: &str = "masks";

/// Names a list must start with to be taken for a split, so that `classes.txt` and notes are not.
const SPLIT_NAMES: [&str; 3] = ["train", "val", "test"];

/// `images/` and `masks/`.
pub(super) struct Folder;

impl DataSetLayout for Folder {
    /// Either folder is enough: what is missing is reported.
    fn recognise(&self, path: &Path) -> Option<PathBuf> {
        [IMAGES, MASKS].iter().any(|part| path.join(part).is_dir()).then(|| path.to_path_buf())
    }

    /// Lists the pairs and the splits.
    fn list(&self, root: &Path, _: &ListOptions<'_>) -> Result<Layout> {
        let image_dir = root.join(IMAGES);
        if !image_dir.is_dir() {
            return Err(Error::data("there is a masks/ folder, but no images/ beside it").at(root));
        }
        let mask_dir = mask_dir(root)?;
        refuse_polygons(&mask_dir)?;
        let mut files = Files::new(image_dir, mask_dir);
        let lists = split_lists(root)?;
        let mut listings = Vec::new();
        for (name, path) in &lists {
            listings.push(files.resolve(name, read_list(path)?)?);
        }
        if lists.is_empty() {
            listings = drawn_splits(&mut files)?;
        }
        Ok(Layout { form: Form::Folder, root: root.to_path_buf(), coding: None, listings })
    }
}

/// `masks/`, or the only folder whose name starts so, such as `masks_rgb/`.
fn mask_dir(root: &Path) -> Result<PathBuf> {
    let plain = root.join(MASKS);
    if plain.is_dir() {
        return Ok(plain);
    }
    let entries = std::fs::read_dir(root).map_err(|e| Error::io("list the folder", root, &e))?;
    let folders: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).filter(|p| p.is_dir()).collect();
    let named = |p: &PathBuf| p.file_name().and_then(|n| n.to_str()).unwrap_or("").to_string();
    let alike: Vec<&PathBuf> = folders.iter().filter(|p| named(p).to_lowercase().starts_with(MASKS)).collect();
    match alike[..] {
        [one] => Ok(one.clone()),
        _ => {
            let mut names: Vec<String> = folders.iter().map(|p| format!("{}/", named(p))).collect();
            names.sort();
            Err(Error::data(format!("there is an images/ folder, but no masks/ beside it; found {}", names.join(", ")))
                .at(root)
                .hint("put the masks into masks/, each with the stem of its image"))
        }
    }
}

/// Refuses a folder that holds outlines (labelme, COCO, VOC XML, YOLO) instead of masks; an empty one is no error here.
fn refuse_polygons(mask_dir: &Path) -> Result<()> {
    let entries = std::fs::read_dir(mask_dir).map_err(|e| Error::io("list the folder", mask_dir, &e))?;
    let mut outlines = 0;
    for entry in entries.filter_map(|e| e.ok()) {
        let name = entry.file_name().to_string_lossy().to_lowercase();
        if stem_of_image_name(&name).is_some() {
            return Ok(());
        }
        outlines += usize::from([".json", ".xml", ".txt"].iter().any(|e| name.ends_with(e)));
    }
    match outlines {
        0 => Ok(()),
        n => Err(Error::data(format!(
            "the mask folder holds {n} label files (.json, .xml or .txt) and no image, and they are outlines of no known tool"
        ))
        .at(mask_dir)
        .hint("COCO's JSON, labelme, CVAT for images, YOLO with a data.yaml and Supervisely are read; draw others into index PNGs, for example with `labelme2voc`")),
    }
}

fn split_lists(root: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut lists = Vec::new();
    for entry in std::fs::read_dir(root).map_err(|e| Error::io("list the folder", root, &e))?.filter_map(|e| e.ok()) {
        let path = entry.path();
        if path.extension().is_some_and(|e| e == "txt")
            && let Some(stem) = path.file_stem().and_then(|s| s.to_str())
            && SPLIT_NAMES.iter().any(|name| stem.starts_with(name))
        {
            lists.push((stem.to_string(), path.clone()));
        }
    }
    lists.sort();
    Ok(lists)
}

/// Draws one pair in five for `val`. The draw depends on the sorted names alone. Images without a mask
/// and masks without an image are faults of `train`, whatever side they would fall on.
fn drawn_splits(files: &mut Files) -> Result<Vec<Listing>> {
    let (images, masks) = files.stems()?;
    let mut all = images;
    all.extend(masks);
    all.sort();
    all.dedup();
    let in_val = drawn_val(all.len());
    let listed = |side: bool| -> Vec<ListedId> {
        let ids = all.iter().zip(&in_val).filter(|(_, v)| **v == side);
        ids.map(|(id, _)| ListedId { id: id.clone(), line: None }).collect()
    };
    let mut train = files.resolve("train", listed(false))?;
    let mut val = files.resolve("val", listed(true))?;
    let unpaired: Vec<Fault> = val.faults.extract_if(.., |f| f.code.starts_with("missing")).collect();
    for fault in &unpaired {
        val.entries.retain(|e| Some(&e.id) != fault.id.as_ref());
    }
    train.faults.extend(unpaired);
    train
        .faults
        .iter_mut()
        .for_each(|f| f.hint = "add the missing half, or list the pairs to use in train.txt and val.txt".into());
    Ok(vec![train, val])
}
