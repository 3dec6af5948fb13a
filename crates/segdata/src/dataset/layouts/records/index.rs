//! `dataset.json`: classes, splits and ids of the shards beside it.

use std::path::Path;

use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::labels::Classes;

/// The file beside the shards that makes them a whole data set; it is written last.
pub const INDEX_NAME: &str = "dataset.json";

/// The file that is in a folder while a conversion writes it.
pub(crate) const UNFINISHED: &str = "CONVERTING";

/// The content of `dataset.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Index {
    /// Always [`Index::FORMAT`].
    pub format: String,
    /// Always [`Index::VERSION`]; a reader refuses later ones.
    pub version: u32,
    /// Class names and colours.
    pub classes: Classes,
    /// Digest over all splits.
    pub fingerprint: String,
    /// The splits, in the order of their names.
    pub splits: Vec<IndexedSplit>,
}

/// One split in `dataset.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct IndexedSplit {
    /// `train`, `val`, ...
    pub name: String,
    /// Number of records in all its files.
    pub records: usize,
    /// Images in which each class occurs, by id.
    pub images_by_class: Vec<u64>,
    /// Pixels of each class, by id.
    pub pixels_by_class: Vec<u64>,
    /// Pixels without a label.
    pub void_pixels: u64,
    /// [`Split::fingerprint`](crate::dataset::Split::fingerprint) of the split.
    pub fingerprint: String,
    /// The shards, in order.
    pub files: Vec<IndexedFile>,
    /// Ids in the order of the records.
    pub ids: Vec<String>,
    /// Samples of the source that were left out, and why.
    pub skipped: Vec<SkippedSample>,
}

/// One shard in `dataset.json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct IndexedFile {
    /// Name in the folder of `dataset.json`.
    pub name: String,
    /// Number of records.
    pub records: usize,
    /// Size in bytes.
    pub bytes: u64,
}

/// A sample that was not converted.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SkippedSample {
    /// Its id.
    pub id: String,
    /// Why it was left out.
    pub reason: String,
}

impl Index {
    /// Value of `format`.
    pub const FORMAT: &str = "fcn-records";
    /// Value of `version`.
    pub const VERSION: u32 = 1;

    /// Reads the index in `folder`, if there is one.
    ///
    /// # Errors
    /// What the system refuses; an index of another program or version.
    pub fn read(folder: &Path) -> Result<Option<Index>> {
        Index::read_in(&Tree::open(folder)?, folder)
    }

    /// [`read`](Self::read) in a folder of `tree`.
    pub(super) fn read_in(tree: &Tree, folder: &Path) -> Result<Option<Index>> {
        let path = folder.join(INDEX_NAME);
        if !tree.is_file(&path) {
            return Ok(None);
        }
        let bytes = tree.read("the record index", &path)?;
        let remedy = "convert the data set again with this version of `convert`";
        let index: Index = serde_json::from_slice(&bytes)
            .map_err(|e| Error::data(format!("not a record index: {e}")).at(&path).hint(remedy))?;
        if index.format != Self::FORMAT || index.version != Self::VERSION {
            let (format, version) = (&index.format, index.version);
            return Err(Error::data(format!(
                "record index of format `{format}` version {version}, expected `{}` version {}",
                Self::FORMAT,
                Self::VERSION
            ))
            .at(&path)
            .hint(remedy));
        }
        Ok(Some(index))
    }
}
