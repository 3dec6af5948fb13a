//! Photographs and masks in and out: decode, resize, write. `RgbImage` in, `LabelMap` out.
//!
//! The format is told from the content, never from the file name. Sizes are judged from the header before anything
//! is allocated. What a decoder would guess at is refused instead: see [`decode_rgb`] for the policy of each case.

mod jpeg;
mod mask;
pub mod preprocessing;
mod resize;

use std::io::Cursor;

use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageReader};

use crate::error::{Error, Result};
use crate::labels::{Classes, LabelMap, voc_colour};

pub use mask::{MaskPixels, MaskValue, RawMask, decode_mask, decode_mask_as};
pub use resize::{resize_labels, resize_rgb};

/// Images with more pixels than this are refused unless the caller says otherwise: 256 Mpx, that is 768 MB of RGB.
pub const DEFAULT_MAX_PIXELS: u64 = 256_000_000;

/// An 8-bit RGB photograph, row-major, interleaved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `height * width * 3` bytes: red, green, blue.
    pub rgb_hwc: Vec<u8>,
}

/// The image formats that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Baseline or progressive JPEG.
    Jpeg,
    /// PNG; of an animated one, the default image.
    Png,
    /// Windows bitmap.
    Bmp,
    /// TIFF; of several pages, the first.
    Tiff,
    /// WebP; of an animated one, the first frame.
    Webp,
}

impl Format {
    /// The lower-case name, as it stands in `image/format` of a record.
    pub fn name(self) -> &'static str {
        match self {
            Format::Jpeg => "jpeg",
            Format::Png => "png",
            Format::Bmp => "bmp",
            Format::Tiff => "tiff",
            Format::Webp => "webp",
        }
    }

    /// Whether a file with this extension (any case, no dot) is expected to hold this format.
    pub fn matches_extension(self, extension: &str) -> bool {
        let extensions: &[&str] = match self {
            Format::Jpeg => &["jpg", "jpeg", "jpe", "jfif"],
            Format::Png => &["png", "apng"],
            Format::Bmp => &["bmp", "dib"],
            Format::Tiff => &["tif", "tiff"],
            Format::Webp => &["webp"],
        };
        extensions.iter().any(|e| e.eq_ignore_ascii_case(extension))
    }

    fn codec(self) -> image::ImageFormat {
        match self {
            Format::Jpeg => image::ImageFormat::Jpeg,
            Format::Png => image::ImageFormat::Png,
            Format::Bmp => image::ImageFormat::Bmp,
            Format::Tiff => image::ImageFormat::Tiff,
            Format::Webp => image::ImageFormat::WebP,
        }
    }
}

/// Extensions of files taken for images when a folder is listed.
pub const IMAGE_EXTENSIONS: [&str; 8] = ["jpg", "jpeg", "png", "bmp", "tif", "tiff", "webp", "jfif"];

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format, told from the content.
    pub format: Format,
    /// Width in stored pixels, before any rotation asked for by EXIF.
    pub width: usize,
    /// Height in stored pixels.
    pub height: usize,
    /// EXIF orientation, 1-8; 1 (upright) where there is none.
    pub orientation: u8,
}

impl Header {
    /// Width and height after the rotation that EXIF asks for: orientations 5-8 exchange the sides.
    pub fn upright_size(&self) -> (usize, usize) {
        if self.orientation >= 5 { (self.height, self.width) } else { (self.width, self.height) }
    }
}

/// The format of an image file's content; the error says what the bytes look like instead.
pub fn guess_format(bytes: &[u8]) -> Result<Format> {
    if bytes.is_empty() {
        return Err(Error::data("the file is empty (0 bytes)").hint("copy it again from its source"));
    }
    match image::guess_format(bytes) {
        Ok(image::ImageFormat::Jpeg) => Ok(Format::Jpeg),
        Ok(image::ImageFormat::Png) => Ok(Format::Png),
        Ok(image::ImageFormat::Bmp) => Ok(Format::Bmp),
        Ok(image::ImageFormat::Tiff) => Ok(Format::Tiff),
        Ok(image::ImageFormat::WebP) => Ok(Format::Webp),
        Ok(other) => Err(unsupported(&format!("{other:?}"))),
        Err(_) if bytes.get(4..12).is_some_and(|b| b.starts_with(b"ftyp")) => Err(unsupported("HEIC or AVIF")),
        Err(_) => {
            let start: String = String::from_utf8_lossy(&bytes[..bytes.len().min(24)]).escape_debug().collect();
            Err(Error::data(format!("not an image: {} bytes that start with \"{start}\"", bytes.len()))
                .hint("expected the content of a JPEG, PNG, BMP, TIFF or WebP file"))
        }
    }
}

fn unsupported(what: &str) -> Error {
    Error::data(format!("images of format {what} are not supported")).hint("convert it to JPEG or PNG")
}

/// Reads format, size and orientation from the header; no pixel is decoded and nothing large is allocated.
pub fn read_header(bytes: &[u8]) -> Result<Header> {
    let format = guess_format(bytes)?;
    if format == Format::Jpeg {
        let header = jpeg::read_header(bytes)?;
        let exif = header.exif.and_then(|range| bytes.get(range));
        let orientation = exif.and_then(Orientation::from_exif_chunk).map_or(1, Orientation::to_exif);
        return Ok(Header { format, width: header.width, height: header.height, orientation });
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format.codec())
        .into_decoder()
        .map_err(|e| damaged(format, &e.to_string()))?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_or(1, Orientation::to_exif);
    if width == 0 || height == 0 {
        return Err(damaged(format, &format!("the header gives a size of {width}x{height}")));
    }
    Ok(Header { format, width: width as usize, height: height as usize, orientation })
}

/// Stored width and height in pixels, from the header alone.
pub fn image_size(bytes: &[u8]) -> Result<(usize, usize)> {
    read_header(bytes).map(|h| (h.width, h.height))
}

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
/// * CMYK and YCCK JPEGs are converted to RGB; Adobe's inverted convention is told by its APP14 marker.
/// * ICC profiles are ignored.
/// * Of an animated or multi-page file the first image is read.
/// * Truncated or damaged files, float samples, and more than `max_pixels` are errors.
pub fn decode_rgb_within(bytes: &[u8], max_pixels: u64) -> Result<RgbImage> {
    let header = read_header(bytes)?;
    judge_size(header.width, header.height, max_pixels)?;
    let rgb_hwc = match header.format {
        Format::Jpeg => jpeg::decode_rgb(bytes)?,
        format => to_rgb8(format, decode_dynamic(bytes, &header)?)?,
    };
    Ok(RgbImage { width: header.width, height: header.height, rgb_hwc })
}

/// Whether [`decode_rgb`] would succeed, at less cost where the format allows; the header on success.
pub fn verify(bytes: &[u8]) -> Result<Header> {
    let header = read_header(bytes)?;
    judge_size(header.width, header.height, DEFAULT_MAX_PIXELS)?;
    match header.format {
        Format::Jpeg => jpeg::verify(bytes)?,
        format => drop(to_rgb8(format, decode_dynamic(bytes, &header)?)?),
    }
    Ok(header)
}

/// Refuses sizes above `max_pixels`, before anything is allocated.
fn judge_size(width: usize, height: usize, max_pixels: u64) -> Result<()> {
    let pixels = width as u64 * height as u64;
    if pixels <= max_pixels {
        return Ok(());
    }
    Err(Error::data(format!(
        "the header gives {width}x{height}, {} Mpx, above the limit of {} Mpx",
        pixels.div_ceil(1_000_000),
        max_pixels / 1_000_000
    ))
    .hint("scale the image down or cut it into tiles"))
}

/// Decodes anything but JPEG through the `image` crate, with an allocation limit derived from the judged size.
fn decode_dynamic(bytes: &[u8], header: &Header) -> Result<DynamicImage> {
    let mut limits = image::Limits::no_limits();
    // 16 bytes a pixel is the widest sample layout (RGBA, 32 bits); the rest is room for tables and metadata.
    limits.max_alloc = Some(header.width as u64 * header.height as u64 * 16 + (64 << 20));
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

fn damaged(format: Format, what: &str) -> Error {
    let what = what.trim_end_matches(['.', '\n']);
    Error::data(format!("damaged {} file: {what}", format.name().to_uppercase()))
        .hint("copy the file again from its source, or leave it out")
}

impl RgbImage {
    /// An image of one colour.
    pub fn filled(width: usize, height: usize, rgb: [u8; 3]) -> Self {
        RgbImage { width, height, rgb_hwc: rgb.repeat(width * height) }
    }

    /// The colour at column `x`, row `y`.
    pub fn pixel(&self, x: usize, y: usize) -> [u8; 3] {
        let at = (y * self.width + x) * 3;
        [self.rgb_hwc[at], self.rgb_hwc[at + 1], self.rgb_hwc[at + 2]]
    }

    /// The picture turned upright as EXIF `orientation` (1-8) asks; other values leave it as it is.
    pub fn upright(self, orientation: u8) -> RgbImage {
        let Some(orientation) = Orientation::from_exif(orientation).filter(|o| *o != Orientation::NoTransforms) else {
            return self;
        };
        let (width, height) = (self.width as u32, self.height as u32);
        let Some(buffer) = image::RgbImage::from_raw(width, height, self.rgb_hwc) else {
            return RgbImage { width: 0, height: 0, rgb_hwc: Vec::new() };
        };
        let mut turned = DynamicImage::ImageRgb8(buffer);
        turned.apply_orientation(orientation);
        let (width, height) = (turned.width() as usize, turned.height() as usize);
        RgbImage { width, height, rgb_hwc: turned.into_rgb8().into_raw() }
    }

    /// Encodes as baseline JPEG; `quality` 1-100.
    pub fn to_jpeg(&self, quality: u8) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
        self.encode_with(encoder)?;
        Ok(out)
    }

    /// Encodes as 8-bit RGB PNG, without loss.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode_with(image::codecs::png::PngEncoder::new(&mut out))?;
        Ok(out)
    }

    fn encode_with(&self, encoder: impl image::ImageEncoder) -> Result<()> {
        if self.width == 0 || self.height == 0 || self.rgb_hwc.len() != self.width * self.height * 3 {
            return Err(Error::internal(format!(
                "an image of {}x{} with {} bytes cannot be written",
                self.width,
                self.height,
                self.rgb_hwc.len()
            )));
        }
        encoder
            .write_image(&self.rgb_hwc, self.width as u32, self.height as u32, image::ExtendedColorType::Rgb8)
            .map_err(|e| Error::data(format!("an image of {}x{} cannot be written: {e}", self.width, self.height)))
    }
}

/// Encodes class ids as an 8-bit palette PNG: the index is the id, the palette is that of `classes`; indices without
/// a class, void among them, get the colour of VOC's colour map.
pub fn encode_mask_png(labels: &LabelMap, classes: &Classes) -> Result<Vec<u8>> {
    let palette: Vec<u8> =
        (0..=u8::MAX).flat_map(|id| classes.palette.get(usize::from(id)).copied().unwrap_or(voc_colour(id))).collect();
    let refused = |e: png::EncodingError| {
        Error::internal(format!("a mask of {}x{} cannot be written: {e}", labels.width, labels.height))
    };
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, labels.width as u32, labels.height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(&labels.ids).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(out)
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::with_orientation as turned_for_tests;
