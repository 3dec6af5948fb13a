//! ADE20K as the scene parsing benchmark has it: `images/{training,validation}/ID.jpg`, `annotations/{training,validation}/ID.png`
//! with 0 for unlabelled and 1 to 150 for the classes that `objectInfo150.txt` names.
//!
//! B. Zhou et al., "Scene parsing through ADE20K dataset" (CVPR 2017); the benchmark counts its classes from 0 without the
//! unlabelled pixels, and so do ids here.

use std::path::PathBuf;

use super::nested::parts;
use super::pairs::list_parts;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::{Classes, MaskCoding, VOID, class_file};

const INFO: &str = "objectInfo150.txt";

/// Classes of the benchmark.
const CLASSES: usize = 150;

/// `images/training/` and `annotations/training/`.
pub(in crate::dataset::layouts) struct Ade20k;

impl DataSetLayout for Ade20k {
    fn form(&self) -> Form {
        Form::Ade20k
    }

    /// The two folders alone are called so elsewhere too; the table of classes, or the names of the files, must agree.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let (images, masks) = (tree.root().join("images"), tree.root().join("annotations"));
        let training = masks.join("training");
        let there = tree.is_dir(&images.join("training")) && tree.is_dir(&training);
        let named = || {
            let files = tree.list(&training).unwrap_or_default();
            files.iter().any(|f| f.file_name().is_some_and(|n| n.to_string_lossy().starts_with("ADE_")))
        };
        (there && (tree.is_file(&tree.root().join(INFO)) || named())).then_some(images)
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let root = tree.root();
        let parts = parts(tree, &root.join("images"), &root.join("annotations"), options)?;
        if parts.is_empty() {
            return Err(Error::data("images/training/ and annotations/training/ are not both there").at(root));
        }
        let names = names(tree)?;
        let classes = names.len() as u8;
        let values = [(0, VOID)].into_iter().chain((0..classes).map(|id| (id + 1, id)));
        let coding = Some(MaskCoding::with_values(Classes::named(names), values));
        Ok(Layout { form: Form::Ade20k, tree: tree.clone(), coding, listings: list_parts(tree, parts)? })
    }
}

/// The names of `objectInfo150.txt`, the first synonym of each; numbers where the file is missing.
fn names(tree: &Tree) -> Result<Vec<String>> {
    let path = tree.root().join(INFO);
    if !tree.is_file(&path) {
        return Ok((1..=CLASSES).map(|value| format!("object_{value}")).collect());
    }
    let text = class_file::text(tree.read("the table of classes", &path)?).map_err(|e| e.at(&path))?;
    let rows = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let name = |line: &str| Some(line.split('\t').nth(5)?.split(',').next()?.trim().to_string());
    let names: Option<Vec<String>> = rows.map(|line| name(line).filter(|name| !name.is_empty())).collect();
    match names {
        Some(names) if (1..usize::from(VOID)).contains(&names.len()) => Ok(unique(names)),
        _ => Err(Error::data("the table of classes has no name in its sixth column, or more than 254 rows")
            .at(&path)
            .hint("expected `Idx Ratio Train Val Stuff Name` with tabs between, as the benchmark ships it")),
    }
}

/// Names of which each occurs once: two classes have the same first synonym.
fn unique(mut names: Vec<String>) -> Vec<String> {
    for i in 1..names.len() {
        if names[..i].contains(&names[i]) {
            names[i] = format!("{} {}", names[i], i + 1);
        }
    }
    names
}
