//! One sample on its way from the data set to a writer.

use super::options::{ConvertOptions, ExifPolicy, VoidPolicy};
use super::writer::{Sample, Writer};
use crate::dataset::{Split, check_sizes};
use crate::error::{Error, ErrorKind, Result};
use crate::image::{self, Format, Header};
use crate::labels::VOID;

/// What came of a sample.
pub(super) enum Prepared<R> {
    Ready {
        ready: R,
        pixels: Box<[u64; 256]>,
    },
    TooSmall(String),
    Bad(Error),
    /// What ends the conversion.
    Failed(Error),
}

/// Reads and verifies sample `i`, and lets `writer` prepare it.
pub(super) fn prepare<W: Writer>(split: &Split, i: usize, options: &ConvertOptions, writer: &W) -> Prepared<W::Ready> {
    let sample = match read(split, i, options) {
        Ok(Ok(sample)) => sample,
        Ok(Err(too_small)) => return Prepared::TooSmall(too_small),
        Err(e) => return Prepared::Bad(e),
    };
    let mut pixels = Box::new([0u64; 256]);
    sample.labels.ids.iter().for_each(|&id| pixels[usize::from(id)] += 1);
    match writer.ready(split.name(), sample) {
        Ok(ready) => Prepared::Ready { ready, pixels },
        Err(e) if e.kind == ErrorKind::Data => Prepared::Bad(e),
        Err(e) => Prepared::Failed(e),
    }
}

/// The sample, or why it is too small.
fn read(split: &Split, i: usize, options: &ConvertOptions) -> Result<std::result::Result<Sample, String>> {
    let (pair, reading) = (split.pair(i)?, split.reading());
    let at_image = |e: Error| if e.path.is_some() { e } else { e.at(split.source(i)) };
    let mut encoded = pair.image?;
    let header = image::read_header(&encoded).map_err(at_image)?;
    if header.size.shorter_side() < options.min_size {
        return Ok(Err(format!("{} is below {} pixels", header.size, options.min_size)));
    }
    let mask = pair.mask?;
    // Decoding is the only proof that the image is whole.
    let verified = image::verify_with(&encoded, reading).map_err(at_image)?;
    verified.greatest_of_16bit.map_or(Ok(0), |greatest| reading.white(greatest)).map_err(at_image)?;
    let mut header = header;
    // Records are read without options: what these change is stored as it is read.
    let turned = options.exif == ExifPolicy::Upright && header.orientation != 1;
    if turned || verified.is_changed_by(reading) {
        let mut image = image::decode_rgb_with(&encoded, reading).map_err(at_image)?;
        if turned {
            image = image.upright(header.orientation);
            header.orientation = 1;
        }
        header = Header { format: Format::Png, size: image.size(), ..header };
        encoded = image.to_png()?;
    }
    check_sizes(&header, mask.size()).map_err(at_image)?;
    let mut labels = mask.labels(split.coding()).map_err(at_image)?;
    if options.void == VoidPolicy::Background {
        labels.ids.iter_mut().filter(|id| **id == VOID).for_each(|id| *id = 0);
    }
    Ok(Ok(Sample { id: split.id(i).to_string(), encoded, header, labels }))
}
