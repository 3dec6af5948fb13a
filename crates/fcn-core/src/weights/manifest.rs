//! Which file a path to weights means, and whether it is whole: a checkpoint's manifest holds the size and hash of each of
//! its files.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Version of the folder's layout. A reader refuses newer ones.
pub const FORMAT_VERSION: u32 = 1;

/// The weights in the folder of a checkpoint.
pub const WEIGHTS: &str = "weights.safetensors";
/// What was written last into the folder of a checkpoint.
pub const MANIFEST: &str = "MANIFEST.json";

/// What a checkpoint consists of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// See [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Version of the program that wrote it.
    pub program_version: String,
    /// Updates done.
    pub step: u64,
    /// BLAKE3 of the run's `config.toml`. For people: nothing compares it, but the manifest's own hash covers it.
    pub config_hash: String,
    /// BLAKE3 of the class list as JSON. As `config_hash`, for people.
    pub classes_hash: String,
    /// Size and BLAKE3 of each file.
    pub files: BTreeMap<String, FileEntry>,
    /// BLAKE3 of this manifest as JSON with an empty string here.
    pub blake3: String,
}

impl Manifest {
    /// The hash that belongs into `blake3`.
    pub fn own_hash(&self) -> Result<String> {
        Ok(hash(&to_json(&Manifest { blake3: String::new(), ..self.clone() })?))
    }
}

/// Size and hash of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Size in bytes.
    pub bytes: u64,
    /// BLAKE3, hexadecimal.
    pub blake3: String,
}

/// The weights file that a path to weights means: a file itself, a checkpoint's, or a run's best (its last where it has none
/// yet, its newest checkpoint where links to neither came with it). Where a manifest lies beside it, the file has been verified against that.
///
/// # Errors
/// A folder without weights; a manifest that is damaged or does not fit the weights beside it.
pub fn weights_file(path: &Path) -> Result<PathBuf> {
    let file = find_weights(path).ok_or_else(|| {
        Error::weights("there are no weights in this folder")
            .at(path)
            .hint("expected a run that has saved a checkpoint, or a checkpoint; `info` says what is there")
    })?;
    let folder = file.parent().unwrap_or(Path::new(""));
    if file.file_name().is_some_and(|name| name == WEIGHTS) && folder.join(MANIFEST).is_file() {
        verify_file(folder, &read_manifest(folder)?, WEIGHTS)
            .map_err(|e| e.hint("use another checkpoint of the run; `info` on the run says which are whole"))?;
    }
    Ok(file)
}

/// The file that [`weights_file`] verifies; `None` for a folder without weights.
pub fn find_weights(path: &Path) -> Option<PathBuf> {
    let path = &linked(path);
    let linked = ["best", "last"].map(|name| linked(&path.join(name)));
    let folders = std::iter::once(path.to_path_buf()).chain(linked).chain(newest_first(path));
    match path.is_dir() {
        true => folders.map(|folder| folder.join(WEIGHTS)).find(|file| file.is_file()),
        false => Some(path.to_path_buf()),
    }
}

/// The checkpoints of a run, for one that was copied without its links.
fn newest_first(run: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(run.join("checkpoints")).into_iter().flatten().flatten();
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("step-")));
    folders.sort();
    folders.reverse();
    folders
}

/// The checkpoint that `best` or `last` of a run means: the link itself, or, where a system without links wrote it,
/// the path relative to the run that is in the file. A file that names anything else is taken for the checkpoint, and
/// has no weights in it.
fn linked(link: &Path) -> PathBuf {
    const LONGEST_BYTES: u64 = 64;
    let is_text = fs::symlink_metadata(link).is_ok_and(|found| found.is_file() && found.len() <= LONGEST_BYTES);
    let text = if is_text { fs::read_to_string(link).unwrap_or_default() } else { String::new() };
    let step = text.trim().strip_prefix("checkpoints").and_then(|rest| rest.strip_prefix(['/', '\\']));
    match (link.parent(), step) {
        (Some(run), Some(step)) if step.starts_with("step-") && !step.contains(['/', '\\', '.']) => {
            run.join("checkpoints").join(step)
        }
        _ => link.to_path_buf(),
    }
}

/// The manifest in the folder of a checkpoint, if it is whole and of a known format.
///
/// # Errors
/// A manifest that cannot be read, is damaged, or is of a newer format.
pub fn read_manifest(path: &Path) -> Result<Manifest> {
    let manifest: Manifest = read_json(&path.join(MANIFEST))?;
    if manifest.format_version > FORMAT_VERSION {
        let found = manifest.format_version;
        return Err(Error::weights(format!("checkpoint format {found} is newer than this program's {FORMAT_VERSION}"))
            .at(path)
            .hint("use the program version that wrote it, or a newer one"));
    }
    if manifest.own_hash()? != manifest.blake3 {
        return Err(Error::weights(format!("{MANIFEST} is damaged: its own BLAKE3 does not match")).at(path));
    }
    Ok(manifest)
}

/// Checks one file of the checkpoint in `path` against its manifest.
///
/// # Errors
/// A file that is not listed, is missing, or has another size or hash.
pub fn verify_file(path: &Path, manifest: &Manifest, file: &str) -> Result<()> {
    let expected =
        manifest.files.get(file).ok_or_else(|| Error::weights(format!("{MANIFEST} does not list {file}")).at(path))?;
    let found = entry(&path.join(file))?;
    if found.bytes != expected.bytes {
        return Err(Error::weights(format!("{file} has {} bytes, expected {}", found.bytes, expected.bytes)).at(path));
    }
    if found.blake3 != expected.blake3 {
        let (found, expected) = (&found.blake3, &expected.blake3);
        return Err(Error::weights(format!("{file} is damaged: BLAKE3 {found}, expected {expected}")).at(path));
    }
    Ok(())
}

/// BLAKE3, hexadecimal.
pub fn hash(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Size and hash of a file.
///
/// # Errors
/// What the system refuses.
pub fn entry(path: &Path) -> Result<FileEntry> {
    let fault = |e| Error::io("read the checkpoint's file", path, &e);
    let mut hasher = blake3::Hasher::new();
    let mut file = File::open(path).map_err(fault)?;
    let bytes = std::io::copy(&mut file, &mut hasher).map_err(fault)?;
    Ok(FileEntry { bytes, blake3: hasher.finalize().to_hex().to_string() })
}

/// The value as it is written.
///
/// # Errors
/// A value that JSON cannot hold.
pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|e| Error::internal(format!("cannot write JSON: {e}")))
}

/// A value from a file of JSON.
///
/// # Errors
/// A file that cannot be read, or holds something else.
pub fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = fs::read(path).map_err(|e| Error::io("read", path, &e))?;
    serde_json::from_slice(&bytes).map_err(|e| Error::weights(format!("not a valid {}: {e}", file_name(path))).at(path))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
