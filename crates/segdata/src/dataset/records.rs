//! Data sets in TFRecord files: one `tf.train.Example` a sample.
//!
//! | feature | type | content |
//! | --- | --- | --- |
//! | `image/height`, `image/width` | int64 | size of the label array |
//! | `image/filename` | bytes | id, with or without extension |
//! | `image/encoded` | bytes | the image file, untouched |
//! | `image/format` | bytes | `jpeg`, `png`, ... |
//! | `image/label` | bytes | height * width class ids, row-major, one byte each; or a mask file |
//!
//! Only `image/encoded` and `image/label` are required; further features are ignored. `dataset.json` beside the shards
//! gives classes, splits and ids; without it splits come from the file names, ids from the records, and the classes
//! are VOC's.

use std::fmt;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use tfio::{Example, RecordReader};

use super::listing::{Entry, Fault, Listing, Source, stem_of_image_name};
use super::{Dataset, Form, Layout, Pair, mask_of_ids};
use crate::error::{Error, ErrorKind, Result};
use crate::files::read as file;
use crate::image::{self, RawMask};
use crate::labels::{Classes, MaskCoding};

/// The file beside the shards that makes them a whole data set; it is written last.
pub const INDEX_NAME: &str = "dataset.json";

/// The file that stands in a folder while a conversion writes it.
pub(crate) const UNFINISHED: &str = "CONVERTING";

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
    /// Says that `error` is about this record.
    pub fn blame(&self, id: &str, mut error: Error) -> Error {
        error.message = format!("record {} at byte {} ({id}): {}", self.record, self.offset, error.message);
        error.at(&self.shard)
    }
}

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
    /// [`super::Split::fingerprint`] of the split.
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
    pub fn read(folder: &Path) -> Result<Option<Index>> {
        let path = folder.join(INDEX_NAME);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read the record index", &path, &e)),
        };
        let remedy = "convert the data set again with this version of `convert`";
        let index: Index = serde_json::from_str(&text)
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

/// The record files meant by `path`: a folder's, one file, or those that a glob in the last component matches.
/// `None` when `path` means no records.
pub(super) fn files_at(path: &Path) -> Result<Option<Vec<PathBuf>>> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
    if path.is_file() {
        return Ok(Some(vec![path.to_path_buf()]));
    }
    let is_glob = !path.exists() && name.contains(['*', '?']);
    let folder = if is_glob { path.parent().unwrap_or(Path::new("")) } else { path };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    if !folder.is_dir() {
        return Ok(None);
    }
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::io("list the folder", folder, &e))?.filter_map(|e| e.ok())
    {
        let file = entry.file_name().to_string_lossy().into_owned();
        let wanted = if is_glob { glob_matches(name, &file) } else { split_of_file(&file).is_some() };
        if wanted && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    if paths.is_empty() && is_glob {
        return Err(Error::new(ErrorKind::Io, format!("no file matches `{name}`")).at(folder));
    }
    let marked = [INDEX_NAME, UNFINISHED].iter().any(|name| folder.join(name).is_file());
    Ok((!paths.is_empty() || marked).then_some(paths))
}

/// `*` any run of characters, `?` any one.
fn glob_matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        if p < pattern.len() && (pattern[p] == '?' || (pattern[p] == name[n] && pattern[p] != '*')) {
            (p, n) = (p + 1, n + 1);
        } else if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, n));
            p += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1)); // let the last star take one more
            (p, n) = (at + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|&c| c == '*')
}

/// Split and shard number of a record file's name: `train-00000-of-00004.tfrecord`, `val.tfrecord-00001-of-00002`,
/// `fcn_train.record`; `None` when it is not one.
fn split_of_file(name: &str) -> Option<(String, Option<(usize, usize)>)> {
    let extensions = [".tfrecords", ".tfrecord", ".records", ".record"];
    let strip_extension = |name: &str| extensions.iter().find_map(|e| name.strip_suffix(e).map(str::to_string));
    let outer = strip_extension(name);
    let (stem, shard) = strip_shard(outer.as_deref().unwrap_or(name));
    let inner = strip_extension(stem);
    if outer.is_none() && inner.is_none() {
        return None;
    }
    let stem = inner.as_deref().unwrap_or(stem);
    let known = ["train", "val", "test", "trainval"];
    let last = stem.rsplit(['_', '-']).next().unwrap_or(stem);
    Some((if known.contains(&last) { last } else { stem }.to_string(), shard))
}

/// Splits `-00001-of-00004` off.
fn strip_shard(stem: &str) -> (&str, Option<(usize, usize)>) {
    let parsed = stem.rsplit_once("-of-").and_then(|(front, count)| {
        let (base, number) = front.rsplit_once('-')?;
        Some((base, (number.parse().ok()?, count.parse().ok()?)))
    });
    parsed.map_or((stem, None), |(base, shard)| (base, Some(shard)))
}

/// Opens the record files `paths` found at `path`.
pub(super) fn find(path: &Path, paths: Vec<PathBuf>) -> Result<Layout> {
    let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new(".")) };
    if folder.join(UNFINISHED).exists() {
        return Err(Error::data("the folder holds an unfinished conversion").at(folder).hint("run `convert` again"));
    }
    let index = if path.is_dir() { Index::read(folder)? } else { None };
    let classes = Index::read(folder).ok().flatten().map_or(Classes::voc(), |i| i.classes);
    let listings = match index {
        Some(index) => index.splits.iter().map(|s| indexed_listing(folder, s)).collect(),
        None => named_listings(paths),
    };
    if listings.iter().all(|listing| listing.entries.is_empty())
        && let Some(cause) = listings.iter().flat_map(|listing| &listing.faults).find_map(|fault| fault.cause.clone())
    {
        return Err(cause); // not one whole record: probably no record file at all
    }
    let coding = Some(MaskCoding::from(&classes));
    Ok(Layout { form: Form::Records, root: folder.to_path_buf(), coding, listings })
}

/// The fingerprint of a split whose shards have just been written; see [`super::Split::fingerprint`].
pub(crate) fn fingerprint_of(folder: &Path, split: &IndexedSplit, classes: &Classes) -> Result<String> {
    let listing = indexed_listing(folder, split);
    let layout = Layout { form: Form::Records, root: folder.to_path_buf(), coding: None, listings: vec![listing] };
    let dataset = Dataset::from_layout(layout, MaskCoding::from(classes));
    Ok(dataset.split(&split.name)?.fingerprint())
}

/// A split as `dataset.json` describes it. A file that holds something else is a fault, because then it belongs to
/// another conversion or was cut off.
fn indexed_listing(folder: &Path, split: &IndexedSplit) -> Listing {
    let mut listing = Listing { name: split.name.clone(), entries: Vec::new(), faults: Vec::new() };
    let mut ids = split.ids.iter().cloned();
    for file in &split.files {
        let ids: Vec<String> = ids.by_ref().take(file.records).collect();
        match indexed_places(folder, file, ids.len()) {
            Ok(places) => listing.entries.extend(entries(ids, places)),
            Err(e) => listing.faults.push(damaged_shard(e)),
        }
    }
    if let more @ 1.. = ids.count() {
        listing.faults.push(damaged_shard(
            Error::data(format!("split `{}` has {more} ids without a record", split.name)).at(folder.join(INDEX_NAME)),
        ));
    }
    listing
}

/// The records of a shard, if there are as many as the index and its `ids` say.
fn indexed_places(folder: &Path, file: &IndexedFile, ids: usize) -> Result<Vec<Place>> {
    let path = folder.join(&file.name);
    let bytes = std::fs::metadata(&path).map_err(|e| Error::io("read the shard", &path, &e))?.len();
    if bytes != file.bytes {
        return Err(Error::data(format!("the shard has {bytes} bytes, {INDEX_NAME} says {}", file.bytes)).at(&path));
    }
    let places = places_in(&path)?;
    if places.len() != file.records || ids != file.records {
        let (found, said) = (places.len(), file.records);
        return Err(
            Error::data(format!("the shard has {found} records, {INDEX_NAME} says {said} and names {ids}")).at(&path)
        );
    }
    Ok(places)
}

fn entries(ids: Vec<String>, places: Vec<Place>) -> impl Iterator<Item = Entry> {
    ids.into_iter().zip(places).map(|(id, place)| Entry { id, source: Source::Record(place) })
}

fn damaged_shard(error: Error) -> Fault {
    let error = if error.hint.is_some() { error } else { error.hint("convert the data set again") };
    Fault {
        code: "damaged_shard",
        id: None,
        message: error.to_string(),
        hint: error.hint.clone().unwrap_or_default(),
        cause: Some(error),
    }
}

/// Splits by file name; ids by reading every record once.
fn named_listings(paths: Vec<PathBuf>) -> Vec<Listing> {
    let mut listings: Vec<Listing> = Vec::new();
    let mut shards: Vec<Vec<(usize, usize)>> = Vec::new();
    for path in paths {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("");
        let stem = name.split('.').next().unwrap_or(name);
        let (split, shard) = split_of_file(name).unwrap_or((stem.to_string(), None));
        let at = listings.iter().position(|l| l.name == split).unwrap_or_else(|| {
            listings.push(Listing { name: split, entries: Vec::new(), faults: Vec::new() });
            shards.push(Vec::new());
            listings.len() - 1
        });
        shards[at].extend(shard);
        let places = match places_in(&path) {
            Ok(places) if places.is_empty() => {
                Err(Error::data("the shard is empty (0 bytes)").at(&path).hint("copy it again, or convert again"))
            }
            other => other,
        };
        let places = match places {
            Ok(places) => places,
            Err(e) => {
                listings[at].faults.push(damaged_shard(e));
                continue;
            }
        };
        let ids: Vec<String> =
            places.par_iter().map(|p| id_in(p).unwrap_or_else(|| format!("{stem}#{}", p.record))).collect();
        listings[at].entries.extend(entries(ids, places));
    }
    for (listing, found) in listings.iter_mut().zip(shards) {
        let expected = found.iter().map(|(_, of)| *of).max().unwrap_or(0);
        let missing: Vec<String> =
            (0..expected.min(100_000)).filter(|n| !found.iter().any(|(i, _)| i == n)).map(|n| n.to_string()).collect();
        if !missing.is_empty() {
            listing.faults.push(Fault {
                code: "missing_shard",
                id: None,
                message: format!("shards {} of {expected} are missing", missing.join(", ")),
                hint: "copy the missing shards, or convert the data set again".into(),
                cause: None,
            });
        }
        listing.tell_apart();
    }
    listings.sort_by(|a, b| a.name.cmp(&b.name));
    listings
}

/// The places of all records of a shard: lengths are verified against their checksums, data are not read.
fn places_in(path: &Path) -> Result<Vec<Place>> {
    let mut file = file::open(ErrorKind::Data, "the shard", path)?;
    let end = file.metadata().map_err(|e| Error::io("read the shard", path, &e))?.len();
    let offsets = RecordReader::new(&mut file).index().map_err(|e| {
        Error::data(e.to_string())
            .at(path)
            .hint("the file is no TFRecord file or is damaged: copy it again, or convert again")
    })?;
    let shard: Arc<Path> = path.into();
    let ends = offsets.iter().skip(1).copied().chain([end]);
    let mut places = Vec::with_capacity(offsets.len());
    for (record, (&offset, end)) in offsets.iter().zip(ends).enumerate() {
        let mut checksum = [0; 4];
        file.seek(SeekFrom::Start(end - 4))
            .and_then(|_| file.read_exact(&mut checksum))
            .map_err(|e| Error::io("read the shard", path, &e))?;
        let (length, checksum) = (end - offset - 16, u32::from_le_bytes(checksum));
        places.push(Place { shard: shard.clone(), record: record as u64, offset, length, checksum });
    }
    Ok(places)
}

/// The id that a record brings; `None` when it is damaged or brings none.
fn id_in(place: &Place) -> Option<String> {
    let data = data_at(place).ok()?;
    let example = Example::decode(&data).ok()?;
    id_of(&example)
}

fn id_of(example: &Example) -> Option<String> {
    let name = String::from_utf8_lossy(example.bytes("image/filename").ok()?).into_owned();
    Some(stem_of_image_name(&name).map_or(name.clone(), str::to_string)).filter(|id| !id.is_empty())
}

/// The data of a record, checksum verified. The shard is opened anew: no handle is held over a long run, so that any
/// number of shards works, and one that vanished is named.
fn data_at(place: &Place) -> Result<Vec<u8>> {
    let file = file::open(ErrorKind::Data, "the shard", &place.shard)?;
    RecordReader::new(BufReader::with_capacity(1 << 16, file)).read_at(place.offset).map_err(|e| {
        Error::data(format!("record {}: {e}", place.record))
            .at(&place.shard)
            .hint("the shard was damaged or changed after it was written: copy it again, or convert again")
    })
}

/// Reads the record at `place`, which should be sample `id`.
pub(super) fn read(place: &Place, id: &str) -> Result<Pair> {
    let data = data_at(place)?;
    let blame = |e: tfio::ExampleError| {
        place.blame(id, Error::data(e.to_string()).hint("expected the features image/encoded and image/label"))
    };
    let example = Example::decode(&data).map_err(blame)?;
    if let Some(found) = id_of(&example).filter(|found| found != id && !id.contains('#')) {
        return Err(
            place.blame(id, Error::data(format!("the record holds {found}")).hint("convert the data set again"))
        );
    }
    let encoded = example.bytes("image/encoded").map_err(blame)?.to_vec();
    let mask = example
        .bytes("image/label")
        .map_err(blame)
        .and_then(|label| mask_of_label(&example, label, &encoded).map_err(|e| place.blame(id, e)));
    Ok(Pair { image: Ok(encoded), mask })
}

/// The label feature as a mask: one byte a pixel of the size that the record or the image's header gives, or a file.
fn mask_of_label(example: &Example, label: &[u8], encoded: &[u8]) -> Result<RawMask> {
    let side = |key: &str| example.int64(key).ok().and_then(|v| usize::try_from(v).ok());
    let (width, height) = match (side("image/width"), side("image/height")) {
        (Some(width), Some(height)) => (width, height),
        _ => image::image_size(encoded)?,
    };
    if width.checked_mul(height) == Some(label.len()) {
        return Ok(mask_of_ids(width, height, label.to_vec()));
    }
    if image::guess_format(label).is_ok() {
        return RawMask::decode(label);
    }
    Err(Error::data(format!("image/label has {} bytes, expected {width} x {height} class ids", label.len()))
        .hint("labels are stored as one byte a pixel, row-major"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_are_told_from_file_names() {
        let cases = [
            ("train-00000-of-00004.tfrecord", Some(("train", Some((0, 4))))),
            ("val.tfrecord-00001-of-00002", Some(("val", Some((1, 2))))),
            ("fcn_train.record", Some(("train", None))),
            ("pascal.tfrecords", Some(("pascal", None))),
            ("train_mini-00000-of-00001.tfrecord", Some(("train_mini", Some((0, 1))))),
            ("dataset.json", None),
            ("notes-1-of-2", None),
        ];
        let mut failures = Vec::new();
        for (name, expected) in cases {
            let found = split_of_file(name);
            if found.as_ref().map(|(s, n)| (s.as_str(), *n)) != expected {
                failures.push(format!("{name}: {found:?}"));
            }
        }
        assert!(failures.is_empty(), "{failures:#?}");
    }

    #[test]
    fn globs_match_as_in_a_shell() {
        for (pattern, name, expected) in [
            ("*.record", "a.record", true),
            ("train-*-of-*", "train-00000-of-00004", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b", "abc", false),
        ] {
            assert_eq!(glob_matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
