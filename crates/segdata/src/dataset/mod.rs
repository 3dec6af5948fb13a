//! Data sets: photographs with one class id a pixel, from a VOC root, an `images/` + `masks/` folder, or records.
//!
//! [`Dataset::open`] lists what is there without decoding a pixel; [`Split::load`] reads one sample, from any thread.
//! What a list names but the folder lacks, ids that would leave the folder, and duplicates are found at opening:
//! [`Dataset::split`] refuses them all at once, [`Dataset::split_as_listed`] passes them on to be reported or skipped.

pub mod augment;
pub(crate) mod explain;
pub(crate) mod folder;
pub(crate) mod listing;
pub mod loader;
pub mod records;
mod voc;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::image::{self, Header, MaskPixels, RawMask, RgbImage};
use crate::labels::{LabelMap, MaskCoding};

pub use crate::labels::Classes;
pub use listing::Fault;

use listing::{Entry, Source};

/// Seed of the split of a folder without lists, the same in every command: another one would move images between
/// training and validation.
pub const SPLIT_SEED: u64 = 0;

/// The share of a folder without lists that becomes its `val` split: one in five.
const VAL_ONE_IN: usize = 5;

/// Which form a data set has on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// `JPEGImages/`, `SegmentationClass/`, `ImageSets/Segmentation/*.txt`.
    Voc,
    /// `images/` and `masks/`.
    Folder,
    /// TFRecord files.
    Records,
}

/// An opened data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// The classes, ids `0..len()`.
    pub classes: Classes,
    /// What mask values and colours mean.
    pub coding: MaskCoding,
    /// How it lies on disk.
    pub form: Form,
    splits: Vec<Split>,
}

/// One list of samples. Cheap to clone; every method may be called from any thread.
#[derive(Clone, Debug)]
pub struct Split {
    name: Arc<str>,
    entries: Arc<[Entry]>,
    faults: Arc<[Fault]>,
    coding: Arc<MaskCoding>,
}

/// A photograph and its class ids, of one size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The name without folder and extension.
    pub id: String,
    /// The photograph, in its stored frame (EXIF orientation not applied).
    pub image: RgbImage,
    /// Class ids below the number of classes, or void.
    pub labels: LabelMap,
}

/// A sample whose photograph is still encoded, as records store it.
#[derive(Clone, Debug)]
pub struct EncodedSample {
    /// The name without folder and extension.
    pub id: String,
    /// The image file's bytes, untouched.
    pub encoded: Vec<u8>,
    /// What its header says.
    pub header: Header,
    /// Class ids below the number of classes, or void; of the image's stored size.
    pub labels: LabelMap,
}

/// The two halves of a sample as they lie on disk, each with its own fate.
#[derive(Debug)]
pub(crate) struct Pair {
    pub image: Result<Vec<u8>>,
    pub mask: Result<RawMask>,
}

/// What was found at a path, before the meaning of mask values is settled.
pub(crate) struct Layout {
    pub form: Form,
    /// Where `classes.txt` may lie.
    pub root: PathBuf,
    /// Classes that the data set itself brings.
    pub coding: Option<MaskCoding>,
    pub listings: Vec<listing::Listing>,
}

impl Dataset {
    /// Opens a VOC root, an `images/` + `masks/` folder, a record file, a folder of records, or a glob of records.
    ///
    /// `classes_file` names the classes; without it a `classes.txt` in the folder does, then `dataset.json`, then
    /// VOC's 21 classes for VOC roots and records. `seed` draws the `train`/`val` split of a folder without lists and
    /// has no other effect: keep it fixed, or images move between training and validation.
    ///
    /// # Errors
    /// Nothing recognisable at `path`; an `images/` + `masks/` folder without a class list (the error shows the values
    /// found and a class list to start from); a class list or record index that cannot be read.
    pub fn open(path: &Path, classes_file: Option<&Path>, seed: u64) -> Result<Dataset> {
        let mut layout = Layout::find(path, seed)?;
        let coding = match layout.named_classes(classes_file)? {
            Some(coding) => coding,
            None => return Err(folder::without_classes(&layout)),
        };
        layout.coding = None;
        Ok(Self::from_layout(layout, coding))
    }

    pub(crate) fn from_layout(layout: Layout, coding: MaskCoding) -> Dataset {
        let shared = Arc::new(coding.clone());
        let splits = layout.listings.into_iter().map(|listing| Split {
            name: listing.name.into(),
            entries: listing.entries.into(),
            faults: listing.faults.into(),
            coding: shared.clone(),
        });
        Dataset { classes: coding.classes.clone(), form: layout.form, splits: splits.collect(), coding }
    }

    pub(crate) fn all_splits(&self) -> &[Split] {
        &self.splits
    }

    /// Drops every split but `name`.
    pub(crate) fn retain(&mut self, name: &str) {
        self.splits.retain(|s| &*s.name == name);
    }

    /// The same files under another class list.
    pub(crate) fn recoded(mut self, coding: MaskCoding) -> Dataset {
        let shared = Arc::new(coding.clone());
        self.splits.iter_mut().for_each(|s| s.coding = shared.clone());
        Dataset { classes: coding.classes.clone(), coding, ..self }
    }

    /// Names of the splits, sorted.
    pub fn splits(&self) -> Vec<String> {
        self.splits.iter().map(|s| s.name.to_string()).collect()
    }

    /// The split called `name`, all of whose images and masks were seen at opening.
    ///
    /// # Errors
    /// No such split (the error names those there are); an empty split; missing files, duplicate or unsafe ids (all
    /// counted, the first ones named).
    pub fn split(&self, name: &str) -> Result<Split> {
        let split = self.split_as_listed(name)?;
        if let [first, ..] = &*split.faults {
            if let (1, Some(cause)) = (split.faults.len(), &first.cause) {
                return Err(cause.clone());
            }
            let listed = split.faults.iter().take(10).map(|f| f.message.as_str()).collect::<Vec<_>>().join("; ");
            let more = split.faults.len().saturating_sub(10);
            let more = if more > 0 { format!("; and {more} more") } else { String::new() };
            let n = split.faults.len();
            return Err(
                Error::data(format!("split `{name}` has {n} problems: {listed}{more}")).hint(first.hint.clone())
            );
        }
        if split.is_empty() {
            return Err(Error::data(format!("split `{name}` is empty"))
                .hint(format!("splits here: {}", self.describe_splits())));
        }
        Ok(split)
    }

    /// The split called `name` with everything its list names, present or not; [`Split::faults`] tells what is wrong.
    ///
    /// # Errors
    /// No such split.
    pub fn split_as_listed(&self, name: &str) -> Result<Split> {
        self.splits.iter().find(|s| &*s.name == name).cloned().ok_or_else(|| {
            Error::data(format!("there is no split `{name}`")).hint(format!("splits here: {}", self.describe_splits()))
        })
    }

    fn describe_splits(&self) -> String {
        let described: Vec<String> = self.splits.iter().map(|s| format!("{} ({})", s.name, s.len())).collect();
        if described.is_empty() { "none".into() } else { described.join(", ") }
    }
}

impl Layout {
    /// Recognises what lies at `path`.
    pub fn find(path: &Path, seed: u64) -> Result<Layout> {
        if let Some(paths) = records::files_at(path)? {
            return records::find(path, paths);
        }
        if !path.exists() {
            return Err(Error::new(crate::error::ErrorKind::Io, "no such file or folder").at(path));
        }
        if path.is_dir() && voc::is_root(path) {
            return voc::find(path);
        }
        if path.is_dir() && folder::is_root(path) {
            return folder::find(path, seed);
        }
        Err(not_a_dataset(path))
    }

    /// The mask coding from `classes_file`, `classes.txt`, or the data set itself, in this order.
    pub fn named_classes(&self, classes_file: Option<&Path>) -> Result<Option<MaskCoding>> {
        let beside = self.root.join("classes.txt");
        let coding = match classes_file {
            Some(file) => Some(MaskCoding::read(file)?),
            None if beside.is_file() => Some(MaskCoding::read(&beside)?),
            None => self.coding.clone(),
        };
        // Records hold class ids already: a class list names them, but no longer translates mask values.
        Ok(coding.map(|c| if self.form == Form::Records { MaskCoding::from(&c.classes) } else { c }))
    }
}

fn not_a_dataset(path: &Path) -> Error {
    let forms = "expected a VOC root (JPEGImages/, SegmentationClass/, ImageSets/Segmentation/*.txt), \
                 a folder with images/ and masks/, or TFRecord files";
    let below = ["VOCdevkit/VOC2012", "VOC2012", "VOC2007"].map(|sub| path.join(sub));
    let hint = match below.iter().find(|sub| voc::is_root(sub)) {
        Some(root) => format!("did you mean {}?", root.display()),
        None => forms.to_string(),
    };
    Error::data("not a data set").at(path).hint(hint)
}

impl Split {
    /// `train`, `val`, ...
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ids that also stand in `other`.
    pub fn ids_in(&self, other: &Split) -> Vec<&str> {
        let theirs: std::collections::HashSet<&str> = other.entries.iter().map(|e| e.id.as_str()).collect();
        self.entries.iter().map(|e| e.id.as_str()).filter(|id| theirs.contains(id)).collect()
    }

    /// Positions of `count` samples spread evenly over the split; all where it has no more.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let count = count.min(self.len());
        (0..count).map(|i| i * self.len() / count).collect()
    }

    /// The id of sample `i`; empty when there is no such sample.
    pub fn id(&self, i: usize) -> &str {
        self.entries.get(i).map_or("", |e| &e.id)
    }

    /// Position of the sample called `id`.
    pub fn position(&self, id: &str) -> Option<usize> {
        self.entries.iter().position(|e| e.id == id)
    }

    /// What mask values and colours mean here, and the classes.
    pub fn coding(&self) -> &MaskCoding {
        &self.coding
    }

    /// What is wrong with the list itself: missing files, duplicate and unsafe ids.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether the image or the mask of sample `i` is missing from the folder.
    pub(crate) fn lacks_file(&self, i: usize) -> bool {
        let source = self.entries.get(i).map(|e| &e.source);
        matches!(source, Some(Source::Files { image, mask }) if image.is_err() || mask.is_err())
    }

    /// Where sample `i` comes from: the image file, or shard, record number and byte offset.
    pub fn source(&self, i: usize) -> String {
        self.entries.get(i).map_or_else(|| format!("sample {i}"), |e| e.source.describe())
    }

    /// Reads and decodes sample `i`.
    ///
    /// # Errors
    /// Anything that keeps it from being an image and a mask of one size with known classes; the message names the
    /// file, or shard, record and offset.
    pub fn load(&self, i: usize) -> Result<Sample> {
        let sample = self.encoded(i)?;
        let image = image::decode_rgb(&sample.encoded).map_err(|e| self.placed(i, e))?;
        Ok(Sample { id: sample.id, image, labels: sample.labels })
    }

    /// Reads sample `i` with its image still encoded: header and size checked, mask decoded.
    ///
    /// # Errors
    /// As [`Split::load`], but damage behind the image's header is not seen.
    pub fn encoded(&self, i: usize) -> Result<EncodedSample> {
        let pair = self.pair(i)?;
        let encoded = pair.image?;
        let header = image::read_header(&encoded).map_err(|e| self.placed(i, e))?;
        let raw = pair.mask?;
        judge_sizes(&header, (raw.width, raw.height)).map_err(|e| self.placed(i, e))?;
        let labels = raw.labels(&self.coding).map_err(|e| self.placed_mask(i, e))?;
        Ok(EncodedSample { id: self.id(i).to_string(), encoded, header, labels })
    }

    /// Reads sample `i` as it lies on disk.
    pub(crate) fn pair(&self, i: usize) -> Result<Pair> {
        let entry = self.entries.get(i).ok_or_else(|| {
            Error::internal(format!("sample {i} of split `{}` was asked for, it has {}", self.name, self.len()))
        })?;
        match &entry.source {
            Source::Files { image, mask } => Ok(Pair {
                image: read_file(image),
                mask: read_file(mask).and_then(|bytes| RawMask::decode(&bytes).map_err(|e| self.placed_mask(i, e))),
            }),
            Source::Record(place) => records::read(place, &entry.id),
        }
    }

    /// A digest of what the split holds, which survives moving the folder: of a folder, the ids, the sizes of the
    /// image files and the content of the masks (small, and what gets edited); of records, the ids and the length and
    /// checksum of every record, which cover image and mask. Reading all image bytes would cost a pass over the data
    /// at each start.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.coding.classes.to_text().as_bytes());
        for entry in self.entries.iter() {
            hasher.update(&(entry.id.len() as u64).to_le_bytes()).update(entry.id.as_bytes());
            entry.source.digest(&mut hasher);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Names the image file, or the record, that `error` is about.
    fn placed(&self, i: usize, error: Error) -> Error {
        match self.entries.get(i).map(|e| &e.source) {
            Some(Source::Files { image: Ok(path), .. }) => error.at(path),
            Some(Source::Record(place)) => place.blame(self.id(i), error),
            _ => error,
        }
    }

    fn placed_mask(&self, i: usize, error: Error) -> Error {
        match self.entries.get(i).map(|e| &e.source) {
            Some(Source::Files { mask: Ok(path), .. }) => error.at(path),
            _ => self.placed(i, error),
        }
    }
}

fn read_file(path: &std::result::Result<PathBuf, String>) -> Result<Vec<u8>> {
    match path {
        Ok(path) => crate::files::read::read("the file", path),
        Err(missing) => Err(Error::data(missing.clone())),
    }
}

/// Image and mask must agree pixel for pixel; a rotation asked for by EXIF is the usual reason when they do not.
pub(crate) fn judge_sizes(header: &Header, mask: (usize, usize)) -> Result<()> {
    let (width, height) = (header.width, header.height);
    if (width, height) == mask {
        return Ok(());
    }
    let what = format!("the image is {width}x{height}, its mask {}x{}", mask.0, mask.1);
    if header.upright_size() == mask {
        return Err(Error::data(format!(
            "{what}: the photograph is stored turned (EXIF orientation {}), the mask was drawn on it upright",
            header.orientation
        ))
        .hint(
            "turn the pixels of the photograph upright and drop the EXIF tag (for example `jpegtran`, `exiftran -ai`)",
        ));
    }
    Err(Error::data(what)
        .hint("a mask needs one pixel for each pixel of its photograph: correct the pair or leave it out"))
}

/// The mask of a record, or any other array of class ids, as a mask file would be seen.
pub(crate) fn mask_of_ids(width: usize, height: usize, ids: Vec<u8>) -> RawMask {
    RawMask { width, height, pixels: MaskPixels::Index8(ids), palette: None }
}

#[cfg(test)]
pub(crate) mod drawn;
#[cfg(test)]
mod tests;
