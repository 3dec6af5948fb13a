//! From annotated pictures to lists: their splits, their photographs, and what is wrong with each.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::dataset::entry::{Entry, Fault, LeftOut, Listing, Photograph, Source};
use crate::dataset::layouts::drawn_split::{drawn_val, split_name};
use crate::dataset::listing::each_file;
use crate::dataset::names::{composed, name_of, stem_of_image_name, unsafe_id, without_image_extension};
use crate::files::MOST_FOLDERS_DEEP;
use crate::files::tree::Tree;
use crate::image::shapes::Drawing;

/// One annotated picture.
pub(super) struct Annotated {
    /// `train`, `val`, ...; without one it is drawn.
    pub split: Option<String>,
    /// The name of the photograph, with or without folders and extension.
    pub name: String,
    pub image: Result<Photograph, String>,
    pub drawing: Result<Drawing, String>,
    /// The file that holds the shapes.
    pub labels: Arc<Path>,
}

/// The lists of `pictures` in `tree`, by split. Pictures without a split are divided by the fixed draw. Photographs beside
/// them that are not among them are counted.
pub(super) fn listings(tree: &Tree, mut pictures: Vec<Annotated>) -> Vec<Listing> {
    let left_out = unlabelled(tree, &pictures);
    pictures.sort_by(|a, b| a.name.cmp(&b.name));
    let undecided = pictures.iter().filter(|p| p.split.is_none()).count();
    let mut in_val = drawn_val(undecided).into_iter();
    let mut lists: BTreeMap<String, Listing> = BTreeMap::new();
    let mut seen = HashSet::new();
    for picture in pictures {
        let drawn = || if in_val.next() == Some(true) { "val" } else { "train" }.to_string();
        let split = picture.split.clone().unwrap_or_else(drawn);
        let listing = lists.entry(split.clone()).or_insert_with(|| Listing::empty(&split));
        let id = id_of(&picture.name);
        if !seen.insert((picture.split.clone(), id.clone())) {
            listing.faults.push(fault(
                "duplicate_id",
                &id,
                format!("{id} is annotated twice"),
                "remove one of the two",
            ));
            continue;
        }
        if let Err(missing) = &picture.image {
            let hint = "add the photograph, or remove its annotations";
            listing.faults.push(fault("missing_image", &id, missing.clone(), hint));
        }
        if let Err(wrong) = &picture.drawing {
            let hint = "correct the annotation in the tool that drew it, and export again";
            listing.faults.push(fault("unusable_annotation", &id, wrong.clone(), hint));
        }
        let source =
            Source::Shapes { image: picture.image, drawing: picture.drawing.map(Arc::new), labels: picture.labels };
        listing.entries.push(Entry { id, source });
    }
    let mut listings: Vec<Listing> = lists.into_values().collect();
    Listing::tell_photographs_apart(tree, &mut listings);
    if let Some(first) = listings.first_mut() {
        first.left_out = left_out;
    }
    listings
}

/// The name of a photograph without extension, and without folders that are not below the data set.
fn id_of(name: &str) -> String {
    let name = in_unix_style(name);
    let of_another_machine =
        unsafe_id(&name).is_some() || name.split('/').next().is_some_and(|part| part.ends_with(':'));
    let name = if of_another_machine { name.rsplit('/').next().unwrap_or(&name) } else { &name };
    let name = name.rsplit(['=', '?']).next().filter(|_| of_another_machine).unwrap_or(name);
    without_image_extension(name).to_string()
}

/// The photographs beside those of `pictures` that are not among these.
fn unlabelled(tree: &Tree, pictures: &[Annotated]) -> LeftOut {
    let known: HashSet<&Path> =
        pictures.iter().filter_map(|picture| picture.image.as_ref().ok()).map(|found| found.path().as_path()).collect();
    let folders: BTreeSet<&Path> = known.iter().filter_map(|path| path.parent()).collect();
    let mut left_out = LeftOut::default();
    for path in folders.into_iter().flat_map(|folder| tree.list(folder).unwrap_or_default()) {
        if stem_of_image_name(&name_of(&path)).is_some() && !known.contains(path.as_path()) {
            left_out.add_unlabelled(&path);
        }
    }
    left_out
}

fn fault(code: &'static str, id: &str, message: String, hint: &str) -> Fault {
    Fault { code, id: Some(id.to_string()), message, hint: hint.to_string(), cause: None }
}

/// The split that a file or folder is named after: `instances_train2017` is `train`, `valid` is `val`.
pub(super) fn split_of_name(name: &str) -> Option<&'static str> {
    let lower = name.to_lowercase();
    lower
        .split(|c: char| !c.is_alphabetic())
        .find_map(|word| split_name(word).or((word == "trainval").then_some("trainval")))
}

/// Photographs tried in each folder before it is decided where they lie.
const TRIED: usize = 64;

/// Where the photographs of a data set lie.
pub(super) struct Photographs {
    tree: Tree,
    /// The folder that holds the most of them first.
    folders: Vec<PathBuf>,
    /// Files by their paths in composed form, once a name is not found as it is.
    by_composed: OnceLock<HashMap<PathBuf, PathBuf>>,
}

impl Photographs {
    /// Looks for `names` in each of the `folders`, the likeliest first.
    pub fn find_folder<'a>(tree: &Tree, folders: Vec<PathBuf>, names: impl Iterator<Item = &'a str> + Clone) -> Self {
        let mut known = HashSet::new();
        let mut found: Vec<(usize, PathBuf)> = folders
            .into_iter()
            .filter(|folder| tree.is_dir(folder) && known.insert(folder.clone()))
            .map(|folder| {
                (names.clone().take(TRIED).filter(|name| below(tree, &folder, name).is_some()).count(), folder)
            })
            .collect();
        found.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let folders = found.into_iter().map(|(_, folder)| folder).collect();
        Photographs { tree: tree.clone(), folders, by_composed: OnceLock::new() }
    }

    /// The photograph called `name`, which may bring folders of the machine that it was annotated on.
    pub fn find(&self, name: &str) -> Result<Photograph, String> {
        let found = self.folders.iter().find_map(|folder| below(&self.tree, folder, name));
        let found = found.or_else(|| self.in_another_form(name));
        found.map(Photograph::File).ok_or_else(|| {
            let tried: Vec<String> = self.folders.iter().map(|folder| folder.display().to_string()).collect();
            let (id, name) = (without_image_extension(name), name.escape_debug());
            format!(
                "{id}: no photograph `{name}` in {}",
                if tried.is_empty() { "any folder".into() } else { tried.join(", ") }
            )
        })
    }

    /// The photograph whose name is the same text in another form of Unicode.
    fn in_another_form(&self, name: &str) -> Option<PathBuf> {
        if name.is_ascii() {
            return None;
        }
        let known = self.by_composed.get_or_init(|| {
            let mut known = HashMap::new();
            for folder in &self.folders {
                let looked = each_file(&self.tree, folder, MOST_FOLDERS_DEEP, &mut |below, name, path| {
                    let composed = folder.join(&*composed(&format!("{below}{name}")));
                    known.entry(composed).or_insert_with(|| path.to_path_buf());
                    true
                });
                looked.ok(); // what cannot be listed holds no photograph that is found
            }
            known
        });
        let name = in_unix_style(&composed(name));
        self.folders.iter().flat_map(|folder| places(folder, &name)).find_map(|path| known.get(&path).cloned())
    }
}

/// The file `name` in `folder`: with the folders that the name brings, where they stay below, or else without.
fn below(tree: &Tree, folder: &Path, name: &str) -> Option<PathBuf> {
    places(folder, &in_unix_style(name)).find(|path| tree.is_file(path))
}

/// Where `name` may lie in `folder`.
fn places<'a>(folder: &'a Path, name: &'a str) -> impl Iterator<Item = PathBuf> + 'a {
    let safe = |name: &&str| unsafe_id(name).is_none() && !name.is_empty();
    [Some(name), name.rsplit('/').next()].into_iter().flatten().filter(safe).map(|name| folder.join(name))
}

fn in_unix_style(name: &str) -> String {
    name.replace('\\', "/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_which_split_they_are() {
        let cases = [
            ("instances_train2017", Some("train")),
            ("instances_Val", Some("val")),
            ("valid", Some("val")),
            ("Train", Some("train")),
            ("test-dev2017", Some("test")),
            ("trainval", Some("trainval")),
            ("instances_default", None),
            ("constraints", None),
        ];
        for (name, split) in cases {
            assert_eq!(split_of_name(name), split, "{name}");
        }
    }

    #[test]
    fn photographs_are_found_below_their_folder_only() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("images/sub")).unwrap();
        for name in ["secret.jpg", "images/a.jpg", "images/sub/b.jpg", "images/e\u{301}.jpg"] {
            std::fs::write(root.path().join(name), b"x").unwrap();
        }
        let tree = Tree::open(root.path()).unwrap();
        let found = |name: &str| {
            let photographs = Photographs::find_folder(&tree, vec![root.path().join("images")], [name].into_iter());
            photographs.find(name).map(|p| p.path().strip_prefix(root.path()).unwrap().display().to_string())
        };
        assert_eq!(found("a.jpg").unwrap(), "images/a.jpg");
        assert_eq!(found("sub\\b.jpg").unwrap(), "images/sub/b.jpg");
        assert_eq!(found("C:\\data\\a.jpg").unwrap(), "images/a.jpg");
        assert_eq!(found("/home/me/a.jpg").unwrap(), "images/a.jpg");
        assert_eq!(found("\u{e9}.jpg").unwrap(), "images/e\u{301}.jpg");
        for name in ["../secret.jpg", "sub/../../secret.jpg", "none.jpg", "a\0.jpg", "", ".."] {
            assert!(found(name).is_err(), "{name:?}");
        }
    }
}
