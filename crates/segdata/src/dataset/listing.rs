//! Lists of ids and the files of each id.

use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::entry::{Entry, Fault, LeftOut, Listing, Source};
use super::names::{Side, composed, name_of, stem_of_image_name, unsafe_id, without_image_extension};
use crate::error::{Error, Result};
use crate::files::MOST_FOLDERS_DEEP;
use crate::files::tree::Tree;

/// The two halves of a data set in files, and what lies in them.
pub(crate) struct Files {
    images: Half,
    masks: Half,
    /// What lies in the folders and belongs to no half, until a listing has it.
    left_out: LeftOut,
}

/// The files of one half by id, the ids sorted.
struct Half {
    what: &'static str,
    dir: PathBuf,
    by_id: BTreeMap<String, Vec<PathBuf>>,
    /// Ids by their last part, once one is missing.
    by_name: OnceCell<HashMap<String, PathBuf>>,
}

impl Files {
    /// The files of both halves, those in sub-folders too: ids have the path from the folder. A folder that is not there
    /// holds none.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn new(tree: &Tree, images: Side, masks: Side) -> Result<Self> {
        let mut left_out = LeftOut::default();
        let one_folder = images.dir == masks.dir;
        let mut half = |what, side: Side, other: &Side| -> Result<Half> {
            let mut by_id: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
            if tree.is_dir(&side.dir) {
                each_file(tree, &side.dir, MOST_FOLDERS_DEEP, &mut |below, name, path| {
                    match side.id_of(name) {
                        Some(id) => {
                            let id = format!("{below}{id}");
                            by_id.entry(composed(&id).into_owned()).or_default().push(path.to_path_buf());
                        }
                        None if one_folder && (what == "mask" || other.id_of(name).is_some()) => {}
                        None if below.is_empty() && side.dir == tree.root() => {} // class lists, lists, notes
                        None => left_out.add(path, stem_of_image_name(name).map(|_| side.suffix.as_str())),
                    }
                    true
                })?;
            }
            Ok(Half { what, dir: side.dir, by_id, by_name: OnceCell::new() })
        };
        let (images, masks) = (half("image", images.clone(), &masks)?, half("mask", masks.clone(), &images)?);
        Ok(Files { images, masks, left_out })
    }

    /// Ids of all images and of all masks, sorted.
    pub fn ids(&self) -> (Vec<String>, Vec<String>) {
        (self.images.by_id.keys().cloned().collect(), self.masks.by_id.keys().cloned().collect())
    }

    /// Ids of images, masks or both, sorted.
    pub fn all_ids(&self) -> Vec<String> {
        let (mut ids, masks) = self.ids();
        ids.extend(masks);
        ids.sort();
        ids.dedup();
        ids
    }

    /// The id that a line means which is none as it stands: lists of other programs hold paths (`images/a.jpg`), and a column
    /// for the photograph and one for the mask.
    fn meant(&self, line: String) -> String {
        let known = |id: &str| self.images.knows(id) || self.masks.knows(id);
        if known(&line) {
            return line;
        }
        let columns = line.split([' ', '\t', ',']).next().unwrap_or(&line).to_string();
        let folder = self.images.dir.file_name().map(|name| format!("{}/", name.to_string_lossy())).unwrap_or_default();
        let found = [&line, &columns].into_iter().find_map(|id| {
            let below = id.rsplit_once(&folder).filter(|_| folder.len() > 1).map_or(id.as_str(), |(_, below)| below);
            [id.as_str(), below].into_iter().find(|id| known(id)).map(str::to_string)
        });
        found.unwrap_or(line)
    }

    /// The listing `name` of `ids`, with every fault of it. The first one says what was left out.
    pub fn resolve(&mut self, name: &str, ids: Vec<ListedId>) -> Listing {
        let mut listing = Listing { left_out: std::mem::take(&mut self.left_out), ..Listing::empty(name) };
        let mut seen = HashSet::new();
        for ListedId { id, line } in ids {
            let id = if line.is_some() { self.meant(id) } else { id };
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
            let [image, mask] = [&self.images, &self.masks].map(|half| half.find(&id, &place, line.is_some()));
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
                if let Err(Lacking { message, hint }) = found {
                    let (message, hint) = (message.clone(), (*hint).into());
                    listing.faults.push(Fault { code, id: Some(id.clone()), cause: None, message, hint });
                }
            }
            let [image, mask] =
                [image, mask].map(|half| half.map(|found| found.path).map_err(|lacking| lacking.message));
            let source = Source::Files { image, mask };
            listing.entries.push(Entry { id, source });
        }
        listing
    }
}

/// Why an id has no file of one half, and what to do about it.
struct Lacking {
    message: String,
    hint: &'static str,
}

/// What to do about a photograph or mask without its other half.
const UNPAIRED: &str = "add the missing half, remove the file, or say what the names of masks have behind those of photographs with \
                        `mask_suffix`; where there is a train.txt and a val.txt, the ids in them alone are used";

struct Found {
    id: String,
    path: PathBuf,
}

impl Half {
    /// The file of `id`, which may bring its extension, or a sub-folder, and which a list names or nothing does.
    fn find(&self, id: &str, place: &str, listed: bool) -> std::result::Result<Found, Lacking> {
        let (what, id) = (self.what, composed(id));
        let known = |id: &str| self.by_id.get(id).map(|paths| (id.to_string(), paths.as_slice()));
        match known(&id).or_else(|| known(without_image_extension(&id))) {
            Some((id, [path])) => Ok(Found { id, path: path.clone() }),
            Some((id, [first, second, ..])) => Err(Lacking {
                message: format!("{id}: two {what} files, {} and {}{place}", first.display(), second.display()),
                hint: "remove one of the two",
            }),
            _ => Err(Lacking {
                message: format!("{id}: no {what} in {}{place}{}", self.dir.display(), self.elsewhere(&id)),
                hint: if listed { "add the file, or take the id out of the list" } else { UNPAIRED },
            }),
        }
    }

    fn knows(&self, id: &str) -> bool {
        let id = composed(id);
        self.by_id.contains_key(&*id) || self.by_id.contains_key(without_image_extension(&id))
    }

    /// Names a file that has the name of `id`, and lies in another folder.
    fn elsewhere(&self, id: &str) -> String {
        let last = |id: &str| id.rsplit('/').next().unwrap_or(id).to_string();
        let by_name = self.by_name.get_or_init(|| {
            let named = self.by_id.iter().filter_map(|(id, paths)| Some((last(id), paths.first()?.clone())));
            named.collect()
        });
        by_name.get(&last(without_image_extension(id))).map_or(String::new(), |path| {
            format!("; {} has the name, but not the folder", path.strip_prefix(&self.dir).unwrap_or(path).display())
        })
    }
}

/// Calls `take` with each file below `dir`, in order: the path of its folder from `dir`, with a slash at its end unless it
/// is `dir` itself, its name, both as text, and its path; until that returns false. Folders whose names begin with a dot
/// are passed over.
pub(crate) fn each_file(
    tree: &Tree,
    dir: &Path,
    deep: usize,
    take: &mut dyn FnMut(&str, &str, &Path) -> bool,
) -> Result<()> {
    let mut folders = vec![(dir.to_path_buf(), String::new(), deep)];
    while let Some((folder, below, deep)) = folders.pop() {
        for path in tree.list(&folder)? {
            let name = name_of(&path);
            if stem_of_image_name(&name).is_none() && tree.is_dir(&path) {
                if deep > 0 && !name.starts_with('.') {
                    folders.push((path.clone(), format!("{below}{name}/"), deep - 1));
                }
            } else if !take(&below, &name, &path) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// An id and the number of its line.
pub(crate) struct ListedId {
    pub id: String,
    pub line: Option<usize>,
}

/// Ids that no list names.
pub(crate) fn unlisted(ids: impl IntoIterator<Item = String>) -> Vec<ListedId> {
    ids.into_iter().map(|id| ListedId { id, line: None }).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Empty files of these names in `images/` and `masks/`.
    fn files(images: &[&str], masks: &[&str]) -> (tempfile::TempDir, Files) {
        let dir = tempfile::tempdir().unwrap();
        for (folder, names) in [("images", images), ("masks", masks)] {
            for name in names {
                let path = dir.path().join(folder).join(name);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, b"").unwrap();
            }
        }
        let tree = Tree::open(dir.path()).unwrap();
        let side = |folder: &str| Side::of(dir.path().join(folder));
        let files = Files::new(&tree, side("images"), side("masks")).unwrap();
        (dir, files)
    }

    #[test]
    fn every_fault_of_a_list_is_found_in_one_pass() {
        let (_dir, mut files) =
            files(&["a.jpg", "b.JPG", "c.png", "c.jpg", "e.png"], &["a.png", "b.png", "d.png", "e.png", "readme.txt"]);
        let ids = ["a", "b.JPG", "c", "d", "../x", "a.jpg", "e"];
        let ids = ids.iter().enumerate().map(|(n, id)| ListedId { id: id.to_string(), line: Some(n + 1) }).collect();
        let listing = files.resolve("train", ids);
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

    #[test]
    fn lists_may_hold_paths_and_two_columns() {
        let (_dir, mut files) =
            files(&["a.jpg", "b c.jpg", "d.jpg", "sub/e.jpg"], &["a.png", "b c.png", "d.png", "sub/e.png"]);
        let lines = ["images/a.jpg masks/a.png", "b c", "data/images/d.jpg,data/masks/d.png", "sub/e.jpg\tsub/e.png"];
        let lines =
            lines.iter().enumerate().map(|(n, id)| ListedId { id: id.to_string(), line: Some(n + 1) }).collect();
        let listing = files.resolve("train", lines);
        let found: Vec<&str> = listing.entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!((found, listing.faults.len()), (vec!["a", "b c", "d", "sub/e"], 0), "{:?}", listing.faults);
    }

    #[test]
    fn both_forms_of_unicode_and_double_extensions_make_pairs() {
        let (_dir, mut files) =
            files(&["cafe\u{301}.jpg", "b.jpg", "sub/c.tif"], &["caf\u{e9}.png", "b.jpg.png", "sub/c.png"]);
        let listing = files.resolve("train", unlisted(files.all_ids()));
        let found: Vec<&str> = listing.entries.iter().map(|e| e.id.as_str()).collect();
        assert_eq!((found, listing.faults.len()), (vec!["b", "caf\u{e9}", "sub/c"], 0), "{:?}", listing.faults);
    }

    #[test]
    fn what_is_left_out_is_counted_and_what_lies_elsewhere_is_named() {
        let (_dir, mut files) =
            files(&["a.jpg", "sub/b.jpg", "film.mp4", "._a.jpg"], &["a.png", "b.png", "notes.txt", "more.txt"]);
        let listing = files.resolve("train", unlisted(files.all_ids()));
        let left_out = listing.left_out.sentence().unwrap();
        assert!(
            left_out.contains("3 files") && left_out.contains("2 .txt") && left_out.contains("1 .mp4"),
            "{left_out}"
        );
        assert!(files.resolve("val", Vec::new()).left_out.sentence().is_none(), "said once");
        let missing = listing.faults.iter().find(|f| f.id.as_deref() == Some("sub/b")).unwrap();
        assert!(missing.message.contains("b.png has the name, but not the folder"), "{}", missing.message);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_no_unicode_make_pairs() {
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        for (folder, name) in [("images", b"caf\xe9.jpg"), ("masks", b"caf\xe9.png")] {
            let folder = dir.path().join(folder).join(std::ffi::OsStr::from_bytes(b"\xff"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(std::ffi::OsStr::from_bytes(name)), b"").unwrap();
        }
        let tree = Tree::open(dir.path()).unwrap();
        let side = |folder: &str| Side::of(dir.path().join(folder));
        let mut files = Files::new(&tree, side("images"), side("masks")).unwrap();
        let listing = files.resolve("train", unlisted(files.all_ids()));
        assert!(listing.faults.is_empty(), "{:?}", listing.faults);
        assert_eq!(listing.entries[0].id, "\u{fffd}/caf\u{fffd}");
        assert!(matches!(&listing.entries[0].source, Source::Files { image: Ok(path), .. } if path.exists()));
    }
}
