//! Masks: one class id a pixel, from palette, grey or RGB files.
//!
//! Reading is in two steps, so that the data-set linter can explain a mask that training must refuse: [`RawMask`] is
//! what the file says, and [`RawMask::labels`] is what it means under a [`MaskCoding`].

use std::path::Path;

use super::decode::{DEFAULT_MAX_PIXELS, check_size, decode_dynamic};
use super::format::Format;
use super::header::read_header;
use super::mask_png::{encode_mask_png, read_png, without_alpha};
use super::raw_mask::{MaskPixels, RawMask};
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
    /// Reads a mask file: PNG (palette, or grey or RGB of any depth, interlaced or not), BMP, TIFF, WebP or GIF.
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
            Format::Jpeg => Err(Error::data("the mask is a JPEG, whose compression changes values at every border")
                .hint("save masks as PNG; a mask that went through JPEG cannot be repaired")),
            _ => {
                let decoded = decode_dynamic(bytes, &header)?;
                let pixels = match decoded {
                    image::DynamicImage::ImageLuma8(grey) => MaskPixels::Index8(grey.into_raw()),
                    image::DynamicImage::ImageLuma16(grey) => MaskPixels::Index16(grey.into_raw()),
                    image::DynamicImage::ImageRgb8(rgb) => MaskPixels::Rgb(rgb.into_raw()),
                    image::DynamicImage::ImageRgba8(rgba) if header.format == Format::Gif => {
                        grey_or_rgb(rgba.as_raw())?
                    }
                    other => {
                        return Err(Error::data(format!("a {:?} mask is not supported", other.color()))
                            .hint("save masks as palette or grey PNG"));
                    }
                };
                let bits = if matches!(pixels, MaskPixels::Index16(_)) { 16 } else { 8 };
                let Size { width, height } = header.size;
                Ok(RawMask { width, height, pixels, palette: None, bits, class_ids: false })
            }
        }
    }
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
