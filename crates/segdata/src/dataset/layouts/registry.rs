//! All layouts, in the order in which they are tried.

use std::path::{Path, PathBuf};

use super::annotations::{Coco, Cvat, Labelme, Supervisely, Yolo};
use super::masks::{Ade20k, Carvana, Cityscapes, Flat, Folder, Mmseg, Nested, Nnunet, Pets, Splits};
use super::parquet::Parquet;
use super::records::Records;
use super::unread;
use super::voc::Voc;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::files::tree::Tree;

/// Published sets before those that are known by the names of folders alone: of two that read the same photographs, the
/// first counts. Files of labels are recognised by what they hold; any other file is records.
static LAYOUTS: [&dyn DataSetLayout; 17] = [
    &Coco,
    &Labelme,
    &Cvat,
    &Supervisely,
    &Yolo,
    &Nnunet,
    &Parquet,
    &Records,
    &Voc,
    &Cityscapes,
    &Ade20k,
    &Pets,
    &Mmseg,
    &Carvana,
    &Nested,
    &Splits,
    &Folder { whole: true },
];

/// What is tried where none of those fits.
static LAST: [&dyn DataSetLayout; 2] = [&Folder { whole: false }, &Flat];

impl Layout {
    /// Recognises and lists what lies at `path`, or lists it as the options say.
    ///
    /// # Errors
    /// Nothing at `path`, or nothing that a layout recognises; two layouts that do; those of the one that does.
    pub fn find(path: &Path, options: &OpenOptions) -> Result<Layout> {
        let tree = unwrapped(Tree::open(path)?);
        if path.is_dir() {
            tree.list(path)?;
        }
        let folders = options.images.is_some() || options.masks.is_some();
        if let Some(form) = options.layout.or(folders.then_some(Form::Folder)) {
            let said = LAYOUTS.iter().chain(&LAST).find(|layout| layout.form() == form);
            let said = said.ok_or_else(|| Error::internal(format!("layout `{form}` is not in the registry")))?;
            return said.list(&tree, options);
        }
        if let Some(layout) = recognise(&tree)? {
            return layout.list(&tree, options);
        }
        match path.exists() {
            true => Err(not_a_dataset(&tree)),
            false => Err(Error::new(ErrorKind::Io, "no such file or folder").at(path)),
        }
    }
}

/// The files of an archive without the folders that are around all of them; a folder stays as it is.
fn unwrapped(mut tree: Tree) -> Tree {
    while tree.is_archive() && LAYOUTS.iter().all(|layout| layout.recognise(&tree).is_none()) {
        let paths = tree.list(tree.root()).unwrap_or_default();
        let mut shown = paths.iter().filter(|path| !is_hidden(path));
        match (shown.next(), shown.next()) {
            (Some(one), None) if tree.is_dir(one) => tree = tree.at(one),
            _ => break,
        }
    }
    tree
}

/// What systems put beside files: names that begin with a dot, and `__MACOSX` in archives.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "__MACOSX" || name.to_string_lossy().starts_with('.'))
}

/// The layout of what lies at the root of `tree`.
///
/// # Errors
/// Two that fit.
fn recognise(tree: &Tree) -> Result<Option<&'static dyn DataSetLayout>> {
    let mut found: Vec<(PathBuf, &dyn DataSetLayout)> = Vec::new();
    for layout in LAYOUTS {
        match layout.recognise(tree) {
            Some(photographs) if found.iter().all(|(known, _)| *known != photographs) => {
                found.push((photographs, layout))
            }
            _ => {}
        }
    }
    match found[..] {
        [] => Ok(LAST.into_iter().find(|layout| layout.recognise(tree).is_some())),
        [(_, one)] => Ok(Some(one)),
        _ => {
            let words: Vec<String> = found.iter().map(|(_, layout)| format!("`layout {}`", layout.form())).collect();
            let described: Vec<String> =
                found.iter().map(|(_, l)| format!("{} ({})", l.form(), l.form().describe())).collect();
            Err(Error::data(format!("several layouts fit: {}", described.join(" and ")))
                .at(tree.root())
                .hint(format!("say which is meant: {}", words.join(" or "))))
        }
    }
}

/// The first data set in a folder of the root, one or two levels down, such as `VOC2012` in `VOCdevkit`.
fn below(tree: &Tree) -> Option<PathBuf> {
    let mut folders = vec![(tree.root().to_path_buf(), 2)];
    while let Some((folder, levels)) = folders.pop() {
        for path in tree.list(&folder).unwrap_or_default() {
            if is_hidden(&path) || !tree.is_dir(&path) {
                continue;
            }
            let inner = tree.at(&path);
            if LAYOUTS.iter().any(|layout| layout.recognise(&inner).is_some()) {
                return Some(path);
            }
            if levels > 1 {
                folders.insert(0, (path, levels - 1));
            }
        }
    }
    None
}

fn not_a_dataset(tree: &Tree) -> Error {
    let forms = "expected images/ and masks/, labels of COCO, labelme, CVAT, YOLO or Supervisely, a VOC root (JPEGImages/, SegmentationClass/, ImageSets/Segmentation/*.txt), \
                 another layout that `check` knows, a zip or tar of one, or TFRecord files; `images` and `masks` name \
                 folders of other names";
    if let Some(inner) = below(tree) {
        return Error::data("not a data set").at(tree.root()).hint(format!("did you mean {}?", inner.display()));
    }
    match unread::kind_of(tree) {
        Some(kind) => {
            Error::data(format!("not a data set that is read: {}", kind.what)).at(tree.root()).hint(kind.remedy)
        }
        None => Error::data("not a data set").at(tree.root()).hint(forms),
    }
}
