//! Which photographs were meant: files, folders, patterns and stdin, each with the name of its results.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use fcn_core::{Error, Result};
use segdata::files::glob::{matcher, pattern_in};
use segdata::files::{MOST_FOLDERS_DEEP, is_left_by_system};
use segdata::image::{Format, IMAGE_EXTENSIONS};

/// Bytes that stdin may bring.
const MAX_STDIN_BYTES: u64 = 1 << 30;

/// One photograph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// A file in a sub-folder of a folder that was named; `folder` is the way there.
    Below { path: PathBuf, folder: PathBuf },
    /// Standard input.
    Stdin,
}

impl Input {
    /// Where the photograph lies; its name where it is no file.
    pub fn path(&self) -> &Path {
        match self {
            Input::File(path) | Input::Below { path, .. } => path,
            Input::Stdin => Path::new("stdin"),
        }
    }

    /// For people and logs.
    pub fn name(&self) -> String {
        match self {
            Input::File(path) | Input::Below { path, .. } => path.display().to_string(),
            Input::Stdin => "stdin".into(),
        }
    }

    /// The bytes of the file.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Input::File(path) | Input::Below { path, .. } => segdata::files::read::read("the photograph", path),
            Input::Stdin => {
                let mut bytes = Vec::new();
                let fault = |e: std::io::Error| Error::io("read", Path::new("stdin"), &e);
                std::io::stdin().lock().take(MAX_STDIN_BYTES + 1).read_to_end(&mut bytes).map_err(fault)?;
                match bytes.len() as u64 > MAX_STDIN_BYTES {
                    true => Err(Error::data(format!("stdin brings more than {MAX_STDIN_BYTES} bytes"))),
                    false => Ok(bytes),
                }
            }
        }
    }

    /// Name of a result: the photograph's without its extension, and `end`, in the sub-folder that the photograph lies in.
    /// Any bytes that the system allows survive.
    pub fn output_name(&self, end: &str) -> OsString {
        let stem = |path: &Path| path.file_stem().unwrap_or(OsStr::new("photograph")).to_os_string();
        let mut name = match self {
            Input::File(path) => stem(path),
            Input::Below { path, folder } => folder.join(stem(path)).into_os_string(),
            Input::Stdin => "stdin".into(),
        };
        name.push(end);
        name
    }
}

/// Files of folders that are no photographs by their endings: how many of each.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[serde(transparent)]
pub struct LeftOut {
    by_ending: BTreeMap<String, usize>,
    #[serde(skip)]
    folders: usize,
}

impl LeftOut {
    fn add(&mut self, name: &OsStr) {
        let ending = Path::new(name).extension().map(|e| format!(".{}", e.to_string_lossy().to_lowercase()));
        *self.by_ending.entry(ending.unwrap_or_else(|| "no ending".into())).or_default() += 1;
    }

    /// What was left out, in a line; `None` where nothing was.
    pub fn line(&self) -> Option<String> {
        let listed: Vec<String> = self.by_ending.iter().map(|(ending, count)| format!("{ending}: {count}")).collect();
        let number = |n: usize, what: &str| if n == 1 { format!("1 {what} was") } else { format!("{n} {what}s were") };
        let count: usize = self.by_ending.values().sum();
        let files =
            (count > 0).then(|| format!("{} left out, by ending: {}", number(count, "file"), listed.join(", ")));
        let folders = (self.folders > 0)
            .then(|| format!("{} left out; --recursive enters them", number(self.folders, "sub-folder")));
        let all: Vec<String> = files.into_iter().chain(folders).collect();
        (!all.is_empty()).then(|| format!("note: {}", all.join("; ")))
    }
}

/// The photographs that `arguments` name, in order; those of a folder, and with `recursive` of the folders in it, or of a
/// pattern by name. What else is in a folder is
/// counted, but for `._NAME`, in which macOS keeps what other systems have no place for.
///
/// # Errors
/// An argument that names nothing; a folder or pattern without a photograph.
pub fn collect(arguments: &[OsString], recursive: bool) -> Result<(Vec<Input>, LeftOut)> {
    let (mut inputs, mut left_out) = (Vec::new(), LeftOut::default());
    for argument in arguments {
        let path = Path::new(argument);
        if argument == "-" {
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            let found = photographs_below(path, recursive, &mut left_out)?;
            if found.is_empty() {
                let others = left_out.line().map_or(String::new(), |line| line.replace("note: ", ": "));
                return Err(Error::data(format!("there is no photograph in this folder{others}"))
                    .at(path)
                    .hint(format!("photographs end in {}", IMAGE_EXTENSIONS.map(|(name, _)| name).join(", "))));
            }
            inputs.extend(found);
        } else if path.exists() {
            inputs.push(Input::File(path.to_path_buf()));
        } else if let Some(pattern) = pattern_in(path) {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let (found, _) = files_in(folder, matcher(pattern).map_err(|e| e.at(path))?)?;
            if found.is_empty() {
                return Err(Error::data("no file fits this pattern")
                    .at(path)
                    .hint("* and ? stand for parts of a file's name"));
            }
            inputs.extend(found.into_iter().map(Input::File));
        } else {
            return Err(Error::new(fcn_core::ErrorKind::Io, "there is no such file or folder").at(path));
        }
    }
    Ok((inputs, left_out))
}

/// The photographs in `folder`, and with `recursive` in the folders below it; what else is there is counted.
fn photographs_below(folder: &Path, recursive: bool, left_out: &mut LeftOut) -> Result<Vec<Input>> {
    let (mut inputs, mut folders) = (Vec::new(), vec![(PathBuf::new(), 0)]);
    while let Some((below, deep)) = folders.pop() {
        let (files, inner) = files_in(&folder.join(&below), |name| {
            let extension = Path::new(name).extension().and_then(OsStr::to_str);
            let is_photograph = extension.and_then(Format::of_extension).is_some(); // named itself, it may have any
            if !is_photograph {
                left_out.add(name);
            }
            is_photograph
        })?;
        let at_root = deep == 0;
        inputs.extend(files.into_iter().map(|path| match at_root {
            true => Input::File(path),
            false => Input::Below { path, folder: below.clone() },
        }));
        match recursive && deep < MOST_FOLDERS_DEEP {
            true => folders.extend(inner.into_iter().rev().map(|name| (below.join(name), deep + 1))),
            false => left_out.folders += inner.len(),
        }
    }
    Ok(inputs)
}

/// Refuses, before any work, results of one name, and results that would take the place of a photograph; `ends` are how
/// the names of results end.
pub fn refuse_collisions(inputs: &[Input], out: &Path, ends: &[&str]) -> Result<()> {
    let mut by_name: BTreeMap<OsString, &Input> = BTreeMap::new();
    for input in inputs {
        for end in ends {
            if let Some(other) = by_name.insert(input.output_name(end), input) {
                let name = input.output_name(end).to_string_lossy().into_owned();
                return Err(Error::usage(format!("{} and {} would both become {name}", other.name(), input.name()))
                    .hint("predict them into different folders, or rename one"));
            }
        }
    }
    let Ok(out) = out.canonicalize() else { return Ok(()) }; // a new folder holds no photograph
    for input in inputs.iter().filter(|input| **input != Input::Stdin) {
        let path = input.path();
        let whole = path.canonicalize().unwrap_or_default();
        let name = whole.strip_prefix(&out).ok().map(Path::as_os_str);
        if let Some(other) = name.and_then(|name| by_name.get(name)) {
            return Err(Error::usage(format!(
                "the result of {} would take the place of {}",
                other.name(),
                path.display()
            ))
            .hint("choose another folder with --out"));
        }
    }
    Ok(())
}

/// The wanted files of a folder, and the names of the folders in it, both sorted; hidden folders are passed over.
fn files_in(folder: &Path, mut wanted: impl FnMut(&OsStr) -> bool) -> Result<(Vec<PathBuf>, Vec<OsString>)> {
    let fault = |e: std::io::Error| Error::io("list the folder", folder, &e);
    let (mut paths, mut folders) = (Vec::new(), Vec::new());
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let Some(name) = path.file_name().filter(|name| !is_left_by_system(name)) else { continue };
        match path.is_dir() {
            true if name.as_encoded_bytes().starts_with(b".") => {}
            true => folders.push(name.to_os_string()),
            false if wanted(name) => paths.push(path),
            false => {}
        }
    }
    paths.sort();
    folders.sort();
    Ok((paths, folders))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|f| std::fs::write(folder.path().join(f), b"x").unwrap());
        folder
    }

    #[test]
    fn folders_patterns_files_and_stdin_are_taken_in_order() {
        let folder =
            folder_with(&["b.JPG", "a.png", "notes.txt", "c.webp", "._a.png", "d.jfif", "e.mp4", "f.MP4", "g"]);
        let at = |name: &str| folder.path().join(name);
        let arguments = ["-".into(), folder.path().into(), at("*.txt").into(), at("a.png").into()];
        let (inputs, left_out) = collect(&arguments, false).unwrap();
        let names: Vec<String> = inputs.iter().map(Input::name).collect();
        let expected: Vec<String> = std::iter::once("stdin".to_string())
            .chain(["a.png", "b.JPG", "c.webp", "d.jfif", "notes.txt", "a.png"].map(|n| at(n).display().to_string()))
            .collect();
        assert_eq!(names, expected);
        let line = left_out.line().unwrap();
        assert_eq!(line, "note: 4 files were left out, by ending: .mp4: 2, .txt: 1, no ending: 1");
    }

    #[test]
    fn what_names_nothing_is_refused() {
        let (empty, full) = (folder_with(&["x.txt"]), folder_with(&["a.png"]));
        let cases: [OsString; 3] =
            [empty.path().into(), full.path().join("*.jpg").into(), full.path().join("z.png").into()];
        for argument in cases {
            assert!(collect(std::slice::from_ref(&argument), false).is_err(), "{argument:?}");
        }
    }

    #[test]
    fn results_never_meet_and_never_replace_a_photograph() {
        let (masks, label_files): (&[&str], &[&str]) = (&[".png", "_overlay.jpg", ".npy"], &["_overlay.jpg", ".npy"]);
        let (one, two, out) =
            (folder_with(&["a.jpg", "a.png"]), folder_with(&["a.jpg", "b.jpg", "a_overlay.jpg"]), folder_with(&[]));
        let file = |folder: &tempfile::TempDir, name: &str| Input::File(folder.path().join(name));
        let cases = [
            ("a.jpg and a.png", vec![file(&one, "a.jpg"), file(&one, "a.png")], &out, false),
            ("the same name in two folders", vec![file(&one, "a.jpg"), file(&two, "a.jpg")], &out, false),
            ("a PNG into its own folder", vec![file(&one, "a.png")], &one, false),
            ("an overlay on an input", vec![file(&two, "a.jpg"), file(&two, "a_overlay.jpg")], &two, false),
            ("a JPEG into its own folder", vec![file(&two, "a.jpg"), file(&two, "b.jpg")], &two, true),
            ("a PNG elsewhere", vec![file(&one, "a.png"), file(&two, "b.jpg")], &out, true),
        ];
        let png = [file(&one, "a.png")];
        assert!(refuse_collisions(&png, one.path(), label_files).is_ok(), "no mask takes the place of the photograph");
        for (what, inputs, out, fine) in cases {
            assert_eq!(refuse_collisions(&inputs, out.path(), masks).is_ok(), fine, "{what}");
        }
    }

    #[test]
    fn sub_folders_are_entered_or_counted_and_keep_their_names() {
        let folder = folder_with(&["a.png"]);
        std::fs::create_dir_all(folder.path().join("sub/deeper")).unwrap();
        std::fs::create_dir(folder.path().join(".hidden")).unwrap();
        for name in ["sub/a.jpg", "sub/deeper/b.jpg", "sub/notes.txt", ".hidden/c.jpg"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        let argument = [folder.path().as_os_str().to_os_string()];
        let (flat, left_out) = collect(&argument, false).unwrap();
        assert_eq!((flat.len(), left_out.folders), (1, 1));
        assert!(left_out.line().unwrap().contains("1 sub-folder was left out; --recursive"), "{left_out:?}");
        let (all, left_out) = collect(&argument, true).unwrap();
        let names: Vec<OsString> = all.iter().map(|input| input.output_name(".png")).collect();
        assert_eq!(names, ["a.png", "sub/a.png", "sub/deeper/b.png"]);
        assert_eq!(left_out.line().unwrap(), "note: 1 file was left out, by ending: .txt: 1");
        assert!(refuse_collisions(&all, folder.path(), &[".png"]).is_err(), "a.png would be replaced");
        assert!(refuse_collisions(&all, &folder.path().join("out"), &[".png"]).is_ok());
    }

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_unicode_survive() {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let name = OsString::from_vec(b"caf\xe9.jpg".to_vec());
        assert_eq!(Input::File(name.into()).output_name(".png").as_bytes(), b"caf\xe9.png");
    }
}
