//! Masks: one class id a pixel, from palette, grey or RGB files.
//!
//! Reading is in two steps, so that the data-set linter can explain a mask that training must refuse: [`RawMask`] is
//! what the file says, and [`RawMask::labels`] is what it means under a [`MaskCoding`].

use std::io::Cursor;
use std::path::Path;

use image::DynamicImage;
use image::codecs::pnm::PnmDecoder;

use super::decode::{check_size, decode_dynamic};
use super::format::{Format, damaged};
use super::header::{Header, read_header};
use super::mask_png::{MaskHeader, encode_mask_png, read_png, without_alpha};
use super::options::DEFAULT_MAX_PIXELS;
use super::raw_mask::{MaskPixels, RawMask};
use super::tiff::{Meaning, Page, Samples, count_pages, read_samples};
use crate::error::{Error, Result};
use crate::files::write::write_bytes_atomically;
use crate::labels::{Classes, LabelMap, MaskCoding};
use crate::size::Size;

/// Decodes a mask under `classes`: palette index = class id, grey value = class id, or RGB in the class colours.
/// Sizes up to [`DEFAULT_MAX_PIXELS`].
pub fn decode_mask(bytes: &[u8], classes: &Classes) -> Result<LabelMap> {
    RawMask::decode(bytes)?.labels(&MaskCoding::from(classes))
}

impl RawMask {
    /// Reads a mask file: PNG or TIFF (palette, or grey or RGB of any depth), BMP, PNM, WebP or GIF.
    ///
    /// A TIFF may hold its values as integers or floats of up to 64 bits: whole ones from 0 to 65535 are read. A PBM
    /// has 1 where it is white, as a PNG of 1 bit has.
    ///
    /// A GIF has no grey of its own, and no program keeps the order of its palette: its colours are read, and grey ones
    /// are values.
    ///
    /// JPEG is refused: its compression invents values at every border. Alpha is accepted where it is opaque
    /// throughout.
    pub fn decode(bytes: &[u8]) -> Result<RawMask> {
        let header = read_header(bytes)?;
        check_size(header.size, DEFAULT_MAX_PIXELS)?;
        match header.format {
            Format::Png => read_png(bytes),
            Format::Tiff => read_tiff(bytes),
            Format::Pnm => read_pnm(bytes, &header),
            Format::Jpeg => Err(Error::data("the mask is a JPEG, whose compression changes values at every border")
                .hint("save masks as PNG; a mask that went through JPEG cannot be repaired")),
            _ => {
                let pixels = pixels(decode_dynamic(bytes, &header)?, header.format)?;
                Ok(of_pixels(header.size, pixels))
            }
        }
    }
}

/// What a PNG or TIFF mask says before its pixels; `None` of anything else, and of a start that is too short.
pub(crate) fn read_mask_header(start: &[u8]) -> Option<MaskHeader> {
    MaskHeader::read(start).or_else(|| {
        let page = Page::read(start).ok()?;
        let grey = page.palette.is_none() && page.bands == 1;
        Some(MaskHeader { palette: page.palette, bits: page.bits, grey, class_ids: false })
    })
}

fn of_pixels(size: Size, pixels: MaskPixels) -> RawMask {
    let bits = if matches!(pixels, MaskPixels::Index16(_)) { 16 } else { 8 };
    RawMask { width: size.width, height: size.height, pixels, palette: None, bits, class_ids: false }
}

fn pixels(decoded: DynamicImage, format: Format) -> Result<MaskPixels> {
    match decoded {
        DynamicImage::ImageLuma8(grey) => Ok(MaskPixels::Index8(grey.into_raw())),
        DynamicImage::ImageLuma16(grey) => Ok(MaskPixels::Index16(grey.into_raw())),
        DynamicImage::ImageRgb8(rgb) => Ok(MaskPixels::Rgb(rgb.into_raw())),
        DynamicImage::ImageRgba8(rgba) if format == Format::Gif => grey_or_rgb(rgba.as_raw()),
        DynamicImage::ImageRgba8(rgba) => without_alpha(rgba.as_raw(), 4).map(MaskPixels::Rgb),
        other => Err(Error::data(format!("a {:?} mask is not supported", other.color()))
            .hint("save masks as palette or grey PNG")),
    }
}

/// A mask in the first page of a TIFF.
fn read_tiff(bytes: &[u8]) -> Result<RawMask> {
    let page = Page::read(bytes)?;
    let pages = count_pages(bytes);
    if pages > 1 {
        return Err(Error::data(format!("the mask has {pages} pages; one holds all classes"))
            .hint("where each page is a class, write one index PNG in which the value says the class"));
    }
    if page.meaning == Meaning::WhiteIsZero {
        return Err(Error::data(
            "the mask says that 0 is white (WhiteIsZero), and programs disagree on its values then",
        )
        .hint("save masks as palette or grey PNG"));
    }
    let colours = page.colour_bands().len();
    let keep: Vec<usize> = (0..page.bands).collect();
    let read = || read_samples(bytes, &page, &keep, DEFAULT_MAX_PIXELS);
    let pixels = match (page.meaning, colours, page.alpha.len()) {
        (Meaning::BlackIsZero | Meaning::Palette, 1, 0) => match read()? {
            Samples::Eight(values) => MaskPixels::Index8(values),
            Samples::Sixteen(values) => MaskPixels::Index16(values),
        },
        (Meaning::BlackIsZero | Meaning::Rgb, 1 | 3, alpha @ (0 | 1)) => match read()? {
            Samples::Eight(values) => {
                let values = if alpha == 1 { without_alpha(&values, page.bands)? } else { values };
                if colours == 1 { MaskPixels::Index8(values) } else { MaskPixels::Rgb(values) }
            }
            Samples::Sixteen(_) => return Err(unlike_a_mask(&page)),
        },
        _ => return Err(unlike_a_mask(&page)),
    };
    let Page { size: Size { width, height }, palette, bits, .. } = page;
    Ok(RawMask { width, height, pixels, palette, bits, class_ids: false })
}

fn unlike_a_mask(page: &Page) -> Error {
    Error::data(format!("a TIFF mask of {} bands of {} is not supported", page.bands, page.samples_in_words()))
        .hint("save masks as palette or grey PNG, or as 8-bit RGB")
}

/// A mask in a PNM file: its values as stored, which the decoder stretches so that the file's greatest is white.
fn read_pnm(bytes: &[u8], header: &Header) -> Result<RawMask> {
    let decoder = PnmDecoder::new(Cursor::new(bytes)).map_err(|e| damaged(Format::Pnm, &e.to_string()))?;
    let stored = decoder.header().maximal_sample();
    let mut mask = of_pixels(header.size, pixels(decode_dynamic(bytes, header)?, Format::Pnm)?);
    match &mut mask.pixels {
        MaskPixels::Index8(values) => {
            values.iter_mut().for_each(|v| *v = ((u32::from(*v) * stored + 127) / 255) as u8);
        }
        MaskPixels::Index16(values) => {
            values.iter_mut().for_each(|v| *v = ((u32::from(*v) * stored + 32767) / 65535) as u16);
        }
        MaskPixels::Rgb(_) => {}
    }
    mask.bits = if stored == 1 { 1 } else { mask.bits };
    Ok(mask)
}

/// The pixels of a GIF: values where all colours are grey.
fn grey_or_rgb(rgba: &[u8]) -> Result<MaskPixels> {
    let rgb = without_alpha(rgba, 4)?;
    let grey = rgb.chunks_exact(3).all(|p| p[0] == p[1] && p[1] == p[2]);
    Ok(if grey { MaskPixels::Index8(rgb.chunks_exact(3).map(|p| p[0]).collect()) } else { MaskPixels::Rgb(rgb) })
}

impl LabelMap {
    /// Writes the map as an index PNG ([`encode_mask_png`]): all of it or nothing.
    ///
    /// # Errors
    /// What the system refuses.
    pub fn save(&self, path: impl AsRef<Path>, classes: &Classes) -> Result<()> {
        write_bytes_atomically(path.as_ref(), &encode_mask_png(self, classes)?)
    }
}
