//! Counts over a split: images by class and by size.

use std::collections::BTreeMap;

use serde::Serialize;

use super::inspect::{Inspection, Library};
use crate::dataset::{Dataset, Split};
use crate::image::fewest_bits;
use crate::size::Size;

/// Counts over one split.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SplitReport {
    /// `train`, `val`, ...
    pub name: String,
    /// Samples that the split names.
    pub images: usize,
    /// Samples whose image and mask could be read and agree in size.
    pub usable: usize,
    /// By class id.
    pub per_class: Vec<ClassCount>,
    /// Pixels without a label.
    pub void_pixels: u64,
    /// Pixels whose mask value has no class.
    pub unknown_pixels: u64,
    /// `void_pixels` over all pixels, 0 to 1.
    pub void_share: f64,
    /// Image sizes with the number of images, commonest first; at most ten.
    pub sizes: Vec<SizeCount>,
    /// Number of different sizes.
    pub different_sizes: usize,
    /// Smallest width and smallest height that occur; in JSON `[width, height]`.
    #[serde(serialize_with = "as_pair")]
    pub smallest: Option<Size>,
    /// Largest width and largest height that occur; in JSON `[width, height]`.
    #[serde(serialize_with = "as_pair")]
    pub largest: Option<Size>,
    /// The photographs of 16 bits a sample; none where there is no such one.
    pub of_16bit: Option<SixteenBits>,
}

/// Photographs of 16 bits a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SixteenBits {
    /// How many there are.
    pub images: usize,
    /// The greatest sample of all, 0 to 65535.
    pub greatest: u16,
    /// The fewest bits of a sensor that hold it: 8, 10, 12, 14 or 16.
    pub bits: u8,
}

impl SixteenBits {
    /// Of the images that `seen` holds.
    pub(super) fn of<'a>(seen: impl Iterator<Item = &'a Inspection>) -> Option<SixteenBits> {
        let all: Vec<u16> = seen.filter_map(|seen| seen.greatest_of_16bit).collect();
        let greatest = all.iter().copied().max()?;
        Some(SixteenBits { images: all.len(), greatest, bits: fewest_bits(greatest) })
    }
}

/// How often a class occurs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ClassCount {
    /// Class id.
    pub id: usize,
    /// Its name.
    pub name: String,
    /// Images in which it occurs.
    pub images: u64,
    /// Its pixels.
    pub pixels: u64,
}

/// How many images have a size.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct SizeCount {
    /// The size; in JSON `width` and `height`.
    #[serde(flatten)]
    pub size: Size,
    /// Images of this size.
    pub images: usize,
}

/// `[width, height]`, or null.
fn as_pair<S: serde::Serializer>(size: &Option<Size>, to: S) -> Result<S::Ok, S::Error> {
    size.map(|size| [size.width, size.height]).serialize(to)
}

/// Counts over the samples of one split.
pub(super) fn count(split: &Split, library: &Library, dataset: &Dataset) -> SplitReport {
    let names = dataset.classes.names.iter().enumerate();
    let mut report = SplitReport {
        name: split.name().to_string(),
        images: split.len(),
        usable: 0,
        per_class: names.map(|(id, name)| ClassCount { id, name: name.clone(), images: 0, pixels: 0 }).collect(),
        void_pixels: 0,
        unknown_pixels: 0,
        void_share: 0.0,
        sizes: Vec::new(),
        different_sizes: 0,
        smallest: None,
        largest: None,
        of_16bit: SixteenBits::of(library.of(split)),
    };
    let mut sizes: BTreeMap<Size, usize> = BTreeMap::new();
    for seen in library.of(split) {
        report.usable += usize::from(seen.usable());
        if let Some(header) = seen.header {
            *sizes.entry(header.size).or_default() += 1;
        }
        let mut present = vec![0u64; report.per_class.len()];
        for (value, &pixels) in &seen.values {
            match dataset.coding.id_of(*value).map(usize::from) {
                None => report.unknown_pixels += pixels,
                Some(id) => match present.get_mut(id) {
                    Some(count) => *count += pixels,
                    None => report.void_pixels += pixels,
                },
            }
        }
        for (class, pixels) in report.per_class.iter_mut().zip(present) {
            class.images += u64::from(pixels > 0);
            class.pixels += pixels;
        }
    }
    let labelled: u64 = report.per_class.iter().map(|c| c.pixels).sum();
    let total = labelled + report.void_pixels + report.unknown_pixels;
    report.void_share = report.void_pixels as f64 / total.max(1) as f64;
    let extreme = |pick: fn(usize, usize) -> usize| {
        let both = |a: Size, b: Size| Size::new(pick(a.width, b.width), pick(a.height, b.height));
        sizes.keys().copied().reduce(both)
    };
    (report.smallest, report.largest) = (extreme(usize::min), extreme(usize::max));
    report.different_sizes = sizes.len();
    let mut common: Vec<SizeCount> = sizes.iter().map(|(&size, &images)| SizeCount { size, images }).collect();
    common.sort_by_key(|s| (std::cmp::Reverse(s.images), s.size));
    common.truncate(10);
    report.sizes = common;
    report
}
