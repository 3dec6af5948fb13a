//! nnU-Net v2 with pictures: `imagesTr/ID_0000.png`, `labelsTr/ID.png`, and the labels in `dataset.json`; `imagesTs` and
//! `labelsTs`, where both are there, are the split `test`. `ignore` is void.
//!
//! F. Isensee et al., "nnU-Net" (Nature Methods 2021); `documentation/dataset_format.md`.

use std::path::{Path, PathBuf};

use super::pairs::{Part, list_parts};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::names::Side;
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::{MaskCoding, class_file};

/// `imagesTr/` and `labelsTr/`.
pub(in crate::dataset::layouts) struct Nnunet;

/// Endings of volumes, which are no photographs.
const VOLUMES: [&str; 5] = [".nii.gz", ".nii", ".nrrd", ".mha", ".dcm"];

impl DataSetLayout for Nnunet {
    fn form(&self) -> Form {
        Form::Nnunet
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let images = tree.root().join("imagesTr");
        tree.is_dir(&images).then_some(images)
    }

    /// `val` is drawn: the folds of nnU-Net are no part of its data set.
    fn list(&self, tree: &Tree, _: &OpenOptions) -> Result<Layout> {
        let root = tree.root();
        let (images, labels) = (root.join("imagesTr"), root.join("labelsTr"));
        if !tree.is_dir(&images) || !tree.is_dir(&labels) {
            return Err(Error::data("imagesTr/ has no labelsTr/ beside it").at(root));
        }
        refuse_volumes(tree, &images)?;
        let part = |split, images: PathBuf, labels: PathBuf| Part {
            split,
            images: Side::of(images).with_suffix("_0000"),
            masks: Side::of(labels),
        };
        let mut parts = vec![part("train", images, labels)];
        let (images, labels) = (root.join("imagesTs"), root.join("labelsTs"));
        if tree.is_dir(&images) && tree.is_dir(&labels) {
            parts.push(part("test", images, labels));
        }
        let file = root.join("dataset.json");
        let coding = if tree.is_file(&file) { Some(labels_of(tree, &file).map_err(|e| e.at(&file))?) } else { None };
        Ok(Layout { form: Form::Nnunet, tree: tree.clone(), coding, listings: list_parts(tree, parts)? })
    }
}

/// Refuses volumes, and several channels a picture.
fn refuse_volumes(tree: &Tree, images: &Path) -> Result<()> {
    let files = tree.list(images)?;
    let names = || files.iter().filter_map(|path| path.file_name()?.to_str());
    if let Some(volume) = names().find(|name| VOLUMES.iter().any(|end| name.ends_with(end))) {
        return Err(Error::data(format!("this is a data set of volumes ({volume}); photographs are read"))
            .at(images)
            .hint("write their slices as PNG, image and label alike, for example with nibabel and Pillow"));
    }
    if let Some(second) = names().find(|name| name.contains("_0001.")) {
        return Err(Error::data(format!("a picture has several files, one a channel ({second}); one is read"))
            .at(images)
            .hint("join the channels to one RGB picture `NAME_0000.png`"));
    }
    Ok(())
}

/// `{"labels": {"background": 0, "name": 1}}`.
fn labels_of(tree: &Tree, file: &Path) -> Result<MaskCoding> {
    let expected = "expected `\"labels\": {\"background\": 0, \"name\": 1}`";
    let text = class_file::text(tree.read("the description", file)?)?;
    let parsed: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| Error::data(format!("it is no JSON: {e}")).hint(expected))?;
    let labels = parsed.get("labels").and_then(|labels| labels.as_object());
    let labels = labels.ok_or_else(|| Error::data("it has no `labels`").hint(expected))?;
    let mut lines = String::new();
    // The first version of nnU-Net had the number first; some programs write numbers as text.
    let number = |value: &serde_json::Value| value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
    let numbered = labels.keys().all(|key| key.trim().parse::<u64>().is_ok());
    let by_name = |(name, value): (&String, &serde_json::Value)| match value.as_str() {
        Some(text) if numbered && number(value).is_none() => (text.to_string(), name.as_str().into()),
        _ => (name.clone(), value.clone()),
    };
    for (name, value) in labels.iter().map(by_name) {
        let value = number(&value).ok_or_else(|| {
            Error::data(format!("label `{name}` is {value}, no number: regions of several values are not read"))
                .hint("give each class one value")
        })?;
        lines.push_str(&format!("{value} {name}\n"));
    }
    MaskCoding::parse(&lines)
}
