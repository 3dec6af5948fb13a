//! Parquet files of encoded images, as Hugging Face's `datasets` writes them: a row a sample, with columns such as
//! `image {bytes, path}` and `label {bytes, path}`; splits by the names of files, ids by the names of images where the file
//! keeps them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::drawn_split::{drawn_val, split_name};
use crate::dataset::entry::{Entry, Listing, Row, Source};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::listing::each_file;
use crate::error::{Error, Result};
use crate::files::parquet::Table;
use crate::files::tree::Tree;

/// Parquet files: one, or those of a folder.
pub(super) struct Parquet;

/// Names of a column of photographs, the commonest first.
const IMAGES: [&str; 8] = ["image", "images", "img", "pixel_values", "photo", "picture", "input", "rgb"];

/// Names of a column of masks.
const MASKS: [&str; 13] = [
    "label",
    "labels",
    "annotation",
    "annotations",
    "mask",
    "masks",
    "segmentation",
    "segmentation_mask",
    "seg",
    "gt",
    "label_image",
    "semantic_segmentation",
    "target",
];

const EXTENSION: &str = ".parquet";

/// Folders that are looked into: `data/`, or that of a configuration and a split.
const DEEP: usize = 3;

impl DataSetLayout for Parquet {
    fn form(&self) -> Form {
        Form::Parquet
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let path = tree.root();
        let first = files_at(tree).into_iter().next()?;
        let folder = first.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (!path.as_os_str().is_empty()).then(|| folder.to_path_buf())
    }

    /// A set without `val` is divided by a draw.
    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let files = files_at(tree);
        if files.is_empty() {
            return Err(Error::data("there is no Parquet file")
                .at(tree.root())
                .hint("expected data/train-00000-of-00001.parquet"));
        }
        let mut listings: Vec<Listing> = Vec::new();
        for path in files {
            let split = split_of(&path);
            let table = Arc::new(Table::open(tree, &path, |names| columns(names, options))?);
            let at = listings.iter().position(|l| l.name == split).unwrap_or_else(|| {
                listings.push(Listing::empty(&split));
                listings.len() - 1
            });
            let before = listings[at].entries.len();
            listings[at].entries.extend((0..table.rows()).map(|row| Entry {
                id: id_in(&table, row).unwrap_or_else(|| format!("{split}_{:06}", before + row)),
                source: Source::Row(Row { table: table.clone(), row }),
            }));
        }
        listings.iter_mut().for_each(Listing::make_ids_unique);
        if let [listing] = &mut listings[..]
            && listing.name == "train"
        {
            let val = held_out(listing);
            listings.push(val);
        }
        listings.sort_by(|a, b| a.name.cmp(&b.name));
        Listing::tell_photographs_apart(tree, &mut listings);
        Ok(Layout { form: Form::Parquet, tree: tree.clone(), coding: None, listings })
    }
}

/// The column of names, where there is one; [`Row`] has those of images and masks.
const NAME: usize = 2;

/// Positions of the columns of photographs and masks, and of the names of the photographs where the file keeps them;
/// `images` and `masks` name columns that are called otherwise.
fn columns(names: &[Vec<String>], options: &OpenOptions) -> Result<Vec<usize>> {
    let position = |name: &str, leaf: &str| {
        names.iter().position(|path| match &path[..] {
            [one] => one == name && leaf == "bytes",
            [group, inner] => group == name && inner == leaf,
            _ => false,
        })
    };
    let find = |said: &Option<PathBuf>, known: &[&str], option: &str| {
        let said = said.as_ref().map(|name| name.to_string_lossy());
        let known = said.as_deref().map_or(known.to_vec(), |name| vec![name]);
        known.iter().find_map(|name| position(name, "bytes")).ok_or_else(|| {
            let listed: Vec<String> = names.iter().map(|path| path.join(".")).collect();
            let listed = if listed.is_empty() { "none".into() } else { listed.join(", ") };
            Error::data(format!("no column of bytes is called `{}`; columns of bytes: {listed}", known.join("`, `")))
                .hint(format!("`{option}` names it"))
        })
    };
    let (image, mask) = (find(&options.images, &IMAGES, "images")?, find(&options.masks, &MASKS, "masks")?);
    let name = names[image].first().and_then(|group| position(group, "path"));
    Ok([image, mask].into_iter().chain(name).collect())
}

/// The Parquet files of a tree, sorted by name.
fn files_at(tree: &Tree) -> Vec<PathBuf> {
    let root = tree.root();
    if tree.is_file(root) {
        let named = root.to_string_lossy().to_lowercase().ends_with(EXTENSION);
        return if named { vec![root.to_path_buf()] } else { Vec::new() };
    }
    let mut found = Vec::new();
    let looked = each_file(tree, root, DEEP, &mut |_, name, path| {
        if name.to_lowercase().ends_with(EXTENSION) && !name.starts_with('.') {
            found.push(path.to_path_buf());
        }
        true
    });
    found.sort();
    if looked.is_ok() { found } else { Vec::new() }
}

/// The split of `train-00000-of-00001.parquet`, `validation.parquet`, `cats_test-0.parquet` or `train/0000.parquet`;
/// `train` where no name says.
fn split_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let folder = path.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    let words = stem.split(['-', '_', '.']).chain([folder.as_str()]);
    words.filter_map(split_name).next().unwrap_or("train").to_string()
}

/// The name of the image of a row without folder and extension.
fn id_in(table: &Table, row: usize) -> Option<String> {
    let name = String::from_utf8(table.read(row, NAME).ok()?).ok()?;
    let name = name.rsplit(['/', '\\']).next()?;
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let usable = !stem.is_empty() && !stem.starts_with('.') && !stem.contains(char::is_control);
    usable.then(|| stem.to_string())
}

/// Takes one of five samples out of `train`, and returns them as `val`.
fn held_out(train: &mut Listing) -> Listing {
    let in_val = drawn_val(train.entries.len());
    let (mut val, mut kept) = (Vec::new(), Vec::new());
    for (entry, held) in train.entries.drain(..).zip(in_val) {
        if held { val.push(entry) } else { kept.push(entry) }
    }
    train.entries = kept;
    Listing { entries: val, ..Listing::empty("val") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_parsed_from_file_names() {
        let cases = [
            ("data/train-00000-of-00001.parquet", "train"),
            ("validation.parquet", "val"),
            ("cats_test-0.parquet", "test"),
            ("default/valid/0000.parquet", "val"),
            ("whatever.parquet", "train"),
        ];
        for (path, expected) in cases {
            assert_eq!(split_of(Path::new(path)), expected, "{path}");
        }
    }
}
