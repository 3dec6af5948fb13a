//! Supervisely: `meta.json`, and a folder a data set with `img/` and `ann/`.
//!
//! Format: <https://docs.supervisely.com/data-organization/00_ann_format_navi>. Classes are those of `meta.json`, in its
//! order and with its colours, after background. Polygons with holes, rectangles and bitmaps are drawn in the order of the
//! file; points, lines and the like have no area and are refused. Data sets called `train`, `val` or `test` are splits.

use std::io::Read;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;
use serde::Deserialize;

use super::class_names::{ClassNames, Label, hex_colour};
use super::document::{Whole, entries, has_extension, read_json, stem};
use super::samples::{Annotated, Photographs, listings, split_of_name};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::Result;
use crate::files::tree::Tree;
use crate::image::shapes::{Area, Drawing, Patch, Polygon, Shape};
use crate::size::Size;

const META: &str = "meta.json";

const ANNOTATIONS: &str = "ann";

const IMAGES: &str = "img";

/// The largest bitmap when it is unpacked, in bytes: an image file, so that its pixels have a limit of their own.
const MAX_BITMAP: u64 = 64 << 20;

#[derive(Deserialize)]
struct Meta {
    classes: Vec<Class>,
}

#[derive(Deserialize)]
struct Class {
    title: String,
    color: Option<String>,
}

#[derive(Deserialize)]
struct AnnotationFile {
    size: Option<AnnotationSize>,
    objects: Vec<Object>,
}

#[derive(Clone, Copy, Deserialize)]
struct AnnotationSize {
    width: Whole,
    height: Whole,
}

#[derive(Deserialize)]
struct Object {
    #[serde(rename = "classTitle")]
    class: String,
    #[serde(rename = "geometryType")]
    kind: String,
    points: Option<Points>,
    bitmap: Option<Bitmap>,
}

#[derive(Deserialize)]
struct Points {
    exterior: Vec<[f64; 2]>,
    #[serde(default)]
    interior: Vec<Vec<[f64; 2]>>,
}

#[derive(Deserialize)]
struct Bitmap {
    data: String,
    origin: [f64; 2],
}

/// A Supervisely project.
pub(in crate::dataset::layouts) struct Supervisely;

impl DataSetLayout for Supervisely {
    fn form(&self) -> Form {
        Form::Supervisely
    }

    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let sets = || data_sets(tree).into_iter().next();
        tree.is_file(&tree.root().join(META)).then(sets).flatten().map(|set| set.join(IMAGES))
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let root = tree.root();
        let meta: Meta = read_json("the project's meta.json", tree, &root.join(META))?;
        let label = |class: Class| Label { colour: class.color.as_deref().and_then(hex_colour), name: class.title };
        let labels: Vec<Label> = meta.classes.into_iter().map(label).collect();
        let names = ClassNames::settle(&labels, tree, options)?;
        let sets = data_sets(tree);
        let named = |folder: &Path| split_of_name(&folder.file_name().unwrap_or_default().to_string_lossy());
        let all_split = sets.iter().all(|folder| named(folder).is_some());
        let mut pictures = Vec::new();
        for folder in &sets {
            let split = named(folder).filter(|_| all_split);
            let below =
                if sets.len() > 1 && !all_split { folder.strip_prefix(root).unwrap_or(folder) } else { Path::new("") };
            let photographs = Photographs::find_folder(tree, vec![folder.join(IMAGES)], std::iter::empty());
            let read = |path: PathBuf| annotated(tree, &path, below, split, &photographs, &names);
            pictures.extend(annotation_files(tree, folder).into_par_iter().map(read).collect::<Result<Vec<_>>>()?);
        }
        Ok(Layout {
            form: Form::Supervisely,
            tree: tree.clone(),
            coding: Some(names.coding),
            listings: listings(tree, pictures),
        })
    }
}

/// Folders with `ann/`: the project's own, or those in it.
fn data_sets(tree: &Tree) -> Vec<PathBuf> {
    let mut sets = entries(tree, tree.root());
    sets.push(tree.root().to_path_buf());
    sets.retain(|folder| tree.is_dir(&folder.join(ANNOTATIONS)));
    sets
}

fn annotation_files(tree: &Tree, set: &Path) -> Vec<PathBuf> {
    let mut paths = entries(tree, &set.join(ANNOTATIONS));
    paths.retain(|path| has_extension(path, "json"));
    paths
}

fn annotated(
    tree: &Tree,
    path: &Path,
    below: &Path,
    split: Option<&str>,
    photographs: &Photographs,
    names: &ClassNames,
) -> Result<Annotated> {
    let file: AnnotationFile = read_json("the annotation file", tree, path)?;
    let name = stem(path); // NAME.jpg.json
    let mut shapes = Ok(Vec::new());
    for (i, object) in file.objects.iter().enumerate() {
        if let Ok(list) = &mut shapes {
            match names.id(&object.class).and_then(|id| Ok(Shape { id, area: area(object)? })) {
                Ok(shape) => list.push(shape),
                Err(wrong) => {
                    shapes = Err(format!("{}: object {} (`{}`): {wrong}", path.display(), i + 1, object.class))
                }
            }
        }
    }
    let size = file.size.map(|size| Size::new(size.width.0, size.height.0));
    Ok(Annotated {
        split: split.map(str::to_string),
        image: photographs.find(&name),
        name: below.join(&name).to_string_lossy().into_owned(),
        drawing: shapes.map(|shapes| Drawing { size, background: names.background, shapes }),
        labels: path.into(),
    })
}

/// The pixels of an object.
fn area(object: &Object) -> std::result::Result<Area, String> {
    let kind = object.kind.as_str();
    let points = || object.points.as_ref().ok_or_else(|| format!("a {kind} has no `points`"));
    match kind {
        "polygon" => {
            let points = points()?;
            let polygon = |p: &Vec<[f64; 2]>| Polygon::new(p.iter().copied()).map_err(|e| e.message);
            let holes = points.interior.iter().map(polygon).collect::<std::result::Result<_, _>>()?;
            Ok(Area::Outlines { inside: vec![polygon(&points.exterior)?], holes })
        }
        "rectangle" => match points()?.exterior[..] {
            [a, b] => Polygon::rectangle(a, b, 0.0).map(Area::outline).map_err(|e| e.message),
            ref other => Err(format!("a rectangle has {} points, expected 2", other.len())),
        },
        "bitmap" => {
            let bitmap = object.bitmap.as_ref().ok_or("a bitmap has no `bitmap`")?;
            let packed = STANDARD.decode(bitmap.data.trim()).map_err(|e| format!("its bitmap is no base64: {e}"))?;
            let mut png = Vec::new();
            let mut unpacked = flate2::read::ZlibDecoder::new(packed.as_slice()).take(MAX_BITMAP + 1);
            unpacked.read_to_end(&mut png).map_err(|e| format!("its bitmap is not compressed by zlib: {e}"))?;
            if png.len() as u64 > MAX_BITMAP {
                return Err(format!("its bitmap has more than {} MiB", MAX_BITMAP >> 20));
            }
            let [left, top] = bitmap.origin.map(|v| v.round() as i64);
            Patch::of_image(left, top, &png).map(Area::Patch).map_err(|e| e.message)
        }
        other => Err(format!("a `{other}` is not read: draw a polygon or a bitmap, or remove it")),
    }
}
