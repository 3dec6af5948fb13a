//! The inspection of each sample: what is in its files, whatever it means.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::problem::{Problem, Severity};
use crate::dataset::masks::explain::ValueCounts;
use crate::dataset::masks::{MaskFacts, samples};
use crate::dataset::{Dataset, Split, check_sizes};
use crate::error::Error;
use crate::image::{self, Format, Header, RawMask, ReadOptions};
use crate::labels::{MaskCoding, MaskValue};

/// Distinct values kept of one mask: more are no classes, and would cost memory.
const MOST_VALUES: usize = 4096;

/// The code of photographs of 16 bits a sample whose scale must be said, or is too small.
pub(super) const RANGE_OF_16BIT: &str = "range_of_16bit";

/// What one sample holds, as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Inspection {
    pub id: String,
    /// What the image's header says; none when the image could not be decoded.
    pub header: Option<Header>,
    /// The greatest sample of an image of 16 bits a sample.
    pub greatest_of_16bit: Option<u16>,
    /// BLAKE3 of the encoded image.
    pub content: Option<[u8; 32]>,
    /// Pixels by mask value; empty when the mask could not be read.
    pub values: BTreeMap<MaskValue, u64>,
    /// What the mask says beside its pixels; none where its numbers cannot be mistaken.
    pub facts: Option<MaskFacts>,
    /// What is wrong with this sample alone.
    pub faults: Vec<Problem>,
}

/// All samples of a data set, each looked at once however many splits name it.
pub(super) struct Library {
    seen: Vec<Inspection>,
    at: HashMap<String, usize>,
}

impl Library {
    /// Looks at every sample of every split, in parallel. Mask values are those that `coding` reads; without one they are
    /// those of the file.
    pub fn read(dataset: &Dataset, coding: Option<&MaskCoding>, progress: &(dyn Fn(usize, usize) + Sync)) -> Library {
        let (samples, at) = samples(dataset.all_splits());
        let (done, total) = (AtomicUsize::new(0), samples.len());
        let look = |&(split, i): &(&Split, usize)| {
            let seen = inspect(split, i, coding);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            seen
        };
        Library { seen: samples.par_iter().map(look).collect(), at }
    }

    /// Every sample, in the order of its first mention.
    pub fn all(&self) -> impl Iterator<Item = &Inspection> {
        self.seen.iter()
    }

    /// The samples of one split, in its order.
    pub fn of<'a>(&'a self, split: &'a Split) -> impl Iterator<Item = &'a Inspection> {
        (0..split.len()).filter_map(|i| self.at.get(&split.key(i)).and_then(|&n| self.seen.get(n)))
    }

    /// Values over all masks.
    pub fn values(&self) -> ValueCounts {
        let mut counts = ValueCounts::default();
        self.all().filter(|seen| !seen.values.is_empty()).for_each(|seen| counts.add(&seen.values));
        counts
    }
}

fn inspect(split: &Split, i: usize, coding: Option<&MaskCoding>) -> Inspection {
    let mut seen = Inspection { id: split.id(i).to_string(), ..Inspection::default() };
    let pair = match split.pair(i) {
        Ok(pair) => pair,
        Err(e) => {
            seen.fault("unreadable_record", Severity::Error, &e);
            return seen;
        }
    };
    match pair.image {
        Ok(bytes) => seen.look_at_image(&bytes, &split.source(i), split.reading()),
        Err(e) if e.path.is_none() && split.lacks_file(i) => {} // reported with the list
        Err(e) => seen.fault("unreadable_image", Severity::Error, &e),
    }
    match pair.mask {
        Ok(mask) => seen.look_at_mask(&mask, coding, &split.source(i)),
        Err(e) if e.path.is_none() && split.lacks_file(i) => {}
        Err(e) => seen.fault("unreadable_mask", Severity::Error, &e),
    }
    seen
}

impl Inspection {
    fn fault(&mut self, code: &'static str, severity: Severity, error: &Error) {
        let (message, hint) = (format!("{}: {error}", self.id), error.hint.clone().unwrap_or_default());
        self.faults.push(Problem { code, severity, id: Some(self.id.clone()), message, hint });
    }

    /// The whole image is decoded: damage behind the header shows nowhere else.
    fn look_at_image(&mut self, bytes: &[u8], source: &str, reading: &ReadOptions) {
        self.content = Some(*blake3::hash(bytes).as_bytes());
        match image::verify_with(bytes, reading) {
            Ok(verified) => {
                self.header = Some(verified.header);
                self.greatest_of_16bit = verified.greatest_of_16bit;
            }
            Err(e) => return self.fault("unreadable_image", Severity::Error, &e.at(source)),
        }
        if let Some(Err(e)) = self.greatest_of_16bit.map(|greatest| reading.white(greatest)) {
            self.fault(RANGE_OF_16BIT, Severity::Error, &e.at(source));
        }
        let extension = Path::new(source).extension().and_then(|e| e.to_str());
        if let (Some(extension), Some(header)) = (extension, self.header)
            && Format::of_extension(extension).is_some_and(|promised| promised != header.format)
        {
            let what = format!("the file is named .{extension}, its content is {}", header.format.name());
            let e = Error::data(what).at(source).hint("it is read by its content; rename it to be sure everywhere");
            self.fault("wrong_extension", Severity::Warning, &e);
        }
    }

    fn look_at_mask(&mut self, mask: &RawMask, coding: Option<&MaskCoding>, source: &str) {
        self.facts = MaskFacts::of_mask(&self.id, mask);
        match coding.map_or(Ok(Cow::Borrowed(mask)), |coding| mask.under(coding)) {
            Ok(mask) => self.values = mask.histogram(),
            Err(e) => self.fault("mask_values", Severity::Error, &e),
        }
        while self.values.len() > MOST_VALUES {
            self.values.pop_last();
        }
        let Some(header) = self.header else { return };
        if let Err(e) = check_sizes(&header, mask.size()) {
            self.fault("size_mismatch", Severity::Error, &e.at(source));
        } else if header.orientation != 1 {
            let what = format!(
                "EXIF orientation {}: viewers show the photograph turned; the mask is taken for the stored pixels",
                header.orientation
            );
            let e =
                Error::data(what).at(source).hint("look whether mask and stored pixels agree, then drop the EXIF tag");
            self.fault("exif_orientation", Severity::Warning, &e);
        }
    }

    /// Whether image and mask could be read and agree in size.
    pub fn usable(&self) -> bool {
        self.faults.iter().all(|p| p.severity != Severity::Error) && !self.values.is_empty()
    }
}
