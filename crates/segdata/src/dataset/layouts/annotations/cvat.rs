//! CVAT for images 1.1: one XML file with the shapes of all pictures.
//!
//! Format: <https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/>. Labels come from `<meta>`, in their order
//! and with their colours, after background. Polygons, boxes, ellipses and masks are drawn in the order of `z_order`, then
//! of the file; polylines, points, cuboids and skeletons have no area and are refused. Subsets are splits.

use std::path::{Path, PathBuf};

use super::class_names::{ClassNames, Label};
use super::cvat_file::{CvatImage, read_cvat};
use super::document::{folder_of, has_extension, start_of};
use super::samples::{Annotated, Photographs, listings, split_of_name};
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::shapes::{Drawing, Shape};

/// The name that CVAT gives its file.
const FILE: &str = "annotations.xml";

/// CVAT's XML with its photographs.
pub(in crate::dataset::layouts) struct Cvat;

impl DataSetLayout for Cvat {
    fn form(&self) -> Form {
        Form::Cvat
    }

    /// An XML file of CVAT's, or a folder with one.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        let file = file_of(tree);
        let start = has_extension(&file, "xml").then(|| start_of(tree, &file)).flatten();
        start.is_some_and(|start| start.contains("<annotations")).then(|| folder_of(tree))
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let (root, path) = (folder_of(tree), file_of(tree));
        let tree = &tree.at(&root);
        let file = read_cvat(tree, &path)?;
        let mut labels = file.labels;
        if labels.is_empty() {
            let mut used: Vec<String> =
                file.images.iter().flat_map(|i| i.shapes.iter().flatten()).map(|s| s.label.clone()).collect();
            used.sort();
            used.dedup();
            labels = used.into_iter().map(|name| Label { name, colour: None }).collect();
        }
        let names = ClassNames::settle(&labels, tree, options)?;
        if file.images.is_empty() {
            return Err(Error::data("the CVAT file lists no image").at(&path).hint("export the task with its images"));
        }
        let wanted = file.images.iter().map(|image| image.name.as_str());
        let subsets = file.images.iter().filter_map(|image| image.subset.clone());
        let mut folders = vec![root.join("images")];
        folders.extend(subsets.take(64).chain(["default".to_string()]).map(|subset| root.join("images").join(subset)));
        folders.extend([root.clone(), root.join("data")]);
        let photographs = Photographs::find_folder(tree, folders, wanted);
        let all_split = file.images.iter().all(|image| image.split().is_some());
        let picture = |image: CvatImage| Annotated {
            split: image.split().filter(|_| all_split),
            image: photographs.find(&image.name),
            drawing: drawing(&path, &image, &names),
            name: image.name,
            labels: path.as_path().into(),
        };
        let pictures: Vec<Annotated> = file.images.into_iter().map(picture).collect();
        if pictures.iter().all(|picture| picture.image.is_err()) {
            return Err(Error::data(format!(
                "the CVAT file lists {} photographs, but none of them lies beside it",
                pictures.len()
            ))
            .at(&path)
            .hint(format!("put them into {}: CVAT exports them with `save images`", root.join("images").display())));
        }
        Ok(Layout {
            form: Form::Cvat,
            listings: listings(tree, pictures),
            coding: Some(names.coding),
            tree: tree.clone(),
        })
    }
}

impl CvatImage {
    fn split(&self) -> Option<String> {
        let subset = self.subset.as_ref()?;
        Some(split_of_name(subset).map_or(subset.clone(), str::to_string))
            .filter(|s| !s.eq_ignore_ascii_case("default"))
    }
}

/// The file meant by the root of `tree`.
fn file_of(tree: &Tree) -> PathBuf {
    let folder = folder_of(tree);
    if folder == tree.root() { folder.join(FILE) } else { tree.root().to_path_buf() }
}

fn drawing(path: &Path, image: &CvatImage, names: &ClassNames) -> std::result::Result<Drawing, String> {
    let blame = |line: usize, wrong: &str| format!("{}: line {line}: image `{}`: {wrong}", path.display(), image.name);
    let drawn = image.shapes.as_ref().map_err(|(line, wrong)| blame(*line, wrong))?;
    let mut ordered: Vec<_> = drawn.iter().collect();
    ordered.sort_by_key(|shape| shape.z_order); // stable: the file's order within one level
    let shape = |s: &&super::cvat_file::CvatShape| {
        let id = names.id(&s.label).map_err(|wrong| blame(s.line, &wrong))?;
        Ok(Shape { id, area: s.area.clone() })
    };
    let shapes = ordered.iter().map(shape).collect::<std::result::Result<_, String>>()?;
    Ok(Drawing { size: Some(image.size), background: names.background, shapes })
}
