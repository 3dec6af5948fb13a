//! What a list of samples holds: the samples with their places on disk, and what is wrong with the list.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::names::name_of;
use crate::error::{Error, Result};
use crate::files::parquet::Table;
use crate::files::tree::Tree;
use crate::image::shapes::Drawing;
use crate::labels::Classes;

/// Something wrong with a list or a shard, found without reading an image.
#[derive(Clone, Debug)]
pub struct Fault {
    /// A stable name of the kind of fault: `missing_image`, `missing_mask`, `duplicate_id`, `unsafe_id`, ...
    pub code: &'static str,
    /// The sample concerned, if it is one.
    pub id: Option<String>,
    /// One sentence: the thing and what is wrong with it.
    pub message: String,
    /// The remedy.
    pub hint: String,
    /// The error of a file that could not be read, with its path and kind.
    pub cause: Option<Error>,
}

/// The error of a split that is used although its list is faulty: all faults counted, the first ones named. `None`
/// where nothing is wrong.
pub(super) fn refuse_faults(split: &str, faults: &[Fault]) -> Result<()> {
    let [first, ..] = faults else { return Ok(()) };
    if let ([_], Some(cause)) = (faults, &first.cause) {
        return Err(cause.clone());
    }
    let listed = faults.iter().take(10).map(|f| f.message.as_str()).collect::<Vec<_>>().join("; ");
    let more = faults.len().saturating_sub(10);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let n = faults.len();
    Err(Error::data(format!("split `{split}` has {n} problems: {listed}{more}")).hint(first.hint.clone()))
}

/// One sample of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub id: String,
    pub source: Source,
}

/// Where a sample's image and mask are.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// Two files; the sentence says what is missing instead.
    Files { image: std::result::Result<PathBuf, String>, mask: std::result::Result<PathBuf, String> },
    /// One record.
    Record(Place),
    /// A row of a Parquet file.
    Row(Row),
    /// A photograph, and the shapes in a file of labels; the sentence says what is missing or wrong instead.
    Shapes {
        image: std::result::Result<Photograph, String>,
        drawing: std::result::Result<Arc<Drawing>, String>,
        labels: Arc<Path>,
    },
}

/// Where the photograph of a sample with shapes lies.
#[derive(Clone, Debug)]
pub(crate) enum Photograph {
    /// In a file of its own.
    File(PathBuf),
    /// Within the sample's labelme file.
    InLabelme(PathBuf),
}

impl Photograph {
    /// The file.
    pub fn path(&self) -> &PathBuf {
        match self {
            Photograph::File(path) | Photograph::InLabelme(path) => path,
        }
    }
}

/// A named list with what is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    pub name: String,
    pub entries: Vec<Entry>,
    pub faults: Vec<Fault>,
    /// What lies beside the samples of this list and is none.
    pub left_out: LeftOut,
}

/// Files in the folders of photographs and masks that are neither by their names, counted by kind.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut {
    by_kind: BTreeMap<String, usize>,
    first: Option<PathBuf>,
}

/// What systems leave beside files, which nobody misses.
const NOT_MISSED: [&str; 2] = ["thumbs.db", "desktop.ini"];

impl LeftOut {
    /// Counts a photograph that nothing is said about.
    pub fn add_unlabelled(&mut self, path: &Path) {
        self.count("photographs without labels".into(), path);
    }

    /// Counts a file. One that is an image lacks the suffix that the names of its half have.
    pub fn add(&mut self, path: &Path, lacks: Option<&str>) {
        let name = name_of(path).to_lowercase();
        if name.starts_with('.') || NOT_MISSED.contains(&name.as_str()) {
            return;
        }
        let kind = match (lacks, name.rsplit_once('.')) {
            (Some(suffix), _) => format!("image not named `NAME{suffix}`"),
            (None, Some((_, extension))) => format!(".{extension}"),
            (None, None) => "without an extension".into(),
        };
        self.count(kind, path);
    }

    fn count(&mut self, kind: String, path: &Path) {
        *self.by_kind.entry(kind).or_default() += 1;
        self.first.get_or_insert_with(|| path.to_path_buf());
    }

    /// Adds what another list left out.
    pub fn merge(&mut self, other: LeftOut) {
        other.by_kind.into_iter().for_each(|(kind, n)| *self.by_kind.entry(kind).or_default() += n);
        self.first = self.first.take().or(other.first);
    }

    /// What was left out; `None` where nothing was.
    pub fn sentence(&self) -> Option<String> {
        let first = self.first.as_ref()?;
        let counted: Vec<String> = self.by_kind.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
        let (total, counted) = (self.by_kind.values().sum::<usize>(), counted.join(", "));
        let files = if total == 1 { "1 file" } else { &format!("{total} files") };
        Some(format!("left out {files} beside the photographs and masks: {counted} ({}, ..)", first.display()))
    }
}

impl Listing {
    /// A list without samples.
    pub fn empty(name: &str) -> Listing {
        Listing { name: name.to_string(), entries: Vec::new(), faults: Vec::new(), left_out: LeftOut::default() }
    }

    /// Two samples of different splits that have an id in common, if there are any.
    fn of_one_id(listings: &[Listing]) -> Option<[&Entry; 2]> {
        let mut known: HashMap<&str, &Entry> = HashMap::new();
        listings.iter().find_map(|listing| {
            let common = listing.entries.iter().find_map(|entry| Some([*known.get(entry.id.as_str())?, entry]));
            known.extend(listing.entries.iter().map(|entry| (entry.id.as_str(), entry)));
            common
        })
    }

    /// Where two splits have an id in common, puts the split before every id: `train/a`.
    pub fn tell_splits_apart(listings: &mut [Listing]) {
        if Self::of_one_id(listings).is_none() {
            return;
        }
        for listing in listings {
            let ids = listing.entries.iter_mut().map(|e| &mut e.id);
            for id in ids.chain(listing.faults.iter_mut().filter_map(|fault| fault.id.as_mut())) {
                *id = format!("{}/{id}", listing.name);
            }
        }
    }

    /// [`tell_splits_apart`](Self::tell_splits_apart), unless the photographs of the first id in common are the same one:
    /// then it is in both splits, and that is to be reported.
    pub fn tell_photographs_apart(tree: &Tree, listings: &mut [Listing]) {
        let photographs = Self::of_one_id(listings).map(|pair| pair.map(|entry| entry.source.photograph(tree)));
        if photographs.is_some_and(|[one, other]| one != other) {
            Self::tell_splits_apart(listings);
        }
    }

    /// Gives every sample whose id an earlier one has already an id of its own: results are named by id, and would
    /// overwrite those of the other.
    pub fn make_ids_unique(&mut self) {
        let mut seen: HashSet<String> = HashSet::new();
        for (i, entry) in self.entries.iter_mut().enumerate() {
            if !seen.insert(entry.id.clone()) {
                entry.id = format!("{}#{i}", entry.id);
                seen.insert(entry.id.clone());
            }
        }
    }
}

impl Source {
    pub fn describe(&self) -> String {
        match self {
            Source::Files { image: Ok(path), .. } => path.display().to_string(),
            Source::Files { image: Err(missing), .. } => missing.clone(),
            Source::Record(place) => place.to_string(),
            Source::Row(row) => row.table.describe(row.row),
            Source::Shapes { image: Ok(photograph), .. } => photograph.path().display().to_string(),
            Source::Shapes { image: Err(missing), .. } => missing.clone(),
        }
    }

    /// Whether the image or the mask is known to be missing or unusable from the list alone.
    pub fn lacks_part(&self) -> bool {
        match self {
            Source::Files { image, mask } => image.is_err() || mask.is_err(),
            Source::Shapes { image, drawing, .. } => image.is_err() || drawing.is_err(),
            Source::Record(_) | Source::Row(_) => false,
        }
    }

    /// The bytes of the photograph's file, where it has one or is a cell of a table.
    fn photograph(&self, tree: &Tree) -> Option<Vec<u8>> {
        match self {
            Source::Files { image: Ok(path), .. } | Source::Shapes { image: Ok(Photograph::File(path)), .. } => {
                tree.read("the photograph", path).ok()
            }
            Source::Row(row) => row.image().ok(),
            _ => None,
        }
    }

    /// The mask file, if there is one.
    pub fn mask(&self) -> Option<&PathBuf> {
        match self {
            Source::Files { mask, .. } => mask.as_ref().ok(),
            Source::Record(_) | Source::Row(_) | Source::Shapes { .. } => None,
        }
    }

    /// Feeds the hasher what distinguishes this source from an edited one; see `Split::fingerprint`.
    pub fn digest(&self, tree: &Tree, hasher: &mut blake3::Hasher) {
        match self {
            Source::Files { image, mask } => {
                let size = image.as_ref().ok().and_then(|p| tree.size(p)).unwrap_or(0);
                let mask = mask.as_ref().ok().and_then(|p| tree.read("the mask", p).ok()).unwrap_or_default();
                hasher.update(&size.to_le_bytes()).update(blake3::hash(&mask).as_bytes());
            }
            Source::Record(place) => {
                hasher.update(&place.length.to_le_bytes()).update(&place.checksum.to_le_bytes());
            }
            Source::Row(row) => row.table.digest(row.row, hasher),
            Source::Shapes { image, drawing, .. } => {
                let size = match image {
                    Ok(Photograph::File(path)) => tree.size(path).unwrap_or(0),
                    _ => 0,
                };
                hasher.update(&size.to_le_bytes());
                if let Ok(drawing) = drawing {
                    hasher.update(&drawing.digest());
                }
            }
        }
    }
}

/// A row of a table whose first two chosen columns hold image and mask.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub table: Arc<Table>,
    /// Number in its file, from 0.
    pub row: usize,
}

impl Row {
    /// The bytes of the image file.
    pub fn image(&self) -> Result<Vec<u8>> {
        self.table.read(self.row, 0)
    }

    /// The bytes of the mask file.
    pub fn mask(&self) -> Result<Vec<u8>> {
        self.table.read(self.row, 1)
    }
}

/// Where a record lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub shard: Arc<Path>,
    /// Number in its shard, from 0.
    pub record: u64,
    /// Byte offset of its length field.
    pub offset: u64,
    /// Bytes of its data.
    pub length: u64,
    /// The stored checksum of its data.
    pub checksum: u32,
}

/// `FILE, record 3 at byte 4711`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, record {} at byte {}", self.shard.display(), self.record, self.offset)
    }
}

impl Place {
    /// `error` with the place of this record and the id of its sample.
    pub fn blame(&self, id: &str, mut error: Error) -> Error {
        error.message = format!("record {} at byte {} ({id}): {}", self.record, self.offset, error.message);
        error.at(&self.shard)
    }
}

/// A digest of a split under `classes`; see [`Split::fingerprint`](super::Split::fingerprint).
pub(super) fn fingerprint(tree: &Tree, classes: &Classes, entries: &[Entry]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(classes.to_text().as_bytes());
    for entry in entries {
        hasher.update(&(entry.id.len() as u64).to_le_bytes()).update(entry.id.as_bytes());
        entry.source.digest(tree, &mut hasher);
    }
    hasher.finalize().to_hex().to_string()
}
