//! COCO's instances: one JSON file a split, with the objects of all pictures as polygons or run lengths.
//!
//! Format: <https://cocodataset.org/#format-data>, as COCO, CVAT, Roboflow, FiftyOne and Label Studio write it.
//! Categories are classes, in the order of their ids, after background. Annotations are drawn in the order of the file,
//! a later one over earlier ones; crowds (`iscrowd`) are drawn as the others. Pixels without an annotation are background.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::class_names::{ClassNames, Label};
use super::coco_file::{Annotation, CocoFile, Segmentation};
use super::document::{Key, entries, folder_of, has_extension, read_json, start_of, stem};
use super::samples::{Annotated, Photographs, listings, split_of_name};
use crate::dataset::entry::Fault;
use crate::dataset::layout::{DataSetLayout, Form, Layout, OpenOptions};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::shapes::{Drawing, Shape};

/// The folder in which COCO keeps its JSON files.
const ANNOTATIONS: &str = "annotations";

/// How the names of COCO's files for other tasks begin.
const OTHER_TASKS: [&str; 5] = ["captions", "person_keypoints", "panoptic", "image_info", "stuff"];

/// COCO's JSON with its photographs.
pub(in crate::dataset::layouts) struct Coco;

impl DataSetLayout for Coco {
    fn form(&self) -> Form {
        Form::Coco
    }

    /// A JSON file, or a folder with some of COCO's in it, in `annotations/`, or in the folders of its splits.
    fn recognise(&self, tree: &Tree) -> Option<PathBuf> {
        (!coco_files(tree).is_empty()).then(|| folder_of(tree))
    }

    fn list(&self, tree: &Tree, options: &OpenOptions) -> Result<Layout> {
        let mut files = Vec::new();
        for path in coco_files(tree) {
            let file: CocoFile = read_json("the COCO file", tree, &path)?;
            files.push((path, file));
        }
        if files.is_empty() {
            return Err(Error::data("there is no JSON file of COCO's here")
                .at(tree.root())
                .hint("expected annotations/instances_SPLIT.json, SPLIT/_annotations.coco.json or one JSON file"));
        }
        let tree = &tree.at(&root_of(tree));
        let names = ClassNames::settle(&labels(&files), tree, options)?;
        let splits = split_names(&files);
        let (mut pictures, mut faults) = (Vec::new(), Vec::new());
        for ((path, file), split) in files.into_iter().zip(splits) {
            let reader = Reader { names: &names, tree, path: path.as_path().into(), split: split.clone() };
            let (found, wrong) = reader.pictures(file)?;
            pictures.extend(found);
            faults.push((split, wrong));
        }
        let mut listings = listings(tree, pictures);
        for (split, wrong) in faults {
            let at = listings.iter().position(|l| Some(&l.name) == split.as_ref()).unwrap_or(0);
            if let Some(listing) = listings.get_mut(at) {
                listing.faults.extend(wrong);
            }
        }
        Ok(Layout { form: Form::Coco, tree: tree.clone(), coding: Some(names.coding), listings })
    }
}

/// The folder in which photographs are looked for: that of the file, or the one above `annotations/`.
fn root_of(tree: &Tree) -> PathBuf {
    let folder = folder_of(tree);
    match folder.parent() {
        Some(above) if folder != tree.root() && folder.ends_with(ANNOTATIONS) && !above.as_os_str().is_empty() => {
            above.to_path_buf()
        }
        _ => folder,
    }
}

/// COCO's files in `tree`, sorted: those of instances alone where there are some.
fn coco_files(tree: &Tree) -> Vec<PathBuf> {
    let root = tree.root();
    if tree.is_file(root) && !tree.is_archive() {
        return if is_coco(tree, root) { vec![root.to_path_buf()] } else { Vec::new() };
    }
    let mut files = json_files(tree, &root.join(ANNOTATIONS));
    if files.is_empty() {
        files = json_files(tree, root);
    }
    if files.is_empty() {
        let splits = entries(tree, root).into_iter().filter(|path| split_of_name(&stem(path)).is_some());
        files = splits.flat_map(|folder| json_files(tree, &folder)).collect();
    }
    if files.iter().any(|file| stem(file).starts_with("instances")) {
        files.retain(|file| stem(file).starts_with("instances"));
    }
    files
}

/// COCO's files in `folder`, sorted.
fn json_files(tree: &Tree, folder: &Path) -> Vec<PathBuf> {
    let mut files = entries(tree, folder);
    files.retain(|path| !OTHER_TASKS.iter().any(|task| stem(path).starts_with(task)) && is_coco(tree, path));
    files
}

/// Whether the beginning of a JSON file has a key of COCO's, and none of labelme's. The order of keys is free, so that a
/// file may begin with any of them.
fn is_coco(tree: &Tree, path: &Path) -> bool {
    let Some(start) = has_extension(path, "json").then(|| start_of(tree, path)).flatten() else { return false };
    let has = |key: &str| {
        let quoted = format!("\"{key}\"");
        let mut found = start.match_indices(&quoted).map(|(at, text)| &start[at + text.len()..]);
        found.any(|rest| rest.trim_start().starts_with(':'))
    };
    ["images", "annotations", "categories"].into_iter().any(has) && !has("shapes") && !has("splits")
}

/// The categories of all files, in the order of their ids; categories of one name are one class.
fn labels(files: &[(PathBuf, CocoFile)]) -> Vec<Label> {
    let mut categories: Vec<_> = files.iter().flat_map(|(_, file)| file.categories.iter().flatten()).collect();
    categories.sort_by(|a, b| a.id.cmp(&b.id));
    categories.into_iter().map(|category| Label { name: category.name.clone(), colour: None }).collect()
}

/// The split of each file: that of its name or folder; the name itself where several files would share one. A single
/// file whose name says nothing has none: it is divided.
fn split_names(files: &[(PathBuf, CocoFile)]) -> Vec<Option<String>> {
    let folder = |path: &Path| path.parent().map(stem).unwrap_or_default();
    let named: Vec<Option<&str>> =
        files.iter().map(|(path, _)| split_of_name(&stem(path)).or_else(|| split_of_name(&folder(path)))).collect();
    let alone = files.len() == 1;
    let split = |(i, (path, _)): (usize, &(PathBuf, CocoFile))| match named[i] {
        Some(name) if named.iter().filter(|other| **other == Some(name)).count() == 1 => Some(name.to_string()),
        _ if alone => None,
        _ => Some(stem(path)),
    };
    files.iter().enumerate().map(split).collect()
}

/// One file on its way to samples.
struct Reader<'a> {
    names: &'a ClassNames,
    tree: &'a Tree,
    path: Arc<Path>,
    split: Option<String>,
}

impl Reader<'_> {
    fn pictures(&self, file: CocoFile) -> Result<(Vec<Annotated>, Vec<Fault>)> {
        let missing = |key: &str| {
            Error::data(format!("the COCO file has no list `{key}`"))
                .at(&self.path)
                .hint("expected COCO's instances: `images`, `annotations` and `categories`")
        };
        let images = file.images.ok_or_else(|| missing("images"))?;
        let annotations = file.annotations.ok_or_else(|| missing("annotations"))?;
        let categories = file.categories.ok_or_else(|| missing("categories"))?;
        if !annotations.is_empty() && annotations.iter().all(|a| matches!(a.segmentation, Segmentation::None)) {
            return Err(Error::data("the COCO file holds boxes only: none of its annotations has a segmentation")
                .at(&self.path)
                .hint("export polygons or masks, not detection labels"));
        }
        let ids: HashMap<&Key, std::result::Result<u8, String>> =
            categories.iter().map(|c| (&c.id, self.names.id(&c.name))).collect();
        let mut by_image: HashMap<Key, std::result::Result<Vec<Shape>, String>> =
            images.iter().map(|image| (image.id.clone(), Ok(Vec::new()))).collect();
        let mut strays: Vec<String> = Vec::new();
        for (number, annotation) in annotations.into_iter().enumerate() {
            let place = format!(
                "annotation {} ({})",
                number + 1,
                annotation.id.as_ref().map_or("no id".into(), |id| format!("id {id}"))
            );
            let Some(shapes) = by_image.get_mut(&annotation.image_id) else {
                strays.push(format!("{place} is of the image {}, which the file does not list", annotation.image_id));
                continue;
            };
            if let Ok(list) = shapes {
                match self.shape(annotation, &ids) {
                    Ok(shape) => list.push(shape),
                    Err(wrong) => *shapes = Err(format!("{}: {place}: {wrong}", self.path.display())),
                }
            }
        }
        let photographs = self.photographs(images.iter().map(|image| image.file_name.as_str()));
        let mut pictures = Vec::with_capacity(images.len());
        for image in images {
            let size = image.size();
            let shapes = by_image
                .remove(&image.id)
                .unwrap_or_else(|| Err(format!("{}: two images have the id {}", self.path.display(), image.id)));
            pictures.push(Annotated {
                split: self.split.clone(),
                image: photographs.find(&image.file_name),
                drawing: shapes.map(|shapes| Drawing { size, background: self.names.background, shapes }),
                name: image.file_name,
                labels: self.path.clone(),
            });
        }
        self.refuse_without_photographs(&pictures)?;
        Ok((pictures, strays.first().map(|first| self.stray(first, strays.len())).into_iter().collect()))
    }

    fn shape(
        &self,
        annotation: Annotation,
        ids: &HashMap<&Key, std::result::Result<u8, String>>,
    ) -> std::result::Result<Shape, String> {
        let category = &annotation.category_id;
        let id = ids.get(category).cloned().unwrap_or_else(|| Err(format!("there is no category {category}")))?;
        match annotation.segmentation {
            Segmentation::Area(area) => Ok(Shape { id, area }),
            Segmentation::Wrong(wrong) => Err(wrong),
            Segmentation::None => Err("it has no segmentation, only a box".into()),
        }
    }

    /// The folders in which COCO and its exporters keep photographs.
    fn photographs<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Photographs {
        let beside = self.path.parent().unwrap_or(Path::new("."));
        let file = stem(&self.path);
        let mut words: Vec<String> = vec![file.trim_start_matches("instances_").to_string()];
        if let Some(split) = &self.split {
            words.push(split.clone());
            words.extend((split == "val").then(|| "valid".to_string()));
        }
        let mut folders = vec![beside.to_path_buf(), beside.join("images")];
        for above in [self.tree.root().join("images"), self.tree.root().to_path_buf(), self.tree.root().join("data")] {
            folders.extend(words.iter().map(|word| above.join(word)));
            folders.push(above);
        }
        Photographs::find_folder(self.tree, folders, names)
    }

    fn refuse_without_photographs(&self, pictures: &[Annotated]) -> Result<()> {
        let Some(first) = pictures.first() else {
            return Err(Error::data("the COCO file lists no image").at(&self.path).hint("export the data set again"));
        };
        if pictures.iter().any(|picture| picture.image.is_ok()) {
            return Ok(());
        }
        Err(Error::data(format!(
            "the COCO file lists {} photographs, but none of them lies beside it, in images/ or in a folder named after the split ({} is the first)",
            pictures.len(),
            first.name
        ))
        .at(&self.path)
        .hint(format!("put them into {}", self.tree.root().join("images").display())))
    }

    fn stray(&self, first: &str, count: usize) -> Fault {
        let more = if count > 1 { format!("; so are {} more", count - 1) } else { String::new() };
        Fault {
            code: "unknown_image",
            id: None,
            message: format!("{}: {first}{more}", self.path.display()),
            hint: "remove the annotation, or list the image".into(),
            cause: None,
        }
    }
}
