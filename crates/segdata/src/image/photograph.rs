//! Photographs in memory, and writing them.

use image::metadata::Orientation;
use image::{DynamicImage, ImageEncoder, codecs};

use crate::error::{Error, Result};
use crate::size::Size;

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

impl RgbImage {
    /// An image of one colour.
    pub fn filled(size: Size, rgb: [u8; 3]) -> Self {
        RgbImage { width: size.width, height: size.height, rgb_hwc: rgb.repeat(size.pixels()) }
    }

    /// Width and height in pixels.
    pub fn size(&self) -> Size {
        Size::new(self.width, self.height)
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
        let encoder = codecs::jpeg::JpegEncoder::new_with_quality(&mut out, quality.clamp(1, 100));
        self.encode_with(encoder)?;
        Ok(out)
    }

    /// Encodes as 8-bit RGB PNG, without loss.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode_with(codecs::png::PngEncoder::new(&mut out))?;
        Ok(out)
    }

    fn encode_with(&self, encoder: impl ImageEncoder) -> Result<()> {
        if self.width == 0 || self.height == 0 || self.rgb_hwc.len() != self.width * self.height * 3 {
            return Err(Error::internal(format!(
                "an image of {} with {} bytes cannot be written",
                self.size(),
                self.rgb_hwc.len()
            )));
        }
        encoder
            .write_image(&self.rgb_hwc, self.width as u32, self.height as u32, image::ExtendedColorType::Rgb8)
            .map_err(|e| Error::data(format!("an image of {} cannot be written: {e}", self.size())))
    }
}
