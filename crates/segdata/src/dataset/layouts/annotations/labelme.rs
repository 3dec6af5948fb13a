//! labelme: one JSON file a picture, beside it.
//!
//! Format: `label_file.py` of labelme (version 5). Polygons, rectangles, circles and masks are drawn, in the order of the
//! file; points and lines have no area and are refused. Labels are classes in the order of their names, after background;
//! `__ignore__` is void and `_background_` is background. Where the photograph is missing, the copy in the file
//! (`imageData`) is used. labelme itself also paints the pixels on the boundary; here, the rule of COCO decides.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::class_names::{ClassNames, Label};
use super::document::{Whole, entries, has_extension, read_json, start_of, stem};
use super::samples::{Annotated, Photographs, listings, split_of_name};
use crate::dataset::entry::Photograph;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::shapes::{Area, Drawing, Patch, Polygon, Shape};
use crate::size::Size;

/// What a file holds, without the photograph.
#[derive(Deserialize)]
struct LabelmeFile {
    shapes: Vec<LabelmeShape>,
    #[serde(rename = "imagePath")]
    image_path: Option<String>,
    #[serde(rename = "imageData")]
    image_data: Option<IgnoredAny>,
    #[serde(rename = "imageWidth")]
    width: Option<Whole>,
    #[serde(rename = "imageHeight")]
    height: Option<Whole>,
}

#[derive(Deserialize)]
struct LabelmeShape {
    label: String,
    points: Vec<[f64; 2]>,
    shape_type: Option<String>,
    mask: Option<String>,
}

/// A folder of labelme's files.
pub(in crate::dataset::layouts) struct Labelme;

impl DataSetLayout for Labelme {
    fn form(&self) -> Form {
        Form::Labelme
    }

    /// A folder with labelme's files in it, in folders named after the splits, or in `annotations/` and the like.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        (!labelme_files(tree, 1).is_empty()).then(|| tree.root().to_path_buf())
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let paths = labelme_files(tree, usize::MAX);
        let read = |(path, split): (PathBuf, Option<&'static str>)| {
            read_json::<LabelmeFile>("the labelme file", tree, &path).map(|file| (path, split, file))
        };
        let files = paths.into_par_iter().map(read).collect::<Result<Vec<_>>>()?;
        let labels: BTreeSet<&String> =
            files.iter().flat_map(|(_, _, f)| &f.shapes).map(|shape| &shape.label).collect();
        let labels: Vec<Label> = labels.into_iter().map(|name| Label { name: name.clone(), colour: None }).collect();
        let names = ClassNames::settle(&labels, tree, options)?;
        let all_split = files.iter().all(|(_, split, _)| split.is_some());
        let picture = |(path, split, file): (PathBuf, Option<&str>, LabelmeFile)| {
            annotated(tree, &path, split.filter(|_| all_split), file, &names)
        };
        let pictures = files.into_par_iter().map(picture).collect();
        Ok(Layout {
            form: Form::Labelme,
            tree: tree.clone(),
            coding: Some(names.coding),
            listings: listings(tree, pictures),
        })
    }
}

/// Folders in which labelme's files are kept apart from the photographs.
const APART: [&str; 4] = ["annotations", "labels", "json", "masks"];

/// The first `at_most` of labelme's files in `root`, in its folders that are named after splits, and in those that hold
/// annotations, sorted.
fn labelme_files(tree: &Tree, at_most: usize) -> Vec<(PathBuf, Option<&'static str>)> {
    let mut files: Vec<(PathBuf, Option<&'static str>)> = Vec::new();
    for path in entries(tree, tree.root()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if has_extension(&path, "json") {
            files.extend(is_labelme(tree, &path).then(|| (path.clone(), None)));
        } else if split_of_name(&name).is_some() || APART.contains(&name.to_lowercase().as_str()) {
            let below = entries(tree, &path).into_iter().filter(|p| is_labelme(tree, p)).take(at_most);
            files.extend(below.map(|p| (p, split_of_name(&name))));
        }
        if files.len() >= at_most {
            break;
        }
    }
    files
}

fn is_labelme(tree: &Tree, path: &Path) -> bool {
    let start = has_extension(path, "json").then(|| start_of(tree, path)).flatten();
    start.is_some_and(|start| start.contains("\"shapes\"") && !start.contains("\"categories\""))
}

fn annotated(tree: &Tree, path: &Path, split: Option<&str>, file: LabelmeFile, names: &ClassNames) -> Annotated {
    let folder = path.parent().unwrap_or(tree.root());
    let stem = stem(path);
    let size = file.width.zip(file.height).map(|(w, h)| Size::new(w.0, h.0)).filter(|size| size.pixels() > 0);
    let mut shapes = Ok(Vec::new());
    for (i, shape) in file.shapes.iter().enumerate() {
        if let Ok(list) = &mut shapes {
            match names.id(&shape.label).and_then(|id| Ok(Shape { id, area: area(shape)? })) {
                Ok(shape) => list.push(shape),
                Err(wrong) => {
                    shapes = Err(format!("{}: shape {} (`{}`): {wrong}", path.display(), i + 1, shape.label));
                }
            }
        }
    }
    Annotated {
        split: split.map(str::to_string),
        image: photograph(tree, folder, path, &stem, &file),
        name: stem,
        drawing: shapes.map(|shapes| Drawing { size, background: names.background, shapes }),
        labels: path.into(),
    }
}

/// The file that `imagePath` names, one with the stem of the JSON file beside it, or the copy in the JSON file.
fn photograph(
    tree: &Tree,
    folder: &Path,
    path: &Path,
    stem: &str,
    file: &LabelmeFile,
) -> std::result::Result<Photograph, String> {
    let extensions = crate::image::IMAGE_EXTENSIONS.iter().flat_map(|(e, _)| [e.to_string(), e.to_uppercase()]);
    let names: Vec<String> =
        file.image_path.iter().cloned().chain(extensions.map(|extension| format!("{stem}.{extension}"))).collect();
    let folders = [folder.to_path_buf(), folder.join("images"), tree.root().join("images"), tree.root().to_path_buf()];
    for folder in folders {
        let here = Photographs::find_folder(tree, vec![folder], std::iter::empty());
        if let Some(found) = names.iter().find_map(|name| here.find(name).ok()) {
            return Ok(found);
        }
    }
    match file.image_data {
        Some(_) => Ok(Photograph::InLabelme(path.to_path_buf())),
        None => Err(format!(
            "{stem}: no photograph `{}` beside {}, and no `imageData` in it",
            file.image_path.as_deref().unwrap_or(stem),
            path.display()
        )),
    }
}

/// The pixels of a shape, by its type.
fn area(shape: &LabelmeShape) -> std::result::Result<Area, String> {
    let kind = shape.shape_type.as_deref().unwrap_or("polygon");
    let two = || match shape.points[..] {
        [a, b] => Ok([a, b]),
        _ => Err(format!("a {kind} has {} points, expected 2", shape.points.len())),
    };
    let polygon = match kind {
        "polygon" | "oriented_rectangle" => Polygon::new(shape.points.iter().copied()),
        "rectangle" if shape.points.len() == 4 => Polygon::new(shape.points.iter().copied()),
        "rectangle" => two().map(|[a, b]| Polygon::rectangle(a, b, 0.0))?,
        "circle" => {
            let [centre, rim] = two()?;
            let radius = (centre[0] - rim[0]).hypot(centre[1] - rim[1]);
            Polygon::ellipse(centre, [radius; 2], 0.0)
        }
        "mask" => {
            let [[left, top], _] = two()?;
            let text = shape.mask.as_deref().ok_or("a mask has no `mask`")?;
            let png = STANDARD.decode(text.trim()).map_err(|e| format!("its `mask` is no base64: {e}"))?;
            return Patch::of_image(left.round() as i64, top.round() as i64, &png)
                .map(Area::Patch)
                .map_err(|e| e.message);
        }
        "point" | "points" | "line" | "linestrip" => {
            return Err(format!("a `{kind}` has no area: draw a polygon, or remove it"));
        }
        other => return Err(format!("shapes of the type `{other}` are not read: draw a polygon")),
    };
    polygon.map(Area::outline).map_err(|e| e.message)
}

/// The photograph within a labelme file.
///
/// # Errors
/// A file that has changed since it was listed; `imageData` that is no base64.
pub(in crate::dataset) fn embedded_photograph(tree: &Tree, path: &Path) -> Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Embedded {
        #[serde(rename = "imageData")]
        image_data: Option<String>,
    }
    let file: Embedded = read_json("the labelme file", tree, path)?;
    let text = file.image_data.ok_or_else(|| Error::data("the labelme file has no `imageData`").at(path))?;
    STANDARD.decode(text.trim()).map_err(|e| {
        Error::data(format!("the photograph in the file (`imageData`) is no base64: {e}"))
            .at(path)
            .hint("put the photograph beside the file")
    })
}
