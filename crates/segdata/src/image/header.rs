//! Format, size and orientation of an image file, from its header alone.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ImageDecoder, ImageReader};

use super::format::{Format, damaged, guess_format};
use super::jpeg;
use super::tiff::{Page, count_pages};
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
    let Some(codec) = format.codec() else {
        let page = Page::read(bytes)?;
        return Ok(Header { format, size: page.size, orientation: page.orientation });
    };
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), codec)
        .into_decoder()
        .map_err(|e| damaged(format, &e.to_string()))?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_or(1, Orientation::to_exif);
    if width == 0 || height == 0 {
        return Err(damaged(format, &format!("the header gives a size of {width}x{height}")));
    }
    Ok(Header { format, size: Size::new(width as usize, height as usize), orientation })
}

/// How many images a file holds, as far as that shows without decoding them: pages of a TIFF, frames of a GIF, WebP or
/// animated PNG. 1 for every other file.
pub fn count_images(bytes: &[u8]) -> usize {
    let count = match guess_format(bytes) {
        Ok(Format::Tiff) => count_pages(bytes),
        Ok(Format::Gif) => count_gif_frames(bytes).unwrap_or(1),
        Ok(Format::Webp) => riff_chunks(bytes).filter(|name| name == b"ANMF").count(),
        Ok(Format::Png) => {
            let reader = png::Decoder::new(Cursor::new(bytes)).read_info();
            reader.ok().and_then(|r| r.info().animation_control().map(|a| a.num_frames as usize)).unwrap_or(1)
        }
        _ => 1,
    };
    count.max(1)
}

/// The names of the chunks of a WebP file (RFC 9649, section 2.3).
fn riff_chunks(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> + '_ {
    let mut at = 12;
    std::iter::from_fn(move || {
        let [a, b, c, d, size @ ..] = *bytes.get(at..)?.first_chunk::<8>()?;
        let size = u32::from_le_bytes(size) as usize;
        at = at.checked_add(8)?.checked_add(size)?.checked_add(size % 2)?;
        Some([a, b, c, d])
    })
}

/// Walks the blocks of a GIF (GIF 89a, appendix B); `None` where it ends before its first frame.
fn count_gif_frames(bytes: &[u8]) -> Option<usize> {
    let colours = |flags: u8| if flags & 0x80 == 0 { 0 } else { 3usize << ((flags & 7) + 1) };
    let after_blocks = |mut at: usize| loop {
        match bytes.get(at) {
            Some(0) | None => return at + 1,
            Some(&length) => at += 1 + usize::from(length),
        }
    };
    let mut at = 13 + colours(*bytes.get(10)?);
    let mut frames = 0;
    loop {
        match bytes.get(at) {
            Some(0x21) => at = after_blocks(at + 2),
            Some(0x2c) => {
                frames += 1;
                let Some(&flags) = bytes.get(at + 9) else { return Some(frames) };
                at = after_blocks(at + 11 + colours(flags));
            }
            _ => return Some(frames),
        }
    }
}
