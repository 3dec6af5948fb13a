//! Decoding photographs, without silent repair.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageReader};

use super::format::{Format, damaged};
use super::header::{Header, read_header};
use super::jpeg;
use super::options::ReadOptions;
use super::photograph::RgbImage;
use super::tiff::{self, Colours, Page};
use crate::error::{Error, Result};
use crate::files::read::read;
use crate::size::Size;

impl RgbImage {
    /// The photograph in a file, of any kind that [`decode_rgb`] reads.
    ///
    /// # Errors
    /// A file that cannot be read, or is no photograph.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        decode_rgb(&read("the photograph", path)?).map_err(|e| e.at(path))
    }
}

/// Decodes a photograph as it is by default; see [`decode_rgb_with`].
pub fn decode_rgb(bytes: &[u8]) -> Result<RgbImage> {
    decode_rgb_with(bytes, &ReadOptions::default())
}

/// Decodes a photograph to 8-bit RGB in its **stored** frame: EXIF orientation is not applied (see
/// [`RgbImage::upright`]), because masks are drawn on stored pixels.
///
/// * Grey becomes three equal channels. Samples of 16 bits are scaled to 8 as [`ReadOptions::white`] says, and rounded.
/// * Alpha is dropped, as Pillow and TensorFlow do; the colours under it are kept.
/// * Palettes are expanded. Interlaced and progressive files are read whole.
/// * CMYK and YCCK JPEGs are converted to RGB; Adobe's inverted convention is recognised by its APP14 marker.
/// * Of a TIFF, `options.bands` are read; without it, its colours, which it must name.
/// * ICC profiles are ignored.
/// * Of an animated or multi-page file the first image is read; see [`count_images`](super::count_images).
/// * Truncated or damaged files, float samples, and more than `options.max_pixels` are errors.
pub fn decode_rgb_with(bytes: &[u8], options: &ReadOptions) -> Result<RgbImage> {
    let header = read_header(bytes)?;
    check_size(header.size, options.max_pixels)?;
    let rgb_hwc = match decode_colours(bytes, &header, options)? {
        Colours::Eight(rgb) => rgb,
        Colours::Sixteen(rgb) => scale_down(&rgb, options.white(greatest(&rgb))?),
    };
    Ok(RgbImage { width: header.size.width, height: header.size.height, rgb_hwc })
}

/// What is known of a photograph that was decoded whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verified {
    /// What its header says.
    pub header: Header,
    /// Its greatest sample, where samples have 16 bits; whether they can be read, [`ReadOptions::white`] says.
    pub greatest_of_16bit: Option<u16>,
}

impl Verified {
    /// Whether options change what is read, so that the file alone does not say what it shows.
    pub fn is_changed_by(&self, options: &ReadOptions) -> bool {
        let scaled = options.scale_16bit.is_some() && self.greatest_of_16bit.is_some();
        scaled || (options.bands.is_some() && self.header.format == Format::Tiff)
    }
}

/// Whether the photograph is whole, at less cost than [`decode_rgb_with`] where the format allows.
///
/// # Errors
/// As [`decode_rgb_with`], except that samples of 16 bits are not held against their scale.
pub fn verify_with(bytes: &[u8], options: &ReadOptions) -> Result<Verified> {
    let header = read_header(bytes)?;
    check_size(header.size, options.max_pixels)?;
    let greatest_of_16bit = match header.format {
        Format::Jpeg => jpeg::verify(bytes).map(|()| None)?,
        _ => match decode_colours(bytes, &header, options)? {
            Colours::Eight(_) => None,
            Colours::Sixteen(rgb) => Some(greatest(&rgb)),
        },
    };
    Ok(Verified { header, greatest_of_16bit })
}

fn decode_colours(bytes: &[u8], header: &Header, options: &ReadOptions) -> Result<Colours> {
    match header.format {
        Format::Jpeg => jpeg::decode_rgb(bytes).map(Colours::Eight),
        Format::Tiff => tiff::colours(bytes, &Page::read(bytes)?, options),
        format => to_colours(format, decode_dynamic(bytes, header)?),
    }
}

fn greatest(samples: &[u16]) -> u16 {
    samples.iter().copied().max().unwrap_or_default()
}

/// Samples from 0 to `white` as 0 to 255, rounded.
fn scale_down(samples: &[u16], white: u16) -> Vec<u8> {
    let white = u32::from(white);
    samples.iter().map(|&v| ((u32::from(v) * 255 + white / 2) / white) as u8).collect()
}

/// Refuses sizes above `max_pixels`, before anything is allocated.
pub(crate) fn check_size(size: Size, max_pixels: u64) -> Result<()> {
    let pixels = size.pixels() as u64;
    if pixels <= max_pixels {
        return Ok(());
    }
    Err(Error::data(format!(
        "the header gives {size}, {} Mpx, above the limit of {} Mpx",
        pixels.div_ceil(1_000_000),
        max_pixels / 1_000_000
    ))
    .hint("scale the image down or cut it into tiles"))
}

/// Decodes anything but TIFF through the `image` crate, with an allocation limit derived from the checked size.
pub(crate) fn decode_dynamic(bytes: &[u8], header: &Header) -> Result<DynamicImage> {
    let mut limits = image::Limits::no_limits();
    // 16 bytes a pixel is the widest sample layout (RGBA, 32 bits); the rest is for tables and metadata.
    limits.max_alloc = Some(header.size.pixels() as u64 * 16 + (64 << 20));
    let Some(codec) = header.format.codec() else {
        return Err(Error::data("a TIFF is not read here").hint("save it as PNG"));
    };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), codec);
    reader.limits(limits);
    reader.decode().map_err(|e| damaged(header.format, &e.to_string()))
}

fn to_colours(format: Format, decoded: DynamicImage) -> Result<Colours> {
    match decoded {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_) => Ok(Colours::Eight(decoded.into_rgb8().into_raw())),
        DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => Ok(Colours::Sixteen(decoded.into_rgb16().into_raw())),
        other => {
            Err(Error::data(format!("{} samples of type {:?} have no agreed range", format.name(), other.color()))
                .hint("convert it to 8 or 16 bits a channel"))
        }
    }
}
