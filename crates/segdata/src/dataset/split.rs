//! One list of samples, and reading them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::{Entry, Fault, Listing, Photograph, Source, fingerprint};
use super::layouts::annotations::labelme;
use super::layouts::records;
use super::sample::{EncodedSample, Pair, Sample, check_sizes, mask_of_ids};
use crate::error::{Error, Result};
use crate::files::tree::Tree;
use crate::image::shapes::Drawing;
use crate::image::{self, RawMask, ReadOptions};
use crate::labels::MaskCoding;

/// One list of samples. Cheap to clone; every method may be called from any thread.
#[derive(Clone, Debug)]
pub struct Split {
    name: Arc<str>,
    entries: Arc<[Entry]>,
    faults: Arc<[Fault]>,
    coding: Arc<MaskCoding>,
    tree: Tree,
    reading: ReadOptions,
}

impl Split {
    /// The samples of `listing`, which lie in `tree`, with masks in this `coding` and photographs by these options.
    pub(super) fn new(listing: Listing, coding: Arc<MaskCoding>, tree: Tree, reading: ReadOptions) -> Self {
        Split {
            name: listing.name.into(),
            entries: listing.entries.into(),
            faults: listing.faults.into(),
            coding,
            tree,
            reading,
        }
    }

    /// The same files under another class list.
    pub(super) fn recoded(self, coding: Arc<MaskCoding>) -> Self {
        Split { coding, ..self }
    }

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

    /// The ids that are in `other` too.
    pub fn ids_in(&self, other: &Split) -> Vec<&str> {
        let theirs: std::collections::HashSet<&str> = other.entries.iter().map(|e| e.id.as_str()).collect();
        self.entries.iter().map(|e| e.id.as_str()).filter(|id| theirs.contains(id)).collect()
    }

    /// Positions of `count` samples spread evenly over the split; all where it has no more.
    pub fn spread(&self, count: usize) -> Vec<usize> {
        let count = count.min(self.len());
        (0..count).map(|i| i * self.len() / count).collect()
    }

    /// The samples at these positions alone.
    pub fn only(&self, positions: &[usize]) -> Split {
        let entries: Vec<Entry> = positions.iter().filter_map(|&i| self.entries.get(i)).cloned().collect();
        Split { entries: entries.into(), ..self.clone() }
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

    /// How photographs are read where their files leave it open.
    pub fn reading(&self) -> &ReadOptions {
        &self.reading
    }

    /// What is wrong with the list itself: missing files, duplicate and unsafe ids.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// Whether the image or the mask of sample `i` is missing from the folder, or known to be unusable.
    pub(crate) fn lacks_file(&self, i: usize) -> bool {
        self.entries.get(i).is_some_and(|e| e.source.lacks_part())
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
        let image = image::decode_rgb_with(&sample.encoded, &self.reading).map_err(|e| self.placed(i, e))?;
        Ok(Sample { id: sample.id, image, labels: sample.labels })
    }

    /// Reads sample `i` with its image still encoded: header and size checked, mask decoded.
    ///
    /// # Errors
    /// As [`Split::load`], but damage behind the image's header is not detected.
    pub fn encoded(&self, i: usize) -> Result<EncodedSample> {
        let pair = self.pair(i)?;
        let encoded = pair.image?;
        let header = image::read_header(&encoded).map_err(|e| self.placed(i, e))?;
        let raw = pair.mask?;
        check_sizes(&header, raw.size()).map_err(|e| self.placed(i, e))?;
        let labels = raw.labels(&self.coding).map_err(|e| self.placed_mask(i, e))?;
        Ok(EncodedSample { id: self.id(i).to_string(), encoded, header, labels })
    }

    /// What distinguishes sample `i` from others: its id, and its files or record.
    pub(crate) fn key(&self, i: usize) -> String {
        format!("{}\0{}", self.id(i), self.source(i))
    }

    /// The mask file of sample `i`, if it has one.
    pub(super) fn mask_file(&self, i: usize) -> Option<&Path> {
        self.entries.get(i)?.source.mask().map(PathBuf::as_path)
    }

    /// Reads the mask of sample `i` as it lies on disk.
    pub(super) fn mask(&self, i: usize) -> Result<RawMask> {
        match self.entries.get(i).map(|entry| &entry.source) {
            Some(Source::Files { mask, .. }) => self.read_mask(i, mask),
            _ => self.pair(i)?.mask,
        }
    }

    fn read_mask(&self, i: usize, mask: &std::result::Result<PathBuf, String>) -> Result<RawMask> {
        self.read_file(mask).and_then(|bytes| RawMask::decode(&bytes).map_err(|e| self.placed_mask(i, e)))
    }

    /// Reads sample `i` as it lies on disk.
    pub(crate) fn pair(&self, i: usize) -> Result<Pair> {
        let entry = self.entries.get(i).ok_or_else(|| {
            Error::internal(format!("sample {i} of split `{}` was asked for, it has {}", self.name, self.len()))
        })?;
        match &entry.source {
            Source::Files { image, mask } => Ok(Pair { image: self.read_file(image), mask: self.read_mask(i, mask) }),
            Source::Record(place) => records::read(&self.tree, place, &entry.id),
            Source::Row(row) => Ok(Pair {
                image: row.image(),
                mask: row.mask().and_then(|bytes| RawMask::decode(&bytes).map_err(|e| self.placed_mask(i, e))),
            }),
            Source::Shapes { image, drawing, .. } => {
                let image = self.read_photograph(image);
                let mask = draw(drawing, &image).map_err(|e| self.placed_mask(i, e));
                Ok(Pair { image, mask })
            }
        }
    }

    /// A digest of what the split holds, which survives moving the folder: of a folder, the ids, the sizes of the
    /// image files and the content of the masks or shapes (small, and what gets edited); of records, the ids and the
    /// length and checksum of every record, which cover image and mask. Reading all image bytes would cost a pass over
    /// the data at each start. Options by which photographs are read otherwise than by default count too.
    pub fn fingerprint(&self) -> String {
        let files = fingerprint(&self.tree, &self.coding.classes, &self.entries);
        let default = ReadOptions { max_pixels: self.reading.max_pixels, ..ReadOptions::default() };
        match self.reading == default {
            true => files,
            false => {
                let ReadOptions { scale_16bit, bands, .. } = self.reading;
                blake3::hash(format!("{files} {scale_16bit:?} {bands:?}").as_bytes()).to_hex().to_string()
            }
        }
    }

    /// Names the image file, or the record, that `error` is about.
    fn placed(&self, i: usize, error: Error) -> Error {
        match self.entries.get(i).map(|e| &e.source) {
            Some(Source::Files { image: Ok(path), .. }) => error.at(path),
            Some(Source::Record(place)) => place.blame(self.id(i), error),
            Some(source @ Source::Row(_)) => error.at(source.describe()),
            Some(Source::Shapes { image: Ok(photograph), .. }) => error.at(photograph.path()),
            _ => error,
        }
    }

    fn placed_mask(&self, i: usize, error: Error) -> Error {
        match self.entries.get(i).map(|e| &e.source) {
            Some(Source::Files { mask: Ok(path), .. }) => error.at(path),
            Some(Source::Shapes { drawing: Ok(_), labels, .. }) => error.at(labels),
            Some(Source::Shapes { .. }) => error,
            _ => self.placed(i, error),
        }
    }

    fn read_photograph(&self, image: &std::result::Result<Photograph, String>) -> Result<Vec<u8>> {
        match image {
            Ok(Photograph::File(path)) => self.tree.read("the file", path),
            Ok(Photograph::InLabelme(path)) => labelme::embedded_photograph(&self.tree, path),
            Err(missing) => Err(Error::data(missing.clone())),
        }
    }

    fn read_file(&self, path: &std::result::Result<PathBuf, String>) -> Result<Vec<u8>> {
        match path {
            Ok(path) => self.tree.read("the file", path),
            Err(missing) => Err(Error::data(missing.clone())),
        }
    }
}

/// The mask that shapes make, of the size that their file says, or else of the photograph as viewers show it.
fn draw(drawing: &std::result::Result<Arc<Drawing>, String>, image: &Result<Vec<u8>>) -> Result<RawMask> {
    let drawing = drawing.as_ref().map_err(|wrong| Error::data(wrong.clone()))?;
    let size = match (drawing.size, image) {
        (Some(size), _) => size,
        (None, Ok(encoded)) => image::read_header(encoded)?.upright_size(),
        (None, Err(e)) => return Err(e.clone()),
    };
    Ok(RawMask { class_ids: true, ..mask_of_ids(size, drawing.draw(size)?.ids) })
}
