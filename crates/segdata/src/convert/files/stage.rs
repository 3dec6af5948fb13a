//! The folder in which a data set is written, and its way to its place.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::files::read::read;
use crate::files::write::{sync_folder, write_bytes_atomically};

/// The file that says what a conversion has written into a folder.
const NOTE: &str = "conversion.json";

/// What the note holds.
#[derive(serde::Serialize, serde::Deserialize)]
struct Note {
    /// Always [`Note::FORMAT`].
    format: String,
    /// The layout that was written.
    layout: String,
    fingerprint: String,
    /// How many files there are, without the note.
    files: usize,
    /// BLAKE3 of their paths.
    paths: String,
}

impl Note {
    const FORMAT: &str = "fcn-conversion";
}

/// A hidden folder beside the place of a data set. Dropped before [`Stage::publish`], it is removed.
pub(super) struct Stage {
    /// The folder that is being written.
    pub folder: PathBuf,
    /// Where it will lie.
    pub place: PathBuf,
    published: bool,
}

impl Stage {
    /// Makes the folder for a data set that will lie at `place`: where nothing is, in an empty folder, or with `replace` where
    /// an earlier conversion lies, as it was written. What a conversion that was cut off has left is removed.
    ///
    /// # Errors
    /// A place that holds something else; what the system refuses.
    pub fn begin(place: &Path, replace: bool) -> Result<Self> {
        let place = match place.canonicalize() {
            Ok(there) => there,
            Err(_) => std::path::absolute(place).map_err(|e| Error::io("find", place, &e))?,
        };
        let (Some(parent), Some(name)) = (place.parent(), place.file_name()) else {
            return Err(Error::usage("this is no name of a folder").at(&place));
        };
        refuse_what_others_wrote(&place, replace)?;
        std::fs::create_dir_all(parent).map_err(|e| Error::io("create the folder", parent, &e))?;
        let folder = hidden(parent, name, "converting");
        remove(&folder)?;
        std::fs::create_dir(&folder).map_err(|e| Error::io("create the folder", &folder, &e))?;
        Ok(Stage { folder, place, published: false })
    }

    /// Makes everything durable and moves the folder to its place; what was converted there before goes.
    ///
    /// # Errors
    /// A place in which something has appeared in the meantime; what the system refuses.
    pub fn publish(mut self, layout: &str, fingerprint: &str, replace: bool) -> Result<()> {
        let (files, folders) = below(&self.folder)?;
        files.par_iter().try_for_each(|file| {
            let path = self.folder.join(file);
            let synced = std::fs::File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|e| Error::io("make durable", &path, &e))
        })?;
        folders.iter().try_for_each(|folder| sync_folder(&self.folder.join(folder)))?;
        let note = Note {
            format: Note::FORMAT.into(),
            layout: layout.into(),
            fingerprint: fingerprint.into(),
            files: files.len(),
            paths: digest(&files),
        };
        let text =
            serde_json::to_string_pretty(&note).map_err(|e| Error::internal(format!("no JSON of a note: {e}")))?;
        write_bytes_atomically(&self.folder.join(NOTE), format!("{text}\n").as_bytes())?;
        refuse_what_others_wrote(&self.place, replace)?;
        let (Some(parent), Some(name)) = (self.place.parent(), self.place.file_name()) else {
            return Err(Error::internal("the place of a data set has no name"));
        };
        let old = hidden(parent, name, "replaced");
        remove(&old)?;
        let renamed = |from: &Path, to: &Path| {
            std::fs::rename(from, to).map_err(|e| Error::io("rename a folder to this", to, &e))
        };
        let there = self.place.exists();
        if there {
            renamed(&self.place, &old)?;
        }
        if let Err(e) = renamed(&self.folder, &self.place) {
            // Best effort: the first error is the one to report.
            let _ = there.then(|| std::fs::rename(&old, &self.place));
            return Err(e);
        }
        self.published = true;
        remove(&old)?;
        sync_folder(parent)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if !self.published {
            // Best effort: the error that ended the conversion is the one to report.
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// `.NAME.WORD` in `parent`.
fn hidden(parent: &Path, name: &std::ffi::OsStr, word: &str) -> PathBuf {
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{word}"));
    parent.join(hidden)
}

/// Removes a folder that conversions alone write, if it is there.
fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove the folder", folder, &e)),
        _ => Ok(()),
    }
}

/// Refuses a place that holds anything but an earlier conversion, and one that does unless it is to be replaced.
fn refuse_what_others_wrote(place: &Path, replace: bool) -> Result<()> {
    if !place.exists() {
        return Ok(());
    }
    if !place.is_dir() {
        return Err(Error::usage("this is a file, expected a folder").at(place).hint("give another `out`"));
    }
    let (files, folders) = below(place)?;
    let Some(first) = files.iter().chain(&folders).min() else { return Ok(()) };
    let note_path = place.join(NOTE);
    let note = match files.iter().any(|file| file == NOTE) {
        true => serde_json::from_slice::<Note>(&read("the note of a conversion", &note_path)?).ok(),
        false => None,
    };
    let Some(note) = note.filter(|note| note.format == Note::FORMAT) else {
        return Err(Error::usage(format!("the folder holds `{first}`, which no conversion wrote"))
            .at(place)
            .hint("give a folder of its own with `out`"));
    };
    if !replace {
        return Err(Error::usage(format!("the folder holds a conversion to layout `{}` already", note.layout))
            .at(place)
            .hint("give another `out`, or `force` to replace it"));
    }
    let written: Vec<String> = files.into_iter().filter(|file| file != NOTE).collect();
    if (written.len(), digest(&written)) != (note.files, note.paths) {
        return Err(Error::usage(format!(
            "files were added to or taken from the conversion that the folder holds: it has {}, the conversion wrote {}",
            written.len(),
            note.files
        ))
        .at(place)
        .hint("give another `out`, or remove the folder if nothing in it is needed"));
    }
    Ok(())
}

/// Paths of the files and of the folders below `root`, sorted.
fn below(root: &Path) -> Result<(Vec<String>, Vec<String>)> {
    let (mut files, mut folders, mut waiting) = (Vec::new(), Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = waiting.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(|e| Error::io("list the folder", &path, &e))? {
            let entry = entry.map_err(|e| Error::io("list the folder", &path, &e))?;
            let name = folder.join(entry.file_name());
            let kind = entry.file_type().map_err(|e| Error::io("look at", &root.join(&name), &e))?;
            let text = name.to_string_lossy().replace(std::path::MAIN_SEPARATOR, "/");
            if kind.is_dir() {
                folders.push(text);
                waiting.push(name);
            } else {
                files.push(text);
            }
        }
    }
    files.sort();
    folders.sort();
    Ok((files, folders))
}

fn digest(paths: &[String]) -> String {
    let mut hasher = blake3::Hasher::new();
    for path in paths {
        hasher.update(path.as_bytes()).update(b"\n");
    }
    hasher.finalize().to_hex().to_string()
}
