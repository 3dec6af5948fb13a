//! Masks in PNG files: samples as stored, palette, and what the file says of its values; written and read.

use std::io::Cursor;

use super::format::{Format, damaged};
use super::raw_mask::{MaskPixels, RawMask};
use crate::error::{Error, Result};
use crate::labels::{Classes, LabelMap, voc_colour};

/// Keyword and text by which a mask file says that its values are class ids (a `tEXt` chunk, PNG 1.2, 11.3.4.3):
/// whatever a class list makes of mask values, these are translated already.
const VALUES_KEYWORD: &str = "fcn:values";
const VALUES_ARE_IDS: &str = "ids";

/// What a PNG mask says before its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MaskHeader {
    /// The palette; `None` of a grey or RGB mask.
    pub palette: Option<Vec<[u8; 3]>>,
    /// Bits of a sample.
    pub bits: u8,
    /// Whether it is grey without alpha.
    pub grey: bool,
    /// Whether the file says that its values are class ids.
    pub class_ids: bool,
}

impl MaskHeader {
    /// Reads what lies before the pixels; `None` of anything but a whole start of a PNG file.
    pub fn read(start: &[u8]) -> Option<MaskHeader> {
        let reader = png::Decoder::new(Cursor::new(start)).read_info().ok()?;
        Some(header(reader.info()))
    }
}

fn header(info: &png::Info<'_>) -> MaskHeader {
    MaskHeader {
        palette: info.palette.as_ref().map(|p| p.chunks_exact(3).map(|c| [c[0], c[1], c[2]]).collect()),
        bits: info.bit_depth as u8,
        grey: info.color_type == png::ColorType::Grayscale,
        class_ids: (info.uncompressed_latin1_text.iter())
            .any(|chunk| chunk.keyword == VALUES_KEYWORD && chunk.text == VALUES_ARE_IDS),
    }
}

pub(super) fn read_png(bytes: &[u8]) -> Result<RawMask> {
    let bad = |e: png::DecodingError| damaged(Format::Png, &e.to_string());
    let mut decoder = png::Decoder::new(Cursor::new(bytes));
    decoder.set_transformations(png::Transformations::IDENTITY); // palette indices must survive
    let mut reader = decoder.read_info().map_err(bad)?;
    let info = reader.info();
    let (width, height) = (info.width as usize, info.height as usize);
    let (colour_type, depth) = (info.color_type, info.bit_depth);
    let MaskHeader { palette, bits, class_ids, .. } = header(info);
    let size = reader.output_buffer_size().ok_or_else(|| damaged(Format::Png, "its size overflows"))?;
    let mut buffer = vec![0; size];
    let frame = reader.next_frame(&mut buffer).map_err(bad)?;
    buffer.truncate(frame.buffer_size());
    let pixels = match (colour_type, depth) {
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Eight) => MaskPixels::Index8(buffer),
        (png::ColorType::Indexed | png::ColorType::Grayscale, png::BitDepth::Sixteen) => {
            MaskPixels::Index16(buffer.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect())
        }
        (png::ColorType::Indexed | png::ColorType::Grayscale, depth) => {
            MaskPixels::Index8(unpack(&buffer, width, frame.line_size, depth as u8))
        }
        (png::ColorType::Rgb, png::BitDepth::Eight) => MaskPixels::Rgb(buffer),
        (png::ColorType::Rgba, png::BitDepth::Eight) => MaskPixels::Rgb(without_alpha(&buffer, 4)?),
        (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight) => MaskPixels::Index8(without_alpha(&buffer, 2)?),
        (other, depth) => {
            return Err(Error::data(format!("a {other:?} mask of {} bits a channel is not supported", depth as u8))
                .hint("save masks as palette or grey PNG, or as 8-bit RGB"));
        }
    };
    Ok(RawMask { width, height, pixels, palette, bits, class_ids })
}

/// Samples of 1, 2 or 4 bits, most significant first, each row starting at a byte.
pub(super) fn unpack(packed: &[u8], width: usize, line_size: usize, depth: u8) -> Vec<u8> {
    let per_byte = usize::from(8 / depth);
    let sample = (1u8 << depth) - 1;
    let unpack_row = |row: &[u8]| -> Vec<u8> {
        (0..width).map(|x| row[x / per_byte] >> (8 - depth * (1 + (x % per_byte) as u8)) & sample).collect()
    };
    packed.chunks_exact(line_size).flat_map(unpack_row).collect()
}

/// Drops the last of `channels` channels, which must be opaque throughout.
pub(super) fn without_alpha(samples: &[u8], channels: usize) -> Result<Vec<u8>> {
    let transparent = samples.chunks_exact(channels).filter(|p| p[channels - 1] != 255).count();
    if transparent > 0 {
        return Err(Error::data(format!("the mask has {transparent} transparent pixels, which have no class"))
            .hint("save the mask without an alpha channel; use 255 for pixels without a label"));
    }
    Ok(samples.chunks_exact(channels).flat_map(|p| p[..channels - 1].iter().copied()).collect())
}

/// Encodes class ids as an 8-bit palette PNG: the index is the id, the palette is that of `classes`; indices without
/// a class, void among them, get the colour of VOC's colour map. The file says that its values are class ids, and
/// [`RawMask`] reads them so under every class list.
pub fn encode_mask_png(labels: &LabelMap, classes: &Classes) -> Result<Vec<u8>> {
    let palette: Vec<u8> =
        (0..=u8::MAX).flat_map(|id| classes.palette.get(usize::from(id)).copied().unwrap_or(voc_colour(id))).collect();
    let refused =
        |e: png::EncodingError| Error::internal(format!("a mask of {} cannot be written: {e}", labels.size()));
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, labels.width as u32, labels.height as u32);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette);
    encoder.add_text_chunk(VALUES_KEYWORD.into(), VALUES_ARE_IDS.into()).map_err(refused)?;
    let mut writer = encoder.write_header().map_err(refused)?;
    writer.write_image_data(&labels.ids).map_err(refused)?;
    writer.finish().map_err(refused)?;
    Ok(out)
}
