//! One sample on its way from the data set to a record.

use tfio::Example;

use super::options::{ConvertOptions, ExifPolicy, VoidPolicy};
use crate::dataset::{Split, check_sizes};
use crate::error::{Error, Result};
use crate::image::{self, Format, Header};
use crate::labels::VOID;

/// A sample on its way into a shard.
pub(super) enum Prepared {
    Record { bytes: Vec<u8>, pixels: Box<[u64; 256]> },
    TooSmall(String),
    Bad(Error),
}

/// Reads, verifies and encodes one sample.
pub(super) fn prepare(split: &Split, i: usize, options: &ConvertOptions) -> Prepared {
    match try_prepare(split, i, options) {
        Ok(prepared) => prepared,
        Err(e) => Prepared::Bad(e),
    }
}

fn try_prepare(split: &Split, i: usize, options: &ConvertOptions) -> Result<Prepared> {
    let (pair, reading) = (split.pair(i)?, split.reading());
    let at_image = |e: Error| if e.path.is_some() { e } else { e.at(split.source(i)) };
    let mut encoded = pair.image?;
    let header = image::read_header(&encoded).map_err(at_image)?;
    if header.size.shorter_side() < options.min_size {
        return Ok(Prepared::TooSmall(format!("{} is below {} pixels", header.size, options.min_size)));
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
