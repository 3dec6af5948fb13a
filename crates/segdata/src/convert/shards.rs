//! The output folder: temporary names, fsync, rename, index last.
//!
//! While a conversion is under way the folder holds the file [`UNFINISHED`], which every reader refuses; it is removed
//! once `dataset.json` is written. A run that was killed leaves the mark behind, and the next conversion starts over.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tfio::{RecordError, RecordWriter};

use super::report::ConvertedSplit;
use crate::dataset::layouts::records::{INDEX_NAME, Index, IndexedFile, IndexedSplit, UNFINISHED, fingerprint_of};
use crate::error::{Error, Result};
use crate::files::write::sync_folder;
use crate::labels::Classes;

/// Ending of shards that are being written.
const PARTIAL: &str = ".partial";

/// The folder that is being written. Dropped before [`Folder::finish`], it removes what it wrote.
pub(super) struct Folder {
    path: PathBuf,
    /// Finished shards under their partial names, with the ids in each.
    shards: Vec<(IndexedFile, Vec<String>)>,
    finished: bool,
}

impl Folder {
    /// Creates the folder, or takes over an existing one.
    pub fn begin(path: &Path, overwrite: bool) -> Result<Folder> {
        std::fs::create_dir_all(path).map_err(|e| Error::io("create the folder", path, &e))?;
        if let Some(other) = ["images", "JPEGImages", "classes.txt"].iter().find(|name| path.join(name).exists()) {
            return Err(Error::usage(format!("the folder holds `{other}`, so it is another data set already"))
                .at(path)
                .hint("give a folder of its own with `out`"));
        }
        let mark = path.join(UNFINISHED);
        let held = record_files(path)?;
        if !held.is_empty() && !overwrite && !mark.exists() {
            return Err(Error::usage(format!("the folder holds {} record files already", held.len()))
                .at(path)
                .hint("give another `out`, or `force` to replace them"));
        }
        std::fs::write(&mark, b"a conversion is under way, or was cut off\n")
            .map_err(|e| Error::io("write into the folder", &mark, &e))?;
        let folder = Folder { path: path.to_path_buf(), shards: Vec::new(), finished: false };
        for file in record_files(path)?.iter().filter(|f| f.to_string_lossy().ends_with(PARTIAL)) {
            std::fs::remove_file(file).map_err(|e| Error::io("remove an unfinished shard", file, &e))?;
        }
        Ok(folder)
    }

    /// Renames the shards and writes `dataset.json`; returns the fingerprint.
    pub fn finish(mut self, classes: &Classes, splits: &[ConvertedSplit]) -> Result<String> {
        for old in record_files(&self.path)?.iter().filter(|f| !f.to_string_lossy().ends_with(PARTIAL)) {
            std::fs::remove_file(old).map_err(|e| Error::io("remove the earlier conversion", old, &e))?;
        }
        for (file, _) in &self.shards {
            let (from, to) = (self.path.join(format!("{}{PARTIAL}", file.name)), self.path.join(&file.name));
            std::fs::rename(&from, &to).map_err(|e| Error::io("rename a shard", &from, &e))?;
        }
        let index = self.index(classes, splits)?;
        let text = serde_json::to_string_pretty(&index)
            .map_err(|e| Error::internal(format!("cannot write {INDEX_NAME}: {e}")))?;
        let (partial, path) = (self.path.join(format!("{INDEX_NAME}{PARTIAL}")), self.path.join(INDEX_NAME));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&partial)?;
            file.write_all(text.as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()?;
            std::fs::rename(&partial, &path)?;
            std::fs::remove_file(self.path.join(UNFINISHED))
        };
        write().map_err(|e| Error::io("write the record index", &path, &e))?;
        sync_folder(&self.path)?;
        self.finished = true;
        Ok(index.fingerprint)
    }

    fn index(&self, classes: &Classes, splits: &[ConvertedSplit]) -> Result<Index> {
        let mut rest = self.shards.iter();
        let mut indexed = Vec::new();
        for split in splits {
            let shards: Vec<_> = rest.by_ref().take(split.files.len()).collect();
            let mut entry = IndexedSplit {
                name: split.name.clone(),
                records: split.written,
                images_by_class: split.images_by_class.clone(),
                pixels_by_class: split.pixels_by_class.clone(),
                void_pixels: split.void_pixels,
                fingerprint: String::new(),
                files: shards.iter().map(|(file, _)| file.clone()).collect(),
                ids: shards.iter().flat_map(|(_, ids)| ids.clone()).collect(),
                skipped: split.skipped.clone(),
            };
            entry.fingerprint = fingerprint_of(&self.path, &entry, classes)?;
            indexed.push(entry);
        }
        let mut hasher = blake3::Hasher::new();
        indexed.iter().for_each(|s| {
            hasher.update(s.name.as_bytes()).update(s.fingerprint.as_bytes());
        });
        Ok(Index {
            format: Index::FORMAT.into(),
            version: Index::VERSION,
            classes: classes.clone(),
            fingerprint: hasher.finalize().to_hex().to_string(),
            splits: indexed,
        })
    }
}

/// A conversion that did not end leaves nothing but what was there before.
impl Drop for Folder {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        let partial = |f: &PathBuf| f.to_string_lossy().ends_with(PARTIAL);
        let files = record_files(&self.path).unwrap_or_default();
        files.iter().filter(|f| partial(f)).for_each(|f| {
            let _ = std::fs::remove_file(f);
        });
        // Shards that carry their final names already belong to no index: the mark stays, so that nobody reads them.
        let renamed = self.shards.iter().any(|(file, _)| self.path.join(&file.name).exists());
        let indexed = self.path.join(INDEX_NAME).exists();
        if indexed || !renamed {
            let _ = std::fs::remove_file(self.path.join(UNFINISHED));
        }
    }
}

/// Shards, partial shards and the index in a folder.
fn record_files(path: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::io("list the folder", path, &e))?.filter_map(|e| e.ok()) {
        let name = entry.file_name().to_string_lossy().into_owned();
        let name = name.strip_suffix(PARTIAL).unwrap_or(&name);
        if name == INDEX_NAME || name.ends_with(".tfrecord") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

/// One shard under its partial name.
pub(super) struct ShardWriter {
    name: String,
    path: PathBuf,
    writer: RecordWriter<BufWriter<File>>,
    ids: Vec<String>,
}

impl ShardWriter {
    /// Starts shard `number` of `count`.
    pub fn create(folder: &Folder, split: &str, number: usize, count: usize) -> Result<Self> {
        let name = format!("{split}-{number:05}-of-{count:05}.tfrecord");
        let path = folder.path.join(format!("{name}{PARTIAL}"));
        let file = File::create(&path).map_err(|e| Error::io("create a shard", &path, &e))?;
        let writer = RecordWriter::new(BufWriter::with_capacity(1 << 20, file));
        Ok(ShardWriter { name, path, writer, ids: Vec::new() })
    }

    /// Appends a record.
    pub fn write(&mut self, id: String, bytes: &[u8]) -> Result<()> {
        self.writer.write(bytes).map_err(|e| refused(&self.path, e))?;
        self.ids.push(id);
        Ok(())
    }

    /// Makes the shard durable; returns the path it will have.
    pub fn close(mut self, folder: &mut Folder) -> Result<PathBuf> {
        self.writer.flush().map_err(|e| refused(&self.path, e))?;
        let (records, bytes) = (self.ids.len(), self.writer.offset());
        let file = self.writer.into_inner();
        file.get_ref().sync_all().map_err(|e| Error::io("write the shard", &self.path, &e))?;
        let path = folder.path.join(&self.name);
        folder.shards.push((IndexedFile { name: self.name, records, bytes }, self.ids));
        Ok(path)
    }
}

fn refused(path: &Path, error: RecordError) -> Error {
    match error {
        RecordError::Write { source, .. } => Error::io("write the shard", path, &source)
            .hint("free space on the disk or choose another `out`; nothing half-written is left"),
        other => Error::data(other.to_string()).at(path),
    }
}
