//! Which photographs were meant: files, folders, patterns and stdin, each with the name of its results.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::path::{Path, PathBuf};

use fcn_core::{Error, Result};
use segdata::files::glob::{matcher, pattern_in};
use segdata::files::is_left_by_system;
use segdata::image::{Format, IMAGE_EXTENSIONS};

/// Bytes that stdin may bring.
const MAX_STDIN_BYTES: u64 = 1 << 30;

/// One photograph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// Where the photograph lies; its name where it is no file.
    pub fn path(&self) -> &Path {
        match self {
            Input::File(path) => path,
            Input::Stdin => Path::new("stdin"),
        }
    }

    /// For people and logs.
    pub fn name(&self) -> String {
        match self {
            Input::File(path) => path.display().to_string(),
            Input::Stdin => "stdin".into(),
        }
    }

    /// The bytes of the file.
    pub fn read(&self) -> Result<Vec<u8>> {
        match self {
            Input::File(path) => segdata::files::read::read("the photograph", path),
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

    /// Name of a result: the photograph's without its extension, and `end`. Any bytes that the system allows survive.
    pub fn output_name(&self, end: &str) -> OsString {
        let mut name = match self {
            Input::File(path) => path.file_stem().unwrap_or(OsStr::new("photograph")).to_os_string(),
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
}

impl LeftOut {
    fn add(&mut self, name: &OsStr) {
        let ending = Path::new(name).extension().map(|e| format!(".{}", e.to_string_lossy().to_lowercase()));
        *self.by_ending.entry(ending.unwrap_or_else(|| "no ending".into())).or_default() += 1;
    }

    /// What was left out, in a line; `None` where nothing was.
    pub fn line(&self) -> Option<String> {
        let listed: Vec<String> = self.by_ending.iter().map(|(ending, count)| format!("{ending}: {count}")).collect();
        let count: usize = self.by_ending.values().sum();
        let files = if count == 1 { "1 file was" } else { &format!("{count} files were") };
        (count > 0).then(|| format!("note: {files} left out, by ending: {}", listed.join(", ")))
    }
}

/// The photographs that `arguments` name, in order; those of a folder or pattern by name. What else is in a folder is
/// counted, but for `._NAME`, in which macOS keeps what other systems have no place for.
///
/// # Errors
/// An argument that names nothing; a folder or pattern without a photograph.
pub fn collect(arguments: &[OsString]) -> Result<(Vec<Input>, LeftOut)> {
    let (mut inputs, mut left_out) = (Vec::new(), LeftOut::default());
    for argument in arguments {
        let path = Path::new(argument);
        if argument == "-" {
            inputs.push(Input::Stdin);
        } else if path.is_dir() {
            let found = files_in(path, |name| {
                let extension = Path::new(name).extension().and_then(OsStr::to_str);
                let is_photograph = extension.and_then(Format::of_extension).is_some(); // named itself, it may have any
                if !is_photograph {
                    left_out.add(name);
                }
                is_photograph
            })?;
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
            let found = files_in(folder, matcher(pattern).map_err(|e| e.at(path))?)?;
            if found.is_empty() {
                return Err(Error::data("no file fits this pattern")
                    .at(path)
                    .hint("* and ? stand for parts of a file's name"));
            }
            inputs.extend(found);
        } else {
            return Err(Error::new(fcn_core::ErrorKind::Io, "there is no such file or folder").at(path));
        }
    }
    Ok((inputs, left_out))
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
    let same_folder = |path: &Path| {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        matches!((parent.canonicalize(), out.canonicalize()), (Ok(a), Ok(b)) if a == b)
    };
    for input in inputs {
        let Input::File(path) = input else { continue };
        let overwritten = path.file_name().and_then(|name| by_name.get(name)).filter(|_| same_folder(path));
        if let Some(other) = overwritten {
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

fn files_in(folder: &Path, mut wanted: impl FnMut(&OsStr) -> bool) -> Result<Vec<Input>> {
    let fault = |e: std::io::Error| Error::io("list the folder", folder, &e);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let is_file = |name: &&OsStr| !is_left_by_system(name) && !path.is_dir();
        if path.file_name().filter(is_file).is_some_and(&mut wanted) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths.into_iter().map(Input::File).collect())
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
        let (inputs, left_out) = collect(&arguments).unwrap();
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
            assert!(collect(std::slice::from_ref(&argument)).is_err(), "{argument:?}");
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

    #[cfg(unix)]
    #[test]
    fn names_that_are_not_unicode_survive() {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let name = OsString::from_vec(b"caf\xe9.jpg".to_vec());
        assert_eq!(Input::File(name.into()).output_name(".png").as_bytes(), b"caf\xe9.png");
    }
}
