//! Format, size and orientation of an image file, from its header alone.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader};

use super::format::{Format, damaged, guess_format};
use super::jpeg;
use crate::error::Result;
use crate::size::Size;

/// What the header of an image file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Format, found from the content.
    pub format: Format,
    /// Size in stored pixels, before any rotation asked for by EXIF.
    pub size: Size,
    /// EXIF orientation, 1-8; 1 (upright) where there is none.
    pub orientation: u8,
}

impl Header {
    /// The size after the rotation that EXIF asks for: orientations 5-8 exchange the sides.
    pub fn upright_size(&self) -> Size {
        if self.orientation >= 5 { self.size.transposed() } else { self.size }
    }
}

/// Reads format, size and orientation from the header; no pixel is decoded and nothing large is allocated.
pub fn read_header(bytes: &[u8]) -> Result<Header> {
    let format = guess_format(bytes)?;
    if format == Format::Jpeg {
        let header = jpeg::read_header(bytes)?;
        let exif = header.exif.and_then(|range| bytes.get(range));
        let orientation = exif.and_then(Orientation::from_exif_chunk).map_or(1, Orientation::to_exif);
        return Ok(Header { format, size: Size::new(header.width, header.height), orientation });
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format.codec())
        .into_decoder()
        .map_err(|e| damaged(format, &e.to_string()))?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_or(1, Orientation::to_exif);
    if width == 0 || height == 0 {
        return Err(damaged(format, &format!("the header gives a size of {width}x{height}")));
    }
    Ok(Header { format, size: Size::new(width as usize, height as usize), orientation })
}
