//! Data set to records: shards of `tf.train.Example` in the schema of [`crate::dataset::records`], and `dataset.json`.
//!
//! Samples are prepared in parallel and written in the order of the list; a shard is a contiguous range of the list,
//! so the bytes depend neither on the number of threads nor on the run. Everything goes to temporary names first;
//! `dataset.json` is written last.

mod shards;

use std::path::PathBuf;

use rayon::prelude::*;
use tfio::Example;

use crate::dataset::records::SkippedSample;
use crate::dataset::{Dataset, Split, judge_sizes};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{self, Format, Header};
use crate::labels::VOID;

use shards::{Folder, ShardWriter};

/// Images with a shorter side below this are left out unless told otherwise: crops of 224 pixels, the input of VGG-16,
/// are cut from them.
pub const DEFAULT_MIN_SIZE: usize = 224;

/// Samples in memory at once, for each thread.
const BATCH_PER_THREAD: usize = 16;

/// What becomes of void pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VoidPolicy {
    /// They stay 255.
    #[default]
    Keep,
    /// They become class 0, as in record files of older systems.
    Background,
}

/// What a bad sample does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnError {
    /// Nothing is written; the error lists every bad sample.
    #[default]
    Stop,
    /// It is left out and reported.
    Skip,
}

/// How EXIF orientation is treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExifPolicy {
    /// Masks belong to the stored pixels; a pair that only agrees upright is an error.
    #[default]
    Stored,
    /// Masks belong to the upright picture: turned photographs are stored upright, as PNG, without loss.
    Upright,
}

/// What to convert, and how.
#[derive(Clone, Debug)]
pub struct ConvertOptions {
    /// The data set.
    pub data: PathBuf,
    /// A class list; see [`Dataset::open`].
    pub classes: Option<PathBuf>,
    /// The folder to write.
    pub out: PathBuf,
    /// The splits to convert; if empty `train` and `val`, as far as they exist, and every split where neither does.
    pub splits: Vec<String>,
    /// Files a split.
    pub shards: usize,
    /// Images with a shorter side below this are left out, in pixels.
    pub min_size: usize,
    /// What becomes of void pixels.
    pub void: VoidPolicy,
    /// What a bad sample does.
    pub on_error: OnError,
    /// How EXIF orientation is treated.
    pub exif: ExifPolicy,
    /// Whether an earlier conversion in `out` is replaced.
    pub overwrite: bool,
    /// Seed of drawn splits; see [`Dataset::open`].
    pub seed: u64,
}

/// What was written.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ConvertReport {
    /// In the order asked for.
    pub splits: Vec<ConvertedSplit>,
    /// Digest over all splits, also in `dataset.json`.
    pub fingerprint: String,
}

/// What was written of one split.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ConvertedSplit {
    /// `train`, `val`, ...
    pub name: String,
    /// Samples that the split names.
    pub listed: usize,
    /// Records written.
    pub written: usize,
    /// Samples left out, and why: too small ones, and bad ones where those are skipped.
    pub skipped: Vec<SkippedSample>,
    /// How many of `skipped` were bad.
    pub bad: usize,
    /// The shards.
    #[serde(serialize_with = "crate::files::path_text::paths_as_text")]
    pub files: Vec<PathBuf>,
    /// Images in which each class occurs, by id.
    pub images_by_class: Vec<u64>,
    /// Pixels of each class, by id.
    pub pixels_by_class: Vec<u64>,
    /// Pixels without a label.
    pub void_pixels: u64,
}

impl ConvertReport {
    /// Bad samples that were skipped, over all splits.
    pub fn bad(&self) -> usize {
        self.splits.iter().map(|s| s.bad).sum()
    }
}

/// A sample on its way into a shard.
enum Prepared {
    Record { bytes: Vec<u8>, pixels: Box<[u64; 256]> },
    TooSmall(String),
    Bad(Error),
}

/// Converts a data set. `progress` is told samples done and in all.
///
/// # Errors
/// `out` holds records already; a split is missing or empty; bad samples (all of them named) unless they are skipped;
/// nothing left to write; anything the system refuses. Nothing that looks like a whole data set is left behind.
pub fn convert(options: &ConvertOptions, progress: &dyn Fn(usize, usize)) -> Result<ConvertReport> {
    let dataset = Dataset::open(&options.data, options.classes.as_deref(), options.seed)?;
    let names = if options.splits.is_empty() { usual_splits(&dataset) } else { options.splits.clone() };
    let splits = names.iter().map(|name| dataset.split_as_listed(name)).collect::<Result<Vec<_>>>()?;
    if splits.is_empty() || options.shards == 0 {
        return Err(Error::usage("nothing to convert: at least one split and one shard are needed"));
    }
    let mut folder = Folder::begin(&options.out, options.overwrite)?;
    let total = splits.iter().map(Split::len).sum();
    let (mut done, mut bad) = (0, Vec::new());
    let mut report = ConvertReport { splits: Vec::new(), fingerprint: String::new() };
    for split in &splits {
        let mut advance = |n: usize| {
            done += n;
            progress(done, total);
        };
        report.splits.push(convert_split(split, options, &mut folder, &mut bad, &mut advance)?);
    }
    if !bad.is_empty() && options.on_error == OnError::Stop {
        return Err(stopped(&bad));
    }
    if let Some(split) = report.splits.iter().find(|s| s.written == 0) {
        let reason = split.skipped.first().map_or(String::new(), |s| format!(": {}", s.reason));
        return Err(Error::data(format!("no image of split `{}` is left to write{reason}", split.name))
            .hint("lower `min_size`, or run `check`"));
    }
    report.fingerprint = folder.finish(&dataset.classes, &report.splits)?;
    Ok(report)
}

/// The splits taken when none is named.
fn usual_splits(dataset: &Dataset) -> Vec<String> {
    let all = dataset.splits();
    let usual: Vec<String> = all.iter().filter(|name| ["train", "val"].contains(&name.as_str())).cloned().collect();
    if usual.is_empty() { all } else { usual }
}

fn convert_split(
    split: &Split,
    options: &ConvertOptions,
    folder: &mut Folder,
    bad: &mut Vec<String>,
    advance: &mut dyn FnMut(usize),
) -> Result<ConvertedSplit> {
    let classes = split.coding().classes.len();
    let mut converted = ConvertedSplit {
        name: split.name().to_string(),
        listed: split.len(),
        written: 0,
        skipped: Vec::new(),
        bad: 0,
        files: Vec::new(),
        images_by_class: vec![0; classes],
        pixels_by_class: vec![0; classes],
        void_pixels: 0,
    };
    // Missing files come up again when the sample is read; what has no sample is told here.
    for fault in split
        .faults()
        .iter()
        .filter(|f| matches!(f.code, "unsafe_id" | "duplicate_id" | "missing_shard" | "damaged_shard"))
    {
        converted.reject(fault.id.clone().unwrap_or_default(), fault.message.clone(), bad);
        converted.listed += 1;
    }
    let batch = BATCH_PER_THREAD * rayon::current_num_threads();
    for shard in 0..options.shards {
        let range = shard * split.len() / options.shards..(shard + 1) * split.len() / options.shards;
        let mut writer = ShardWriter::create(folder, split.name(), shard, options.shards)?;
        let indices: Vec<usize> = range.collect();
        for batch in indices.chunks(batch) {
            let prepared: Vec<Prepared> = batch.par_iter().map(|&i| prepare(split, i, options)).collect();
            for (&i, sample) in batch.iter().zip(prepared) {
                let id = split.id(i).to_string();
                match sample {
                    Prepared::Record { bytes, pixels } => {
                        writer.write(id, &bytes)?;
                        converted.count(&pixels);
                    }
                    Prepared::TooSmall(reason) => converted.skipped.push(SkippedSample { id, reason }),
                    Prepared::Bad(e) => converted.reject(id, e.to_string(), bad),
                }
            }
            advance(batch.len());
        }
        converted.files.push(writer.close(folder)?);
    }
    Ok(converted)
}

impl ConvertedSplit {
    fn count(&mut self, pixels: &[u64; 256]) {
        self.written += 1;
        self.void_pixels += pixels[usize::from(VOID)];
        for (id, &n) in pixels.iter().enumerate().take(self.pixels_by_class.len()) {
            self.images_by_class[id] += u64::from(n > 0);
            self.pixels_by_class[id] += n;
        }
    }

    fn reject(&mut self, id: String, reason: String, bad: &mut Vec<String>) {
        bad.push(if reason.contains(&id) { reason.clone() } else { format!("{id}: {reason}") });
        self.bad += 1;
        self.skipped.push(SkippedSample { id, reason });
    }
}

/// The error that lists what kept a conversion from being whole.
fn stopped(bad: &[String]) -> Error {
    const SHOWN: usize = 20;
    let more = if bad.len() > SHOWN { format!("\n  and {} more", bad.len() - SHOWN) } else { String::new() };
    let listed: String = bad.iter().take(SHOWN).map(|b| format!("\n  {b}")).collect();
    Error::data(format!("{} samples cannot be converted; nothing was written:{listed}{more}", bad.len()))
        .hint("correct them (`check` explains), or leave them out with `on_error` skip")
}

/// Reads, verifies and encodes one sample.
fn prepare(split: &Split, i: usize, options: &ConvertOptions) -> Prepared {
    match try_prepare(split, i, options) {
        Ok(prepared) => prepared,
        Err(e) => Prepared::Bad(e),
    }
}

fn try_prepare(split: &Split, i: usize, options: &ConvertOptions) -> Result<Prepared> {
    let pair = split.pair(i)?;
    let at_image = |e: Error| if e.path.is_some() { e } else { e.at(split.source(i)) };
    let mut encoded = pair.image?;
    let mut header = image::read_header(&encoded).map_err(at_image)?;
    let (width, height) = (header.width, header.height);
    if width.min(height) < options.min_size {
        return Ok(Prepared::TooSmall(format!("{width}x{height} is below {} pixels", options.min_size)));
    }
    let mask = pair.mask?;
    image::verify(&encoded).map_err(at_image)?; // decoding is the only proof that the image is whole
    if options.exif == ExifPolicy::Upright && header.orientation != 1 {
        let upright = image::decode_rgb(&encoded).map_err(at_image)?.upright(header.orientation);
        header = Header { format: Format::Png, width: upright.width, height: upright.height, orientation: 1 };
        encoded = upright.to_png()?;
    }
    judge_sizes(&header, (mask.width, mask.height)).map_err(at_image)?;
    let mut labels = mask.labels(split.coding()).map_err(at_image)?;
    if options.void == VoidPolicy::Background {
        labels.ids.iter_mut().filter(|id| **id == VOID).for_each(|id| *id = 0);
    }
    let mut pixels = Box::new([0u64; 256]);
    labels.ids.iter().for_each(|&id| pixels[usize::from(id)] += 1);
    let extension = if header.format == Format::Jpeg { "jpg" } else { header.format.name() };
    let bytes = Example::new()
        .with_bytes("image/encoded", encoded)
        .with_bytes("image/filename", format!("{}.{extension}", split.id(i)).into_bytes())
        .with_bytes("image/format", header.format.name().as_bytes())
        .with_int64("image/height", labels.height as i64)
        .with_bytes("image/label", labels.ids)
        .with_int64("image/width", labels.width as i64)
        .encode();
    Ok(Prepared::Record { bytes, pixels })
}

/// The error of a conversion that skipped bad samples.
pub fn skipped_error(report: &ConvertReport) -> Option<Error> {
    (report.bad() > 0).then(|| {
        Error::new(ErrorKind::Skipped, format!("{} bad samples were skipped", report.bad()))
            .hint("the report names each with its reason; `check` explains more")
    })
}

#[cfg(test)]
mod tests;
