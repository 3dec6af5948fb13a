//! Decoding photographs, without silent repair.

use std::io::Cursor;
use std::path::Path;

use image::{DynamicImage, ImageReader};

use super::format::{Format, damaged};
use super::header::{Header, read_header};
use super::jpeg;
use super::photograph::RgbImage;
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

/// Images with more pixels than this are refused unless the caller says otherwise: 256 Mpx, that is 768 MB of RGB.
pub const DEFAULT_MAX_PIXELS: u64 = 256_000_000;

/// Decodes a photograph of at most [`DEFAULT_MAX_PIXELS`]; see [`decode_rgb_within`].
pub fn decode_rgb(bytes: &[u8]) -> Result<RgbImage> {
    decode_rgb_within(bytes, DEFAULT_MAX_PIXELS)
}

/// Decodes a photograph to 8-bit RGB in its **stored** frame: EXIF orientation is not applied (see
/// [`RgbImage::upright`]), because masks are drawn on stored pixels.
///
/// * Grey becomes three equal channels. 16-bit values are rounded to 8 bits (v / 257).
/// * Alpha is dropped, as Pillow and TensorFlow do; the colours under it are kept.
/// * Palettes are expanded. Interlaced and progressive files are read whole.
/// * CMYK and YCCK JPEGs are converted to RGB; Adobe's inverted convention is recognised by its APP14 marker.
/// * ICC profiles are ignored.
/// * Of an animated or multi-page file the first image is read.
/// * Truncated or damaged files, float samples, and more than `max_pixels` are errors.
pub fn decode_rgb_within(bytes: &[u8], max_pixels: u64) -> Result<RgbImage> {
    let header = read_header(bytes)?;
    check_size(header.size, max_pixels)?;
    let rgb_hwc = match header.format {
        Format::Jpeg => jpeg::decode_rgb(bytes)?,
        format => to_rgb8(format, decode_dynamic(bytes, &header)?)?,
    };
    Ok(RgbImage { width: header.size.width, height: header.size.height, rgb_hwc })
}

/// Whether [`decode_rgb`] would succeed, at less cost where the format allows; the header on success.
pub fn verify(bytes: &[u8]) -> Result<Header> {
    let header = read_header(bytes)?;
    check_size(header.size, DEFAULT_MAX_PIXELS)?;
    match header.format {
        Format::Jpeg => jpeg::verify(bytes)?,
        format => drop(to_rgb8(format, decode_dynamic(bytes, &header)?)?),
    }
    Ok(header)
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

/// Decodes anything but JPEG through the `image` crate, with an allocation limit derived from the checked size.
pub(crate) fn decode_dynamic(bytes: &[u8], header: &Header) -> Result<DynamicImage> {
    let mut limits = image::Limits::no_limits();
    // 16 bytes a pixel is the widest sample layout (RGBA, 32 bits); the rest is for tables and metadata.
    limits.max_alloc = Some(header.size.pixels() as u64 * 16 + (64 << 20));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), header.format.codec());
    reader.limits(limits);
    reader.decode().map_err(|e| damaged(header.format, &e.to_string()))
}

fn to_rgb8(format: Format, decoded: DynamicImage) -> Result<Vec<u8>> {
    match decoded {
        DynamicImage::ImageLuma8(_)
        | DynamicImage::ImageLumaA8(_)
        | DynamicImage::ImageRgb8(_)
        | DynamicImage::ImageRgba8(_)
        | DynamicImage::ImageLuma16(_)
        | DynamicImage::ImageLumaA16(_)
        | DynamicImage::ImageRgb16(_)
        | DynamicImage::ImageRgba16(_) => Ok(decoded.into_rgb8().into_raw()),
        other => {
            Err(Error::data(format!("{} samples of type {:?} have no agreed range", format.name(), other.color()))
                .hint("convert it to 8 or 16 bits a channel"))
        }
    }
}
