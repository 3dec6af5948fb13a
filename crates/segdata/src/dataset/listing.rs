//! Lists of ids and the files of each id.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use super::entry::{Entry, Fault, Listing, Source};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::Format;

/// The folders of a data set in files, and what lies in them.
pub(crate) struct Files {
    tree: Tree,
    images: Side,
    masks: Side,
    listed: HashMap<(PathBuf, bool), ByStem>,
}

/// The files of one half of all pairs: those below a folder whose names, without extension, end in `suffix`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    pub dir: PathBuf,
    /// What a name has behind the id.
    pub suffix: String,
    /// What names of this half do not end in, where both halves lie in one folder.
    pub not: Option<String>,
    /// Whether files are JPEG or not, where both halves lie in one folder under one name.
    pub jpeg: Option<bool>,
}

impl Side {
    pub fn of(dir: impl Into<PathBuf>) -> Self {
        Side { dir: dir.into(), ..Side::default() }
    }

    /// The same folder with this behind the ids.
    pub fn with_suffix(self, suffix: &str) -> Self {
        Side { suffix: suffix.into(), ..self }
    }

    /// The id of a file of this name, and none where the file is no image or of the other half.
    pub fn id_of<'a>(&self, name: &'a str) -> Option<&'a str> {
        let stem = stem_of_image_name(name).filter(|s| !s.is_empty() && !s.starts_with("._"))?;
        let jpeg = || Format::of_extension(&name[stem.len() + 1..]) == Some(Format::Jpeg);
        let other = self.not.as_ref().is_some_and(|not| stem.ends_with(not.as_str()));
        let wanted = !other && self.jpeg.is_none_or(|wanted| wanted == jpeg());
        stem.strip_suffix(self.suffix.as_str()).filter(|id| wanted && !id.is_empty())
    }
}

/// Files of a folder by id, sorted.
type ByStem = BTreeMap<String, Vec<PathBuf>>;

impl Files {
    pub fn new(tree: &Tree, images: Side, masks: Side) -> Self {
        Files { tree: tree.clone(), images, masks, listed: HashMap::new() }
    }

    /// Ids of all images and of all masks, sorted, those in sub-folders with the path from the folder.
    pub fn ids(&mut self) -> Result<(Vec<String>, Vec<String>)> {
        Ok((self.ids_of(&self.images)?, self.ids_of(&self.masks)?))
    }

    fn ids_of(&self, side: &Side) -> Result<Vec<String>> {
        let mut ids = Vec::new();
        each_file(&self.tree, &side.dir, MOST_FOLDERS_DEEP, &mut |below, name| {
            ids.extend(side.id_of(name).map(|id| format!("{below}{id}")));
            true
        })?;
        ids.sort();
        ids.dedup();
        Ok(ids)
    }

    /// The listing `name` of `ids`, with every fault of it.
    pub fn resolve(&mut self, name: &str, ids: Vec<ListedId>) -> Result<Listing> {
        let mut listing = Listing { name: name.to_string(), entries: Vec::new(), faults: Vec::new() };
        let mut seen = HashSet::new();
        for ListedId { id, line } in ids {
            let place = line.map_or(String::new(), |n| format!(" (line {n} of {name}.txt)"));
            if let Some(why) = unsafe_id(&id) {
                let shown: String = id.escape_debug().collect();
                listing.faults.push(Fault {
                    code: "unsafe_id",
                    message: format!("id `{shown}`{place} {why}"),
                    hint: "ids are names below the image folder, without extension".into(),
                    id: Some(id),
                    cause: None,
                });
                continue;
            }
            let image = self.find(false, &id, &place)?;
            let mask = self.find(true, &id, &place)?;
            let id = image.as_ref().or(mask.as_ref()).map_or(id.clone(), |found| found.id.clone());
            if !seen.insert(id.clone()) {
                listing.faults.push(Fault {
                    code: "duplicate_id",
                    message: format!("{id} is listed twice{place}"),
                    hint: "remove one of the two lines".into(),
                    id: Some(id),
                    cause: None,
                });
                continue;
            }
            for (code, found) in [("missing_image", &image), ("missing_mask", &mask)] {
                if let Err(message) = found {
                    listing.faults.push(Fault {
                        code,
                        id: Some(id.clone()),
                        cause: None,
                        message: message.clone(),
                        hint: "add the file, or take the id out of the list".into(),
                    });
                }
            }
            let source = Source::Files { image: image.map(|f| f.path), mask: mask.map(|f| f.path) };
            listing.entries.push(Entry { id, source });
        }
        Ok(listing)
    }

    /// The file of `id` among the masks or the images. An id may bring its extension, or a subfolder.
    fn find(&mut self, mask: bool, id: &str, place: &str) -> Result<std::result::Result<Found, String>> {
        let (what, dir) = if mask { ("mask", &self.masks.dir) } else { ("image", &self.images.dir) };
        let relative = Path::new(id);
        let below = dir.join(relative.parent().unwrap_or(Path::new("")));
        let name = relative.file_name().and_then(|n| n.to_str()).unwrap_or(id);
        if !self.tree.is_dir(&below) {
            return Ok(Err(format!("{id}: no {what} folder {}{place}", below.display())));
        }
        let by_stem = self.list(&below, mask)?;
        let (stem, id) = match stem_of_image_name(name) {
            Some(stem) if !by_stem.contains_key(name) => (stem, id[..id.len() - (name.len() - stem.len())].to_string()),
            _ => (name, id.to_string()),
        };
        Ok(match by_stem.get(stem).map(Vec::as_slice) {
            Some([path]) => Ok(Found { id, path: path.clone() }),
            Some([first, second, ..]) => {
                Err(format!("{id}: two {what} files, {} and {}{place}", first.display(), second.display()))
            }
            _ => Err(format!("{id}: no {what} in {}{place}", below.display())),
        })
    }

    /// Images or masks in `dir` by id. Files of other kinds, hidden files and names that are not UTF-8 are passed over.
    fn list(&mut self, dir: &Path, mask: bool) -> Result<&ByStem> {
        let key = (dir.to_path_buf(), mask);
        if !self.listed.contains_key(&key) {
            let side = if mask { &self.masks } else { &self.images };
            let mut by_stem = ByStem::new();
            for path in self.tree.list(dir)? {
                if let Some(id) = path.file_name().and_then(|n| n.to_str()).and_then(|name| side.id_of(name)) {
                    by_stem.entry(id.to_string()).or_default().push(path.clone());
                }
            }
            self.listed.insert(key.clone(), by_stem);
        }
        self.listed.get(&key).ok_or_else(|| Error::internal("a listed folder was lost"))
    }
}

/// Folders in folders that are looked into: a link to a folder above would go on for ever.
const MOST_FOLDERS_DEEP: usize = 12;

/// Calls `take` with each file below `dir`, in order: the path of its folder from `dir`, with a slash at its end unless it
/// is `dir` itself, and its name; until that returns false. Folders whose names begin with a dot are passed over.
pub(crate) fn each_file(tree: &Tree, dir: &Path, deep: usize, take: &mut dyn FnMut(&str, &str) -> bool) -> Result<()> {
    let mut folders = vec![(dir.to_path_buf(), String::new(), deep)];
    while let Some((folder, below, deep)) = folders.pop() {
        for path in tree.list(&folder)? {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
            if stem_of_image_name(name).is_none() && tree.is_dir(&path) {
                if deep > 0 && !name.starts_with('.') && name != "__MACOSX" {
                    folders.push((path.clone(), format!("{below}{name}/"), deep - 1));
                }
            } else if !take(&below, name) {
                return Ok(());
            }
        }
    }
    Ok(())
}

struct Found {
    id: String,
    path: PathBuf,
}

/// `name` without its extension, if that is one of an image.
pub(crate) fn stem_of_image_name(name: &str) -> Option<&str> {
    let (stem, extension) = name.rsplit_once('.')?;
    Format::of_extension(extension).is_some().then_some(stem)
}

/// An id and the number of its line.
pub(crate) struct ListedId {
    pub id: String,
    pub line: Option<usize>,
}

/// Reads a list: one id a line. A byte-order mark, CRLF, surrounding spaces and empty lines are dropped.
pub(crate) fn read_list(tree: &Tree, path: &Path) -> Result<Vec<ListedId>> {
    let bytes = tree.read("the list", path)?;
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::data(format!("the list is not UTF-8: {e}")).at(path).hint("save it as UTF-8"))?;
    let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    Ok(lines
        .map(|(n, line)| ListedId { id: line.trim().to_string(), line: Some(n + 1) })
        .filter(|l| !l.id.is_empty())
        .collect())
}

/// Why `id` must not be joined to a folder's path.
pub(crate) fn unsafe_id(id: &str) -> Option<&'static str> {
    if id.contains(['\0', '\n', '\r']) {
        return Some("holds a control character");
    }
    if id.contains('\\') {
        return Some("holds a backslash");
    }
    let mut components = Path::new(id).components();
    if Path::new(id).is_absolute() {
        return Some("is an absolute path");
    }
    (!components.all(|c| matches!(c, Component::Normal(_)))).then_some("leaves the folder")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_below_their_folder() {
        let cases = [
            ("2007_000033", None),
            ("a b ü", None),
            ("sub/a", None),
            ("../a", Some("leaves the folder")),
            ("a/../../b", Some("leaves the folder")),
            ("./a", Some("leaves the folder")),
            ("/etc/passwd", Some("is an absolute path")),
            ("a\0b", Some("holds a control character")),
            ("..\\a", Some("holds a backslash")),
        ];
        for (id, expected) in cases {
            assert_eq!(unsafe_id(id), expected, "{id:?}");
        }
    }

    #[test]
    fn lists_are_read_whatever_wrote_them() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, path) = (Tree::open(dir.path()).unwrap(), dir.path().join("train.txt"));
        std::fs::write(&path, "\u{feff}a\r\n  b c \r\n\r\nü\n").unwrap();
        let ids: Vec<(String, Option<usize>)> =
            read_list(&tree, &path).unwrap().into_iter().map(|l| (l.id, l.line)).collect();
        assert_eq!(ids, [("a".into(), Some(1)), ("b c".into(), Some(2)), ("ü".into(), Some(4))]);
        std::fs::write(&path, [0xff, 0xfe, 0x41]).unwrap();
        assert!(read_list(&tree, &path).is_err_and(|e| e.message.contains("not UTF-8")));
    }

    #[test]
    fn every_fault_of_a_list_is_found_in_one_pass() {
        let dir = tempfile::tempdir().unwrap();
        let (images, masks) = (dir.path().join("images"), dir.path().join("masks"));
        for (folder, names) in [
            (&images, &["a.jpg", "b.JPG", "c.png", "c.jpg", "e.png"][..]),
            (&masks, &["a.png", "b.png", "d.png", "e.png", "readme.txt"]),
        ] {
            std::fs::create_dir(folder).unwrap();
            names.iter().for_each(|n| std::fs::write(folder.join(n), b"").unwrap());
        }
        let ids = ["a", "b.JPG", "c", "d", "../x", "a.jpg", "e"];
        let ids = ids.iter().enumerate().map(|(n, id)| ListedId { id: id.to_string(), line: Some(n + 1) }).collect();
        let tree = Tree::open(dir.path()).unwrap();
        let listing = Files::new(&tree, Side::of(images), Side::of(masks)).resolve("train", ids).unwrap();
        let faults: Vec<(&str, &str)> = listing.faults.iter().map(|f| (f.code, f.id.as_deref().unwrap())).collect();
        let expected = [
            ("missing_image", "c"),
            ("missing_mask", "c"),
            ("missing_image", "d"),
            ("unsafe_id", "../x"),
            ("duplicate_id", "a"),
        ];
        assert_eq!(faults, expected, "{:#?}", listing.faults);
        assert!(listing.faults[0].message.contains("two image files"));
        assert!(listing.faults[3].message.contains("line 5 of train.txt"));
        let found: Vec<&str> = listing.entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!(found, ["a", "b", "c", "d", "e"]);
    }
}
