//! Ultralytics' YOLO segmentation labels: a text file a picture, a polygon a line.
//!
//! Format: <https://docs.ultralytics.com/datasets/segment/>. A line is `class x1 y1 x2 y2 ...`, coordinates as fractions of
//! width and height. `data.yaml` names the classes, which follow background in the order of their numbers, and the
//! folders of the splits; labels lie in the folder that is called `labels` where that of the photographs is called
//! `images`. Lines are drawn in their order, a later one over earlier ones. A photograph without a text file is all
//! background, as Ultralytics has it. Lines of five numbers are boxes, for detection, and are refused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::class_names::{ClassNames, Label};
use super::document::{entries, folder_of, has_extension, read_bytes, stem};
use super::samples::{Annotated, listings, split_of_name};
use super::yolo_config::Config;
use crate::dataset::entry::Photograph;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::dataset::names::{composed, stem_of_image_name};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::shapes::{Area, Drawing, Shape};

const IMAGES: &str = "images";

const LABELS: &str = "labels";

/// How far beyond the border a fraction may lie: Ultralytics' own tolerance.
const TOLERANCE: f64 = 0.01;

/// The most points of a polygon.
const MAX_POINTS: usize = 1 << 20;

/// Text labels and photographs in two folders.
pub(in crate::dataset::layouts) struct Yolo;

impl DataSetLayout for Yolo {
    fn form(&self) -> Form {
        Form::Yolo
    }

    /// A `data.yaml`, a folder with one and without masks, or `images/` beside `labels/` with text files.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let root = tree.root();
        if folder_of(tree) != root {
            return (has_extension(root, "yaml") || has_extension(root, "yml")).then(|| folder_of(tree));
        }
        let configured = || {
            let config = Config::read(tree, &Config::beside(tree)?).ok()?;
            splits(tree, &config).ok()?.into_iter().next().filter(|(_, folder)| holds_text(tree, folder))
        };
        found_folders(tree).into_iter().next().or_else(configured).map(|(_, folder)| folder)
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let root = folder_of(tree);
        let said = (root != tree.root()).then(|| tree.root().to_path_buf());
        let tree = &tree.at(&root);
        let config_path = said.or_else(|| Config::beside(tree));
        let config = config_path.as_deref().map(|path| Config::read(tree, path)).transpose()?.unwrap_or_default();
        if config.key_points {
            return Err(Error::data(
                "the text labels are of poses: boxes with key points, as `kpt_shape` in the data.yaml says",
            )
            .at(config_path.as_deref().unwrap_or(&root))
            .hint("export segmentation labels: `class x1 y1 x2 y2 ...`, the corners of a polygon"));
        }
        let numbered = config.names.clone();
        if numbered.is_empty() {
            return Err(Error::data("nothing says what the numbers of classes in the text labels mean")
                .at(config_path.as_deref().unwrap_or(&root))
                .hint("write a data.yaml with `names: [...]`, in the order of the numbers"));
        }
        let labels: Vec<Label> = numbered.iter().map(|name| Label { name: name.clone(), colour: None }).collect();
        let names = ClassNames::settle(&labels, tree, options)?;
        let mut pictures = Vec::new();
        for (split, folder) in splits(tree, &config)? {
            pictures.extend(pictures_in(tree, split, &folder, &numbered, &names)?);
        }
        refuse_boxes(&pictures, tree.root())?;
        Ok(Layout {
            form: Form::Yolo,
            tree: tree.clone(),
            coding: Some(names.coding),
            listings: listings(tree, pictures),
        })
    }
}

/// The folders of photographs that `config` names, or those that lie there, with their splits.
fn splits(tree: &Tree, config: &Config) -> Result<Vec<(Option<String>, PathBuf)>> {
    let mut found = Vec::new();
    for (split, folders) in &config.splits {
        for folder in folders {
            let there = config.resolve(tree, folder);
            if split == "test" && !there.as_deref().is_some_and(|folder| holds_text(tree, folder)) {
                continue; // test sets are handed out without labels, or not at all
            }
            let Some(there) = there else {
                return Err(Error::data(format!("`{split}` of the data.yaml is `{folder}`, which is no folder here"))
                    .at(tree.root())
                    .hint(
                        "name the folder of the photographs, relative to the data.yaml; lists of files are not read",
                    ));
            };
            found.push((Some(split.clone()), there));
        }
    }
    if found.is_empty() {
        found = found_folders(tree);
    }
    if found.is_empty() {
        return Err(Error::data("there are no images/ with labels/ beside them")
            .at(tree.root())
            .hint("expected images/train/NAME.jpg and labels/train/NAME.txt, or train/images and train/labels"));
    }
    Ok(found)
}

/// Folders of photographs with text labels: `images/`, `images/SPLIT/` and `SPLIT/images/`.
fn found_folders(tree: &Tree) -> Vec<(Option<String>, PathBuf)> {
    let named = |path: &PathBuf| split_of_name(&stem(path)).map(str::to_string);
    let images = tree.root().join(IMAGES);
    let nested = entries(tree, &images).into_iter().map(|path| (named(&path), path));
    let by_split = entries(tree, tree.root()).into_iter().map(|path| (named(&path), path.join(IMAGES)));
    let mut found: Vec<(Option<String>, PathBuf)> =
        nested.chain(by_split).filter(|(split, _)| split.is_some()).collect();
    found.retain(|(_, path)| tree.is_dir(path) && holds_text(tree, path));
    if found.is_empty() && tree.is_dir(&images) && holds_text(tree, &images) {
        found.push((None, images));
    }
    found
}

/// Whether the labels of a folder of photographs are text files.
fn holds_text(tree: &Tree, images: &Path) -> bool {
    let files = labels_of(images).map(|labels| entries(tree, &labels)).unwrap_or_default();
    let image = |path: &PathBuf| path.file_name().is_some_and(|n| stem_of_image_name(&n.to_string_lossy()).is_some());
    files.iter().any(|path| has_extension(path, "txt")) && !files.iter().any(image)
}

/// The folder of labels that belongs to a folder of photographs: the last `images` becomes `labels`.
fn labels_of(images: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = images.iter().collect();
    let at = parts.iter().rposition(|part| *part == IMAGES)?;
    Some(parts.iter().enumerate().map(|(i, part)| if i == at { LABELS.as_ref() } else { *part }).collect())
}

/// Names without their extension and paths of the files in `folder` that `wanted` accepts.
fn files_in(tree: &Tree, folder: &Path, wanted: fn(&str) -> Option<&str>) -> Vec<(String, PathBuf)> {
    let named = |path: PathBuf| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        wanted(&name).map(|stem| (composed(stem).into_owned(), path))
    };
    let mut files: Vec<(String, PathBuf)> = entries(tree, folder).into_iter().filter_map(named).collect();
    files.sort();
    files
}

fn pictures_in(
    tree: &Tree,
    split: Option<String>,
    images: &Path,
    numbered: &[String],
    names: &ClassNames,
) -> Result<Vec<Annotated>> {
    let labels = labels_of(images).filter(|folder| tree.is_dir(folder)).unwrap_or_else(|| images.to_path_buf());
    let photographs = files_in(tree, images, stem_of_image_name);
    let texts = files_in(tree, &labels, |name| name.strip_suffix(".txt"));
    if texts.is_empty() && !photographs.is_empty() {
        return Err(Error::data("there is no text label for any photograph")
            .at(&labels)
            .hint(format!("expected {}", labels.join(format!("{}.txt", photographs[0].0)).display())));
    }
    let known: BTreeSet<&str> = photographs.iter().map(|(stem, _)| stem.as_str()).collect();
    let orphans = texts.iter().filter(|(stem, _)| !known.contains(stem.as_str()) && stem != "classes");
    let missing = |stem: &str| Err(format!("{stem}: no photograph `{stem}` in {}", images.display()));
    let orphans = orphans.map(|(stem, path)| (stem.clone(), missing(stem), Some(path.clone())));
    let pairs = photographs.iter().map(|(stem, path)| {
        let text = texts.binary_search_by(|(other, _)| other.cmp(stem)).ok().map(|at| texts[at].1.clone());
        (stem.clone(), Ok(Photograph::File(path.clone())), text)
    });
    let all: Vec<_> = pairs.chain(orphans).collect();
    let annotate =
        |(name, image, text): (String, std::result::Result<Photograph, String>, Option<PathBuf>)| Annotated {
            split: split.clone(),
            drawing: text
                .as_deref()
                .map_or(Ok(Vec::new()), |path| shapes_in(tree, path, numbered, names))
                .map(|shapes| Drawing { size: None, background: names.background, shapes }),
            labels: text.map_or(labels.as_path().into(), |path| path.as_path().into()),
            name,
            image,
        };
    Ok(all.into_par_iter().map(annotate).collect())
}

/// The polygons of a text file.
fn shapes_in(
    tree: &Tree,
    path: &Path,
    numbered: &[String],
    names: &ClassNames,
) -> std::result::Result<Vec<Shape>, String> {
    let bytes = read_bytes("the labels", tree, path).map_err(|e| e.to_string())?;
    let text = std::str::from_utf8(&bytes).map_err(|e| format!("{}: the labels are not UTF-8: {e}", path.display()))?;
    let mut shapes = Vec::new();
    for (i, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let shape = shape(line, numbered, names).map_err(|e| format!("{}: line {}: {e}", path.display(), i + 1))?;
        shapes.push(shape);
    }
    Ok(shapes)
}

/// What says in an error that a line is a box.
const BOX: &str = "5 numbers are a box: these are detection labels, not polygons";

fn shape(line: &str, numbered: &[String], names: &ClassNames) -> std::result::Result<Shape, String> {
    let mut words = line.split_whitespace();
    let class = words.next().unwrap_or_default();
    // Some tools write the number as 0.0.
    let number = class.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && *n >= 0.0).map(|n| n as usize);
    let number = number.ok_or_else(|| format!("\"{class}\" is no number of a class"))?;
    let name = numbered.get(number).ok_or_else(|| format!("class {number} is none of the {} named", numbered.len()))?;
    let mut values = Vec::new();
    for word in words.take(2 * MAX_POINTS + 1) {
        let value: f64 = word.parse().map_err(|_| format!("\"{word}\" is no number"))?;
        if !(-TOLERANCE..=1.0 + TOLERANCE).contains(&value) {
            return Err(format!("{value} is no fraction of the width or height: coordinates are 0 to 1"));
        }
        values.push(value);
    }
    match values.len() {
        4 => Err(BOX.into()),
        n if n % 2 != 0 || n < 6 => {
            Err(format!("{n} coordinates are no polygon: expected pairs of x and y, at least 3"))
        }
        n if n > 2 * MAX_POINTS => Err(format!("a polygon of more than {MAX_POINTS} points")),
        _ => Ok(Shape {
            id: names.id(name)?,
            area: Area::Fractions(values.chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect()),
        }),
    }
}

/// Labels that are boxes throughout are one fault of the data set, not one of each picture.
fn refuse_boxes(pictures: &[Annotated], root: &Path) -> Result<()> {
    let (boxes, drawn) = pictures.iter().fold((0, 0), |(boxes, drawn), picture| match &picture.drawing {
        Err(wrong) if wrong.ends_with(&format!("line 1: {BOX}")) => (boxes + 1, drawn),
        Ok(drawing) if !drawing.shapes.is_empty() => (boxes, drawn + 1),
        _ => (boxes, drawn),
    });
    if boxes > 0 && drawn == 0 {
        return Err(Error::data(format!(
            "the text labels of {boxes} pictures are detection labels: a box of 5 numbers a line"
        ))
        .at(root)
        .hint("export segmentation labels: `class x1 y1 x2 y2 ...`, the corners of a polygon"));
    }
    Ok(())
}
